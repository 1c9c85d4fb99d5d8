package inventory

import (
	"time"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Kind is how a host is reached.
type Kind string

// The kinds.
const (
	SSH   Kind = "ssh"
	Local Kind = "local" // in this process
)

// Connection is how to reach a host and as whom to work there, from the
// variables ansible_*. Zero values mean "not said": the engine then asks the
// play, the command line, the ssh configuration, in its own order.
type Connection struct {
	Kind            Kind   // never empty; SSH when nothing else is said
	Address         string // ansible_host; the host's name when not said
	Port            int
	User            string
	Password        string
	KeyFile         string
	CommonArgs      string // ansible_ssh_common_args, as ssh(1) takes them
	ExtraArgs       string // ansible_ssh_extra_args
	HostKeyChecking *bool
	Timeout         time.Duration
	Become          *bool
	BecomeUser      string
	BecomeMethod    string
	BecomePassword  string
}

// Lookup gives the rendered value of a variable and the place where it was
// written. ok is false when the host has no such variable.
type Lookup func(name string) (value any, at diag.Range, ok bool, err error)

// ConnectionOf reads the connection of the host called name from its variables.
// The host's own, those of the play and of the task count alike: lookup knows
// their order. The error is a diag.List with every fault.
func ConnectionOf(name string, lookup Lookup) (Connection, error) { return Connection{}, nil }
