package sys

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// kept asks a Memory of a new run and reports how often it was worked out.
func kept(t *testing.T, folder, key string, check bool) (worked int) {
	t.Helper()
	ctx := WithMemory(t.Context(), &Memory{Folder: folder})
	if check {
		ctx = KeepNothing(ctx)
	}
	want := map[string]string{"a": key}
	for range 2 {
		got, err := RecallKept(ctx, "what", key, func() (map[string]string, error) {
			worked++
			return want, nil
		})
		if err != nil || got["a"] != key {
			t.Errorf("%v, %v", got, err)
		}
	}
	return worked
}

func TestKept(t *testing.T) {
	folder := t.TempDir()
	must(t, os.Chmod(folder, 0o700))
	files := func() []string {
		names, err := filepath.Glob(filepath.Join(folder, "*"))
		must(t, err)
		return names
	}
	for _, step := range []struct {
		name  string
		do    func(file string) error
		key   string
		check bool
		works int
	}{
		{name: "check mode keeps nothing", key: "k1", check: true, works: 1},
		{name: "the first time", key: "k1", works: 1},
		{name: "another run", key: "k1"},
		{name: "check mode reads", key: "k1", check: true},
		{name: "another key", key: "k2", works: 1},
		{name: "only the last is kept", key: "k1", works: 1},
		{name: "torn off", do: func(file string) error { return os.Truncate(file, 131) }, key: "k1", works: 1},
		{name: "damaged", do: func(file string) error {
			text, err := os.ReadFile(file)
			must(t, err)
			return os.WriteFile(file, bytes.Replace(text, []byte(`{"a":"k1"}`), []byte(`{"a":"k9"}`), 1), 0o600)
		}, key: "k1", works: 1},
		{name: "open to others", do: func(file string) error { return os.Chmod(file, 0o644) }, key: "k1", works: 1},
		{name: "a link", do: func(file string) error {
			return os.Rename(file, file+".x") // and a link with its name
		}, key: "k1", works: 1},
		{name: "still", key: "k1"},
		{name: "a folder of everybody's", do: func(string) error { return os.Chmod(folder, 0o777) }, key: "k1", works: 1},
		{name: "is not written to either", do: func(string) error { return os.Chmod(folder, 0o777) }, key: "k3", works: 1},
		{name: "the old is as it was", do: func(string) error { return os.Chmod(folder, 0o700) }, key: "k1"},
	} {
		if step.do != nil {
			must(t, step.do(files()[0]))
		}
		if step.name == "a link" {
			must(t, os.Symlink(files()[0], files()[0][:len(files()[0])-2]))
		}
		if worked := kept(t, folder, step.key, step.check); worked != step.works {
			t.Errorf("%s: worked %d times, want %d", step.name, worked, step.works)
		}
		if step.check && step.works > 0 && len(files()) > 0 {
			t.Errorf("%s: %v", step.name, files())
		}
	}
	for _, file := range files() {
		text, err := os.ReadFile(file)
		must(t, err)
		if bytes.Contains(text, []byte("what")) {
			t.Errorf("%s tells more than digests", file)
		}
	}
}

// An error is nothing to be kept.
func TestKeptNoError(t *testing.T) {
	folder := t.TempDir()
	must(t, os.Chmod(folder, 0o700))
	ctx := WithMemory(t.Context(), &Memory{Folder: folder})
	_, err := RecallKept(ctx, "what", "k", func() (string, error) { return "", os.ErrPermission })
	if names, _ := os.ReadDir(folder); err == nil || len(names) > 0 {
		t.Errorf("%v, %v", err, names)
	}
}
