package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// Transport reaches one host.
type Transport struct{ config Config }

var _ transport.Transport = (*Transport)(nil)

// New makes a transport; it looks at nothing yet.
func New(config Config) *Transport { return &Transport{config} }

// Connect implements transport.Transport.
func (t *Transport) Connect(ctx context.Context) (transport.Conn, error) {
	target, err := t.config.resolve()
	if err != nil {
		return nil, t.config.unreachable("its ssh settings are wrong", err)
	}
	clients, err := chain(ctx, target)
	if err != nil {
		return nil, err
	}
	return newConn(target, clients), nil
}

func (c Config) unreachable(summary string, err error) error {
	address := c.Address
	if address == "" {
		address = c.Host
	}
	return &transport.UnreachableError{Host: c.Host, Address: address, Summary: summary + ": " + err.Error(), Err: err}
}

// chain connects through all jump hosts. The last client is the target's.
func chain(ctx context.Context, t *target) (clients []*ssh.Client, err error) {
	defer func() {
		if err != nil {
			closeAll(clients)
			clients = nil
		}
	}()
	dial := (&net.Dialer{}).DialContext
	for _, hop := range t.jump {
		via, err := t.via(hop)
		if err != nil {
			return clients, err
		}
		via.through = t.through
		client, err := open(ctx, via, dial)
		if err != nil {
			return clients, atJump(t, err)
		}
		clients = append(clients, client)
		t.through += via.address() + " "
		dial = client.DialContext
	}
	client, err := open(ctx, t, dial)
	if err != nil {
		return clients, err
	}
	return append(clients, client), nil
}

func closeAll(clients []*ssh.Client) {
	// The outermost first: no farewell may wait for a dead host behind it.
	for _, c := range clients {
		_ = c.Close() // what matters has been read
	}
}

// via is the target for a jump host: the same person, keys and files, its own
// section of the configuration.
func (t *target) via(hop jumpHost) (*target, error) {
	c := t.asked
	c.Host, c.Address, c.Port, c.User, c.Jump = hop.host, "", hop.port, hop.user, "none"
	c.Password = transport.Secret{} // is the target's, not the jump host's
	via, err := c.resolve()
	if err != nil {
		return nil, c.unreachable("the jump host's ssh settings are wrong", err)
	}
	return via, nil
}

// atJump says that not the target but a host on the way was not reached.
func atJump(t *target, err error) error {
	if hop, ok := errors.AsType[*transport.UnreachableError](err); ok {
		return &transport.UnreachableError{
			Host: t.Host, Address: t.address(), Err: err,
			Summary: fmt.Sprintf("its jump host %s (%s): %s", hop.Host, hop.Address, hop.Summary), Hint: hop.Hint,
		}
	}
	return err
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// A server under load (MaxStartups) drops connections before it says anything.
// That passes, so we come back a few times, each time later.
const (
	dropTries   = 6
	dropBackoff = 100 * time.Millisecond
)

func open(ctx context.Context, t *target, dial dialFunc) (*ssh.Client, error) {
	keys, err := newHostKeys(t)
	if err != nil {
		return nil, t.unreachable("its host key cannot be checked", err)
	}
	for try := 1; ; try++ {
		client, err := attempt(ctx, t, keys, dial)
		if err == nil {
			return client, nil
		}
		dropped, ok := errors.AsType[*droppedError](err)
		if !ok || ctx.Err() != nil {
			return nil, explain(ctx, t, err)
		}
		if try == dropTries {
			return nil, explain(ctx, t, dropped)
		}
		pause := dropBackoff << (try - 1)
		timer := time.NewTimer(pause + rand.N(pause)) //nolint:gosec // spreads the hosts, hides nothing
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, explain(ctx, t, err)
		}
	}
}

// droppedError says that the server hung up before it said who it is.
type droppedError struct {
	said string
	err  error
}

func (e *droppedError) Error() string { return e.err.Error() }
func (e *droppedError) Unwrap() error { return e.err }

var errTimeout = errors.New("timed out")

// attempt dials and logs in once.
func attempt(parent context.Context, t *target, keys *hostKeys, dial dialFunc) (*ssh.Client, error) {
	leave, err := t.Doors.enter(parent, t.through, t.address())
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	limit := time.AfterFunc(t.Timeout, func() { cancel(errTimeout) })
	defer limit.Stop()
	raw, err := dial(ctx, "tcp", t.address())
	if err != nil {
		return nil, &dialError{err, ctx.Err() != nil && parent.Err() == nil}
	}
	heard := &listening{Conn: raw}
	// Not a deadline: connections through a jump host know none.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	limit.Stop() // what this machine is slow at is not the host's fault
	done, err := t.Doors.login(ctx)
	limit.Reset(t.Timeout)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	defer done()
	l, err := newLogin(ctx, t)
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	defer l.close()
	l.pause = func() func() { // a person who types a passphrase is not slow
		limit.Stop()
		return func() { limit.Reset(t.Timeout) }
	}
	keys.refused = nil
	conn, channels, requests, err := ssh.NewClientConn(heard, t.address(), &ssh.ClientConfig{
		User: t.User, Auth: l.methods(), HostKeyCallback: keys.check, HostKeyAlgorithms: keys.algorithms(),
		ClientVersion: "SSH-2.0-rbdplay", Config: ssh.Config{KeyExchanges: keyExchanges()},
	})
	if err == nil && !stop() {
		err = errors.Join(context.Cause(ctx), conn.Close())
	}
	if err == nil {
		return ssh.NewClient(conn, channels, requests), nil
	}
	_ = raw.Close() // most often closed already
	switch {
	case keys.refused != nil:
		return nil, keys.refused
	case ctx.Err() != nil:
		return nil, &handshakeError{context.Cause(ctx), l}
	case !heard.greeted() && dropped(err):
		return nil, &droppedError{heard.said(), err}
	}
	return nil, &handshakeError{err, l}
}

// keyExchanges are the package's own, but with P-256 before Curve25519. Both are as
// strong, and OpenSSH's own Curve25519 costs a host more than a tenth of all that a
// login does. What resists quantum computers too stays first.
func keyExchanges() []string {
	var defaults ssh.Config
	defaults.SetDefaults()
	list := slices.Clone(defaults.KeyExchanges)
	p256, curve := slices.Index(list, ssh.KeyExchangeECDHP256), slices.Index(list, ssh.KeyExchangeCurve25519)
	if curve < 0 || p256 < curve { // as where FIPS 140 forbids one of them
		return list
	}
	return slices.Insert(slices.Delete(list, p256, p256+1), curve, ssh.KeyExchangeECDHP256)
}

func dropped(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "connection reset")
}

type dialError struct {
	err      error
	timedOut bool
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

type handshakeError struct {
	err   error
	login *login
}

func (e *handshakeError) Error() string { return e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// explain turns an error into one that says what to do.
func explain(ctx context.Context, t *target, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if known, ok := errors.AsType[*transport.UnreachableError](err); ok {
		return known
	}
	e := &transport.UnreachableError{Host: t.Host, Address: t.address(), Err: err}
	if dial, ok := errors.AsType[*dialError](err); ok {
		e.Summary, e.Hint = dialFailure(t, dial)
		return e
	}
	if drop, ok := errors.AsType[*droppedError](err); ok {
		e.Summary = fmt.Sprintf("its ssh server hung up %d times before saying anything", dropTries)
		if drop.said != "" {
			e.Summary += fmt.Sprintf(" but %q", drop.said)
		}
		e.Hint = "it may be short of slots (MaxStartups in sshd_config; use fewer forks), block this address (fail2ban, hosts.deny), or not be an ssh server"
		return e
	}
	if shake, ok := errors.AsType[*handshakeError](err); ok {
		e.Summary, e.Hint = handshakeFailure(t, shake)
		return e
	}
	e.Summary = err.Error()
	return e
}

func dialFailure(t *target, err *dialError) (summary, hint string) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return fmt.Sprintf("the name %s does not resolve", t.Address), "set ansible_host to its address, or mend the name in DNS or /etc/hosts"
		}
		return fmt.Sprintf("the name %s cannot be looked up: %v", t.Address, dns), "is the name server reachable?"
	}
	var through *ssh.OpenChannelError
	switch {
	case errors.As(err, &through):
		return "the jump host cannot reach it: " + strings.TrimSpace(through.Message), "is the address right, as seen from the jump host? may it forward (AllowTcpForwarding)?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused", fmt.Sprintf("is sshd running there, and does it listen on port %d?", t.Port)
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host", "is it up, and is its address right?"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network is unreachable", "has this machine a route to it?"
	case err.timedOut, errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", t.Timeout), "is it up, is its address right, does a firewall drop the packets?"
	}
	return err.Error(), ""
}

func handshakeFailure(t *target, err *handshakeError) (summary, hint string) {
	text := err.Error()
	switch {
	case errors.Is(err, errTimeout):
		return fmt.Sprintf("it accepts the connection but logging in took more than %s", t.Timeout), "is the host overloaded, or its DNS slow (UseDNS in sshd_config)?"
	case strings.Contains(text, "unable to authenticate"), strings.Contains(text, "oo many authentication failures"):
		return fmt.Sprintf("user %s may not log in (%s)", t.User, err.login.tried()),
			fmt.Sprintf("check ansible_user and ansible_ssh_private_key_file, or try `%s`", t.command())
	case strings.Contains(text, "no common algorithm"):
		return "it speaks only algorithms that are no longer accepted: " + text, "update its sshd"
	}
	return "logging in failed: " + text, ""
}

// listening remembers whether the server has said who it is.
type listening struct {
	net.Conn
	mu   sync.Mutex
	text []byte
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.text) < 1024 {
		l.text = append(l.text, p[:min(n, 1024)]...)
	}
	return n, err
}

func (l *listening) greeted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.HasPrefix(l.text, []byte("SSH-")) || bytes.Contains(l.text, []byte("\nSSH-"))
}

func (l *listening) said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.TrimSpace(string(l.text))
}
