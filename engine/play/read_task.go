package play

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/modules"
)

// steps reads a list of tasks and blocks.
func (l *loader) steps(n *syntax.Node, around surroundings) []Step {
	items, err := n.AsList()
	if err != nil {
		d := diag.List{}
		d.AddError(n.Range, err)
		l.add(d[0].WithHint("tasks are a list: each begins with a dash"))
		return nil
	}
	var steps []Step
	for _, item := range items {
		f, err := item.Fields()
		if err != nil {
			l.addError(item.Range, err)
			continue
		}
		steps = append(steps, l.step(f, around)...)
	}
	return steps
}

func (l *loader) step(f *syntax.Fields, around surroundings) []Step {
	for _, key := range []string{"block", "rescue", "always"} {
		if _, ok := f.Get(key); ok {
			return l.block(f, around)
		}
	}
	return l.task(f, around)
}

func (l *loader) block(f *syntax.Fields, around surroundings) []Step {
	l.checkKeywords(f, "a block", blockKeywords, append(slices.Clone(taskOnly), loopKeywords()...))
	if _, ok := f.Get("block"); !ok {
		l.add(f.Node.Errorf("rescue and always belong to a block, and there is none").
			WithHint("put the tasks they are for under \"block:\""))
	}
	if around.handlers {
		l.add(f.Node.Errorf("a handler cannot be a block").WithHint("let the tasks listen to one name"))
		return nil
	}
	b := &Block{Range: start(f.Node.Range)}
	if node, ok := f.Get("name"); ok {
		text, err := node.AsString()
		l.addError(node.Range, err)
		b.Name = text
	}
	around.inherited = l.inherit(f, around.inherited)
	around.defaults = l.moduleDefaults(f, around.defaults)
	around.layers = l.withVars(f, around.layers, scope.BlockVars)
	if node, ok := f.Get("notify"); ok {
		around.notify = slices.Concat(around.notify, l.notifications(node, around.play))
	}
	b.Inherited, b.Layers = around.inherited, around.layers
	b.Steps = l.stepsOf(f, "block", around)
	b.Rescue = l.stepsOf(f, "rescue", around)
	b.Always = l.stepsOf(f, "always", around)
	if _, ok := f.Get("invariant"); ok { // read twice: each task runs once
		before, after := l.invariants(f, around), l.invariants(f, around)
		return slices.Concat(stepsOfAll(before), []Step{b}, stepsOfAll(after))
	}
	return []Step{b}
}

// start is the point where something begins: for messages that mean all of it.
func start(at diag.Range) diag.Range {
	at.End = at.Start
	return at
}

// The tasks of the language itself, which no module carries out.
var languageActions = []string{"import_tasks", "include_tasks", "import_role", "include_role", "meta", "import_playbook", goneAction}

// goneAction is one that Ansible had.
const goneAction = "include"

func isGone(name string) bool { return name == goneAction }

func languageAction(name string) (string, bool) {
	for _, prefix := range []string{"ansible.builtin.", "ansible.legacy."} {
		name = strings.TrimPrefix(name, prefix)
	}
	return name, slices.Contains(languageActions, name)
}

// action is the module that a task names, and its arguments.
type action struct {
	name string
	key  *syntax.Node
	args *syntax.Node // nil when there are none
	rest string       // of `action: copy a=b`: the text behind the name
	from int          // its place in args
}

// action finds the key that names the module. ok is false when the fault has
// been noted.
func (l *loader) action(f *syntax.Fields, around surroundings) (action, bool) {
	known := slices.Concat(taskKeywords, everywhereLater, loopKeywords(), loopsLater)
	if around.handlers {
		known = append(known, handlerOnly...)
	}
	var found []action
	var strange []action
	for _, entry := range f.Node.Entries {
		a := action{name: entry.Name, key: entry.Key, args: entry.Value}
		switch {
		case entry.Name == "action" || entry.Name == "local_action":
			if a, ok := l.explicitAction(entry); ok {
				found = append(found, a)
			} else {
				return a, false
			}
		case slices.Contains(known, entry.Name):
		case l.isAction(entry.Name):
			found = append(found, a)
		default:
			strange = append(strange, a)
		}
	}
	for _, a := range strange {
		if len(found) > 0 {
			l.add(a.key.Errorf("a task has no keyword %s", a.name).WithHint(diag.DidYouMean(a.name, known)))
		} else {
			l.add(l.unknownModule(a.key, a.name, known))
		}
	}
	switch {
	case len(found) == 1:
		return found[0], true
	case len(found) > 1:
		d := found[1].key.Errorf("the task names two modules, %s and %s", found[0].name, found[1].name)
		d.Related = []diag.Note{{Text: "the first is here", Range: found[0].key.Range}}
		l.add(d)
	case len(strange) == 0:
		l.add(diag.New(start(f.Node.Range), "the task names no module").
			WithHint("write the module as a key, as in \"copy: {src: a, dest: /b}\""))
	}
	return action{}, false
}

func (l *loader) isAction(name string) bool {
	if _, ok := languageAction(name); ok {
		return true
	}
	_, ok := l.registry.Find(name)
	return ok
}

func (l *loader) unknownModule(key *syntax.Node, name string, keywords []string) diag.Diagnostic {
	short := strings.TrimPrefix(strings.TrimPrefix(name, "ansible.builtin."), "ansible.legacy.")
	if slices.Contains(laterModules, short) {
		return key.Errorf("not supported yet: the module %s", name)
	}
	return key.Errorf("there is no module %s", name).
		WithHint(diag.DidYouMean(name, slices.Concat(l.registry.KnownNames(), languageActions, keywords)))
}

// explicitAction reads `action: copy src=a` and `action: {module: copy, src: a}`.
func (l *loader) explicitAction(entry syntax.Entry) (action, bool) {
	a := action{key: entry.Key, args: entry.Value}
	if entry.Value.Kind == syntax.Mapping {
		f, _ := entry.Value.Fields()
		node, ok := f.Get("module")
		if !ok {
			l.add(entry.Value.Errorf("%s names no module", entry.Name).WithHint("give it as \"module:\""))
			return a, false
		}
		a.name, a.key = node.Text, node
	} else {
		text, err := entry.Value.AsString()
		if err != nil {
			l.addError(entry.Value.Range, err)
			return a, false
		}
		trimmed := strings.TrimLeft(text, " \t\n")
		a.name, a.rest, _ = strings.Cut(trimmed, " ")
		a.from = len(text) - len(a.rest)
		a.key = entry.Value
	}
	if !l.isAction(a.name) {
		l.add(l.unknownModule(a.key, a.name, nil))
		return a, false
	}
	return a, true
}

func loopKeywords() []string { return slices.Sorted(maps.Keys(loopKinds)) }

// task reads one task; an import gives what it imports.
func (l *loader) task(f *syntax.Fields, around surroundings) []Step {
	a, ok := l.action(f, around)
	if !ok {
		l.checkLater(f)
		return nil
	}
	if name, isLanguage := languageAction(a.name); isLanguage {
		return l.languageTask(name, a, f, around)
	}
	l.checkLater(f)
	t := l.newTask(f, a.name, around)
	t.Action = RunModule
	t.Spec, _ = l.registry.Find(a.name)
	l.taskKeywords(f, t, around)
	if local, ok := f.Get("local_action"); ok {
		t.DelegateTo = &Setting[string]{Range: local.Range, name: "local_action", value: "localhost"}
	}
	l.arguments(t, a, f, around)
	l.checkAsync(f, t)
	return []Step{t}
}

// checkAsync refuses a job where there can be none: as with Ansible it has to do
// without the controller, which runs some modules and has the files of others.
func (l *loader) checkAsync(f *syntax.Fields, t *Task) {
	if t.Async == nil {
		if poll := f.Key("poll"); poll != nil {
			l.add(poll.Errorf("poll without async").WithHint("add \"async:\" with the seconds that the task may take, or remove poll"))
		}
		return
	}
	if seconds, ok := t.Async.Literal(); ok && seconds == 0 {
		return
	}
	if t.Spec.Place == modules.OnController {
		l.add(f.Key("async").Errorf("%s runs on the controller and cannot be a job", t.Module).WithHint("remove async"))
		return
	}
	options, err := t.Spec.Options()
	if err != nil {
		l.addError(t.Range, err)
	}
	for _, o := range options {
		if slices.Contains([]string{"content", "template", "source", "tree"}, o.Type) {
			l.add(f.Key("async").Errorf("%s takes files of the controller, which a job cannot ask for", t.Module).WithHint("remove async"))
			return
		}
	}
}

// checkLater refuses the keywords of a task that are not supported yet.
func (l *loader) checkLater(f *syntax.Fields) {
	for _, name := range f.Names() {
		if slices.Contains(everywhereLater, name) || slices.Contains(loopsLater, name) {
			l.refuse(f.Key(name), name)
		}
	}
}

// newTask reads what every task has.
func (l *loader) newTask(f *syntax.Fields, module string, around surroundings) *Task {
	l.lastID++
	t := &Task{ID: l.lastID, Module: module, Range: start(f.Node.Range), Role: around.role}
	t.Args = &Arguments{Range: t.Range}
	t.files = &fileSearch{loader: l, role: around.role, dir: around.dir, home: around.home}
	if node, ok := f.Get("name"); ok {
		l.name(node, t, around)
	}
	t.Inherited = l.inherit(f, around.inherited)
	t.Layers = l.withVars(f, around.layers, scope.TaskVars)
	return t
}

func (l *loader) name(n *syntax.Node, t *Task, around surroundings) {
	if n.Kind == syntax.Null {
		return
	}
	text, err := n.AsString()
	if err != nil {
		l.addError(n.Range, err)
		return
	}
	t.Name = text
	if strings.Contains(text, "{{") || strings.Contains(text, "{%") {
		if around.handlers {
			if known, ok := l.knownText(n, "the name of a handler", around.layers); ok {
				t.Name = known
			}
			return
		}
		t.title = l.compile(n)
	}
}

func (l *loader) taskKeywords(f *syntax.Fields, t *Task, around surroundings) {
	t.LoopControl.Var = "item"
	t.Notify = around.notify
	for _, entry := range f.Node.Entries {
		n := entry.Value
		switch entry.Name {
		case "register":
			t.Register = l.variableName(n, "register")
		case "until":
			t.Until = l.conditions("until", n)
		case "retries":
			t.Retries = readSetting(l, "retries", n, asCount)
		case "delay":
			t.Delay = readSetting(l, "delay", n, asSeconds)
		case "async":
			t.Async = readSetting(l, "async", n, asCount)
		case "poll":
			t.Poll = readSetting(l, "poll", n, asCount)
		case "changed_when":
			t.ChangedWhen = l.conditions("changed_when", n)
		case "failed_when":
			t.FailedWhen = l.conditions("failed_when", n)
		case "notify":
			t.Notify = slices.Concat(t.Notify, l.notifications(n, around.play))
		case "loop_control":
			l.loopControl(n, t)
		default:
			if _, isLoop := loopKinds[entry.Name]; isLoop {
				l.loop(entry, t)
			}
		}
	}
	if key := f.Key("delay"); key != nil && t.Until == nil && t.Retries == nil {
		l.add(key.Errorf("delay without until").WithHint("add \"until:\" or \"retries:\", or remove delay"))
	}
	if control := f.Key("loop_control"); control != nil && !slices.ContainsFunc(loopKeywords(), func(k string) bool { return f.Key(k) != nil }) {
		l.add(control.Errorf("loop_control without a loop").WithHint("add \"loop:\" or remove loop_control"))
	}
}

func (l *loader) variableName(n *syntax.Node, keyword string) string {
	text, err := n.AsString()
	if err != nil {
		l.addError(n.Range, err)
		return ""
	}
	if strings.Contains(text, "{{") {
		l.add(n.Errorf("%s names a variable, which cannot be a template", keyword).
			WithHint("set_fact can set a variable whose name is made of others"))
		return ""
	}
	if problem := scope.CheckName(text); problem != "" {
		l.add(n.Errorf("%s: %s", keyword, problem))
		return ""
	}
	return text
}

// notifications reads `notify:`; which handlers they mean is found out when all
// of the play has been read.
func (l *loader) notifications(n *syntax.Node, p *Play) []*Notify {
	nodes := []*syntax.Node{n}
	if n.Kind == syntax.Sequence {
		nodes = n.Items
	}
	var all []*Notify
	for _, one := range nodes {
		text, err := one.AsString()
		if err != nil {
			l.addError(one.Range, err)
			continue
		}
		notify := &Notify{Range: one.Range, Text: text}
		if strings.Contains(text, "{{") {
			notify.later = l.compile(one)
		} else {
			l.pending = append(l.pending, pendingNotify{p, notify})
		}
		all = append(all, notify)
	}
	return all
}

func (l *loader) resolveNotifications() {
	for _, waiting := range l.pending {
		handlers, err := waiting.play.HandlersFor(waiting.notify.Text)
		waiting.notify.Handlers = handlers
		l.addError(waiting.notify.Range, at(err, waiting.notify.Range))
	}
	l.pending = nil
}

// at gives a finding without a place one.
func at(err error, place diag.Range) error {
	if d, ok := err.(diag.Diagnostic); ok && d.Range.IsZero() { //nolint:errorlint // only the finding itself, not what it wraps
		d.Range = place
		return d
	}
	return err
}

// HandlersFor finds the handlers that a name means: those that listen to it, and
// the last one of that name, which may be written "role : name". The error is a
// diag.Diagnostic without a place; it suggests names.
func (p *Play) HandlersFor(name string) ([]*Handler, error) {
	var found []*Handler
	var named *Handler
	var known []string
	for _, h := range p.Handlers {
		if slices.Contains(h.names(), name) {
			named = h
		}
		if slices.Contains(h.Listen, name) {
			found = append(found, h)
		}
		known = append(append(known, h.Name), h.Listen...)
	}
	if named != nil && !slices.Contains(found, named) {
		found = append(found, named)
	}
	if len(found) == 0 {
		d := diag.Diagnostic{Summary: "the play has no handler " + name}
		if len(known) == 0 {
			return nil, d.WithHint("handlers stand under \"handlers:\" of the play, or in handlers/main.yml of a role")
		}
		return nil, d.WithHint(diag.DidYouMean(name, known))
	}
	return found, nil
}

func (h *Handler) names() []string {
	if h.Name == "" {
		return nil
	}
	if h.Role == nil {
		return []string{h.Name}
	}
	return []string{h.Name, h.Role.Name + " : " + h.Name}
}

// Names gives what a notification means on a host: the entry itself, or what its
// template renders to.
func (n *Notify) Names(ctx context.Context, s expression.Scope) ([]string, error) {
	if n.later == nil {
		return []string{n.Text}, nil
	}
	value, err := n.later.RenderPlain(ctx, s)
	if err != nil {
		return nil, err
	}
	if reason, ok := unknownIn(value); ok {
		return nil, &UnknownError{Reason: reason}
	}
	items, ok := value.([]any)
	if !ok {
		items = []any{value}
	}
	names := make([]string, len(items))
	for i, item := range items {
		if names[i], err = asText(item); err != nil {
			return nil, diag.New(n.Range, "notify %v", err)
		}
	}
	return names, nil
}

// handlers reads a list of handlers.
func (l *loader) handlers(n *syntax.Node, around surroundings) []*Handler {
	around.handlers = true
	var all []*Handler
	items, err := n.AsList()
	if err != nil {
		l.addError(n.Range, err)
		return nil
	}
	for _, item := range items {
		f, err := item.Fields()
		if err != nil {
			l.addError(item.Range, err)
			continue
		}
		steps := l.step(f, around)
		for _, step := range steps {
			if t, ok := step.(*Task); ok {
				all = append(all, l.handler(t, f))
			}
		}
	}
	return all
}

func (l *loader) handler(t *Task, f *syntax.Fields) *Handler {
	h := &Handler{Task: *t, Listen: t.listen}
	if node, ok := f.Get("listen"); ok {
		names, err := node.AsStrings()
		l.addError(node.Range, err)
		h.Listen = append(h.Listen, names...)
	}
	if h.Name == "" && len(h.Listen) == 0 {
		l.add(diag.New(h.Range, "nobody can notify this handler").WithHint("give it a name, or a name to listen to"))
	}
	return h
}

// languageTask reads imports, includes and meta.
func (l *loader) languageTask(name string, a action, f *syntax.Fields, around surroundings) []Step {
	switch name {
	case "meta":
		return l.meta(a, f, around)
	case "import_tasks":
		return l.importTasks(a, f, around)
	case "include_tasks":
		return l.includeTasks(a, f, around)
	case "import_role":
		return l.importRole(a, f, around)
	case "include_role":
		return l.includeRole(a, f, around)
	case "import_playbook":
		l.add(a.key.Errorf("import_playbook stands between plays, not among tasks"))
	case goneAction:
		l.add(a.key.Errorf("include is no longer part of Ansible").WithHint("write include_tasks or import_tasks"))
	}
	return nil
}

var metas = []Meta{FlushHandlers, EndPlay, EndBatch, EndHost, EndRole, ClearHostErrors, ClearFacts, Refresh, Reset, Noop}

func (l *loader) meta(a action, f *syntax.Fields, around surroundings) []Step {
	l.checkKeywords(f, "meta", append([]string{"name", "when", "tags", "vars", "action"}, a.name), slices.Concat(taskKeywords, loopKeywords()))
	text := a.rest
	if text == "" && a.args != nil {
		node := a.args
		if node.Kind == syntax.Mapping {
			mapped, _ := node.Fields()
			node, _ = mapped.Get("free_form")
		}
		if node == nil {
			l.add(a.args.Errorf("meta names no action").WithHint("as in \"meta: flush_handlers\""))
			return nil
		}
		var ok bool
		if text, ok = l.literalText(node, "meta"); !ok {
			return nil
		}
	}
	what := Meta(strings.TrimSpace(text))
	t := l.newTask(f, "meta", around)
	t.Action, t.Meta = RunMeta, what
	switch {
	case what == EndRole && around.role == nil:
		l.add(a.args.Errorf("meta: end_role stands in no role").WithHint("end_host ends the play for the host"))
	case what == FlushHandlers && around.handlers:
		l.add(a.args.Errorf("meta: flush_handlers cannot be a handler"))
	case slices.Contains(metas, what):
		return []Step{t}
	default:
		l.add(a.args.Errorf("meta knows no action %s", what).WithHint(diag.DidYouMean(string(what), metaNames())))
	}
	return nil
}

func metaNames() []string {
	var names []string
	for _, m := range metas {
		names = append(names, string(m))
	}
	return names
}
