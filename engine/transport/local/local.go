// Package local runs commands on this machine, as children of this process. It
// serves tests and the tools that treat this machine as a host.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// Transport reaches this machine. The zero value uses this process's
// environment.
type Transport struct {
	Env []string // KEY=value; nil means this process's environment
}

// Connect never fails.
func (t Transport) Connect(context.Context) (transport.Conn, error) {
	return &conn{env: t.Env, done: make(chan struct{}), sessions: map[*session]struct{}{}}, nil
}

type conn struct {
	env  []string
	done chan struct{}

	mu       sync.Mutex
	closed   bool
	sessions map[*session]struct{}
}

var errClosed = errors.New("the connection is closed")

func (c *conn) Start(ctx context.Context, command string) (transport.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", command) //nolint:noctx // ctx ends its whole process group, see kill
	cmd.Env = c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s := &session{cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &s.stderr
	// Plain pipes: exec's own would be closed by Wait under the reader's hands.
	out, childOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = childOut.Close() }() // the child has its own
	cmd.Stdout, s.stdout = childOut, out
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	if err := c.launch(s); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	s.stop = context.AfterFunc(ctx, s.kill)
	go c.await(s)
	return s, nil
}

// launch starts s, unless the connection has been closed meanwhile.
func (c *conn) launch(s *session) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	c.sessions[s] = struct{}{}
	return nil
}

func (c *conn) await(s *session) {
	err := s.cmd.Wait()
	s.code, s.err = exitCode(s.cmd.ProcessState, err)
	c.mu.Lock()
	delete(c.sessions, s)
	c.mu.Unlock()
	close(s.ended)
}

func exitCode(state *os.ProcessState, err error) (int, error) {
	if state == nil {
		return 0, err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
}

func (c *conn) Upload(ctx context.Context, content io.ReadSeeker, size int64, path string, mode uint32) error {
	if err := transport.CheckPath(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return content.Read(p)
	}), size))
	if err == nil && n != size {
		err = fmt.Errorf("upload to %s: %d of %d bytes: %w", path, n, size, io.ErrUnexpectedEOF)
	}
	if err == nil {
		err = f.Chmod(os.FileMode(mode))
	}
	return errors.Join(err, f.Close())
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (c *conn) Done() <-chan struct{} { return c.done }

func (c *conn) Err() error {
	select {
	case <-c.done:
		return errClosed
	default:
		return nil
	}
}

// Close ends the commands that still run.
func (c *conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	var running []*session
	for s := range c.sessions {
		running = append(running, s)
	}
	c.mu.Unlock()
	for _, s := range running {
		_ = s.Close()
	}
	close(c.done)
	return nil
}

type session struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *os.File
	stderr transport.Tail
	stop   func() bool
	ended  chan struct{}
	code   int
	err    error
}

func (s *session) Read(p []byte) (int, error)  { return s.stdout.Read(p) }
func (s *session) Stdin() io.WriteCloser       { return s.stdin }
func (s *session) Stderr() string              { return s.stderr.String() }
func (s *session) StderrGrew() <-chan struct{} { return s.stderr.Grew() }
func (s *session) Wait() (int, error)          { <-s.ended; return s.code, s.err }

// kill ends the whole process group: a shell's children must not outlive it.
func (s *session) kill() { _ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) }

// closeGrace is how long a command may go on after its input has ended.
const closeGrace = 2 * time.Second

// Close lets the command see the end of its input, as a vanished client would,
// and kills what still runs after a short while.
func (s *session) Close() error {
	defer func() { _ = s.stdout.Close() }() // read only
	s.stop()
	_ = s.stdin.Close()
	select {
	case <-s.ended:
		return nil
	case <-time.After(closeGrace):
	}
	s.kill()
	<-s.ended
	return nil
}
