package engine

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/modules"
)

// playRun is a play on its hosts.
type playRun struct {
	*run
	play     *play.Play
	scopes   *scope.Play
	all      []*host // that were in the play when it began
	batch    []*host
	notified map[*play.Handler]map[*host]bool
	ended    bool // no further steps of the batch: meta: end_play, end_batch, or a fatal failure
	over     bool // meta: end_play, no further batches either
	fatal    bool // any_errors_fatal or max_fail_percentage ended it
}

// play runs one play, batch after batch.
func (r *run) play(ctx context.Context, p *play.Play, names []string) {
	var hosts []*host
	for _, name := range names {
		h := r.hosts[name]
		h.ended = false
		if h.active() {
			hosts = append(hosts, h)
		}
	}
	hosts = ordered(hosts, p.Order)
	if len(hosts) == 0 || !r.hasWork(p) {
		return
	}
	roles := make([]string, len(p.Roles))
	for i, role := range p.Roles {
		roles[i] = role.Name
	}
	scopes, err := r.vars.Play(scope.PlayOptions{Name: p.Name, Hosts: namesOf(hosts), Layers: p.Layers, Roles: roles})
	if err != nil {
		r.emit(event.Message{Text: err.Error(), Warning: true})
		r.stopped = true
		return
	}
	pr := &playRun{run: r, play: p, scopes: scopes, all: hosts, notified: map[*play.Handler]map[*host]bool{}}
	r.emit(event.PlayStart{Play: p.Name, Place: p.Range, Hosts: namesOf(hosts)})
	at := 0
	for _, size := range p.Batches(len(hosts)) {
		pr.batch = hosts[at : at+size]
		at += size
		pr.runBatch(ctx)
		if r.stopped || pr.fatal || pr.over || ctx.Err() != nil {
			return
		}
	}
}

// hasWork reports whether the selection leaves the play any task; a play without
// one contacts nobody.
func (r *run) hasWork(p *play.Play) bool {
	if !r.started {
		return anyTask(p, func(t *play.Task) bool { return t.ID == r.StartAt.ID })
	}
	return anyTask(p, func(t *play.Task) bool { return r.Selection.Selects(t.Tags) })
}

func anyTask(p *play.Play, holds func(*play.Task) bool) bool {
	var inSteps func(steps []play.Step) bool
	inSteps = func(steps []play.Step) bool {
		return slices.ContainsFunc(steps, func(s play.Step) bool {
			switch s := s.(type) {
			case *play.Task:
				return holds(s)
			case *play.Block:
				return inSteps(s.Steps) || inSteps(s.Rescue) || inSteps(s.Always)
			}
			return false
		})
	}
	return slices.ContainsFunc(p.Stages, func(s play.Stage) bool { return inSteps(s.Steps) })
}

// ordered puts hosts, which come in inventory order, into the play's.
func ordered(hosts []*host, order play.Order) []*host {
	byName := func(a, b *host) int { return compare(a.name, b.name) }
	switch order {
	case play.ReverseInventoryOrder:
		slices.Reverse(hosts)
	case play.SortedOrder:
		slices.SortStableFunc(hosts, byName)
	case play.ReverseSortedOrder:
		slices.SortStableFunc(hosts, func(a, b *host) int { return byName(b, a) })
	case play.ShuffledOrder:
		rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	case play.InventoryOrder:
	}
	return hosts
}

// runBatch runs the play's stages on the hosts of one batch.
func (p *playRun) runBatch(ctx context.Context) {
	p.ended = false
	p.showHosts()
	if gather, err := p.gathers(ctx); err != nil || gather {
		p.gatherFacts(ctx)
	}
	for _, stage := range p.play.Stages {
		p.steps(ctx, stage.Steps, p.batch, false)
		p.flushHandlers(ctx)
	}
	lost := 0
	for _, h := range p.batch {
		if h.failed || h.unreachable {
			lost++
		}
	}
	if lost == len(p.batch) || p.fatal {
		p.stopped = true
	}
}

// gathers reports whether the play gathers facts: it does unless it says no.
func (p *playRun) gathers(ctx context.Context) (bool, error) {
	return p.play.GatherFacts.Or(ctx, p.vars.Scope(), true)
}

// gatherFacts runs setup on the batch, as a task of its own. It is left out when
// the run starts at a later task, as in Ansible it is not.
func (p *playRun) gatherFacts(ctx context.Context) {
	spec, known := p.Registry.Find("setup")
	if !known {
		return
	}
	t := &play.Task{
		Inherited: p.play.Inherited, Name: "Gathering Facts", Module: "setup", Range: p.play.Range,
		Action: play.RunModule, Spec: spec, Args: &play.Arguments{Range: p.play.Range},
	}
	t.When = nil
	p.task(ctx, t, activeOf(p.batch), false, false)
}

// showHosts updates ansible_play_hosts and ansible_play_batch.
func (p *playRun) showHosts() {
	p.scopes.SetHosts(namesOf(activeOf(p.all)), namesOf(activeOf(p.batch)))
}

// flushHandlers runs the notified handlers in the order in which they are
// defined. Handlers that these notify run in the same flush.
func (p *playRun) flushHandlers(ctx context.Context) {
	for again := true; again; {
		again = false
		for _, handler := range p.play.Handlers {
			waiting := p.takeNotified(ctx, handler)
			if len(waiting) == 0 || ctx.Err() != nil {
				continue
			}
			again = true
			p.task(ctx, &handler.Task, waiting, false, true)
		}
	}
}

// takeNotified gives the hosts that notified the handler and can run it, in the
// order of the batch, and forgets the notification.
func (p *playRun) takeNotified(ctx context.Context, handler *play.Handler) []*host {
	force, _ := p.play.ForceHandlers.Or(ctx, p.vars.Scope(), false) // a faulty template was refused at load or forces nothing
	var waiting []*host
	for _, h := range p.batch {
		if !p.notified[handler][h] || h.unreachable || (h.failed || p.fatal) && !force {
			continue
		}
		delete(p.notified[handler], h)
		waiting = append(waiting, h)
	}
	return waiting
}

// notify remembers what a changed task notified.
func (p *playRun) notify(ctx context.Context, t *play.Task, h *host, s *scope.Scope) error {
	for _, n := range t.Notify {
		handlers := n.Handlers
		if handlers == nil {
			names, err := n.Names(ctx, s)
			if err != nil {
				return err
			}
			for _, name := range names {
				found, err := p.play.HandlersFor(name)
				if err != nil {
					return err
				}
				handlers = append(handlers, found...)
			}
		}
		for _, handler := range handlers {
			if p.notified[handler] == nil {
				p.notified[handler] = map[*host]bool{}
			}
			p.notified[handler][h] = true
		}
	}
	return nil
}

// count adds a task's end to the recap of a host, and says whether the host goes on.
func (h *host) count(e *taskEnd, rescued bool) {
	switch e.status {
	case modules.OK:
		h.totals.OK++
	case modules.Changed:
		h.totals.OK++
		h.totals.Changed++
	case modules.Skipped:
		h.totals.Skipped++
	case modules.Deferred:
		h.totals.Deferred++
	case modules.Unreachable:
		h.totals.Unreachable++
		h.unreachable = !e.ignored
	case modules.Failed:
		h.fault = e
		switch {
		case e.ignored:
			h.totals.OK++
			h.totals.Ignored++
		case rescued:
			h.failed = true // until the rescue takes it back
		default:
			h.failed = true
			h.totals.Failed++
		}
	}
}
