// Package template renders text with {{ }}, {% %} and {# #}, on the expressions
// of engine/expression, with Jinja2's syntax and Ansible's settings.
package template

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// Files finds the templates named by include, import and extends.
type Files interface {
	// ReadTemplate gives the text of a template and the name of its file, for
	// findings. An error says what was looked for and where.
	ReadTemplate(ctx context.Context, name string) (file, text string, err error)
}

// Options are a template's settings. The zero value is Ansible's for strings in
// playbooks; ForFiles gives those of the template module.
type Options struct {
	TrimBlocks          bool  // drop the line break after a {% %}
	LstripBlocks        bool  // drop the blanks before a {% %} that begins its line
	KeepTrailingNewline bool  // keep the line break that ends the text
	Files               Files // nil: include, import and extends are refused
}

// ForFiles are the template module's defaults.
func ForFiles(files Files) Options {
	return Options{TrimBlocks: true, KeepTrailingNewline: true, Files: files}
}

// Template is compiled text, immutable and safe for concurrent use.
type Template struct {
	options Options
}

// Compile reads a template. at finds the place of a part of text in its file.
// The error is a diag.Diagnostic or a diag.List.
func Compile(env *expression.Environment, text string, at diag.Locator, options Options) (*Template, error) {
	return nil, diag.New(at.At(0, len(text)), "templates are not built yet")
}

// Variables lists the names the template takes from its scope, sorted.
func (t *Template) Variables() []string { return nil }

// Render gives the text. When it depends on an expression.Unknown, the text is
// empty and unknown is set. Errors are diag.Diagnostic.
func (t *Template) Render(ctx context.Context, scope expression.Scope) (text string, unknown *expression.Unknown, err error) {
	return "", nil, nil
}

// Value is a YAML value, compiled: the templates in its strings, at any depth,
// are read once and rendered for each host and each loop item. Text tagged
// !unsafe and text without {{, {% or {# stands as it is. It is immutable and
// safe for concurrent use.
type Value struct{}

// CompileValue compiles everything in a node. The error is a diag.List with all
// that is wrong.
func CompileValue(env *expression.Environment, node *syntax.Node) (*Value, error) {
	return nil, node.Errorf("templates are not built yet")
}

// CompileAny is CompileValue for values that do not come from YAML (a variable
// from the command line, a default in a module's specification).
func CompileAny(env *expression.Environment, value any, at diag.Range) (*Value, error) {
	return nil, diag.New(at, "templates are not built yet")
}

// IsConstant reports whether rendering needs no scope.
func (v *Value) IsConstant() bool { return false }

// Variables lists the names the value takes from its scope, sorted.
func (v *Value) Variables() []string { return nil }

// Render gives the value with its templates filled in. A string that is exactly
// one {{ expression }} keeps the expression's type; mappings are
// *expression.Dict, in the order of the file. Where a part is an
// expression.Unknown, that part is one, and the rest is as it is.
func (v *Value) Render(ctx context.Context, scope expression.Scope) (any, error) {
	return nil, nil
}

// RenderPlain is Render with plain Go mappings (map[string]any), as the
// arguments of modules want them.
func (v *Value) RenderPlain(ctx context.Context, scope expression.Scope) (any, error) {
	return nil, nil
}
