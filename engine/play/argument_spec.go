package play

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// ArgumentSpec is one entry point of a role's meta/argument_specs.yml.
type ArgumentSpec struct {
	Range   diag.Range
	Role    string
	Entry   string // "main"
	options []argumentOption
}

// argumentOption is one variable that the role takes.
type argumentOption struct {
	name        string
	at          diag.Range
	kind        string // str, bool, …
	elements    string
	required    bool
	choices     []any
	description string
	options     []argumentOption // of a dict, or of each element of a list
}

var argumentKinds = []string{"str", "bool", "int", "float", "list", "dict", "path", "raw"}

// argumentSpec gives the task that checks a role's arguments before its others,
// when the role describes them; nil when it does not.
func (l *loader) argumentSpec(r *Role, m meta, entry string, around surroundings) Step {
	if m.specs == nil {
		return nil
	}
	entry = cmp.Or(entry, "main")
	fields, err := m.specs.Fields()
	if err != nil {
		l.addError(m.specs.Range, err)
		return nil
	}
	node, ok := fields.Get(entry)
	if !ok {
		return nil
	}
	f, err := node.Fields()
	if err != nil {
		l.addError(node.Range, err)
		return nil
	}
	*l.found = append(*l.found, f.Unknown("short_description", "description", "author", "version_added", "options", "seealso", "notes", "examples")...)
	spec := &ArgumentSpec{Range: fields.Key(entry).Range, Role: r.Name, Entry: entry}
	if options, ok := f.Get("options"); ok {
		spec.options = l.argumentOptions(options)
	}
	l.lastID++
	t := &Task{
		ID: l.lastID, Name: "Validate the arguments of " + r.Name, Module: "validate_argument_spec", Range: spec.Range,
		Role: r, Action: ValidateArgs, ArgumentSpec: spec, Layers: around.layers, Inherited: around.inherited,
		Args: &Arguments{Range: spec.Range}, files: &fileSearch{loader: l, role: r, dir: around.dir, home: around.home},
	}
	t.LoopControl.Var = "item"
	if !slices.Contains(t.Tags, tagAlways) {
		t.Tags = append(slices.Clone(t.Tags), tagAlways)
	}
	return t
}

func (l *loader) argumentOptions(n *syntax.Node) []argumentOption {
	if n.Kind == syntax.Null {
		return nil
	}
	fields, err := n.Fields()
	if err != nil {
		l.addError(n.Range, err)
		return nil
	}
	var options []argumentOption
	for _, entry := range fields.Node.Entries {
		f, err := entry.Value.Fields()
		if err != nil {
			l.addError(entry.Value.Range, err)
			continue
		}
		options = append(options, l.argumentOption(entry, f))
	}
	return options
}

func (l *loader) argumentOption(entry syntax.Entry, f *syntax.Fields) argumentOption {
	o := argumentOption{name: entry.Name, at: entry.Key.Range, kind: "str"}
	l.checkKeywords(f, "an option", []string{"type", "required", "choices", "description", "elements", "options", "default", "version_added"},
		[]string{"no_log", "apply_defaults", "aliases", "mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by", "deprecated", "removed_in_version"})
	if node, ok := f.Get("type"); ok {
		o.kind = l.argumentKind(node)
	}
	if node, ok := f.Get("elements"); ok {
		o.elements = l.argumentKind(node)
	}
	if node, ok := f.Get("required"); ok {
		required, err := node.AsBool()
		l.addError(node.Range, err)
		o.required = required
	}
	if node, ok := f.Get("choices"); ok {
		value, err := node.Decode()
		l.addError(node.Range, err)
		o.choices, _ = value.([]any)
	}
	if node, ok := f.Get("description"); ok {
		texts, err := node.AsStrings()
		l.addError(node.Range, err)
		o.description = strings.Join(texts, " ")
	}
	if node, ok := f.Get("options"); ok {
		o.options = l.argumentOptions(node)
	}
	return o
}

func (l *loader) argumentKind(n *syntax.Node) string {
	kind, ok := l.literalText(n, "type")
	if ok && !slices.Contains(argumentKinds, kind) {
		l.add(n.Errorf("there is no type %s; it is one of %s", kind, strings.Join(argumentKinds, ", ")).
			WithHint(diag.DidYouMean(kind, argumentKinds)))
	}
	return kind
}

// Check holds the role's arguments, as the scope has them, against the
// specification, and reports every fault. What check mode cannot know passes.
func (a *ArgumentSpec) Check(ctx context.Context, s expression.Scope) diag.List {
	var found diag.List
	for _, o := range a.options {
		value, ok, err := s.Lookup(ctx, o.name)
		if err != nil {
			found.AddError(o.at, err)
			continue
		}
		a.check(ctx, o, o.name, value, ok, &found)
	}
	return found
}

func (a *ArgumentSpec) check(ctx context.Context, o argumentOption, name string, value any, given bool, found *diag.List) {
	value = expression.Normalize(value)
	if !given || value == nil && o.kind != "raw" {
		if o.required {
			found.Add(diag.New(o.at, "the role %s needs the variable %s", a.Role, name).WithHint(o.description))
		}
		return
	}
	if _, unknown := value.(expression.Unknown); unknown {
		return
	}
	if !fits(o.kind, value) {
		found.Add(diag.New(o.at, "the variable %s of the role %s must be %s, is %s", name, a.Role, kindNames[o.kind], shown(value)).WithHint(o.description))
		return
	}
	if len(o.choices) > 0 && !a.isChoice(o, value) {
		found.Add(diag.New(o.at, "the variable %s of the role %s is %s, and must be one of %s", name, a.Role, shown(value), listed(o.choices)))
	}
	a.checkInside(ctx, o, name, value, found)
}

func (a *ArgumentSpec) checkInside(ctx context.Context, o argumentOption, name string, value any, found *diag.List) {
	if o.kind == "list" {
		inner := argumentOption{kind: cmp.Or(o.elements, "raw"), at: o.at, options: o.options}
		for i, item := range asList(value) {
			a.check(ctx, inner, fmt.Sprintf("%s[%d]", name, i), item, true, found)
		}
		return
	}
	if o.kind != "dict" || len(o.options) == 0 {
		return
	}
	entries := map[string]any{}
	if err := lookup.Pairs(ctx, value, func(key string, one any) { entries[key] = one }); err != nil {
		found.AddError(o.at, err)
		return
	}
	var known []string
	for _, inner := range o.options {
		one, given := entries[inner.name]
		a.check(ctx, inner, name+"."+inner.name, one, given, found)
		known = append(known, inner.name)
	}
	for _, key := range sortedKeys(entries) {
		if !slices.Contains(known, key) {
			found.Add(diag.New(o.at, "the variable %s of the role %s has no key %s", name, a.Role, key).WithHint(diag.DidYouMean(key, known)))
		}
	}
}

func (a *ArgumentSpec) isChoice(o argumentOption, value any) bool {
	values := []any{value}
	if o.kind == "list" {
		values = asList(value)
	}
	for _, one := range values {
		if !slices.ContainsFunc(o.choices, func(choice any) bool { return expression.Text(choice) == expression.Text(one) }) {
			return false
		}
	}
	return true
}

func listed(values []any) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = expression.Text(value)
	}
	return strings.Join(texts, ", ")
}

var kindNames = map[string]string{
	"str": "text", "bool": "yes or no", "int": "a whole number", "float": "a number", "list": "a list", "dict": "a mapping", "path": "a path", "raw": "anything",
}

// fits reports whether Ansible would take the value for that type: text of a
// number is a number, and a single value is a list of one.
func fits(kind string, value any) bool {
	var err error
	switch kind {
	case "bool":
		_, err = asBool(value)
	case "int":
		_, err = asInt(value)
	case "float":
		_, err = asNumber(value)
	case "str", "path":
		_, err = asText(value)
	case "list":
		_, isText := value.(string)
		_, isNumber := value.(int)
		_, isList := value.([]any)
		return isList || isText || isNumber
	case "dict":
		switch value.(type) {
		case map[string]any, *expression.Dict, expression.Object:
			return true
		}
		return false
	}
	return err == nil
}
