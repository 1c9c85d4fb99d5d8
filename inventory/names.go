package inventory

import (
	"maps"
	"slices"
)

// SelectNames is Select for groups of which only names are known, as the variable
// groups has them; "all" gives the order. What the pattern names and is not there
// chooses nobody.
func SelectNames(p *Pattern, groups map[string][]string) []string {
	inv := &Inventory{byName: map[string]*Host{}, groupName: map[string]*Group{}}
	add := func(name string) {
		g := &Group{Name: name}
		inv.groups, inv.groupName[name] = append(inv.groups, g), g
		for _, host := range groups[name] {
			if inv.byName[host] == nil {
				inv.byName[host] = &Host{Name: host}
				inv.hosts = append(inv.hosts, inv.byName[host])
			}
			g.hosts = append(g.hosts, inv.byName[host])
		}
	}
	add(allName)
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if name != allName {
			add(name)
		}
	}
	inv.implicit = &Host{Name: localhostName}
	chosen, _ := inv.Select(p)
	names := make([]string, len(chosen))
	for i, h := range chosen {
		names[i] = h.Name
	}
	return names
}
