package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

func compare(a, b string) int { return cmp.Compare(a, b) }

// steps takes hosts through a list of steps, all in step: nobody begins a task
// before everybody has ended the one before. rescued says that a block around
// the steps has a rescue.
func (p *playRun) steps(ctx context.Context, list []play.Step, hosts []*host, rescued bool) {
	for _, step := range list {
		active := activeOf(hosts)
		if len(active) == 0 || (p.ended || ctx.Err() != nil) && !p.underway(ctx, active[0]) {
			return
		}
		switch step := step.(type) {
		case *play.Block:
			p.block(ctx, step, active, rescued)
		case *play.RoleEnd:
			for _, h := range active {
				h.uses.ended[step.Role.Use] = h.uses.ran[step.Role.Use]
			}
		case *play.Task:
			if p.selected(step, p.startedFor(active)) {
				if active = inRole(active, step); len(active) == 0 {
					continue
				}
				p.step(ctx, step, active, rescued, false)
			}
		}
	}
}

// step does what a task's action asks for.
func (p *playRun) step(ctx context.Context, t *play.Task, hosts []*host, rescued, handler bool) {
	switch t.Action {
	case play.RunMeta:
		p.meta(ctx, t, hosts, rescued)
	case play.IncludeTasks, play.IncludeRole:
		p.include(ctx, t, hosts, rescued, handler)
	case play.RunModule, play.ValidateArgs:
		p.task(ctx, t, hosts, rescued, handler)
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
	faults := map[*host]*taskEnd{}
	var reached []*host
	for _, h := range hosts {
		if h.unreachable || h.ended {
			continue
		}
		if h.failed {
			faults[h], h.failed = h.fault, false
			h.leaving++
		}
		reached = append(reached, h)
	}
	p.steps(ctx, b.Always, reached, rescued)
	for h, fault := range faults {
		h.failed, h.fault = true, fault
		h.leaving--
	}
}

// rescue takes failed hosts back in and runs the rescue on them.
func (p *playRun) rescue(ctx context.Context, b *play.Block, hosts []*host, rescued bool) {
	var back []*host
	for _, h := range hosts {
		if h.failed && !h.unreachable {
			h.failed = false
			h.vars.Register("ansible_failed_task", map[string]any{"name": h.fault.name, "action": h.fault.module}, b.Range)
			h.vars.Register("ansible_failed_result", h.fault.registered, b.Range)
			back = append(back, h)
		}
	}
	if len(back) > 0 {
		p.steps(ctx, b.Rescue, back, rescued)
	}
}

// task runs one task on hosts and waits for all of them. It gives the hosts that
// it ran on, which is one of them with run_once, and how it ended there.
func (p *playRun) task(ctx context.Context, t *play.Task, hosts []*host, rescued, handler bool) ([]*host, []*taskEnd) {
	if hosts = p.readVarsFiles(ctx, t, hosts, rescued); len(hosts) == 0 {
		return nil, nil
	}
	ctx = hosts[0].undisturbed(ctx, t)
	first := t.Scope(p.scope(hosts[0]))
	if t.Spec != nil && t.Spec.Name == "add_host" && p.apart == nil {
		hosts = hosts[:1] // as in Ansible, where only this one registers the result
	}
	if !p.wanted(ctx, t, hosts[0]) {
		return nil, nil
	}
	targets := hosts
	once, err := t.RunOnce.Get(ctx, first)
	if err != nil {
		p.broken(ctx, t, hosts, err, rescued)
		return nil, nil
	}
	if once && p.apart == nil {
		targets = hosts[:1]
	}
	width, err := p.width(ctx, t, first, len(targets))
	if err != nil {
		p.broken(ctx, t, hosts, err, rescued)
		return nil, nil
	}
	if p.apart != nil {
		p.warnApart(t, once)
	}
	x := p.start(ctx, t, targets, rescued, handler)
	ends := make([]*taskEnd, len(targets))
	leave := p.letOthersGo(ctx, t, width)
	group := errgroup.Group{}
	group.SetLimit(width)
	for i, h := range targets {
		group.Go(func() error {
			ends[i] = x.on(ctx, h)
			return nil // a failure is the host's, and stops nobody else
		})
	}
	_ = group.Wait() // never an error, see above
	leave()
	p.settle(ctx, t, hosts, targets, ends, rescued)
	for _, h := range targets {
		if !h.active() {
			p.giveUpAhead(ctx, h)
		}
	}
	return targets, ends
}

// start tells that a task begins on hosts.
func (p *playRun) start(ctx context.Context, t *play.Task, hosts []*host, rescued, handler bool) *execution {
	s := p.vars.Scope()
	if p.scopes != nil { // not when the play itself is at fault
		s = p.scope(hosts[0])
	}
	x := &execution{playRun: p, task: t, id: p.nextID(), title: t.Title(ctx, t.Scope(s)), rescued: rescued}
	role := ""
	if t.Role != nil {
		role = t.Role.Name
	}
	p.emit(event.TaskStart{
		ID: x.id, Play: p.title, Task: x.title, Module: t.Module, Role: role, Handler: handler,
		Place: t.Range, Tags: t.Tags, Hosts: namesOf(hosts),
	})
	return x
}

// width is how many hosts a task works for at a time.
func (p *playRun) width(ctx context.Context, t *play.Task, s *scope.Scope, hosts int) (int, error) {
	width := hosts
	if p.apart != nil {
		width = len(p.batch)
	}
	if p.Forks > 0 {
		width = min(width, p.Forks)
	}
	n, err := t.Throttle.Get(ctx, s)
	if n > 0 {
		width = min(width, n)
	}
	return width, err
}

// settle counts what came of a task, keeps its results, and notices failures that
// concern more than one host. A task with run_once speaks for all hosts.
func (p *playRun) settle(ctx context.Context, t *play.Task, hosts, targets []*host, ends []*taskEnd, rescued bool) {
	for i, h := range targets {
		h.count(ends[i], rescued)
		h.noteUse(t, ends[i])
		p.keep(t, h, ends[i])
		p.notify(h, ends[i])
	}
	p.growBy(ctx, t, ends)
	if len(targets) < len(hosts) {
		for _, h := range hosts[1:] {
			p.share(t, h, ends[0])
		}
	}
	p.noticeFatal(ctx, t, ends, rescued)
	if p.scopes != nil {
		p.showHosts()
	}
}

// noteUse notes that a task of a role was not skipped.
func (h *host) noteUse(t *play.Task, e *taskEnd) {
	did := e.status == modules.OK || e.status == modules.Changed || e.status == modules.Failed
	if t.Role != nil && did {
		h.uses.ran[t.Role.Use] = true
	}
}

// growBy makes the groups that a task found for its hosts. What is wrong with one
// is the fault of all, and ends the play.
func (p *playRun) growBy(ctx context.Context, t *play.Task, ends []*taskEnd) {
	var additions []inventory.Addition
	for _, e := range ends {
		additions = append(additions, e.additions...)
	}
	if len(additions) == 0 {
		return
	}
	if err := p.grow(ctx, additions); err != nil {
		p.broken(ctx, &play.Task{Name: t.Name, Module: t.Module, Range: t.Range}, activeOf(p.batch), err, false)
	}
}

// keep registers a task's result. What set_fact could not tell in check mode is
// unknown from here on: the value from before would be a lie.
func (p *playRun) keep(t *play.Task, h *host, e *taskEnd) {
	if t.Register != "" {
		h.vars.Register(t.Register, e.registered, t.Range)
	}
	if !e.deferred || t.Spec == nil || t.Spec.Name != "set_fact" {
		return
	}
	for _, name := range t.Args.Names() {
		if name != "cacheable" {
			h.vars.SetFact(name, expression.Unknown{Reason: e.waits}, false, t.Args.Where(name))
		}
	}
}

// share gives the other hosts what a task came to that ran once for all: its
// result, its facts and its failure.
func (p *playRun) share(t *play.Task, h *host, e *taskEnd) {
	p.keep(t, h, e)
	for _, tell := range e.facts {
		tell(h.vars)
	}
	if e.status == modules.Failed && !e.ignored {
		h.failed, h.fault = true, e
	}
}

// noticeFatal ends the play for all hosts of the batch when a failure is more
// than its host's own matter: they count as failed, so that always parts run and
// nothing else. A failure that a rescue takes care of is not; a lost host is, as
// no rescue can run on it.
func (p *playRun) noticeFatal(ctx context.Context, t *play.Task, ends []*taskEnd, rescued bool) {
	i := slices.IndexFunc(ends, func(e *taskEnd) bool {
		return !e.ignored && (e.status == modules.Unreachable || e.status == modules.Failed && !rescued)
	})
	if i < 0 || p.apart != nil { // as with Ansible, which warns
		return
	}
	fatal := !rescued && p.settings.maxFail >= 0 && float64(p.lost())*100/float64(len(p.batch)) > p.settings.maxFail
	if t.AnyErrorsFatal != nil {
		holds, err := t.AnyErrorsFatal.Get(ctx, t.Scope(p.scope(p.batch[0])))
		if err != nil {
			p.emit(event.Message{Text: err.Error() + "; taken as yes", Warning: true})
		}
		fatal = fatal || holds || err != nil
	}
	if !fatal {
		return
	}
	ends[i].fatal = true
	for _, h := range p.batch {
		if h.active() {
			h.failed, h.fault = true, ends[i]
		}
	}
}

// broken ends a task on hosts without running it: it is at fault itself, or in
// check mode cannot be known.
func (p *playRun) broken(ctx context.Context, t *play.Task, hosts []*host, err error, rescued bool) {
	p.without(ctx, t, hosts, rescued, func(x *execution, _ int) *taskEnd { return x.faulty(err) })
}

// without ends a task on hosts that has nothing to run.
func (p *playRun) without(ctx context.Context, t *play.Task, hosts []*host, rescued bool, end func(x *execution, host int) *taskEnd) {
	x := p.start(ctx, t, hosts, rescued, false)
	ends := make([]*taskEnd, len(hosts))
	for i, h := range hosts {
		ends[i] = end(x, i)
		if p.scopes != nil {
			x.judgeIgnored(ctx, t.Scope(p.scope(h)), ends[i])
		}
		x.finish(h, ends[i])
	}
	p.settle(ctx, t, hosts, hosts, ends, rescued)
}

// meta does what a meta task asks of the engine. Those that concern the whole
// play take their condition from the first host, as in Ansible.
func (p *playRun) meta(ctx context.Context, t *play.Task, hosts []*host, rescued bool) {
	switch t.Meta {
	case play.FlushHandlers:
		p.flushHandlers(ctx, p.chosen(ctx, t, hosts, rescued), rescued)
	case play.EndHost:
		for _, h := range p.chosen(ctx, t, hosts, rescued) {
			h.ended = true
		}
	case play.EndPlay, play.EndBatch, play.ClearFacts, play.ClearHostErrors:
		if len(p.chosen(ctx, t, hosts[:1], rescued)) > 0 {
			p.metaForAll(t.Meta)
		}
	case play.EndRole:
		for _, h := range p.chosen(ctx, t, hosts, rescued) {
			h.role = t.Role
		}
	case play.Refresh:
		if len(p.chosen(ctx, t, hosts[:1], rescued)) > 0 {
			if err := p.refresh(ctx); err != nil {
				p.broken(ctx, t, hosts, err, rescued)
			}
		}
	case play.Reset:
		p.reset(p.chosen(ctx, t, hosts, rescued))
	case play.Noop:
	}
	p.showHosts()
}

func (p *playRun) metaForAll(what play.Meta) {
	switch what {
	case play.EndPlay, play.EndBatch:
		p.ended, p.over = true, what == play.EndPlay
	case play.ClearFacts:
		for _, h := range p.named {
			h.vars.ClearFacts()
		}
	case play.ClearHostErrors:
		// As documented: they are there for later plays, not for the rest of this.
		for _, h := range p.named {
			if h.failed || h.unreachable {
				h.failed, h.unreachable, h.ended = false, false, true
			}
		}
	case play.FlushHandlers, play.EndHost, play.EndRole, play.Refresh, play.Reset, play.Noop:
	}
}

// reset ends the connections of hosts. In check mode they stay: what a host would
// be by now is in the memory of its agent.
func (p *playRun) reset(hosts []*host) {
	if p.Check {
		return
	}
	for _, h := range hosts {
		p.links.drop(h.name)
	}
}

// inRole are the hosts that have not left the task's role, or one that led to it,
// and on which that use of the role has not run before.
func inRole(hosts []*host, t *play.Task) []*host {
	return slices.DeleteFunc(slices.Clone(hosts), func(h *host) bool {
		if h.handling {
			return false
		}
		if t.Role != nil && !t.Role.Again && h.uses.ended[t.Role.Use] {
			return true
		}
		for r := t.Role; r != nil && h.role != nil; r = r.Parent {
			if r == h.role {
				return true
			}
		}
		return false
	})
}

// chosen are the hosts on which the condition of a meta task holds. Where check
// mode cannot know, the play goes on, to show as much as it can, and says so.
func (p *playRun) chosen(ctx context.Context, t *play.Task, hosts []*host, rescued bool) []*host {
	var chosen []*host
	for _, h := range hosts {
		holds, _, err := p.holds(ctx, t, h)
		if reason, unknown := play.IsUnknown(err); unknown {
			p.emit(event.Message{
				Host: h.name, Warning: true,
				Text: fmt.Sprintf("check mode cannot know whether “meta: %s” at %s applies, which waits for %s; what follows is shown as if it did not", t.Meta, t.Range, reason),
			})
			continue
		}
		if err != nil {
			p.broken(ctx, t, []*host{h}, err, rescued)
			continue
		}
		if holds {
			chosen = append(chosen, h)
		}
	}
	return chosen
}

// holds tests the condition of a task on a host.
func (p *playRun) holds(ctx context.Context, t *play.Task, h *host) (bool, *play.Condition, error) {
	if h.waits != "" {
		return false, nil, &play.UnknownError{Reason: h.waits}
	}
	return play.All(ctx, t.When, t.Scope(p.scope(h)))
}
