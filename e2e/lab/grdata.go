package lab

import (
	_ "embed"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed grdata.go
var grdataSource string

// grdataSeed makes every lab's /grdata the same, byte for byte.
const grdataSeed = 36

// oddNames are names that careless copying loses.
var oddNames = []string{
	"with space", "two  spaces ", " leading space", "new\nline", "tab\tname", "-rf", "--help", "*", "?", "[ab]",
	"$HOME", "`id`", "a\"quote", "it's", "back\\slash", "{{ braces }}", "#hash", "~tilde", "semi;colon", "pipe|",
	"中文文件名", "naïve", "e\u0301-decomposed", "emoji-🌧", "invalid-\xff\xfe-utf8", ".hidden", "..twodots", "...",
	"very-" + longName, "colon:name", "percent%41", "100%", "&amp;", "trailing.", "CAPS", "caps",
}

const longName = "long-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-" +
	"0123456789-0123456789-0123456789-0123456789-0123456789-0123456789"

// fillGrdata writes the starting content of /grdata below root: thousands of
// small files and one of every kind that a move must not lose. It needs root.
func fillGrdata(root string) error {
	w := &grdataWriter{root: root, random: rand.New(rand.NewPCG(grdataSeed, 1))}
	w.tenants()
	w.platform()
	w.odd()
	w.links()
	w.special()
	w.times()
	return w.err
}

// grdataWriter keeps the first error, so that the content reads as a list.
type grdataWriter struct {
	root   string
	random *rand.Rand
	err    error
}

func (w *grdataWriter) try(err error) {
	if w.err == nil && err != nil {
		w.err = fmt.Errorf("filling %s: %w", w.root, err)
	}
}

func (w *grdataWriter) path(name string) string { return w.root + "/" + name }

func (w *grdataWriter) dir(name string, mode os.FileMode, owner int) {
	w.try(os.MkdirAll(w.path(name), 0o755))
	w.try(os.Chown(w.path(name), owner, owner))
	w.try(os.Chmod(w.path(name), mode)) // after chown, which takes setgid away
}

func (w *grdataWriter) file(name string, content []byte, mode os.FileMode, owner int) {
	w.try(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	w.try(os.WriteFile(w.path(name), content, 0o600))
	w.try(os.Chown(w.path(name), owner, owner))
	w.try(os.Chmod(w.path(name), mode))
}

func (w *grdataWriter) bytes(count int) []byte {
	content := make([]byte, count)
	for i := range content {
		content[i] = byte(w.random.Uint32())
	}
	return content
}

// tenants writes the bulk: 2,000 files of up to 2 KiB, many owners and modes.
func (w *grdataWriter) tenants() {
	modes := []os.FileMode{0o644, 0o600, 0o664, 0o755, 0o444, 0o640}
	owners := []int{0, 0, 33, 200, 1000, 65534}
	for tenant := range 10 {
		for service := range 10 {
			dir := fmt.Sprintf("tenant/t%02d/service/s%02d/data", tenant, service)
			for i := range 20 {
				name := fmt.Sprintf("%s/%03d.dat", dir, i)
				w.file(name, w.bytes(w.random.IntN(2048)), modes[w.random.IntN(len(modes))], owners[w.random.IntN(len(owners))])
			}
		}
	}
	w.dir("tenant/demo", 0o777, 0)
}

// platform writes what Rainbond's own services keep here.
func (w *grdataWriter) platform() {
	for i := range 40 {
		digest := fmt.Sprintf("%064x", w.bytes(32))
		w.file("services/registry/docker/registry/v2/blobs/sha256/"+digest[:2]+"/"+digest+"/data", w.bytes(512), 0o644, 0)
		w.file(fmt.Sprintf("services/artifactory-manage01/libs-release/lib-%02d.jar", i), w.bytes(300), 0o644, 1030)
	}
	w.file("services/artifactory-manage01/pkg_lang/jdk.txt", []byte("openjdk 8\n"), 0o644, 1030)
	w.file("services/console/settings.json", []byte(`{"region": "rainbond"}`+"\n"), 0o600, 0)
	w.dir("downloads/log", 0o777, 0)
	w.dir("build", 0o755, 0)
	w.file("services/registry/big.layer", w.bytes(20<<20), 0o644, 0)
}

func (w *grdataWriter) odd() {
	for i, name := range oddNames {
		w.file("tenant/odd/"+name, fmt.Appendf(nil, "%d %q\n", i, name), 0o644, 0)
	}
	w.file(".dotfile", []byte("at the top\n"), 0o600, 0)
	w.file(".dotdir/.inside/file", []byte("below\n"), 0o644, 0)
	w.file("-leading-dash-at-top", []byte("dash\n"), 0o644, 0)
	w.file("tenant/odd/empty", nil, 0o000, 0)
}

func (w *grdataWriter) links() {
	for name, target := range map[string]string{
		"tenant/links/relative":  "../t00/service/s00/data/000.dat",
		"tenant/links/absolute":  "/grdata/tenant/t00/service/s00/data/001.dat",
		"tenant/links/dangling":  "nowhere/at all",
		"tenant/links/to-dir":    "../t01",
		"tenant/links/itself":    "itself",
		"tenant/links/odd\nname": "new\nline",
		".dotlink":               ".dotfile",
	} {
		w.try(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
		w.try(os.Symlink(target, w.path(name)))
		w.try(os.Lchown(w.path(name), 1000, 1000))
	}
	w.file("tenant/hard/one", []byte("three names\n"), 0o640, 1000)
	w.dir("tenant/hard/deep", 0o755, 0)
	w.try(os.Link(w.path("tenant/hard/one"), w.path("tenant/hard/two")))
	w.try(os.Link(w.path("tenant/hard/one"), w.path("tenant/hard/deep/three")))
}

func (w *grdataWriter) special() {
	w.dir("tenant/empty", 0o755, 0)
	w.dir("tenant/empty-private", 0o700, 65534)
	w.dir("tenant/setgid", 0o775|os.ModeSetgid, 1000)
	w.dir("tenant/sticky", 0o777|os.ModeSticky, 0)
	w.file("tenant/setuid", []byte("#!/bin/sh\n"), 0o755|os.ModeSetuid, 1000)
	w.try(unix.Mkfifo(w.path("tenant/fifo"), 0o640))
	w.file("tenant/sparse", nil, 0o644, 0)
	w.try(os.Truncate(w.path("tenant/sparse"), 64<<20))
	if file, err := os.OpenFile(w.path("tenant/sparse"), os.O_WRONLY, 0); err != nil {
		w.try(err)
	} else {
		_, err := file.WriteAt([]byte("island"), 32<<20)
		w.try(err)
		w.try(file.Close())
	}
	w.file("tenant/attributes", []byte("has an extended attribute\n"), 0o644, 0)
	w.try(unix.Lsetxattr(w.path("tenant/attributes"), "user.rainbond.tenant", []byte("a\x00binary value"), 0))
	w.file("tenant/acl", []byte("user 1000 may read it too\n"), 0o640, 0)
	w.try(unix.Lsetxattr(w.path("tenant/acl"), "system.posix_acl_access", accessList(), 0))
}

// accessList is the ACL user::rw-,user:1000:r--,group::r--,mask::r--,other::---,
// as the kernel takes it.
func accessList() []byte {
	const nobody = 0xffffffff
	list := []byte{2, 0, 0, 0} // the version
	for _, entry := range []struct {
		tag, permissions uint16
		id               uint32
	}{{1, 6, nobody}, {2, 4, 1000}, {4, 4, nobody}, {0x10, 4, nobody}, {0x20, 0, nobody}} {
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.permissions)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	return list
}

// times gives every entry its own time, children before their folder.
func (w *grdataWriter) times() {
	var names []string
	w.try(filepath.WalkDir(w.root, func(path string, _ os.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	start := time.Date(2018, 6, 1, 9, 0, 0, 123456789, time.UTC)
	for i, name := range slices.Backward(names) {
		at := unix.NsecToTimespec(start.Add(time.Duration(i) * 61 * time.Second).UnixNano())
		w.try(unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}
}
