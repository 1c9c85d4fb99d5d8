package agent_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	xssh "golang.org/x/crypto/ssh"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
	"github.com/rbdplay/rbdplay/modules"
)

// program is the agent with the fake modules, as rbdplay would hold it.
var program struct {
	plain []byte
	fs    fstest.MapFS
}

func TestMain(m *testing.M) {
	if err := buildProgram(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func buildProgram() error {
	dir, err := os.MkdirTemp("", "rbdplay-agent-test-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "agent")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", file, "./internal/fakemodules/agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the agent: %w\n%s", err, out)
	}
	if program.plain, err = os.ReadFile(file); err != nil {
		return err
	}
	program.fs = packed(program.plain)
	return nil
}

func packed(plain []byte) fstest.MapFS {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = w.Write(plain)
	_ = w.Close()
	return fstest.MapFS{"rbdplay-agent-linux-" + runtime.GOARCH + ".gz": {Data: packed.Bytes()}}
}

func programs() agent.Programs { return agent.ProgramsIn(program.fs, ".") }

type host struct {
	*transporttest.SSHServer
	conn transport.Conn
}

// newHost is a host behind SSH, with a home folder of its own.
func newHost(t *testing.T, o transporttest.SSHOptions) *host {
	t.Helper()
	key, file := transporttest.NewKey(t)
	o.Keys = []xssh.PublicKey{key.PublicKey()}
	s := transporttest.NewSSHServer(t, o)
	address, port := s.HostPort()
	conn, err := ssh.New(ssh.Config{
		Host: "node1", Address: address, Port: port, User: "tester", ConfigFile: "none", KeyFiles: []string{file},
		KnownHostsFiles: []string{s.KnownHosts()}, Environment: ssh.Environment{Home: t.TempDir()},
	}).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &host{s, conn}
}

func (h *host) cache() string { return filepath.Join(h.Home, ".cache", "rbdplay") }

func start(t *testing.T, h *host, o agent.Options) (*agent.Client, agent.Stats) {
	t.Helper()
	if o.Programs == nil {
		o.Programs = programs()
	}
	c, stats, err := agent.Connect(t.Context(), h.conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, stats
}

// wantStartError starts an agent, wants that to fail, and wants the words.
func wantStartError(t *testing.T, h *host, o agent.Options, words ...string) {
	t.Helper()
	if o.Programs == nil {
		o.Programs = programs()
	}
	c, _, err := agent.Connect(t.Context(), h.conn, o)
	if err == nil {
		_ = c.Close()
		t.Fatal("the agent started")
	}
	if _, ok := errors.AsType[*agent.StartError](err); !ok {
		t.Errorf("%T", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func task(module string, items ...map[string]any) agent.Task {
	return agent.Task{Module: module, Items: items}
}

func run(t *testing.T, r agent.Runner, k agent.Task) modules.Outcome {
	t.Helper()
	outcomes, err := r.Run(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	return outcomes[len(outcomes)-1]
}

func say(text string) map[string]any { return map[string]any{"text": text} }

func TestBootstrap(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	c, stats := start(t, h, agent.Options{})
	if stats.Execs != 2 || stats.UploadedBytes == 0 || !strings.HasPrefix(stats.Machine, "Linux ") {
		t.Errorf("first start: %+v", stats)
	}
	if got := run(t, c, task("echo", say("hello"))); got.Result["text"] != "hello" {
		t.Errorf("%+v", got)
	}
	entries, err := os.ReadDir(h.cache())
	if err != nil || len(entries) != 1 || !strings.HasPrefix(entries[0].Name(), "rbdplay-agent-") {
		t.Fatalf("cache: %v, %v", entries, err)
	}
	for _, path := range []string{h.cache(), filepath.Join(h.cache(), entries[0].Name())} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	_, stats = start(t, h, agent.Options{})
	if stats.Execs != 1 || stats.UploadedBytes != 0 {
		t.Errorf("second start: %+v", stats)
	}
	if got := h.Counts(); got.Connections != 1 || got.Execs != 4 { // script, scp, script; script
		t.Errorf("%+v", got)
	}
}

// One task is one turn of the wire, whatever its module says on the way.
func TestOneRoundTripForATask(t *testing.T) {
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	run(t, c, task("echo", say("warm")))
	time.Sleep(50 * time.Millisecond) // window adjustments
	before := h.Counts().Turns
	run(t, c, task("echo", say("a"), say("b"), say("c"), say("d")))
	if got := h.Counts().Turns - before; got != 1 {
		t.Errorf("%d turns for a loop of four", got)
	}
}

func TestLatencyIsPaidOnce(t *testing.T) {
	const latency = 40 * time.Millisecond
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	h.SetLatency(latency)
	begin := time.Now()
	var items []map[string]any
	for i := range 20 {
		items = append(items, say(fmt.Sprint(i)))
	}
	run(t, c, task("echo", items...))
	h.SetLatency(0)
	if took := time.Since(begin); took < 2*latency || took > 6*latency {
		t.Errorf("a loop of 20 took %s with a round trip of %s", took, 2*latency)
	}
}

func TestWithoutGzipAndSCP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"id", "ls", "mkdir", "chmod", "rm", "mv", "uname", "tr", "cat", "sha256sum", "grep", "tail", "find"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip("this machine has no " + name)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	h := newHost(t, transporttest.SSHOptions{Env: []string{"PATH=" + dir}})
	// Without HOME the cache is /var/tmp/.rbdplay-UID, which is not the test's
	// alone: give it one.
	h.Env = append(h.Env, "HOME="+h.Home)
	c, stats := start(t, h, agent.Options{})
	if stats.UploadedBytes != int64(len(program.plain)) {
		t.Errorf("uploaded %d bytes, the program has %d", stats.UploadedBytes, len(program.plain))
	}
	run(t, c, task("echo", say("x")))
	if err := os.Remove(filepath.Join(dir, "sha256sum")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(h.cache()); err != nil {
		t.Fatal(err)
	}
	wantStartError(t, h, agent.Options{}, "none of sha256sum, openssl and shasum")
	if left, err := os.ReadDir(h.cache()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCacheMustBePrivate(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, cache string){
		"mode": func(t *testing.T, cache string) {
			if err := os.Chmod(cache, 0o777); err != nil {
				t.Fatal(err)
			}
		},
		"link": func(t *testing.T, cache string) {
			if err := errors.Join(os.Rename(cache, cache+"2"), os.Symlink(cache+"2", cache)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, transporttest.SSHOptions{})
			if err := os.MkdirAll(h.cache(), 0o700); err != nil {
				t.Fatal(err)
			}
			digest := sha256.Sum256(program.plain)
			trap := filepath.Join(h.cache(), "rbdplay-agent-"+hex.EncodeToString(digest[:]))
			if err := os.WriteFile(trap, []byte("#!/bin/sh\necho trap >&2; exit 9\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			spoil(t, h.cache())
			s, err := h.conn.Start(t.Context(), "test -w /var/tmp && test ! -e /var/tmp/.rbdplay-$(id -u)")
			if err != nil {
				t.Fatal(err)
			}
			if code, err := s.Wait(); err != nil || code != 0 {
				t.Skip("/var/tmp/.rbdplay-UID is in use on this machine")
			}
			t.Cleanup(func() { _ = os.RemoveAll(fmt.Sprintf("/var/tmp/.rbdplay-%d", os.Getuid())) })
			c, stats := start(t, h, agent.Options{})
			if stats.UploadedBytes == 0 {
				t.Error("a program from a folder that others can change was started")
			}
			run(t, c, task("echo", say("x")))
		})
	}
}

// putProgram writes a program that is run at once. Another process does it: a child
// that a test beside this one forks meanwhile would hold our file open for writing,
// and then it cannot be run (golang.org/issue/22315).
func putProgram(t *testing.T, name string, content []byte, mode fs.FileMode) {
	t.Helper()
	put := exec.Command("/bin/sh", "-c", `rm -f "$1" && cat >"$1" && chmod "$2" "$1"`, "sh", name, fmt.Sprintf("%o", mode))
	put.Stdin = bytes.NewReader(content)
	if said, err := put.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

// What the disk has made of a cached program must not keep anybody from the host.
func TestDamagedProgramIsSentAnew(t *testing.T) {
	t.Parallel()
	for name, content := range map[string][]byte{
		"emptied": nil, "cut off": program.plain[:len(program.plain)/3], "overwritten": bytes.Repeat([]byte{0xff}, 4096),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, transporttest.SSHOptions{})
			start(t, h, agent.Options{})
			digest := sha256.Sum256(program.plain)
			cached := filepath.Join(h.cache(), "rbdplay-agent-"+hex.EncodeToString(digest[:]))
			putProgram(t, cached, content, 0o700)
			c, stats := start(t, h, agent.Options{})
			if stats.Execs != 3 || stats.UploadedBytes == 0 {
				t.Errorf("%+v", stats)
			}
			run(t, c, task("echo", say("x")))
			if _, stats := start(t, h, agent.Options{}); stats.Execs != 1 {
				t.Errorf("and then: %+v", stats)
			}
		})
	}
}

func TestOldProgramsArePruned(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	if err := os.MkdirAll(h.cache(), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		file := filepath.Join(h.cache(), fmt.Sprintf("rbdplay-agent-%064d", i))
		if err := os.WriteFile(file, nil, 0o700); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	start(t, h, agent.Options{})
	left, err := filepath.Glob(filepath.Join(h.cache(), "*"))
	if err != nil || len(left) != 3 {
		t.Errorf("%v, %v", left, err)
	}
	for _, gone := range []int{0, 1, 2} {
		if _, err := os.Stat(filepath.Join(h.cache(), fmt.Sprintf("rbdplay-agent-%064d", gone))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("program %d: %v", gone, err)
		}
	}
}

func TestLoginNoise(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{Banner: "Welcome to node1\nrbdplay-agent 1 nonsense"})
	for range 2 {
		c, stats := start(t, h, agent.Options{})
		if !strings.Contains(stats.Noise, "Welcome to node1") {
			t.Errorf("%+v", stats)
		}
		run(t, c, task("echo", say("x")))
	}
	loud := newHost(t, transporttest.SSHOptions{Banner: strings.Repeat("loud ", 20_000)})
	wantStartError(t, loud, agent.Options{}, "64 KiB", "quiet")
}

// A host that has xz gets the program packed with it; the digest is checked all
// the same.
func TestSentWithXZ(t *testing.T) {
	t.Parallel()
	xz, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("left out: this machine has no xz")
	}
	pack := exec.Command(xz, "-c", "-1")
	pack.Stdin = bytes.NewReader(program.plain)
	content, err := pack.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := packed(program.plain)
	files["rbdplay-agent-linux-"+runtime.GOARCH+".xz"] = &fstest.MapFile{Data: content}
	h := newHost(t, transporttest.SSHOptions{})
	c, stats := start(t, h, agent.Options{Programs: agent.ProgramsIn(files, ".")})
	if stats.UploadedBytes != int64(len(content)) {
		t.Errorf("uploaded %d bytes, packed with xz there are %d", stats.UploadedBytes, len(content))
	}
	run(t, c, task("echo", say("x")))
}

func TestWrongProgram(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	t.Run("damaged on its way", func(t *testing.T) {
		lying := &liar{programs(), func(p *agent.Program) { p.SHA256 = strings.Repeat("0", 64) }}
		wantStartError(t, h, agent.Options{Programs: lying}, "arrived damaged")
		lying = &liar{programs(), func(p *agent.Program) { p.Gzip = p.Gzip[:len(p.Gzip)/2] }}
		wantStartError(t, h, agent.Options{Programs: lying}, "could not be unpacked")
	})
	t.Run("not an agent", func(t *testing.T) {
		script := []byte("#!/bin/sh\necho this is no agent; echo complaint >&2; exit 7\n")
		wantStartError(t, h, agent.Options{Programs: agent.ProgramsIn(packed(script), ".")},
			"exit status 7", "this is no agent", "complaint")
	})
	t.Run("another agent", func(t *testing.T) {
		digest := sha256.Sum256(program.plain)
		name := filepath.Join(h.cache(), "rbdplay-agent-"+hex.EncodeToString(digest[:]))
		script := []byte("#!/bin/sh\nprintf '\\033rbdplay-agent\\033 9 abc\\n'\n")
		putProgram(t, name, script, 0o700)
		wantStartError(t, h, agent.Options{}, "protocol 9", "not the one that was sent")
	})
	t.Run("none built in", func(t *testing.T) {
		wantStartError(t, h, agent.Options{Programs: agent.ProgramsIn(fstest.MapFS{}, ".")}, "built without agent programs", "make")
	})
	t.Run("silent", func(t *testing.T) {
		wantStartError(t, h, agent.Options{Programs: agent.ProgramsIn(packed([]byte("#!/bin/sh\nexec sleep 5\n")), "."), Timeout: 300 * time.Millisecond},
			"does not answer", "300ms")
	})
	if left, err := filepath.Glob(filepath.Join(h.cache(), "upload-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

type liar struct {
	agent.Programs
	lie func(*agent.Program)
}

func (l *liar) Program(architecture string) (agent.Program, error) {
	p, err := l.Programs.Program(architecture)
	l.lie(&p)
	return p, err
}

// nobody is who commands run as in tests of sudo, even where the tests are root's.
func nobody() int {
	if os.Getuid() == 0 {
		return 65534
	}
	return 0
}

// fakeSudo puts a sudo of ours first in the host's PATH.
func fakeSudo(t *testing.T, h *host, script string) {
	t.Helper()
	dir := filepath.Join(h.Home, "bin")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	putProgram(t, filepath.Join(dir, "sudo"), []byte("#!/bin/sh\n"+script), 0o755)
	h.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + h.Home}
}

func TestBecome(t *testing.T) {
	t.Parallel()
	ok := `while [ "$1" != -- ]; do shift; done; shift; exec "$@"`
	ask := `printf '%s' "[rbdplay become password]" >&2; IFS= read -r p
if [ "$p" = "open sesame" ]; then ` + ok + `; fi
echo "Sorry, try again." >&2; printf '%s' "[rbdplay become password]" >&2; read -r p; exit 1`
	secret := transport.NewSecret("open sesame")
	for name, tt := range map[string]struct {
		sudo   string
		become agent.Become
		want   []string // of the error; none: it works
	}{
		"without password":  {sudo: ok},
		"password":          {sudo: ask, become: agent.Become{User: "root", Password: secret}},
		"password not used": {sudo: ok, become: agent.Become{Password: secret}},
		"wrong password":    {sudo: ask, become: agent.Become{Password: transport.NewSecret("guess")}, want: []string{"does not accept the become password"}},
		"password needed":   {sudo: "echo 'sudo: a password is required' >&2; exit 1", want: []string{"asks for a password", "-K"}},
		"not in sudoers":    {sudo: "echo 'tester is not in the sudoers file.' >&2; exit 1", want: []string{"not in the sudoers file"}},
		"requiretty":        {sudo: "echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1", want: []string{"requiretty"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, transporttest.SSHOptions{UID: nobody()})
			fakeSudo(t, h, tt.sudo)
			if tt.want != nil {
				wantStartError(t, h, agent.Options{Become: &tt.become}, tt.want...)
				return
			}
			for range 2 {
				c, _ := start(t, h, agent.Options{Become: &tt.become})
				run(t, c, task("echo", say("x")))
			}
		})
	}
	t.Run("no sudo", func(t *testing.T) {
		h := newHost(t, transporttest.SSHOptions{UID: nobody()})
		if _, err := exec.LookPath("sudo"); err == nil {
			t.Skip("this machine has a sudo in PATH")
		}
		wantStartError(t, h, agent.Options{Become: &agent.Become{}}, "no program to become")
	})
}

// Another user than root, by the machine's own sudo and su: the agent runs as it,
// from a cache that it can read and cannot change.
func TestBecomeAnotherUser(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]agent.Become{
		"sudo": {User: "nobody"},
		"su":   {User: "nobody", Method: "su", Flags: "-s /bin/sh"},
		"exe":  {User: "nobody", Exe: "/usr/bin/sudo", Flags: "-H -S -n"},
	} {
		t.Run(name, func(t *testing.T) {
			program := b.Exe
			if program == "" {
				program = cmp.Or(b.Method, "sudo")
			}
			if _, err := exec.LookPath(program); err != nil || os.Getuid() != 0 {
				t.Skip("left out: becoming nobody needs root and " + program)
			}
			h := newHost(t, transporttest.SSHOptions{})
			for i := range 2 {
				c, stats := start(t, h, agent.Options{Become: &b})
				if i == 1 && stats.UploadedBytes != 0 {
					t.Errorf("sent again: %+v", stats)
				}
				got := run(t, c, task("run", map[string]any{"command": "id -un; readlink /proc/$PPID/exe"}))
				user, exe, _ := strings.Cut(strings.TrimSpace(got.Result["stdout"].(string)), "\n")
				if user != "nobody" || !strings.HasPrefix(exe, "/var/tmp/.rbdplay-0.shared/rbdplay-agent-") {
					t.Errorf("%s runs %s", user, exe)
				}
				if info, err := os.Stat(filepath.Dir(exe)); err != nil || info.Mode().Perm() != 0o755 {
					t.Errorf("%v, %v", info, err)
				}
				t.Cleanup(func() { _ = os.Remove(exe) })
			}
			b.User = "nosuchuser"
			wantStartError(t, h, agent.Options{Become: &b}, "no such user")
		})
	}
}

// su asks with a text of its own.
func TestBecomeBySu(t *testing.T) {
	t.Parallel()
	ask := `printf '%s' "Password: " >&2; IFS= read -r p
if [ "$p" != "open sesame" ]; then echo "su: Authentication failure" >&2; exit 1; fi
[ "$1 $2 $3" = "-l root -c" ] && exec /bin/sh -c "$4"`
	for name, tt := range map[string]struct {
		password string
		want     []string
	}{
		"password": {"open sesame", nil},
		"wrong":    {"guess", []string{"su does not accept"}},
		"none":     {"", []string{"asks for a password", "-K"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, transporttest.SSHOptions{UID: nobody()})
			fakeSudo(t, h, ask)
			b := agent.Become{Method: "su", Exe: filepath.Join(h.Home, "bin", "sudo"), Flags: "-l", Password: transport.NewSecret(tt.password)}
			if tt.want != nil {
				wantStartError(t, h, agent.Options{Become: &b}, tt.want...)
				return
			}
			c, _ := start(t, h, agent.Options{Become: &b})
			run(t, c, task("echo", say("x")))
		})
	}
}

// What prints or reads in the agent's process must not touch the connection.
func TestStdioIsOurs(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	got := run(t, c, task("misbehave", map[string]any{"how": "print"}))
	if got.Status != modules.OK || got.Result["read"] != "0 EOF" {
		t.Errorf("%+v", got)
	}
	run(t, c, task("echo", say("still in step")))
}

func TestCommands(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	k := task("run", map[string]any{"command": "echo one; echo two >&2; umask; read x; echo $GREETING; exit 3"})
	k.Environment = map[string]string{"GREETING": "hello"}
	var lines []string
	outcomes, err := c.Run(t.Context(), k, func(e agent.Event) {
		if e.Output != nil {
			lines = append(lines, e.Output.Stream+" "+e.Output.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	out := outcomes[0]
	if out.Result["rc"] != int64(3) || !strings.HasSuffix(out.Result["stdout"].(string), "\nhello\n") {
		t.Errorf("%+v", out)
	}
	if strings.Contains(out.Result["stdout"].(string), "77") {
		t.Errorf("commands have the umask of the bootstrap script: %q", out.Result["stdout"])
	}
	if len(lines) != 4 {
		t.Errorf("lines of output: %q", lines)
	}
}

// alive reports whether a process of this machine runs; one that waits only to
// be reaped does not.
func alive(pid string) bool {
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestNothingStaysBehind(t *testing.T) {
	for name, part := range map[string]func(h *host, c *agent.Client, cancel func()){
		"cancelled":   func(_ *host, _ *agent.Client, cancel func()) { cancel() },
		"closed":      func(_ *host, c *agent.Client, _ func()) { _ = c.Close() },
		"severed":     func(h *host, _ *agent.Client, _ func()) { h.Sever() },
		"conn closed": func(h *host, _ *agent.Client, _ func()) { _ = h.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, transporttest.SSHOptions{})
			c, _ := start(t, h, agent.Options{})
			pids := filepath.Join(t.TempDir(), "pids")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := c.Run(ctx, task("run", map[string]any{"command": "sleep 100 & echo $$ $! $PPID >" + pids + ".new; mv " + pids + ".new " + pids + "; wait"}), nil)
				failed <- err
			}()
			var running []string
			for end := time.Now().Add(5 * time.Second); len(running) == 0; time.Sleep(5 * time.Millisecond) {
				text, _ := os.ReadFile(pids)
				running = strings.Fields(string(text))
				if time.Now().After(end) {
					t.Fatal("the command does not start")
				}
			}
			if name == "cancelled" {
				running = running[:2] // the agent itself goes on
			}
			part(h, c, cancel)
			if err := <-failed; err == nil {
				t.Error("the task ended well")
			}
			for end := time.Now().Add(8 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				left := 0
				for _, pid := range running {
					if alive(pid) {
						left++
					}
				}
				if left == 0 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%d of the processes %v are still there", left, running)
				}
			}
			if name == "cancelled" {
				run(t, c, task("echo", say("the agent lives")))
			}
		})
	}
}

func TestLostHostIsNamed(t *testing.T) {
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	h.Sever()
	<-c.Done()
	_, err := c.Run(t.Context(), task("echo", say("x")), nil)
	if lost, ok := errors.AsType[*transport.UnreachableError](err); !ok || lost.Host != "node1" {
		t.Errorf("%T %v", err, err)
	}
}

func TestKilledAgentSaysHow(t *testing.T) {
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	_, err := c.Run(t.Context(), task("run", map[string]any{"command": "kill -KILL $PPID; sleep 1"}), nil)
	if err == nil || !strings.Contains(err.Error(), "the agent has ended with exit status 137") {
		t.Errorf("%v", err)
	}
}

func TestCancelledStart(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, _, err := agent.Connect(ctx, h.conn, agent.Options{Programs: agent.ProgramsIn(packed([]byte("#!/bin/sh\nexec sleep 5\n")), ".")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestUnreadableArchive(t *testing.T) {
	p := agent.ProgramsIn(fstest.MapFS{"rbdplay-agent-linux-amd64.gz": {Data: []byte("junk")}}, ".")
	if _, err := p.Program("amd64"); err == nil {
		t.Error("junk is taken for a program")
	}
	if _, err := p.Program("arm64"); !errors.Is(err, agent.ErrNoProgram) || !strings.Contains(err.Error(), "arm64") {
		t.Error(err)
	}
}

// A program that is cached says which one it is by its name; one that is not, by
// its bytes.
func TestBuild(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256(program.plain)
	claimed := strings.Repeat("ab", sha256.Size)
	for name, want := range map[string]string{
		"agent":                           hex.EncodeToString(digest[:]),
		"rbdplay-agent-":                  hex.EncodeToString(digest[:]),
		"rbdplay-agent-" + claimed[2:]:    hex.EncodeToString(digest[:]),
		"rbdplay-agent-" + claimed:        claimed,
		"rbdplay-agent-" + claimed + ".x": hex.EncodeToString(digest[:]),
	} {
		file := filepath.Join(t.TempDir(), name)
		putProgram(t, file, program.plain, 0o700)
		said, err := exec.Command(file).Output()
		if err != nil || !strings.Contains(string(said), " "+want+"\n") {
			t.Errorf("%s says %q, %v; want %s", name, said, err, want)
		}
	}
}

// Each process that the start of a cached agent needs costs as much as the rest of
// its script: the shell, ls, and the agent in place of the shell.
func TestProcessesOfAStart(t *testing.T) {
	h := newHost(t, transporttest.SSHOptions{})
	start(t, h, agent.Options{})
	bin := filepath.Join(h.Home, "counted")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	counted := filepath.Join(h.Home, "processes")
	for _, name := range []string{"id", "ls", "uname", "mkdir", "chmod", "rm", "tr", "sha256sum", "find", "grep", "tail"} {
		script := "#!/bin/sh\necho " + name + " >>" + counted + "\nPATH=/usr/bin:/bin exec " + name + " \"$@\"\n"
		putProgram(t, filepath.Join(bin, name), []byte(script), 0o755)
	}
	h.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + h.Home}
	_, stats := start(t, h, agent.Options{})
	if stats.UploadedBytes != 0 {
		t.Fatal("the cached program was not found")
	}
	got, err := os.ReadFile(counted)
	if err != nil || string(got) != "ls\n" {
		t.Errorf("it ran %q, %v", got, err)
	}
}
