package modules_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func fileModule(t *testing.T, name string, args map[string]any) modules.Module {
	t.Helper()
	spec, ok := registry(t).Find(name)
	if !ok {
		t.Fatalf("there is no module %s", name)
	}
	m, problems := spec.Decode(args, modulestest.Contents{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return m
}

func done(t *testing.T, name string, args map[string]any) modules.Outcome {
	t.Helper()
	out := modules.Run(t.Context(), fileModule(t, name, args), sys.NewReal(), modules.Emit{})
	if out.Status == modules.Failed {
		t.Fatalf("%s %v: %s", name, args, out.Message)
	}
	return out
}

func write(t *testing.T, at, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// Thousands of files go in one step, are shown as a summary, and arrive exact.
func TestSynchronizeManyFiles(t *testing.T) {
	root := modulestest.Dir(t)
	for i := range 5000 {
		write(t, fmt.Sprintf("%s/src/%02d/f%04d", root, i%50, i), fmt.Sprint("content ", i))
	}
	args := map[string]any{"src": root + "/src/", "dest": root + "/dest", "remote_src": true, "delete": true}
	start := time.Now()
	out := done(t, "synchronize", args)
	t.Logf("5000 files in %v", time.Since(start))
	if len(out.Changes) != 1 || out.Changes[0].Action != change.Create || out.Changes[0].Target != root+"/dest" {
		t.Fatalf("changes %v", out.Changes)
	}
	same := done(t, "compare_trees", map[string]any{"src": root + "/src", "dest": root + "/dest"})
	if same.Result["files"] != 5000 || same.Result["entries"] != 5051 {
		t.Errorf("compared %v", same.Result)
	}
	if again := done(t, "synchronize", args); again.Status != modules.OK {
		t.Errorf("a second run ended %s with %v", again.Status, again.Changes)
	}
}

// A sparse file keeps its holes and passes through little memory.
func TestSynchronizeKeepsHoles(t *testing.T) {
	root := t.TempDir()
	const size = 256 << 20
	write(t, root+"/src/image", "begin")
	if err := os.Truncate(root+"/src/image", size); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	done(t, "synchronize", map[string]any{"src": root + "/src/", "dest": root + "/dest", "remote_src": true})
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("copying a file of %d bytes took %d bytes of memory", size, grown)
	}
	var stat unix.Stat_t
	if err := unix.Stat(root+"/dest/image", &stat); err != nil {
		t.Fatal(err)
	}
	if stat.Size != size || stat.Blocks*512 > 1<<20 {
		t.Errorf("the copy has %d bytes in %d blocks", stat.Size, stat.Blocks)
	}
}

// Which names share a file is copied too, whatever they share in dest before.
func TestLawSynchronizeHardLinks(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	law(t, "synchronize", func(t *rapid.T, root string) {
		at := time.Date(2018, 3, 6, 12, 0, 0, 0, time.UTC)
		for _, side := range []string{"/src/", "/dest/"} {
			must(t, os.Mkdir(root+side, 0o755))
			for i, name := range names {
				if first := rapid.IntRange(0, i).Draw(t, side+name); first < i {
					if err := os.Link(root+side+names[first], root+side+name); !errors.Is(err, os.ErrNotExist) {
						must(t, err)
						continue
					}
				}
				if rapid.IntRange(0, 5).Draw(t, "there") == 0 {
					continue
				}
				must(t, os.WriteFile(root+side+name, []byte(some(t, "content", "x", "y", "zz")), 0o644))
				must(t, os.Chtimes(root+side+name, at, at))
			}
		}
	}, func(t *rapid.T, root string) map[string]any {
		return map[string]any{"src": root + "/src/", "dest": root + "/dest", "remote_src": true, "delete": true, "checksum": some(t, "checksum", true, true, true, false)}
	})
}

// Without checksum a file of the same size and time is not read; with it, it is.
func TestSynchronizeQuickCheck(t *testing.T) {
	root := modulestest.Dir(t)
	at := time.Now().Add(-time.Hour)
	for name, text := range map[string]string{"/src/f": "one", "/dest/f": "two"} {
		write(t, root+name, text)
		if err := os.Chtimes(root+name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	args := map[string]any{"src": root + "/src/", "dest": root + "/dest", "remote_src": true, "times": true}
	done(t, "synchronize", args)
	if got, _ := os.ReadFile(root + "/dest/f"); string(got) != "two" {
		t.Errorf("the quick check read the file: %q", got)
	}
	args["checksum"] = true
	done(t, "synchronize", args)
	if got, _ := os.ReadFile(root + "/dest/f"); string(got) != "one" {
		t.Errorf("checksum did not read the file: %q", got)
	}
}

// Users' attributes and ACLs go along; those that are not in src go away.
func TestSynchronizeExtendedAttributes(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/src/f", "x")
	write(t, root+"/dest/f", "x")
	if err := unix.Setxattr(root+"/src/f", "user.kept", []byte("1"), 0); err != nil {
		t.Skipf("the file system of %s keeps no extended attributes: %v", root, err)
	}
	if err := unix.Setxattr(root+"/dest/f", "user.stray", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	done(t, "synchronize", map[string]any{"src": root + "/src/", "dest": root + "/dest", "remote_src": true})
	got, err := sys.NewReal().Files().Xattrs(t.Context(), root+"/dest/f")
	if err != nil {
		t.Fatal(err)
	}
	if _, stray := got["user.stray"]; stray || string(got["user.kept"]) != "1" {
		t.Errorf("attributes %q", got)
	}
}

// What was decrypted from a vault is in no change, result or message.
func TestCopyHidesSecretContent(t *testing.T) {
	root := modulestest.Dir(t)
	write(t, root+"/key", "old-secret-text\n")
	text := "new-secret-text\n"
	sum := sha256.Sum256([]byte(text))
	secret := modules.ContentRef{Inline: []byte(text), Length: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), Secret: true}
	out := done(t, "copy", map[string]any{"src": secret, "dest": root + "/key", "mode": "0600"})
	told, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(told), "secret-text") || out.Changes[0].After.Kind != change.KindHidden || out.Changes[0].Before.Kind != change.KindHidden {
		t.Errorf("the outcome tells %s", told)
	}
}

// A failure names up to twenty entries and counts the rest.
func TestCompareTreesNamesWhatDiffers(t *testing.T) {
	root := modulestest.Dir(t)
	for i := range 30 {
		write(t, fmt.Sprintf("%s/src/f%02d", root, i), "a")
	}
	write(t, root+"/dest/f00", "b")
	m := fileModule(t, "compare_trees", map[string]any{"src": root + "/src", "dest": root + "/dest"})
	out := modules.Run(t.Context(), m, sys.NewReal(), modules.Emit{})
	if out.Status != modules.Failed || strings.Count(out.Message, "\n") != 21 || !strings.Contains(out.Message, "f00: file") || !strings.Contains(out.Message, "… and 1") {
		t.Errorf("ended %s: %s", out.Status, out.Message)
	}
}

// A network file system answers slowly, so no file of either side is read twice.
func TestCompareTreesReadsEachFileOnce(t *testing.T) {
	host := systest.NewHostInMemory(t)
	for _, side := range []string{"/src", "/dest"} {
		host.Mkdir(side)
		for i := range 5 {
			host.WriteFile(fmt.Sprintf("%s/f%d", side, i), "the same", 0o644)
		}
	}
	operations := map[string]int{}
	host.State.Entered = func(operation string) { operations[operation]++ }
	m := fileModule(t, "compare_trees", map[string]any{"src": "/src", "dest": "/dest"})
	modules.Run(t.Context(), m, host, modules.Emit{}) // that their times differ is not the point
	if n := operations["files.Open"] + operations["files.Content"]; n != 10 {
		t.Errorf("10 files were opened %d times: %v", n, operations)
	}
}

// A tree copy that fails half-way says how far it came, and a second run ends it.
func TestSynchronizeGoesOn(t *testing.T) {
	root := modulestest.Dir(t)
	for i := range 20 {
		write(t, fmt.Sprintf("%s/src/f%02d", root, i), strings.Repeat("x", i))
	}
	m := fileModule(t, "synchronize", map[string]any{"src": root + "/src/", "dest": root + "/dest", "remote_src": true})
	plan, err := m.Plan(t.Context(), sys.NewReal())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(root + "/src/f19"); err != nil { // gone since it was planned
		t.Fatal(err)
	}
	err = plan.Steps[0].Do(t.Context(), sys.NewReal(), nil)
	if err == nil || !strings.Contains(err.Error(), "of 21 entries") || !strings.Contains(err.Error(), "f19") {
		t.Errorf("half-way: %v", err)
	}
	if out := modules.Run(t.Context(), m, sys.NewReal(), modules.Emit{}); out.Status == modules.Failed {
		t.Errorf("going on: %s", out.Message)
	}
	done(t, "compare_trees", map[string]any{"src": root + "/src", "dest": root + "/dest"})
}
