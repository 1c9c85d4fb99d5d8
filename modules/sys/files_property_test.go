package sys_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// operation is one random thing to do to a tree. It is a value, so that it can be
// done twice.
type operation struct {
	kind       string
	a, b       string // paths relative to the root
	text       string
	attributes sys.Attributes
}

func (o operation) String() string {
	return fmt.Sprintf("%s %s %s %q", o.kind, o.a, o.b, o.text)
}

func (o operation) do(t *rapid.T, host sys.Host, root string) error {
	ctx, w := t.Context(), host.Change().Files()
	a, b := root+"/"+o.a, root+"/"+o.b
	switch o.kind {
	case "write":
		return w.Write(ctx, a, systest.Content(o.text), o.attributes)
	case "copy":
		content, err := host.Files().Content(ctx, b)
		if err != nil {
			return err
		}
		return w.WriteCopy(ctx, a, content, o.attributes, true)
	case "mkdir":
		return w.Mkdir(ctx, a, o.attributes)
	case "symlink":
		return w.Symlink(ctx, o.b, a)
	case "absolute symlink":
		return w.Symlink(ctx, b, a)
	case "link":
		return w.Link(ctx, b, a)
	case "fifo":
		return w.Mknod(ctx, a, sys.FileInfo{Type: sys.Fifo, Mode: 0o640})
	case "rename":
		return w.Rename(ctx, a, b)
	case "remove":
		return w.Remove(ctx, a)
	case "remove all":
		return w.RemoveAll(ctx, a)
	case "set attributes":
		return w.SetAttributes(ctx, a, o.attributes)
	case "set xattr":
		return w.SetXattr(ctx, a, "user.test", []byte(o.text))
	case "remove xattr":
		return w.SetXattr(ctx, a, "user.test", nil)
	case "readdir":
		_, err := host.Files().ReadDir(ctx, a)
		return err
	case "stat":
		_, err := host.Files().Stat(ctx, a)
		return err
	case "read":
		_, err := systest.Text(ctx, host.Files(), a)
		return err
	}
	t.Fatalf("no operation %q", o.kind)
	return nil
}

var (
	building = []string{"write", "write", "mkdir", "mkdir", "mkdir", "symlink", "absolute symlink", "link", "fifo"}
	changing = append([]string{
		"copy", "rename", "rename", "rename", "remove", "remove all", "set attributes", "set attributes",
		"set xattr", "remove xattr", "readdir", "stat", "read",
	}, building...)
)

// skeleton is what a tree has before random operations begin: parents first.
var skeleton = map[string]operation{
	"a": {kind: "mkdir"}, "a/a": {kind: "mkdir"}, "a/a/b": {kind: "write", text: "deep"}, "a/b": {kind: "write", text: "b"},
	"a/c": {kind: "link", b: "a/b"}, "b": {kind: "mkdir"}, "b/a": {kind: "symlink", b: "../a"}, "b/b": {kind: "mkdir"}, "c": {kind: "write", text: "c"},
}

func plant(t *rapid.T, host sys.Host, root string) {
	for _, path := range slices.Sorted(maps.Keys(skeleton)) {
		o := skeleton[path]
		o.a, o.attributes.ModTime = path, new(time.Unix(1e8, 0))
		if err := o.do(t, host, root); err != nil {
			t.Fatalf("%s: %v", o, err)
		}
	}
}

// nest is deeper than any path of random operations can climb.
var nest = strings.Repeat("/n", 6)

func operations(kinds []string, least, most int) *rapid.Generator[[]operation] {
	// Links may lead out of the root together with "..": see nest.
	path := rapid.OneOf(
		rapid.SampledFrom(slices.Sorted(maps.Keys(skeleton))), // so that most operations find something
		rapid.StringMatching(`[abc](/(\.\.|[abc]))?`),
		rapid.StringMatching(`[abc](/(\.\.|[abc])){2,3}`),
	).Filter(filepath.IsLocal)
	target := rapid.StringMatching(`(\.\./)?[abc](/(\.\.|[abc])){0,2}`)
	attributes := rapid.Custom(func(t *rapid.T) sys.Attributes {
		var a sys.Attributes
		if rapid.Bool().Draw(t, "has mode") {
			a.Mode = new(rapid.SampledFrom([]uint32{0o600, 0o755, 0o2750, 0o4711}).Draw(t, "mode") | 0o700)
		}
		if rapid.Bool().Draw(t, "has time") {
			a.ModTime = new(time.Unix(rapid.Int64Range(1e8, 1e9).Draw(t, "time"), 123456789))
		}
		if os.Geteuid() == 0 && rapid.IntRange(0, 3).Draw(t, "has owner") == 0 {
			a.UID = new(rapid.SampledFrom([]int{0, 1000}).Draw(t, "uid"))
			a.GID = new(rapid.SampledFrom([]int{0, 1001}).Draw(t, "gid"))
		}
		return a
	})
	one := rapid.Custom(func(t *rapid.T) operation {
		o := operation{
			kind: rapid.SampledFrom(kinds).Draw(t, "kind"), a: path.Draw(t, "a"), b: path.Draw(t, "b"),
			text: rapid.SampledFrom([]string{"", "x", "text\n"}).Draw(t, "text"), attributes: attributes.Draw(t, "attributes"),
		}
		if o.kind == "symlink" {
			o.b = target.Draw(t, "target")
		}
		return o
	})
	return rapid.SliceOfN(one, least, most)
}

// What a shadow foretells is what then happens, error by error and file by file,
// and foretelling it has changed nothing.
func TestShadowForetellsReal(t *testing.T) {
	base := t.TempDir()
	if err := sys.NewReal().Change().Files().SetXattr(t.Context(), base, "user.test", []byte("x")); err != nil {
		t.Skipf("the temporary folder's file system has no user attributes: %v", err)
	}
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		run := filepath.Join(base, fmt.Sprint(runs))
		defer os.RemoveAll(run)
		root := run + nest
		if err := os.MkdirAll(root, 0o755); err != nil {
			t.Fatal(err)
		}
		host := sys.NewReal()
		plant(t, host, root)
		for _, o := range operations(building, 0, 8).Draw(t, "start") {
			_ = o.do(t, host, root) // what fails is not there to start from
		}
		start := systest.Tree(t, host, root)

		type outcome struct {
			class string
			tree  map[string]systest.Entry
		}
		ops := operations(changing, 1, 12).Draw(t, "operations")
		shadow, foretold := sys.NewShadow(host), make([]outcome, len(ops))
		for i, o := range ops {
			foretold[i].class = systest.Class(o.do(t, shadow, root))
			foretold[i].tree = systest.Portable(systest.Tree(t, shadow, root))
		}
		if diff := cmp.Diff(start, systest.Tree(t, host, root)); diff != "" {
			t.Fatalf("the shadow changed the host beneath (-before +after):\n%s", diff)
		}
		for i, o := range ops {
			err := o.do(t, host, root)
			if class := systest.Class(err); class != foretold[i].class {
				t.Fatalf("step %d, %s: foretold %q, but it gave %v", i, o, foretold[i].class, err)
			}
			if diff := cmp.Diff(foretold[i].tree, systest.Portable(systest.Tree(t, host, root))); diff != "" {
				t.Fatalf("step %d, %s: (-foretold +real)\n%s", i, o, diff)
			}
		}
	})
}
