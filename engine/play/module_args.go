package play

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
	"github.com/rbdplay/rbdplay/modules"
)

// arguments reads a task's arguments, from the module's value, from `args:` and
// from module_defaults, and checks them.
func (l *loader) arguments(t *Task, a action, f *syntax.Fields, around surroundings) {
	given := map[string]argument{}
	readable := l.ownArguments(t, a, given)
	t.Args = &Arguments{Range: a.key.Range, given: given}
	if node, ok := f.Get("args"); ok {
		more := map[string]argument{}
		if isTemplate(node) {
			l.wholeArguments(t.Spec, node, more)
		} else {
			l.mappingArguments(node, more)
		}
		for _, name := range sortedKeys(more) {
			if _, twice := given[name]; twice {
				l.add(diag.New(more[name].at, "the argument %s is given twice", name))
				continue
			}
			given[name] = more[name]
		}
	}
	l.withDefaults(t.Spec, given, around.defaults[t.Spec.Name])
	l.special(t, given)
	if !readable {
		return // what is missing may stand in what could not be read
	}
	l.checkArguments(t, given)
	t.That, t.Var = l.compiledArguments(t, given)
	l.checkSources(t)
}

// ownArguments reads what stands behind the module's name. It reports whether
// all of it could be cut into arguments, be they right or wrong.
func (l *loader) ownArguments(t *Task, a action, given map[string]argument) bool {
	switch {
	case a.rest != "" || a.args != nil && a.args == a.key:
		return l.textArguments(t.Spec, a.args, a.rest, a.from, given)
	case a.args == nil || a.args.Kind == syntax.Null:
	case a.args.Kind == syntax.Mapping:
		l.mappingArguments(a.args, given)
		delete(given, "module") // of `action: {module: …}`, which is the only one to reach here with it
	case a.args.Kind == syntax.Sequence:
		l.add(a.args.Errorf("%s wants a mapping of arguments, found a list", t.Module).
			WithHint("write each argument as \"name: value\", without a dash"))
		return false
	case a.args.Kind == syntax.String && t.Spec.FreeForm == "" && isOneTemplate(a.args.Text):
		return l.wholeArguments(t.Spec, a.args, given)
	default:
		return l.textArguments(t.Spec, a.args, a.args.Text, 0, given)
	}
	return true
}

func isOneTemplate(text string) bool {
	_, _, ok := bracedWhole(text)
	return ok
}

func isTemplate(n *syntax.Node) bool {
	return n.Kind == syntax.String && strings.Contains(n.Text, "{{")
}

// wholeArguments takes a template that makes a mapping of arguments. What an
// expression is to the engine cannot come out of one.
func (l *loader) wholeArguments(spec *modules.Spec, n *syntax.Node, given map[string]argument) bool {
	if spec.Name == "assert" || spec.Name == "debug" {
		l.add(n.Errorf("the arguments of %s cannot be one template: its expressions are read before anything runs", spec.Name).
			WithHint("write each as \"name: value\""))
		return false
	}
	given[whole] = argument{at: n.Range, where: n.Range, value: l.compile(n), node: n}
	return given[whole].value != nil
}

func (l *loader) mappingArguments(n *syntax.Node, given map[string]argument) {
	if n.Kind == syntax.Null {
		return
	}
	if isTemplate(n) {
		l.add(n.Errorf("arguments in module_defaults cannot be one template").WithHint("write each as \"name: value\""))
		return
	}
	fields, err := n.Fields()
	if err != nil {
		l.addError(n.Range, err)
		return
	}
	for _, entry := range fields.Node.Entries {
		// One that cannot be compiled stays, without a value, so that it is not
		// called missing.
		given[entry.Name] = argument{at: entry.Key.Range, where: entry.Value.Range, value: l.compile(entry.Value), node: entry.Value}
	}
}

// In the text of a command only these are arguments, as in Ansible: anything
// else with a = is part of the command.
var commandArguments = []string{"creates", "removes", "chdir", "executable", "stdin", "stdin_add_newline", "strip_empty_ends"}

// textArguments reads "a=b c=d", or the text of a free form. It reports whether
// all of the text could be read.
func (l *loader) textArguments(spec *modules.Spec, n *syntax.Node, text string, offset int, given map[string]argument) bool {
	at := n.Locator().Shift(offset)
	pieces, err := splitPieces(text)
	if err != nil && spec.FreeForm == "" {
		l.add(diag.New(at.At(0, len(text)), "%s: %v", spec.Name, err))
		return false
	}
	isCommand := slices.Contains([]string{"command", "shell", "script", "raw"}, spec.Name)
	if spec.FreeForm != "" && !isCommand && !l.allArguments(spec, pieces) {
		pieces = nil
	}
	if spec.FreeForm != "" && !slices.ContainsFunc(pieces, func(p piece) bool { return l.isArgument(spec, p, isCommand) }) {
		l.freeForm(spec, n, text, at, given)
		return true
	}
	rest, readable := text, true
	for _, p := range slices.Backward(pieces) {
		key, value, ok := p.keyValue()
		if spec.FreeForm != "" && !l.isArgument(spec, p, isCommand) {
			continue
		}
		if !ok {
			l.add(diag.New(at.At(p.from, p.to), "%s takes arguments as name=value, found %q", spec.Name, p.text).
				WithHint("put a value with spaces in quotes, or write the arguments as a mapping"))
			readable = false
			continue
		}
		if _, twice := given[key]; twice {
			l.add(diag.New(at.At(p.from, p.from+len(key)), "the argument %s is given twice", key))
			continue
		}
		value = value.unquote()
		where := at.At(value.from, value.to)
		compiled, err := template.CompileAny(l.env, value.text, where)
		l.addError(where, err)
		given[key] = argument{at: at.At(p.from, p.from+len(key)), where: where, value: compiled}
		rest = rest[:p.from] + rest[p.to:]
	}
	if rest = strings.TrimSpace(rest); isCommand && rest != "" {
		l.freeForm(spec, nil, rest, at, given)
	}
	return readable
}

func (l *loader) allArguments(spec *modules.Spec, pieces []piece) bool {
	return !slices.ContainsFunc(pieces, func(p piece) bool { return !l.isArgument(spec, p, false) })
}

func (l *loader) isArgument(spec *modules.Spec, p piece, isCommand bool) bool {
	key, _, ok := p.keyValue()
	if !ok || isCommand && !slices.Contains(commandArguments, key) {
		return false
	}
	if spec.AnyArgs {
		return true
	}
	_, known := optionOf(spec, key)
	return known
}

func (l *loader) freeForm(spec *modules.Spec, n *syntax.Node, text string, at diag.Locator, given map[string]argument) {
	where := at.At(0, len(text))
	var compiled *template.Value
	var err error
	if n != nil && n.Text == text {
		where = n.Range
		compiled, err = template.CompileValue(l.env, n)
	} else {
		compiled, err = template.CompileAny(l.env, text, where)
	}
	l.addError(where, err)
	given[spec.FreeForm] = argument{at: where, where: where, value: compiled, node: n}
}

// optionOf finds an option by its name or an alias.
func optionOf(spec *modules.Spec, name string) (modules.Option, bool) {
	options, err := spec.Options()
	if err != nil {
		return modules.Option{}, false
	}
	i := slices.IndexFunc(options, func(o modules.Option) bool {
		return o.Name == name || slices.Contains(o.Aliases, name)
	})
	if i < 0 {
		return modules.Option{}, false
	}
	return options[i], true
}

// withDefaults adds the arguments of module_defaults that the task does not give,
// under whatever name.
func (l *loader) withDefaults(spec *modules.Spec, given, defaults map[string]argument) {
	for name, value := range defaults {
		option, _ := optionOf(spec, name)
		names := append([]string{name, option.Name}, option.Aliases...)
		if !slices.ContainsFunc(names, func(n string) bool { _, ok := given[n]; return ok }) {
			given[name] = value
		}
	}
}

// special takes out what the engine compiles itself, or checks what no option
// describes.
func (l *loader) special(t *Task, given map[string]argument) {
	if !t.Spec.AnyArgs {
		return
	}
	for _, name := range sortedKeys(given) {
		if _, option := optionOf(t.Spec, name); option || name == whole {
			continue
		}
		if problem := scope.CheckName(name); problem != "" {
			l.add(diag.New(given[name].at, "%s: %s", t.Spec.Name, problem))
		}
	}
	if t.Spec.Name == "set_fact" && len(given) == 0 {
		l.add(diag.New(t.Range, "set_fact sets nothing").WithHint("give variables, as in \"set_fact: {a: 1}\""))
	}
}

// waits stands for a value that is only known once it is rendered.
type waits struct{}

func isWaiting(value any) bool { _, ok := value.(waits); return ok }

// checkArguments holds the arguments against the module's specification.
func (l *loader) checkArguments(t *Task, given map[string]argument) {
	values := map[string]any{}
	_, more := given[whole]
	for name, one := range given {
		if name == whole {
			continue
		}
		values[name] = waits{}
		if one.value == nil || !one.value.IsConstant() {
			continue
		}
		if plain, err := one.value.RenderPlain(context.Background(), expression.Variables{}); err == nil {
			values[name] = plain
		}
	}
	for _, p := range t.Spec.Check(values, isWaiting) {
		where := t.Args.Range
		one, ok := given[p.Argument]
		if more && (!ok || p.Argument == whole) {
			continue // what is missing may come out of the template
		}
		if ok {
			where = one.where
			if strings.Contains(p.Summary, "has no argument") || strings.Contains(p.Summary, "two names of one") {
				where = one.at
			}
		}
		l.add(diag.New(where, "%s", p.Summary).WithHint(p.Hint))
	}
}

// checkDefaults checks what module_defaults gives a module; what is required may
// come from the task.
func (l *loader) checkDefaults(spec *modules.Spec, given map[string]argument, key *syntax.Node) {
	t := &Task{Spec: spec, Args: &Arguments{Range: key.Range, given: given}}
	before := len(*l.found)
	l.checkArguments(t, given)
	checked := (*l.found)[before:]
	kept := slices.DeleteFunc(slices.Clone(checked), func(d diag.Diagnostic) bool { return d.Range == key.Range })
	*l.found = append((*l.found)[:before], kept...)
}

// compiledArguments compiles assert's conditions and debug's expression, and
// takes them out of the arguments: they are no templates.
func (l *loader) compiledArguments(t *Task, given map[string]argument) ([]*Condition, *expression.Expression) {
	switch t.Spec.Name {
	case "assert":
		that, ok := given["that"]
		if !ok {
			return nil, nil
		}
		delete(given, "that")
		return l.assertions(that), nil
	case "debug":
		one, ok := given["var"]
		if !ok {
			return nil, nil
		}
		if one.value == nil {
			return nil, nil
		}
		if one.node == nil {
			text, _ := one.value.RenderPlain(context.Background(), expression.Variables{})
			source, _ := text.(string)
			delete(given, "var")
			return nil, l.expression(source, diag.Fixed(one.where))
		}
		delete(given, "var")
		source, at := one.node.Text, one.node.Locator()
		if inner, offset, braced := bracedWhole(source); braced {
			source, at = inner, at.Shift(offset)
		}
		return nil, l.expression(source, at)
	}
	return nil, nil
}

func (l *loader) expression(source string, at diag.Locator) *expression.Expression {
	compiled, err := l.env.Compile(source, at)
	l.addError(at.At(0, len(source)), err)
	return compiled
}

func (l *loader) assertions(that argument) []*Condition {
	if that.node != nil {
		return l.conditions("that", that.node)
	}
	if that.value == nil {
		return nil
	}
	value, err := that.value.RenderPlain(context.Background(), expression.Variables{})
	text, ok := value.(string)
	if err != nil || !ok {
		l.add(diag.New(that.where, "that must be an expression"))
		return nil
	}
	compiled := l.expression(text, diag.Fixed(that.where))
	if compiled == nil {
		return nil
	}
	return []*Condition{{Text: text, Range: that.where, expr: compiled}}
}

// checkSources sees that the files of the controller that the arguments name are
// there, and compiles templates. A name with a template in it is looked for when
// the task runs.
func (l *loader) checkSources(t *Task) {
	options, err := t.Spec.Options()
	if err != nil {
		return
	}
	for _, o := range options {
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			text, ok := t.Args.Literal(name)
			source, isText := text.(string)
			if !ok || !isText {
				continue
			}
			l.checkSource(t, o, name, source)
		}
	}
}

func (l *loader) checkSource(t *Task, o modules.Option, name, source string) {
	where := t.Args.Where(name)
	switch o.Type {
	case "template":
		if err := t.literalTemplate(source, where); err != nil {
			l.addError(where, err)
		}
	case "content":
		l.checkFile(t, source, where, "a file", false)
	case "script":
		words, err := modules.SplitWords(source)
		if err != nil || len(words) == 0 {
			l.add(diag.New(where, "%s must begin with the name of a script", name))
			return
		}
		l.checkFile(t, words[0], where, "a file", false)
	case "source":
		if !t.onHost() {
			l.checkFile(t, source, where, "a file or folder", strings.HasSuffix(source, "/"))
		}
	case "tree":
		if _, other := t.Args.given["src_host"]; !other && !t.onHost() {
			l.checkFile(t, source, where, "a folder", true)
		}
	}
}

// onHost reports whether the task says, or may say, that its source is on the
// host.
func (t *Task) onHost() bool {
	if _, ok := t.Args.given["remote_src"]; !ok {
		return t.Spec.SourceOnHost()
	}
	value, ok := t.Args.Literal("remote_src")
	if !ok {
		return true
	}
	remote, err := asBool(value)
	return remote || err != nil
}

func (l *loader) checkFile(t *Task, name string, where diag.Range, what string, folder bool) {
	file, err := t.FindFile("files", strings.TrimSuffix(name, "/"), where)
	if err != nil {
		l.addError(where, err)
		return
	}
	info, err := fs.Stat(file.FS, file.Path)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		l.add(diag.New(where, "%s: cannot be looked at: %s", file.Display, reason(err)))
	case err == nil && folder != info.IsDir() && (folder || what == "a file"):
		l.add(diag.New(where, "%s must be %s", file.Display, what))
	}
}
