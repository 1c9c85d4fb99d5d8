// Package agent is the two ends of the connection between the controller and
// the half of rbdplay that runs on a host: the frames, the server that runs
// modules there, the client that drives it, and the bootstrap that puts it there.
package agent

import (
	"context"
	"io"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
)

// Task is one exchange with a host: a module with one set of arguments for each
// item of a loop (or a single one).
type Task struct {
	Module      string
	Items       []map[string]any // rendered arguments; may hold modules.ContentRef and modules.TreeRef
	Check       bool             `cbor:",omitempty"` // run on the shadow, which lives as long as the connection
	Fresh       bool             `cbor:",omitempty"` // with Check: on a new shadow, which knows of no earlier task
	Stop        bool             `cbor:",omitempty"` // do not go on to the next item after one has failed
	Environment map[string]string
	Async       *Async `cbor:",omitempty"` // nil: not a job. A shadow has no jobs: with Check the task is planned on it.

	Anyway bool   `cbor:",omitempty"` // with Begin: the tasks behind it begin even when an item of it has failed
	Chain  uint64 `cbor:",omitempty"` // set by Begin: the number of the first task of its chain; 0 for that one itself
}

// Event is something that happened to one item while a task runs. Exactly one of
// the fields is set, besides Item.
type Event struct {
	Item    int
	Planned []change.Change
	Done    []change.Change
	Output  *Line
	Outcome *modules.Outcome // the item has ended
}

// Line is a line of output of a command on the host.
type Line struct{ Stream, Text string }

// Runner runs tasks on one host; Client and Local implement it. Calls are safe
// for concurrent use; the host does them one after another, in the order of the
// calls.
type Runner interface {
	// Run sends the task and calls on for each event, in order, on the caller's
	// goroutine, before it returns. The outcomes are one for each item; an error
	// means that the host was lost, or ctx ended, and nothing is known of items
	// without an outcome. Cancelling ctx cancels the task on the host.
	Run(ctx context.Context, t Task, on func(Event)) ([]modules.Outcome, error)
	// Tree lists a directory of the host for copying it to others; content stays
	// there until it is asked for through Open. check reads through the shadow.
	Tree(ctx context.Context, path string, check bool) (modules.TreeRef, error)
	// Open reads a file of the host.
	Open(ctx context.Context, path string, check bool) (io.ReadCloser, error)
	// Close ends the agent. Nothing of it stays behind but its cached program.
	Close() error
}

// Sender is a Runner that takes tasks before those in front of them have ended.
type Sender interface {
	Runner
	// Begin sends a task without waiting for what becomes of it. Behind another task
	// it is begun on the host only when all tasks of that chain have ended and none of
	// them failed, but for those with Anyway, or was cancelled. Whoever begins a task
	// must call Wait on what is returned. ctx is only looked at, not kept.
	Begin(ctx context.Context, t Task, behind *Sent) (*Sent, error)
}

// Source finds content on the controller's side, by digest, when a host asks.
type Source interface {
	// Open fails with fs.ErrNotExist for a digest that was never offered.
	Open(ctx context.Context, sha256 string) (io.ReadCloser, error)
}
