package engine

import (
	"cmp"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/modules"
)

func compare(a, b string) int { return cmp.Compare(a, b) }

// steps takes hosts through a list of steps, all in step: nobody begins a task
// before everybody has ended the one before. rescued says that a block around
// the steps has a rescue.
func (p *playRun) steps(ctx context.Context, list []play.Step, hosts []*host, rescued bool) {
	for _, step := range list {
		active := activeOf(hosts)
		if len(active) == 0 || p.ended || ctx.Err() != nil {
			return
		}
		switch step := step.(type) {
		case *play.Block:
			p.block(ctx, step, active, rescued)
		case *play.Task:
			if p.selected(step) {
				p.step(ctx, step, active, rescued)
			}
		}
	}
}

// step does what a task's action asks for.
func (p *playRun) step(ctx context.Context, t *play.Task, hosts []*host, rescued bool) {
	switch t.Action {
	case play.RunMeta:
		p.meta(ctx, t, hosts, rescued)
	case play.IncludeTasks, play.IncludeRole:
		p.include(ctx, t, hosts, rescued)
	case play.RunModule, play.ValidateArgs:
		p.task(ctx, t, hosts, rescued, false)
	}
}

// block runs the steps of a block, the rescue on the hosts on which one failed,
// and the always part on every host that can still be reached.
func (p *playRun) block(ctx context.Context, b *play.Block, hosts []*host, rescued bool) {
	p.steps(ctx, b.Steps, hosts, rescued || b.Rescue != nil)
	if b.Rescue != nil {
		p.rescue(ctx, b, hosts, rescued)
	}
	if b.Always == nil {
		return
	}
	failed := map[*host]bool{}
	var reached []*host
	for _, h := range hosts {
		if h.unreachable || h.ended {
			continue
		}
		failed[h], h.failed = h.failed, false
		reached = append(reached, h)
	}
	p.steps(ctx, b.Always, reached, rescued)
	for _, h := range reached {
		h.failed = h.failed || failed[h]
	}
}

// rescue takes failed hosts back in and runs the rescue on them.
func (p *playRun) rescue(ctx context.Context, b *play.Block, hosts []*host, rescued bool) {
	var back []*host
	for _, h := range hosts {
		if h.failed && !h.unreachable {
			h.failed = false
			h.totals.Rescued++
			h.vars.Register("ansible_failed_task", map[string]any{"name": h.fault.title, "action": h.fault.module}, b.Range)
			h.vars.Register("ansible_failed_result", h.fault.registered, b.Range)
			back = append(back, h)
		}
	}
	if len(back) > 0 {
		p.steps(ctx, b.Rescue, back, rescued)
	}
}

// task runs one task on hosts and waits for all of them.
func (p *playRun) task(ctx context.Context, t *play.Task, hosts []*host, rescued, handler bool) {
	first := t.Scope(p.scopes.Scope(hosts[0].name))
	targets := hosts
	once, err := t.RunOnce.Get(ctx, first)
	if err != nil {
		p.broken(ctx, t, hosts, err, rescued)
		return
	}
	if once {
		targets = hosts[:1]
	}
	x := &execution{playRun: p, task: t, id: p.nextID(), title: t.Title(ctx, first), rescued: rescued}
	p.emit(event.TaskStart{
		ID: x.id, Play: p.play.Name, Task: x.title, Module: t.Module, Role: roleName(t), Handler: handler,
		Place: t.Range, Tags: t.Tags, Hosts: namesOf(targets),
	})
	ends := make([]*taskEnd, len(targets))
	group := errgroup.Group{}
	group.SetLimit(p.width(ctx, t, first, len(targets)))
	for i, h := range targets {
		group.Go(func() error {
			ends[i] = x.on(ctx, h)
			return nil // a failure is the host's, and stops nobody else
		})
	}
	_ = group.Wait() // never an error, see above
	p.settle(ctx, t, hosts, targets, ends, rescued)
}

// width is how many hosts a task works for at a time.
func (p *playRun) width(ctx context.Context, t *play.Task, s *scope.Scope, hosts int) int {
	width := hosts
	if p.Forks > 0 {
		width = min(width, p.Forks)
	}
	if n, err := t.Throttle.Get(ctx, s); err == nil && n > 0 {
		width = min(width, n)
	}
	return width
}

func roleName(t *play.Task) string {
	if t.Role == nil {
		return ""
	}
	return t.Role.Name
}

// settle counts what came of a task, keeps its results, and notices failures that
// concern more than one host. A task with run_once speaks for all hosts.
func (p *playRun) settle(ctx context.Context, t *play.Task, hosts, targets []*host, ends []*taskEnd, rescued bool) {
	for i, h := range targets {
		h.count(ends[i], rescued)
		if err := p.keep(ctx, t, h, ends[i]); err != nil {
			p.broken(ctx, t, []*host{h}, err, rescued)
		}
	}
	if len(targets) < len(hosts) {
		for _, h := range hosts[1:] {
			p.share(t, h, ends[0])
		}
	}
	p.showHosts()
	p.noticeFatal(ctx, t, rescued)
}

// keep registers a task's result and notifies.
func (p *playRun) keep(ctx context.Context, t *play.Task, h *host, e *taskEnd) error {
	if t.Register != "" {
		h.vars.Register(t.Register, e.registered, t.Range)
	}
	if e.status == modules.Changed {
		return p.notify(ctx, t, h, t.Scope(p.scopes.Scope(h.name)))
	}
	return nil
}

// share gives the other hosts the result of a task that ran once for all.
func (p *playRun) share(t *play.Task, h *host, e *taskEnd) {
	if t.Register != "" {
		h.vars.Register(t.Register, e.registered, t.Range)
	}
	for name, value := range e.facts {
		h.vars.SetFact(name, value, false, t.Range)
	}
	if e.status == modules.Failed && !e.ignored {
		h.failed, h.fault = true, e
	}
}

// noticeFatal ends the play when a failure is more than its host's own matter.
func (p *playRun) noticeFatal(ctx context.Context, t *play.Task, rescued bool) {
	if rescued {
		return
	}
	lost := 0
	for _, h := range p.batch {
		if h.failed || h.unreachable {
			lost++
		}
	}
	if lost == 0 {
		return
	}
	s := t.Scope(p.scopes.Scope(p.batch[0].name))
	any, err := t.AnyErrorsFatal.Get(ctx, s)
	fatal := any || err != nil
	if most, err := p.play.MaxFail.Or(ctx, s, -1); err != nil || most >= 0 && float64(lost)*100/float64(len(p.batch)) > most {
		fatal = true
	}
	if fatal {
		p.ended, p.fatal = true, true
	}
}

// broken ends a task on hosts without running it: it is at fault itself, or in
// check mode cannot be known.
func (p *playRun) broken(ctx context.Context, t *play.Task, hosts []*host, err error, rescued bool) {
	x := &execution{playRun: p, task: t, id: p.nextID(), title: t.Title(ctx, p.vars.Scope()), rescued: rescued}
	p.emit(event.TaskStart{ID: x.id, Play: p.play.Name, Task: x.title, Module: t.Module, Role: roleName(t), Place: t.Range, Tags: t.Tags, Hosts: namesOf(hosts)})
	for _, h := range hosts {
		e := x.faulty(err)
		x.finish(h, e)
		h.count(e, rescued)
	}
	p.noticeFatal(ctx, t, rescued)
}

// meta does what a meta task asks of the engine.
func (p *playRun) meta(ctx context.Context, t *play.Task, hosts []*host, rescued bool) {
	var chosen []*host
	for _, h := range hosts {
		holds, _, err := play.All(ctx, t.When, t.Scope(p.scopes.Scope(h.name)))
		if _, unknown := play.IsUnknown(err); unknown {
			err = nil // in check mode the play goes on, to show as much as it can
		}
		if err != nil {
			p.broken(ctx, t, []*host{h}, err, rescued)
			continue
		}
		if holds {
			chosen = append(chosen, h)
		}
	}
	if len(chosen) == 0 {
		return
	}
	switch t.Meta {
	case play.FlushHandlers:
		p.flushHandlers(ctx)
	case play.EndPlay, play.EndBatch:
		p.ended, p.over = true, t.Meta == play.EndPlay
	case play.EndHost:
		for _, h := range chosen {
			h.ended = true
		}
	case play.ClearFacts:
		for _, h := range chosen {
			h.vars.ClearFacts()
		}
	case play.ClearHostErrors:
		for _, h := range p.all {
			h.failed, h.unreachable = false, false
		}
	case play.EndRole, play.Noop:
	}
	p.showHosts()
}

// include runs what an include brings; hosts for which it is the same go
// together, in the order of the first of each.
func (p *playRun) include(ctx context.Context, t *play.Task, hosts []*host, rescued bool) {
	type share struct {
		steps []play.Step
		hosts []*host
	}
	var shares []*share
	byKey := map[string]*share{}
	for _, h := range hosts {
		steps, err := p.included(ctx, t, h)
		if err != nil {
			p.broken(ctx, t, []*host{h}, err, rescued)
		}
		if len(steps) == 0 {
			continue
		}
		key := fmt.Sprintf("%p", steps[0])
		if byKey[key] == nil {
			byKey[key] = &share{steps: steps}
			shares = append(shares, byKey[key])
		}
		byKey[key].hosts = append(byKey[key].hosts, h)
	}
	for _, s := range shares {
		p.steps(ctx, s.steps, s.hosts, rescued)
	}
}

// included gives the steps that an include brings on a host, none when its
// condition does not hold.
func (p *playRun) included(ctx context.Context, t *play.Task, h *host) ([]play.Step, error) {
	s := t.Scope(p.scopes.Scope(h.name))
	holds, _, err := play.All(ctx, t.When, s)
	if err != nil || !holds {
		return nil, err
	}
	return t.Include.Steps(ctx, s)
}
