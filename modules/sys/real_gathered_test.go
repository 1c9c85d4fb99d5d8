package sys_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules/sys"
)

type textOf string

func (t textOf) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(t))), nil
}
func (t textOf) Size() int64  { return int64(len(t)) }
func (textOf) SHA256() string { return "" }

// gathering is a Gathered over a folder with one file, and what its hook was told.
type gathering struct {
	*sys.Gathered
	t    *testing.T
	dir  string
	told []error
}

func newGathering(t *testing.T) *gathering {
	t.Helper()
	g := &gathering{t: t, dir: t.TempDir()}
	g.Gathered = sys.NewReal().Gather(func(err error) { g.told = append(g.told, err) })
	if err := os.WriteFile(g.path("file"), []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gathering) path(name string) string { return filepath.Join(g.dir, name) }

func (g *gathering) write(name, text string) error {
	return g.Change().Files().Write(g.t.Context(), g.path(name), textOf(text), sys.Attributes{})
}

// seen is what the gathering reads at a name; onDisk what everybody else does.
func (g *gathering) seen(name string) string {
	r, err := g.Files().Open(g.t.Context(), g.path(name))
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	text, _ := io.ReadAll(r)
	return string(text)
}

func (g *gathering) onDisk(name string) string {
	text, err := os.ReadFile(g.path(name))
	if errors.Is(err, os.ErrNotExist) {
		return "nothing"
	}
	return string(text)
}

func (g *gathering) names() string {
	entries, err := os.ReadDir(g.dir)
	if err != nil {
		g.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestGatheredFileComesInPlaceAtTheCommit(t *testing.T) {
	g := newGathering(t)
	for _, text := range []string{"one", "two", "three"} {
		if err := g.write("file", text); err != nil {
			t.Fatal(err)
		}
		if g.seen("file") != text || g.onDisk("file") != "old" {
			t.Errorf("it reads %q, others %q", g.seen("file"), g.onDisk("file"))
		}
	}
	if err := g.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(g.path("file"))
	if err != nil || g.onDisk("file") != "three" || info.Mode().Perm() != 0o640 || g.names() != "file" {
		t.Errorf("got %q, %v, %s, %v", g.onDisk("file"), info.Mode(), g.names(), err)
	}
	if len(g.told) != 1 || g.told[0] != nil {
		t.Errorf("the hook was told %v", g.told)
	}
	if err := g.Commit(t.Context()); err != nil || len(g.told) != 1 {
		t.Errorf("a second commit did something: %v, %v", err, g.told)
	}
}

func TestGatheredFileIsCommittedBeforeAnythingElse(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, g *gathering) error{
		"another file": func(_ context.Context, g *gathering) error { return g.write("other", "x") },
		"a folder": func(ctx context.Context, g *gathering) error {
			return g.Change().Files().Mkdir(ctx, g.path("folder"), sys.Attributes{})
		},
		"attributes": func(ctx context.Context, g *gathering) error {
			mode := uint32(0o600)
			return g.Change().Files().SetAttributes(ctx, g.path("file"), sys.Attributes{Mode: &mode})
		},
		"a listing": func(ctx context.Context, g *gathering) error {
			names, err := g.Files().ReadDir(ctx, g.dir)
			if len(names) != 1 {
				g.t.Errorf("listed %v", names)
			}
			return err
		},
		"a look by a command": func(ctx context.Context, g *gathering) error {
			r, err := g.Probe(ctx, sys.Command{Args: []string{"cat", g.path("file")}})
			if string(r.Stdout) != "new" {
				g.t.Errorf("the command saw %q", r.Stdout)
			}
			return err
		},
		"a command": func(ctx context.Context, g *gathering) error {
			_, err := g.Change().Run(ctx, sys.Command{Args: []string{"true"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGathering(t)
			if err := g.write("file", "new"); err != nil {
				t.Fatal(err)
			}
			if err := do(t.Context(), g); err != nil {
				t.Fatal(err)
			}
			if g.onDisk("file") != "new" {
				t.Errorf("the file was not in place before: %q", g.onDisk("file"))
			}
			if err := g.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(g.names(), ".rbdplay-") {
				t.Errorf("left %s", g.names())
			}
		})
	}
}

func TestGatheredFileThatCannotComeInPlace(t *testing.T) {
	g := newGathering(t)
	if err := g.write("file", "new"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(g.path("file"), []byte("of somebody else"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := g.Commit(t.Context())
	if err == nil || !strings.Contains(err.Error(), "changed by something else") || len(g.told) != 1 || !errors.Is(err, g.told[0]) {
		t.Errorf("got %v, the hook was told %v", err, g.told)
	}
	if g.onDisk("file") != "of somebody else" || g.names() != "file" {
		t.Errorf("got %q, %s", g.onDisk("file"), g.names())
	}
}

func TestGatheredFileAfterACancel(t *testing.T) {
	g := newGathering(t)
	if err := g.write("new", "text"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Commit(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if g.onDisk("new") != "nothing" || g.names() != "file" {
		t.Errorf("left %s", g.names())
	}
}

func TestGatheredFirstWriteFails(t *testing.T) {
	g := newGathering(t)
	if err := os.Mkdir(g.path("folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := g.write("folder", "text"); err == nil {
		t.Error("a folder was replaced")
	}
	if err := g.Commit(t.Context()); err != nil || len(g.told) != 0 || g.names() != "file folder" {
		t.Errorf("%v, %v, %s", err, g.told, g.names())
	}
}
