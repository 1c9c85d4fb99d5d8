package inventory

import "github.com/rbdplay/rbdplay/engine/syntax"

// yaml reads a file of groups: {hosts, vars, children}.
func (l *loader) yaml(name string, text []byte) {
	root := l.parse(name, text)
	if root == nil || root.Kind == syntax.Null {
		return
	}
	if root.Kind != syntax.Mapping {
		l.found.Add(root.Errorf("expected a mapping of groups, found %s", root.Kind).
			WithHint("an inventory begins with \"all:\" or with the name of a group"))
		return
	}
	for _, entry := range root.Entries {
		if entry.Name == "_meta" {
			l.found.Add(entry.Key.Errorf("not supported yet: _meta, which the output of an executable inventory has"))
			continue
		}
		l.yamlGroup(entry)
	}
}

func (l *loader) yamlGroup(entry syntax.Entry) *Group {
	g := l.group(entry.Name, entry.Key.Range)
	if entry.Value.Kind == syntax.Null {
		return g
	}
	fields, err := entry.Value.Fields()
	if err != nil {
		l.found.AddError(entry.Value.Range, err)
		return g
	}
	for _, d := range fields.Unknown("hosts", "vars", "children") {
		if d.Hint == "" {
			d = d.WithHint("a group has hosts, vars and children; hosts stand under hosts:, groups under children:")
		}
		l.found.Add(d)
	}
	if node, ok := fields.Get("vars"); ok {
		for _, v := range l.variables(node, GroupInFile) {
			l.addGroupVar(g, v)
		}
	}
	if node, ok := fields.Get("children"); ok {
		for _, child := range l.members(node, "groups") {
			g.adopt(l.yamlGroup(child))
		}
	}
	if node, ok := fields.Get("hosts"); ok {
		for _, member := range l.members(node, "hosts") {
			l.yamlHosts(g, member)
		}
	}
	return g
}

// members is a mapping of names, or a single name.
func (l *loader) members(node *syntax.Node, what string) []syntax.Entry {
	switch {
	case node.Kind == syntax.Null:
		return nil
	case node.Kind == syntax.String:
		return []syntax.Entry{{Name: node.Text, Key: node, Value: &syntax.Node{Range: node.Range}}}
	case node.Kind != syntax.Mapping:
		l.found.Add(node.Errorf("expected a mapping of %s, found %s", what, node.Kind).
			WithHint("write each name with a colon and without a dash, as in \"web1:\""))
		return nil
	}
	return node.Entries
}

func (l *loader) yamlHosts(g *Group, member syntax.Entry) {
	vars := l.variables(member.Value, HostInFile)
	for _, h := range l.hostPattern(member.Name, member.Key.Locator()) {
		g.add(h)
		for _, v := range vars {
			l.addHostVar(h, v)
		}
	}
}

// variables reads a mapping of variables.
func (l *loader) variables(node *syntax.Node, layer Layer) []*Variable {
	if node.Kind == syntax.Null {
		return nil
	}
	if node.Kind != syntax.Mapping {
		l.found.Add(node.Errorf("expected a mapping of variables, found %s", node.Kind))
		return nil
	}
	vars := make([]*Variable, 0, len(node.Entries))
	for _, entry := range node.Entries {
		vars = append(vars, &Variable{Name: entry.Name, Node: entry.Value, Range: entry.Key.Range, Layer: layer})
	}
	return vars
}
