package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// conn is a logged-in connection, watched until it ends.
type conn struct {
	target  *target
	clients []*ssh.Client // jump hosts first
	client  *ssh.Client   // the host's
	done    chan struct{}
	watch   sync.WaitGroup

	mu    sync.Mutex
	err   error
	noSCP bool
}

func newConn(t *target, clients []*ssh.Client) *conn {
	c := &conn{target: t, clients: clients, client: clients[len(clients)-1], done: make(chan struct{})}
	c.watch.Go(func() { c.fail(c.lost("the connection broke", c.client.Wait())) })
	c.watch.Go(c.keepalive)
	return c
}

func (c *conn) lost(summary string, err error) error {
	return &transport.UnreachableError{
		Host: c.target.Host, Address: c.target.address(), Summary: summary, Err: err,
		Hint: "did the host or its network go down? what ran there when it was lost is not known",
	}
}

// fail ends the connection for the first reason that is given.
func (c *conn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		close(c.done)
	}
	c.mu.Unlock()
	if first {
		closeAll(c.clients)
	}
}

// keepalive asks again and again whether the host is there. Only this notices a
// host that lost its power: TCP alone waits for minutes.
func (c *conn) keepalive() {
	ticker := time.NewTicker(c.target.Keepalive)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-c.done:
			return
		}
		answered := make(chan struct{})
		c.watch.Go(func() { // ends with the answer, or with the connection
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			if err == nil { // a refusal is a sign of life as well
				close(answered)
			}
		})
		deadline := time.NewTimer(c.target.KeepaliveTimeout)
		select {
		case <-answered:
			deadline.Stop()
		case <-c.done:
			deadline.Stop()
			return
		case <-deadline.C:
			c.fail(c.lost(fmt.Sprintf("it does not answer any more (nothing for %s)", c.target.KeepaliveTimeout), nil))
			return
		}
	}
}

func (c *conn) Done() <-chan struct{} { return c.done }

func (c *conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *conn) Close() error {
	c.fail(net.ErrClosed)
	c.watch.Wait()
	return nil
}

// Start implements transport.Conn.
func (c *conn) Start(ctx context.Context, command string) (transport.Session, error) {
	type opened struct {
		session *session
		err     error
	}
	result := make(chan opened, 1)
	go func() { // ends with the host's answer or with the connection
		s, err := c.start(command)
		result <- opened{s, err}
	}()
	select {
	case r := <-result:
		if r.err != nil {
			return nil, c.because(r.err)
		}
		r.session.stop = context.AfterFunc(ctx, func() { _ = r.session.end() })
		return r.session, nil
	case <-ctx.Done():
		go func() { // the late session is not wanted any more
			if r := <-result; r.err == nil {
				_ = r.session.end()
			}
		}()
		return nil, ctx.Err()
	}
}

// because prefers the reason why the connection ended to what came of it.
func (c *conn) because(err error) error {
	if lost := c.Err(); lost != nil {
		return lost
	}
	return err
}

func (c *conn) start(command string) (*session, error) {
	inner, err := c.client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	s := &session{conn: c, inner: inner, ended: make(chan struct{})}
	inner.Stderr = &s.stderr
	if s.stdin, err = inner.StdinPipe(); err == nil {
		s.stdout, err = inner.StdoutPipe()
	}
	if err == nil {
		err = inner.Start(command)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a command: %w", err), ignoreEOF(inner.Close()))
	}
	go s.await() // ends with the session
	return s, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

type session struct {
	conn   *conn
	inner  *ssh.Session
	stdin  io.WriteCloser
	stdout io.Reader
	stderr transport.Tail
	stop   func() bool
	ended  chan struct{}
	code   int
	err    error
}

func (s *session) await() {
	s.code, s.err = exitCode(s.inner.Wait())
	if s.err != nil {
		s.err = s.conn.because(s.err)
	}
	close(s.ended)
}

func exitCode(err error) (int, error) {
	exit, ok := errors.AsType[*ssh.ExitError](err)
	if !ok {
		return 0, err
	}
	if signal := exit.Signal(); signal != "" {
		return 128 + signals[strings.TrimSuffix(signal, "@openssh.com")], nil
	}
	return exit.ExitStatus(), nil
}

// signals are the numbers of the signals that RFC 4254 names, on Linux.
var signals = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "ABRT": 6, "FPE": 8, "KILL": 9, "USR1": 10,
	"SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15,
}

func (s *session) Read(p []byte) (int, error)  { return s.stdout.Read(p) }
func (s *session) Stdin() io.WriteCloser       { return s.stdin }
func (s *session) Stderr() string              { return s.stderr.String() }
func (s *session) StderrGrew() <-chan struct{} { return s.stderr.Grew() }

func (s *session) Wait() (int, error) {
	<-s.ended
	return s.code, s.err
}

func (s *session) end() error { return ignoreEOF(s.inner.Close()) }

// closeGrace is how long Close waits for a command that does not end.
const closeGrace = 5 * time.Second

// Close ends the session: sshd closes the command's pipes, which ends an agent.
func (s *session) Close() error {
	s.stop()
	err := s.end()
	// sshd says that a session is closed only when its command has ended.
	timer := time.NewTimer(closeGrace)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-s.conn.done:
	case <-timer.C:
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
