package ssh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server and the configuration that reaches it.
func fixture(t *testing.T, o transporttest.SSHOptions) (*transporttest.SSHServer, ssh.Config) {
	t.Helper()
	key, file := transporttest.NewKey(t)
	if o.Password == "" && o.Keys == nil {
		o.Keys = []xssh.PublicKey{key.PublicKey()}
	}
	s := transporttest.NewSSHServer(t, o)
	c := configFor(t, s)
	c.KeyFiles = []string{file}
	return s, c
}

func configFor(t *testing.T, s *transporttest.SSHServer) ssh.Config {
	t.Helper()
	address, port := s.HostPort()
	return ssh.Config{
		Host: "node1", Address: address, Port: port, User: "tester", ConfigFile: "none",
		KnownHostsFiles: []string{s.KnownHosts()}, Timeout: 5 * time.Second,
		Environment: ssh.Environment{Home: t.TempDir(), User: "operator"},
	}
}

func connect(t *testing.T, c ssh.Config) transport.Conn {
	t.Helper()
	conn, err := ssh.New(c).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// wantUnreachable connects, wants it to fail, and wants the words in the message.
func wantUnreachable(t *testing.T, c ssh.Config, words ...string) *transport.UnreachableError {
	t.Helper()
	conn, err := ssh.New(c).Connect(t.Context())
	if err == nil {
		_ = conn.Close()
		t.Fatal("connected")
	}
	unreachable, ok := errors.AsType[*transport.UnreachableError](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	return unreachable
}

func TestConformance(t *testing.T) {
	t.Parallel()
	_, c := fixture(t, transporttest.SSHOptions{})
	transporttest.Conformance(t, ssh.New(c), t.TempDir())
}

func TestConformanceWithoutSCP(t *testing.T) {
	t.Parallel()
	_, c := fixture(t, transporttest.SSHOptions{Env: []string{"PATH=" + toolsWithoutSCP(t)}})
	transporttest.Conformance(t, ssh.New(c), t.TempDir())
}

// toolsWithoutSCP is a folder of links to the few tools that the tests need.
func toolsWithoutSCP(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"cat", "chmod", "sleep"} {
		for _, from := range []string{"/bin/", "/usr/bin/"} {
			if _, err := os.Stat(from + name); err == nil {
				if err := os.Symlink(from+name, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
	}
	return dir
}

func TestOneConnection(t *testing.T) {
	s, c := fixture(t, transporttest.SSHOptions{})
	conn := connect(t, c)
	for range 3 {
		session, err := conn.Start(t.Context(), "true")
		if err != nil {
			t.Fatal(err)
		}
		if code, err := session.Wait(); err != nil || code != 0 {
			t.Fatal(code, err)
		}
		_ = session.Close()
	}
	if got := s.Counts(); got.Connections != 1 || got.Execs != 3 {
		t.Errorf("%+v", got)
	}
}

// What x/crypto/ssh needs to dial with a key that is right at once: versions,
// key exchange with the host key, the service, the key. A further key that an
// agent or a default file offers must not cost a turn, so a named one comes first.
func TestDialTakesTheFewestRoundTrips(t *testing.T) {
	const fewest = 6
	s, c := fixture(t, transporttest.SSHOptions{})
	connect(t, c)
	if got := s.Counts().Turns; got != fewest {
		t.Errorf("%d round trips to dial, want %d", got, fewest)
	}
	_, other := transporttest.NewKey(t)
	s, c = fixture(t, transporttest.SSHOptions{})
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, ".ssh", "id_ed25519"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Environment.Home = home
	connect(t, c)
	if got := s.Counts().Turns; got != fewest {
		t.Errorf("%d round trips with a default key beside the named one, want %d", got, fewest)
	}
}

func TestHostKeys(t *testing.T) {
	t.Run("unknown", func(t *testing.T) {
		s, c := fixture(t, transporttest.SSHOptions{})
		file := filepath.Join(t.TempDir(), "known_hosts")
		c.KnownHostsFiles = []string{file}
		wantUnreachable(t, c, "host key is not known", xssh.FingerprintSHA256(s.HostSigner.PublicKey()), "accept-new", "ssh -p ")
		if _, err := os.Stat(file); err == nil {
			t.Error("known_hosts was written")
		}
	})
	t.Run("accept-new", func(t *testing.T) {
		_, c := fixture(t, transporttest.SSHOptions{})
		file := filepath.Join(t.TempDir(), "ssh", "known_hosts")
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("# no newline at the end"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.KnownHostsFiles, c.StrictHostKeyChecking = []string{file}, ssh.AcceptNew
		connect(t, c)
		c.StrictHostKeyChecking = ssh.Strict
		connect(t, c)
		content, err := os.ReadFile(file)
		if err != nil || strings.Count(string(content), "\n") != 2 {
			t.Errorf("%q, %v", content, err)
		}
	})
	t.Run("changed", func(t *testing.T) {
		other := transporttest.NewSSHServer(t, transporttest.SSHOptions{})
		for _, mode := range []ssh.HostKeyChecking{ssh.Strict, ssh.AcceptNew, ssh.NoCheck} {
			s, c := fixture(t, transporttest.SSHOptions{})
			file := c.KnownHostsFiles[0]
			line, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			otherLine, err := os.ReadFile(other.KnownHosts())
			if err != nil {
				t.Fatal(err)
			}
			address := strings.Fields(string(line))[0]
			changed := "# a comment\n" + address + " " + strings.SplitN(string(otherLine), " ", 2)[1]
			if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			c.StrictHostKeyChecking = mode
			wantUnreachable(t, c, "has changed", file+":2", xssh.FingerprintSHA256(s.HostSigner.PublicKey()),
				xssh.FingerprintSHA256(other.HostSigner.PublicKey()), "ssh-keygen -f "+file+" -R '"+address+"'")
		}
	})
	t.Run("revoked", func(t *testing.T) {
		_, c := fixture(t, transporttest.SSHOptions{})
		line, err := os.ReadFile(c.KnownHostsFiles[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.KnownHostsFiles[0], append([]byte("@revoked "), line...), 0o600); err != nil {
			t.Fatal(err)
		}
		c.StrictHostKeyChecking = ssh.AcceptNew
		wantUnreachable(t, c, "revoked", c.KnownHostsFiles[0]+":1")
	})
	t.Run("broken file", func(t *testing.T) {
		_, c := fixture(t, transporttest.SSHOptions{})
		if err := os.WriteFile(c.KnownHostsFiles[0], []byte("host ssh-ed25519 nonsense\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantUnreachable(t, c, c.KnownHostsFiles[0]+":1")
	})
}

func TestLogin(t *testing.T) {
	t.Run("password", func(t *testing.T) {
		for _, questions := range []bool{false, true} {
			_, c := fixture(t, transporttest.SSHOptions{Password: "hunter2", Questions: questions})
			c.KeyFiles, c.Password = nil, transport.NewSecret("hunter2")
			connect(t, c)
			c.Password = transport.NewSecret("wrong-one")
			err := wantUnreachable(t, c, "user tester may not log in", "the password")
			if strings.Contains(err.Error(), "wrong-one") {
				t.Error("the password shows")
			}
		}
	})
	t.Run("refused key is named", func(t *testing.T) {
		other, _ := transporttest.NewKey(t)
		_, c := fixture(t, transporttest.SSHOptions{Keys: []xssh.PublicKey{other.PublicKey()}})
		wantUnreachable(t, c, "user tester may not log in", "key "+c.KeyFiles[0], "ssh -p ")
	})
	t.Run("nothing to offer", func(t *testing.T) {
		_, c := fixture(t, transporttest.SSHOptions{})
		c.KeyFiles = nil
		wantUnreachable(t, c, "neither a key nor a password")
	})
	t.Run("missing key file", func(t *testing.T) {
		_, c := fixture(t, transporttest.SSHOptions{})
		c.KeyFiles = []string{"/nonexistent/key"}
		wantUnreachable(t, c, "/nonexistent/key", "no such file")
	})
	t.Run("default key", func(t *testing.T) {
		_, c := fixture(t, transporttest.SSHOptions{})
		c.Environment.Home = filepath.Dir(filepath.Dir(c.KeyFiles[0]))
		if err := os.Rename(filepath.Dir(c.KeyFiles[0]), filepath.Join(c.Environment.Home, ".ssh")); err != nil {
			t.Fatal(err)
		}
		c.KeyFiles = nil
		connect(t, c)
	})
	t.Run("methods", func(t *testing.T) {
		_, c := fixture(t, transporttest.SSHOptions{})
		c.Methods = []string{"password"}
		wantUnreachable(t, c, "neither a key nor a password")
	})
}

func TestEncryptedKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	file := transporttest.WriteKey(t, private, "open sesame")
	_, c := fixture(t, transporttest.SSHOptions{Keys: []xssh.PublicKey{key}})
	c.KeyFiles = []string{file}

	wantUnreachable(t, c, file, "is encrypted", "ssh-add "+file)

	asked := 0
	c.Passphrase = func(_ context.Context, name string) (transport.Secret, error) {
		asked++
		if name != file {
			t.Errorf("asked for %s", name)
		}
		return transport.NewSecret("open sesame"), nil
	}
	connect(t, c)
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	c.Passphrase = func(context.Context, string) (transport.Secret, error) { return transport.NewSecret("wrong"), nil }
	wantUnreachable(t, c, file)

	c.Passphrase = nil
	c.Environment.AgentSocket = sshAgent(t, private)
	connect(t, c)
}

// sshAgent serves a key as ssh-agent does.
func sshAgent(t *testing.T, key ed25519.PrivateKey) string {
	t.Helper()
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key, Comment: "kept@agent"}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(keyring, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	return socket
}

func TestAgentKey(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	_, c := fixture(t, transporttest.SSHOptions{Keys: []xssh.PublicKey{key}})
	c.KeyFiles, c.Environment.AgentSocket = nil, sshAgent(t, private)
	connect(t, c)

	c.IdentitiesOnly = true
	wantUnreachable(t, c, "neither a key")

	_, other := fixture(t, transporttest.SSHOptions{})
	other.KeyFiles, other.Environment.AgentSocket = nil, c.Environment.AgentSocket
	wantUnreachable(t, other, "agent key kept@agent")

	other.Environment.AgentSocket = "/nonexistent/socket"
	wantUnreachable(t, other, "ssh-agent cannot be asked")
}

func TestUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	config := func() ssh.Config {
		return ssh.Config{
			Host: "node1", Address: "127.0.0.1", Port: port, User: "tester", ConfigFile: "none", Timeout: 300 * time.Millisecond,
			Environment: ssh.Environment{Home: t.TempDir()},
		}
	}
	t.Run("silent", func(t *testing.T) { // the backlog accepts, nobody speaks
		wantUnreachable(t, config(), "logging in took more than 300ms")
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		c := config()
		c.Timeout = time.Minute
		if _, err := ssh.New(c).Connect(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	_ = listener.Close()
	t.Run("refused", func(t *testing.T) {
		wantUnreachable(t, config(), "node1", "connection refused", "is sshd running")
	})
	t.Run("name", func(t *testing.T) {
		c := config()
		c.Address, c.Timeout = "no-such-host.invalid", 5*time.Second
		wantUnreachable(t, c, "no-such-host.invalid", "ansible_host", "name")
	})
	t.Run("settings", func(t *testing.T) {
		c := config()
		c.StrictHostKeyChecking = "maybe"
		wantUnreachable(t, c, "maybe", "accept-new")
	})
}

func TestDroppedConnections(t *testing.T) {
	t.Parallel()
	s, c := fixture(t, transporttest.SSHOptions{DropFirst: 2})
	connect(t, c)
	if got := s.Counts().Connections; got != 3 {
		t.Errorf("%d connections", got)
	}
	if testing.Short() {
		t.Skip("waits for all tries")
	}
	_, c = fixture(t, transporttest.SSHOptions{DropFirst: 100})
	wantUnreachable(t, c, "hung up 6 times", "MaxStartups")
}

// Many names for one server, or hosts behind one jump host, do not run into sshd's
// MaxStartups; those of other servers do not wait for them.
func TestFewStandAtOneDoor(t *testing.T) {
	t.Parallel()
	const hosts = 40
	s, c := fixture(t, transporttest.SSHOptions{})
	s.SetLatency(5 * time.Millisecond) // so that all would be there at once
	c.Doors, c.Timeout = ssh.NewDoors(), time.Minute
	connectAll(t, hosts, c)
	if got := s.Counts(); got.Connections != hosts || got.AtDoor > 8 || got.AtDoor < 2 {
		t.Errorf("%+v", got)
	}

	bastion := transporttest.NewSSHServer(t, transporttest.SSHOptions{Keys: s.Keys, Forward: true})
	bastion.SetLatency(5 * time.Millisecond)
	c.KnownHostsFiles = append(c.KnownHostsFiles, bastion.KnownHosts())
	c.Jump = "tester@" + bastion.Address
	connectAll(t, hosts, c)
	if got := bastion.Counts(); got.Connections != hosts || got.AtDoor > 8 {
		t.Errorf("the jump host: %+v", got)
	}
}

// Who waits at a door goes away when the run ends.
func TestWaitingAtADoorEnds(t *testing.T) {
	t.Parallel()
	s, c := fixture(t, transporttest.SSHOptions{})
	s.Freeze() // nobody gets in
	c.Doors = ssh.NewDoors()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for range 20 {
		go func() {
			_, err := ssh.New(c).Connect(ctx)
			ended <- err
		}()
	}
	for s.Counts().Connections < 8 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	for range 20 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if got := s.Counts().Connections; got != 8 {
		t.Errorf("%d connections", got)
	}
}

func connectAll(t *testing.T, hosts int, c ssh.Config) {
	t.Helper()
	var all sync.WaitGroup
	for range hosts {
		all.Go(func() {
			conn, err := ssh.New(c).Connect(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.Close() // nothing was done over it
		})
	}
	all.Wait()
}

func TestDeadHostIsNoticed(t *testing.T) {
	s, c := fixture(t, transporttest.SSHOptions{})
	c.Keepalive, c.KeepaliveTimeout = 50*time.Millisecond, 100*time.Millisecond
	conn := connect(t, c)
	session, err := conn.Start(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if conn.Err() != nil {
		t.Fatal("a living host was given up")
	}
	s.Freeze()
	select {
	case <-conn.Done():
	case <-time.After(3 * time.Second):
		t.Fatal("the dead host is not noticed")
	}
	if err := conn.Err(); !strings.Contains(err.Error(), "does not answer any more") {
		t.Error(err)
	}
	if _, err := session.Wait(); err == nil || !strings.Contains(err.Error(), "does not answer any more") {
		t.Errorf("the session ends with %v", err)
	}
	_ = session.Close()
}

func TestSevered(t *testing.T) {
	s, c := fixture(t, transporttest.SSHOptions{})
	conn := connect(t, c)
	s.Sever()
	<-conn.Done()
	if err := conn.Err(); !strings.Contains(err.Error(), "connection broke") {
		t.Error(err)
	}
	if _, err := conn.Start(t.Context(), "true"); err == nil || !strings.Contains(err.Error(), "connection broke") {
		t.Error(err)
	}
}

func TestJump(t *testing.T) {
	t.Parallel()
	key, file := transporttest.NewKey(t)
	keys := []xssh.PublicKey{key.PublicKey()}
	bastion := transporttest.NewSSHServer(t, transporttest.SSHOptions{Keys: keys, User: "hop", Forward: true})
	inner := transporttest.NewSSHServer(t, transporttest.SSHOptions{Keys: keys})
	c := configFor(t, inner)
	c.KeyFiles = []string{file}
	c.KnownHostsFiles = append(c.KnownHostsFiles, bastion.KnownHosts())
	c.Jump = "hop@" + bastion.Address
	transporttest.Conformance(t, ssh.New(c), t.TempDir())
	if got := bastion.Counts(); got.Connections != 1 || got.Execs != 0 {
		t.Errorf("bastion: %+v", got)
	}

	closed := transporttest.NewSSHServer(t, transporttest.SSHOptions{Keys: keys, User: "hop"})
	c.Jump = "hop@" + closed.Address
	c.KnownHostsFiles = append(c.KnownHostsFiles, closed.KnownHosts())
	wantUnreachable(t, c, "the jump host cannot reach it")

	c.Jump = "nobody@" + bastion.Address
	wantUnreachable(t, c, "node1", "its jump host 127.0.0.1", "user nobody may not log in")
}

func TestConfigFile(t *testing.T) {
	s, c := fixture(t, transporttest.SSHOptions{})
	address, _ := s.HostPort()
	home := c.Environment.Home
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("ADDRESS", address, "PORT", strings.Split(s.Address, ":")[1], "KEY", c.KeyFiles[0], "KNOWN", c.KnownHostsFiles[0]).Replace(`
Host node?
  HostName ADDRESS
  Port PORT
  User tester
  IdentityFile KEY
  IdentitiesOnly yes
  UserKnownHostsFile KNOWN
Host proxied
  ProxyCommand nc %h %p
`)
	if err := os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	connect(t, ssh.Config{Host: "node1", Environment: c.Environment})
	wantUnreachable(t, ssh.Config{Host: "node1", User: "other", Environment: c.Environment}, "user other may not log in")
	wantUnreachable(t, ssh.Config{Host: "proxied", Environment: c.Environment}, "ProxyCommand is not supported", "ProxyJump")
	c.ConfigFile = "/nonexistent/config"
	wantUnreachable(t, c, "/nonexistent/config")
}
