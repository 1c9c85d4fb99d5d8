package sys_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// onePartAtATime are files that can only be asked for one part of a path at a time.
type onePartAtATime struct{ sys.FileReader }

// Whoever resolves a path, it leads to the same place.
func TestResolve(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range [][2]string{{"a/b", "in"}, {root + "/a", "whole"}, {"nowhere", "dangling"}, {"round", "round"}, {"../a/b/file", "a/up"}} {
		if err := errors.Join(os.MkdirAll(root+"/a/b", 0o755), os.Symlink(link[0], filepath.Join(root, link[1]))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/a/b/file", []byte("text"), 0o640); err != nil {
		t.Fatal(err)
	}
	machine, gathered := sys.NewReal(), sys.NewReal().Gather(func(error) {})
	for path, want := range map[string]struct {
		at  string
		typ sys.FileType // "" for what is not there
		err error
	}{
		"/":                   {at: root, typ: sys.Directory},
		"/a/b/file":           {at: root + "/a/b/file", typ: sys.Regular},
		"/a//b/./file":        {at: root + "/a/b/file", typ: sys.Regular},
		"/in/file":            {at: root + "/a/b/file", typ: sys.Regular},
		"/whole/b/":           {at: root + "/a/b", typ: sys.Directory},
		"/whole/b/..":         {at: root + "/a", typ: sys.Directory},
		"/a/up":               {at: root + "/a/b/file", typ: sys.Regular},
		"/in/../up":           {at: root + "/a/b/file", typ: sys.Regular},
		"/a/new":              {at: root + "/a/new"},
		"/a/new/":             {at: root + "/a/new"},
		"/in/new":             {at: root + "/a/b/new"},
		"/dangling":           {at: root + "/nowhere"},
		"/a/new/file":         {err: fs.ErrNotExist},
		"/dangling/file":      {err: fs.ErrNotExist},
		"/a/b/file/x":         {err: syscall.ENOTDIR},
		"/round":              {err: syscall.ELOOP},
		"/" + long + "/there": {err: syscall.ENAMETOOLONG},
	} {
		for name, files := range map[string]sys.FileReader{
			"real": machine.Files(), "gathered": gathered.Files(), "part by part": onePartAtATime{machine.Files()},
		} {
			got, err := sys.Resolve(t.Context(), files, root+path)
			if !errors.Is(err, want.err) || got.Path != want.at || got.Info.Type != want.typ || got.Exists != (want.typ != "") {
				t.Errorf("%s by %s: got %+v, %v; want %+v", path, name, got, err, want)
			}
		}
	}
}

var long = strings.Repeat("x", 300)

// The file of a loop lies beside its place until the loop has ended.
func TestResolveFindsWhatWasGathered(t *testing.T) {
	g := newGathering(t)
	link := g.path("link")
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := g.Change().Files().Write(t.Context(), g.path("file"), textOf("longer than it was"), sys.Attributes{}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{g.path("file"), link} {
		got, err := sys.Resolve(t.Context(), g.Files(), path)
		if err != nil || got.Info.Size != int64(len("longer than it was")) || got.Path != g.path("file") {
			t.Errorf("%s: got %+v, %v", path, got, err)
		}
	}
	if err := g.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}
