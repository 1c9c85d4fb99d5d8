// Package program runs programs of the machine that rbdplay runs on: for lookups,
// vault passwords, executable inventories and raw commands of local hosts.
package program

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

// mostComplaints bounds what is kept of a program's standard error.
const mostComplaints = 64 << 10

// Command is what to run. Most bounds what the program may print, in bytes.
type Command struct {
	Argv []string
	Dir  string
	Env  []string // nil: that of rbdplay
	Most int
}

// Output is what came of a program. Its error output is cut beyond 64 KiB.
type Output struct {
	Stdout, Stderr []byte
	Code           int // 128 and the signal's number for one that a signal ended
}

// Complaints is the error output as a message ends with it.
func (o Output) Complaints() string { return strings.TrimSpace(string(o.Stderr)) }

// TooMuchError is a program's that printed more than it may; it was ended.
type TooMuchError struct{ Most int }

func (e *TooMuchError) Error() string {
	if e.Most < 1<<20 {
		return fmt.Sprintf("prints more than %d KiB", e.Most>>10)
	}
	return fmt.Sprintf("prints more than %d MiB", e.Most>>20)
}

// Run runs a program to its end. It has a process group of its own, which is
// ended as a whole when ctx is: nothing that it started outlives a cancelled run.
// The error is ctx's, a *TooMuchError, an *exec.ExitError of a program that did
// not end with 0 (the output is there then), or says why it could not be started.
func Run(ctx context.Context, command Command) (Output, error) {
	c := exec.CommandContext(ctx, command.Argv[0], command.Argv[1:]...)
	out, complaints := &bounded{most: command.Most}, &bounded{most: mostComplaints, cuts: true}
	c.Dir, c.Env, c.Stdout, c.Stderr = command.Dir, command.Env, out, complaints
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second // for a pipe that a child in another group holds
	err := c.Run()
	output := Output{Stdout: out.text.Bytes(), Stderr: complaints.text.Bytes()}
	if c.ProcessState != nil {
		output.Code = exitCode(c.ProcessState.Sys())
	}
	switch {
	case ctx.Err() != nil:
		return output, ctx.Err()
	case out.over:
		return output, &TooMuchError{command.Most}
	}
	return output, err
}

// exitCode is a shell's view of how a process ended.
func exitCode(state any) int {
	status, ok := state.(syscall.WaitStatus)
	switch {
	case !ok:
		return -1
	case status.Signaled():
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// bounded keeps what is written up to a bound. Beyond it writing fails, which
// ends the program with SIGPIPE, or with cuts the rest is dropped.
type bounded struct {
	text bytes.Buffer
	most int
	cuts bool
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := b.most - b.text.Len()
	if len(p) <= room {
		return b.text.Write(p)
	}
	b.over = true
	b.text.Write(p[:room])
	if b.cuts {
		return len(p), nil
	}
	return 0, errors.New("too much output")
}
