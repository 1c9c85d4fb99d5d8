package lab

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

var sometime = time.Unix(1527843600, 0)

// put writes a file with a fixed time below root.
func put(t *testing.T, root, name, content string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := writeFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, sometime, sometime); err != nil {
		t.Fatal(err)
	}
}

func TestChanges(t *testing.T) {
	base, installed, upper := t.TempDir(), t.TempDir(), t.TempDir()
	put(t, base, "etc/from-base", "old", 0o644)
	put(t, base, "etc/opened", "same", 0o644)
	put(t, base, "etc/mode", "same", 0o644)
	put(t, base, "etc/hidden", "first", 0o644)
	put(t, installed, "etc/hidden", "second", 0o644)

	put(t, upper, "etc/from-base", "new", 0o644)
	put(t, upper, "etc/opened", "same", 0o644)
	put(t, upper, "etc/mode", "same", 0o600)
	put(t, upper, "etc/hidden", "second", 0o644)
	put(t, upper, "etc/new folder/file", "x", 0o644)
	changes, err := readChanges(upper, []string{installed, base})
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{"/etc/from-base", Changed},
		{"/etc/mode", Changed},
		{"/etc/new folder", Added},
		{"/etc/new folder/file", Added},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestChangesShowsWhiteouts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a whiteout needs root")
	}
	base, installed, upper := t.TempDir(), t.TempDir(), t.TempDir()
	put(t, base, "gone", "x", 0o644)
	put(t, base, "back", "x", 0o644)
	put(t, upper, "back", "x", 0o644)
	for _, path := range []string{filepath.Join(upper, "gone"), filepath.Join(installed, "back")} {
		err := unix.Mknod(path, unix.S_IFCHR, 0)
		if errors.Is(err, unix.EPERM) {
			t.Skip("no right to make device nodes here")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	changes, err := readChanges(upper, []string{installed, base})
	if err != nil {
		t.Fatal(err)
	}
	// "back" is hidden by the installed layer, so it is new.
	if diff := cmp.Diff([]Change{{"/back", Added}, {"/gone", Removed}}, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func TestSnapshotDiff(t *testing.T) {
	upper := t.TempDir()
	put(t, upper, "same", "x", 0o644)
	put(t, upper, "content", "one", 0o644)
	put(t, upper, "mode", "x", 0o644)
	put(t, upper, "time", "x", 0o644)
	put(t, upper, "removed", "x", 0o644)
	if err := os.Symlink("a", filepath.Join(upper, "link")); err != nil {
		t.Fatal(err)
	}
	before, err := takeSnapshot(upper)
	if err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(before); diff != nil {
		t.Errorf("a snapshot differs from itself: %v", diff)
	}
	put(t, upper, "content", "two", 0o644)
	put(t, upper, "mode", "x", 0o600)
	put(t, upper, "added", "x", 0o644)
	for _, err := range []error{
		os.Chtimes(filepath.Join(upper, "time"), sometime, sometime.Add(1)),
		os.Remove(filepath.Join(upper, "removed")),
		os.Remove(filepath.Join(upper, "link")),
		os.Symlink("b", filepath.Join(upper, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	after, err := takeSnapshot(upper)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{"/added", Added},
		{"/content", Changed},
		{"/link", Changed},
		{"/mode", Changed},
		{"/removed", Removed},
		{"/time", Changed},
	}
	if diff := cmp.Diff(want, before.Diff(after)); diff != "" {
		t.Errorf("diff (-want +got):\n%s", diff)
	}
}
