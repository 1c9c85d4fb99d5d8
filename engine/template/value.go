package template

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// Value is a value with templates in it, compiled: the strings at any depth are
// read once and rendered for each host and each loop item. Text tagged !unsafe
// and text without {{, {% or {# stands as it is. It is immutable and safe for
// concurrent use.
type Value struct {
	constant   any
	expression *expression.Expression // a text that is one {{ expression }}
	suffix     string                 // what follows it, when its value is text
	template   *Template              // a text with more in it
	items      []*Value
	keys       []*Value // of a mapping, beside items
	kind       valueKind
	at         diag.Range
}

type valueKind int

const (
	constantValue valueKind = iota
	textValue
	listValue
	mappingValue
)

// IsTemplate reports whether text would be rendered at all.
func IsTemplate(text string) bool {
	return strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#")
}

// CompileValue compiles everything in a node, keys included. The error is a
// diag.List with all that is wrong.
func CompileValue(env *expression.Environment, node *syntax.Node) (*Value, error) {
	c := compiler{env: env}
	v := c.node(node)
	return v, c.faults.ErrorOrNil()
}

// CompileAny is CompileValue for values that do not come from YAML: a variable
// from the command line, a default. at is the place that findings name.
func CompileAny(env *expression.Environment, value any, at diag.Range) (*Value, error) {
	c := compiler{env: env}
	v := c.any(value, at)
	return v, c.faults.ErrorOrNil()
}

// CompileString is CompileValue for one text. at finds the place of its parts.
func CompileString(env *expression.Environment, text string, at diag.Locator) (*Value, error) {
	c := compiler{env: env}
	v := c.text(text, at)
	return v, c.faults.ErrorOrNil()
}

type compiler struct {
	env    *expression.Environment
	faults diag.List
}

func (c *compiler) node(n *syntax.Node) *Value {
	switch n.Kind {
	case syntax.Sequence:
		v := &Value{kind: listValue, at: n.Range}
		for _, item := range n.Items {
			v.items = append(v.items, c.node(item))
		}
		return v.fold()
	case syntax.Mapping:
		v := &Value{kind: mappingValue, at: n.Range}
		for _, entry := range n.Entries {
			v.keys = append(v.keys, c.text(entry.Name, entry.Key.Locator()))
			v.items = append(v.items, c.node(entry.Value))
		}
		return v.fold()
	case syntax.String:
		if n.Tag == "" {
			return c.text(n.Text, n.Locator())
		}
	case syntax.Null, syntax.Bool, syntax.Int, syntax.Float:
	}
	value, err := n.Decode()
	c.faults.AddError(n.Range, err)
	return &Value{constant: value, at: n.Range}
}

func (c *compiler) any(value any, at diag.Range) *Value {
	switch value := expression.Normalize(value).(type) {
	case string:
		return c.text(value, diag.Fixed(at))
	case []any:
		v := &Value{kind: listValue, at: at}
		for _, item := range value {
			v.items = append(v.items, c.any(item, at))
		}
		return v.fold()
	case map[string]any:
		v := &Value{kind: mappingValue, at: at}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			v.keys = append(v.keys, &Value{constant: key, at: at})
			v.items = append(v.items, c.any(value[key], at))
		}
		return v.fold()
	case *expression.Dict:
		v := &Value{kind: mappingValue, at: at}
		for key, item := range value.All() {
			v.keys = append(v.keys, &Value{constant: key, at: at})
			v.items = append(v.items, c.any(item, at))
		}
		return v.fold()
	default:
		return &Value{constant: value, at: at}
	}
}

// fold makes a constant of a collection whose parts all are.
func (v *Value) fold() *Value {
	all := slices.Concat(v.keys, v.items)
	if slices.ContainsFunc(all, func(part *Value) bool { return part.kind != constantValue }) {
		return v
	}
	var constant any
	if v.kind == listValue {
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = item.constant
		}
		constant = list
	} else {
		d := expression.NewDict(len(v.keys))
		for i, key := range v.keys {
			d.Set(expression.Text(key.constant), v.items[i].constant)
		}
		constant = d
	}
	return &Value{constant: constant, at: v.at}
}

func (c *compiler) text(text string, at diag.Locator) *Value {
	whole := at.At(0, len(text))
	if !IsTemplate(text) {
		return &Value{constant: text, at: whole}
	}
	v := &Value{kind: textValue, at: whole}
	err := c.lone(v, text, at)
	if v.expression == nil && err == nil {
		v.template, err = Compile(c.env, text, at, ForStrings())
	}
	c.faults.AddError(whole, err)
	return v
}

// lone compiles a text that is exactly one {{ expression }}. A line break behind it
// is left out of {{ name }} and of what a text filter made, as in Ansible: a number
// or a list stays one even in a block of one line (|), while text keeps the break.
func (c *compiler) lone(v *Value, text string, at diag.Locator) error {
	bare, broken := strings.CutSuffix(text, "\n")
	inner, offset, ok := single(bare)
	if !ok {
		return nil
	}
	compiled, err := c.env.CompileWith(inner, at.Shift(offset), expression.Settings{LiteralBackslashes: true})
	if err != nil {
		return err
	}
	if !broken || name().MatchString(strings.TrimSpace(bare[2:len(bare)-2])) || isTextFilter(compiled) {
		v.expression, v.suffix = compiled, text[len(bare):]
	}
	return nil
}

// single recognises a text that is exactly one {{ expression }}; it then keeps
// the expression's type.
func single(text string) (inner string, offset int, ok bool) {
	l := lexer{source: text, marks: standard}
	if !strings.HasPrefix(text, "{{") || !strings.HasSuffix(text, "}}") || l.run() != nil {
		return "", 0, false
	}
	if len(l.parts) != 1 || l.parts[0].kind != outputPart {
		return "", 0, false
	}
	return l.parts[0].text, l.parts[0].start, true
}

// IsConstant reports whether rendering needs no scope.
func (v *Value) IsConstant() bool { return v.kind == constantValue }

// Variables lists the names the value takes from its scope, sorted.
func (v *Value) Variables() []string {
	names := map[string]bool{}
	v.variables(names)
	return slices.Sorted(maps.Keys(names))
}

func (v *Value) variables(into map[string]bool) {
	var names []string
	if v.expression != nil {
		names = v.expression.Variables()
	}
	if v.template != nil {
		names = v.template.names
	}
	for _, name := range names {
		into[name] = true
	}
	for _, part := range slices.Concat(v.keys, v.items) {
		part.variables(into)
	}
}

// Render gives the value with its templates filled in; mappings are
// *expression.Dict, in the order of the file. The result must not be changed.
//
// A string that is exactly one {{ expression }} keeps the expression's type.
// Text that comes out of a template stays text, but for Ansible's rule that what
// reads as a Python list, mapping or boolean becomes one, unless the filters
// string, to_json or to_yaml made it. Where a part is an expression.Unknown,
// that part is one, and the rest is as it is.
func (v *Value) Render(ctx context.Context, scope expression.Scope) (any, error) {
	switch v.kind {
	case textValue:
		return v.renderText(ctx, scope)
	case listValue:
		list := make([]any, len(v.items))
		for i, item := range v.items {
			value, err := item.Render(ctx, scope)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return withoutOmitted(list), nil
	case mappingValue:
		return v.renderMapping(ctx, scope)
	default:
		return v.constant, nil
	}
}

func (v *Value) renderText(ctx context.Context, scope expression.Scope) (any, error) {
	if v.expression != nil {
		value, err := v.expression.Value(ctx, scope)
		made, isText := value.(string)
		switch {
		case !isText:
			return value, err
		case isTextFilter(v.expression):
			return made + v.suffix, err
		}
		return Literal(made + v.suffix), err
	}
	text, unknown, err := v.template.render(ctx, scope)
	if err != nil {
		return nil, err
	}
	if unknown != nil {
		return *unknown, nil
	}
	value := Literal(text)
	if made, isText := value.(string); isText {
		value = v.template.withBreaks(made)
	}
	return value, nil
}

// textFilters make text that stays text, whatever it looks like.
var textFilters = []string{"string", "to_json", "to_nice_json", "to_yaml", "to_nice_yaml"}

func isTextFilter(e *expression.Expression) bool {
	return slices.Contains(textFilters, e.OutermostFilter())
}

// Literal is Ansible's rule for text that a template made: if it reads as a list,
// a mapping or a boolean, it is one. Nothing is evaluated.
func Literal(text string) any {
	if text == "True" || text == "False" {
		return text == "True"
	}
	if !strings.HasPrefix(text, "[") && (!strings.HasPrefix(text, "{") || strings.HasPrefix(text, "{{")) {
		return text
	}
	value, err := expression.Literal(text)
	if err != nil { // it only begins like one
		return text
	}
	return value
}

func (v *Value) renderMapping(ctx context.Context, scope expression.Scope) (any, error) {
	d := expression.NewDict(len(v.keys))
	for i, key := range v.keys {
		name, err := key.Render(ctx, scope)
		if err != nil {
			return nil, err
		}
		if u, ok := name.(expression.Unknown); ok {
			return u, nil
		}
		value, err := v.items[i].Render(ctx, scope)
		if err != nil {
			return nil, err
		}
		if _, left := value.(expression.Omitted); !left {
			d.Set(expression.Text(name), value)
		}
	}
	return d, nil
}

// withoutOmitted drops the items that are `omit`.
func withoutOmitted(list []any) []any {
	return slices.DeleteFunc(list, func(item any) bool {
		_, left := item.(expression.Omitted)
		return left
	})
}

// RenderPlain is Render with plain Go mappings (map[string]any), as the
// arguments of modules want them. The result is the caller's own.
func (v *Value) RenderPlain(ctx context.Context, scope expression.Scope) (any, error) {
	value, err := v.Render(ctx, scope)
	if err != nil {
		return nil, err
	}
	return expression.Plain(ctx, value)
}
