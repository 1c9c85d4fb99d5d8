// Package inventory knows the hosts: their groups, their variables with the
// place each came from, the patterns that choose among them, and how each is
// reached.
//
// Sources are INI and YAML files, directories of them, and lists such as
// "a,b,". Variables also come from group_vars and host_vars beside a source and
// beside the playbook. Values are kept as they were written; templates in them
// are the engine's business.
package inventory

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// Layer says what kind of place a variable was written in. The numbers are those
// of Ansible's documented order of precedence: the higher wins.
type Layer uint8

// The layers.
const (
	GroupInFile          Layer = 3  // an inventory file's vars of a group
	AllBesideInventory   Layer = 4  // group_vars/all beside the inventory
	AllBesidePlaybook    Layer = 5  // group_vars/all beside the playbook
	GroupBesideInventory Layer = 6  // group_vars/* beside the inventory
	GroupBesidePlaybook  Layer = 7  // group_vars/* beside the playbook
	HostInFile           Layer = 8  // an inventory file's vars of a host
	HostBesideInventory  Layer = 9  // host_vars/* beside the inventory
	HostBesidePlaybook   Layer = 10 // host_vars/* beside the playbook
)

// Variable is one value with its origin. Either Node is set (it was YAML) or
// Value is (INI, where a string, a number, a list or a mapping is possible).
type Variable struct {
	Name  string
	Node  *syntax.Node
	Value any
	Range diag.Range
	Layer Layer
	Plain bool   // Value is no template: a task made it while the playbook ran
	Group string // the group it was given to; "" when to the host itself
}

// Origin is where the variable was written, for a person: `group manage, hosts.ini:7`.
func (v *Variable) Origin() string {
	if v.Group == "" {
		return v.Range.String()
	}
	return fmt.Sprintf("group %s, %s", v.Group, v.Range)
}

// Host is one host. It is immutable once the inventory is loaded.
type Host struct {
	Name     string
	Range    diag.Range // where it was first named; zero for the implicit localhost
	Implicit bool       // localhost, which no inventory names

	own       []*Variable            // given to the host itself
	groups    []*Group               // every group it is in, directly or not, weakest first
	variables map[string][]*Variable // by name, strongest first
}

// GroupNames lists the groups that the host is in, directly or through children,
// sorted, without "all": the magic variable group_names.
func (h *Host) GroupNames() []string {
	names := make([]string, 0, len(h.groups))
	for _, g := range h.groups {
		if g.Name != allName {
			names = append(names, g.Name)
		}
	}
	slices.Sort(names)
	return names
}

// Variable is the value that counts for a name.
func (h *Host) Variable(name string) (*Variable, bool) {
	all := h.variables[name]
	if len(all) == 0 {
		return nil, false
	}
	return all[0], true
}

// Written lists every place where the host, or a group of its, is given the
// variable, the one that counts first.
func (h *Host) Written(name string) []*Variable { return slices.Clone(h.variables[name]) }

// VariableNames lists the host's variables, sorted.
func (h *Host) VariableNames() []string { return slices.Sorted(mapKeys(h.variables)) }

// The two groups that are always there.
const (
	allName       = "all"
	ungroupedName = "ungrouped"
	localhostName = "localhost"
)

// Group is a set of hosts. It is immutable once the inventory is loaded.
type Group struct {
	Name     string
	Range    diag.Range
	Priority int // ansible_group_priority: among groups of one depth the higher wins

	depth    int // the longest way from "all"
	hosts    []*Host
	children []*Group
	parents  []*Group
	vars     []*Variable
}

// Hosts lists the group's hosts, those of its children included, in the order of
// the inventory.
func (g *Group) Hosts() []*Host { return slices.Clone(g.members()) }

// members walks the group's tree in breadth, as Ansible does: that is the order
// in which a play meets its hosts.
func (g *Group) members() []*Host {
	var all []*Host
	seen := map[*Host]bool{}
	queued := map[*Group]bool{g: true}
	for queue := []*Group{g}; len(queue) > 0; queue = queue[1:] {
		for _, h := range queue[0].hosts {
			if !seen[h] {
				seen[h] = true
				all = append(all, h)
			}
		}
		for _, child := range queue[0].children {
			if !queued[child] {
				queued[child] = true
				queue = append(queue, child)
			}
		}
	}
	return all
}

// Children lists the groups directly inside g.
func (g *Group) Children() []*Group { return slices.Clone(g.children) }

// weaker orders groups by precedence: depth, priority, name.
func weaker(a, b *Group) int {
	return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Name, b.Name))
}

// Inventory is the hosts and groups of all sources. It is immutable and safe for
// concurrent use.
type Inventory struct {
	hosts     []*Host // in the order of the sources
	groups    []*Group
	byName    map[string]*Host
	groupName map[string]*Group
	implicit  *Host
	files     []string // the sources, as given
	loader    *loader  // for With
}

// Hosts lists every host in the order of the sources, without the implicit
// localhost.
func (inv *Inventory) Hosts() []*Host { return slices.Clone(inv.hosts) }

// Groups lists every group, sorted by name; "all" and "ungrouped" are among them.
func (inv *Inventory) Groups() []*Group { return slices.Clone(inv.groups) }

// Host finds a host by name. "localhost" is always found: when no source names
// it, it is the machine that rbdplay runs on, and only variables of the group all
// and of host_vars/localhost are its.
func (inv *Inventory) Host(name string) (*Host, bool) {
	if h, ok := inv.byName[name]; ok {
		return h, true
	}
	if name == localhostName || name == "127.0.0.1" || name == "::1" {
		return inv.implicit, true
	}
	return nil, false
}

// Group finds a group by name.
func (inv *Inventory) Group(name string) (*Group, bool) {
	g, ok := inv.groupName[name]
	return g, ok
}

// Sources lists what was loaded, as it was given: files, directories, host lists.
func (inv *Inventory) Sources() []string { return slices.Clone(inv.files) }

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
