package expression

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// parameters is a parsed signature.
type parameters struct {
	names       []string
	defaults    []any
	required    []bool
	positional  int // those that may be given without their name: all before *rest
	rest, named bool
}

// parseSignature reads "a, b=1, *rest, **named".
func parseSignature(signature string) (*parameters, error) {
	p := &parameters{}
	if strings.TrimSpace(signature) == "" {
		return p, nil
	}
	parts, err := splitCommas(signature)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		name, fallback, optional := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case strings.HasPrefix(name, "**"):
			p.named = true
			continue
		case strings.HasPrefix(name, "*"):
			p.rest, p.positional = true, len(p.names)
			continue
		}
		var value any
		if optional {
			root, err := parse(fallback, false)
			if err != nil {
				return nil, fmt.Errorf("default of %s: %w", name, err)
			}
			if value, err = constant(root); err != nil {
				return nil, fmt.Errorf("default of %s: %w", name, err)
			}
		}
		p.names = append(p.names, name)
		p.defaults = append(p.defaults, value)
		p.required = append(p.required, !optional)
	}
	if !p.rest {
		p.positional = len(p.names)
	}
	return p, nil
}

func splitCommas(signature string) ([]string, error) {
	words, err := Words(signature)
	if err != nil {
		return nil, err
	}
	var parts []string
	at := 0
	for _, word := range words {
		if word.Text == "," && word.Depth == 0 {
			parts, at = append(parts, signature[at:word.Start]), word.End
		}
	}
	return append(parts, signature[at:]), nil
}

// constant is the value of a literal: of text, numbers, lists and mappings.
func constant(n *node) (any, error) {
	switch n.kind {
	case literalNode:
		return n.value, nil
	case unaryNode:
		value, err := constant(n.children[0])
		if err != nil || n.name != "-" {
			return value, err
		}
		return arithmetic("-", 0, value)
	case listNode:
		list := make([]any, len(n.children))
		for i, child := range n.children {
			value, err := constant(child)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case dictNode:
		d := NewDict(len(n.children) / 2)
		for pair := range slices.Chunk(n.children, 2) {
			key, err := constant(pair[0])
			if err != nil {
				return nil, err
			}
			value, err := constant(pair[1])
			if err != nil {
				return nil, err
			}
			d.Set(keyText(key), value)
		}
		return d, nil
	default:
		return nil, errors.New("not a constant")
	}
}

// Literal reads text that is a Python or JSON literal: a list, a mapping, text,
// a number, true, false or none. Nothing in it is evaluated.
func Literal(text string) (any, error) {
	root, err := parse(text, false)
	if err != nil {
		return nil, err
	}
	return constant(root)
}

// site is a place in an expression at which an operation is called, with what is
// known of the call beforehand.
type site struct {
	start, end int
	node       *node
	name       string
	definition *Definition
	names      []string // of the arguments; nil when all are positional
}

// bind sorts values into the parameters. names is nil when all are positional.
func (p *parameters) bind(c *Call, values []any, names []string) error {
	if names == nil && len(values) == len(p.names) && len(values) == p.positional {
		c.Args = values
		return nil
	}
	c.Args = make([]any, len(p.names))
	given := make([]bool, len(p.names))
	position := 0
	for i, value := range values {
		if names != nil && names[i] != "" {
			if err := p.bindNamed(c, given, names[i], value); err != nil {
				return err
			}
			continue
		}
		switch {
		case position < p.positional:
			c.Args[position], given[position] = value, true
		case p.rest:
			c.Rest = append(c.Rest, value)
		default:
			return &argumentError{message: p.tooMany()}
		}
		position++
	}
	for i := range p.names {
		if given[i] {
			continue
		}
		if p.required[i] {
			return &argumentError{message: fmt.Sprintf("the argument %q is missing", p.names[i])}
		}
		c.Args[i] = p.defaults[i]
	}
	return nil
}

func (p *parameters) tooMany() string {
	switch len(p.names) {
	case 0:
		return "it takes no arguments"
	case 1:
		return fmt.Sprintf("it takes one argument (%s)", p.names[0])
	}
	return fmt.Sprintf("it takes at most %d arguments (%s)", len(p.names), strings.Join(p.names, ", "))
}

func (p *parameters) bindNamed(c *Call, given []bool, name string, value any) error {
	i := slices.Index(p.names, name)
	switch {
	case i >= 0 && given[i]:
		return &argumentError{message: fmt.Sprintf("the argument %q is given twice", name)}
	case i >= 0:
		c.Args[i], given[i] = value, true
	case p.named:
		if c.Named == nil {
			c.Named = map[string]any{}
		}
		c.Named[name] = value
	default:
		return &argumentError{message: fmt.Sprintf("unknown argument %q", name), hint: diag.DidYouMean(name, p.names)}
	}
	return nil
}

// argumentError says that a call does not fit its signature.
type argumentError struct{ message, hint string }

func (e *argumentError) Error() string { return e.message }

// spread replaces *list and **mapping by what they hold.
func (f *frame) spread(values []any, names []string) ([]any, []string, error) {
	if !slices.Contains(names, "*") && !slices.Contains(names, "**") {
		return values, names, nil
	}
	var flat []any
	var flatNames []string
	for i, value := range values {
		switch names[i] {
		case "*":
			items, err := f.iterate(value)
			if err != nil {
				return nil, nil, err
			}
			for _, item := range items {
				flat, flatNames = append(flat, item), append(flatNames, "")
			}
		case "**":
			if !isMapping(value) {
				return nil, nil, &argumentError{message: "** needs a mapping, found " + nameWithArticle(value)}
			}
			for key, entry := range entries(f.ctx, value) {
				if entry.err != nil {
					return nil, nil, entry.err
				}
				flat, flatNames = append(flat, entry.value), append(flatNames, key)
			}
		default:
			flat, flatNames = append(flat, value), append(flatNames, names[i])
		}
	}
	return flat, flatNames, nil
}

// invoke calls a definition with the values of a site.
func (f *frame) invoke(s *site, d *Definition, input any, values []any, names []string) (any, error) {
	if names != nil {
		var err error
		if values, names, err = f.spread(values, names); err != nil {
			return nil, err
		}
	}
	if !d.TakesUndefined {
		input = emptied(input)
		for i, value := range values {
			values[i] = emptied(value)
		}
	}
	if mark, err := f.screen(d, input, values); mark != nil || err != nil {
		return mark, err
	}
	c := &Call{Name: s.name, Input: input, frame: f, site: s}
	if err := d.parameters.bind(c, values, names); err != nil {
		return nil, err
	}
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.tooEarly(f.ctx); err != nil {
		return nil, err
	}
	value, err := d.Function(c)
	return Normalize(value), err
}

// screen keeps the marks from functions that do not take them: an Unknown makes
// the result unknown, an Undefined is an error.
func (f *frame) screen(d *Definition, input any, values []any) (mark any, err error) {
	if !d.TakesUnknown {
		if u := findUnknown(input); u != nil {
			return *u, nil
		}
		for _, value := range values {
			if u := findUnknown(value); u != nil {
				return *u, nil
			}
		}
	}
	if d.TakesUndefined {
		return nil, nil
	}
	if u, ok := input.(*Undefined); ok {
		return nil, undefinedError(u)
	}
	for _, value := range values {
		if u, ok := value.(*Undefined); ok {
			return nil, undefinedError(u)
		}
	}
	return nil, nil
}

// findUnknown looks for an Unknown in a value, at any depth.
func findUnknown(v any) *Unknown {
	switch v := v.(type) {
	case Unknown:
		return &v
	case []any:
		for _, item := range v {
			if u := findUnknown(item); u != nil {
				return u
			}
		}
	case map[string]any:
		for _, item := range v {
			if u := findUnknown(item); u != nil {
				return u
			}
		}
	case *Dict:
		for _, item := range v.values {
			if u := findUnknown(item); u != nil {
				return u
			}
		}
	}
	return nil
}

func findUndefined(v any) *Undefined {
	switch v := v.(type) {
	case *Undefined:
		if !v.lenient {
			return v
		}
	case []any:
		for _, item := range v {
			if u := findUndefined(item); u != nil {
				return u
			}
		}
	case map[string]any:
		for _, item := range v {
			if u := findUndefined(item); u != nil {
				return u
			}
		}
	case *Dict:
		for _, item := range v.values {
			if u := findUndefined(item); u != nil {
				return u
			}
		}
	}
	return nil
}
