package systest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// Host is a host for tests of modules. Everything on it is what the test put
// there, and whatever the test did not provide for fails it: a command that it
// did not script, an address that nobody serves, a file outside of Root. Lay a
// sys.NewShadow over it to test check mode.
type Host struct {
	// Root is where the host's files are: a directory of the test's own on the
	// disk, or "/" of a host that has its files in memory.
	Root string
	// State is all else that the host is. Between two uses of the host the test may
	// read and change it as it likes.
	State State

	t     testing.TB
	files sys.FileReader
	write sys.FileWriter

	mu    sync.Mutex
	calls []Call
}

// Package is what a Host's package manager knows of one name: the version that is
// installed, the one that could be, and whether it is held.
type Package struct {
	Installed, Candidate string
	Held                 bool
}

// State is what a Host is besides its files.
type State struct {
	// Packages are what the package manager knows, by name. To install one takes
	// its Candidate, and those that Requires names along.
	Packages map[string]Package
	Requires map[string][]string
	Manager  string
	Units    map[string]sys.Unit
	// Fails are units whose start ends in the error.
	Fails  map[string]error
	Mounts []sys.Mount
	Users  []sys.User
	Groups []sys.Group
	// Details are what only the host's own files say of Users, and Members of Groups.
	Details map[string]sys.Account
	Members map[string][]string
	System  sys.System
	// Using are the processes that use a path.
	Using map[string][]sys.Process
	// Probes and Runs answer commands, by their words with spaces between.
	Probes map[string]func(Call) sys.Result
	Runs   map[string]func(Call) sys.Result
	// Missing are programs that are not installed.
	Missing []string
	// Dials serve addresses such as "tcp 10.0.0.1:80"; Names resolve host names.
	Dials map[string]func(ctx context.Context) (net.Conn, error)
	Names map[string][]string
	// Multicasts serve sockets such as "112 224.0.0.18 eth0".
	Multicasts map[string]func() net.PacketConn
	// Pause is called when a module waits, and does what happens meanwhile.
	Pause func(d time.Duration)
	// Entered, if set, is told of each operation before it is done, by the names that
	// Broken has. It must not use the host.
	Entered func(operation string)
	// Broken makes operations fail, by facility and method: "packages.Query",
	// "units.Start", "mounts.List", "users.User", "probe", "system", ….
	Broken map[string]error
}

// Call is a command that was asked of a Host.
type Call struct {
	Args  []string
	Dir   string
	Env   []string
	Stdin string
	Files []string // their contents
	Probe bool
}

// Line is the command's words with spaces between.
func (c Call) Line() string { return strings.Join(c.Args, " ") }

// Says is the answer of a command that ends with the code after it has printed
// stdout.
func Says(code int, stdout string) func(Call) sys.Result {
	return func(Call) sys.Result { return sys.Result{Code: code, Stdout: []byte(stdout)} }
}

var _ sys.Host = (*Host)(nil)

// NewHost makes a host whose files are real ones, in a directory of the test's
// own. Modules are given paths by Path.
func NewHost(tb testing.TB) *Host {
	tb.Helper()
	machine := sys.NewReal()
	h := newHost(tb, tb.TempDir())
	h.files, h.write = machine.Files(), machine.Change().Files()
	return h
}

// NewHostInMemory makes a host whose files are in memory, from "/" on: for
// modules that have paths of their own, such as /etc/fstab. It needs no
// privileges to give files to other users.
func NewHostInMemory(tb testing.TB) *Host {
	tb.Helper()
	h := newHost(tb, "/")
	memory := sys.NewShadow(bare{h})
	h.files, h.write = memory.Files(), memory.Change().Files()
	for _, path := range []string{"/etc", "/home", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var"} {
		h.Mkdir(path)
	}
	return h
}

func newHost(tb testing.TB, root string) *Host {
	return &Host{Root: root, t: tb, State: State{
		Packages: map[string]Package{}, Requires: map[string][]string{}, Manager: "apt",
		Units: map[string]sys.Unit{}, Fails: map[string]error{},
		Users:  []sys.User{{Name: "root", Home: "/root", Shell: "/bin/sh"}},
		Groups: []sys.Group{{Name: "root"}},
		System: sys.System{
			Hostname: "host", FQDN: "host.example.org", Kernel: "6.1.0", Architecture: "x86_64",
			OS:   sys.OSRelease{ID: "debian", VersionID: "12", Name: "Debian GNU/Linux", PrettyName: "Debian GNU/Linux 12", Family: "Debian"},
			CPUs: 2, MemoryBytes: 4 << 30, UID: os.Geteuid(),
		},
		Details: map[string]sys.Account{}, Members: map[string][]string{},
		Using:  map[string][]sys.Process{},
		Probes: map[string]func(Call) sys.Result{}, Runs: map[string]func(Call) sys.Result{},
		Multicasts: map[string]func() net.PacketConn{},
		Dials:      map[string]func(context.Context) (net.Conn, error){}, Names: map[string][]string{},
		Broken: map[string]error{},
	}}
}

// Path is where a path of the host lies.
func (h *Host) Path(path string) string { return filepath.Join(h.Root, path) }

// Mkdir makes a directory, mode 0755, and those above it.
func (h *Host) Mkdir(path string) {
	h.t.Helper()
	path = h.Path(path)
	if _, err := h.files.Stat(h.t.Context(), path); err == nil {
		return
	}
	if parent := filepath.Dir(path); parent != h.Root {
		h.Mkdir(strings.TrimPrefix(parent, h.Root))
	}
	mode := uint32(0o755)
	if err := h.write.Mkdir(h.t.Context(), path, sys.Attributes{Mode: &mode}); err != nil {
		h.t.Fatal(err)
	}
}

// WriteFile puts a file in place, with the directories above it.
func (h *Host) WriteFile(path, text string, mode uint32) {
	h.t.Helper()
	if parent := filepath.Dir(h.Path(path)); parent != h.Root {
		h.Mkdir(strings.TrimPrefix(parent, h.Root))
	}
	if err := h.write.Write(h.t.Context(), h.Path(path), Content(text), sys.Attributes{Mode: &mode}); err != nil {
		h.t.Fatal(err)
	}
}

// ReadFile gives the text of a file that must be there.
func (h *Host) ReadFile(path string) string {
	h.t.Helper()
	text, err := Text(h.t.Context(), h.files, h.Path(path))
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// Calls are the commands that were asked of the host so far, in order.
func (h *Host) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// enter begins an operation, which leave ends; err says that it fails.
func (h *Host) enter(ctx context.Context, operation string) error {
	h.mu.Lock()
	if h.State.Entered != nil {
		h.State.Entered(operation)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.State.Broken[operation]
}

func (h *Host) leave() { h.mu.Unlock() }

// unexpected fails the test for what it did not provide for.
func (h *Host) unexpected(format string, args ...any) error {
	h.t.Helper()
	err := fmt.Errorf(format, args...)
	h.t.Errorf("the test's host does not expect this: %v", err)
	return err
}

// Files reads the host's files.
func (h *Host) Files() sys.FileReader { return readingFiles{h} }

// Packages asks State.Packages.
func (h *Host) Packages() sys.PackageReader { return packages{h} }

// Units asks State.Units.
func (h *Host) Units() sys.UnitReader { return units{h} }

// Mounts asks State.Mounts.
func (h *Host) Mounts() sys.MountReader { return mounts{h} }

// Users asks State.Users and State.Groups.
func (h *Host) Users() sys.UserReader { return users{h} }

// Resources always looks.
func (h *Host) Resources() sys.ResourceReader { return resources{h} }

// Network asks State.Dials, State.Multicasts and State.Names.
func (h *Host) Network() sys.NetworkReader { return network{h} }

// Processes asks State.Using.
func (h *Host) Processes() sys.ProcessReader { return processes{h} }

// System is State.System.
func (h *Host) System(ctx context.Context) (sys.System, error) {
	err := h.enter(ctx, "system")
	defer h.leave()
	return h.State.System, err
}

// Probe answers from State.Probes.
func (h *Host) Probe(ctx context.Context, c sys.Command) (sys.Result, error) {
	return h.command(ctx, c, true)
}

// Pause lets State.Pause do what happens meanwhile; no time passes.
func (h *Host) Pause(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if h.State.Pause == nil {
		return h.unexpected("waiting %s", d)
	}
	h.State.Pause(d)
	return nil
}

// Change changes the host.
func (h *Host) Change() sys.Writer { return writer{h} }

type writer struct{ h *Host }

func (w writer) Files() sys.FileWriter         { return writingFiles(w) }
func (w writer) Packages() sys.PackageWriter   { return packages(w) }
func (w writer) Units() sys.UnitWriter         { return units(w) }
func (w writer) Mounts() sys.MountWriter       { return mounts(w) }
func (w writer) Users() sys.UserWriter         { return users(w) }
func (w writer) Resources() sys.ResourceWriter { return resources(w) }

// Run answers from State.Runs.
func (w writer) Run(ctx context.Context, c sys.Command) (sys.Result, error) {
	return w.h.command(ctx, c, false)
}

func (h *Host) command(ctx context.Context, c sys.Command, probe bool) (sys.Result, error) {
	call, err := callOf(ctx, c, probe)
	if err != nil {
		return sys.Result{}, err
	}
	answer, err := h.answerTo(ctx, call)
	if err != nil {
		return sys.Result{}, err
	}
	result := answer(call)
	if c.Output != nil {
		for line := range strings.Lines(string(result.Stdout)) {
			c.Output("stdout", []byte(strings.TrimSuffix(line, "\n")))
		}
		for line := range strings.Lines(string(result.Stderr)) {
			c.Output("stderr", []byte(strings.TrimSuffix(line, "\n")))
		}
	}
	return result, nil
}

// callOf reads what the command is given.
func callOf(ctx context.Context, c sys.Command, probe bool) (Call, error) {
	call := Call{Args: c.Args, Dir: c.Dir, Env: c.Env, Probe: probe}
	if c.Stdin != nil {
		text, err := io.ReadAll(c.Stdin)
		if err != nil {
			return call, err
		}
		call.Stdin = string(text)
	}
	for _, file := range c.Files {
		r, err := file.Open(ctx)
		if err != nil {
			return call, err
		}
		text, err := io.ReadAll(r)
		_ = r.Close() // only read from
		if err != nil {
			return call, err
		}
		call.Files = append(call.Files, string(text))
	}
	return call, nil
}

func (h *Host) answerTo(ctx context.Context, call Call) (func(Call) sys.Result, error) {
	operation, answers := "run", h.State.Runs
	if call.Probe {
		operation, answers = "probe", h.State.Probes
	}
	err := h.enter(ctx, operation)
	defer h.leave()
	if err != nil {
		return nil, err
	}
	h.calls = append(h.calls, call)
	if slices.Contains(h.State.Missing, call.Args[0]) {
		return nil, &exec.Error{Name: call.Args[0], Err: exec.ErrNotFound}
	}
	answer := answers[call.Line()]
	if answer == nil {
		return nil, h.unexpected("the %s of %q", operation, call.Line())
	}
	return answer, nil
}

func notThere(kind, name string) error { return fmt.Errorf("%s %s: %w", kind, name, unix.ENOENT) }
