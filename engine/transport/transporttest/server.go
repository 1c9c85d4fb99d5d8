package transporttest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// SSHOptions say how an SSHServer behaves.
type SSHOptions struct {
	User       string          // "" means tester
	Keys       []ssh.PublicKey // that may log in
	Password   string          // "" allows none
	Questions  bool            // take the password by keyboard-interactive, not as a password
	Env        []string        // of commands; nil: PATH of this process and a HOME of their own
	Banner     string          // printed by every command's shell first, as a noisy login script would
	UID        int             // of commands, when the test is root; 0: the test's own
	DropFirst  int             // connections hung up on before the server says who it is
	Forward    bool            // be a jump host
	HostSigner ssh.Signer      // nil: a new ed25519 key
}

// SSHServer is an SSH server on the loopback interface whose commands really run,
// with /bin/sh, as the user of the test. It ends with the test.
type SSHServer struct {
	SSHOptions
	Address string // host:port
	Home    string

	t        testing.TB
	config   *ssh.ServerConfig
	listener net.Listener
	ctx      context.Context
	stop     context.CancelFunc
	work     sync.WaitGroup

	connections, execs, turns, in, out atomic.Int64
	atDoor, mostAtDoor                 atomic.Int64
	latency                            atomic.Int64
	frozen                             atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Counts is what a server has seen.
type Counts struct {
	Connections int64
	Execs       int64
	Turns       int64 // how often the server spoke after the client had: round trips
	In, Out     int64 // bytes on the wire
	AtDoor      int64 // the most connections at a time that had not logged in
}

// NewSSHServer starts a server.
func NewSSHServer(t testing.TB, o SSHOptions) *SSHServer {
	t.Helper()
	if o.User == "" {
		o.User = "tester"
	}
	if o.HostSigner == nil {
		o.HostSigner, _ = NewKey(t)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &SSHServer{SSHOptions: o, t: t, listener: listener, Address: listener.Addr().String(), conns: map[net.Conn]struct{}{}}
	s.Home = home(t, o.UID)
	if o.Env == nil {
		s.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Home}
	}
	s.config = s.serverConfig()
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.work.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// home is a folder for a user; t.TempDir would be closed to any other.
func home(t testing.TB, uid int) string {
	t.Helper()
	if uid == 0 {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "rbdplay-home-*") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// NewKey makes an ed25519 key; the file holds its private half.
func NewKey(t testing.TB) (signer ssh.Signer, file string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	return signer, WriteKey(t, private, "")
}

// WriteKey writes a private key to a file, encrypted when there is a passphrase.
func WriteKey(t testing.TB, private ed25519.PrivateKey, passphrase string) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "test key")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test key", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// KnownHosts writes a known_hosts file with the server's key.
func (s *SSHServer) KnownHosts() string {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "known_hosts")
	line := knownhosts.Line([]string{s.Address}, s.HostSigner.PublicKey()) + "\n"
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return file
}

// HostPort is the address in two parts.
func (s *SSHServer) HostPort() (string, int) {
	address := s.listener.Addr().(*net.TCPAddr) //nolint:forcetypeassert // it listens on TCP
	return address.IP.String(), address.Port
}

// Counts returns what was seen so far.
func (s *SSHServer) Counts() Counts {
	return Counts{s.connections.Load(), s.execs.Load(), s.turns.Load(), s.in.Load(), s.out.Load(), s.mostAtDoor.Load()}
}

// Freeze makes the server go silent, its connections open: a host without power.
func (s *SSHServer) Freeze() { s.frozen.Store(true) }

// SetLatency delays what passes from now on, one way.
func (s *SSHServer) SetLatency(d time.Duration) { s.latency.Store(int64(d)) }

// Sever cuts all connections, as a host that resets them.
func (s *SSHServer) Sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Close ends the server and every command that still runs.
func (s *SSHServer) Close() {
	s.stop()
	_ = s.listener.Close()
	s.Sever()
	s.work.Wait()
}

var errDenied = errors.New("denied")

func (s *SSHServer) serverConfig() *ssh.ServerConfig {
	config := &ssh.ServerConfig{}
	config.AddHostKey(s.HostSigner)
	if len(s.Keys) > 0 {
		config.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			for _, k := range s.Keys {
				if c.User() == s.User && string(k.Marshal()) == string(key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errDenied
		}
	}
	check := func(c ssh.ConnMetadata, password string) error {
		if c.User() == s.User && password == s.Password {
			return nil
		}
		return errDenied
	}
	switch {
	case s.Password == "":
	case s.Questions:
		config.KeyboardInteractiveCallback = func(c ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 {
				return nil, errDenied
			}
			return nil, check(c, answers[0])
		}
	default:
		config.PasswordCallback = func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			return nil, check(c, string(password))
		}
	}
	return config
}

func (s *SSHServer) accept() {
	for {
		raw, err := s.listener.Accept()
		if err != nil {
			return
		}
		if int(s.connections.Add(1)) <= s.DropFirst {
			_ = raw.Close()
			continue
		}
		c := &countedConn{Conn: raw, server: s}
		s.mu.Lock()
		s.conns[raw] = struct{}{}
		s.mu.Unlock()
		s.work.Go(func() {
			s.serve(c)
			s.mu.Lock()
			delete(s.conns, raw)
			s.mu.Unlock()
		})
	}
}

func (s *SSHServer) serve(raw net.Conn) {
	defer func() { _ = raw.Close() }()
	leave := sync.OnceFunc(func() { s.atDoor.Add(-1) })
	config := *s.config
	config.AuthLogCallback = func(_ ssh.ConnMetadata, _ string, err error) {
		if err == nil { // before the client is told
			leave()
		}
	}
	s.enter()
	conn, channels, requests, err := ssh.NewServerConn(raw, &config)
	leave()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var sessions sync.WaitGroup
	sessions.Go(func() { ssh.DiscardRequests(requests) })
	for offered := range channels {
		switch offered.ChannelType() {
		case "session":
			if channel, requests, err := offered.Accept(); err == nil {
				sessions.Go(func() { s.session(ctx, channel, requests) })
			}
		case "direct-tcpip":
			sessions.Go(func() { s.forward(ctx, offered) })
		default:
			_ = offered.Reject(ssh.UnknownChannelType, "unknown")
		}
	}
	cancel()
	_ = conn.Close()
	sessions.Wait()
}

// enter counts a connection that has not logged in.
func (s *SSHServer) enter() {
	now := s.atDoor.Add(1)
	most := s.mostAtDoor.Load()
	for now > most && !s.mostAtDoor.CompareAndSwap(most, now) {
		most = s.mostAtDoor.Load()
	}
}

func (s *SSHServer) session(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request) {
	defer func() { _ = channel.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	var command sync.WaitGroup
	for r := range requests {
		if r.Type != "exec" || len(r.Payload) < 4 {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		s.execs.Add(1)
		line := string(r.Payload[4:])
		command.Go(func() {
			code := s.run(ctx, channel, line)
			_, _ = channel.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, uint32(code)))
			_ = channel.Close()
		})
	}
	cancel() // the client has gone
	command.Wait()
}

// run executes a command. When the client goes it sees the end of its input, and
// is killed a moment later.
func (s *SSHServer) run(ctx context.Context, channel ssh.Channel, line string) int {
	if s.Banner != "" {
		_, _ = io.WriteString(channel, s.Banner)
	}
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Env, cmd.Dir = s.Env, s.Home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.UID != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.UID)}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 127
	}
	cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return 127
	}
	ended := make(chan struct{})
	defer close(ended)
	stop := context.AfterFunc(ctx, func() {
		_ = stdin.Close()
		select {
		case <-ended:
		case <-time.After(time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	})
	defer stop()
	go func() { // ends when the channel is closed, which the caller does
		_, _ = io.Copy(stdin, channel)
		_ = stdin.Close()
	}()
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return exit.ExitCode()
	}
	if err != nil {
		return 127
	}
	return 0
}

func (s *SSHServer) forward(ctx context.Context, offered ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(offered.ExtraData(), &to); err != nil || !s.Forward {
		_ = offered.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	var d net.Dialer
	onward, err := d.DialContext(ctx, "tcp", net.JoinHostPort(to.Host, strconv.FormatUint(uint64(to.Port), 10)))
	if err != nil {
		_ = offered.Reject(ssh.ConnectionFailed, "Connection refused")
		return
	}
	defer func() { _ = onward.Close() }()
	channel, requests, err := offered.Accept()
	if err != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = onward.Close() })
	defer stop()
	var copies sync.WaitGroup
	copies.Go(func() { ssh.DiscardRequests(requests) })
	copies.Go(func() { _, _ = io.Copy(onward, channel); _ = onward.Close() })
	_, _ = io.Copy(channel, onward)
	_ = channel.Close()
	copies.Wait()
}

// countedConn counts what passes, and delays it.
type countedConn struct {
	net.Conn
	server *SSHServer
	heard  atomic.Bool
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for c.server.frozen.Load() && err == nil {
		select {
		case <-c.server.ctx.Done():
			return 0, net.ErrClosed
		case <-time.After(10 * time.Millisecond):
		}
	}
	if n > 0 {
		c.heard.Store(true)
		c.server.in.Add(int64(n))
		time.Sleep(time.Duration(c.server.latency.Load()))
	}
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	if c.server.frozen.Load() {
		return len(p), nil
	}
	if c.heard.Swap(false) {
		c.server.turns.Add(1)
		time.Sleep(time.Duration(c.server.latency.Load()))
	}
	n, err := c.Conn.Write(p)
	c.server.out.Add(int64(n))
	return n, err
}
