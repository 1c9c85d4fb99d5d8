// Package ssh reaches hosts over SSH: one connection for the whole run, host keys
// checked, ~/.ssh/config and jump hosts obeyed.
package ssh

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// Config says how to reach one host. Fields that are not set are taken from the
// ssh configuration file, and then have ssh's defaults.
type Config struct {
	Host    string // the name in the inventory: for messages, and to find its section in the ssh configuration
	Address string // name or IP address; "" means Host, or HostName of the ssh configuration
	Port    int
	User    string
	// KeyFiles are tried first, in their order.
	KeyFiles []string
	// Passphrase is asked for an encrypted key that ssh-agent does not hold, when
	// a server would take that key. nil: such a key is left out, and errors say so.
	Passphrase func(ctx context.Context, keyFile string) (transport.Secret, error)
	Password   transport.Secret
	// KnownHostsFiles replace ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts. New
	// keys are added to the first.
	KnownHostsFiles       []string
	StrictHostKeyChecking HostKeyChecking
	Jump                  string // as ssh -J takes it; "none" for no jump
	// Timeout is for TCP, the handshake and logging in together, on each hop; 0
	// means 10 s.
	Timeout time.Duration
	// Keepalive is how often the host is asked whether it is alive; 0 means 10 s.
	// A host that does not answer within KeepaliveTimeout (0: 15 s) is lost.
	Keepalive, KeepaliveTimeout time.Duration
	ConfigFile                  string   // "" means ~/.ssh/config and /etc/ssh/ssh_config, "none" no file
	IdentitiesOnly              bool     // offer only named keys, not all that ssh-agent holds
	Methods                     []string // of publickey, password, keyboard-interactive; nil means all
	Environment                 Environment
	Doors                       *Doors // limits who logs in to one server at once; nil: no limit
}

// HostKeyChecking is what happens to hosts whose key is not known.
type HostKeyChecking string

// The ways to check host keys. Changed and revoked keys are refused in each,
// unlike with OpenSSH's "no".
const (
	Strict    HostKeyChecking = "yes"        // unknown keys are refused; the default
	AcceptNew HostKeyChecking = "accept-new" // unknown keys are accepted and noted
	NoCheck   HostKeyChecking = "no"         // the same as AcceptNew
)

// Environment is what the process knows of its user.
type Environment struct {
	Home, User  string
	AgentSocket string // SSH_AUTH_SOCK
}

// Environ reads it; for cmd, which alone looks at the environment.
func Environ() Environment {
	e := Environment{Home: os.Getenv("HOME"), AgentSocket: os.Getenv("SSH_AUTH_SOCK")}
	if u, err := user.Current(); err == nil {
		e.User = u.Username
		if e.Home == "" {
			e.Home = u.HomeDir
		}
	}
	return e
}

const (
	defaultTimeout          = 10 * time.Second
	defaultKeepalive        = 10 * time.Second
	defaultKeepaliveTimeout = 15 * time.Second
)

// target is a Config with every default filled in.
type target struct {
	Config
	asked      Config // as it was given
	jump       []jumpHost
	optional   []string // key files that may be missing: defaults and the configuration file's
	globalKeys []string // further known_hosts files, never written
	agent      string   // socket of ssh-agent, "" for none
	through    string   // the jump hosts passed on the way, as an address means another host behind them
	named      bool     // Config or the configuration file names a key
}

func (t *target) address() string { return net.JoinHostPort(t.Address, strconv.Itoa(t.Port)) }

// resolve fills in what the ssh configuration and ssh's defaults say. It looks
// at files, not at the network.
func (c Config) resolve() (*target, error) {
	if c.Host == "" {
		c.Host = c.Address
	}
	c.KeyFiles, c.KnownHostsFiles = slices.Clone(c.KeyFiles), slices.Clone(c.KnownHostsFiles)
	t := &target{Config: c, asked: c, agent: c.Environment.AgentSocket, named: len(c.KeyFiles) > 0}
	files, err := openConfig(c.ConfigFile, c.Environment.Home)
	if err != nil {
		return nil, err
	}
	if err := t.fromFiles(files); err != nil {
		return nil, err
	}
	t.defaults()
	if t.jump, err = parseJump(t.Jump); err != nil {
		return nil, err
	}
	switch t.StrictHostKeyChecking {
	case Strict, AcceptNew, NoCheck:
	default:
		return nil, fmt.Errorf("StrictHostKeyChecking %q is not supported; use yes, accept-new or no", t.StrictHostKeyChecking)
	}
	return t, nil
}

func (t *target) defaults() {
	if t.Address == "" {
		t.Address = t.Host
	}
	if t.Port == 0 {
		t.Port = 22
	}
	setDefault(&t.User, t.Environment.User)
	if t.Timeout == 0 {
		t.Timeout = defaultTimeout
	}
	if t.Keepalive == 0 {
		t.Keepalive = defaultKeepalive
	}
	if t.KeepaliveTimeout == 0 {
		t.KeepaliveTimeout = defaultKeepaliveTimeout
	}
	if t.StrictHostKeyChecking == "" {
		t.StrictHostKeyChecking = Strict
	}
	ssh := filepath.Join(t.Environment.Home, ".ssh")
	if len(t.KnownHostsFiles) == 0 {
		t.KnownHostsFiles = []string{filepath.Join(ssh, "known_hosts"), filepath.Join(ssh, "known_hosts2")}
		t.globalKeys = []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	}
	if !t.named {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.optional = append(t.optional, filepath.Join(ssh, name))
		}
	}
	for i, file := range t.KeyFiles {
		t.KeyFiles[i] = expandHome(file, t.Environment.Home)
	}
	for i, file := range t.KnownHostsFiles {
		t.KnownHostsFiles[i] = expandHome(file, t.Environment.Home)
	}
}

func expandHome(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}

// jumpHost is one hop of ProxyJump.
type jumpHost struct {
	user, host string
	port       int
}

// parseJump reads [user@]host[:port], separated by commas, also as ssh:// URIs.
func parseJump(text string) ([]jumpHost, error) {
	if text == "" || text == "none" {
		return nil, nil
	}
	var hops []jumpHost
	for part := range strings.SplitSeq(text, ",") {
		hop, err := parseHop(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(part), "ssh://"), "/"))
		if err != nil {
			return nil, fmt.Errorf("jump host %q: %w", part, err)
		}
		hops = append(hops, hop)
	}
	return hops, nil
}

func parseHop(text string) (jumpHost, error) {
	var hop jumpHost
	hop.host = text
	if at := strings.LastIndex(text, "@"); at >= 0 {
		hop.user, hop.host = text[:at], text[at+1:]
	}
	if strings.HasPrefix(hop.host, "[") || strings.Count(hop.host, ":") == 1 {
		if host, port, err := net.SplitHostPort(hop.host); err == nil {
			if hop.port, err = parsePort(port); err != nil {
				return hop, err
			}
			hop.host = host
		} else {
			hop.host = strings.Trim(hop.host, "[]")
		}
	}
	if hop.host == "" || strings.HasPrefix(hop.host, "-") || strings.ContainsAny(hop.host, " \t%[]/") {
		return hop, fmt.Errorf("%q is no host name", hop.host)
	}
	return hop, nil
}

func parsePort(text string) (int, error) {
	port, err := strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return 0, fmt.Errorf("%q is no port", text)
	}
	return port, nil
}
