// Package systest tests implementations of sys.Host, and gives module tests a
// host of their own.
package systest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// Entry is one file of a tree, as a comparable value.
type Entry struct {
	Type       sys.FileType
	Mode       string // octal
	UID, GID   int
	Links      uint64
	Size       int64  // of a regular file or link
	Content    string // of a regular file: itself when it is short text, else its SHA-256
	Target     string // of a link
	Rdev       uint64
	Xattrs     string // sorted name=hex, without SELinux's
	Twin       string // the first name, in the tree's order, of the same file
	ModTime    time.Time
	Inode, Dev uint64
}

// TB is what is asked of a test; *testing.T and *rapid.T have it.
type TB interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// Tree reads all at and below root. Its keys are paths relative to root, which is
// ".". Anything that cannot be read fails the test.
func Tree(t TB, host sys.Reader, root string) map[string]Entry {
	t.Helper()
	tree := map[string]Entry{}
	first := map[[2]uint64]string{}
	if err := read(t.Context(), host.Files(), root, ".", tree, first); err != nil {
		t.Fatalf("reading the tree %s: %v", root, err)
	}
	return tree
}

// Portable leaves out of a tree what differs between two hosts on which the same
// was done: inode and device numbers, and times that come from the clock, which
// are those of the last hour.
func Portable(tree map[string]Entry) map[string]Entry {
	portable := maps.Clone(tree)
	for path, e := range portable {
		e.Inode, e.Dev = 0, 0
		if time.Since(e.ModTime) < time.Hour {
			e.ModTime = time.Time{}
		}
		portable[path] = e
	}
	return portable
}

func read(ctx context.Context, files sys.FileReader, root, path string, tree map[string]Entry, first map[[2]uint64]string) error {
	full := filepath.Join(root, path)
	info, err := files.Lstat(ctx, full)
	if err != nil {
		return err
	}
	entry, err := entryOf(ctx, files, full, info)
	if err != nil {
		return err
	}
	if id := [2]uint64{info.Dev, info.Inode}; first[id] == "" {
		first[id] = path
	} else {
		entry.Twin = first[id]
	}
	tree[path] = entry
	if info.Type != sys.Directory {
		return nil
	}
	names, err := files.ReadDir(ctx, full)
	if err != nil {
		return err
	}
	if !slices.IsSorted(names) {
		return fmt.Errorf("%s: the names %q are not sorted", full, names)
	}
	for _, name := range names {
		if err := read(ctx, files, root, filepath.Join(path, name), tree, first); err != nil {
			return err
		}
	}
	return nil
}

func entryOf(ctx context.Context, files sys.FileReader, path string, info sys.FileInfo) (Entry, error) {
	e := Entry{
		Type: info.Type, Mode: fmt.Sprintf("%04o", info.Mode), UID: info.UID, GID: info.GID,
		Links: info.Links, Rdev: info.Rdev, ModTime: info.ModTime.UTC(), Inode: info.Inode, Dev: info.Dev,
	}
	xattrs, err := files.Xattrs(ctx, path)
	if err != nil {
		return e, err
	}
	e.Xattrs = listXattrs(xattrs)
	switch info.Type { //nolint:exhaustive // the others have nothing more
	case sys.Regular:
		e.Size = info.Size
		e.Content, err = Text(ctx, files, path)
		if err == nil && e.Size > shortText {
			sum := sha256.Sum256([]byte(e.Content))
			e.Content = hex.EncodeToString(sum[:])
		}
	case sys.Symlink:
		e.Size = info.Size
		e.Target, err = files.Readlink(ctx, path)
	}
	return e, err
}

// shortText is the most bytes of a content that an Entry shows whole.
const shortText = 256

func listXattrs(xattrs map[string][]byte) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(xattrs)) {
		if name != "security.selinux" {
			list = append(list, fmt.Sprintf("%s=%x", name, xattrs[name]))
		}
	}
	return strings.Join(list, " ")
}

// Text reads a file whole.
func Text(ctx context.Context, files sys.FileReader, path string) (string, error) {
	r, err := files.Open(ctx, path)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	return string(data), errors.Join(err, r.Close())
}

// Class reduces an error to what every implementation must agree on: "" for none,
// the system's error name, "unknown", "cancelled", or the message of any other.
func Class(err error) string {
	if err == nil {
		return ""
	}
	if _, unknown := sys.Unknown(err); unknown {
		return "unknown"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return "cancelled"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
	}
	return err.Error()
}

// Content is a content of the text.
func Content(text string) sys.Content { return content(text) }

type content string

func (c content) Size() int64 { return int64(len(c)) }

func (c content) SHA256() string {
	sum := sha256.Sum256([]byte(c))
	return hex.EncodeToString(sum[:])
}

func (c content) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(c))), nil
}
