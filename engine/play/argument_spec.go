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
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// ArgumentSpec is one entry point of a role's meta/argument_specs.yml.
type ArgumentSpec struct {
	Range   diag.Range
	Role    string
	Entry   string // "main"
	Summary string // short_description
	Options []ArgumentOption
}

// ArgumentOption is one variable that a role takes, or one key of it.
type ArgumentOption struct {
	Name        string
	Range       diag.Range
	Type        string // str, bool, …
	Elements    string // of a list; "" when not said
	Required    bool
	Default     any // nil: none is told. It only documents the role's defaults.
	Choices     []any
	Description string
	Options     []ArgumentOption // of a dict, or of each element of a list
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
	if summary, ok := f.Get("short_description"); ok {
		spec.Summary, err = summary.AsString()
		l.addError(summary.Range, err)
	}
	if options, ok := f.Get("options"); ok {
		spec.Options = l.argumentOptions(options, r.Name)
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

func (l *loader) argumentOptions(n *syntax.Node, role string) []ArgumentOption {
	if n.Kind == syntax.Null {
		return nil
	}
	fields, err := n.Fields()
	if err != nil {
		l.addError(n.Range, err)
		return nil
	}
	var options []ArgumentOption
	for _, entry := range fields.Node.Entries {
		f, err := entry.Value.Fields()
		if err != nil {
			l.addError(entry.Value.Range, err)
			continue
		}
		options = append(options, l.argumentOption(entry, f, role))
	}
	return options
}

func (l *loader) argumentOption(entry syntax.Entry, f *syntax.Fields, role string) ArgumentOption {
	o := ArgumentOption{Name: entry.Name, Range: entry.Key.Range, Type: "str"}
	l.checkKeywords(f, "an option", []string{"type", "required", "choices", "description", "elements", "options", "default", "version_added"},
		[]string{"no_log", "apply_defaults", "aliases", "mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by", "deprecated", "removed_in_version"})
	if node, ok := f.Get("type"); ok {
		o.Type = l.argumentKind(node)
	}
	if node, ok := f.Get("elements"); ok {
		o.Elements = l.argumentKind(node)
	}
	if node, ok := f.Get("required"); ok {
		required, err := node.AsBool()
		l.addError(node.Range, err)
		o.Required = required
	}
	if node, ok := f.Get("choices"); ok {
		value, err := node.Decode()
		l.addError(node.Range, err)
		o.Choices, _ = value.([]any)
	}
	if node, ok := f.Get("description"); ok {
		texts, err := node.AsStrings()
		l.addError(node.Range, err)
		o.Description = strings.Join(texts, " ")
	}
	if node, ok := f.Get("options"); ok {
		o.Options = l.argumentOptions(node, role)
	}
	if node, ok := f.Get("default"); ok {
		o.Default = l.argumentDefault(node, o, role)
	}
	return o
}

// argumentDefault reads a default, which must be a value that the option takes.
func (l *loader) argumentDefault(n *syntax.Node, o ArgumentOption, role string) any {
	value, err := n.Decode()
	if err != nil {
		l.addError(n.Range, err)
		return nil
	}
	if o.Required {
		l.add(n.Errorf("%s is required and has a default; it can have one of them", o.Name))
	}
	var found diag.List
	(&ArgumentSpec{Role: role}).check(l.ctx, o, o.Name, value, true, &found)
	for _, d := range found {
		l.add(n.Errorf("the default does not fit: %s", d.Summary))
	}
	return value
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
	for _, o := range a.Options {
		value, ok, err := s.Lookup(ctx, o.Name)
		if err != nil {
			found.AddError(o.Range, err)
			continue
		}
		a.check(ctx, o, o.Name, value, ok, &found)
	}
	return found
}

// CheckWritten is Check for what can be told before anybody is contacted: the
// values that are written without a template, each fault at the value's place. A
// required variable that nobody wrote is a fault unless comesLater says that a
// task may set it.
func (a *ArgumentSpec) CheckWritten(ctx context.Context, s *scope.Scope, comesLater func(name string) bool) diag.List {
	var all diag.List
	for _, o := range a.Options {
		_, at, given := s.Where(o.Name)
		if given && !s.IsLiteral(o.Name) || !given && comesLater(o.Name) {
			continue
		}
		value, _, err := s.Lookup(ctx, o.Name)
		if err != nil {
			all.AddError(o.Range, err)
			continue
		}
		var found diag.List
		a.check(ctx, o, o.Name, value, given, &found)
		for _, d := range found {
			if at.File != "" {
				d.Related = append(d.Related, diag.Note{Text: "described here", Range: d.Range})
				d.Range = at
			}
			all.Add(d)
		}
	}
	return all
}

func (a *ArgumentSpec) check(ctx context.Context, o ArgumentOption, name string, value any, given bool, found *diag.List) {
	value = expression.Normalize(value)
	if !given || value == nil && o.Type != "raw" {
		if o.Required {
			found.Add(diag.New(o.Range, "the role %s needs the variable %s", a.Role, name).WithHint(o.Description))
		}
		return
	}
	if _, unknown := value.(expression.Unknown); unknown {
		return
	}
	if !fits(o.Type, value) {
		found.Add(diag.New(o.Range, "the variable %s of the role %s must be %s, is %s", name, a.Role, kindNames[o.Type], shown(value)).WithHint(o.Description))
		return
	}
	if len(o.Choices) > 0 && !a.isChoice(o, value) {
		found.Add(diag.New(o.Range, "the variable %s of the role %s is %s, and must be one of %s", name, a.Role, shown(value), listed(o.Choices)))
	}
	a.checkInside(ctx, o, name, value, found)
}

func (a *ArgumentSpec) checkInside(ctx context.Context, o ArgumentOption, name string, value any, found *diag.List) {
	if o.Type == "list" {
		inner := ArgumentOption{Type: cmp.Or(o.Elements, "raw"), Range: o.Range, Options: o.Options}
		for i, item := range asList(value) {
			a.check(ctx, inner, fmt.Sprintf("%s[%d]", name, i), item, true, found)
		}
		return
	}
	if o.Type != "dict" || len(o.Options) == 0 {
		return
	}
	entries := map[string]any{}
	if err := lookup.Pairs(ctx, value, func(key string, one any) { entries[key] = one }); err != nil {
		found.AddError(o.Range, err)
		return
	}
	var known []string
	for _, inner := range o.Options {
		one, given := entries[inner.Name]
		a.check(ctx, inner, name+"."+inner.Name, one, given, found)
		known = append(known, inner.Name)
	}
	for _, key := range sortedKeys(entries) {
		if !slices.Contains(known, key) {
			found.Add(diag.New(o.Range, "the variable %s of the role %s has no key %s", name, a.Role, key).WithHint(diag.DidYouMean(key, known)))
		}
	}
}

func (a *ArgumentSpec) isChoice(o ArgumentOption, value any) bool {
	values := []any{value}
	if o.Type == "list" {
		values = asList(value)
	}
	for _, one := range values {
		if !slices.ContainsFunc(o.Choices, func(choice any) bool { return expression.Text(choice) == expression.Text(one) }) {
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
