package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/modules"
)

// playRun is a play on its hosts.
type playRun struct {
	*run
	play     *play.Play
	title    string // of the play
	scopes   *scope.Play
	named    []*host // all that the play's pattern chooses, those lost before it too
	all      []*host // that were in the play when it began
	batch    []*host
	notified map[*play.Handler]map[*host]notification
	shown    map[*play.Exposure]bool // of roles that were included with public: yes
	settings playSettings
	apart    *apart // nil: strategy linear
	order    *order
	meddles  bool
	ended    bool // meta: end_play or end_batch: no further steps of the batch
	over     bool // meta: end_play: no further batches either
}

// notification says that a handler is to run on a host, or with a reason that
// check mode cannot know whether it is.
type notification struct{ waits string }

// playSettings are the keywords of a play that may hold templates.
type playSettings struct {
	gather  bool
	force   bool    // force_handlers
	maxFail float64 // max_fail_percentage; negative: not said
}

// play runs one play, batch after batch.
func (r *run) play(ctx context.Context, p *play.Play, names []string) {
	pr := &playRun{run: r, play: p, title: p.Title(ctx, r.vars.Scope().WithLayers(r.layersOf(p))), notified: map[*play.Handler]map[*host]notification{}, shown: map[*play.Exposure]bool{}}
	for _, name := range names {
		h := r.hosts[name]
		h.ended, h.role, h.varsFiles, h.varsFilesLack, h.uses = false, nil, nil, false, newRoleUses()
		pr.named = append(pr.named, h)
	}
	pr.all = ordered(activeOf(pr.named), p.Order)
	if len(pr.all) == 0 || !r.started && !anyTask(p, r.startsAt) {
		return
	}
	if err := pr.open(ctx); err != nil {
		pr.batch = pr.all
		pr.broken(ctx, &play.Task{Name: "Settings of the play", Module: "play", Range: p.Range}, pr.all, err, false)
		r.stopped = true
		return
	}
	if !pr.hasWork() {
		return
	}
	r.emit(event.PlayStart{Play: pr.title, Place: p.Range, Hosts: namesOf(pr.all)})
	if !pr.invariantsHold(ctx, "before the play") {
		return
	}
	at := 0
	for _, size := range p.Batches(len(pr.all)) {
		pr.batch = pr.all[at : at+size]
		at += size
		pr.runBatch(ctx)
		if r.stopped || ctx.Err() != nil || !pr.invariantsHold(ctx, "after "+strings.Join(namesOf(pr.batch), ", ")) || pr.over {
			return
		}
	}
}

// open makes the play's scopes and reads its settings, which are the same for
// all its hosts: like Ansible it asks the first one.
func (p *playRun) open(ctx context.Context) error {
	roles, dependent := roleNames(p.play.Roles)
	var err error
	p.scopes, err = p.vars.Play(scope.PlayOptions{Name: p.title, Hosts: namesOf(p.all), Layers: p.layersOf(p.play), Roles: roles, Dependent: dependent})
	if err != nil {
		return err
	}
	p.order, p.meddles = orderOf(p.play), meddles(p.play)
	s := p.scope(p.all[0])
	if p.settings.gather, err = p.play.GatherFacts.Or(ctx, s, true); err != nil {
		return err
	}
	if p.settings.force, err = p.play.ForceHandlers.Or(ctx, s, p.ForceHandlers); err != nil {
		return err
	}
	p.settings.maxFail, err = p.play.MaxFail.Or(ctx, s, -1)
	return err
}

// roleNames are the roles that a play names itself, and those that these bring.
func roleNames(all []*play.Role) (own, dependent []string) {
	for _, role := range all {
		if role.Parent == nil {
			own = append(own, role.Name)
		} else {
			dependent = append(dependent, role.Name)
		}
	}
	return own, dependent
}

// expose shows the variables of an included role to the rest of the play.
func (p *playRun) expose(e *play.Exposure) {
	if e == nil || p.shown[e] {
		return
	}
	p.shown[e] = true
	roles, dependent := roleNames(e.Roles)
	p.scopes.Expose(e.Layers, roles, dependent)
}

// hasWork reports whether the selection leaves the play anything to do; a play
// with nothing to do contacts nobody.
func (p *playRun) hasWork() bool {
	return p.gathers() || !p.started || anyTask(p.play, func(t *play.Task) bool { return p.Selection.Selects(t.Tags) })
}

// gathers reports whether the play gathers facts. As in Ansible this has the
// play's tags, and is tagged always when the play has none.
func (p *playRun) gathers() bool {
	tags := p.play.Inherited.Tags
	if len(tags) == 0 {
		tags = []string{"always"}
	}
	_, known := p.Registry.Find("setup")
	return known && p.settings.gather && p.Selection.Selects(tags)
}

// acts reports whether the play has anything to do on its hosts but to check what
// its roles were given, which is done whatever tags are chosen. A play that does not
// act cannot break an invariant, nor does it need one.
func (p *playRun) acts() bool {
	return p.gathers() || !p.started || anyTask(p.play, func(t *play.Task) bool {
		return t.Action != play.ValidateArgs && p.Selection.Selects(t.Tags)
	})
}

func (r *run) startsAt(t *play.Task) bool { return t.ID == r.StartAt.ID }

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
		rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] }) //nolint:gosec // an order, not a secret
	case play.InventoryOrder:
	}
	return hosts
}

// runBatch runs the play's stages on the hosts of one batch.
func (p *playRun) runBatch(ctx context.Context) {
	p.ended = false
	p.showHosts()
	if p.play.Strategy == play.Linear {
		p.stages(ctx, p.batch)
	} else {
		p.eachApart(ctx)
	}
	stopping := func(h *host) bool { return h.failed && h.fault.fatal }
	if p.lost() == len(p.batch) || slices.ContainsFunc(p.batch, stopping) {
		p.stopped = true
	}
}

// stages takes hosts through the play.
func (p *playRun) stages(ctx context.Context, hosts []*host) {
	if p.gathers() {
		p.gatherFacts(ctx, hosts)
	}
	for _, stage := range p.play.Stages {
		p.steps(ctx, stage.Steps, hosts, false)
		p.flushHandlers(ctx, hosts, false)
	}
}

// lost is the number of hosts of the batch that are out of the run.
func (p *playRun) lost() int {
	lost := 0
	for _, h := range p.batch {
		if h.failed || h.unreachable {
			lost++
		}
	}
	return lost
}

// gatherFacts runs setup on hosts, as a task of its own. As in Ansible it
// does so even if the run starts at a later task, which may need the facts.
func (p *playRun) gatherFacts(ctx context.Context, hosts []*host) {
	spec, _ := p.Registry.Find("setup")
	p.task(ctx, &play.Task{
		Inherited: p.play.Inherited, Name: "Gathering Facts", Module: "setup", Range: p.play.Range,
		Action: play.RunModule, Spec: spec, Args: p.play.Gathering,
	}, activeOf(hosts), false, false)
}

// showHosts updates ansible_play_hosts and ansible_play_batch.
func (p *playRun) showHosts() {
	p.scopes.SetHosts(namesOf(activeOf(p.all)), namesOf(activeOf(p.batch)))
}

// flushHandlers runs what the hosts have notified, in the order in which the
// handlers are defined. Handlers that these notify run in the same flush, but
// each once at most: two that notify each other must not go on for ever.
func (p *playRun) flushHandlers(ctx context.Context, hosts []*host, rescued bool) {
	ran := map[*play.Handler]map[*host]bool{}
	for again := true; again; {
		again = false
		for _, handler := range p.play.Handlers {
			if p.ended || ctx.Err() != nil {
				return
			}
			if ran[handler] == nil {
				ran[handler] = map[*host]bool{}
			}
			if notified := p.takeNotified(handler, hosts, ran[handler]); len(notified) > 0 {
				again = true
				p.handler(ctx, handler, notified, rescued)
			}
		}
	}
}

// handler runs a handler; on hosts where check mode cannot know whether it was
// notified it is deferred.
func (p *playRun) handler(ctx context.Context, handler *play.Handler, notified map[*host]notification, rescued bool) {
	var hosts []*host
	for _, h := range p.batch {
		if n, ok := notified[h]; ok {
			h.waits = n.waits
			hosts = append(hosts, h)
		}
	}
	within := map[*host][]scope.Layer{}
	for _, h := range hosts { // a handler is in no loop of an include, wherever it is flushed
		within[h], h.within, h.handling = h.within, nil, true
	}
	p.step(ctx, &handler.Task, hosts, rescued, true)
	for _, h := range hosts {
		h.waits, h.within, h.handling = "", within[h], false
	}
}

// takeNotified gives the hosts that notified the handler, can run it and have
// not in this flush, and forgets their notifications.
func (p *playRun) takeNotified(handler *play.Handler, hosts []*host, ran map[*host]bool) map[*host]notification {
	taken := map[*host]notification{}
	for _, h := range hosts {
		n, notified := p.notified[handler][h]
		if !notified || ran[h] || h.unreachable || h.ended || h.failed && !p.settings.force {
			continue
		}
		delete(p.notified[handler], h)
		ran[h], taken[h] = true, n
	}
	return taken
}

// notify remembers what a task notified. A sure notification stays sure.
func (p *playRun) notify(h *host, e *taskEnd) {
	for _, handler := range e.notifies {
		if p.notified[handler] == nil {
			p.notified[handler] = map[*host]notification{}
		}
		if known, ok := p.notified[handler][h]; ok && known.waits == "" {
			continue
		}
		n := notification{}
		if !e.changed {
			n.waits = "the result of the task “" + e.title + "”"
		}
		p.notified[handler][h] = n
	}
}

// count adds a task's end to the recap of a host as Ansible does, and notes
// whether the host is lost by it. rescued says that a rescue will take it back.
func (h *host) count(e *taskEnd, rescued bool) {
	t := &h.totals
	switch e.status {
	case modules.OK, modules.Changed:
		t.OK += e.weight()
	case modules.Skipped:
		t.Skipped++
	case modules.Deferred:
		t.Deferred++
	case modules.Failed, modules.Unreachable:
		h.countFault(e, rescued)
	}
	if e.status == modules.Changed || e.ignored && e.changed {
		t.Changed++
	}
}

func (h *host) countFault(e *taskEnd, rescued bool) {
	if e.ignored {
		h.totals.OK++
		h.totals.Ignored++
		return
	}
	h.fault = e
	switch {
	case e.status == modules.Unreachable:
		h.unreachable = true
		h.totals.Unreachable++
	case rescued:
		h.failed = true // until the rescue takes it back
		h.totals.Rescued++
	default:
		h.failed = true
		h.totals.Failed++
	}
}
