package systest

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// old is a time that no clock gives any more, so that it stands out as kept.
var old = time.Date(2001, 2, 3, 4, 5, 6, 789_000_001, time.UTC)

// Plant makes the tree that Files starts from, in the empty directory root.
func Plant(t TB, host sys.Host, root string) {
	t.Helper()
	ctx, w := t.Context(), host.Change().Files()
	mode := func(m uint32) sys.Attributes { return sys.Attributes{Mode: &m, ModTime: &old} }
	for _, err := range []error{
		w.Write(ctx, root+"/file", Content("one\n"), mode(0o640)),
		w.Mkdir(ctx, root+"/dir", mode(0o750)),
		w.Write(ctx, root+"/dir/inner", Content("two\n"), mode(0o600)),
		w.Mkdir(ctx, root+"/dir/sub", mode(0o755)),
		w.Write(ctx, root+"/dir/sub/deep", Content("three\n"), mode(0o644)),
		w.Mkdir(ctx, root+"/empty", mode(0o755)),
		w.Symlink(ctx, "file", root+"/link"),
		w.Symlink(ctx, root+"/dir", root+"/dirlink"),
		w.Symlink(ctx, "nowhere", root+"/dangling"),
		w.Symlink(ctx, "loop", root+"/loop"),
		w.Write(ctx, root+"/twin1", Content("twins\n"), mode(0o644)),
		w.Link(ctx, root+"/twin1", root+"/twin2"),
		w.Mknod(ctx, root+"/fifo", sys.FileInfo{Type: sys.Fifo, Mode: 0o600}),
	} {
		if err != nil {
			t.Fatalf("planting the tree to start from: %v", err)
		}
	}
}

// fileCase is one thing to do to the planted tree.
type fileCase struct {
	name string
	do   func(f files) error
	want string // class of the error
	// tree tells what the planted tree becomes; nil for nothing. Times from the
	// clock are zero, and folders whose entries change have one.
	tree func(tree map[string]Entry)
}

// files is a host's both halves with a root.
type files struct {
	sys.FileReader
	sys.FileWriter

	ctx  context.Context //nolint:containedctx // of the one case that uses it
	root string
}

func (f files) at(path string) string { return f.root + "/" + path }

func (f files) write(path, text string, a sys.Attributes) error {
	return f.Write(f.ctx, f.at(path), Content(text), a)
}

// Files runs the conformance suite for FileReader and FileWriter. newHost gives a
// host and an empty directory on it, or one in which Plant was called already:
// what a shadow finds beneath and what was written to it must behave alike.
func Files(t *testing.T, newHost func(t *testing.T) (host sys.Host, root string)) {
	t.Helper()
	for _, c := range fileCases {
		t.Run(c.name, func(t *testing.T) {
			host, root := newHost(t)
			names, err := host.Files().ReadDir(t.Context(), root)
			if err != nil {
				t.Fatal(err)
			}
			if len(names) == 0 {
				Plant(t, host, root)
			}
			want := Portable(Tree(t, host, root))
			err = c.do(files{host.Files(), host.Change().Files(), t.Context(), root})
			if Class(err) != c.want {
				t.Fatalf("the error is %v, of class %q; want class %q", err, Class(err), c.want)
			}
			if err != nil && !strings.Contains(err.Error(), root) {
				t.Errorf("the error %q does not name the path", err)
			}
			if c.tree != nil {
				c.tree(want)
			}
			if diff := cmp.Diff(want, Portable(Tree(t, host, root))); diff != "" {
				t.Errorf("the tree is not as it should be (-want +got):\n%s", diff)
			}
		})
	}
}

// changed applies a change to one entry of a tree.
func changed(tree map[string]Entry, path string, change func(*Entry)) {
	e := tree[path]
	change(&e)
	tree[path] = e
}

// touched says that entries of the folders came or went.
func touched(tree map[string]Entry, folders ...string) {
	for _, path := range folders {
		changed(tree, path, func(e *Entry) { e.ModTime = time.Time{} })
	}
}

// subdirectories says that n directories more lie in the folder, where the file
// system counts them.
func subdirectories(tree map[string]Entry, folder string, n int) {
	changed(tree, folder, func(e *Entry) {
		if e.Links >= 2 {
			e.Links = uint64(int(e.Links) + n) // at least 1
		}
	})
}

// moveTree moves the entries at and below a path.
func moveTree(tree map[string]Entry, from, to string) {
	for path, e := range maps.Clone(tree) {
		if path == from || strings.HasPrefix(path, from+"/") {
			delete(tree, path)
			tree[to+path[len(from):]] = e
		}
	}
}

// want compares an answer.
func want[T any](got T, err error, want T) error {
	if err != nil {
		return err
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return errors.New("wrong answer (-want +got):\n" + diff)
	}
	return nil
}

// broken is content that is not what it says.
type broken struct {
	sys.Content
	size int64
	sum  string
}

func (b broken) Size() int64    { return b.size }
func (b broken) SHA256() string { return b.sum }

// failing breaks off in the middle.
type failing struct{ sys.Content }

var errBroken = errors.New("broke off")

func (f failing) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := f.Content.Open(ctx)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(r, 2), failingReader{})), nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errBroken }
