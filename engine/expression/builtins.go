package expression

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Builtins is the Environment with the filters, tests and functions of Jinja2
// and ansible.builtin that need nothing but their arguments. Lookups come with
// WithLookups.
func Builtins() *Environment { return builtins() }

var builtins = sync.OnceValue(func() *Environment {
	return new(Environment).
		WithFilters(listFilters).WithFilters(textFilters).WithFilters(dataFilters).
		WithFilters(regexFilters).WithFilters(addressFilters).
		WithTests(builtinTests).
		WithFunctions(builtinFunctions)
})

var builtinFunctions = map[string]Definition{
	"range": {Signature: "start, stop=none, step=1", Function: rangeFunction},
	"dict":  {Signature: "*args, **kwargs", Function: dictFunction},
	"namespace": {Signature: "**values", Function: func(c *Call) (any, error) {
		values := NewDict(len(c.Named))
		for _, key := range mappingKeys(c.Named) {
			values.Set(key, c.Named[key])
		}
		return &Namespace{values: values}, nil
	}},
	"joiner": {Signature: "sep=', '", Function: func(c *Call) (any, error) { return &joiner{separator: c.Args[0]}, nil }},
	"cycler": {Signature: "*items", Function: cyclerFunction},
	"now":    {Signature: "utc=false, fmt=none", Function: nowFunction},
	"undef": {Signature: "hint=none", Function: func(c *Call) (any, error) {
		hint := ""
		if c.Args[0] != nil {
			hint = Text(c.Args[0])
		}
		return &Undefined{Name: "undef()", Hint: hint, site: c.site}, nil
	}},
}

func rangeFunction(c *Call) (any, error) {
	if c.Args[1] == nil {
		c.Args = []any{0, c.Args[0], c.Args[2]}
	}
	var bounds [3]int
	for i := range bounds {
		var err error
		if bounds[i], err = intArgument(c, i); err != nil {
			return nil, err
		}
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		return nil, errors.New("the step is zero")
	}
	if (stop-start)/step > mostMade {
		return nil, errLarge
	}
	list := []any{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		list = append(list, i)
	}
	return list, nil
}

func dictFunction(c *Call) (any, error) {
	result := NewDict(len(c.Named))
	for _, arg := range c.Rest {
		if isMapping(arg) {
			for key, value := range entries(c.Context(), arg) {
				if value.err != nil {
					return nil, value.err
				}
				result.Set(key, value.value)
			}
			continue
		}
		pairs, err := c.frame.iterate(arg)
		if err != nil {
			return nil, err
		}
		for _, item := range pairs {
			pair, ok := item.([]any)
			if !ok || len(pair) != 2 {
				return nil, errors.New("expected pairs of a key and a value")
			}
			result.Set(keyText(pair[0]), pair[1])
		}
	}
	for i, value := range c.site.names { // in the order written
		if v, ok := c.Named[value]; ok && i >= 0 {
			result.Set(value, v)
		}
	}
	for _, key := range mappingKeys(c.Named) { // and what ** brought
		result.Set(key, c.Named[key])
	}
	return result, nil
}

// nowFunction gives text, where Ansible's gives a moment: without a format it
// looks as Python prints one.
func nowFunction(c *Call) (any, error) {
	at := time.Now()
	if Truthy(c.Args[0]) {
		at = at.UTC()
	}
	if c.Args[1] != nil {
		return strftime(Text(c.Args[1]), at)
	}
	return at.Format("2006-01-02 15:04:05.000000"), nil
}

// Lookup finds values outside the expression: in a file, the environment, the
// scope. terms are the positional arguments behind its name. It is called again
// for every evaluation, and waits no longer than ctx.
type Lookup func(ctx context.Context, scope Scope, terms []any, options map[string]any) ([]any, error)

// WithLookups returns an Environment in which lookup, query and q know the given
// lookups. Their names are checked when an expression is compiled.
func (e *Environment) WithLookups(lookups map[string]Lookup) *Environment {
	check := func(_ *Environment, args []any) error {
		name, ok := firstOf(args).(string)
		if !ok || lookups[shortName(name)] != nil {
			return nil
		}
		return &argumentError{message: fmt.Sprintf("there is no lookup %q", name), hint: diag.DidYouMean(shortName(name), mapKeys(lookups))}
	}
	definition := func(list bool) Definition {
		return Definition{Signature: "name, *terms, **options", check: check, Function: func(c *Call) (any, error) {
			return c.lookup(lookups, list)
		}}
	}
	return e.WithFunctions(map[string]Definition{"lookup": definition(false), "query": definition(true), "q": definition(true)})
}

// lookup obeys the options every lookup has: wantlist, and errors=strict, warn
// or ignore.
func (c *Call) lookup(lookups map[string]Lookup, wantList bool) (any, error) {
	name := shortName(Text(c.Args[0]))
	find := lookups[name]
	if find == nil {
		return nil, &argumentError{message: fmt.Sprintf("there is no lookup %q", name), hint: diag.DidYouMean(name, mapKeys(lookups))}
	}
	options := map[string]any{}
	errorsOption := "strict"
	for key, value := range c.Named {
		switch key {
		case "wantlist":
			wantList = Truthy(value)
		case "errors":
			errorsOption = Text(value)
		default:
			options[key] = value
		}
	}
	values, err := find(c.Context(), c.Scope(), c.Rest, options)
	if err != nil && (errorsOption == "strict" || c.Context().Err() != nil) {
		return nil, fmt.Errorf("lookup '%s': %w", name, err)
	}
	if err != nil {
		values = nil
	}
	return lookupResult(values, wantList, err != nil)
}

// lookupResult is the list, or without wantlist one value or texts joined by
// commas, as Ansible gives them.
func lookupResult(values []any, wantList, failed bool) (any, error) {
	switch {
	case wantList:
		return append([]any{}, values...), nil
	case failed:
		return nil, nil
	case len(values) == 1:
		return values[0], nil
	}
	texts := make([]string, len(values))
	for i, value := range values {
		text, ok := Normalize(value).(string)
		if !ok {
			return append([]any{}, values...), nil
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), nil
}
