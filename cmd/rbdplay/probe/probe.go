// Package probe asks a service again and again, as its users do, and tells how
// long it was without an answer. What is asked is an Asker: a URL, a name server.
package probe

import (
	"context"
	"sync"
	"time"
)

// Outcome is what became of one request.
type Outcome int

// The outcomes.
const (
	Answered Outcome = iota
	Wrong            // an answer, but not the right one
	Lost             // none within the patience of a user
)

// Asker sends one request and waits for the answer, Patience at most. It is called
// for several requests at once.
type Asker func(ctx context.Context) Outcome

// Patience is how long a request waits: a user's, and longer than the second that
// an app may lose to a name server that is gone.
const Patience = 3 * time.Second

// Often is how often a user is imitated to ask: 50 times a second. A gap is known to
// this precision.
const Often = 20 * time.Millisecond

// Probe sends requests in the background until it is stopped.
type Probe struct {
	ask      Asker
	interval time.Duration
	cancel   context.CancelFunc
	done     sync.WaitGroup

	mu       sync.Mutex
	requests int
	lost     int
	wrong    int
	answered time.Time // when the last answered request was sent
	arrived  time.Time // when the last answer came
	gap      time.Duration
	reset    time.Time // what was sent before counts no more
}

// Start begins to ask, once in each interval. It ends with ctx or Stop.
func Start(ctx context.Context, ask Asker, interval time.Duration) *Probe {
	ctx, cancel := context.WithCancel(ctx)
	p := &Probe{ask: ask, interval: interval, cancel: cancel, answered: time.Now()}
	p.done.Go(func() { p.run(ctx) })
	return p
}

// run sends a request each interval, whatever became of the one before. At most
// Patience's worth of them are under way.
func (p *Probe) run(ctx context.Context) {
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	var requests sync.WaitGroup
	defer requests.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			requests.Go(func() { p.once(ctx) })
		}
	}
}

func (p *Probe) once(ctx context.Context) {
	began := time.Now()
	asking, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	outcome := p.ask(asking)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if began.Before(p.reset) {
		return // of the measurement before
	}
	p.requests++
	switch outcome {
	case Lost:
		p.lost++
	case Wrong:
		p.wrong++
	case Answered:
		p.arrived = time.Now()
		if began.After(p.answered) {
			p.gap = max(p.gap, began.Sub(p.answered))
			p.answered = began
		}
	}
}

// Result is what a probe saw.
type Result struct {
	Requests, Lost, Wrong int
	// Gap is the longest time from the sending of one answered request to that of
	// the next; without any loss it is about the interval. A gap that had not ended
	// counts up to now.
	Gap time.Duration
}

// Result tells what was seen since the last Reset.
func (p *Probe) Result() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Result{Requests: p.requests, Lost: p.lost, Wrong: p.wrong, Gap: p.gap}
	if open := time.Since(p.answered); open > Patience {
		r.Gap = max(r.Gap, open)
	}
	return r
}

// Answering reports whether an answer came within the last half second.
func (p *Probe) Answering() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.arrived) < 500*time.Millisecond
}

// Reset forgets what was seen, for the next measurement.
func (p *Probe) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.lost, p.wrong, p.gap = 0, 0, 0, 0
	p.reset, p.answered = time.Now(), time.Now()
	p.arrived = time.Time{}
}

// Stop ends the probe and waits for its requests.
func (p *Probe) Stop() {
	p.cancel()
	p.done.Wait()
}
