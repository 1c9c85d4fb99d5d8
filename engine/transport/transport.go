// Package transport reaches a host: it starts commands there and puts files
// there. It knows nothing of playbooks or agents. Implementations: ssh, local,
// and transporttest's fake.
package transport

import (
	"context"
	"fmt"
	"io"
)

// Transport knows how to reach one host.
type Transport interface {
	// Connect dials and logs in. It fails with an *UnreachableError that says
	// what to do. Cancelling ctx aborts the dial.
	Connect(ctx context.Context) (Conn, error)
}

// Conn is a connection to one host, kept for the whole run. It is safe for
// concurrent use.
type Conn interface {
	// Start runs command through the user's shell on the host. Cancelling ctx
	// closes the session.
	Start(ctx context.Context, command string) (Session, error)
	// Upload copies size bytes of content to path with the permission bits mode.
	// path must pass CheckPath. content may be read again from the start, when
	// the first way of copying turns out to be missing on the host.
	Upload(ctx context.Context, content io.ReadSeeker, size int64, path string, mode uint32) error
	// Done is closed when the connection is lost or closed; Err then says why.
	Done() <-chan struct{}
	Err() error
	Close() error
}

// Session is a command that runs on the host.
type Session interface {
	io.Reader // its standard output
	Stdin() io.WriteCloser
	// Stderr returns the last KiB or so of standard error, for messages.
	Stderr() string
	// StderrGrew receives after Stderr has grown, for who waits for a prompt.
	StderrGrew() <-chan struct{}
	// Wait returns when the command has ended: its exit code (128+n after signal
	// n), or an error when the connection broke before. It may be called more
	// than once.
	Wait() (int, error)
	Close() error // ends the command if it still runs
}

// UnreachableError says why a host cannot be reached.
type UnreachableError struct {
	Host, Address string
	Summary       string // what failed: "connection refused", "host key has changed"
	Hint          string // what to do
	Err           error
}

func (e *UnreachableError) Error() string {
	text := fmt.Sprintf("%s (%s): %s", e.Host, e.Address, e.Summary)
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

func (e *UnreachableError) Unwrap() error { return e.Err }
