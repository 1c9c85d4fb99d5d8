package scope

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

// Scope is a chain of frames of variables. It is immutable and safe for
// concurrent use; the variables of a host that stand in it may grow meanwhile.
// A nil Scope has no variables. Scope implements expression.Scope.
type Scope struct {
	outer  *Scope
	level  Level
	source frameSource
	asker  any
}

// With puts variables before s and returns the new scope; s stays as it is. It
// costs one small allocation. Empty variables give s itself.
func (s *Scope) With(level Level, vars *Vars) *Scope {
	if vars.Len() == 0 {
		return s
	}
	return &Scope{outer: s, level: level, source: vars}
}

// Layer is a set of variables and the level it counts at.
type Layer struct {
	Level Level
	Vars  *Vars
}

// WithLayers is With for each layer in turn, so that the last is the innermost.
func (s *Scope) WithLayers(layers []Layer) *Scope {
	for _, layer := range layers {
		s = s.With(layer.Level, layer.Vars)
	}
	return s
}

// Asking returns s for who asks: the task, or the playbook, whose expressions are
// evaluated with it. Lookups find out by Asker.
func (s *Scope) Asking(asker any) *Scope {
	return &Scope{outer: s, source: (*Vars)(nil), asker: asker}
}

// Asker implements expression.Asking: the innermost of those named by Asking.
func (s *Scope) Asker() any {
	for frame := s; frame != nil; frame = frame.outer {
		if frame.asker != nil {
			return frame.asker
		}
	}
	return nil
}

// find is the variable that counts: the highest level, then the innermost.
func (s *Scope) find(name string) (best variable, ok bool) {
	var rank Level
	for frame := s; frame != nil; frame = frame.outer {
		if ok && frame.level <= rank {
			continue
		}
		if found, there := frame.source.find(name); there {
			best, ok, rank = found, true, frame.level
		}
	}
	if best.level == 0 { // the inventory's know a finer one
		best.level = rank
	}
	return best, ok
}

// Lookup implements expression.Scope. Templates are rendered with s itself, so
// that a variable of the play may use one of the task. A variable that leads to
// itself is an error that names the way round.
func (s *Scope) Lookup(ctx context.Context, name string) (value any, ok bool, err error) {
	if err := expression.TooEarly(ctx, name); err != nil {
		return nil, false, err
	}
	found, ok := s.find(name)
	if !ok {
		return nil, false, nil
	}
	switch {
	case found.computed != nil:
		value, err = found.computed(ctx, s)
	case found.rendered == nil:
		value = found.plain
	case found.rendered.IsConstant():
		value, err = found.rendered.Render(ctx, s)
	default:
		value, err = s.render(ctx, name, found)
	}
	return value, true, err
}

func (s *Scope) render(ctx context.Context, name string, found variable) (any, error) {
	outer, _ := ctx.Value(renderingKey{}).(*rendering)
	here := &rendering{name: name, at: found.at, scope: s, outer: outer}
	if err := here.check(); err != nil {
		return nil, err
	}
	return found.rendered.Render(context.WithValue(ctx, renderingKey{}, here), s)
}

// rendering is a variable whose template is being rendered. It travels in the
// context, because the way leads through expressions and other hosts' scopes. A
// name is only the same when the same scope is asked: a group's variable may use
// that of another host.
type rendering struct {
	name  string
	at    diag.Range
	scope *Scope
	outer *rendering
}

type renderingKey struct{}

// mostNested bounds a chain of variables that use each other without a loop.
const mostNested = 200

func (r *rendering) check() error {
	depth := 0
	for o := r.outer; o != nil; o = o.outer {
		if o.name == r.name && o.scope == r.scope {
			return r.loopError(o)
		}
		if depth++; depth > mostNested {
			return diag.New(r.at, "the variable %s is nested more than %d templates deep", r.name, mostNested)
		}
	}
	return nil
}

// loopError names the way from the variable back to itself.
func (r *rendering) loopError(start *rendering) error {
	d := diag.Diagnostic{Range: r.at}
	way := []string{r.name}
	for o := r.outer; o != start; o = o.outer {
		way = append(way, o.name)
		d.Related = append(d.Related, diag.Note{Text: "by way of " + o.name, Range: o.at})
	}
	way = append(way, r.name)
	slices.Reverse(way)
	slices.Reverse(d.Related)
	d.Summary = "the variable " + r.name + " is made of itself: " + strings.Join(way, " → ")
	return d.WithHint("give one of them another name; a variable cannot extend the one it hides")
}

// Where says which variable counts for a name: its level and the place where it
// was written. A value without a place has the zero Range.
func (s *Scope) Where(name string) (Level, diag.Range, bool) {
	found, ok := s.find(name)
	return found.level, found.at, ok
}

// IsLiteral reports whether a name is a variable that was written without a
// template: its value is the same whenever it is asked for.
func (s *Scope) IsLiteral(name string) bool {
	found, ok := s.find(name)
	return ok && found.computed == nil && (found.rendered == nil || found.rendered.IsConstant())
}

// Names implements expression.Scope: every name that Lookup finds, sorted.
func (s *Scope) Names() []string {
	all := map[string]bool{}
	for frame := s; frame != nil; frame = frame.outer {
		for _, name := range frame.source.names() {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Only shows some variables of the scope as a mapping, each rendered when asked.
func (s *Scope) Only(names []string) expression.Object { return some{everything{s}, names} }

type some struct {
	everything
	only []string
}

// Keys implements expression.Object.
func (s some) Keys() []string { return s.only }

var (
	_ expression.Scope  = (*Scope)(nil)
	_ expression.Asking = (*Scope)(nil)
)
