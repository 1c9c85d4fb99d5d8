package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	defaultOutputLimit = 64 << 20
	// killGrace is how long a cancelled command may take to clean up.
	killGrace = 5 * time.Second
	// unkillableAfter is how long to wait for a killed process: one in an
	// uninterruptible sleep, on a dead NFS server say, never ends.
	unkillableAfter = 5 * time.Second
	// drainAfterExit is how long output is read on after the program has ended,
	// when something that it left in the background holds the pipe open.
	drainAfterExit = 2 * time.Second
)

// TimeoutError says that a command was ended because its own timeout was over.
type TimeoutError struct {
	Program string
	After   time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s did not end within %s and was killed", e.Program, e.After)
}

// Timeout makes the error one of those that os.IsTimeout knows.
func (e *TimeoutError) Timeout() bool { return true }

// realCommands starts programs.
type realCommands struct {
	grace time.Duration // between SIGTERM and SIGKILL
	drain time.Duration // after the end, see drainAfterExit
}

func newRealCommands() *realCommands { return &realCommands{grace: killGrace, drain: drainAfterExit} }

// Probe runs a command that only reads.
func (r *realCommands) Probe(ctx context.Context, c Command) (Result, error) { return r.run(ctx, c) }

// Run runs a command with effects. For the machine itself there is no difference.
func (r *realCommands) Run(ctx context.Context, c Command) (Result, error) { return r.run(ctx, c) }

// run starts c in its own process group and waits for its end. When ctx ends, the
// timeout is over or the output grows too long, the group gets SIGTERM and a
// little later SIGKILL; the result then holds what was printed until then. What
// the program leaves in the background of its own accord lives on. c.Stdin must
// come to an end by itself: a reader that blocks cannot be called off.
func (r *realCommands) run(ctx context.Context, c Command) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	cmd, err := r.prepare(ctx, c)
	if err != nil {
		return Result{}, err
	}
	name := filepath.Base(c.Args[0])
	files, err := memoryFiles(ctx, c.Files)
	defer closeAll(files)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", name, err)
	}
	cmd.ExtraFiles = files
	out := newOutput(c)
	cmd.Stdout, cmd.Stderr = out.stream("stdout"), out.stream("stderr")
	result := Result{Start: time.Now()}
	if err := start(cmd); err != nil {
		return Result{}, err
	}
	ended, err := r.await(ctx, cmd, c, out)
	result.End = time.Now()
	result.Stdout, result.Stderr = out.close()
	if ended {
		result.Code = exitCode(cmd.ProcessState)
	}
	return result, err
}

func start(cmd *exec.Cmd) error {
	err := cmd.Start()
	if errors.Is(err, fs.ErrNotExist) && cmd.Dir != "" {
		if _, lookErr := os.Stat(cmd.Dir); lookErr != nil {
			return fmt.Errorf("start %s: folder to run in: %w", filepath.Base(cmd.Path), lookErr)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		// The program is there (it was looked up): its interpreter is missing.
		return fmt.Errorf("start %s: the interpreter that it names is missing: %w", cmd.Path, err)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}

func (r *realCommands) prepare(ctx context.Context, c Command) (*exec.Cmd, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil, errors.New("no command is given")
	}
	env := slices.Concat(ProgramEnvironment(ctx), c.Env)
	if c.Expand {
		var err error
		if c.Args, err = expandWords(c.Args, env); err != nil {
			return nil, err
		}
	}
	path, err := lookUp(c.Args[0], c.Dir, env)
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{
		Path: path, Args: c.Args, Dir: c.Dir, Env: env, Stdin: c.Stdin,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		WaitDelay:   r.drain,
	}, nil
}

// systemFolders are searched after PATH: a login without a shell's profile often
// lacks them, and what a module needs lives there.
var systemFolders = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// lookUp finds a program as env(1) would with the given environment.
func lookUp(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := executable(path); err != nil {
			return "", &exec.Error{Name: name, Err: err}
		}
		return path, nil
	}
	var folders []string
	for _, v := range env {
		if list, ok := strings.CutPrefix(v, "PATH="); ok {
			folders = filepath.SplitList(list) // the last one wins
		}
	}
	for _, folder := range append(slices.Clone(folders), systemFolders...) {
		// What lies in the folder one happens to be in is not a program of the
		// system; a folder that may not be looked into has none for this user.
		path := filepath.Join(folder, name)
		if filepath.IsAbs(folder) && executable(path) == nil {
			return path, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR):
		return exec.ErrNotFound
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case info.Mode()&0o111 == 0:
		return fs.ErrPermission
	}
	return nil
}

// await waits for cmd's end and ends it when it must. ended is false for a
// process that even SIGKILL did not end; the goroutine that waits for it stays
// until the kernel lets it go.
func (r *realCommands) await(ctx context.Context, cmd *exec.Cmd, c Command, out *output) (ended bool, err error) {
	name := filepath.Base(c.Args[0])
	exited, reap, reaped := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		waitUntilZombie(cmd.Process.Pid)
		close(exited)
		<-reap // the group's number stays taken until it is reaped
		reaped <- cmd.Wait()
	}()
	var timeout <-chan time.Time
	if c.Timeout > 0 {
		timer := time.NewTimer(c.Timeout)
		defer timer.Stop()
		timeout = timer.C
	}
	var cause error
	select {
	case <-exited:
		close(reap)
		return finished(name, <-reaped, out)
	case <-ctx.Done():
		cause = fmt.Errorf("%s was ended: %w", name, ctx.Err())
	case <-timeout:
		cause = &TimeoutError{Program: name, After: c.Timeout}
	case <-out.overflow:
		cause = out.tooLong(name)
	}
	defer close(reap)
	if !r.endGroup(cmd.Process.Pid, exited) {
		return false, fmt.Errorf("%w; process %d cannot be killed, it hangs in the kernel", cause, cmd.Process.Pid)
	}
	reap <- struct{}{}
	<-reaped //nolint:errcheck // how it ended is in its state
	return true, cause
}

func finished(name string, err error, out *output) (bool, error) {
	if _, exit := errors.AsType[*exec.ExitError](err); exit || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	select {
	case <-out.overflow:
		return true, out.tooLong(name)
	default:
	}
	if errors.Is(err, syscall.EPIPE) {
		err = nil // it did not read all of its stdin, as is its right
	}
	if err != nil {
		return true, fmt.Errorf("%s: %w", name, err)
	}
	return true, nil
}

// waitUntilZombie returns when the process has ended, and leaves it unreaped.
func waitUntilZombie(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// endGroup asks the whole group to end and then kills what is left of it. It
// reports whether the leader has ended.
func (r *realCommands) endGroup(pgid int, exited <-chan struct{}) bool {
	_ = syscall.Kill(-pgid, syscall.SIGTERM) // no such process: nothing to end
	deadline := time.Now().Add(r.grace)
	for time.Now().Before(deadline) && groupAlive(pgid) {
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Kill(-pgid, syscall.SIGKILL)
	select {
	case <-exited:
		return true
	case <-time.After(unkillableAfter):
		return false
	}
}

// groupAlive reports whether a process of the group still runs; a zombie does not.
func groupAlive(pgid int) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended meanwhile
		}
		state, group := parseStat(string(text))
		if group == pgid && state != "Z" && state != "X" {
			return true
		}
	}
	return false
}

// parseStat takes state and process group out of /proc/PID/stat. The name in it
// is in brackets and may itself hold brackets and spaces.
func parseStat(text string) (state string, pgid int) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 3 {
		return "", 0
	}
	if _, err := fmt.Sscan(fields[2], &pgid); err != nil {
		return "", 0
	}
	return fields[0], pgid
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
