package modules_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
)

const anImage = 320 << 20 // mkfs.xfs makes none below 300 MiB

// image makes a file that is all hole.
func image(t *testing.T, size int64) string {
	t.Helper()
	at := filepath.Join(modulestest.Dir(t), "disk")
	if err := os.WriteFile(at, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(at, size); err != nil {
		t.Fatal(err)
	}
	return at
}

// fileSystem is a task and what it must change.
type fileSystem struct {
	args    map[string]any
	changes string
	fails   string
}

// TestFilesystemOnAnImage lets the system's own programs work on a file. The check
// leaves the file alone to the byte and the inode, and foretells the rest.
func TestFilesystemOnAnImage(t *testing.T) {
	needPrograms(t, "blkid", "wipefs", "mkfs.ext4", "mkswap")
	at := image(t, anImage)
	for _, step := range []fileSystem{
		{map[string]any{"state": "absent"}, "", ""},
		{map[string]any{"fstype": "ext4", "opts": "-L data -m 1"}, "create filesystem DEV type: (absent) -> ext4", ""},
		{map[string]any{"fstype": "ext4", "force": true}, "", ""},
		{map[string]any{"fstype": "ext2"}, "", "holds ext4 already; force: yes"},
		{map[string]any{"fstype": "swap"}, "", "holds ext4 already"},
		{map[string]any{"fstype": "ext2", "force": true, "opts": "-b 4096 -E nosuch"}, "", "mkfs.ext2 would end with code 1"},
		{map[string]any{"fstype": "swap", "force": true}, "update filesystem DEV type: ext4 -> swap", ""},
		{map[string]any{"fstype": "ext3", "force": true}, "update filesystem DEV type: swap -> ext3", ""},
		{map[string]any{"state": "absent"}, "remove filesystem DEV type: ext3 -> (absent)", ""},
		{map[string]any{"fstype": "ext2"}, "create filesystem DEV type: (absent) -> ext2", ""},
	} {
		step.do(t, at)
	}
}

func (s fileSystem) do(t *testing.T, at string) {
	t.Helper()
	s.args["dev"] = at
	m := decoded(t, "filesystem", s.args)
	before := writtenAt(t, at)
	modules.Run(t.Context(), m, sys.NewShadow(sys.NewReal()), modules.Emit{})
	if after := writtenAt(t, at); after != before {
		t.Fatalf("%v: the check wrote to %s: %v, and before %v", s.args, at, after, before)
	}
	out := modulestest.Predicted(t, m, sys.NewReal(), t.TempDir())
	if s.fails != "" {
		wantFailure(t, out, s.fails)
		return
	}
	got := strings.TrimSpace(strings.ReplaceAll(shown(out.Changes), at, "DEV"))
	if out.Status == modules.Failed || got != s.changes {
		t.Fatalf("%v: %s %s: %q, want %q", s.args, out.Status, out.Message, got, s.changes)
	}
}

// writtenAt tells of each write to an image, by its inode and its times.
func writtenAt(t *testing.T, at string) [4]int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(at, &st); err != nil {
		t.Fatal(err)
	}
	return [4]int64{int64(st.Ino), st.Mtim.Nano(), st.Ctim.Nano(), st.Blocks}
}

// TestFilesystemTypes makes each type that this machine has the program for.
func TestFilesystemTypes(t *testing.T) {
	needPrograms(t, "blkid", "wipefs")
	for fstype, program := range map[string]string{"ext2": "mkfs.ext2", "ext3": "mkfs.ext3", "ext4": "mkfs.ext4", "xfs": "mkfs.xfs", "btrfs": "mkfs.btrfs", "vfat": "mkfs.vfat", "swap": "mkswap"} {
		t.Run(fstype, func(t *testing.T) {
			at := image(t, anImage)
			made := fileSystem{map[string]any{"fstype": fstype}, "create filesystem DEV type: (absent) -> " + fstype, ""}
			if _, err := exec.LookPath(program); err != nil {
				made = fileSystem{made.args, "", program + " is not installed on this host"}
				made.do(t, at)
				t.Skipf("left out: %s is not installed", program)
			}
			made.do(t, at)
			fileSystem{map[string]any{"state": "absent"}, "remove filesystem DEV type: " + fstype + " -> (absent)", ""}.do(t, at)
			made.do(t, at)
		})
	}
}

// TestFilesystemGrows lets a device grow beneath its file system.
func TestFilesystemGrows(t *testing.T) {
	needPrograms(t, "blkid", "mkfs.ext4", "resize2fs", "dumpe2fs")
	at := image(t, 64<<20)
	grow := map[string]any{"fstype": "ext4", "resizefs": true}
	fileSystem{grow, "create filesystem DEV type: (absent) -> ext4", ""}.do(t, at)
	fileSystem{grow, "", ""}.do(t, at)
	for _, size := range []int64{64<<20 + 4096, 200<<20 + 512, 256 << 20} {
		before := sizeOfExt(t, at)
		if err := os.Truncate(at, size); err != nil {
			t.Fatal(err)
		}
		changes := fmt.Sprintf("update filesystem DEV size: %d -> %d", before, size)
		if size-before < 1<<20 {
			changes = "" // less than a group
		}
		fileSystem{grow, changes, ""}.do(t, at)
	}
	if got := sizeOfExt(t, at); got != 256<<20 {
		t.Errorf("it has grown to %d", got)
	}
}

func sizeOfExt(t *testing.T, at string) int64 {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "dumpe2fs", "-h", at).Output()
	if err != nil {
		t.Fatal(err)
	}
	var count, block int64
	for line := range strings.Lines(string(out)) {
		_, _ = fmt.Sscanf(line, "Block count: %d", &count)
		_, _ = fmt.Sscanf(line, "Block size: %d", &block)
	}
	return count * block
}

// TestFilesystemOnADevice mounts what it makes: what is in use is left alone, and
// what grows only while mounted grows.
func TestFilesystemOnADevice(t *testing.T) {
	needPrograms(t, "losetup", "mount", "blkid", "mkfs.xfs", "mkfs.btrfs", "wipefs")
	if !privately(t, "/mnt") {
		return
	}
	for _, fstype := range []string{"xfs", "btrfs"} {
		at := image(t, anImage)
		out, err := exec.CommandContext(t.Context(), "losetup", "-f", "--show", at).Output()
		if err != nil {
			t.Skipf("left out: there is no loop device: %v", err)
		}
		dev := strings.TrimSpace(string(out))
		t.Cleanup(func() { _ = exec.Command("losetup", "-d", dev).Run() })
		grow := map[string]any{"fstype": fstype, "resizefs": true}
		fileSystem{map[string]any{"fstype": fstype}, "create filesystem DEV type: (absent) -> " + fstype, ""}.do(t, dev)
		shell(t, "truncate -s 512M "+at+"; losetup -c "+dev)
		fileSystem{grow, "", "grows only while it is"}.do(t, dev)
		shell(t, "mount "+dev+" /mnt")
		fileSystem{map[string]any{"state": "absent"}, "", "is mounted at /mnt; unmount it first"}.do(t, dev)
		fileSystem{map[string]any{"fstype": "ext4", "force": true}, "", "is mounted at /mnt; unmount it first"}.do(t, dev)
		fileSystem{grow, fmt.Sprintf("update filesystem DEV size: %d -> %d", anImage, 512<<20), ""}.do(t, dev)
		shell(t, "umount /mnt")
		fileSystem{map[string]any{"state": "absent"}, "remove filesystem DEV type: " + fstype + " -> (absent)", ""}.do(t, dev)
	}
}

// TestLawFilesystem: from whatever a run of tasks has left, the check foretells the
// next, and then nothing is left to do.
func TestLawFilesystem(t *testing.T) {
	needPrograms(t, "blkid", "wipefs", "mkfs.ext4", "mkswap")
	at, beside := image(t, 8<<20), t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		args := map[string]any{"dev": at}
		if rapid.Bool().Draw(rt, "absent") {
			args["state"] = "absent"
		} else {
			args["fstype"] = rapid.SampledFrom([]string{"ext2", "ext3", "ext4", "swap", "xfs"}).Draw(rt, "fstype")
			args["force"] = rapid.Bool().Draw(rt, "force")
			args["opts"] = rapid.SampledFrom([]string{"", "-L x", "-Z"}).Draw(rt, "opts")
			if args["fstype"] == "swap" {
				args["opts"] = "" // mkswap cannot be asked beforehand what it thinks of it
			}
		}
		spec, _ := registry(t).Find("filesystem")
		m, problems := spec.Decode(args, nil)
		if len(problems) > 0 {
			rt.Fatal(problems)
		}
		modulestest.Predicted(rt, m, sys.NewReal(), beside)
	})
}

func TestFilesystemRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"absolute path":               {"dev": "sdb", "fstype": "ext4"},
		"state present needs fstype":  {"dev": "/dev/sdb"},
		"go with state: present only": {"dev": "/dev/sdb", "state": "absent", "force": true},
		"swap cannot grow":            {"dev": "/dev/sdb", "fstype": "swap", "resizefs": true},
		"none of ext2":                {"dev": "/dev/sdb", "fstype": "lvm"},
	} {
		if got := refused(t, "filesystem", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	there := map[string]any{"dev": "/dev/nosuch", "fstype": "ext4"}
	wantFailure(t, run(t, sys.NewReal(), "filesystem", there), "there is no device /dev/nosuch")
	wantStatus(t, run(t, sys.NewReal(), "filesystem", map[string]any{"dev": "/dev/nosuch", "state": "absent"}), modules.OK)
	wantFailure(t, run(t, sys.NewReal(), "filesystem", map[string]any{"dev": "/dev/null", "fstype": "ext4"}), "neither a block device nor an image")
}

// TestFilesystemIsLeftToFinish cancels the task while mkfs works.
func TestFilesystemIsLeftToFinish(t *testing.T) {
	needPrograms(t, "blkid", "mkswap")
	at, beside := image(t, 8<<20), t.TempDir()
	program, err := exec.LookPath("mkswap")
	if err != nil {
		t.Fatal(err)
	}
	slow := fmt.Sprintf("#!/bin/sh\ncase $1 in -V) exit;; esac\ntouch %[1]s/began; until test -e %[1]s/go; do sleep 0.05; done; exec %[2]s \"$@\"\n", beside, program)
	if err := os.WriteFile(filepath.Join(beside, "mkswap"), []byte(slow), 0o755); err != nil { // a program
		t.Fatal(err)
	}
	t.Setenv("PATH", beside+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan modules.Outcome, 1)
	args := map[string]any{"dev": at, "fstype": "swap"}
	m := decoded(t, "filesystem", args)
	go func() { ended <- modules.Run(ctx, m, sys.NewReal(), modules.Emit{}) }()
	for {
		if _, err := os.Stat(beside + "/began"); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := os.WriteFile(beside+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := <-ended
	wantFailure(t, out, "context canceled; already done: create filesystem "+at)
	wantStatus(t, run(t, sys.NewReal(), "filesystem", args), modules.OK)
	wantFailure(t, modules.Run(ctx, m, sys.NewReal(), modules.Emit{}), "context canceled")
}
