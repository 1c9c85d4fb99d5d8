package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/agent/binaries"
	"github.com/rbdplay/rbdplay/engine/program"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/engine/transport/local"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// connector reaches hosts over SSH, and the controller itself in this process.
// One SSH connection serves each login on a host, whatever its tasks become.
type connector struct {
	registry *modules.Registry
	flags    connectionFlags
	doors    *ssh.Doors

	mu     sync.Mutex
	conns  map[login]*connection
	locals []transport.Conn // of agents on this machine that run as another user
}

// connectionFlags are what the command line says for hosts whose variables do
// not say it themselves.
type connectionFlags struct {
	user, privateKey, commonArgs, extraArgs string
	hostKeys                                string
	timeout                                 int // seconds; 0 is the default
	password, becomePassword                transport.Secret
	environment                             ssh.Environment
	passphrase                              func(ctx context.Context, keyFile string) (transport.Secret, error) // see ssh.Config
}

// secrets are the texts that must never be shown.
func (f connectionFlags) secrets() []string {
	return []string{f.password.Reveal(), f.becomePassword.Reveal()}
}

// login is what a connection is for: the tasks of a host may differ in remote_user
// and port.
type login struct {
	host, address, user string
	port                int
}

type connection struct {
	once sync.Once
	conn transport.Conn
	err  error
}

func newConnector(registry *modules.Registry, flags connectionFlags) *connector {
	return &connector{registry: registry, flags: flags, doors: ssh.NewDoors(), conns: map[login]*connection{}}
}

// Connect implements engine.Connector.
func (c *connector) Connect(ctx context.Context, t engine.Target, contents agent.Source) (agent.Runner, engine.Stats, error) {
	if t.Connection.Kind == inventory.Local {
		return c.local(ctx, t, contents)
	}
	conn, err := c.dial(ctx, t)
	if err != nil {
		return nil, engine.Stats{}, err
	}
	o := c.options(t, contents)
	client, stats, err := agent.Connect(ctx, conn, o)
	if err != nil {
		if _, ok := errors.AsType[*transport.UnreachableError](err); ok || ctx.Err() != nil {
			return nil, engine.Stats{}, err
		}
		return nil, engine.Stats{}, unreachableBy(t, err)
	}
	return client, engine.Stats{Uploaded: stats.UploadedBytes}, nil
}

// options are how an agent is started for t.
func (c *connector) options(t engine.Target, contents agent.Source) agent.Options {
	o := agent.Options{Programs: binaries.Embedded(), Contents: contents}
	if t.Become == "" {
		return o
	}
	v := t.Connection
	password := transport.NewSecret(v.BecomePassword)
	if !password.IsSet() {
		password = c.flags.becomePassword
	}
	o.Become = &agent.Become{User: t.Become, Method: v.BecomeMethod, Exe: v.BecomeExe, Flags: v.BecomeFlags, Password: password}
	return o
}

// shellOutput is the most that is kept of what a text prints.
const shellOutput = 64 << 20

// Shell implements engine.Connector.
func (c *connector) Shell(ctx context.Context, t engine.Target, text string) (engine.ShellResult, error) {
	if t.Connection.Kind == inventory.Local {
		return localShell(ctx, text)
	}
	conn, err := c.dial(ctx, t)
	if err != nil {
		return engine.ShellResult{}, err
	}
	session, err := conn.Start(ctx, text)
	if err != nil {
		return engine.ShellResult{}, err
	}
	defer session.Close()       //nolint:errcheck // it has ended
	_ = session.Stdin().Close() // it may have ended already
	stdout, err := io.ReadAll(io.LimitReader(session, shellOutput+1))
	if err != nil {
		return engine.ShellResult{}, err
	}
	if len(stdout) > shellOutput {
		return engine.ShellResult{}, fmt.Errorf("the command printed more than %d bytes", shellOutput)
	}
	code, err := session.Wait()
	return engine.ShellResult{Code: code, Stdout: string(stdout), Stderr: session.Stderr()}, err
}

// localShell runs text on this machine.
func localShell(ctx context.Context, text string) (engine.ShellResult, error) {
	out, err := program.Run(ctx, program.Command{Argv: []string{"/bin/sh", "-c", text}, Most: shellOutput})
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		err = nil
	}
	return engine.ShellResult{Code: out.Code, Stdout: string(out.Stdout), Stderr: string(out.Stderr)}, err
}

// Forget implements engine.Connector.
func (c *connector) Forget(t engine.Target) {
	c.mu.Lock()
	var lost []*connection
	for key, one := range c.conns {
		if key.host == t.Host {
			lost = append(lost, one)
			delete(c.conns, key)
		}
	}
	c.mu.Unlock()
	for _, one := range lost {
		one.once.Do(func() { one.err = errors.New("the connection was given up") }) // waits for who dials it now
		if one.conn != nil {
			_ = one.conn.Close() // it may be dead already
		}
	}
}

// Close closes every connection. The agents have been ended before.
func (c *connector) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.locals {
		_ = one.Close() // the run is over
	}
	for _, one := range c.conns {
		if one.conn != nil {
			_ = one.conn.Close() // the run is over
		}
	}
}

// unreachableBy is a host that can be logged in to but runs no agent.
func unreachableBy(t engine.Target, err error) error {
	u := &transport.UnreachableError{Host: t.Host, Address: t.Connection.Address, Summary: err.Error(), Err: err}
	if start, ok := errors.AsType[*agent.StartError](err); ok {
		plain := *start
		plain.Hint = ""
		u.Summary, u.Hint = plain.Error(), start.Hint
	}
	return u
}

// local runs tasks in this process; as another user in an agent that sudo or su
// starts here.
func (c *connector) local(ctx context.Context, t engine.Target, contents agent.Source) (agent.Runner, engine.Stats, error) {
	if t.Become != "" && (t.Become != "root" || os.Geteuid() != 0) {
		conn, err := local.Transport{}.Connect(ctx)
		if err != nil {
			return nil, engine.Stats{}, err
		}
		client, _, err := agent.Connect(ctx, conn, c.options(t, contents))
		if err != nil {
			return nil, engine.Stats{}, errors.Join(fmt.Errorf("%s: %w", t.Host, err), conn.Close())
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.locals = append(c.locals, conn)
		return client, engine.Stats{}, nil
	}
	client, err := agent.NewLocalWith(agent.ServeOptions{
		Registry: c.registry, Host: sys.NewReal(), Shadow: func(under sys.Host) sys.Host { return sys.NewShadow(under) },
		Jobs: agent.Detached{Program: "/proc/self/exe"},
	}, contents)
	if err != nil {
		return nil, engine.Stats{}, err
	}
	return client, engine.Stats{}, nil
}

// dial gives the SSH connection for a login on a host, made once.
func (c *connector) dial(ctx context.Context, t engine.Target) (transport.Conn, error) {
	key := login{t.Host, t.Connection.Address, t.Connection.User, t.Connection.Port}
	c.mu.Lock()
	one := c.conns[key]
	if one == nil {
		one = &connection{}
		c.conns[key] = one
	}
	c.mu.Unlock()
	one.once.Do(func() {
		config, err := c.config(t)
		if err != nil {
			one.err = fmt.Errorf("%s: %w", t.Host, err)
			return
		}
		one.conn, one.err = ssh.New(config).Connect(ctx)
	})
	return one.conn, one.err
}

// config puts together what variables and flags say; variables win, and the ssh
// configuration fills in the rest.
func (c *connector) config(t engine.Target) (ssh.Config, error) {
	v := t.Connection
	config := ssh.Config{
		Host: t.Host, Address: v.Address, Port: v.Port, User: v.User, Timeout: v.Timeout,
		Password: transport.NewSecret(v.Password), Environment: c.flags.environment,
		Passphrase: c.flags.passphrase, Doors: c.doors,
		StrictHostKeyChecking: ssh.HostKeyChecking(c.flags.hostKeys),
	}
	if config.Timeout == 0 {
		config.Timeout = time.Duration(c.flags.timeout) * time.Second
	}
	if config.Address == t.Host {
		config.Address = "" // the ssh configuration may know it by another
	}
	if config.User == "" {
		config.User = c.flags.user
	}
	if !config.Password.IsSet() {
		config.Password = c.flags.password
	}
	if v.HostKeyChecking != nil && !*v.HostKeyChecking {
		config.StrictHostKeyChecking = ssh.AcceptNew
	}
	key := v.KeyFile
	if key == "" {
		key = c.flags.privateKey
	}
	if key != "" {
		config.KeyFiles = []string{expandHome(key, c.flags.environment.Home)}
	}
	for _, args := range []string{c.flags.commonArgs, c.flags.extraArgs, v.CommonArgs, v.ExtraArgs} {
		if err := config.ApplyArgs(args); err != nil {
			return config, err
		}
	}
	return config, nil
}

func expandHome(path, home string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}
