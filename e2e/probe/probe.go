// Package probe asks a URL again and again, as users do, and tells how long it
// was without an answer.
package probe

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// Probe sends requests in the background until it is stopped. A request that got
// no answer, or another one than 200, within three seconds counts as lost.
type Probe struct {
	url, host string
	client    *http.Client
	cancel    context.CancelFunc
	done      sync.WaitGroup

	mu       sync.Mutex
	requests int
	lost     int
	answered time.Time // when the last answered request was sent
	arrived  time.Time // when the last answer came
	gap      time.Duration
}

// interval is the time between two requests; a gap is known to this precision.
const interval = 20 * time.Millisecond

// patience is how long a request waits: a user's, and longer than the second
// that an app may lose to a name server that is gone.
const patience = 3 * time.Second

// Start begins to ask url, with host as the Host header. It ends with ctx or Stop.
func Start(ctx context.Context, url, host string) *Probe {
	ctx, cancel := context.WithCancel(ctx)
	p := &Probe{
		url: url, host: host, cancel: cancel, answered: time.Now(),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	p.done.Go(func() { p.run(ctx) })
	return p
}

// run sends a request each interval, whatever became of the one before. At most
// three seconds' worth of them are under way.
func (p *Probe) run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var requests sync.WaitGroup
	defer requests.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			requests.Go(func() { p.ask(ctx) })
		}
	}
}

func (p *Probe) ask(ctx context.Context) {
	began := time.Now()
	answered := p.get(ctx)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if !answered {
		p.lost++
		return
	}
	p.arrived = time.Now()
	if began.After(p.answered) {
		p.gap = max(p.gap, began.Sub(p.answered))
		p.answered = began
	}
}

func (p *Probe) get(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return false
	}
	request.Host = p.host
	response, err := p.client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	_, err = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	return err == nil && response.StatusCode == http.StatusOK
}

// Result is what a probe saw.
type Result struct {
	Requests, Lost int
	// Gap is the longest time from the sending of one answered request to that
	// of the next; without any loss it is about the interval of 20 ms. A gap that
	// had not ended counts up to now.
	Gap time.Duration
}

// Result tells what was seen since the last Reset.
func (p *Probe) Result() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Result{Requests: p.requests, Lost: p.lost, Gap: p.gap}
	if open := time.Since(p.answered); open > patience {
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
	p.requests, p.lost, p.gap, p.answered = 0, 0, 0, time.Now()
	p.arrived = time.Time{}
}

// Stop ends the probe and waits for its requests.
func (p *Probe) Stop() {
	p.cancel()
	p.done.Wait()
	p.client.CloseIdleConnections()
}
