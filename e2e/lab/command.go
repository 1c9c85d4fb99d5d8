package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// run runs one command with a time limit and returns its standard output. The
// error names the command and carries the end of what it wrote to stderr.
func run(ctx context.Context, limit time.Duration, argv ...string) (string, error) {
	return runWith(ctx, limit, nil, argv...)
}

// runWith is run with a standard input.
func runWith(ctx context.Context, limit time.Duration, stdin []byte, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no end within %s", limit))
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	// Its own group, so that a cancelled script does not leave its children.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 2 * time.Second
	err := command.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return stdout.String(), &CommandError{Argv: argv, Stderr: tail(stderr.String(), 2000), Err: err}
}

// CommandError is a command that could not be run or did not exit 0. Err
// unwraps to *exec.ExitError when it ran.
type CommandError struct {
	Argv   []string
	Stderr string // its last 2000 bytes
	Err    error
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s: %v", tail(strings.Join(e.Argv, " "), 300), e.Err)
	if e.Stderr != "" {
		text += ": " + e.Stderr
	}
	return text
}

func (e *CommandError) Unwrap() error { return e.Err }

func tail(text string, limit int) string {
	text = strings.TrimSpace(text)
	if len(text) > limit {
		return "…" + text[len(text)-limit:]
	}
	return text
}

// waitFor calls check until it returns nil, ctx ends or limit is over; the
// error then is the last one of check.
func waitFor(ctx context.Context, what string, limit, every time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting %s for %s: %w", limit, what, err)
		case <-time.After(every):
		}
	}
}
