package sys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func sh(script string) Command { return Command{Args: []string{"/bin/sh", "-c", script}} }

func TestCommandResults(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Setenv("FROM_AGENT", "agent")
	dir := t.TempDir()
	tests := map[string]struct {
		command Command
		stdout  string
		stderr  string
		code    int
	}{
		"output of both streams": {sh("echo out; echo err >&2"), "out\n", "err\n", 0},
		"code":                   {sh("exit 3"), "", "", 3},
		"signal is 128+n":        {sh("kill -KILL $$"), "", "", 137},
		"no stdin":               {sh("cat; echo end"), "end\n", "", 0},
		"stdin": {
			Command{Args: []string{"cat"}, Stdin: strings.NewReader("given")}, "given", "", 0,
		},
		"stdin that is not read": {
			Command{Args: []string{"true"}, Stdin: strings.NewReader(strings.Repeat("x", 1<<20))}, "", "", 0,
		},
		"folder": {Command{Args: []string{"pwd"}, Dir: dir}, dir + "\n", "", 0},
		"environment": {
			Command{Args: []string{"/bin/sh", "-c", "echo $FROM_AGENT $A"}, Env: []string{"A=1", "FROM_AGENT=own"}}, "own 1\n", "", 0,
		},
		"binary output": {sh(`printf '\377\000\n'`), "\xff\x00\n", "", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := newRealCommands().Run(t.Context(), test.command)
			if err != nil {
				t.Fatal(err)
			}
			got := []any{string(r.Stdout), string(r.Stderr), r.Code}
			if diff := cmp.Diff([]any{test.stdout, test.stderr, test.code}, got); diff != "" {
				t.Error(diff)
			}
			if r.End.Before(r.Start) || r.Start.IsZero() {
				t.Errorf("from %s to %s", r.Start, r.End)
			}
		})
	}
	noChildren(t)
}

// noChildren fails when a process of ours was left unreaped.
func noChildren(t *testing.T) {
	t.Helper()
	if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
		t.Errorf("process %d was left behind (%v)", pid, err)
	}
}

func TestCommandNotFound(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/nosuch\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"no-such-program", "/no/such/program", "./no-such-program", plain + "/below"} {
		_, err := newRealCommands().Probe(t.Context(), Command{Args: []string{program}})
		if !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%s: %v", program, err)
		}
	}
	_, err := newRealCommands().Probe(t.Context(), Command{Args: []string{plain}})
	if err == nil || errors.Is(err, exec.ErrNotFound) || !errors.Is(err, os.ErrPermission) {
		t.Errorf("a file that is not executable: %v", err)
	}
	if err := os.Chmod(plain, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = newRealCommands().Probe(t.Context(), Command{Args: []string{plain}})
	if err == nil || !strings.Contains(err.Error(), "interpreter") {
		t.Errorf("a missing interpreter: %v", err)
	}
	_, err = newRealCommands().Probe(t.Context(), Command{Args: []string{"true"}, Dir: "/no/such/folder"})
	if err == nil || !strings.Contains(err.Error(), "/no/such/folder") {
		t.Errorf("a missing folder: %v", err)
	}
	if _, err := newRealCommands().Probe(t.Context(), Command{}); err == nil {
		t.Error("no command at all: no error")
	}
}

func TestProgramsOfTheSystemAreFoundWithoutPath(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "own-program")
	if err := os.WriteFile(own, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, path, want string }{
		{"own-program", dir, own},
		{"sh", "/nonexistent", ""}, // from the system's folders
	} {
		got, err := lookUp(test.name, "", []string{"PATH=/elsewhere", "PATH=" + test.path})
		if err != nil || test.want != "" && got != test.want {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	t.Chdir(dir)
	if got, err := lookUp("own-program", "", []string{"PATH=.:"}); err == nil {
		t.Errorf("a program of the folder one is in was taken: %s", got)
	}
}

func TestCancelledCommandsEndWithTheirGroup(t *testing.T) {
	defer goleak.VerifyNone(t)
	tests := map[string]struct {
		script string
		grace  time.Duration
		code   int
	}{
		"obedient": {`sleep 77 & echo started; wait`, time.Minute, 143},
		"stubborn": {`trap "" TERM; sleep 77 & echo started; while :; do wait; sleep 0.01; done`, 200 * time.Millisecond, 137},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var group int
			c := sh("echo $$; " + test.script)
			c.Output = func(_ string, line []byte) {
				if string(line) == "started" {
					cancel()
					return
				}
				_, _ = fmt.Sscan(string(line), &group)
			}
			commands := &realCommands{grace: test.grace}
			r, err := commands.Run(ctx, c)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			if r.Code != test.code || !bytes.HasSuffix(r.Stdout, []byte("started\n")) {
				t.Errorf("code %d, output %q", r.Code, r.Stdout)
			}
			if group == 0 || groupAlive(group) {
				t.Errorf("something of group %d still runs", group)
			}
		})
	}
	noChildren(t)
}

func TestCommandWithEndedContextDoesNotStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := filepath.Join(t.TempDir(), "made")
	if _, err := newRealCommands().Run(ctx, Command{Args: []string{"touch", file}}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it ran")
	}
}

func TestCommandTimeout(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := sh("echo before; sleep 77")
	c.Timeout = 100 * time.Millisecond
	r, err := newRealCommands().Run(t.Context(), c)
	timeout, ok := errors.AsType[*TimeoutError](err)
	if !ok || timeout.Program != "sh" || !timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if string(r.Stdout) != "before\n" {
		t.Errorf("output %q", r.Stdout)
	}
}

func TestOutputLimit(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := sh("while :; do echo 0123456789; done")
	c.Limit = 1000
	r, err := newRealCommands().Run(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "more than 1000 bytes to stdout") {
		t.Errorf("error %v", err)
	}
	if len(r.Stdout) != 1000 {
		t.Errorf("%d bytes kept", len(r.Stdout))
	}
	c = sh("printf 12345 >&2")
	c.Limit = 5
	if _, err := newRealCommands().Run(t.Context(), c); err != nil {
		t.Errorf("just the limit: %v", err)
	}
	c.Limit = 4
	if _, err := newRealCommands().Run(t.Context(), c); err == nil {
		t.Error("one byte more than the limit: no error")
	}
}

func TestLinesComeWhileTheCommandRuns(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	var lines []string
	c := Command{
		Args: []string{"/bin/sh", "-c", `echo one; until [ -e go ]; do sleep 0.01; done; printf 'two\n\nlast'; echo err >&2`},
		Dir:  dir,
		Output: func(stream string, line []byte) {
			lines = append(lines, stream+" "+string(line))
			if string(line) == "one" { // the command waits for this
				if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
					t.Error(err)
				}
			}
		},
	}
	if _, err := newRealCommands().Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines) // the streams come side by side
	want := []string{"stderr err", "stdout ", "stdout last", "stdout one", "stdout two"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

type brokenContent struct{ Content }

func (brokenContent) Open(context.Context) (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }

func TestFilesInMemory(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := Command{
		Args:  []string{"/bin/sh", "-c", `cat /proc/self/fd/3 /proc/self/fd/4 <&-; cat <&4; echo more >>/proc/self/fd/3; ls -l /proc/self/fd`},
		Files: []Content{text("first "), text("second ")},
	}
	r, err := newRealCommands().Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	out := string(r.Stdout)
	if !strings.HasPrefix(out, "first second second ") {
		t.Errorf("read %q", out)
	}
	if len(r.Stderr) == 0 {
		t.Error("a sealed file was written to")
	}
	if n := strings.Count(out, "memfd:"); n != 2 {
		t.Errorf("%d files in memory in: %s", n, out)
	}
	c.Files = []Content{brokenContent{}}
	if _, err := newRealCommands().Run(t.Context(), c); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("content that cannot be read: %v", err)
	}
}

func TestNoDescriptorIsInherited(t *testing.T) {
	open, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	r, err := newRealCommands().Probe(t.Context(), sh("ls /proc/$$/fd"))
	if err != nil {
		t.Fatal(err)
	}
	// 10 and above are the shell's own.
	fds := slices.DeleteFunc(strings.Fields(string(r.Stdout)), func(fd string) bool { return len(fd) > 1 })
	if diff := cmp.Diff([]string{"0", "1", "2"}, fds); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsLeftInTheBackgroundLivesOn(t *testing.T) {
	defer goleak.VerifyNone(t)
	began := time.Now()
	commands := &realCommands{drain: 100 * time.Millisecond}
	r, err := commands.Run(t.Context(), sh("sleep 60 & echo $!"))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it was waited for, %s", took)
	}
	var pid int
	if _, err := fmt.Sscan(string(r.Stdout), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("it does not live: %v", err)
	}
}

func TestParseStat(t *testing.T) {
	for text, want := range map[string]struct {
		state string
		group int
	}{
		"12 (a) b) S 1 34 34 0": {"S", 34},
		"12 (sh) Z 1 12 12":     {"Z", 12},
		"12 (sh) Z":             {"", 0},
		"":                      {"", 0},
	} {
		if state, group := parseStat(text); state != want.state || group != want.group {
			t.Errorf("%q: %s %d", text, state, group)
		}
	}
}
