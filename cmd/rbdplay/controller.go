package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// controller lets lookups reach the machine that rbdplay runs on. It implements
// lookup.Controller.
type controller struct{}

// Getenv implements lookup.Controller.
func (controller) Getenv(name string) (string, bool) { return os.LookupEnv(name) }

// mostOutput bounds what a command may print.
const mostOutput = 64 << 20

// Run implements lookup.Controller. The command has a process group of its own,
// which is ended as a whole, so that nothing it started outlives a cancelled run.
func (controller) Run(ctx context.Context, command, dir string) (string, error) {
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	var complaints bytes.Buffer
	out := &bounded{most: mostOutput}
	c.Dir, c.Stdout, c.Stderr = dir, out, &bounded{most: 1 << 16, into: &complaints, cuts: true}
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second // for a pipe that a child in another group holds
	err := c.Run()
	switch ended, exited := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case out.over:
		return "", fmt.Errorf("the command %q prints more than %d MiB", command, mostOutput>>20)
	case exited:
		return "", fmt.Errorf("the command %q ended with %w: %s", command, ended, strings.TrimSpace(complaints.String()))
	case err != nil:
		return "", fmt.Errorf("the command %q: %w", command, err)
	}
	return out.text.String(), nil
}

// bounded keeps what is written up to a bound; beyond it writing fails, or with
// cuts the rest is dropped.
type bounded struct {
	text bytes.Buffer
	into *bytes.Buffer // nil: text
	most int
	cuts bool
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	to := b.into
	if to == nil {
		to = &b.text
	}
	if to.Len()+len(p) <= b.most {
		return to.Write(p)
	}
	b.over = true
	if b.cuts {
		return len(p), nil
	}
	return 0, errors.New("too much output")
}

// Create implements lookup.Controller. A link is what makes a file whole and
// never over another one.
func (controller) Create(name string, content []byte) error {
	return place(name, content, os.Link)
}

// Replace implements lookup.Controller.
func (controller) Replace(name string, content []byte) error {
	return place(name, content, os.Rename)
}

func place(name string, content []byte, into func(temporary, name string) error) error {
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".rbdplay-*") // only its owner may read it
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = into(f.Name(), name)
	}
	if removed := os.Remove(f.Name()); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
