// Package event is the closed list of what can happen in a run. The engine emits
// events; everything a person or a program sees is drawn from them.
package event

import (
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/modules"
)

// Event is one of the types of this package.
type Event interface{ event() }

// Sink receives events, one at a time and in order. It must not block for long:
// the run waits for it.
type Sink interface{ Emit(e Event) }

// RunStart opens a run.
type RunStart struct {
	Playbook    string
	Check, Diff bool
	Started     time.Time
}

// PlayStart opens a play on its hosts, in inventory order.
type PlayStart struct {
	Play  string
	Place diag.Range
	Hosts []string
}

// TaskStart says that a task begins on hosts (those still in the play). ID tells
// tasks of the same name apart and is the same in all events of this execution.
type TaskStart struct {
	ID      int
	Play    string
	Task    string // its name, or the module's when it has none
	Module  string
	Role    string
	Handler bool
	Place   diag.Range
	Tags    []string
	Hosts   []string
}

// HostUp says that a host is connected and its agent answers.
type HostUp struct {
	Host     string
	Took     time.Duration
	Uploaded int64 // bytes of the agent sent; 0 when it was cached
}

// HostDown says that a host cannot be reached or was lost.
type HostDown struct {
	Host, Message, Hint string
}

// Planned lists the changes that a step is about to make.
type Planned struct {
	Task    int
	Host    string
	Item    string
	Changes []change.Change
}

// StepDone says that they were made.
type StepDone Planned

// Output is a line that a command on a host printed.
type Output struct {
	Task         int
	Host, Item   string
	Stream, Line string
}

// ItemEnd is the result of one item of a loop on one host.
type ItemEnd struct {
	Task    int
	Host    string
	Item    string // its label
	Status  modules.Status
	Changes []change.Change
	Message string
	Result  modules.Result // redacted; nil under no_log
}

// TaskEnd is the result of a task on one host, all items together.
type TaskEnd struct {
	Task         int
	Play, Name   string
	Module, Host string
	Delegate     string // the host that did it, when it is another
	Place        diag.Range
	Status       modules.Status
	Ignored      bool // failed, and ignore_errors let it pass
	Rescued      bool // failed inside a block with a rescue
	Changes      []change.Change
	Diff         bool // the task asks to show before and after, whatever the run does
	Took         time.Duration
	Message      string
	Result       modules.Result   // redacted; nil under no_log
	Diagnostic   *diag.Diagnostic // where the playbook itself is at fault
	Deferred     string           // the task it waits for, "" when not deferred
}

// Message is a text for the operator (the debug module, a warning).
type Message struct {
	Task       int // 0: of no task
	Host, Text string
	Warning    bool
}

// Totals are a host's line of the recap.
type Totals struct {
	OK, Changed, Failed, Unreachable, Skipped, Deferred, Rescued, Ignored int
}

// RunEnd closes a run.
type RunEnd struct {
	Hosts       map[string]Totals
	Took        time.Duration
	Interrupted bool
}

func (RunStart) event()  {}
func (PlayStart) event() {}
func (TaskStart) event() {}
func (HostUp) event()    {}
func (HostDown) event()  {}
func (Planned) event()   {}
func (StepDone) event()  {}
func (Output) event()    {}
func (ItemEnd) event()   {}
func (TaskEnd) event()   {}
func (Message) event()   {}
func (RunEnd) event()    {}
