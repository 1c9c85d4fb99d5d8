package template

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

// rendering is one run of a template, with everything it includes.
type rendering struct {
	ctx     context.Context
	out     *strings.Builder
	options Options
	env     *expression.Environment
	depth   int

	top      *layer                   // of the names that the template itself sets
	blocks   map[string][]*namedBlock // by name, the one that counts first
	extended *Template                // what the template being rendered extends
}

// deepest bounds macros that call themselves and files that include each other.
const deepest = 100

// most bounds what one template may make.
const most = 256 << 20

// errUnknown stops a rendering that needs what check mode cannot know.
type errUnknown struct{ unknown expression.Unknown }

func (errUnknown) Error() string { return "the template depends on a value that is not known yet" }

// renderer is a node that writes its part.
type renderer interface {
	render(r *rendering, scope *layer) error
}

func renderAll(r *rendering, scope *layer, nodes []renderer) error {
	for _, node := range nodes {
		if err := node.render(r, scope); err != nil {
			return err
		}
	}
	return nil
}

// layer is a scope of names that the template itself sets, on top of another.
type layer struct {
	below  expression.Scope
	values map[string]any
}

func newLayer(below expression.Scope) *layer { return &layer{below: below} }

// Lookup implements expression.Scope.
func (l *layer) Lookup(ctx context.Context, name string) (any, bool, error) {
	if value, ok := l.values[name]; ok {
		return value, true, nil
	}
	if l.below == nil {
		return nil, false, nil
	}
	return l.below.Lookup(ctx, name)
}

// Asker implements expression.Asking: who asks is who asked for the template.
func (l *layer) Asker() any {
	if below, ok := l.below.(expression.Asking); ok {
		return below.Asker()
	}
	return nil
}

// Names implements expression.Scope.
func (l *layer) Names() []string {
	var names []string
	if l.below != nil {
		names = l.below.Names()
	}
	for name := range l.values {
		if name != bodyName && !strings.HasPrefix(name, "·") {
			names = append(names, name)
		}
	}
	return names
}

func (l *layer) set(name string, value any) {
	if l.values == nil {
		l.values = map[string]any{}
	}
	l.values[name] = value
}

// assign gives a value to one name, or its items to several.
func (l *layer) assign(names []string, value any, at diag.Range) error {
	if len(names) == 1 {
		l.set(names[0], value)
		return nil
	}
	items, ok := value.([]any)
	if !ok || len(items) != len(names) {
		return diag.New(at, "%d names are set from a value that does not have %d items", len(names), len(names))
	}
	for i, name := range names {
		l.set(name, items[i])
	}
	return nil
}

type textNode string

func (n textNode) render(r *rendering, _ *layer) error { return r.write(string(n)) }

func (r *rendering) write(text string) error {
	if r.out.Len()+len(text) > most {
		return fmt.Errorf("the template makes more than %d MiB of text", most>>20)
	}
	r.out.WriteString(text)
	return nil
}

type outputNode struct{ expression *expression.Expression }

func (n *outputNode) render(r *rendering, scope *layer) error {
	text, unknown, err := n.expression.Text(r.ctx, scope)
	if err != nil {
		return err
	}
	if unknown != nil {
		return errUnknown{*unknown}
	}
	return r.write(text)
}

// evaluate is an expression's value, or errUnknown.
func (r *rendering) evaluate(e *expression.Expression, scope *layer) (any, error) {
	value, err := e.Evaluate(r.ctx, scope)
	if err != nil {
		return nil, err
	}
	if u, ok := value.(expression.Unknown); ok {
		return nil, errUnknown{u}
	}
	return value, nil
}

type ifBranch struct {
	condition **expression.Expression // nil for else
	body      []renderer
}

type ifNode struct{ branches []ifBranch }

func (n *ifNode) render(r *rendering, scope *layer) error {
	for _, branch := range n.branches {
		if branch.condition != nil {
			holds, unknown, err := (*branch.condition).Test(r.ctx, scope)
			if err != nil {
				return err
			}
			if unknown != nil {
				return errUnknown{*unknown}
			}
			if !holds {
				continue
			}
		}
		return renderAll(r, scope, branch.body)
	}
	return nil
}

type setNode struct {
	targets   []string
	namespace string
	value     *expression.Expression
	at        diag.Range
}

func (n *setNode) render(r *rendering, scope *layer) error {
	value, err := n.value.Evaluate(r.ctx, scope)
	if err != nil {
		return err
	}
	if n.namespace == "" {
		return scope.assign(n.targets, value, n.at)
	}
	object, _, err := scope.Lookup(r.ctx, n.namespace)
	if err != nil {
		return err
	}
	namespace, ok := object.(*expression.Namespace)
	if !ok {
		return diag.New(n.at, "'%s' is no namespace, so its entries cannot be set", n.namespace).
			WithHint(fmt.Sprintf("{%% set %s = namespace() %%}", n.namespace))
	}
	namespace.Set(n.targets[0], value)
	return nil
}

// blockNode is a body whose text is filtered and then set or written.
type blockNode struct {
	target string
	filter *expression.Expression
	body   []renderer
}

func (n *blockNode) render(r *rendering, scope *layer) error {
	text, err := r.capture(newLayer(scope), n.body)
	if err != nil {
		return err
	}
	value := any(text)
	if n.filter != nil {
		inner := newLayer(scope)
		inner.set(bodyName, text)
		if value, err = r.evaluate(n.filter, inner); err != nil {
			return err
		}
	}
	if n.target != "" {
		scope.set(n.target, value)
		return nil
	}
	if value == nil {
		return nil
	}
	return r.write(expression.Text(value))
}

// capture renders nodes into text of their own.
func (r *rendering) capture(scope *layer, nodes []renderer) (string, error) {
	inner := *r
	inner.out = new(strings.Builder)
	err := renderAll(&inner, scope, nodes)
	return inner.out.String(), err
}

type withBinding struct {
	name  string
	value *expression.Expression
}

type withNode struct {
	bindings []*withBinding
	body     []renderer
}

func (n *withNode) render(r *rendering, scope *layer) error {
	inner := newLayer(scope)
	for _, binding := range n.bindings {
		value, err := binding.value.Evaluate(r.ctx, scope)
		if err != nil {
			return err
		}
		inner.set(binding.name, value)
	}
	return renderAll(r, inner, n.body)
}

type forNode struct {
	targets   []string
	items     *expression.Expression
	condition *expression.Expression
	recursive bool
	body      []renderer
	otherwise []renderer
	at        diag.Range
}

func (n *forNode) render(r *rendering, scope *layer) error {
	items, unknown, err := n.items.Items(r.ctx, scope)
	if err != nil {
		return err
	}
	if unknown != nil {
		return errUnknown{*unknown}
	}
	return n.renderItems(r, scope, items, 1)
}

func (n *forNode) renderItems(r *rendering, scope *layer, items []any, depth int) error {
	items, err := n.selected(r, scope, items)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return renderAll(r, newLayer(scope), n.otherwise)
	}
	l := &loop{items: items, depth: depth}
	if n.recursive {
		l.descend = func(inner []any) (string, error) { return n.descend(r, scope, inner, depth+1) }
	}
	for i, item := range items {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		l.index = i
		body := newLayer(scope)
		if err := body.assign(n.targets, item, n.at); err != nil {
			return err
		}
		body.set("loop", l.object())
		if err := renderAll(r, body, n.body); err != nil {
			return err
		}
	}
	return nil
}

// selected keeps the items for which the loop's condition holds.
func (n *forNode) selected(r *rendering, scope *layer, items []any) ([]any, error) {
	if n.condition == nil {
		return items, nil
	}
	kept := []any{}
	for _, item := range items {
		inner := newLayer(scope)
		if err := inner.assign(n.targets, item, n.at); err != nil {
			return nil, err
		}
		holds, unknown, err := n.condition.Test(r.ctx, inner)
		if err != nil {
			return nil, err
		}
		if unknown != nil {
			return nil, errUnknown{*unknown}
		}
		if holds {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

func (n *forNode) descend(r *rendering, scope *layer, items []any, depth int) (string, error) {
	if depth > deepest {
		return "", diag.New(n.at, "the loop calls itself more than %d levels deep", deepest)
	}
	inner := *r
	inner.out = new(strings.Builder)
	err := n.renderItems(&inner, scope, items, depth)
	return inner.out.String(), err
}

// loop is the variable of that name within a for.
type loop struct {
	items   []any
	index   int
	depth   int
	descend func(items []any) (string, error)
	changed *[]any // what loop.changed() was last given
}

func (l *loop) object() expression.Object {
	if l.changed == nil {
		l.changed = new([]any)
	}
	now := *l
	if l.descend != nil {
		return &recursiveLoop{now}
	}
	return &now
}

// Get implements expression.Object.
func (l *loop) Get(_ context.Context, key string) (any, bool, error) {
	switch key {
	case "index":
		return l.index + 1, true, nil
	case "index0":
		return l.index, true, nil
	case "revindex":
		return len(l.items) - l.index, true, nil
	case "revindex0":
		return len(l.items) - l.index - 1, true, nil
	case "first":
		return l.index == 0, true, nil
	case "last":
		return l.index == len(l.items)-1, true, nil
	case "length":
		return len(l.items), true, nil
	case "depth":
		return l.depth, true, nil
	case "depth0":
		return l.depth - 1, true, nil
	case "previtem":
		return l.neighbour(-1)
	case "nextitem":
		return l.neighbour(1)
	case "cycle":
		return expression.Native(l.cycle), true, nil
	case "changed":
		return expression.Native(l.hasChanged), true, nil
	}
	return nil, false, nil
}

// Keys implements expression.Object.
func (l *loop) Keys() []string {
	return []string{"index", "index0", "revindex", "revindex0", "first", "last", "length", "depth", "depth0", "previtem", "nextitem", "cycle", "changed"}
}

func (l *loop) neighbour(step int) (any, bool, error) {
	at := l.index + step
	if at < 0 || at >= len(l.items) {
		return nil, false, nil
	}
	return l.items[at], true, nil
}

func (l *loop) cycle(c *expression.Call) (any, error) {
	if len(c.Rest) == 0 {
		return nil, errors.New("loop.cycle needs at least one value")
	}
	return c.Rest[l.index%len(c.Rest)], nil
}

func (l *loop) hasChanged(c *expression.Call) (any, error) {
	same := *l.changed != nil && expression.Equal(*l.changed, c.Rest)
	*l.changed = slices.Clone(c.Rest)
	return !same, nil
}

// recursiveLoop can be called with the items of the next level.
type recursiveLoop struct{ loop }

// Call implements expression.Callable.
func (l *recursiveLoop) Call(c *expression.Call) (any, error) {
	if len(c.Rest) != 1 {
		return nil, errors.New("loop() takes the items of the next level")
	}
	items, ok := c.Rest[0].([]any)
	if !ok {
		return nil, errors.New("loop() takes a list")
	}
	return l.descend(items)
}

type parameter struct {
	name  string
	value *expression.Expression // its default; nil without one
}

// macro is the text of a {% macro %} or of what a {% call %} hands over.
type macro struct {
	name       string
	parameters []*parameter
	body       []renderer
}

// boundMacro is a macro where it was defined.
type boundMacro struct {
	*macro
	r     *rendering
	scope *layer
}

// pendingCaller is the name under which a {% call %} leaves its caller for the
// macro it calls. It cannot be typed.
const pendingCaller = "·caller"

// macroDepth is the context's count of the macros being called: a macro knows
// the rendering it was defined in, not the one that calls it.
type macroDepth struct{}

// Call implements expression.Callable.
func (m *boundMacro) Call(c *expression.Call) (any, error) {
	depth, _ := c.Context().Value(macroDepth{}).(int)
	if depth >= deepest {
		return nil, fmt.Errorf("the macro '%s' is called more than %d levels deep", m.name, deepest)
	}
	inner := newLayer(m.scope)
	if err := m.bind(c, inner); err != nil {
		return nil, err
	}
	r := *m.r
	r.ctx, r.out = context.WithValue(c.Context(), macroDepth{}, depth+1), new(strings.Builder)
	err := renderAll(&r, inner, m.body)
	if unknown, ok := errors.AsType[errUnknown](err); ok {
		return unknown.unknown, nil
	}
	return r.out.String(), err
}

// bind gives the parameters their values, in a layer of their own.
func (m *boundMacro) bind(c *expression.Call, inner *layer) error {
	names := make([]string, len(m.parameters))
	defaults := make([]any, len(m.parameters))
	for i, parameter := range m.parameters {
		names[i], defaults[i] = parameter.name, parameter // replaced below
	}
	values, err := c.Bind(names, defaults)
	if err != nil {
		return err
	}
	for i, parameter := range m.parameters {
		if values[i] != any(parameter) {
			inner.set(parameter.name, values[i])
			continue
		}
		if parameter.value == nil {
			inner.set(parameter.name, c.Argument(parameter.name))
			continue
		}
		value, err := parameter.value.Evaluate(c.Context(), inner)
		if err != nil {
			return err
		}
		inner.set(parameter.name, value)
	}
	return m.bindRest(c, inner)
}

func (m *boundMacro) bindRest(c *expression.Call, inner *layer) error {
	caller, given := c.Named["caller"]
	if own, ok := c.Scope().(*layer); ok && !given {
		caller, given = own.values[pendingCaller]
	}
	if given {
		inner.set("caller", caller)
	}
	delete(c.Named, "caller")
	rest := c.Rest
	if rest == nil {
		rest = []any{}
	}
	inner.set("varargs", rest)
	named := expression.NewDict(len(c.Named))
	for name, value := range c.Named {
		named.Set(name, value)
	}
	inner.set("kwargs", named)
	return nil
}

type macroNode struct{ macro *macro }

func (n *macroNode) render(r *rendering, scope *layer) error {
	scope.set(n.macro.name, &boundMacro{macro: n.macro, r: r, scope: scope})
	return nil
}

type callNode struct {
	caller *macro
	call   *expression.Expression
}

func (n *callNode) render(r *rendering, scope *layer) error {
	inner := newLayer(scope)
	inner.set(pendingCaller, &boundMacro{macro: n.caller, r: r, scope: scope})
	value, err := r.evaluate(n.call, inner)
	if err != nil || value == nil {
		return err
	}
	return r.write(expression.Text(value))
}

type includeNode struct {
	name          *expression.Expression
	ignoreMissing bool
	withContext   bool
	at            diag.Range
}

func (n *includeNode) render(r *rendering, scope *layer) error {
	value, err := r.evaluate(n.name, scope)
	if err != nil {
		return err
	}
	found, err := r.load(n.at, value)
	if err != nil {
		if n.ignoreMissing && errors.Is(err, ErrNoTemplate) {
			return nil
		}
		return err
	}
	below := expression.Scope(scope)
	if !n.withContext {
		below = nil
	}
	inner := *r
	inner.depth++
	return inner.run(found, newLayer(below))
}

// load finds a template by its name, or the first that exists of several.
func (r *rendering) load(at diag.Range, names any) (*Template, error) {
	if r.depth >= deepest {
		return nil, diag.New(at, "templates include each other more than %d levels deep", deepest)
	}
	list, ok := names.([]any)
	if !ok {
		list = []any{names}
	}
	var missing error
	for _, item := range list {
		name, ok := item.(string)
		if !ok {
			return nil, diag.New(at, "the name of a template is text")
		}
		file, text, err := r.options.Files.ReadTemplate(r.ctx, name)
		if err == nil {
			return Compile(r.env, text, diag.InText(file, text), r.options)
		}
		if !errors.Is(err, ErrNoTemplate) {
			return nil, diag.New(at, "the template '%s': %v", name, err).WithCause(err)
		}
		missing = err
	}
	if missing == nil {
		missing = ErrNoTemplate
	}
	return nil, diag.New(at, "%v", missing).WithCause(missing)
}

type importedName struct{ from, as string }

// importNode makes the names of another template known.
type importNode struct {
	name        *expression.Expression
	module      string
	names       []importedName
	withContext bool
	at          diag.Range
}

func (n *importNode) render(r *rendering, scope *layer) error {
	value, err := r.evaluate(n.name, scope)
	if err != nil {
		return err
	}
	found, err := r.load(n.at, value)
	if err != nil {
		return err
	}
	below := expression.Scope(scope)
	if !n.withContext {
		below = nil
	}
	exported := newLayer(below)
	inner := *r
	inner.depth++
	inner.out = new(strings.Builder)
	if err := inner.run(found, exported); err != nil {
		return err
	}
	if n.module != "" {
		scope.set(n.module, moduleOf(exported))
		return nil
	}
	for _, name := range n.names {
		value, ok := exported.values[name.from]
		if !ok {
			return diag.New(n.at, "the template has no '%s' to import", name.from)
		}
		scope.set(name.as, value)
	}
	return nil
}

func moduleOf(exported *layer) *expression.Dict {
	names := make([]string, 0, len(exported.values))
	for name := range exported.values {
		names = append(names, name)
	}
	slices.Sort(names)
	module := expression.NewDict(len(names))
	for _, name := range names {
		module.Set(name, exported.values[name])
	}
	return module
}
