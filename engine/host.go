package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/inventory"
)

// host is a host in a run. Its flags are changed by the run's own goroutine only,
// between tasks; the goroutine of a task reads them at most.
type host struct {
	name        string
	vars        *scope.Host
	totals      event.Totals
	failed      bool // a task failed and nothing rescued it
	unreachable bool
	ended       bool     // meta: end_host, for the play at hand
	fault       *taskEnd // what failed last, for ansible_failed_task and _result
	// waits is set while check mode cannot know whether the tasks at hand are to run
	// on the host: what they wait for.
	waits string
	begun bool // with strategy free: the task of StartAt was reached
	// within are the variables of the loops of includes that the host is in.
	within []scope.Layer
	// varsFiles are the variables of those vars_files whose names need the host.
	varsFiles     []scope.Layer
	varsFilesLack bool       // it was said that one is passed by
	role          *play.Role // that meta: end_role has left
	ahead         ahead
	leaving       int      // always parts that it is in after a failure: what stands behind them is not what comes next
	uses          roleUses // of the play at hand
	handling      bool     // a handler runs: what roles did before does not count
}

// roleUses are the uses of roles (see play.Role.Use) that did something on a host,
// and those that came to their end there.
type roleUses struct{ ran, ended map[string]bool }

func newRoleUses() roleUses { return roleUses{map[string]bool{}, map[string]bool{}} }

// active reports whether the host still takes part in the play.
func (h *host) active() bool { return !h.failed && !h.unreachable && !h.ended }

func activeOf(hosts []*host) []*host {
	var active []*host
	for _, h := range hosts {
		if h.active() {
			active = append(active, h)
		}
	}
	return active
}

func namesOf(hosts []*host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.name
	}
	return names
}

// links holds the connections of a run: one for each host, user to become and
// way of connecting, made when first needed and kept to the end.
type links struct {
	connector Connector
	contents  *contents
	emit      func(event.Event)

	mu        sync.Mutex
	all       map[linkKey]*link
	contacted bool
}

// linkKey tells apart what needs connections of their own.
type linkKey struct {
	host, become  string
	how           string // to become
	kind          inventory.Kind
	address, user string
	port          int
}

// link is one connection. Who puts a value into busy may read and change it.
type link struct {
	busy   chan struct{}
	runner agent.Runner
	err    error
	giveUp context.CancelFunc // of a connection that was renewed
}

func newLinks(connector Connector, contents *contents, emit func(event.Event)) *links {
	return &links{connector: connector, contents: contents, emit: emit, all: map[linkKey]*link{}}
}

// get gives the connection for target, making it when it is the first to ask.
// Others who ask meanwhile wait. A host that could not be reached is not tried
// again in this run: a playbook may rely on it that a lost host stays lost.
func (l *links) get(ctx context.Context, target Target) (agent.Runner, error) {
	one := l.link(target)
	select {
	case one.busy <- struct{}{}:
		defer func() { <-one.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if one.runner == nil && one.err == nil {
		one.runner, one.err = l.connect(ctx, target)
	}
	return one.runner, one.err
}

// ready gives the connection for target if there is one; nil if it has yet to be
// made, or somebody is at it.
func (l *links) ready(target Target) agent.Runner {
	one := l.link(target)
	select {
	case one.busy <- struct{}{}:
		defer func() { <-one.busy }()
		return one.runner
	default:
		return nil
	}
}

// link is the connection for target, which may not be made yet.
func (l *links) link(target Target) *link {
	c := target.Connection
	key := linkKey{target.Host, target.Become, "", c.Kind, c.Address, c.User, c.Port}
	if target.Become != "" {
		key.how = c.BecomeMethod + " " + c.BecomeExe + " " + c.BecomeFlags
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.all[key]
	if one == nil {
		one = &link{busy: make(chan struct{}, 1)}
		l.all[key] = one
	}
	return one
}

// touched notes that something may have changed somewhere.
func (l *links) touched() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.contacted = true
}

func (l *links) connect(ctx context.Context, target Target) (agent.Runner, error) {
	began := time.Now()
	remote := target.Connection.Kind != inventory.Local
	l.touched()
	runner, stats, err := l.connector.Connect(ctx, target, l.contents)
	if err == nil {
		if remote {
			l.emit(event.HostUp{Host: target.Host, Took: time.Since(began), Uploaded: stats.Uploaded})
		}
		return runner, nil
	}
	if unreachable, ok := errors.AsType[*transport.UnreachableError](err); ok {
		l.emit(event.HostDown{Host: target.Host, Message: unreachable.Host + " (" + unreachable.Address + "): " + unreachable.Summary, Hint: unreachable.Hint})
	}
	return nil, err
}

// drop ends the connections to a host; the next task that needs it makes new ones.
func (l *links) drop(host string) {
	l.mu.Lock()
	var dropped []*link
	for key, one := range l.all {
		if key.host == host {
			dropped = append(dropped, one)
			delete(l.all, key)
		}
	}
	l.mu.Unlock()
	for _, one := range dropped {
		one.busy <- struct{}{} // whoever is connecting has ended then
		if one.runner != nil {
			_ = one.runner.Close() // its tasks have ended
		}
		<-one.busy
	}
}

// close ends every agent, all at once.
func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wait sync.WaitGroup
	for _, one := range l.all {
		if one.runner != nil {
			wait.Go(func() {
				_ = one.runner.Close() // the run is over; its result stands
				if one.giveUp != nil {
					one.giveUp()
				}
			})
		}
	}
	wait.Wait()
}
