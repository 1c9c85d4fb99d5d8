// Package transporttest holds stand-ins for a host: a Fake that answers what it
// was told to and fails the test on anything else, an SSH server on the loopback
// interface, and the tests that every transport has to pass.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// Exchange is a command that a Fake expects, and what it does.
type Exchange struct {
	// Match says whether this is the command.
	Match func(command string) bool
	// Run is the command: it reads stdin, writes stdout and stderr, and returns
	// its exit code. It must end when stdin does.
	Run func(stdin io.Reader, stdout, stderr io.Writer) int
}

// Upload is a copy that a Fake has received.
type Upload struct {
	Path    string
	Mode    uint32
	Content []byte
}

// Fake is a transport and its connection. Commands are expected in order; an
// unexpected one, and an expected one that never came, fail the test.
type Fake struct {
	t    testing.TB
	done chan struct{}

	mu       sync.Mutex
	expected []Exchange
	uploads  []Upload
	err      error
	sessions []*fakeSession
}

// NewFake expects the exchanges, in order.
func NewFake(t testing.TB, expected ...Exchange) *Fake {
	f := &Fake{t: t, expected: expected, done: make(chan struct{})}
	t.Cleanup(func() {
		_ = f.Close()
		if n := len(f.expected); n > 0 {
			t.Errorf("%d expected commands were never started", n)
		}
	})
	return f
}

// Connect implements transport.Transport.
func (f *Fake) Connect(context.Context) (transport.Conn, error) { return f, nil }

// Start implements transport.Conn.
func (f *Fake) Start(ctx context.Context, command string) (transport.Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	if len(f.expected) == 0 || !f.expected[0].Match(command) {
		f.t.Errorf("unexpected command: %s", command)
		return nil, fmt.Errorf("unexpected command: %s", command)
	}
	run := f.expected[0].Run
	f.expected = f.expected[1:]
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	s := &fakeSession{out: out, in: in, ended: make(chan struct{})}
	f.sessions = append(f.sessions, s)
	s.stop = context.AfterFunc(ctx, func() { s.cut(ctx.Err()) })
	go func() { // ends with run, which ends with its stdin
		s.code = run(stdin, stdout, &s.stderr)
		_ = stdout.Close()
		_ = stdin.Close()
		close(s.ended)
	}()
	return s, nil
}

// Upload implements transport.Conn.
func (f *Fake) Upload(_ context.Context, content io.ReadSeeker, size int64, path string, mode uint32) error {
	if err := transport.CheckPath(path); err != nil {
		return err
	}
	data, err := io.ReadAll(content)
	if err != nil || int64(len(data)) != size {
		return fmt.Errorf("upload of %d bytes has %d: %w", size, len(data), errors.Join(err, io.ErrUnexpectedEOF))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.uploads = append(f.uploads, Upload{path, mode, bytes.Clone(data)})
	return nil
}

// Uploads returns what was received.
func (f *Fake) Uploads() []Upload {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Upload(nil), f.uploads...)
}

// Lose breaks the connection with err.
func (f *Fake) Lose(err error) {
	f.mu.Lock()
	if f.err != nil {
		f.mu.Unlock()
		return
	}
	f.err = err
	sessions := f.sessions
	close(f.done)
	f.mu.Unlock()
	for _, s := range sessions {
		s.cut(err)
		<-s.ended
	}
}

// Done implements transport.Conn.
func (f *Fake) Done() <-chan struct{} { return f.done }

// Err implements transport.Conn.
func (f *Fake) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Close implements transport.Conn.
func (f *Fake) Close() error {
	f.Lose(errors.New("the connection is closed"))
	return nil
}

type fakeSession struct {
	out    *io.PipeReader
	in     *io.PipeWriter
	stderr transport.Tail
	stop   func() bool
	ended  chan struct{}
	code   int
}

// cut breaks both directions.
func (s *fakeSession) cut(err error) {
	_ = s.in.CloseWithError(io.EOF)
	_ = s.out.CloseWithError(err)
}

func (s *fakeSession) Read(p []byte) (int, error)  { return s.out.Read(p) }
func (s *fakeSession) Stdin() io.WriteCloser       { return s.in }
func (s *fakeSession) Stderr() string              { return s.stderr.String() }
func (s *fakeSession) StderrGrew() <-chan struct{} { return s.stderr.Grew() }
func (s *fakeSession) Wait() (int, error)          { <-s.ended; return s.code, nil }

func (s *fakeSession) Close() error {
	s.stop()
	s.cut(io.ErrClosedPipe)
	<-s.ended
	return nil
}
