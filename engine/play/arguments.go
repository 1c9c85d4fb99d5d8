package play

import (
	"context"
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
)

// argument is one argument's value.
type argument struct {
	at    diag.Range      // of the name
	value *template.Value // nil only while loading: it could not be compiled
	where diag.Range      // of the value
	node  *syntax.Node    // nil when it comes from name=value
}

// Arguments are a task's arguments, compiled. Immutable.
type Arguments struct {
	Range diag.Range
	given map[string]argument
}

// whole is the key of a template that makes a mapping of further arguments; those
// that are written out win.
const whole = ""

// Names lists the arguments, sorted, without those that a template makes.
func (a *Arguments) Names() []string {
	return slices.DeleteFunc(sortedKeys(a.given), func(name string) bool { return name == whole })
}

// Where is the place of an argument's value; the task's arguments' when it has
// no such argument.
func (a *Arguments) Where(name string) diag.Range {
	if one, ok := a.given[name]; ok {
		return one.where
	}
	return a.Range
}

// Literal is an argument's value when it holds no template.
func (a *Arguments) Literal(name string) (any, bool) {
	one, ok := a.given[name]
	if !ok || one.value == nil || !one.value.IsConstant() {
		return nil, false
	}
	value, err := one.value.RenderPlain(context.Background(), expression.Variables{})
	return value, err == nil
}

// Render gives the arguments as plain values; those that come out as omit are
// left out. When one depends on what check mode cannot know, the error is an
// *UnknownError.
func (a *Arguments) Render(ctx context.Context, s expression.Scope) (map[string]any, error) {
	args, err := a.renderWhole(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, name := range a.Names() {
		value, err := a.given[name].value.RenderPlain(ctx, s)
		if err != nil {
			return nil, err
		}
		if reason, ok := unknownIn(value); ok {
			return nil, &UnknownError{Reason: reason}
		}
		delete(args, name)
		if value, omitted := scope.WithoutOmitted(value); !omitted {
			args[name] = value
		}
	}
	return args, nil
}

// renderWhole gives the arguments that one template makes.
func (a *Arguments) renderWhole(ctx context.Context, s expression.Scope) (map[string]any, error) {
	args := make(map[string]any, len(a.given))
	one, ok := a.given[whole]
	if !ok {
		return args, nil
	}
	value, err := one.value.RenderPlain(ctx, s)
	if err != nil {
		return nil, err
	}
	if reason, ok := unknownIn(value); ok {
		return nil, &UnknownError{Reason: reason}
	}
	mapping, ok := value.(map[string]any)
	if !ok {
		return nil, diag.New(one.where, "arguments must be a mapping, not %s", shown(value))
	}
	for name, value := range mapping {
		if value, omitted := scope.WithoutOmitted(value); !omitted {
			args[name] = value
		}
	}
	return args, nil
}

// JSON renders one of the arguments and writes it as to_json does, with its keys
// in the order in which they were written.
func (a *Arguments) JSON(ctx context.Context, s expression.Scope, name string) (string, error) {
	value, err := a.given[name].value.Render(ctx, s)
	if err != nil {
		return "", err
	}
	return expression.JSON(ctx, value)
}

// unknownIn looks for an Unknown at any depth.
func unknownIn(value any) (reason string, ok bool) {
	switch v := value.(type) {
	case expression.Unknown:
		return v.Reason, true
	case []any:
		for _, item := range v {
			if reason, ok := unknownIn(item); ok {
				return reason, true
			}
		}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			if reason, ok := unknownIn(v[key]); ok {
				return reason, true
			}
		}
	}
	return "", false
}
