package modules_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// A task with nothing to do starts no process and writes nothing: on many hosts,
// or in a loop, that is all that it costs.
func TestNothingToDoNeedsNoProcess(t *testing.T) {
	started := tellProcesses(t)
	registry, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "lines")
	host := sys.NewReal()
	for _, task := range []struct {
		module string
		args   map[string]any
	}{
		{"file", map[string]any{"path": filepath.Join(dir, "folder"), "state": "directory", "mode": "0750", "owner": "root", "group": "root"}},
		{"file", map[string]any{"path": filepath.Join(dir, "link"), "src": file, "state": "link", "force": true}},
		{"copy", map[string]any{"dest": filepath.Join(dir, "copied"), "content": "text\n", "mode": "0600"}},
		{"lineinfile", map[string]any{"path": file, "line": "a line", "create": true}},
		{"blockinfile", map[string]any{"path": file, "block": "a block"}},
		{"replace", map[string]any{"path": file, "regexp": "line$", "replace": "row"}},
		{"stat", map[string]any{"path": file}},
		{"setup", map[string]any{}},
	} {
		if task.args["owner"] != nil && os.Getuid() != 0 {
			delete(task.args, "owner")
			delete(task.args, "group")
		}
		spec, ok := registry.Find(task.module)
		if !ok {
			t.Fatalf("there is no module %s", task.module)
		}
		run := func() modules.Outcome {
			module, problems := spec.Decode(task.args, nil)
			if len(problems) > 0 {
				t.Fatalf("%s: %+v", task.module, problems)
			}
			return modules.Run(t.Context(), module, host, modules.Emit{})
		}
		run() // makes what the second one finds
		before := started()
		second := run()
		if second.Status != modules.OK {
			t.Errorf("%s: %s %s", task.module, second.Status, second.Message)
		}
		if after := started(); after != before {
			t.Errorf("%s started %q", task.module, after[len(before):])
		}
	}
}

// tellProcesses puts a program of ours in the place of every one that could be
// started by its name. What it returns gives the names of those that were.
func tellProcesses(t *testing.T) func() string {
	t.Helper()
	dir := t.TempDir()
	told, trap, bin := filepath.Join(dir, "told"), filepath.Join(dir, "trap"), filepath.Join(dir, "bin")
	script := "#!/bin/sh\necho \"${0##*/}\" >>" + told + "\nexit 97\n"
	if err := errors.Join(os.Mkdir(bin, 0o755), os.WriteFile(trap, []byte(script), 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, folder := range filepath.SplitList(os.Getenv("PATH") + ":/usr/sbin:/usr/bin:/sbin:/bin") {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := os.Symlink(trap, filepath.Join(bin, e.Name())); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("PATH", bin)
	return func() string {
		text, err := os.ReadFile(told)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(text)
	}
}
