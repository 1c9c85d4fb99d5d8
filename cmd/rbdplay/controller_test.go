package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCancelledCommand: when a run is cancelled, a lookup's command ends with all
// it has started.
func TestCancelledCommand(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := controller{}.Run(ctx, "sleep 600 & echo $! >child.new; mv child.new child; wait", dir)
		ended <- err
	}()
	var child int
	for child == 0 {
		text, err := os.ReadFile(filepath.Join(dir, "child"))
		if err == nil {
			child, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for alive(child) {
		time.Sleep(time.Millisecond) // killed, and to be reaped by init; the test's deadline bounds this
	}
}

// alive reports whether a process still runs; a dead one may wait to be reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return syscall.Kill(pid, 0) == nil && err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestControllerFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a", "b")
	c := controller{}
	if err := c.Create(name, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := c.Create(name, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	if err := c.Replace(name, []byte("three")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(name)
	if err != nil || string(text) != "three" {
		t.Error(string(text), err)
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(name), ".rbdplay-*")); err != nil || len(left) > 0 {
		t.Error("left behind:", left, err)
	}
	if _, err := c.Run(t.Context(), "head -c 70000000 /dev/zero", ""); err == nil || !strings.Contains(err.Error(), "prints more than 64 MiB") {
		t.Error(err)
	}
}
