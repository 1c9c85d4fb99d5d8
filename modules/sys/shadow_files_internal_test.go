package sys

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// text is a small content.
func text(s string) Content { return memory{data: []byte(s), sum: sha256.Sum256([]byte(s))} }

func touch(t *testing.T, w FileWriter, path string) {
	t.Helper()
	if err := w.Write(t.Context(), path, text("x"), Attributes{}); err != nil {
		t.Fatal(err)
	}
}

// answer sorts the answers of Lstat.
func answer(t *testing.T, f FileReader, path string) string {
	t.Helper()
	_, err := f.Lstat(t.Context(), path)
	unknown, ok := Unknown(err)
	switch {
	case err == nil:
		return "there"
	case ok:
		return "unknown, " + unknown.Because
	case errors.Is(err, fs.ErrNotExist):
		return "absent"
	}
	return err.Error()
}

func expect(t *testing.T, f FileReader, path, want string) {
	t.Helper()
	if got := answer(t, f, path); got != want {
		t.Errorf("%s is %s, want %s", path, got, want)
	}
}

func TestWhatAPackageBringsIsUnknown(t *testing.T) {
	ctx, root := t.Context(), t.TempDir()
	f := NewShadow(NewReal()).files
	for _, path := range []string{"/etc/rbdplay-mine", "/etc/rbdplay-mine/conf.d"} {
		if err := f.Mkdir(ctx, path, Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	touch(t, f, "/etc/rbdplay-mine/own")
	touch(t, f, "/etc/rbdplay-mine/early")
	if err := f.Remove(ctx, "/etc/rbdplay-mine/early"); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "/etc/rbdplay-new", "absent")
	f.brings("package x would be installed")
	const unknown = "unknown, package x would be installed"

	expect(t, f, "/etc/rbdplay-new", unknown)
	expect(t, f, "/etc/rbdplay-new/below", unknown)
	expect(t, f, "/etc/rbdplay-mine/conf.d/file", unknown)
	expect(t, f, "/etc/rbdplay-mine/early", unknown) // the package may put it there again
	expect(t, f, "/etc/rbdplay-mine/own", "there")
	expect(t, f, "/etc/passwd", "there")
	expect(t, f, "/opt/rbdplay-no-such", "absent")
	expect(t, f, filepath.Join(root, "no"), "absent")
	if err := f.Symlink(ctx, "/etc/rbdplay-new", root+"/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Stat(ctx, root+"/link"); !isUnknown(err) {
		t.Errorf("a link into the unknown gave %v", err)
	}
	for name, err := range map[string]error{
		"write":  f.Write(ctx, "/etc/rbdplay-new", text("x"), Attributes{}),
		"mkdir":  f.Mkdir(ctx, "/etc/rbdplay-new", Attributes{}),
		"remove": f.Remove(ctx, "/etc/rbdplay-new"),
		"rmdir":  f.Remove(ctx, "/etc/rbdplay-mine/conf.d"),
		"rename": f.Rename(ctx, "/etc/rbdplay-mine/own", "/etc/rbdplay-new"),
	} {
		if !isUnknown(err) {
			t.Errorf("%s gave %v", name, err)
		}
	}
	if _, err := f.ReadDir(ctx, "/etc/rbdplay-mine"); !isUnknown(err) {
		t.Errorf("readdir gave %v", err)
	}

	// What is done after the package counts.
	if err := f.Remove(ctx, "/etc/rbdplay-mine/own"); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "/etc/rbdplay-mine/own", "absent")
	if err := f.RemoveAll(ctx, "/etc/rbdplay-mine"); err != nil {
		t.Fatal(err)
	}
	if err := f.Mkdir(ctx, "/etc/rbdplay-mine", Attributes{}); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "/etc/rbdplay-mine/conf.d", "absent")
	if names, err := f.ReadDir(ctx, "/etc/rbdplay-mine"); len(names) != 0 || err != nil {
		t.Errorf("readdir of the new folder gave %v, %v", names, err)
	}
}

func isUnknown(err error) bool {
	_, unknown := Unknown(err)
	return unknown
}

func TestWhatACommandBringsIsUnknown(t *testing.T) {
	ctx, root := t.Context(), t.TempDir()
	f := NewShadow(NewReal()).files
	f.ran("the command make would run", root+"/a/b")
	const unknown = "unknown, the command make would run"
	expect(t, f, root+"/a", unknown) // a folder on the way
	expect(t, f, root+"/a/b/c", unknown)
	expect(t, f, root+"/ab", "absent")
	expect(t, f, "/etc/rbdplay-new", "absent")
	if _, err := f.ReadDir(ctx, root); !isUnknown(err) {
		t.Errorf("readdir gave %v", err)
	}
	if names, err := f.ReadDir(ctx, filepath.Dir(root)); err != nil || len(names) == 0 {
		t.Errorf("readdir of the folder above gave %v, %v", names, err)
	}
	f.ran("the command configure would run")
	expect(t, f, "/etc/rbdplay-new", "unknown, the command configure would run")
}

func TestMountsOfAShadow(t *testing.T) {
	ctx, root := t.Context(), t.TempDir()
	for _, path := range []string{"data", "bound", "empty", "disk"} {
		if err := os.Mkdir(filepath.Join(root, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f := NewShadow(NewReal()).files
	touch(t, f, root+"/data/file")
	touch(t, f, root+"/bound/hidden")
	touch(t, f, root+"/disk/hidden")
	mount := func(m Mount) {
		t.Helper()
		if err := f.mounted(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	mount(Mount{Source: root + "/data", Target: root + "/bound", Type: "none", Options: "bind"})
	mount(Mount{Source: "tmpfs", Target: root + "/empty", Type: "tmpfs", Options: "size=1m,mode=0710,uid=7"})
	mount(Mount{Source: "/dev/sdb1", Target: root + "/disk", Type: "ext4"})

	expect(t, f, root+"/bound/file", "there")
	expect(t, f, root+"/bound/hidden", "absent")
	expect(t, f, root+"/bound/../data", "there")
	touch(t, f, root+"/bound/through")
	expect(t, f, root+"/data/through", "there")

	info, err := f.Stat(ctx, root+"/empty")
	if err != nil || info.Mode != 0o710 || info.UID != 7 {
		t.Errorf("the root of the tmpfs is %+v, %v", info, err)
	}
	touch(t, f, root+"/empty/file")
	if err := f.Link(ctx, root+"/data/file", root+"/empty/link"); !errors.Is(err, unix.EXDEV) {
		t.Errorf("a link into another file system gave %v", err)
	}
	if err := f.Rename(ctx, root+"/data/file", root+"/empty/moved"); !errors.Is(err, unix.EXDEV) {
		t.Errorf("a rename into another file system gave %v", err)
	}
	if _, err := f.Space(ctx, root+"/empty"); !isUnknown(err) {
		t.Errorf("the space of the new tmpfs gave %v", err)
	}

	expect(t, f, root+"/disk", "unknown, /dev/sdb1 would be mounted at "+root+"/disk")
	expect(t, f, root+"/disk/hidden", "unknown, /dev/sdb1 would be mounted at "+root+"/disk")
	if err := f.Remove(ctx, root+"/empty"); !errors.Is(err, unix.EBUSY) {
		t.Errorf("removing a mount point gave %v", err)
	}
	if err := f.RemoveAll(ctx, root); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), root+"/") {
		t.Errorf("removing all over mount points gave %v", err)
	}
	if err := f.mounted(ctx, Mount{Source: "tmpfs", Target: root + "/no", Type: "tmpfs"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a mount point that is not there gave %v", err)
	}

	for _, path := range []string{"bound", "empty", "disk"} {
		if err := f.unmounted(ctx, root+"/"+path); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, f, root+"/bound/hidden", "there")
	expect(t, f, root+"/bound/file", "absent")
	expect(t, f, root+"/empty/file", "absent")
	expect(t, f, root+"/disk/hidden", "there")

	// A mount of the host beneath hides what nobody can see now.
	if err := f.unmounted(ctx, root+"/data"); err != nil {
		t.Fatal(err)
	}
	expect(t, f, root+"/data/file", "unknown, what the mount at "+root+"/data hides shows only when it is gone")
}

func TestMountOverTheRoot(t *testing.T) {
	ctx, f := t.Context(), NewShadow(NewReal()).files
	if err := f.mounted(ctx, Mount{Source: "tmpfs", Target: "/", Type: "tmpfs"}); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "/etc", "absent")
	expect(t, f, "/..", "there")
	if err := f.unmounted(ctx, "/"); err != nil {
		t.Fatal(err)
	}
	expect(t, f, "/etc", "there")
}

// Others may write to the disk meanwhile, so the steps are halves of it.
func TestSpaceCountsWhatIsWritten(t *testing.T) {
	ctx, root := t.Context(), t.TempDir()
	f := NewShadow(NewReal()).files
	free := func() uint64 {
		t.Helper()
		space, err := f.Space(ctx, root)
		if err != nil {
			t.Fatal(err)
		}
		return space.Free
	}
	before := free()
	half := claimed(before / 2)
	for _, step := range []struct {
		when string
		do   func() error
		half bool // of it is free then
	}{
		{"half is written", func() error { return f.Write(ctx, root+"/big", half, Attributes{}) }, true},
		{"a folder is made", func() error { return f.Mkdir(ctx, root+"/dir", Attributes{}) }, true},
		{"the file has a second name", func() error { return f.Link(ctx, root+"/big", root+"/dir/twin") }, true},
		{"the first name is gone", func() error { return f.Remove(ctx, root+"/big") }, true},
		{"the second is gone with its folder", func() error { return f.RemoveAll(ctx, root+"/dir") }, false},
		{"it is written once more", func() error { return f.Write(ctx, root+"/big", half, Attributes{}) }, true},
		{"and replaced by another", func() error { return f.Write(ctx, root+"/big", half, Attributes{}) }, true},
		{"and by a link", func() error { return f.Symlink(ctx, "x", root+"/big") }, false},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.when, err)
		}
		if now := free(); (now < before*3/4) != step.half || now < before/4 {
			t.Errorf("%s: %d of %d bytes are free", step.when, now, before)
		}
	}
	if err := f.Write(ctx, root+"/too-big", claimed(1<<60), Attributes{}); err != nil {
		t.Fatal(err)
	}
	if now := free(); now != 0 {
		t.Errorf("%d bytes are free after more was written than there was room", now)
	}
}

// claimed is content that must not be opened.
type claimed int64

func (c claimed) Size() int64  { return int64(c) }
func (claimed) SHA256() string { return "" }

func (claimed) Open(context.Context) (io.ReadCloser, error) {
	return nil, errors.New("a shadow needs not open this")
}

// Reading a path that is being written through must not hang, and large content
// stays what it was when it was found.
func TestLargeContentIsKeptByReference(t *testing.T) {
	ctx, root := t.Context(), t.TempDir()
	large := strings.Repeat("0123456789abcdef", 8<<10)
	if err := os.WriteFile(root+"/old", []byte(large), 0o600); err != nil {
		t.Fatal(err)
	}
	f := NewShadow(NewReal()).files
	content, err := f.Content(ctx, root+"/old")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Write(ctx, root+"/copy", content, Attributes{}); err != nil {
		t.Fatal(err)
	}
	touch(t, f, root+"/old")
	if err := f.Rename(ctx, root+"/copy", root+"/moved"); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(ctx, root+"/moved")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if string(data) != large || err != nil {
		t.Errorf("the copy has %d bytes, %v", len(data), err)
	}
}

// A shadow that waits for the host beneath still obeys its context.
func TestShadowGivesUpWithItsContext(t *testing.T) {
	f := NewShadow(NewReal()).files
	if err := f.enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Lstat(ctx, "/"); !errors.Is(err, context.Canceled) {
		t.Errorf("lstat gave %v", err)
	}
	done := make(chan error)
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		_, err := f.Lstat(ctx, "/")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for the tree gave %v", err)
	}
	f.leave()
}
