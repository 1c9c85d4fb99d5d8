package expression

import (
	"context"
	"errors"
	"maps"
	"slices"
)

// What templates need beyond expressions: the words of a statement, text of a
// result, and the values that change while a template is rendered.

// Word is a word of an expression, as the lexer cuts it.
type Word struct {
	Text       string // as written
	Start, End int    // byte offsets
	Depth      int    // of brackets around it
	Name       bool   // a name or keyword
}

// Words cuts source as an expression, for statements such as
// `for a in b if c` whose parts are expressions. The error is a diag.Diagnostic
// without a place unless at is given.
func Words(source string) ([]Word, error) {
	tokens, err := lex(source, false)
	if err != nil {
		return nil, err
	}
	words := make([]Word, 0, len(tokens))
	depth := 0
	for _, t := range tokens[:len(tokens)-1] {
		if t.kind == operatorToken && (t.text == ")" || t.text == "]" || t.text == "}") {
			depth--
		}
		words = append(words, Word{Text: source[t.start:t.end], Start: t.start, End: t.end, Depth: depth, Name: t.kind == nameToken})
		if t.kind == operatorToken && (t.text == "(" || t.text == "[" || t.text == "{") {
			depth++
		}
	}
	return words, nil
}

// Text is Evaluate for output: the result as text, nothing for none. unknown is
// set when the result is, or holds, an Unknown.
func (e *Expression) Text(ctx context.Context, scope Scope) (text string, unknown *Unknown, err error) {
	value, err := e.Evaluate(ctx, scope)
	if err != nil || value == nil {
		return "", nil, err
	}
	f := &frame{ctx: ctx, scope: scope, at: e.at, expression: e}
	result, err := f.textOf(value)
	if err != nil {
		return "", nil, f.report(err)
	}
	if u, ok := result.(Unknown); ok {
		return "", &u, nil
	}
	return result.(string), nil, nil
}

// Items is Evaluate for loops: what the result holds, in order.
func (e *Expression) Items(ctx context.Context, scope Scope) (items []any, unknown *Unknown, err error) {
	value, err := e.Evaluate(ctx, scope)
	if err != nil {
		return nil, nil, err
	}
	if u, ok := value.(Unknown); ok {
		return nil, &u, nil
	}
	f := &frame{ctx: ctx, scope: scope, at: e.at, expression: e}
	if items, err = f.iterate(value); err != nil {
		return nil, nil, f.report(&fault{end: len(e.source), err: err})
	}
	return items, nil, nil
}

// FindUnknown looks for an Unknown in a value, at any depth; nil when there is
// none.
func FindUnknown(v any) *Unknown { return findUnknown(v) }

// Namespace is Jinja's namespace(): the one value that a template may change,
// with {% set ns.name = value %}. It belongs to one rendering and one goroutine.
type Namespace struct{ values *Dict }

// Get implements Object.
func (n *Namespace) Get(_ context.Context, key string) (any, bool, error) {
	value, ok := n.values.Get(key)
	return value, ok, nil
}

// Keys implements Object.
func (n *Namespace) Keys() []string { return n.values.Keys() }

// Set changes an entry.
func (n *Namespace) Set(key string, value any) { n.values.Set(key, value) }

// joiner gives nothing the first time and its separator from then on.
type joiner struct {
	separator any
	used      bool
}

func (j *joiner) Call(*Call) (any, error) {
	if !j.used {
		j.used = true
		return "", nil
	}
	return j.separator, nil
}

// cycler gives its items in turn.
type cycler struct {
	items []any
	at    int
}

func cyclerFunction(c *Call) (any, error) {
	if len(c.Rest) == 0 {
		return nil, errors.New("at least one item is needed")
	}
	return &cycler{items: slices.Clone(c.Rest)}, nil
}

// Get implements Object.
func (c *cycler) Get(_ context.Context, key string) (any, bool, error) {
	switch key {
	case "current":
		return c.items[c.at], true, nil
	case "next":
		return Native(func(*Call) (any, error) {
			item := c.items[c.at]
			c.at = (c.at + 1) % len(c.items)
			return item, nil
		}), true, nil
	case "reset":
		return Native(func(*Call) (any, error) {
			c.at = 0
			return nil, nil
		}), true, nil
	}
	return nil, false, nil
}

// Keys implements Object.
func (c *cycler) Keys() []string { return []string{"current", "next", "reset"} }

// Native is a Go function as a Callable. Positional arguments come as Rest.
type Native func(c *Call) (any, error)

// Call implements Callable.
func (f Native) Call(c *Call) (any, error) { return f(c) }

// Bind sorts the arguments of a Callable's call into parameters, as Python does:
// names[i] takes defaults[i] when it is not given. What is left over stays in
// Rest and Named.
func (c *Call) Bind(names []string, defaults []any) ([]any, error) {
	values := slices.Clone(defaults)
	taken := make([]bool, len(names))
	count := min(len(c.Rest), len(names))
	for i := range count {
		values[i], taken[i] = c.Rest[i], true
	}
	c.Rest = c.Rest[count:]
	left := maps.Clone(c.Named)
	for i, name := range names {
		value, given := left[name]
		if !given {
			continue
		}
		if taken[i] {
			return nil, &argumentError{message: "the argument '" + name + "' is given twice"}
		}
		values[i] = value
		delete(left, name)
	}
	c.Named = left
	return values, nil
}

// Argument is the Undefined that stands for a macro's parameter without a value.
func (c *Call) Argument(name string) *Undefined {
	return &Undefined{Name: name, Hint: says("the macro was called without it"), site: c.site}
}
