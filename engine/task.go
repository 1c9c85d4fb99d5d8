package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

// execution is one task being run on the hosts of a play. Its methods are called
// for several hosts at once.
type execution struct {
	*playRun
	task    *play.Task
	id      int
	title   string
	rescued bool
}

// taskEnd is what a task came to on one host, all items together.
type taskEnd struct {
	title, module string
	name          string // as it is given, rendered; empty without one
	status        modules.Status
	ignored       bool
	changed       bool // something changed, whatever the status
	deferred      bool // check mode cannot know of some item
	fatal         bool // it ended the play for all hosts
	changes       []change.Change
	message       string
	waits         string // for deferred: what it waits for
	result        modules.Result
	registered    any                 // the value of the variable; an expression.Unknown when deferred
	facts         []func(*scope.Host) // tell the facts to another host
	notifies      []*play.Handler
	diagnostic    *diag.Diagnostic
	delegate      string
	took          time.Duration
	showing       showing
	diff          bool // diff: true
	include       *play.Include
	brought       []brought // by the include
	additions     []inventory.Addition
}

// item is one item of a task's loop on one host; a task without a loop has one
// with no label.
type item struct {
	scope    *scope.Scope
	vars     *scope.Vars    // of the loop
	loopVars map[string]any // the same
	value    any
	looped   bool
	label    string
	fault    error // its label cannot be rendered
	args     map[string]any
	runner   agent.Runner // nil: the controller does it
	delegate string
	check    bool
	env      map[string]string
	show     showing
	life     context.Context //nolint:containedctx // the run's: what connections made for the item live with
	async    *agent.Async    // nil: not a job

	begun      []change.Change // of a step that was begun and not done
	outcome    modules.Outcome
	registered map[string]any
	waits      string
	diagnostic *diag.Diagnostic
	facts      []func(*scope.Host)
	brought    []brought
	additions  []inventory.Addition
}

// on runs the task on one host and tells how it ended.
func (x *execution) on(ctx context.Context, h *host) *taskEnd {
	began := time.Now()
	s := x.task.Scope(x.scope(h))
	e := x.run(ctx, h, s)
	x.findHandlers(ctx, s, e)
	x.judgeIgnored(ctx, s, e)
	e.took = time.Since(began)
	x.finish(h, e)
	return e
}

func (x *execution) run(ctx context.Context, h *host, s *scope.Scope) *taskEnd {
	noLog, err := x.task.NoLog.Get(ctx, s)
	if err != nil {
		e := x.faulty(err)
		e.showing.noLog = true // it may be meant
		return e
	}
	diff, err := x.task.Diff.Or(ctx, s, true)
	if err == nil && h.waits != "" && x.task.Include == nil { // what is included is shown as waiting too
		err = &play.UnknownError{Reason: h.waits}
	}
	show := showing{noLog: noLog, noDiff: !diff}
	e := x.faulty(err)
	if err == nil {
		e = x.items(ctx, h, s, show)
	}
	e.showing, e.diff = show, diff && x.task.Diff != nil
	return e
}

// findHandlers finds out what a change notifies. Where the task is deferred, so
// are its handlers.
func (x *execution) findHandlers(ctx context.Context, s *scope.Scope, e *taskEnd) {
	if e.status == modules.Failed || e.status == modules.Unreachable || !e.changed && !e.deferred {
		return
	}
	for _, n := range x.task.Notify {
		handlers, err := x.handlersOf(ctx, n, s)
		if err != nil {
			fault := x.faulty(err)
			e.status, e.message, e.diagnostic, e.waits = fault.status, fault.message, fault.diagnostic, fault.waits
			return
		}
		e.notifies = append(e.notifies, handlers...)
	}
}

func (x *execution) handlersOf(ctx context.Context, n *play.Notify, s *scope.Scope) ([]*play.Handler, error) {
	if n.Handlers != nil {
		return n.Handlers, nil
	}
	names, err := n.Names(ctx, s)
	var handlers []*play.Handler
	for _, name := range names {
		found, err := x.play.HandlersFor(name)
		if err != nil {
			return nil, err
		}
		handlers = append(handlers, found...)
	}
	return handlers, err
}

// judgeIgnored applies ignore_errors and ignore_unreachable.
func (x *execution) judgeIgnored(ctx context.Context, s *scope.Scope, e *taskEnd) {
	var setting *play.Setting[bool]
	switch e.status {
	case modules.Failed:
		setting = x.task.IgnoreErrors
	case modules.Unreachable:
		setting = x.task.IgnoreUnreachable
	case modules.OK, modules.Changed, modules.Skipped, modules.Deferred:
		return
	}
	ignored, err := setting.Get(ctx, s)
	if err != nil {
		e.message += "; whether to ignore this cannot be told: " + err.Error()
	}
	e.ignored = ignored && err == nil
}

// items works out the items and runs them: all in one exchange where nothing
// asks for more.
func (x *execution) items(ctx context.Context, h *host, s *scope.Scope, show showing) *taskEnd {
	list, e := x.loop(ctx, s)
	if e != nil {
		return e
	}
	if sequential(x.task) {
		list = x.oneByOne(ctx, h, list, show)
	} else {
		x.together(ctx, h, list, show)
	}
	if len(list) == 1 && !list[0].looped {
		return x.single(list[0])
	}
	return x.combine(ctx, list)
}

// sequential reports whether each item has to wait for the one before: the
// controller's own work may use what the one before set, attempts and pauses take
// their time, and a timeout is each item's own.
func sequential(t *play.Task) bool {
	return t.Spec == nil || t.Spec.Place == modules.OnController || len(t.Until) > 0 || t.Retries != nil || t.Timeout != nil ||
		t.LoopControl.Pause != nil || len(t.LoopControl.BreakWhen) > 0
}

// loop makes the items of the task. A non-nil end means that there is nothing to
// run: no items, or they cannot be known.
func (x *execution) loop(ctx context.Context, s *scope.Scope) ([]*item, *taskEnd) {
	t := x.task
	if t.Loop == nil {
		return []*item{{scope: s}}, nil
	}
	values, err := t.Loop.Items(ctx, s)
	if err != nil {
		// As in Ansible, a condition that does not hold spares the loop.
		if holds, condition, failed := play.All(ctx, t.When, s); failed == nil && !holds {
			return nil, x.skipped("skip_reason", notHolding(condition))
		}
		return nil, x.faulty(err)
	}
	if len(values) == 0 {
		return nil, x.skipped("skipped_reason", "No items in the list")
	}
	extended, err := t.LoopControl.Extended.Get(ctx, s)
	if err != nil {
		return nil, x.faulty(err)
	}
	all, err := t.LoopControl.AllItems.Or(ctx, s, true)
	if err != nil {
		return nil, x.faulty(err)
	}
	list := make([]*item, len(values))
	for i, value := range values {
		list[i] = x.item(ctx, s, values, i, extended, all)
		list[i].value = value
	}
	return list, nil
}

// item makes one item of a loop.
func (x *execution) item(ctx context.Context, s *scope.Scope, values []any, i int, extended, all bool) *item {
	control := x.task.LoopControl
	vars := map[string]any{control.Var: values[i], "ansible_loop_var": control.Var}
	if name := control.IndexVar; name != "" {
		vars[name], vars["ansible_index_var"] = i, name
	}
	if extended {
		vars["ansible_loop"] = extendedLoop(values, i, all)
	}
	own := scope.Plain(vars, x.task.Range)
	it := &item{scope: s.With(scope.LoopVars, own), vars: own, loopVars: vars, looped: true}
	if control.Label == nil {
		it.label = expression.Text(values[i])
		return it
	}
	// The item itself must not stand in: a label may be there to hide it.
	it.label = fmt.Sprintf("item %d", i+1)
	value, err := control.Label.Render(ctx, it.scope)
	if _, unknown := value.(expression.Unknown); err == nil && !unknown {
		it.label = expression.Text(value)
	}
	it.fault = err
	return it
}

// extendedLoop is the value of ansible_loop.
func extendedLoop(values []any, i int, all bool) map[string]any {
	loop := map[string]any{
		"index": i + 1, "index0": i, "revindex": len(values) - i, "revindex0": len(values) - i - 1,
		"first": i == 0, "last": i == len(values)-1, "length": len(values),
	}
	if all {
		loop["allitems"] = values
	}
	if i > 0 {
		loop["previtem"] = values[i-1]
	}
	if i < len(values)-1 {
		loop["nextitem"] = values[i+1]
	}
	return loop
}

// together runs all items in as few exchanges as there are hosts and ways to do
// them: one, unless delegate_to or become differ between items.
func (x *execution) together(ctx context.Context, h *host, list []*item, show showing) {
	for _, it := range list {
		x.begin(ctx, h, it)
	}
	leads := oneExchange(list)
	for at := 0; at < len(list); {
		if list[at].runner == nil {
			x.itemEnd(h, list[at], show)
			at++
			continue
		}
		end := at + 1
		for end < len(list) && sameWay(list[at], list[end]) {
			end++
		}
		x.exchange(ctx, h, list[at:end], show, leads)
		at = end
	}
}

// oneExchange reports whether all items but those that are skipped go to their host
// in one exchange.
func oneExchange(list []*item) bool {
	exchanges := 0
	var before *item
	for _, it := range list {
		if it.runner == nil && it.outcome.Status != modules.Skipped {
			return false
		}
		if it.runner != nil && (before == nil || !sameWay(before, it)) {
			exchanges++
		}
		if before = it; it.runner == nil {
			before = nil
		}
	}
	return exchanges == 1
}

func sameWay(a, b *item) bool {
	sameJob := (a.async == nil) == (b.async == nil) && (a.async == nil || *a.async == *b.async)
	return b.runner == a.runner && b.check == a.check && sameJob && maps.Equal(a.env, b.env)
}

// oneByOne runs each item to its end before the next, with its attempts.
func (x *execution) oneByOne(ctx context.Context, h *host, list []*item, show showing) []*item {
	for i, it := range list {
		if ctx.Err() != nil {
			x.failItem(it, interruption(ctx)+" before it began")
			x.itemEnd(h, it, show)
			return list[:i+1]
		}
		x.attempts(ctx, h, it, show)
		stop, err := x.breaks(ctx, it)
		if err == nil && !stop && i < len(list)-1 {
			err = x.pause(ctx, it)
		}
		if err != nil {
			x.itemFault(it, err)
		}
		x.itemEnd(h, it, show)
		if stop {
			return list[:i+1]
		}
	}
	return list
}

func (x *execution) breaks(ctx context.Context, it *item) (bool, error) {
	if len(x.task.LoopControl.BreakWhen) == 0 {
		return false, nil
	}
	holds, _, err := play.All(ctx, x.task.LoopControl.BreakWhen, x.resultScope(it))
	return holds, err
}

func (x *execution) pause(ctx context.Context, it *item) error {
	pause, err := x.task.LoopControl.Pause.Get(ctx, it.scope)
	if err == nil && pause > 0 {
		sleep(ctx, pause)
	}
	return err
}

// attempts runs one item until its `until` holds or the retries are used up.
func (x *execution) attempts(ctx context.Context, h *host, it *item, show showing) {
	retries, err := x.task.Retries.Or(ctx, it.scope, 3)
	if err != nil {
		x.itemFault(it, err)
		return
	}
	delay, err := x.task.Delay.Or(ctx, it.scope, 5*time.Second)
	if err != nil {
		x.itemFault(it, err)
		return
	}
	for attempt := 1; ; attempt++ {
		x.once(ctx, h, it, show)
		done, err := x.until(ctx, it, attempt)
		if err != nil {
			x.itemFault(it, err)
		}
		if done || err != nil {
			return
		}
		if attempt > retries {
			x.giveUp(it, fmt.Sprintf("(after %d attempts)", attempt))
			it.registered["attempts"] = retries // Ansible's count, which leaves the last one out
			return
		}
		sleep(ctx, delay)
		if ctx.Err() != nil {
			x.giveUp(it, fmt.Sprintf("(%s after %d attempts)", interruption(ctx), attempt))
			return
		}
	}
}

// giveUp fails an item whose `until` did not come to hold.
func (x *execution) giveUp(it *item, why string) {
	if it.outcome.Message == "" {
		it.outcome.Message = "until did not hold: " + texts(x.task.Until)
	}
	it.outcome.Status = modules.Failed
	it.outcome.Message += " " + why
	it.registered["failed"] = true
}

// until reports whether no further attempt is needed.
func (x *execution) until(ctx context.Context, it *item, attempt int) (bool, error) {
	if len(x.task.Until) == 0 && x.task.Retries == nil {
		return true, nil
	}
	switch it.outcome.Status {
	case modules.Skipped, modules.Deferred, modules.Unreachable:
		return true, nil
	case modules.OK, modules.Changed, modules.Failed:
	}
	it.registered["attempts"] = attempt
	if len(x.task.Until) == 0 {
		return it.outcome.Status != modules.Failed, nil
	}
	holds, _, err := play.All(ctx, x.task.Until, x.resultScope(it))
	if reason, unknown := play.IsUnknown(err); unknown {
		x.deferItem(it, reason)
		return true, nil
	}
	return holds, err
}

// once runs one attempt of an item.
func (x *execution) once(ctx context.Context, h *host, it *item, show showing) {
	it.show = show
	it.runner, it.outcome, it.diagnostic, it.waits = nil, modules.Outcome{}, nil, ""
	x.begin(ctx, h, it)
	if it.runner != nil {
		x.call(ctx, h, []*item{it}, show, false)
		x.judge(ctx, h, it)
	}
}

// begin works out whether the item is to run, and how. When it.runner is nil
// afterwards, the item has ended.
func (x *execution) begin(ctx context.Context, h *host, it *item) {
	holds, condition, err := play.All(ctx, x.task.When, it.scope)
	if x.task.Include != nil && (holds || err != nil) {
		x.bring(ctx, h, it, err)
		return
	}
	if err != nil {
		x.itemFault(it, err)
		return
	}
	if !holds {
		it.outcome = modules.Outcome{Status: modules.Skipped, Message: notHolding(condition)}
		it.registered = map[string]any{
			"changed": false, "failed": false, "skipped": true,
			"skip_reason": "Conditional result was False", "false_condition": condition.Text,
		}
		return
	}
	if err = it.fault; err == nil {
		err = x.prepare(ctx, h, it)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		x.failItem(it, interruption(ctx)+" before it began")
	case err != nil:
		x.itemFault(it, err)
	}
}

func notHolding(c *play.Condition) string { return "the condition does not hold: " + c.Text }

// exchange runs items on their host in one round trip, and judges each.
func (x *execution) exchange(ctx context.Context, h *host, list []*item, show showing, leads bool) {
	x.call(ctx, h, list, show, leads)
	for _, it := range list {
		x.judge(ctx, h, it)
		x.itemEnd(h, it, show)
	}
}

// timeoutError says that the keyword timeout ended an attempt.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string {
	return fmt.Sprintf("the task took longer than its timeout of %s", e.after)
}

// interruption says why ctx has ended.
func interruption(ctx context.Context) string {
	if timeout, ok := errors.AsType[*timeoutError](context.Cause(ctx)); ok {
		return timeout.Error()
	}
	return "interrupted"
}

// limited is ctx with the task's timeout, which counts for each attempt.
func (x *execution) limited(ctx context.Context, it *item) (context.Context, context.CancelFunc, error) {
	d, err := x.task.Timeout.Get(ctx, it.scope)
	if err != nil || d <= 0 {
		return ctx, func() {}, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, d, &timeoutError{d})
	return limited, cancel, nil
}

// call hands items to the agent and takes their outcomes. leads says that nothing of
// the task comes after it.
func (x *execution) call(ctx context.Context, h *host, list []*item, show showing, leads bool) {
	if h.ahead.over != nil {
		ctx = h.ahead.over
	}
	ctx, cancel, err := x.limited(ctx, list[0])
	if err != nil {
		list[0].outcome = modules.Outcome{Status: modules.Failed, Message: err.Error()}
		return
	}
	defer cancel()
	for _, it := range list {
		it.begun = nil
	}
	outcomes, err := x.hand(ctx, h, list[0].runner, x.exchangeOf(list), leads, func(e agent.Event) { x.forward(h, list[e.Item], e, show) })
	for i, it := range list {
		if i >= len(outcomes) || outcomes[i].Status == "" {
			it.outcome = lost(ctx, err)
			continue
		}
		it.outcome = outcomes[i]
		if o := &it.outcome; ctx.Err() != nil && o.Status == modules.Failed {
			o.Message = strings.ReplaceAll(o.Message, context.Canceled.Error(), interruption(ctx))
		}
	}
}

// exchangeOf is what the host is told of items that go to it together.
func (x *execution) exchangeOf(list []*item) agent.Task {
	ignored, _ := x.task.IgnoreErrors.Literal()
	first := list[0]
	t := agent.Task{Module: x.task.Spec.Name, Check: first.check, Fresh: first.check && !x.Check, Environment: first.env, Async: first.async, Anyway: ignored}
	for _, it := range list {
		t.Items = append(t.Items, it.args)
	}
	return t
}

// lost is the outcome of an item of which the host told nothing.
func lost(ctx context.Context, err error) modules.Outcome {
	o := modules.Outcome{Status: modules.Unreachable, Result: modules.Result{}}
	switch {
	case ctx.Err() != nil:
		o.Status, o.Message = modules.Failed, interruption(ctx)+"; what the host did last is not known"
	case err == nil:
		o.Status, o.Message = modules.Failed, "the host told no result"
	case agent.Refused(err):
		o.Status, o.Message = modules.Failed, err.Error()
	default:
		o.Message = err.Error()
	}
	return o
}

// forward turns what the agent tells into events.
func (x *execution) forward(h *host, it *item, e agent.Event, show showing) {
	label := show.text(it.label)
	switch {
	case e.Planned != nil:
		it.begun = e.Planned
		x.emit(event.Planned{Task: x.id, Host: h.name, Item: label, Changes: show.changes(e.Planned)})
	case e.Done != nil:
		it.begun = nil
		x.emit(event.StepDone{Task: x.id, Host: h.name, Item: label, Changes: show.changes(e.Done)})
	case e.Output != nil && !show.noLog:
		x.emit(event.Output{Task: x.id, Host: h.name, Item: label, Stream: e.Output.Stream, Line: e.Output.Text})
	}
}

// itemEnd tells of an item of a loop.
func (x *execution) itemEnd(h *host, it *item, show showing) {
	if !it.looped {
		return
	}
	e := event.ItemEnd{
		Task: x.id, Host: h.name, Item: show.text(it.label), Status: it.outcome.Status,
		Changes: show.changes(it.outcome.Changes), Message: show.text(it.outcome.Message), Result: it.outcome.Result,
	}
	if show.noLog {
		e.Result = nil
	}
	x.emit(e)
}

// single is the end of a task without a loop.
func (x *execution) single(it *item) *taskEnd {
	e := x.end(it.outcome.Status, it.outcome.Message)
	e.changes, e.waits, e.diagnostic, e.delegate = it.outcome.Changes, it.waits, it.diagnostic, it.delegate
	e.result, e.facts, e.registered, e.brought = it.outcome.Result, it.facts, it.registered, it.brought
	e.additions = it.additions
	e.changed, _ = it.registered["changed"].(bool)
	if e.status == modules.Deferred {
		e.changed, e.deferred, e.registered = false, true, x.unknown()
	}
	return e
}

// worst orders the statuses of items: the task has that of the first found.
var worst = []modules.Status{modules.Unreachable, modules.Failed, modules.Deferred, modules.Changed, modules.OK, modules.Skipped}

// combine makes one end of all items of a loop.
func (x *execution) combine(ctx context.Context, list []*item) *taskEnd {
	e := x.end(modules.Skipped, "")
	results := make([]any, len(list))
	seen := map[modules.Status]bool{}
	var faults *multierror.Error
	for i, it := range list {
		seen[it.outcome.Status] = true
		e.changes = append(e.changes, it.outcome.Changes...)
		e.facts = append(e.facts, it.facts...)
		e.brought = append(e.brought, it.brought...)
		e.additions = append(e.additions, it.additions...)
		e.delegate = it.delegate
		maps.Copy(it.registered, it.loopVars)
		results[i] = it.registered
		changed, _ := it.registered["changed"].(bool)
		switch it.outcome.Status {
		case modules.Deferred:
			results[i], e.waits, e.deferred = x.unknown(), it.waits, true
		case modules.Failed, modules.Unreachable:
			faults = multierror.Append(faults, fmt.Errorf("%s: %s", it.label, it.outcome.Message))
			if e.diagnostic == nil {
				e.diagnostic = it.diagnostic
			}
		case modules.OK, modules.Changed, modules.Skipped:
		}
		e.changed = e.changed || changed && it.outcome.Status != modules.Deferred
	}
	e.status = worst[slices.IndexFunc(worst, func(s modules.Status) bool { return seen[s] })]
	x.registerLoop(ctx, e, results, faults)
	return e
}

// registerLoop makes the result of a loop.
func (x *execution) registerLoop(ctx context.Context, e *taskEnd, results []any, faults *multierror.Error) {
	failed := e.status == modules.Failed || e.status == modules.Unreachable
	registered := map[string]any{"results": results, "changed": e.changed, "failed": failed, "msg": "All items completed"}
	switch e.status {
	case modules.Failed, modules.Unreachable:
		e.message = listed(faults)
		registered["msg"] = "One or more items failed"
		if e.status == modules.Unreachable {
			registered["unreachable"] = true
		}
	case modules.Skipped:
		e.message = "the condition holds for no item"
		registered["skipped"], registered["msg"] = true, "All items skipped"
	case modules.Deferred:
		e.message = "waits for " + e.waits
	case modules.OK, modules.Changed:
	}
	if e.status != modules.Skipped && !e.deferred {
		registered["skipped"] = false
	}
	if e.deferred && !e.changed {
		registered["changed"] = x.unknown()
	}
	if e.deferred && !failed {
		registered["failed"] = x.unknown()
	}
	e.registered = registered
	if plain, err := expression.Plain(ctx, registered); err == nil { // an item that cannot be read whole stays out of the event
		e.result, _ = told(plain).(map[string]any)
	}
}

// told is a plain value for an event, where Unknown has no place.
func told(value any) any {
	switch v := value.(type) {
	case expression.Unknown:
		return map[string]any{"unknown": v.Reason}
	case *expression.Undefined:
		return nil
	case []any:
		for i := range v {
			v[i] = told(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = told(v[key])
		}
	}
	return value
}

// listed shows all faults of a loop, one a line.
func listed(faults *multierror.Error) string {
	faults.ErrorFormat = func(all []error) string {
		lines := make([]string, len(all))
		for i, err := range all {
			lines[i] = err.Error()
		}
		return strings.Join(lines, "\n")
	}
	return faults.Error()
}

// unknown is what a deferred task registers.
func (x *execution) unknown() expression.Unknown {
	return expression.Unknown{Reason: fmt.Sprintf("the result of the task “%s”", x.title)}
}

func (x *execution) end(status modules.Status, message string) *taskEnd {
	e := &taskEnd{title: x.title, module: x.task.Module, include: x.task.Include, status: status, message: message}
	if x.task.Name != "" {
		e.name = x.title
	}
	return e
}

// skipped is the end of a loop that does not begin. Key is Ansible's for why.
func (x *execution) skipped(key, why string) *taskEnd {
	e := x.end(modules.Skipped, why)
	e.registered = map[string]any{"changed": false, "failed": false, "skipped": true, key: why, "results": []any{}}
	return e
}

// faulty is the end of a task that could not be begun: an expression failed, or
// in check mode could not be known.
func (x *execution) faulty(err error) *taskEnd {
	it := &item{}
	if err != nil {
		x.itemFault(it, err)
	}
	return x.single(it)
}

// itemFault ends an item with an error of the controller's side.
func (x *execution) itemFault(it *item, err error) {
	it.runner = nil
	if reason, unknown := play.IsUnknown(err); unknown {
		x.deferItem(it, reason)
		return
	}
	status := modules.Failed
	if _, ok := errors.AsType[*transport.UnreachableError](err); ok {
		status = modules.Unreachable
	}
	message := err.Error()
	if d, ok := errors.AsType[diag.Diagnostic](err); ok {
		it.diagnostic = &d
		message = d.Summary
	}
	it.outcome = modules.Outcome{Status: status, Message: message, Result: modules.Result{}}
	it.registered = map[string]any{"changed": false, "failed": true, "msg": message}
	if status == modules.Unreachable {
		it.registered["unreachable"] = true
	}
}

// deferItem ends an item that needs what check mode cannot know. In a real run
// nothing will ever make it known, so that going on without the item would pretend.
func (x *execution) deferItem(it *item, reason string) {
	if !x.Check && !it.check {
		x.failItem(it, "this needs "+reason+", which is not known: with check_mode: true that task did not really run")
		return
	}
	it.waits = reason
	it.outcome.Status, it.outcome.Message = modules.Deferred, "waits for "+reason
	it.outcome.Changes = nil
	it.registered = map[string]any{"changed": false}
}

// finish emits the end of the task on a host.
func (x *execution) finish(h *host, e *taskEnd) {
	out := event.TaskEnd{
		Task: x.id, Play: x.playRun.title, Name: x.title, Module: x.task.Module, Host: h.name, Delegate: e.delegate,
		Place: x.task.Range, Status: e.status, Ignored: e.ignored, Rescued: e.status == modules.Failed && x.rescued && !e.ignored,
		Changes: e.showing.changes(e.changes), Diff: e.diff, Took: e.took, Message: e.showing.text(e.message),
		Result: e.result, Diagnostic: e.diagnostic, Deferred: e.waits,
	}
	if e.showing.noLog {
		out.Result, out.Diagnostic = nil, nil
	}
	x.emit(out)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
