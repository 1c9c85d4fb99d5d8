package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
)

// invariantsHold checks what must hold between the batches of a play, on all of
// its hosts that are left. The first that breaks ends the run: nothing more is
// done to any host.
func (p *playRun) invariantsHold(ctx context.Context, when string) bool {
	hosts := activeOf(p.all)
	if len(p.play.Invariants) == 0 || len(hosts) == 0 || !p.started || !p.acts() {
		return true
	}
	batch := p.batch
	p.batch, p.ended = hosts, false
	defer func() { p.batch = batch }()
	p.showHosts()
	for _, one := range p.play.Invariants {
		changed := changes(hosts)
		p.steps(ctx, one.Steps, hosts, false)
		if ctx.Err() != nil {
			return false
		}
		if changes(hosts) > changed {
			p.broken(ctx, &play.Task{Name: "Invariant: " + one.Name, Module: "invariant", Range: one.Range}, activeOf(hosts),
				errors.New("a task of the invariant changed something, and it may only look; a command that only looks says so with changed_when: false"), false)
		}
		if len(activeOf(hosts)) < len(hosts) {
			p.emit(event.Message{Warning: true, Text: fmt.Sprintf("%s the invariant “%s” does not hold: the run stops here", when, one.Name)})
			p.stopped = true
			return false
		}
	}
	return true
}

// changes counts what was changed on hosts so far.
func changes(hosts []*host) int {
	n := 0
	for _, h := range hosts {
		n += h.totals.Changed
	}
	return n
}
