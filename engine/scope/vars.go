package scope

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
)

// variable is one value with its place. Exactly one of the three is used.
type variable struct {
	rendered *template.Value                                       // written by a person: a template
	computed func(ctx context.Context, asking *Scope) (any, error) // a magic variable
	plain    any                                                   // never a template
	at       diag.Range
	level    Level // 0: the frame's
}

// frameSource is a set of variables that a frame hands out.
type frameSource interface {
	find(name string) (variable, bool)
	names() []string
}

// Vars is an immutable set of variables with their places.
type Vars struct{ variables map[string]variable }

// Compile reads a mapping of variables, such as the value of `vars:`. The
// templates in it are compiled now and rendered when a variable is looked up.
// An empty node gives an empty set. Every fault is reported.
func Compile(env *expression.Environment, node *syntax.Node) (*Vars, diag.List) {
	v := &Vars{variables: map[string]variable{}}
	if node == nil || node.Kind == syntax.Null {
		return v, nil
	}
	var found diag.List
	if _, err := node.Fields(); err != nil {
		found.AddError(node.Range, err)
		return v, found
	}
	for _, entry := range node.Entries {
		if problem := CheckName(entry.Name); problem != "" {
			found.Add(entry.Key.Errorf("%s", problem).WithHint(nameHint))
			continue
		}
		value, err := template.CompileValue(env, entry.Value)
		if err != nil {
			found.AddError(entry.Value.Range, err)
			continue
		}
		v.variables[entry.Name] = variable{rendered: value, at: entry.Key.Range}
	}
	return v, found
}

// FromText is Compile for values without YAML nodes, as given with -e k=v.
// Strings in them are templates. All have the place at.
func FromText(env *expression.Environment, values map[string]any, at diag.Range) (*Vars, diag.List) {
	v := &Vars{variables: make(map[string]variable, len(values))}
	var found diag.List
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if problem := CheckName(name); problem != "" {
			found.Add(diag.New(at, "%s", problem).WithHint(nameHint))
			continue
		}
		value, err := template.CompileAny(env, values[name], at)
		if err != nil {
			found.AddError(at, err)
			continue
		}
		v.variables[name] = variable{rendered: value, at: at}
	}
	return v, found
}

// Plain is a set of values that are never rendered, such as a loop's item.
func Plain(values map[string]any, at diag.Range) *Vars {
	v := &Vars{variables: make(map[string]variable, len(values))}
	for name, value := range values {
		v.variables[name] = variable{plain: value, at: at}
	}
	return v
}

// Over returns the variables of v and of under; where both have one, v's counts.
func (v *Vars) Over(under *Vars) *Vars {
	if under.Len() == 0 {
		return v
	}
	all := maps.Clone(under.variables)
	if v != nil {
		maps.Copy(all, v.variables)
	}
	return &Vars{variables: all}
}

// Len counts the variables; a nil Vars has none.
func (v *Vars) Len() int {
	if v == nil {
		return 0
	}
	return len(v.variables)
}

// Names lists the variables, sorted.
func (v *Vars) Names() []string {
	if v == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(v.variables))
}

// Where is the place of a variable.
func (v *Vars) Where(name string) (diag.Range, bool) {
	found, ok := v.find(name)
	return found.at, ok
}

// Uses lists the names that the values of v take from a scope, sorted: what
// must be known before they can be rendered.
func (v *Vars) Uses() []string {
	if v == nil {
		return nil
	}
	used := map[string]bool{}
	for _, one := range v.variables {
		if one.rendered == nil {
			continue
		}
		for _, name := range one.rendered.Variables() {
			used[name] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// Render gives one of the variables as a plain value, rendered with s.
func (v *Vars) Render(ctx context.Context, name string, s *Scope) (any, error) {
	found, ok := v.find(name)
	switch {
	case !ok:
		return nil, fmt.Errorf("there is no variable %s", name)
	case found.rendered != nil:
		return found.rendered.RenderPlain(ctx, s)
	}
	return expression.Plain(ctx, found.plain)
}

func (v *Vars) find(name string) (variable, bool) {
	if v == nil {
		return variable{}, false
	}
	found, ok := v.variables[name]
	return found, ok
}

func (v *Vars) names() []string { return v.Names() }

// swapped is a set of variables that is put in place of another as a whole. It is
// safe for concurrent use.
type swapped struct{ vars atomic.Pointer[Vars] }

func (s *swapped) find(name string) (variable, bool) { return s.vars.Load().find(name) }

func (s *swapped) names() []string { return s.vars.Load().Names() }

// store is a set of variables that grows while the run goes on. It is safe for
// concurrent use: other hosts read it through hostvars while its own host
// writes. Values put into it must not be changed afterwards.
type store struct {
	mu        sync.RWMutex
	variables map[string]variable
}

func (s *store) set(name string, v variable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.variables == nil {
		s.variables = map[string]variable{}
	}
	s.variables[name] = v
}

func (s *store) find(name string) (variable, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, ok := s.variables[name]
	return v, ok
}

func (s *store) names() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Collect(maps.Keys(s.variables))
}

func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.variables = nil
}
