// Package template renders text with {{ }}, {% %} and {# #} on the expressions
// of engine/expression, with Jinja2's syntax and Ansible's settings. Its Value
// does the same for whole YAML values: a task's arguments, a variable.
//
// What a template made is never read as a template again.
package template

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

// ErrNoTemplate is what Files gives for a name under which there is nothing.
var ErrNoTemplate = errors.New("there is no such template")

// Files finds the templates named by include and import.
type Files interface {
	// ReadTemplate gives the text of a template and the name of its file, for
	// findings. It wraps ErrNoTemplate when there is none, and says where it
	// looked. It is called while rendering, once per use.
	ReadTemplate(ctx context.Context, name string) (file, text string, err error)
}

// Options are a template's settings: ForStrings gives Ansible's for text in
// playbooks, ForFiles those of the template module.
//
// The line breaks that end a template are kept, whatever tags stand before them;
// an included file loses its last one.
type Options struct {
	TrimBlocks   bool  // drop the line break behind a {% %}
	LstripBlocks bool  // drop the blanks before a {% %} that begins its line
	Escapes      bool  // in {{ }}, '\n' is a line break; else a backslash is one
	Files        Files // nil: include and import are refused, and so are calls of what is not known

	// The marks, where they differ from {{ }}, {% %} and {# #}.
	VariableStart, VariableEnd string
	BlockStart, BlockEnd       string
	CommentStart, CommentEnd   string

	Newline string // what a line break of the text becomes; "" for one of Unix
}

// ForStrings are the settings of text in playbooks.
func ForStrings() Options { return Options{TrimBlocks: true} }

// ForFiles are the template module's settings.
func ForFiles(files Files) Options { return Options{TrimBlocks: true, Escapes: true, Files: files} }

func (o Options) marks() delimiters {
	or := func(given, usual string) string {
		if given != "" {
			return given
		}
		return usual
	}
	return delimiters{
		or(o.VariableStart, standard.outputStart), or(o.VariableEnd, standard.outputEnd),
		or(o.BlockStart, standard.statementStart), or(o.BlockEnd, standard.statementEnd),
		or(o.CommentStart, standard.commentStart), or(o.CommentEnd, standard.commentEnd),
	}
}

// Template is compiled text, immutable and safe for concurrent use.
type Template struct {
	env     *expression.Environment
	options Options
	nodes   []renderer
	blocks  map[string]*namedBlock
	names   []string
	breaks  int // line breaks at the end of the text
}

// Compile reads a template. at finds the place of a part of text in its file.
// The error is a diag.Diagnostic or a diag.List. A first line `#jinja2: …`
// changes the options, as in Ansible.
func Compile(env *expression.Environment, text string, at diag.Locator, options Options) (*Template, error) {
	options, body, err := override(options, text, at)
	if err != nil {
		return nil, err
	}
	at = at.Shift(len(text) - len(body))
	l := lexer{source: body, marks: options.marks(), options: options, at: at}
	if err := l.run(); err != nil {
		return nil, err
	}
	dropNewline(l.parts, len(body))
	if options.Newline != "" {
		for i := range l.parts {
			if l.parts[i].kind == textPart {
				l.parts[i].text = strings.ReplaceAll(l.parts[i].text, "\n", options.Newline)
			}
		}
	}
	p := parser{env: env, at: at, options: options, parts: l.parts, defined: map[string]bool{}, used: map[string]bool{}, blocks: map[string]*namedBlock{}}
	nodes, _, err := p.body(nil)
	if err != nil {
		return nil, err
	}
	if err := p.compile(); err != nil {
		return nil, err
	}
	for _, own := range []string{bodyName, "loop", "caller", "varargs", "kwargs"} {
		delete(p.used, own)
	}
	maps.DeleteFunc(p.used, func(name string, _ bool) bool { return p.defined[name] })
	return &Template{
		env: env, options: options, nodes: nodes, blocks: p.blocks, names: slices.Sorted(maps.Keys(p.used)),
		breaks: len(body) - len(strings.TrimRight(body, "\n")),
	}, nil
}

// dropNewline takes the last line break off, as Jinja does. Render brings it back
// where Ansible does.
func dropNewline(parts []part, end int) {
	if len(parts) == 0 {
		return
	}
	last := &parts[len(parts)-1]
	if last.kind == textPart && last.end == end {
		last.text = strings.TrimSuffix(last.text, "\n")
	}
}

// override reads `#jinja2: trim_blocks: True, lstrip_blocks: True`.
func override(options Options, text string, at diag.Locator) (Options, string, error) {
	const mark = "#jinja2:"
	if !strings.HasPrefix(text, mark) {
		return options, text, nil
	}
	line, body, _ := strings.Cut(text, "\n")
	whole := at.At(0, len(line))
	for pair := range strings.SplitSeq(line[len(mark):], ",") {
		key, raw, found := strings.Cut(pair, ":")
		if !found {
			return options, "", diag.New(whole, "the line %s is written 'name: value, name: value'", mark)
		}
		value, err := expression.Literal(strings.TrimSpace(raw))
		if err == nil {
			err = options.Set(strings.TrimSpace(key), value)
		}
		if err != nil {
			return options, "", diag.New(whole, "the option '%s': %v", strings.TrimSpace(key), err)
		}
	}
	return options, body, nil
}

// Set changes the option that Jinja names key. The error says what is wrong with
// the value, or that there is no such option.
func (o *Options) Set(key string, value any) error {
	flags := map[string]*bool{"trim_blocks": &o.TrimBlocks, "lstrip_blocks": &o.LstripBlocks}
	texts := map[string]*string{
		"variable_start_string": &o.VariableStart, "variable_end_string": &o.VariableEnd,
		"block_start_string": &o.BlockStart, "block_end_string": &o.BlockEnd,
		"comment_start_string": &o.CommentStart, "comment_end_string": &o.CommentEnd,
	}
	if key == "newline_sequence" {
		o.Newline, _ = value.(string)
		if !slices.Contains([]string{"\n", "\r", "\r\n"}, o.Newline) {
			return errors.New(`expected \n, \r or \r\n`)
		}
		return nil
	}
	if key == "keep_trailing_newline" && value == true {
		return nil // it is always so
	}
	if into, ok := flags[key]; ok {
		if *into, ok = value.(bool); ok {
			return nil
		}
		return errors.New("expected True or False")
	}
	if into, ok := texts[key]; ok {
		if *into, ok = value.(string); ok && *into != "" {
			return nil
		}
		return errors.New("expected text")
	}
	return errors.New("it is not supported")
}

// Variables lists the names the template takes from its scope, sorted. Names it
// sets itself are left out; those of included files are not known.
func (t *Template) Variables() []string { return slices.Clone(t.names) }

// Render gives the text. When it depends on an expression.Unknown, the text is
// empty and unknown is set. Errors are diag.Diagnostic, or the context's.
func (t *Template) Render(ctx context.Context, scope expression.Scope) (text string, unknown *expression.Unknown, err error) {
	text, unknown, err = t.render(ctx, scope)
	if err != nil || unknown != nil {
		return "", unknown, err
	}
	return t.withBreaks(text), nil, nil
}

// withBreaks brings back the line breaks that end the template.
func (t *Template) withBreaks(text string) string {
	missing := t.breaks - (len(text) - len(strings.TrimRight(text, "\n")))
	return text + strings.Repeat(cmp.Or(t.options.Newline, "\n"), max(missing, 0))
}

func (t *Template) render(ctx context.Context, scope expression.Scope) (text string, unknown *expression.Unknown, err error) {
	r := &rendering{ctx: ctx, out: new(strings.Builder), options: t.options, env: t.env}
	err = r.run(t, newLayer(scope))
	if needed, ok := errors.AsType[errUnknown](err); ok {
		return "", &needed.unknown, nil
	}
	if err != nil {
		return "", nil, err
	}
	return r.out.String(), nil, nil
}
