package play

import (
	"context"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// VarsFile is an entry of vars_files: a file, or alternatives of which the first
// that is there counts.
type VarsFile struct {
	Range diag.Range

	loader *loader
	home   location // of the playbook
	names  []*Setting[string]
	vars   *scope.Vars            // when no name needs a host
	read   map[string]*scope.Vars // by file; under the loader's lock
}

// varsFiles reads vars_files. What can be known when the playbook is loaded must be
// there then. From the first entry on whose name needs a host, all are gone through
// again for each host, so that later ones win as they stand.
func (l *loader) varsFiles(f *syntax.Fields, p *Play, around surroundings) {
	node, ok := f.Get("vars_files")
	if !ok {
		return
	}
	items := []*syntax.Node{node}
	if node.Kind == syntax.Sequence {
		items = node.Items
	}
	for _, item := range items {
		names := []*syntax.Node{item}
		if item.Kind == syntax.Sequence {
			names = item.Items
		}
		file := &VarsFile{Range: start(item.Range), loader: l, home: around.home, read: map[string]*scope.Vars{}}
		needsHost := false
		for _, n := range names {
			name := readSetting(l, "a name in vars_files", n, asText)
			if name == nil {
				return
			}
			file.names = append(file.names, name)
			needsHost = needsHost || !l.knows(name)
		}
		if !needsHost {
			file.vars = l.firstVarsFile(names, item, around)
			p.Layers = appendLayer(p.Layers, file.vars)
		}
		if needsHost || len(p.HostVarsFiles) > 0 {
			p.HostVarsFiles = append(p.HostVarsFiles, file)
		}
	}
}

func appendLayer(layers []scope.Layer, vars *scope.Vars) []scope.Layer {
	if vars.Len() == 0 {
		return layers
	}
	return append(layers, scope.Layer{Level: scope.PlayVarsFiles, Vars: vars})
}

// knows reports whether all variables of a name are known before anything runs.
func (l *loader) knows(name *Setting[string]) bool {
	s := l.known.WithLayers(l.current.Layers)
	for _, used := range name.uses() {
		if _, _, known := s.Where(used); !known {
			return false
		}
	}
	return true
}

func (l *loader) firstVarsFile(names []*syntax.Node, item *syntax.Node, around surroundings) *scope.Vars {
	texts := make([]string, len(names))
	for i, n := range names {
		text, ok := l.knownText(n, "a name in vars_files", nil)
		if !ok {
			return nil
		}
		texts[i] = text
	}
	p, err := l.findVarsFile(texts, around.home, item.Range)
	if err != nil {
		l.addError(item.Range, err)
		return nil
	}
	return l.varsFile(p, item.Range)
}

// findVarsFile finds the first that is there, in vars/ or beside the playbook.
func (l *loader) findVarsFile(names []string, home location, at diag.Range) (location, error) {
	var looked []string
	for _, name := range names {
		for _, folder := range []location{home.join("vars"), home} {
			p, err := l.seenFrom(folder, name)
			if err != nil {
				return location{}, diag.New(at, "%v", err)
			}
			there, err := p.exists()
			if err != nil {
				return location{}, diag.New(at, "%s: cannot be looked at: %s", p.display, reason(err)).WithCause(err)
			}
			if there {
				return p, nil
			}
			looked = append(looked, p.display)
		}
	}
	return location{}, diag.New(at, "there is no such file of variables").WithDetail("looked for " + strings.Join(looked, ", "))
}

// Vars are the variables for the host that s belongs to. ready is false, with the
// reason as err, when a name cannot be rendered with s: its facts may have to be
// gathered first. Each file is read once.
func (f *VarsFile) Vars(ctx context.Context, s expression.Scope) (vars *scope.Vars, ready bool, err error) {
	if f.vars != nil {
		return f.vars, true, nil
	}
	names := make([]string, len(f.names))
	for i, name := range f.names {
		if names[i], err = name.Get(ctx, s); err != nil {
			return nil, false, err
		}
	}
	err = f.loader.later(func(l *loader) {
		p, err := l.findVarsFile(names, f.home, f.Range)
		if err != nil {
			l.addError(f.Range, err)
			return
		}
		if vars = f.read[p.display]; vars != nil {
			return
		}
		delete(l.files, p.display) // it may have been broken before
		if vars = l.varsFile(p, f.Range); !l.found.HasErrors() {
			f.read[p.display] = vars
		}
	})
	return vars, true, err
}

// varsFile reads a YAML file of variables.
func (l *loader) varsFile(p location, at diag.Range) *scope.Vars {
	root, ok := l.varsNode(p, at)
	if !ok {
		return nil
	}
	vars, found := scope.Compile(l.env, root)
	*l.found = append(*l.found, found...)
	return vars
}
