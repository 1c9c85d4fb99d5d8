package sys_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// stream is content of a size that is made as it is read.
type stream struct {
	size  int64
	read  func(p []byte) // fills what is read
	after func(n int64)  // called with what was read so far
}

func (s stream) Size() int64  { return s.size }
func (stream) SHA256() string { return "" }

func (s stream) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(io.LimitReader(&streaming{stream: s}, s.size)), nil
}

type streaming struct {
	stream

	n int64
}

func (s *streaming) Read(p []byte) (int, error) {
	s.read(p)
	s.n += int64(len(p))
	if s.after != nil {
		s.after(s.n)
	}
	return len(p), nil
}

func nothing([]byte) {}

func names(t *testing.T, dir string) []string {
	t.Helper()
	names, err := sys.NewReal().Files().ReadDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestACancelledWriteLeavesTheOldFile(t *testing.T) {
	root, files := t.TempDir(), sys.NewReal().Change().Files()
	if err := files.Write(t.Context(), root+"/file", systest.Content("old"), sys.Attributes{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	content := stream{size: 64 << 20, read: nothing, after: func(n int64) {
		if seen++; n > 1<<20 {
			cancel()
		}
	}}
	before := seen
	err := files.Write(ctx, root+"/file", content, sys.Attributes{})
	if !errors.Is(err, context.Canceled) || seen-before > 64 {
		t.Errorf("after %d reads: %v", seen-before, err)
	}
	if diff := cmp.Diff([]string{"file"}, names(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if text, err := os.ReadFile(root + "/file"); string(text) != "old" || err != nil {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

func TestWhileAFileIsWrittenNobodyElseCanReadIt(t *testing.T) {
	root, looked := t.TempDir(), false
	content := stream{size: 1, read: nothing, after: func(int64) {
		for _, name := range names(t, root) {
			info, err := os.Lstat(filepath.Join(root, name))
			if err != nil || info.Mode() != 0o600 || len(name) > 64 {
				t.Errorf("%s has mode %v, %v", name, info.Mode(), err)
			}
			looked = true
		}
	}}
	mode := uint32(0o644)
	if err := sys.NewReal().Change().Files().Write(t.Context(), root+"/"+strings.Repeat("n", 255), content, sys.Attributes{Mode: &mode}); err != nil {
		t.Fatal(err)
	}
	if !looked {
		t.Error("there was no temporary file")
	}
}

func TestSparseCopies(t *testing.T) {
	ctx, root, host := t.Context(), t.TempDir(), sys.NewReal()
	// Data, a hole, data that begins within a block, and a hole at the end.
	want := slices.Concat([]byte("begin"), make([]byte, 1<<20), []byte("middle"), make([]byte, 1<<20))
	content := systest.Content(string(want))
	if err := host.Change().Files().WriteCopy(ctx, root+"/sparse", content, sys.Attributes{}, true); err != nil {
		t.Fatal(err)
	}
	if err := host.Change().Files().Write(ctx, root+"/dense", content, sys.Attributes{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sparse", "dense"} {
		info, err := host.Files().Lstat(ctx, root+"/"+name)
		if err != nil {
			t.Fatal(err)
		}
		if sparse := info.Blocks*512 < info.Size/2; sparse != (name == "sparse") {
			t.Errorf("%s takes %d blocks", name, info.Blocks)
		}
		if text, err := os.ReadFile(root + "/" + name); !slices.Equal(text, want) || err != nil {
			t.Errorf("%s has another content, %v", name, err)
		}
	}
}

// The size of a file must not show in the memory that copying it takes.
func TestLargeFilesTakeLittleMemory(t *testing.T) {
	ctx, root, host := t.Context(), t.TempDir(), sys.NewReal()
	const size, limit = 1 << 30, 4 << 20
	allocated := func(what string, do func() error) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > limit {
			t.Errorf("%s allocated %d bytes", what, n)
		}
	}
	files := host.Change().Files()
	allocated("writing", func() error {
		return files.WriteCopy(ctx, root+"/large", stream{size: size, read: nothing}, sys.Attributes{}, true)
	})
	shadow := sys.NewShadow(host)
	allocated("copying in a shadow", func() error {
		content, err := shadow.Files().Content(ctx, root+"/large")
		if err != nil {
			return err
		}
		return shadow.Change().Files().WriteCopy(ctx, root+"/copy", content, sys.Attributes{}, true)
	})
	info, err := shadow.Files().Stat(ctx, root+"/copy")
	if err != nil || info.Size != size {
		t.Errorf("the copy is %+v, %v", info, err)
	}
}

func TestContentThatChangedSince(t *testing.T) {
	ctx, path, files := t.Context(), t.TempDir()+"/file", sys.NewReal()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	content, err := files.Files().Content(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := content.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	write("four")
	if text, err := io.ReadAll(r); err == nil {
		t.Errorf("a file that changes while it is read gave %q", text)
	}
	if _, err := content.Open(ctx); err == nil {
		t.Error("a file that has changed was opened")
	}
}

// acl is a POSIX ACL as the kernel stores it: each entry is tag, permissions, id.
func acl(entries ...[3]uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range entries {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

const (
	aclAccess, aclDefault = "system.posix_acl_access", "system.posix_acl_default"
	noID                  = 1<<32 - 1
)

var sharedACL = acl([3]uint32{1, 6, noID}, [3]uint32{2, 6, 4321}, [3]uint32{4, 4, noID}, [3]uint32{0x10, 6, noID}, [3]uint32{0x20, 0, noID})

func TestWriteKeepsTheACL(t *testing.T) {
	ctx, root, host := t.Context(), t.TempDir(), sys.NewReal()
	files := host.Change().Files()
	mode := uint32(0o640)
	for _, err := range []error{
		files.Write(ctx, root+"/file", systest.Content("old"), sys.Attributes{Mode: &mode}),
		files.Write(ctx, root+"/plain", systest.Content("old"), sys.Attributes{Mode: &mode}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := files.SetXattr(ctx, root+"/file", aclAccess, sharedACL); err != nil {
		t.Skipf("the temporary folder's file system has no ACLs: %v", err)
	}
	if err := files.SetXattr(ctx, root, aclDefault, sharedACL); err != nil {
		t.Fatal(err)
	}
	want := systest.Portable(systest.Tree(t, host, root))
	for _, name := range []string{"/file", "/plain"} {
		if err := files.Write(ctx, root+name, systest.Content("new"), sys.Attributes{}); err != nil {
			t.Fatal(err)
		}
	}
	got := systest.Portable(systest.Tree(t, host, root))
	for path, e := range want {
		if e.Type == sys.Regular {
			e.Content = "new"
			want[path] = e
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tree is not as it should be (-want +got):\n%s", diff)
	}
	// A new file gets what the folder says.
	if err := files.Write(ctx, root+"/new", systest.Content("new"), sys.Attributes{}); err != nil {
		t.Fatal(err)
	}
	xattrs, err := host.Files().Xattrs(ctx, root+"/new")
	if diff := cmp.Diff(sharedACL, xattrs[aclAccess]); diff != "" || err != nil {
		t.Errorf("the new file's ACL: %v\n%s", err, diff)
	}
}

func TestSetAttributesKeepsSetuidForANewOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	ctx, path, host := t.Context(), t.TempDir()+"/file", sys.NewReal()
	mode, uid := uint32(0o4755), 1234
	if err := host.Change().Files().Write(ctx, path, systest.Content("x"), sys.Attributes{Mode: &mode}); err != nil {
		t.Fatal(err)
	}
	if err := host.Change().Files().SetAttributes(ctx, path, sys.Attributes{UID: &uid}); err != nil {
		t.Fatal(err)
	}
	info, err := host.Files().Lstat(ctx, path)
	if err != nil || info.Mode != mode || info.UID != uid {
		t.Errorf("the file is %+v, %v", info, err)
	}
}

// inMountNamespace runs the test again in a process that can mount without
// anybody else seeing it. It returns false in the process that only waits.
func inMountNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "RBDPLAY_TEST_IN_NAMESPACE"
	if os.Getenv(mark) != "" {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), mark+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags = unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := c.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("this machine gives the test no mount namespace: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func bind(t *testing.T, source, target string) {
	t.Helper()
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) }) // goes with the namespace anyway
}

// Both hosts keep to the borders of file systems, a bind mount of the same file
// system included.
func TestMountPointsAreNotCrossed(t *testing.T) {
	if !inMountNamespace(t) {
		return
	}
	ctx, root := t.Context(), t.TempDir()
	for _, dir := range []string{"tree/sub/mounted", "other", "moved"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"tree/sub/file", "tree/zfile", "other/precious", "hosts", "tree/sub/hosts"} {
		if err := os.WriteFile(filepath.Join(root, file), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bind(t, root+"/other", root+"/tree/sub/mounted")
	bind(t, root+"/hosts", root+"/tree/sub/hosts")
	mounted := root + "/tree/sub/mounted"

	before := systest.Portable(systest.Tree(t, sys.NewReal(), root)) // a temporary file came and went
	for kind, host := range map[string]sys.Host{"shadow": sys.NewShadow(sys.NewReal()), "real": sys.NewReal()} {
		w := host.Change().Files()
		for _, c := range []struct {
			name string
			err  error
			want error
			says string
		}{
			{"remove all above", w.RemoveAll(ctx, root+"/tree"), unix.EBUSY, mounted},
			{"remove all of", w.RemoveAll(ctx, mounted), unix.EBUSY, mounted},
			{"remove", w.Remove(ctx, mounted), unix.EBUSY, ""},
			{"remove a file", w.Remove(ctx, root+"/tree/sub/hosts"), unix.EBUSY, ""},
			{"rename", w.Rename(ctx, mounted, root+"/tree/sub/new"), unix.EBUSY, ""},
			{"rename out", w.Rename(ctx, mounted+"/precious", root+"/moved/precious"), unix.EXDEV, ""},
			{"link out", w.Link(ctx, mounted+"/precious", root+"/moved/precious"), unix.EXDEV, ""},
			{"link of a mounted file", w.Link(ctx, root+"/tree/sub/hosts", root+"/tree/new"), unix.EXDEV, ""},
			{"write", w.Write(ctx, root+"/tree/sub/hosts", systest.Content("new"), sys.Attributes{}), unix.EBUSY, "is a mount point itself"},
			{"symlink", w.Symlink(ctx, "x", root+"/tree/sub/hosts"), unix.EBUSY, "is a mount point itself"},
		} {
			if !errors.Is(c.err, c.want) || !strings.Contains(c.err.Error(), c.says) {
				t.Errorf("%s: %s gave %v", kind, c.name, c.err)
			}
		}
		if diff := cmp.Diff(before, systest.Portable(systest.Tree(t, host, root))); diff != "" {
			t.Errorf("%s: something changed:\n%s", kind, diff)
		}
		if err := w.Write(ctx, mounted+"/new", systest.Content("x"), sys.Attributes{}); err != nil {
			t.Errorf("%s: writing below a mount point: %v", kind, err)
		}
		if err := w.Remove(ctx, mounted+"/new"); err != nil {
			t.Errorf("%s: removing below a mount point: %v", kind, err)
		}
		for _, dir := range []string{root, mounted, root + "/tree/sub"} {
			if slices.ContainsFunc(names(t, dir), func(name string) bool { return strings.HasPrefix(name, ".rbdplay") }) {
				t.Errorf("%s: a temporary file is left in %s", kind, dir)
			}
		}
	}
}
