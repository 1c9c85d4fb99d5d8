package lookup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/template"
)

// templateLookup renders template files with the variables of who asks.
func templateLookup(c *call) ([]any, error) {
	names, err := c.texts("names of templates")
	if err != nil {
		return nil, err
	}
	convert, err := c.flag("convert_data", true)
	if err != nil {
		return nil, err
	}
	s, err := c.templateScope()
	if err != nil {
		return nil, err
	}
	return each(names, func(name string) (any, error) {
		text, unknown, err := c.render(name, s)
		switch {
		case err != nil:
			return nil, err
		case unknown != nil:
			return *unknown, nil
		case convert:
			return template.Literal(text), nil
		}
		return text, nil
	})
}

func (c *call) render(name string, s expression.Scope) (string, *expression.Unknown, error) {
	text, f, err := c.read("templates", name)
	if err != nil {
		return "", nil, err
	}
	asker, err := AskerOf(c.scope)
	if err != nil {
		return "", nil, err
	}
	asker.Note(f, []byte(text))
	options := template.ForFiles(included{asker})
	options.VariableStart, options.VariableEnd = c.text("variable_start_string", ""), c.text("variable_end_string", "")
	options.CommentStart, options.CommentEnd = c.text("comment_start_string", ""), c.text("comment_end_string", "")
	compiled, err := template.Compile(c.environment, text, diag.InText(f.Display, text), options)
	if err != nil {
		return "", nil, err
	}
	return compiled.Render(c.ctx, s)
}

// templateScope puts the option template_vars before the variables.
func (c *call) templateScope() (expression.Scope, error) {
	given, ok := c.options["template_vars"]
	if !ok {
		return c.scope, nil
	}
	s := &overlaid{Scope: c.scope, values: expression.Variables{}}
	err := Pairs(c.ctx, given, func(name string, value any) { s.values[name] = value })
	if err != nil {
		return nil, fmt.Errorf("template_vars %w", err)
	}
	return s, nil
}

// overlaid is a scope with further values before it.
type overlaid struct {
	expression.Scope
	values expression.Variables
}

// Lookup implements expression.Scope.
func (o *overlaid) Lookup(ctx context.Context, name string) (any, bool, error) {
	if value, ok := o.values[name]; ok {
		return value, true, nil
	}
	return o.Scope.Lookup(ctx, name)
}

// Names implements expression.Scope.
func (o *overlaid) Names() []string { return append(o.Scope.Names(), o.values.Names()...) }

// Asker implements expression.Asking.
func (o *overlaid) Asker() any {
	if s, ok := o.Scope.(expression.Asking); ok {
		return s.Asker()
	}
	return nil
}

// included finds what a template includes, where the template itself is found.
type included struct{ asker Asker }

// ReadTemplate implements template.Files.
func (i included) ReadTemplate(_ context.Context, name string) (file, text string, err error) {
	f, err := i.asker.Find("templates", name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "", fmt.Errorf("%w: %w", template.ErrNoTemplate, err)
	}
	if err != nil {
		return "", "", err
	}
	data, err := i.asker.Read(f)
	if err != nil {
		return "", "", fmt.Errorf("%s: cannot be read: %s", f.Display, reason(err))
	}
	i.asker.Note(f, data)
	return f.Display, string(data), nil
}
