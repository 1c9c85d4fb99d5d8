package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

// grow puts additions into the inventory: variables know of them at once, the
// plays that follow choose among them.
func (r *run) grow(ctx context.Context, additions []inventory.Addition) error {
	r.growth.Lock()
	defer r.growth.Unlock()
	next, touched, found := r.Inventory.With(ctx, additions)
	if found.HasErrors() {
		return found
	}
	if faults := r.vars.SetInventory(next, touched); faults.HasErrors() {
		return faults
	}
	r.Inventory, r.grown = next, true
	r.additions = append(r.additions, additions...)
	r.learnSecrets(ctx)
	return nil
}

// refresh reads the inventory anew, and adds again what tasks have added.
func (r *run) refresh(ctx context.Context) error {
	r.growth.Lock()
	defer r.growth.Unlock()
	if r.Reload == nil {
		return errors.New("the inventory cannot be read anew")
	}
	fresh, err := r.Reload(ctx)
	if err != nil {
		return fmt.Errorf("reading the inventory anew: %w", err)
	}
	next, _, found := fresh.With(ctx, r.additions)
	if found.HasErrors() {
		return found
	}
	var all []string
	for _, h := range next.Hosts() {
		all = append(all, h.Name)
	}
	if faults := r.vars.SetInventory(next, append(all, "localhost")); faults.HasErrors() {
		return faults
	}
	r.Inventory, r.grown = next, true
	r.learnSecrets(ctx)
	return nil
}

// adds reports whether an addition would change the inventory.
func (r *run) adds(a inventory.Addition) bool {
	r.growth.Lock()
	defer r.growth.Unlock()
	return r.Inventory.Adds(a)
}

// namesFor gives the hosts of a play when its turn comes. Those that were found
// before the run are right unless the inventory has changed since.
func (r *run) namesFor(ctx context.Context, p *play.Play, names []string) []string {
	if !r.grown && !r.late[p] {
		return names
	}
	if limit, found := r.limited(); !found.HasErrors() {
		r.limit = limit
	}
	names, found := r.hostsOfPlay(ctx, p)
	for _, d := range once(found) {
		r.emit(event.Message{Text: d.Error() + "; the play is passed by", Warning: true})
	}
	if found.HasErrors() {
		return nil
	}
	return names
}

// addHost makes a host known. It runs on one host at a time.
func (x *execution) addHost(ctx context.Context, it *item, args map[string]any) error {
	vars := maps.Clone(args)
	a, err := decode[*modules.AddHostArgs](x, args)
	if err != nil {
		return err
	}
	for _, name := range []string{"name", "host", "hostname", "groups", "group", "groupname"} {
		delete(vars, name)
	}
	for name := range vars {
		if problem := scope.CheckName(name); problem != "" {
			return diag.New(x.task.Args.Where(name), "add_host: %s", problem)
		}
	}
	name, port := hostAndPort(a.Name)
	if port != "" {
		vars["ansible_port"] = port
	}
	groups := make([]any, len(a.Groups))
	for i, group := range a.Groups {
		groups[i] = group
	}
	addition := inventory.Addition{Host: name, Groups: a.Groups, Vars: vars, Range: x.task.Range}
	it.outcome.Result["add_host"] = map[string]any{"host_name": name, "groups": groups, "host_vars": vars}
	for _, secret := range inventory.PasswordVariables() {
		x.secrets.addAll(vars[secret])
	}
	it.mark(x.adds(addition))
	return x.grow(ctx, []inventory.Addition{addition})
}

// hostAndPort takes the port off "name:22". More colons are an address of IPv6.
func hostAndPort(name string) (host, port string) {
	host, port, found := strings.Cut(name, ":")
	if !found || strings.Contains(port, ":") {
		return name, ""
	}
	return host, port
}

// groupBy notes a group for the host; settle makes it, for all hosts at once.
func (x *execution) groupBy(h *host, it *item, args map[string]any) error {
	a, err := decode[*modules.GroupByArgs](x, args)
	if err != nil {
		return err
	}
	dashed := func(name string) string { return strings.ReplaceAll(name, " ", "-") }
	parents := make([]any, len(a.Parents))
	for i, parent := range a.Parents {
		a.Parents[i] = dashed(parent)
		parents[i] = a.Parents[i]
	}
	addition := inventory.Addition{Host: h.name, Groups: []string{dashed(a.Key)}, Parents: a.Parents, Range: x.task.Range}
	it.outcome.Result["add_group"], it.outcome.Result["parent_groups"] = dashed(a.Key), parents
	it.mark(x.adds(addition))
	it.additions = []inventory.Addition{addition}
	return nil
}

// includeVars reads variables for the host.
func (x *execution) includeVars(ctx context.Context, h *host, it *item, args map[string]any) error {
	a, err := decode[*modules.IncludeVarsArgs](x, args)
	if err != nil {
		return err
	}
	included, err := x.task.ReadVars(a)
	if err != nil {
		return err
	}
	vars := included.Vars
	if a.HashBehaviour == "merge" {
		if vars, err = merged(ctx, vars, it.scope); err != nil {
			return err
		}
	}
	x.keepFacts(ctx, h, it, func(owner *scope.Host) { owner.Include(vars) })
	files := make([]any, len(included.Files))
	for i, file := range included.Files {
		files[i] = file
	}
	it.outcome.Result["ansible_included_var_files"] = files
	it.registered["ansible_facts"] = it.scope.With(scope.IncludeVars, vars).Only(vars.Names())
	return nil
}

// merged are variables of which those that are mappings have taken in what the
// mapping of that name had before.
func merged(ctx context.Context, vars *scope.Vars, s *scope.Scope) (*scope.Vars, error) {
	within := s.With(scope.IncludeVars, vars)
	all := map[string]*scope.Vars{}
	for _, name := range vars.Names() {
		before, known, err := s.Lookup(ctx, name)
		if err != nil || !known {
			continue // what cannot be made out adds nothing
		}
		old, err := expression.Plain(ctx, before)
		if err != nil {
			return nil, err
		}
		now, err := vars.Render(ctx, name, within)
		if err != nil {
			return nil, err
		}
		oldMap, isOld := old.(map[string]any)
		newMap, isNew := now.(map[string]any)
		if isOld && isNew {
			at, _ := vars.Where(name)
			all[name] = scope.Plain(map[string]any{name: mergedMap(oldMap, newMap)}, at)
		}
	}
	for _, one := range all {
		vars = one.Over(vars)
	}
	return vars, nil
}

func mergedMap(under, over map[string]any) map[string]any {
	all := maps.Clone(under)
	for key, value := range over {
		inner, isMap := value.(map[string]any)
		below, wasMap := all[key].(map[string]any)
		if isMap && wasMap {
			value = mergedMap(below, inner)
		}
		all[key] = value
	}
	return all
}
