package inventory

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

var varsExtensions = []string{"", ".yml", ".yaml", ".json"}

// varsFolders reads group_vars and host_vars in a folder.
func (l *loader) varsFolders(in folder, all, group, host Layer) {
	groupVars, hostVars := in.join("group_vars"), in.join("host_vars")
	l.checkNames(groupVars, "group", mapKeys(l.groups))
	l.checkNames(hostVars, "host", mapKeys(l.hosts))
	for _, name := range slices.Sorted(mapKeys(l.groups)) {
		layer := group
		if name == allName {
			layer = all
		}
		for _, v := range l.varsOf(groupVars, name, layer) {
			l.addGroupVar(l.groups[name], v)
		}
	}
	hosts := l.hostOrder
	if l.implicit.Implicit {
		hosts = append(slices.Clone(hosts), l.implicit)
	}
	for _, h := range hosts {
		for _, v := range l.varsOf(hostVars, h.Name, host) {
			l.addHostVar(h, v)
		}
	}
}

// varsOf reads NAME, NAME.yml, NAME.yaml or NAME.json, the first that is there,
// as Ansible does. The others would be dropped without a word: they are refused.
func (l *loader) varsOf(in folder, name string, layer Layer) []*Variable {
	if strings.Contains(name, "/") || name == "." || name == ".." {
		return nil
	}
	var vars []*Variable
	first := ""
	for _, extension := range varsExtensions {
		file := in.join(name + extension)
		info, err := fs.Stat(file.fsys, file.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			l.found.Add(diag.Diagnostic{Range: diag.Range{File: file.display}, Summary: "cannot be read: " + reason(err), Cause: err})
		case first != "":
			l.found.Add(diag.New(diag.Range{File: file.display}, "%s is there as well, and only one of the two would be read", first).
				WithHint("put this file into a folder " + in.join(name).display + "/"))
		case info.IsDir():
			first = file.display
			vars = l.varsDir(file, layer)
		default:
			first = file.display
			vars = l.varsFile(file, layer)
		}
	}
	return vars
}

// varsDir reads a folder of variables, deep, in the order of the names.
func (l *loader) varsDir(dir folder, layer Layer) []*Variable {
	entries, err := fs.ReadDir(dir.fsys, dir.path)
	if err != nil {
		l.found.Add(diag.Diagnostic{Range: diag.Range{File: dir.display}, Summary: "cannot be read: " + reason(err), Cause: err})
		return nil
	}
	var vars []*Variable
	for _, entry := range entries {
		name := entry.Name()
		inside := dir.join(name)
		info, err := fs.Stat(inside.fsys, inside.path)
		switch {
		case strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~"):
		case err != nil:
			l.found.Add(diag.Diagnostic{Range: diag.Range{File: inside.display}, Summary: "cannot be read: " + reason(err), Cause: err})
		case info.IsDir():
			vars = append(vars, l.varsDir(inside, layer)...)
		case slices.Contains(varsExtensions, path.Ext(name)):
			vars = append(vars, l.varsFile(inside, layer)...)
		}
	}
	return vars
}

func (l *loader) varsFile(file folder, layer Layer) []*Variable {
	if l.ctx.Err() != nil {
		return nil
	}
	text, err := fs.ReadFile(file.fsys, file.path)
	if err != nil {
		l.found.Add(diag.Diagnostic{Range: diag.Range{File: file.display}, Summary: "cannot be read: " + reason(err), Cause: err})
		return nil
	}
	node := l.parse(file.display, text)
	if node == nil || node.Kind == syntax.Null {
		return nil
	}
	return l.variables(node, layer)
}

// checkNames warns of a file of variables whose name is nearly that of a group
// or host: most likely it was meant. Others may serve another inventory.
func (l *loader) checkNames(in folder, what string, known func(func(string) bool)) {
	entries, err := fs.ReadDir(in.fsys, in.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			l.found.Add(diag.Diagnostic{Range: diag.Range{File: in.display}, Summary: "cannot be read: " + reason(err), Cause: err})
		}
		return
	}
	names := slices.Collect(known)
	for _, entry := range entries {
		name := entry.Name()
		if slices.Contains(varsExtensions[1:], path.Ext(name)) {
			name = strings.TrimSuffix(name, path.Ext(name))
		}
		if slices.Contains(names, name) || strings.HasPrefix(name, ".") || name == localhostName {
			continue
		}
		if hint := diag.DidYouMean(name, names); hint != "" {
			d := diag.New(diag.Range{File: in.join(entry.Name()).display}, "there is no %s %s; these variables are nobody's", what, name)
			d.Severity = diag.Warning
			l.found.Add(d.WithHint(hint))
		}
	}
}
