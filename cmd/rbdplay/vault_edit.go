package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rbdplay/rbdplay/engine/vault"
)

func (v *vaultCommand) runEdit(ctx context.Context, names []string) error {
	if err := v.opening(ctx); err != nil {
		return err
	}
	return v.each(names, func(name string) error {
		plain, password, err := v.opened(name)
		if err != nil {
			return err
		}
		edited, err := v.editText(ctx, filepath.Base(name), plain)
		if err != nil || bytes.Equal(edited, plain) {
			return err // what did not change keeps its salt
		}
		text, err := vault.Encrypt(edited, password)
		if err != nil {
			return err
		}
		return v.store(name, text)
	})
}

func (v *vaultCommand) runCreate(ctx context.Context, names []string) error {
	name := names[0]
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s is there already; rbdplay vault edit changes it", name)
		}
		return err
	}
	password, err := v.sealing(ctx)
	if err != nil {
		return err
	}
	plain, err := v.editText(ctx, filepath.Base(name), nil)
	if err != nil {
		return err
	}
	text, err := vault.Encrypt(plain, password)
	if err != nil {
		return err
	}
	return v.store(name, text)
}

// editText lets a person edit a text: in a file that only they can read, in a
// folder of its own, in memory where the system has a place for that. Both are
// gone when it returns, whatever ended it: a signal ends ctx, and the editor with it.
func (v *vaultCommand) editText(ctx context.Context, base string, text []byte) (edited []byte, err error) {
	dir, err := os.MkdirTemp(memoryFolder(), "rbdplay-vault-") // 0700
	if err != nil {
		return nil, err
	}
	forget := v.whenLeaving(func() { _ = os.RemoveAll(dir) }) // nothing is left to tell of a failure
	defer func() {
		forget()
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	file := filepath.Join(dir, base)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	if err := v.editor(ctx, file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// editor runs $VISUAL or $EDITOR, which may have arguments, in the foreground.
func (v *vaultCommand) editor(ctx context.Context, file string) error {
	words := strings.Fields(os.Getenv("VISUAL"))
	if len(words) == 0 {
		words = strings.Fields(os.Getenv("EDITOR"))
	}
	if len(words) == 0 {
		words = []string{"vi"}
	}
	c := exec.CommandContext(ctx, words[0], append(words[1:], file)...) //nolint:gosec // the editor that the person at the keyboard has chosen
	c.Stdin, c.Stdout, c.Stderr = v.in, v.out, v.err
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 3 * time.Second // then it is killed
	err := c.Run()
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInterrupted, err: errors.New("nothing was changed")}
	case err != nil:
		return fmt.Errorf("the editor %s: %w; nothing was changed", words[0], err)
	}
	return nil
}

// memoryFolder is a folder on tmpfs; "" stands for the usual one.
func memoryFolder() string {
	const tmpfs = 0x01021994
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), "/dev/shm"} {
		var about syscall.Statfs_t
		if dir != "" && syscall.Statfs(dir, &about) == nil && about.Type == tmpfs && syscall.Access(dir, 2) == nil {
			return dir
		}
	}
	return ""
}

func ownerOf(info fs.FileInfo) (user, group int) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid), int(stat.Gid)
	}
	return -1, -1
}
