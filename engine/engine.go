// Package engine runs checked playbooks against hosts: plays, tasks, blocks,
// handlers, parallelism and retries. It prints nothing; all that happens goes to
// an event.Sink.
//
// The way of a run: Run opens each play on its hosts (play.go), takes its steps
// one after another with all hosts in step (steps.go), and works out each task
// for each host (task.go): items and conditions, arguments (arguments.go), one
// exchange with the host or the controller's own work (controller.go), and what
// the result means (judge.go).
package engine

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/vault"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

// Options say what to run, where, and how.
type Options struct {
	Playbook      *play.Playbook
	Inventory     *inventory.Inventory
	Registry      *modules.Registry
	Environment   *expression.Environment // nil: lookup.Environment(nil)
	Connector     Connector
	Sink          event.Sink
	Check, Diff   bool
	Forks         int    // hosts worked for at a time; 0 means all
	Verbosity     int    // for the tasks that ask (debug)
	Limit         string // a host pattern; "" is everybody
	Selection     play.Selection
	StartAt       *play.Task // nil: from the beginning
	ExtraVars     map[string]any
	ForceHandlers bool // of plays that do not say force_handlers
	// Step is asked before each task but meta, one at a time. nil asks nobody.
	Step func(ctx context.Context, task string) (StepAnswer, error)
	// Reload reads the inventory anew, for meta: refresh_inventory. Its error may be a
	// diag.List. nil means that it cannot be.
	Reload func(ctx context.Context) (*inventory.Inventory, error)
	// Prompt asks a person for a variable of vars_prompt, before any host is
	// contacted and one at a time. ErrNobodyToAsk makes the default count; any other
	// error prevents the run. nil means that there is nobody to ask.
	Prompt func(ctx context.Context, request PromptRequest) (string, error)
	// Defaults are what the command line and the configuration say for tasks that
	// neither variables nor keywords tell otherwise.
	Defaults Defaults
	// Vault has the passwords of what is encrypted on the controller; what it opens
	// is hidden by value. It is the one that the playbook was loaded with.
	Vault   *vault.Keyring
	Secrets []string // further texts that no event may show; passwords in variables are known
}

// Defaults say how to reach hosts where nothing else does.
type Defaults struct {
	Connection   inventory.Kind // "" is ssh
	Become       bool
	BecomeUser   string
	BecomeMethod string
}

// Target is a host to connect to.
type Target struct {
	Host       string
	Connection inventory.Connection
	Become     string // the user to become, "" for none
}

// Stats tells how a host was reached.
type Stats struct {
	Uploaded int64 // bytes of the agent that were sent; 0 when it was cached
}

// Connector reaches hosts. The engine calls Connect at most once for each host,
// way of connecting (kind, address, port, user) and become user, concurrently for
// different ones, and closes what it gets at the end of the run. ctx is the run's:
// a task's timeout does not count for connecting. An error that wraps
// *transport.UnreachableError marks the host unreachable; every other error fails
// the task that needed the host.
type Connector interface {
	Connect(ctx context.Context, target Target, contents agent.Source) (agent.Runner, Stats, error)
	// Shell runs text in the login shell of the host, without an agent and without
	// become. A non-zero exit is no error. Cancelling ctx ends the command.
	Shell(ctx context.Context, target Target, text string) (ShellResult, error)
	// Forget closes the connections to the target's host, so that the next Connect
	// makes a new one. Agents behind them are lost.
	Forget(target Target)
}

// ShellResult is how a text ended in a login shell.
type ShellResult struct {
	Code           int
	Stdout, Stderr string // of Stderr the end
}

// Summary is what a run came to.
type Summary struct {
	Hosts       map[string]event.Totals
	Interrupted bool
	// Contacted is false when no host was connected to, nor a module run on the
	// controller: then nothing can have changed anywhere.
	Contacted bool
}

// Failed reports whether a task failed on some host.
func (s Summary) Failed() bool {
	return s.any(func(t event.Totals) bool { return t.Failed > 0 })
}

// Unreachable reports whether some host could not be reached.
func (s Summary) Unreachable() bool {
	return s.any(func(t event.Totals) bool { return t.Unreachable > 0 })
}

// Changed reports whether something changed, or in check mode would or might.
func (s Summary) Changed() bool {
	return s.any(func(t event.Totals) bool { return t.Changed+t.Deferred > 0 })
}

func (s Summary) any(holds func(event.Totals) bool) bool {
	for _, t := range s.Hosts {
		if holds(t) {
			return true
		}
	}
	return false
}
