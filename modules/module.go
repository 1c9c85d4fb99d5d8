// Package modules holds the contract of a module, the registry, and the modules
// themselves, one file each.
//
// A module is a struct of arguments with one method, Plan, that looks at a host
// and says which steps would bring it to the wanted state. It has no idea of
// check mode: there the host is a shadow (see package sys) and the very same
// steps are done on it. modules/lineinfile.go shows the whole contract.
package modules

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// Module is a set of decoded arguments that can be planned against a host.
type Module interface {
	// Plan looks and decides; it is given no way to write. It is called before
	// the steps are done and again afterwards, when it must find nothing left to
	// do (steps that are events, see change.Run, excepted). It keeps no state
	// between calls. Bad arguments that only show on the host are errors here.
	// Cancelling ctx ends it with ctx's error.
	Plan(ctx context.Context, host sys.Reader) (Plan, error)
}

// Plan is what a module found and means to do.
type Plan struct {
	Steps []Step // in the order in which they are done
	// Result holds the keys that the module reports; keys and meaning are those
	// of the Ansible module of the same name. The plan made after the steps are
	// done reports last, so a result tells of the reached state.
	Result Result
	// Once holds the keys that tell of the change itself (msg, found, backup_file).
	// They are reported from the plan that was carried out.
	Once Result
	// Skipped says why the module had nothing to look at ("creates: /x exists").
	Skipped string
}

// Result is what a task registers. Values are plain: string, bool, int, int64,
// float64, nil, []any, []string, map[string]any.
type Result map[string]any

// Step is one effect that is done whole or not at all.
type Step interface {
	// Changes says what the step will change, when it is its turn. Empty means that
	// an earlier step of the plan has left nothing to do, and Do is not called; a
	// plan never holds a step that is empty from the start.
	Changes() []change.Change
	// Do does exactly that. What only the doing can tell (a command's output) is
	// put into result. An error leaves the old state, or names what was done.
	Do(ctx context.Context, host sys.Host, result Result) error
}

// Emit receives what happens while a module runs, in order, on one goroutine.
type Emit struct {
	Planned func(changes []change.Change)    // before a step is done
	Done    func(changes []change.Change)    // after it was done
	Output  func(stream string, line []byte) // a line that a command printed
}

// Status is how a task ended on a host.
type Status string

// The statuses. In check mode Changed means "would change". Deferred exists only
// there: what the task would do depends on something a real run must do first.
const (
	OK          Status = "ok"
	Changed     Status = "changed"
	Skipped     Status = "skipped"
	Failed      Status = "failed"
	Unreachable Status = "unreachable"
	Deferred    Status = "deferred"
)

// Outcome is what running a module came to.
type Outcome struct {
	Status  Status
	Changes []change.Change // of the steps done, or in check mode of those that would be
	Result  Result
	Message string // for Failed, Skipped and Deferred: why
	// Unknown is set in check mode when the module would run an event whose
	// result cannot be known (a command): why. Result then lacks those keys.
	Unknown string
	// Idle says of a failure that the step that failed had no effect: a program
	// that is not there.
	Idle bool
}
