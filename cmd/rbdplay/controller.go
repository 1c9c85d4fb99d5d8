package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rbdplay/rbdplay/engine/program"
)

// controller lets lookups reach the machine that rbdplay runs on. It implements
// lookup.Controller.
type controller struct{}

// Getenv implements lookup.Controller.
func (controller) Getenv(name string) (string, bool) { return os.LookupEnv(name) }

// mostOutput bounds what a command may print.
const mostOutput = 64 << 20

// Run implements lookup.Controller.
func (controller) Run(ctx context.Context, command, dir string) (string, error) {
	out, err := program.Run(ctx, program.Command{Argv: []string{"/bin/sh", "-c", command}, Dir: dir, Most: mostOutput})
	switch _, exited := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case exited:
		return "", fmt.Errorf("the command %q ended with %w: %s", command, err, out.Complaints())
	case err != nil:
		return "", fmt.Errorf("the command %q %w", command, err)
	}
	return string(out.Stdout), nil
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
