package engine

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
)

// apart is a batch whose hosts go on each by itself (strategies free and
// host_pinned). Each host has a goroutine that takes it through the play with the
// very code that takes all of them through a linear one. Who holds the baton may
// use the state of the run; it is let go only while a task is with its host. So
// there is one goroutine at a time on that state, as with linear.
type apart struct {
	baton  sync.Mutex
	forks  chan struct{}                // nil: no limit to the tasks at a time
	gates  map[*play.Task]chan struct{} // of throttle; under the baton
	warned map[*play.Task]bool          // under the baton
}

// eachApart takes every host of the batch through the play. With host_pinned a
// host has its place among the forks until it has ended the play; with free each
// task asks anew.
func (p *playRun) eachApart(ctx context.Context) {
	p.apart = &apart{gates: map[*play.Task]chan struct{}{}, warned: map[*play.Task]bool{}}
	defer func() { p.apart = nil }()
	if p.settings.maxFail >= 0 {
		p.emit(event.Message{Warning: true, Text: fmt.Sprintf("max_fail_percentage has no effect with the strategy %s, whose hosts do not wait for each other", p.play.Strategy)})
	}
	group := errgroup.Group{}
	switch {
	case p.Forks == 0:
	case p.play.Strategy == play.HostPinned:
		group.SetLimit(p.Forks)
	default:
		p.apart.forks = make(chan struct{}, p.Forks)
	}
	started := p.started
	for _, h := range p.batch {
		h.begun = started
		group.Go(func() error {
			p.apart.baton.Lock()
			defer p.apart.baton.Unlock()
			p.stages(ctx, []*host{h})
			p.started = p.started || h.begun
			return nil // a failure is the host's, and stops nobody else
		})
	}
	_ = group.Wait() // never an error, see above
}

// startedFor says where it is kept whether the task to start at was reached.
func (p *playRun) startedFor(hosts []*host) *bool {
	if p.apart != nil {
		return &hosts[0].begun
	}
	return &p.started
}

// letOthersGo lets the baton go while a task is with its host, when forks and the
// task's throttle have a place for it. What it returns takes the baton back.
func (p *playRun) letOthersGo(ctx context.Context, t *play.Task, width int) (back func()) {
	a := p.apart
	if a == nil {
		return func() {}
	}
	var gates []chan struct{}
	if t.Throttle != nil {
		if a.gates[t] == nil {
			a.gates[t] = make(chan struct{}, max(width, 1))
		}
		gates = append(gates, a.gates[t]) // first, so that who waits here takes no place among the forks
	}
	if a.forks != nil {
		gates = append(gates, a.forks)
	}
	a.baton.Unlock()
	var held []chan struct{}
	for _, gate := range gates {
		select {
		case gate <- struct{}{}:
			held = append(held, gate)
		case <-ctx.Done(): // the task itself says that it was interrupted
		}
	}
	return func() {
		for _, gate := range held {
			<-gate
		}
		a.baton.Lock()
	}
}

// warnApart says what a task asks for in vain, as Ansible does.
func (p *playRun) warnApart(t *play.Task, once bool) {
	if p.apart.warned[t] {
		return
	}
	p.apart.warned[t] = true
	warn := func(text string) {
		p.emit(event.Message{Warning: true, Text: fmt.Sprintf("%s: %s has no effect with the strategy %s, whose hosts do not wait for each other", t.Range, text, p.play.Strategy)})
	}
	if once {
		warn("run_once")
	}
	if fatal, literal := t.AnyErrorsFatal.Literal(); t.AnyErrorsFatal != nil && (fatal || !literal) {
		warn("any_errors_fatal")
	}
}
