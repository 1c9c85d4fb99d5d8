package inventory

import (
	"context"
	"maps"
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Addition is what add_host or group_by adds to an inventory.
type Addition struct {
	Host    string // known or new; "" for none
	Groups  []string
	Parents []string       // of Groups; besides them every group is in "all"
	Vars    map[string]any // of the host; plain values, which are never templates
	Range   diag.Range
}

// Adds reports whether the addition would add a host, a group, or a host to a
// group. Variables do not count, as in Ansible.
func (inv *Inventory) Adds(a Addition) bool {
	h := inv.byName[a.Host]
	if a.Host != "" && h == nil {
		return true
	}
	for _, name := range a.Groups {
		g := inv.groupName[name]
		if g == nil || h != nil && !slices.Contains(g.members(), h) {
			return true
		}
	}
	return false
}

// With gives an inventory that has the additions as well; inv stays as it is. The
// files of variables of new groups and hosts, beside the sources and the playbook,
// are read. touched names the hosts whose groups or variables may be others than
// before. The inventory is nil when there are errors.
func (inv *Inventory) With(ctx context.Context, additions []Addition) (grown *Inventory, touched []string, found diag.List) {
	next, own := inv.clone()
	l := *inv.loader
	l.ctx, l.found = ctx, nil
	l.hosts, l.groups, l.hostVars = next.byName, next.groupName, own
	l.all, l.ungrouped, l.hostOrder = next.groupName[allName], next.groupName[ungroupedName], nil
	changed := map[*Group]bool{}
	hosts := map[*Host]bool{}
	for _, a := range additions {
		l.addition(next, a, changed, hosts)
	}
	next.groups = nil
	for _, name := range slices.Sorted(mapKeys(l.groups)) {
		next.groups = append(next.groups, l.groups[name])
	}
	l.breakCycles(next)
	next.hosts = l.all.members()
	l.settle(next)
	l.checkConnections(next)
	if l.found.HasErrors() {
		return nil, nil, l.found
	}
	for g := range changed {
		for _, h := range g.members() {
			hosts[h] = true
		}
	}
	for h := range hosts {
		touched = append(touched, h.Name)
	}
	slices.Sort(touched)
	return next, touched, l.found
}

// addition puts one addition into next.
func (l *loader) addition(next *Inventory, a Addition, changed map[*Group]bool, touched map[*Host]bool) {
	h := l.grownHost(next, a)
	if h != nil {
		touched[h] = true
		for _, name := range slices.Sorted(maps.Keys(a.Vars)) {
			l.hostVars[h] = slices.DeleteFunc(l.hostVars[h], func(v *Variable) bool { return v.Plain && v.Name == name })
			l.addHostVar(h, &Variable{Name: name, Value: a.Vars[name], Plain: true, Range: a.Range, Layer: HostInFile})
		}
	}
	for _, name := range a.Groups {
		g := l.grownGroup(name, a.Range)
		changed[g] = true
		for _, parent := range a.Parents {
			if parent != allName {
				p := l.grownGroup(parent, a.Range)
				p.adopt(g)
				changed[p] = true
			}
		}
		if len(g.parents) == 0 && g != l.all {
			l.all.adopt(g)
		}
		if h != nil {
			g.add(h)
			if g != l.ungrouped && g != l.all {
				l.ungrouped.hosts = slices.DeleteFunc(l.ungrouped.hosts, func(one *Host) bool { return one == h })
			}
		}
	}
	if h != nil && !h.Implicit && !slices.Contains(l.all.members(), h) {
		l.ungrouped.add(h)
	}
}

// grownHost finds or makes the host of an addition.
func (l *loader) grownHost(next *Inventory, a Addition) *Host {
	if a.Host == "" {
		return nil
	}
	if h := l.hosts[a.Host]; h != nil {
		return h
	}
	h := l.host(a.Host, a.Range)
	for _, in := range l.beside {
		l.hostVars[h] = append(l.hostVars[h], l.varsOf(in.join("host_vars"), a.Host, HostBesideInventory)...)
	}
	if l.playbook != nil {
		l.hostVars[h] = append(l.hostVars[h], l.varsOf(l.playbook.join("host_vars"), a.Host, HostBesidePlaybook)...)
	}
	if a.Host == localhostName {
		next.implicit = h
	}
	return h
}

// grownGroup finds or makes a group, with its files of variables.
func (l *loader) grownGroup(name string, at diag.Range) *Group {
	if g := l.groups[name]; g != nil {
		return g
	}
	g := l.group(name, at)
	for _, in := range l.beside {
		for _, v := range l.varsOf(in.join("group_vars"), name, GroupBesideInventory) {
			l.addGroupVar(g, v)
		}
	}
	if l.playbook != nil {
		for _, v := range l.varsOf(l.playbook.join("group_vars"), name, GroupBesidePlaybook) {
			l.addGroupVar(g, v)
		}
	}
	return g
}

// clone copies hosts and groups, so that they can be tied and settled anew, and
// gives each host's own variables.
func (inv *Inventory) clone() (*Inventory, map[*Host][]*Variable) {
	next := &Inventory{byName: map[string]*Host{}, groupName: map[string]*Group{}, files: inv.files, loader: inv.loader}
	hosts, own := map[*Host]*Host{}, map[*Host][]*Variable{}
	for _, h := range append(slices.Clone(inv.hosts), inv.implicit) {
		if hosts[h] != nil {
			continue
		}
		hosts[h] = &Host{Name: h.Name, Range: h.Range, Implicit: h.Implicit, own: h.own, variables: map[string][]*Variable{}}
		own[hosts[h]] = slices.Clone(h.own)
		if !h.Implicit {
			next.byName[h.Name] = hosts[h]
		}
	}
	next.implicit = hosts[inv.implicit]
	groups := map[*Group]*Group{}
	for _, g := range inv.groups {
		groups[g] = &Group{Name: g.Name, Range: g.Range, Priority: g.Priority, vars: g.vars}
		next.groupName[g.Name] = groups[g]
	}
	for _, g := range inv.groups {
		copied := groups[g]
		for _, h := range g.hosts {
			copied.hosts = append(copied.hosts, hosts[h])
		}
		for _, child := range g.children {
			copied.children = append(copied.children, groups[child])
		}
		for _, parent := range g.parents {
			copied.parents = append(copied.parents, groups[parent])
		}
	}
	return next, own
}
