package play

import (
	"context"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// includeOptions are the arguments of an import or include.
type includeOptions struct {
	fields *syntax.Fields // nil when only a name was given
	name   *syntax.Node   // of the file or role
}

// includeOptions reads "include_tasks: file.yml" and "include_tasks: {file: …}",
// with what args: adds.
func (l *loader) includeOptions(what, nameKey string, a action, f *syntax.Fields, known []string) (includeOptions, bool) {
	var o includeOptions
	node := a.args
	if text := includeText(a); text != "" {
		node = l.textOptions(text, node)
	}
	if args, ok := f.Get("args"); ok {
		if node != nil && node.Kind == syntax.Mapping {
			l.add(args.Errorf("give the options of %s in one place", what))
			return o, false
		}
		l.add(args.Errorf("give the options of %s as a mapping behind it", what))
		return o, false
	}
	switch {
	case node == nil || node.Kind == syntax.Null:
		l.add(a.key.Errorf("%s names nothing", what))
		return o, false
	case node.Kind == syntax.Mapping:
		fields, _ := node.Fields()
		l.checkKeywords(fields, what, known, nil)
		o.fields = fields
		if o.name, _ = fields.Get(nameKey); o.name == nil && nameKey == "name" {
			o.name, _ = fields.Get("role")
		}
		if o.name == nil {
			l.add(node.Errorf("%s needs %s", what, nameKey))
			return o, false
		}
	case nameKey == "name":
		l.add(node.Errorf("%s wants a mapping, as in \"%s: {name: web}\"", what, what))
		return o, false
	default:
		o.name = node
	}
	return o, true
}

// includeText is what stands behind the name of an import or include as text.
func includeText(a action) string {
	if a.rest != "" {
		return a.rest
	}
	if a.args != nil && a.args.Kind == syntax.String {
		return a.args.Text
	}
	return ""
}

// textOptions makes a mapping of "name=web tasks_from=x"; other text stays the
// name of a file.
func (l *loader) textOptions(text string, n *syntax.Node) *syntax.Node {
	whole := &syntax.Node{Kind: syntax.String, Text: strings.TrimSpace(text), Range: n.Range}
	if n.Text == text {
		whole = n
	}
	pieces, err := splitPieces(text)
	if err != nil || len(pieces) == 0 {
		return whole
	}
	mapping := &syntax.Node{Kind: syntax.Mapping, Range: n.Range}
	for _, p := range pieces {
		key, value, ok := p.keyValue()
		if !ok {
			return whole
		}
		mapping.Entries = append(mapping.Entries, syntax.Entry{
			Name:  key,
			Key:   &syntax.Node{Kind: syntax.String, Text: key, Range: n.Range},
			Value: &syntax.Node{Kind: syntax.String, Text: value.unquote().text, Range: n.Range},
		})
	}
	return mapping
}

func (o includeOptions) get(name string) (*syntax.Node, bool) {
	if o.fields == nil {
		return nil, false
	}
	return o.fields.Get(name)
}

const (
	importHint  = "an import stands for the tasks that it brings; an include may have this"
	handlerHint = "Ansible refuses it too; include_tasks can be a handler"
)

// importTasks reads the file now; its tasks take over everything the import says.
func (l *loader) importTasks(a action, f *syntax.Fields, around surroundings) []Step {
	known := append(slices.Concat(everywhere, insidePlay, []string{"notify", "action"}), a.key.Text)
	l.checkIncluding(f, "import_tasks", known, importHint)
	o, ok := l.includeOptions("import_tasks", "file", a, f, []string{"file"})
	if !ok {
		return nil
	}
	around.layers = l.withVars(f, around.layers, scope.TaskVars)
	file, ok := l.knownText(o.name, "the file of import_tasks (that of include_tasks need not be)", around.layers)
	if !ok {
		return nil
	}
	around.inherited = l.inherit(f, around.inherited)
	around.defaults = l.moduleDefaults(f, around.defaults)
	if node, ok := f.Get("notify"); ok {
		around.notify = slices.Concat(around.notify, l.notifications(node, around.play))
	}
	p, ok := l.taskFile(file, o.name, around)
	if !ok {
		return nil
	}
	if slices.Contains(around.chain, p.display) {
		l.add(o.name.Errorf("%s imports itself: %s", p.display, strings.Join(append(around.chain, p.display), " → ")))
		return nil
	}
	return l.fileSteps(p, o.name.Range, around)
}

// taskFile finds a file of tasks: beside the one that names it, in the role's
// tasks, beside the playbook.
func (l *loader) taskFile(name string, n *syntax.Node, around surroundings) (location, bool) {
	places := []location{around.dir}
	if around.role != nil {
		places = append(places, around.role.folder.join("tasks"))
	}
	places = append(places, around.home.join("tasks"), around.home)
	var looked []string
	for _, place := range places {
		p, err := l.seenFrom(place, name)
		if err != nil {
			l.add(n.Errorf("%v", err))
			return p, false
		}
		there, err := p.exists()
		if err != nil {
			l.add(n.Errorf("%s: cannot be looked at: %s", p.display, reason(err)))
			return p, false
		}
		if there {
			return p, true
		}
		looked = appendNew(looked, p.display)
	}
	l.add(n.Errorf("there is no file %s", name).WithDetail("looked for " + strings.Join(looked, "\n           ")))
	return location{}, false
}

// fileSteps reads a file of tasks.
func (l *loader) fileSteps(p location, at diag.Range, around surroundings) []Step {
	root, ok := l.read(p, at)
	if !ok || root.Kind == syntax.Null {
		return nil
	}
	around.chain = append(slices.Clone(around.chain), p.display)
	around.dir = p.dir()
	if !around.handlers {
		return l.steps(root, around)
	}
	var steps []Step
	for _, h := range l.handlers(root, around) {
		h.listen = h.Listen
		steps = append(steps, &h.Task)
	}
	return steps
}

// newInclude reads what include_tasks and include_role share.
func (l *loader) newInclude(what string, a action, f *syntax.Fields, o includeOptions, around surroundings) *Task {
	known := append(slices.Concat(includeKeywords, loopKeywords()), a.key.Text)
	if around.handlers {
		known = append(known, handlerOnly...)
	}
	l.checkIncluding(f, what, known, "it would not reach the tasks that are included: give it to them under \"apply:\"")
	inner := around
	inner.handlers = false // what a handler includes are plain tasks
	inner.private, inner.shows = true, nil
	t := l.newTask(f, what, around)
	l.taskKeywords(f, t, around)
	t.Notify = nil // of the blocks around; an include changes nothing
	inner.layers = around.layers
	if layer := l.withVars(f, nil, scope.IncludeParams); len(layer) > 0 {
		inner.layers = append(slices.Clip(around.layers), layer...)
	}
	if apply, ok := o.get("apply"); ok {
		if fields, err := apply.Fields(); err != nil {
			l.addError(apply.Range, err)
		} else {
			l.checkKeywords(fields, "apply", slices.Concat(everywhere, insidePlay), taskKeywords)
			inner.inherited = l.inherit(fields, inner.inherited)
			inner.layers = l.withVars(fields, inner.layers, scope.BlockVars)
		}
	}
	t.Include = &Include{Range: o.name.Range, loader: l, around: inner, loaded: map[string][]Step{}, shows: map[string]*Exposure{}}
	return t
}

func (l *loader) includeTasks(a action, f *syntax.Fields, around surroundings) []Step {
	o, ok := l.includeOptions("include_tasks", "file", a, f, []string{"file", "apply"})
	if !ok {
		return nil
	}
	t := l.newInclude("include_tasks", a, f, o, around)
	t.Action = IncludeTasks
	t.Include.node = o.name
	t.Include.File = readSetting(l, "file", o.name, asText)
	if name, ok := t.Include.File.Literal(); ok {
		t.Include.load(name)
	}
	return []Step{t}
}

func (l *loader) includeRole(a action, f *syntax.Fields, around surroundings) []Step {
	if around.handlers {
		l.add(a.key.Errorf("include_role cannot be a handler").WithHint(handlerHint))
		return nil
	}
	o, ok := l.includeOptions("include_role", "name", a, f, roleIncludeOptions)
	if !ok {
		return nil
	}
	t := l.newInclude("include_role", a, f, o, around)
	t.Action = IncludeRole
	t.Include.node = o.name
	t.Include.from = l.roleFiles(o)
	t.Include.from.use = l.useOfVars(f)
	t.Include.Role = readSetting(l, "name", o.name, asText)
	if name, ok := t.Include.Role.Literal(); ok {
		t.Include.load(name)
	}
	return []Step{t}
}

var (
	roleImportOptions  = []string{"name", "role", "tasks_from", "vars_from", "defaults_from", "handlers_from", "allow_duplicates", "rolespec_validate"}
	roleIncludeOptions = append(slices.Clone(roleImportOptions), "apply", "public")
)

// Steps gives what the include brings on the hosts whose scope s is, loading and
// checking it when its name held a template. The steps are the same for the same
// name. The error is a diag.List, or an *UnknownError.
func (i *Include) Steps(ctx context.Context, s expression.Scope) ([]Step, error) {
	name := i.File
	if name == nil {
		name = i.Role
	}
	text, err := name.Get(ctx, s)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if steps, ok := i.loaded[text]; ok {
		return steps, nil
	}
	err = i.loader.later(func(l *loader) {
		i.around.chain = nil // a ring may turn once more
		i.load(text)
		l.resolveNotifications()
	})
	return i.loaded[text], err
}

// Shows is what the steps that Steps gave for name show to the rest of the play
// once they are run; nil without public: yes.
func (i *Include) Shows(name string) *Exposure {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.shows[name]
}

// load reads what the include means by name. A ring of includes is read one turn
// at a time, since a condition may end it: the inner one is left for the run.
func (i *Include) load(name string) {
	l := i.loader
	l.current = i.around.play
	if i.Role != nil {
		if slices.Contains(i.around.chain, "role "+name) {
			return
		}
		around := i.around
		if i.from.public {
			around.private, around.shows = false, &Exposure{}
		}
		if steps, ok := l.useRole(name, i.node, i.from, around); ok {
			i.loaded[name], i.shows[name] = steps, around.shows
		}
		return
	}
	p, ok := l.taskFile(name, i.node, i.around)
	if !ok || slices.Contains(i.around.chain, p.display) {
		return
	}
	i.loaded[name] = l.fileSteps(p, i.node.Range, i.around)
}
