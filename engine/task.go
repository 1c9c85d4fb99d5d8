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
	status        modules.Status
	ignored       bool
	changes       []change.Change
	message       string
	waits         string // for deferred: what it waits for
	result        modules.Result
	registered    any // the value of the variable; an expression.Unknown when deferred
	facts         map[string]any
	diagnostic    *diag.Diagnostic
	delegate      string
	took          time.Duration
	noLog         bool
}

// item is one item of a task's loop on one host; a task without a loop has one
// with no label.
type item struct {
	scope    *scope.Scope
	value    any
	looped   bool
	label    string
	args     map[string]any
	runner   agent.Runner // nil: the controller does it
	delegate string
	check    bool
	env      map[string]string

	outcome    modules.Outcome
	registered map[string]any
	waits      string
	diagnostic *diag.Diagnostic
	facts      map[string]any
	took       time.Duration
}

// on runs the task on one host and tells how it ended.
func (x *execution) on(ctx context.Context, h *host) *taskEnd {
	began := time.Now()
	s := x.task.Scope(x.scopes.Scope(h.name))
	limited, cancel, err := x.withTimeout(ctx, s)
	if err != nil {
		e := x.faulty(err)
		x.finish(h, e)
		return e
	}
	defer cancel()
	e := x.items(limited, h, s)
	if limited.Err() != nil && ctx.Err() == nil {
		e.status, e.message = modules.Failed, "the task took longer than its timeout"
	}
	e.took = time.Since(began)
	x.judgeIgnored(ctx, s, e)
	x.finish(h, e)
	return e
}

func (x *execution) withTimeout(ctx context.Context, s *scope.Scope) (context.Context, context.CancelFunc, error) {
	d, err := x.task.Timeout.Get(ctx, s)
	if err != nil || d <= 0 {
		return ctx, func() {}, err
	}
	limited, cancel := context.WithTimeout(ctx, d)
	return limited, cancel, nil
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
	e.ignored = ignored && err == nil
}

// items works out the items and runs them: all in one exchange where nothing
// asks for more.
func (x *execution) items(ctx context.Context, h *host, s *scope.Scope) *taskEnd {
	noLog, err := x.task.NoLog.Get(ctx, s)
	if err != nil {
		return x.faulty(err)
	}
	list, e := x.loop(ctx, s)
	if e != nil {
		e.noLog = noLog
		return e
	}
	if x.sequential() {
		list = x.oneByOne(ctx, h, list, noLog)
	} else {
		x.together(ctx, h, list, noLog)
	}
	return x.combine(list, noLog)
}

// sequential reports whether each item has to wait for the one before: the
// controller's own work may use what the one before set, and attempts and pauses
// take their time.
func (x *execution) sequential() bool {
	t := x.task
	return t.Spec == nil || t.Spec.Place == modules.OnController || len(t.Until) > 0 ||
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
		if holds, _, condition := play.All(ctx, t.When, s); condition == nil && !holds {
			return nil, x.skipped("the condition does not hold")
		}
		return nil, x.faulty(err)
	}
	if len(values) == 0 {
		return nil, x.skipped("the loop has no items")
	}
	extended, err := t.LoopControl.Extended.Get(ctx, s)
	if err != nil {
		return nil, x.faulty(err)
	}
	list := make([]*item, len(values))
	for i, value := range values {
		vars := map[string]any{t.LoopControl.Var: value, "ansible_loop_var": t.LoopControl.Var}
		if name := t.LoopControl.IndexVar; name != "" {
			vars[name], vars["ansible_index_var"] = i, name
		}
		if extended {
			vars["ansible_loop"] = extendedLoop(values, i)
		}
		it := &item{scope: s.With(scope.LoopVars, scope.Plain(vars, t.Range)), value: value, looped: true}
		it.label = x.label(ctx, it)
		list[i] = it
	}
	return list, nil
}

// extendedLoop is the value of ansible_loop.
func extendedLoop(values []any, i int) map[string]any {
	loop := map[string]any{
		"allitems": values, "index": i + 1, "index0": i, "revindex": len(values) - i, "revindex0": len(values) - i - 1,
		"first": i == 0, "last": i == len(values)-1, "length": len(values),
	}
	if i > 0 {
		loop["previtem"] = values[i-1]
	}
	if i < len(values)-1 {
		loop["nextitem"] = values[i+1]
	}
	return loop
}

// label is how an item is shown.
func (x *execution) label(ctx context.Context, it *item) string {
	if l := x.task.LoopControl.Label; l != nil {
		if value, err := l.Render(ctx, it.scope); err == nil {
			return expression.Text(value)
		}
	}
	return expression.Text(it.value)
}

// together runs all items in as few exchanges as there are hosts and ways to do
// them: one, unless delegate_to or become differ between items.
func (x *execution) together(ctx context.Context, h *host, list []*item, noLog bool) {
	for _, it := range list {
		x.begin(ctx, h, it)
	}
	for at := 0; at < len(list); {
		if list[at].runner == nil {
			x.itemEnd(h, list[at], noLog)
			at++
			continue
		}
		end := at + 1
		for end < len(list) && sameWay(list[at], list[end]) {
			end++
		}
		x.exchange(ctx, h, list[at:end], noLog)
		at = end
	}
}

func sameWay(a, b *item) bool {
	return b.runner == a.runner && b.check == a.check && maps.Equal(a.env, b.env)
}

// oneByOne runs each item to its end before the next, with its attempts.
func (x *execution) oneByOne(ctx context.Context, h *host, list []*item, noLog bool) []*item {
	for i, it := range list {
		x.attempts(ctx, h, it, noLog)
		if ctx.Err() != nil {
			return list[:i+1]
		}
		stop, err := x.breaks(ctx, it)
		if err != nil {
			x.itemFault(it, err)
		}
		if stop {
			return list[:i+1]
		}
		if pause, err := x.task.LoopControl.Pause.Get(ctx, it.scope); err == nil && i < len(list)-1 {
			sleep(ctx, pause)
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

// attempts runs one item until its `until` holds or the retries are used up.
func (x *execution) attempts(ctx context.Context, h *host, it *item, noLog bool) {
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
		x.once(ctx, h, it, noLog)
		done, err := x.until(ctx, it, attempt)
		if err != nil {
			x.itemFault(it, err)
		}
		if done || err != nil || ctx.Err() != nil {
			break
		}
		if attempt > retries {
			it.outcome.Status = modules.Failed
			if it.outcome.Message == "" {
				it.outcome.Message = "until did not hold"
			}
			it.outcome.Message += fmt.Sprintf(" (after %d attempts)", attempt)
			it.registered["failed"] = true
			break
		}
		sleep(ctx, delay)
	}
	x.itemEnd(h, it, noLog)
}

// until reports whether no further attempt is needed.
func (x *execution) until(ctx context.Context, it *item, attempt int) (bool, error) {
	if len(x.task.Until) == 0 {
		return true, nil
	}
	switch it.outcome.Status {
	case modules.Skipped, modules.Deferred, modules.Unreachable:
		return true, nil
	case modules.OK, modules.Changed, modules.Failed:
	}
	it.registered["attempts"] = attempt
	holds, _, err := play.All(ctx, x.task.Until, x.resultScope(it))
	if reason, unknown := play.IsUnknown(err); unknown {
		x.deferItem(it, reason)
		return true, nil
	}
	return holds, err
}

// once runs one attempt of an item.
func (x *execution) once(ctx context.Context, h *host, it *item, noLog bool) {
	it.runner, it.outcome, it.diagnostic, it.waits = nil, modules.Outcome{}, nil, ""
	x.begin(ctx, h, it)
	if it.runner != nil {
		x.call(ctx, h, []*item{it}, noLog)
		x.judge(ctx, h, it)
	}
}

// begin works out whether the item is to run, and how. When it.runner is nil
// afterwards, the item has ended.
func (x *execution) begin(ctx context.Context, h *host, it *item) {
	holds, condition, err := play.All(ctx, x.task.When, it.scope)
	if err != nil {
		x.itemFault(it, err)
		return
	}
	if !holds {
		it.outcome = modules.Outcome{Status: modules.Skipped, Message: "the condition does not hold: " + condition.Text}
		it.registered = map[string]any{
			"changed": false, "skipped": true, "skip_reason": "Conditional result was False", "false_condition": condition.Text,
		}
		return
	}
	if err := x.prepare(ctx, h, it); err != nil {
		x.itemFault(it, err)
	}
}

// exchange runs items on their host in one round trip, and judges each.
func (x *execution) exchange(ctx context.Context, h *host, list []*item, noLog bool) {
	x.call(ctx, h, list, noLog)
	for _, it := range list {
		x.judge(ctx, h, it)
		x.itemEnd(h, it, noLog)
	}
}

// call hands items to the agent and takes their outcomes.
func (x *execution) call(ctx context.Context, h *host, list []*item, noLog bool) {
	t := agent.Task{Module: x.task.Spec.Name, Check: list[0].check, Fresh: list[0].check && !x.Check, Environment: list[0].env}
	for _, it := range list {
		t.Items = append(t.Items, it.args)
	}
	began := time.Now()
	last := began
	outcomes, err := list[0].runner.Run(ctx, t, func(e agent.Event) {
		it := list[e.Item]
		if e.Outcome != nil {
			it.took, last = time.Since(last), time.Now()
		}
		x.forward(h, it, e, noLog)
	})
	for i, it := range list {
		if i < len(outcomes) && outcomes[i].Status != "" {
			it.outcome = outcomes[i]
			if errors.Is(ctx.Err(), context.Canceled) {
				it.outcome.Message = strings.ReplaceAll(it.outcome.Message, context.Canceled.Error(), "interrupted")
			}
			continue
		}
		it.outcome = lost(ctx, err)
	}
}

// lost is the outcome of an item of which the host told nothing.
func lost(ctx context.Context, err error) modules.Outcome {
	o := modules.Outcome{Status: modules.Unreachable, Result: modules.Result{}}
	switch {
	case ctx.Err() != nil:
		o.Status, o.Message = modules.Failed, "interrupted; what the host did last is not known"
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
func (x *execution) forward(h *host, it *item, e agent.Event, noLog bool) {
	planned, done, label := e.Planned, e.Done, it.label
	if noLog {
		planned, done, label = hideChanges(planned), hideChanges(done), ""
	}
	switch {
	case planned != nil:
		x.emit(event.Planned{Task: x.id, Host: h.name, Item: label, Changes: planned})
	case done != nil:
		x.emit(event.StepDone{Task: x.id, Host: h.name, Item: label, Changes: done})
	case e.Output != nil && !noLog:
		x.emit(event.Output{Task: x.id, Host: h.name, Item: it.label, Stream: e.Output.Stream, Line: e.Output.Text})
	}
}

// itemEnd tells of an item of a loop.
func (x *execution) itemEnd(h *host, it *item, noLog bool) {
	if !it.looped {
		return
	}
	e := event.ItemEnd{
		Task: x.id, Host: h.name, Item: it.label, Status: it.outcome.Status, Changes: it.outcome.Changes,
		Message: it.outcome.Message, Result: it.outcome.Result,
	}
	if noLog {
		e.Changes, e.Result, e.Item, e.Message = hideChanges(e.Changes), nil, "", hiddenMessage(e.Message)
	}
	x.emit(e)
}

// combine makes one end of all items.
func (x *execution) combine(list []*item, noLog bool) *taskEnd {
	if len(list) == 1 && !list[0].looped {
		it := list[0]
		e := x.end(it.outcome.Status, it.outcome.Message)
		e.changes, e.waits, e.diagnostic, e.delegate = it.outcome.Changes, it.waits, it.diagnostic, it.delegate
		e.result, e.facts, e.noLog = it.outcome.Result, it.facts, noLog
		e.registered = it.registered
		if e.status == modules.Deferred {
			e.registered = x.unknown()
		}
		return e
	}
	return x.combineLoop(list, noLog)
}

// worst orders the statuses of items: the task has that of the first found.
var worst = []modules.Status{modules.Unreachable, modules.Failed, modules.Deferred, modules.Changed, modules.OK, modules.Skipped}

func (x *execution) combineLoop(list []*item, noLog bool) *taskEnd {
	e := x.end(modules.Skipped, "")
	e.noLog = noLog
	results := make([]any, len(list))
	seen := map[modules.Status]bool{}
	facts := map[string]any{}
	var faults *multierror.Error
	for i, it := range list {
		seen[it.outcome.Status] = true
		e.changes = append(e.changes, it.outcome.Changes...)
		results[i] = it.registered
		if it.outcome.Status == modules.Deferred {
			results[i] = x.unknown()
			e.waits = it.waits
		}
		if it.outcome.Status == modules.Failed || it.outcome.Status == modules.Unreachable {
			faults = multierror.Append(faults, fmt.Errorf("%s: %s", it.label, it.outcome.Message))
			if e.diagnostic == nil {
				e.diagnostic = it.diagnostic
			}
		}
		maps.Copy(facts, it.facts)
		e.delegate = it.delegate
	}
	e.facts = facts
	e.status = worst[slices.IndexFunc(worst, func(s modules.Status) bool { return seen[s] })]
	registered := map[string]any{"results": results, "changed": e.status == modules.Changed || seen[modules.Changed], "msg": "All items completed"}
	switch e.status {
	case modules.Failed, modules.Unreachable:
		e.message = listed(faults)
		registered["failed"], registered["msg"] = true, "One or more items failed"
	case modules.Skipped:
		e.message = "the condition holds for no item"
		registered["skipped"], registered["msg"] = true, "All items skipped"
	case modules.Deferred:
		e.message = "waits for " + e.waits
	case modules.OK, modules.Changed:
	}
	registered["failed"] = e.status == modules.Failed || e.status == modules.Unreachable
	e.registered, e.result = registered, modules.Result(registered)
	return e
}

// listed shows all faults of a loop, one a line.
func listed(faults *multierror.Error) string {
	faults.ErrorFormat = func(all []error) string {
		text := ""
		for i, err := range all {
			if i > 0 {
				text += "\n"
			}
			text += err.Error()
		}
		return text
	}
	return faults.Error()
}

// unknown is what a deferred task registers.
func (x *execution) unknown() expression.Unknown {
	return expression.Unknown{Reason: fmt.Sprintf("the result of the task “%s”", x.title)}
}

func (x *execution) end(status modules.Status, message string) *taskEnd {
	return &taskEnd{title: x.title, module: x.task.Module, status: status, message: message}
}

func (x *execution) skipped(why string) *taskEnd {
	e := x.end(modules.Skipped, why)
	e.registered = map[string]any{"changed": false, "skipped": true, "skip_reason": why, "results": []any{}}
	return e
}

// faulty is the end of a task that could not be begun: an expression failed, or
// in check mode could not be known.
func (x *execution) faulty(err error) *taskEnd {
	it := &item{}
	x.itemFault(it, err)
	e := x.end(it.outcome.Status, it.outcome.Message)
	e.waits, e.diagnostic, e.registered = it.waits, it.diagnostic, it.registered
	if e.status == modules.Deferred {
		e.registered = x.unknown()
	}
	return e
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

func (x *execution) deferItem(it *item, reason string) {
	it.waits = reason
	it.outcome.Status, it.outcome.Message = modules.Deferred, "waits for "+reason
	it.outcome.Changes = nil
	it.registered = map[string]any{"changed": false}
}

// finish emits the end of the task on a host.
func (x *execution) finish(h *host, e *taskEnd) {
	out := event.TaskEnd{
		Task: x.id, Play: x.play.Name, Name: x.title, Module: x.task.Module, Host: h.name, Delegate: e.delegate,
		Place: x.task.Range, Status: e.status, Ignored: e.ignored, Rescued: e.status == modules.Failed && x.rescued && !e.ignored,
		Changes: e.changes, Took: e.took, Message: e.message, Result: e.result, Diagnostic: e.diagnostic, Deferred: e.waits,
	}
	if e.noLog {
		out.Changes, out.Result, out.Diagnostic = hideChanges(out.Changes), nil, nil
		out.Message = hiddenMessage(out.Message)
	}
	x.emit(out)
}

func hiddenMessage(message string) string {
	if message == "" {
		return ""
	}
	return noLogText
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
