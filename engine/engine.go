// Package engine runs checked playbooks against hosts: plays, tasks, blocks,
// handlers, parallelism and retries. It prints nothing; all that happens goes to
// an event.Sink.
package engine

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
)

// Stats tells how a host was reached.
type Stats struct {
	Uploaded int64 // bytes of the agent that were sent; 0 when it was cached
}

// Target is a host to connect to, its connection variables rendered.
type Target struct {
	Name      string
	Variables map[string]any // rendered: ansible_host, ansible_user, …
	Become    string         // the user to become, "" for none
}

// Connector reaches hosts. The engine calls Connect at most once for each host
// and become user, concurrently for different ones, and closes what it gets at
// the end of the run. An error that wraps *transport.UnreachableError marks the
// host unreachable; every other error fails the task that needed the host.
type Connector interface {
	Connect(ctx context.Context, target Target, contents agent.Source) (agent.Runner, Stats, error)
}

// Summary is what a run came to.
type Summary struct {
	Hosts       map[string]event.Totals
	Interrupted bool
	// Contacted is false when the run ended before any host was connected to:
	// then nothing can have changed anywhere.
	Contacted bool
}
