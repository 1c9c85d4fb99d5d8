package lookup

import (
	"fmt"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/inventory"
)

// vars reads variables whose names are made while the playbook runs.
func vars(c *call) ([]any, error) {
	names, err := c.texts("names of variables")
	if err != nil {
		return nil, err
	}
	return each(names, func(name string) (any, error) {
		value, ok, err := c.scope.Lookup(c.ctx, name)
		if err != nil || ok {
			return value, err
		}
		if otherwise, given := c.options["default"]; given {
			return otherwise, nil
		}
		message := fmt.Sprintf("there is no variable '%s'", name)
		if hint := diag.DidYouMean(name, c.scope.Names()); hint != "" {
			message += ", " + hint
		}
		return nil, fmt.Errorf("%s", message)
	})
}

// varnames lists the variables that match regular expressions.
func varnames(c *call) ([]any, error) {
	patterns, err := c.texts("regular expressions")
	if err != nil {
		return nil, err
	}
	var found []any
	for _, pattern := range patterns {
		for _, name := range c.scope.Names() {
			matches, err := expression.Matches(pattern, name)
			if err != nil {
				return nil, err
			}
			if matches {
				found = append(found, name)
			}
		}
	}
	return found, nil
}

// env reads the controller's environment.
func env(c *call) ([]any, error) {
	names, err := c.texts("names of environment variables")
	if err != nil {
		return nil, err
	}
	return each(names, func(name string) (any, error) {
		fields := strings.Fields(name)
		if len(fields) == 0 {
			return nil, fmt.Errorf("wants the name of an environment variable, not %q", name)
		}
		if value, ok := c.controller.Getenv(fields[0]); ok {
			return value, nil
		}
		if otherwise, given := c.options["default"]; given {
			return otherwise, nil
		}
		return "", nil
	})
}

// inventoryHostnames lists the hosts that patterns choose, among those of the
// variable groups. As in Ansible, what is not there chooses nobody.
func inventoryHostnames(c *call) ([]any, error) {
	patterns, err := c.texts("patterns of hosts")
	if err != nil {
		return nil, err
	}
	groups, err := c.groups()
	if err != nil {
		return nil, err
	}
	pattern, err := inventory.ParsePattern(strings.Join(patterns, ","), diag.Fixed(diag.Range{}))
	if err != nil {
		return nil, err
	}
	chosen := []any{}
	for _, name := range inventory.SelectNames(pattern, groups) {
		chosen = append(chosen, name)
	}
	return chosen, nil
}

func (c *call) groups() (map[string][]string, error) {
	value, ok, err := c.scope.Lookup(c.ctx, "groups")
	if err != nil || !ok {
		return nil, err
	}
	groups := map[string][]string{}
	err = Pairs(c.ctx, value, func(group string, hosts any) {
		for _, host := range asList(hosts) {
			groups[group] = append(groups[group], expression.Text(host))
		}
	})
	return groups, err
}
