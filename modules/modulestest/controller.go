package modulestest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// FromController puts files of the folder controller in the place of the strings
// that name them, as the engine does before it sends a task to a host.
func FromController(t *testing.T, spec *modules.Spec, args map[string]any, controller string) map[string]any {
	t.Helper()
	options, err := spec.Options()
	if err != nil {
		t.Fatal(err)
	}
	filled := maps.Clone(args)
	here, told := args["remote_src"]
	if here == true || here == "yes" || !told && spec.SourceOnHost() {
		return filled
	}
	for _, o := range options {
		name, named := args[o.Name].(string)
		if !named || filepath.IsAbs(name) {
			continue
		}
		full := filepath.Join(controller, name)
		info, err := os.Stat(full)
		switch o.Type {
		case "content", "template", "source", "tree":
		default:
			continue
		}
		switch {
		case err != nil:
			t.Fatalf("%s: %v", o.Name, err)
		case info.IsDir():
			filled[o.Name] = treeOf(t, full, name)
		default:
			filled[o.Name] = refOf(t, full)
		}
	}
	return filled
}

// Contents holds all content inline, as small content travels.
type Contents struct{}

// Content gives the inline content.
func (Contents) Content(ref modules.ContentRef) sys.Content { return inline{ref} }

type inline struct{ ref modules.ContentRef }

func (c inline) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(c.ref.Inline)), nil
}
func (c inline) Size() int64    { return c.ref.Length }
func (c inline) SHA256() string { return c.ref.SHA256 }

func refOf(t *testing.T, full string) modules.ContentRef {
	t.Helper()
	data, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	info, err := sys.NewReal().Files().Lstat(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return modules.ContentRef{SHA256: hex.EncodeToString(sum[:]), Length: int64(len(data)), Mode: info.Mode, Inline: data, Name: filepath.Base(full)}
}

// treeOf lists a directory as the engine does: parents first, names in byte order.
func treeOf(t *testing.T, full, written string) modules.TreeRef {
	t.Helper()
	ref := modules.TreeRef{Origin: written, Name: filepath.Base(full)}
	if strings.HasSuffix(written, "/") {
		ref.Name = ""
	}
	files := sys.NewReal().Files()
	first := map[uint64]string{}
	err := filepath.WalkDir(full, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(full, p)
		if err != nil {
			return err
		}
		e := modules.TreeEntry{Path: filepath.ToSlash(relative)}
		if e.Info, err = files.Lstat(t.Context(), p); err != nil {
			return err
		}
		switch e.Info.Type {
		case sys.Symlink:
			e.Target, err = os.Readlink(p)
		case sys.Regular:
			if e.LinkTo = first[e.Info.Inode]; e.LinkTo == "" {
				first[e.Info.Inode] = e.Path
				content := refOf(t, p)
				e.Content = &content
			}
		default: // its Info says it all
		}
		ref.Entries = append(ref.Entries, e)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}
