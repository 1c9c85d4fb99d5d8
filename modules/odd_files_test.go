package modules_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// writers are modules with arguments that would write root/conf, which has
// "old\n"; the content is large when it has to fill something.
func writers(t *testing.T, root string, size int) map[string]map[string]any {
	t.Helper()
	large := strings.Repeat("0123456789abcde\n", size/16)
	for name, text := range map[string]string{"source": large, "parts/1": large, "archive": string(tarOf(t, member{name: "conf", text: large}))} {
		at := filepath.Join(filepath.Dir(root), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	outside, conf := filepath.Dir(root), root+"/conf"
	return map[string]map[string]any{
		"copy":        {"content": large, "dest": conf},
		"lineinfile":  {"path": conf, "line": strings.ReplaceAll(large, "\n", " ")},
		"blockinfile": {"path": conf, "block": large},
		"replace":     {"path": conf, "regexp": "old", "replace": strings.ReplaceAll(large, "\n", " ")},
		"ini_file":    {"path": conf, "section": "s", "option": "o", "value": strings.ReplaceAll(large, "\n", " ")},
		"assemble":    {"src": outside + "/parts", "dest": conf},
		"unarchive":   {"src": outside + "/archive", "dest": root, "remote_src": true},
		"get_url":     {"url": "file://" + outside + "/source", "dest": conf, "force": true},
	}
}

// keepsOld runs each writer, which must fail with the error and leave all as it was.
func keepsOld(t *testing.T, root string, size int, want string) {
	t.Helper()
	machine := sys.NewReal()
	for name, args := range writers(t, root, size) {
		t.Run(name, func(t *testing.T) {
			before := systest.Tree(t, machine, root)
			out := modules.Run(t.Context(), decoded(t, name, args), machine, modules.Emit{})
			wantFailure(t, out, want)
			if !strings.Contains(out.Message, root) {
				t.Errorf("the message names no file: %q", out.Message)
			}
			after := systest.Tree(t, machine, root)
			delete(before, ".") // a temporary file came and went
			delete(after, ".")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("it left (-before +after):\n%s", diff)
			}
		})
	}
}

func TestFullFileSystem(t *testing.T) {
	root := t.TempDir() + "/full"
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no small file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(root+"/conf", []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	keepsOld(t, root, 256<<10, "no space left on device")
}

func TestImmutableFile(t *testing.T) {
	root := t.TempDir() + "/fixed"
	if err := errors.Join(os.Mkdir(root, 0o755), os.WriteFile(root+"/conf", []byte("old\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(root + "/conf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() }) // it was only for its flags
	const immutable = 0x10
	flags, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags|immutable)
	}
	if err != nil {
		t.Skipf("no file can be made immutable here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags); err != nil {
			t.Error(err)
		}
	})
	keepsOld(t, root, 1<<10, "operation not permitted")
}

// What a module does with a file of a GiB never has that in memory.
func TestHugeFileIsNotHeld(t *testing.T) {
	root := modulestest.Dir(t)
	const huge, read = 1 << 30, 128 << 20 // what has to be read to its end is smaller, for the time it takes
	if err := errors.Join(os.MkdirAll(root+"/parts", 0o755), os.WriteFile(root+"/parts/huge", nil, 0o644), os.Truncate(root+"/parts/huge", huge), os.WriteFile(root+"/read", nil, 0o644), os.Truncate(root+"/read", read)); err != nil {
		t.Fatal(err)
	}
	at := root + "/parts/huge"
	for name, args := range map[string]map[string]any{
		"stat":        {"path": root + "/read"},
		"find":        {"paths": root, "recurse": true, "contains": "needle"},
		"slurp":       {"src": at},
		"lineinfile":  {"path": at, "line": "x"},
		"blockinfile": {"path": at, "block": "x"},
		"replace":     {"path": at, "regexp": "x"},
		"ini_file":    {"path": at, "section": "x"},
		"assemble":    {"src": root + "/parts", "dest": root + "/all"},
		"unarchive":   {"src": at, "dest": root, "remote_src": true},
		"get_url":     {"url": "file://" + root + "/read", "dest": root + "/read", "force": true},
		"copy":        {"src": root + "/read", "dest": root + "/read", "remote_src": true},
		"file":        {"path": at, "mode": "0600"},
	} {
		t.Run(name, func(t *testing.T) {
			m := decoded(t, name, args)
			var status modules.Status
			allocated := allocates(func() {
				status = modules.Run(t.Context(), m, sys.NewShadow(sys.NewReal()), modules.Emit{}).Status
			})
			if allocated > read/8 {
				t.Errorf("%d bytes were allocated (it ended %s)", allocated, status)
			}
		})
	}
}
