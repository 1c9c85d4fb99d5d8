package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

// While a task is with its host, those that come after it may be sent too, so that
// the host need not wait for the network between them. Only what cannot be told
// apart from one after another goes ahead: the host must be the only one that the
// order concerns, the tasks must not depend on results that are not there yet, and
// the host itself must be able to judge whether the one in front failed, since it
// does not begin what is behind a failure. When its turn comes each task is worked
// out anew, as if nothing had been sent, and must come to what was sent.

// mostAhead bounds what a host is sent ahead.
const mostAhead = 64

// ahead are the tasks of a host whose turn is to come, worked out before it.
type ahead struct {
	entries []*entry
	// over is the context that was cancelled while some of them had been begun.
	over context.Context //nolint:containedctx // to tell the interruption from one of the task's own
}

// entry is one of them. Without sent it has nothing for the host to do: its
// condition does not hold.
type entry struct {
	task     *play.Task
	exchange agent.Task
	sent     *agent.Sent
}

// order knows which task comes after each, if all goes well.
type order struct {
	next map[*play.Task]*play.Task
	uses map[string]bool // of roles, see play.Role.Use
}

// orderOf is that of the play's tasks. Handlers are not in it, and what includes
// bring is added then.
func orderOf(p *play.Play) *order {
	o := &order{map[*play.Task]*play.Task{}, map[string]bool{}}
	for _, stage := range slices.Backward(p.Stages) {
		o.add(stage.Steps, nil)
	}
	return o
}

// add notes steps, the last one's next being after, and gives the first. Nothing
// comes after the end of a role that is used again: whether it is depends on it.
func (o *order) add(steps []play.Step, after *play.Task) *play.Task {
	for _, step := range slices.Backward(steps) {
		switch step := step.(type) {
		case *play.Task:
			o.next[step], after = after, step
		case *play.Block:
			tail := o.add(step.Always, after)
			o.add(step.Rescue, tail)
			after = o.add(step.Steps, tail)
		case *play.RoleEnd:
			if o.uses[step.Role.Use] && !step.Role.Again {
				after = nil
			}
			o.uses[step.Role.Use] = true
		}
	}
	return after
}

// pipelines reports whether a host may be sent tasks ahead: nobody asks or looks
// between tasks, and no other host's tasks have their place between its own.
func (p *playRun) pipelines(h *host) bool {
	switch {
	case p.Step != nil, p.StartAt != nil, h.waits != "", h.leaving > 0, len(p.play.HostVarsFiles) > 0:
		return false
	case p.apart == nil:
		return len(p.batch) == 1
	}
	// Forks that are fewer than hosts pass from one to another between tasks; and what
	// one host does to the play or the inventory is to reach the others in time.
	return (p.apart.forks == nil || cap(p.apart.forks) >= len(p.batch)) && !p.meddles
}

// meddles reports whether a task of the play concerns hosts other than its own.
func meddles(p *play.Play) bool {
	return p.Grows() || anyTask(p, func(t *play.Task) bool {
		return t.Action == play.IncludeTasks || t.Action == play.IncludeRole ||
			t.Action == play.RunMeta && !slices.Contains([]play.Meta{play.FlushHandlers, play.Noop, play.EndHost, play.EndRole, play.Reset}, t.Meta)
	})
}

// mayFollow reports whether nothing that is written in a task speaks against sending
// it before its turn.
func mayFollow(t *play.Task) bool {
	once, literal := t.RunOnce.Literal()
	return t.Action == play.RunModule && t.Spec != nil && t.Spec.Place == modules.OnHost && !sequential(t) &&
		t.Async == nil && t.DelegateTo == nil && t.CheckMode == nil && t.Throttle == nil &&
		(t.RunOnce == nil || literal && !once) && (t.Loop == nil || slices.Contains(pureLoops, t.Loop.Keyword))
}

// pureLoops are those whose items are made of the written value alone.
var pureLoops = []string{"loop", "with_list", "with_items", "with_dict", "with_flattened", "with_indexed_items", "with_together", "with_nested", "with_cartesian"}

// mayLead reports whether others may be sent behind a task: its host can judge
// whether it failed, and of what it leaves behind only its result is read by others.
func (p *playRun) mayLead(ctx context.Context, t *play.Task) bool {
	_, literal := t.IgnoreErrors.Literal()
	if !mayFollow(t) || len(t.FailedWhen) > 0 || t.IgnoreErrors != nil && !literal || t.IgnoreUnreachable != nil ||
		strings.HasPrefix(t.Register, "ansible_") {
		return false
	}
	if slices.ContainsFunc(t.Spec.Returns, func(r modules.Return) bool { return r.Name == "ansible_facts" }) ||
		slices.ContainsFunc(t.Notify, func(n *play.Notify) bool { return n.Handlers == nil }) {
		return false
	}
	ctx, early := expression.WithEarly(ctx, func(string) bool { return true })
	_, _, err := play.All(ctx, t.ChangedWhen, (*scope.Scope)(nil))
	return err == nil && !early.Tripped()
}

// changing tells which variables the tasks that have not ended may change, lead
// being the one whose turn it is.
func (p *playRun) changing(h *host, lead *play.Task) func(string) bool {
	return func(name string) bool {
		switch name {
		case "hostvars", "vars", "ansible_play_hosts", "play_hosts", "ansible_play_batch", "ansible_failed_task", "ansible_failed_result":
			return true
		case "groups":
			return p.apart != nil
		}
		return lead.Register == name || slices.ContainsFunc(h.ahead.entries, func(e *entry) bool { return e.task.Register == name })
	}
}

// hand hands a task to its host, or takes up the one that was sent, sends what may go
// out behind it, and waits for how it ended.
func (x *execution) hand(ctx context.Context, h *host, runner agent.Runner, t agent.Task, leads bool, on func(agent.Event)) ([]modules.Outcome, error) {
	sender, able := runner.(agent.Sender)
	if !able {
		return runner.Run(ctx, t, on)
	}
	mine, err := x.takeUp(ctx, h, t)
	if err != nil {
		return []modules.Outcome{{Status: modules.Failed, Message: err.Error(), Result: modules.Result{}}}, nil //nolint:nilerr // the task has failed, not the host
	}
	if mine == nil {
		if mine, err = sender.Begin(ctx, t, nil); err != nil {
			return nil, err
		}
	}
	if leads && h.ahead.over == nil && x.pipelines(h) {
		x.sendAhead(ctx, h, sender, mine)
	}
	return mine.Wait(ctx, on)
}

// takeUp gives the task at hand if it was sent. That it is another one than was sent
// is a fault of ours, which must not be hidden: something was done that nobody asked
// for.
func (x *execution) takeUp(ctx context.Context, h *host, t agent.Task) (*agent.Sent, error) {
	at := slices.IndexFunc(h.ahead.entries, func(e *entry) bool { return e.task == x.task })
	if at < 0 {
		x.giveUpAhead(ctx, h)
		return nil, nil //nolint:nilnil // it was not sent, which is no fault
	}
	passed, mine := h.ahead.entries[:at], h.ahead.entries[at]
	h.ahead.entries = h.ahead.entries[at+1:]
	for _, e := range passed {
		if e.sent != nil {
			x.strays(ctx, h, e)
		}
	}
	if !reflect.DeepEqual(mine.exchange, t) {
		var err error
		if mine.sent != nil {
			mine.sent.Cancel()
			_, err = mine.sent.Wait(ctx, nil)
		}
		return nil, errors.Join(errors.New("the host was told to do this task before its turn, with other arguments than it has now; this is a fault of rbdplay"), err)
	}
	return mine.sent, nil
}

// sendAhead works out the tasks behind the one at hand and sends them, up to the
// first that has to wait for its turn.
func (x *execution) sendAhead(ctx context.Context, h *host, sender agent.Sender, mine *agent.Sent) {
	last, behind := x.task, mine
	if n := len(h.ahead.entries); n > 0 {
		last = h.ahead.entries[n-1].task
		for _, e := range h.ahead.entries {
			if e.sent != nil {
				behind = e.sent
			}
		}
	}
	ctx = expression.WithWarnings(ctx, func(string) {}) // given when its turn comes
	for len(h.ahead.entries) < mostAhead && x.mayLead(ctx, last) {
		next := x.nextOn(h, last)
		if next == nil || !mayFollow(next) {
			return
		}
		e, err := x.workOut(ctx, h, next, sender)
		if e == nil || err != nil {
			return // it has to wait; what is wrong with it is told when its turn comes
		}
		if len(e.exchange.Items) > 0 {
			if e.sent, err = sender.Begin(ctx, e.exchange, behind); err != nil {
				return // the host is lost, or the run interrupted: the task at hand tells
			}
			behind = e.sent
		}
		h.ahead.entries, last = append(h.ahead.entries, e), next
	}
}

// nextOn is the task that the host comes to after t.
func (p *playRun) nextOn(h *host, t *play.Task) *play.Task {
	for next := p.order.next[t]; next != nil; next = p.order.next[next] {
		if p.Selection.Selects(next.Tags) && len(inRole([]*host{h}, next)) > 0 {
			return next
		}
	}
	return nil
}

// workOut renders a task before its turn. It gives nil when that needs what is not
// known yet, or when the task needs more than one exchange with its host over the
// connection of sender.
func (x *execution) workOut(ctx context.Context, h *host, t *play.Task, sender agent.Sender) (*entry, error) {
	ctx, early := expression.WithEarly(ctx, x.changing(h, x.task))
	y := &execution{playRun: x.playRun, task: t}
	s := t.Scope(x.scope(h))
	if _, err := t.NoLog.Get(ctx, s); err != nil {
		return nil, err
	}
	if _, err := t.Diff.Get(ctx, s); err != nil {
		return nil, err
	}
	list, end := y.loop(ctx, s)
	if end != nil && end.status != modules.Skipped || early.Tripped() {
		return nil, nil //nolint:nilnil // it has to wait, which is no fault
	}
	var out []*item
	for _, it := range list {
		begins, err := y.draft(ctx, h, it, sender)
		if err != nil || early.Tripped() {
			return nil, err
		}
		if begins {
			out = append(out, it)
		}
	}
	e := &entry{task: t}
	if len(out) > 0 {
		if !oneExchange(list) {
			return nil, nil //nolint:nilnil // as above
		}
		e.exchange = y.exchangeOf(out)
	}
	return e, nil
}

// draft is begin without its effects: it renders an item, if its condition holds.
func (x *execution) draft(ctx context.Context, h *host, it *item, sender agent.Sender) (begins bool, err error) {
	holds, _, err := play.All(ctx, x.task.When, it.scope)
	if err != nil {
		return false, err
	}
	if !holds {
		it.outcome.Status = modules.Skipped
		return false, nil
	}
	if it.fault != nil {
		return false, it.fault
	}
	if it.check, err = x.checks(ctx, it.scope); err != nil {
		return false, err
	}
	if err := x.render(ctx, it); err != nil {
		return false, err
	}
	options, err := x.task.Spec.Options()
	if err != nil {
		return false, err
	}
	for _, o := range options {
		if err := x.draftOption(ctx, it, o); err != nil {
			return false, err
		}
	}
	target, err := x.targetOf(ctx, h.name, it.scope)
	if err != nil {
		return false, err
	}
	if target.Connection.Kind == inventory.Local || x.links.ready(target) != sender {
		return false, errors.New("it goes another way to its host")
	}
	it.runner = sender
	return true, nil
}

// draftOption refuses what names a file of the controller: the tasks in front may
// change it, where the host is the controller.
func (x *execution) draftOption(ctx context.Context, it *item, o modules.Option) error {
	name, value, given := o.In(it.args)
	if !given {
		return nil
	}
	if _, text := value.(string); !text {
		return x.jsonOption(ctx, it, name, value, o)
	}
	onHost := false
	switch o.Type {
	case "template", "content", "script":
	case "source":
		onHost = x.sourceOnHost(it)
	case "tree":
		onHost = truth(it.args["remote_src"])
	default:
		onHost = true
	}
	if !onHost {
		return fmt.Errorf("%s is a file of the controller", name)
	}
	return nil
}

// underway reports whether a host that is to go no further has nevertheless begun
// tasks whose turn is to come, so that they must be told of. On an interruption it
// cancels them.
func (p *playRun) underway(ctx context.Context, h *host) bool {
	at := slices.IndexFunc(h.ahead.entries, func(e *entry) bool { return e.sent != nil })
	if at < 0 {
		h.ahead.entries = nil
		return false
	}
	first := h.ahead.entries[at].sent
	if ctx.Err() != nil && h.ahead.over == nil {
		h.ahead.over = ctx //nolint:fatcontext // the same one, not one within it
		first.Cancel()
	}
	if ctx.Err() == nil || first.Begun() {
		return true
	}
	p.giveUpAhead(ctx, h)
	return false
}

// undisturbed is ctx for a task that was worked out ahead. The run may be interrupted
// by then: what is told of the task must be whole all the same.
func (h *host) undisturbed(ctx context.Context, t *play.Task) context.Context {
	if h.ahead.over != nil && slices.ContainsFunc(h.ahead.entries, func(e *entry) bool { return e.task == t }) {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// giveUpAhead forgets what was sent, when one in front of it failed. The host has
// begun none of it.
func (p *playRun) giveUpAhead(ctx context.Context, h *host) {
	entries := h.ahead.entries
	h.ahead = ahead{}
	for _, e := range entries {
		if e.sent != nil {
			p.strays(ctx, h, e)
		}
	}
}

// strayPatience is how long to wait for the host to say that it did not begin a task.
const strayPatience = 20 * time.Second

// strays makes sure that the host has not begun a task, and says so if it has or
// nobody knows.
func (p *playRun) strays(ctx context.Context, h *host, e *entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), strayPatience)
	defer cancel()
	_, err := e.sent.Wait(ctx, nil)
	switch {
	case errors.Is(err, agent.ErrUnbegun):
	case err != nil:
		p.emit(event.Message{Host: h.name, Warning: true, Text: fmt.Sprintf("%s: the host was told to do this task too, once the one in front of it had ended; whether it has begun it is not known: %v", e.task.Range, err)})
	default:
		p.emit(event.Message{Host: h.name, Warning: true, Text: fmt.Sprintf("%s: the host did this task though one in front of it did not end well; this is a fault of rbdplay", e.task.Range)})
	}
}
