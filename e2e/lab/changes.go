package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind says what happened to a path.
type Kind string

// The kinds of a Change.
const (
	Added   Kind = "added"
	Changed Kind = "changed"
	Removed Kind = "removed"
)

// Change is one path of a node's disk that differs from the installed state.
type Change struct {
	Path string // absolute, as the node sees it
	Kind Kind
}

func (c Change) String() string { return string(c.Kind) + " " + c.Path }

// readChanges walks an overlay's upper directory. What is there but is equal
// to the entry below is no change: a folder with something changed in it, a
// file that was opened and not written. lower is searched from the first
// layer on.
func readChanges(upper string, lower []string) ([]Change, error) {
	var changes []Change
	err := filepath.WalkDir(upper, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == upper {
			return err
		}
		name := strings.TrimPrefix(path, upper)
		now, err := readEntry(path)
		if err != nil {
			return err
		}
		if now.Type == whiteout {
			changes = append(changes, Change{name, Removed})
			return nil
		}
		before, beforePath, err := lowerEntry(lower, name)
		if err != nil {
			return err
		}
		switch {
		case beforePath == "":
			changes = append(changes, Change{name, Added})
		case now != before || now.opaque:
			changes = append(changes, Change{name, Changed})
		case now.Type == "file":
			// Opening a file for writing is enough to bring it up.
			same, err := sameContent(path, beforePath)
			if err != nil || same {
				return err
			}
			changes = append(changes, Change{name, Changed})
		}
		return nil
	})
	return changes, err
}

func sameContent(a, b string) (bool, error) {
	sumA, errA := sumContent(a)
	sumB, errB := sumContent(b)
	return sumA == sumB, errors.Join(errA, errB)
}

// lowerEntry finds name in the first layer that has it or hides it. The path
// is empty when there is none to be seen.
func lowerEntry(lower []string, name string) (Entry, string, error) {
	for _, layer := range lower {
		entry, err := readEntry(layer + name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue
		}
		if err != nil || entry.Type == whiteout {
			return Entry{}, "", err
		}
		entry.opaque = false // of its own layer, says nothing about ours
		return entry, layer + name, nil
	}
	return Entry{}, "", nil
}

// Entry is what a Snapshot holds of one path.
type Entry struct {
	Type    string      // file, directory, link, fifo, socket, device or whiteout
	Mode    fs.FileMode // permission, setuid, setgid and sticky bits
	UID     uint32
	GID     uint32
	Size    int64  // bytes, of files
	MTime   int64  // nanoseconds; 0 for directories, which any change below moves
	Content string // sha256 of a file, target of a link

	opaque bool // a directory that hides the one below it
}

const (
	directory = "directory"
	whiteout  = "whiteout"
)

// Snapshot is the state of an upper directory, by path as the node sees it.
type Snapshot map[string]Entry

// takeSnapshot reads everything below upper, contents too.
func takeSnapshot(upper string) (Snapshot, error) {
	found := make(Snapshot)
	err := filepath.WalkDir(upper, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == upper {
			return goneIsFine(err)
		}
		entry, err := readEntry(path)
		if err == nil && entry.Type == "file" {
			entry.Content, err = sumContent(path)
		}
		if err == nil {
			found[strings.TrimPrefix(path, upper)] = entry
		}
		return goneIsFine(err)
	})
	return found, err
}

// goneIsFine lets a running node remove files under the walk.
func goneIsFine(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func readEntry(path string) (Entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return Entry{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	special := fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	entry := Entry{Mode: info.Mode() & special, UID: stat.Uid, GID: stat.Gid, MTime: stat.Mtim.Nano()}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		entry.Type, entry.Size = "file", info.Size()
	case mode.IsDir():
		entry.Type, entry.MTime = directory, 0
		entry.opaque = isOpaque(path)
	case mode&fs.ModeSymlink != 0:
		entry.Type = "link"
		entry.Content, err = os.Readlink(path)
	case mode&fs.ModeNamedPipe != 0:
		entry.Type = "fifo"
	case mode&fs.ModeSocket != 0:
		entry.Type = "socket"
	case mode&fs.ModeCharDevice != 0 && stat.Rdev == 0:
		entry.Type = whiteout
	default:
		entry.Type = "device"
	}
	return entry, err
}

// isOpaque reads overlayfs's mark; without root it cannot be seen.
func isOpaque(path string) bool {
	value := make([]byte, 1)
	n, err := unix.Lgetxattr(path, "trusted.overlay.opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}

func sumContent(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, file)
	return hex.EncodeToString(sum.Sum(nil)), errors.Join(err, file.Close())
}

// Diff lists the paths in which after differs from s, in order. Removed means
// that the upper directory has no entry any more; a file that the node
// removed shows as Added or Changed to a whiteout.
func (s Snapshot) Diff(after Snapshot) []Change {
	var changes []Change
	for path, now := range after {
		before, there := s[path]
		switch {
		case !there && now.Type == whiteout:
			changes = append(changes, Change{path, Removed})
		case !there:
			changes = append(changes, Change{path, Added})
		case now != before:
			changes = append(changes, Change{path, Changed})
		}
	}
	for path := range maps.Keys(s) {
		if _, there := after[path]; !there {
			changes = append(changes, Change{path, Removed})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return changes
}
