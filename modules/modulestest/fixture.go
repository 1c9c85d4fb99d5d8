package modulestest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v4"
	"golang.org/x/sys/unix"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
)

// A fixture is one file that is one test: a txtar archive with these sections.
//
//	args.yaml         the arguments; $ROOT is the test's own directory
//	before/PATH       a file that is there before
//	before.tree       what files cannot say, one entry a line (see plantEntry)
//	controller/PATH   a file of the controller, for src
//	after/PATH        a file that is there afterwards
//	after.tree        further entries that are there afterwards, as in before.tree
//	gone              paths that are not there afterwards
//	changes           the changes, one a line; $OWNER is the numbers of who runs the test
//	result.yaml       keys of the result, with their values
//	error             a part of the message with which the module fails
//	root              present when the test needs root
//
// Files that are neither in after nor in gone are as they were before.
type fixture struct {
	name     string
	file     string
	archive  *txtar.Archive
	sections map[string]string
}

func loadFixture(file string) (*fixture, error) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	f := &fixture{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), file: file, archive: archive, sections: map[string]string{}}
	for _, section := range archive.Files {
		name := section.Name
		folder, _, _ := strings.Cut(name, "/")
		if !slices.Contains(sectionNames, name) && !slices.Contains(sectionFolders, folder) {
			return nil, fmt.Errorf("%s has a section %s, which is none of %v or %v", file, name, sectionNames, sectionFolders)
		}
		f.sections[name] = string(section.Data)
	}
	if _, ok := f.sections["args.yaml"]; !ok {
		return nil, fmt.Errorf("%s has no section args.yaml", file)
	}
	return f, nil
}

var (
	sectionNames   = []string{"args.yaml", "before.tree", "after.tree", "gone", "changes", "result.yaml", "error", "root"}
	sectionFolders = []string{"before", "after", "controller"}
)

// plant makes the starting tree in root, all with one old time.
func (f *fixture) plant(t *testing.T, root string) {
	t.Helper()
	for name, text := range f.sections {
		if rest, ok := strings.CutPrefix(name, "before/"); ok {
			plantFile(t, filepath.Join(root, rest), text)
		}
	}
	for line := range strings.Lines(f.sections["before.tree"]) {
		if strings.TrimSpace(line) != "" {
			plantEntry(t, root, strings.TrimSpace(line))
		}
	}
	age(t, root)
}

// age sets all times to an old one, so that what is written stands out.
func age(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(p, longAgo, longAgo)
	})
	if err != nil {
		t.Fatal(err)
	}
}

var longAgo = time.Date(2018, 3, 6, 12, 0, 0, 0, time.UTC)

func plantFile(t *testing.T, at, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// plantEntry makes what one line of before.tree says:
//
//	dir/ [MODE]          a directory
//	file MODE            the mode of a file of before/
//	file raw "TEXT"      a file whose bytes are written as a Go string
//	file sparse SIZE     a file that is all hole
//	link -> target       a symlink
//	name = first         a hard link
//	file fifo            a fifo
func plantEntry(t *testing.T, root, line string) {
	t.Helper()
	fields := strings.Fields(line)
	at := filepath.Join(root, fields[0])
	var err error
	switch {
	case len(fields) == 3 && fields[1] == "->":
		err = os.Symlink(strings.ReplaceAll(fields[2], "$ROOT", root), at)
	case len(fields) == 3 && fields[1] == "=":
		err = os.Link(filepath.Join(root, fields[2]), at)
	case len(fields) == 3 && fields[1] == "sparse":
		err = plantSparse(at, fields[2])
	case len(fields) >= 3 && fields[1] == "raw":
		var text string
		if text, err = strconv.Unquote(strings.TrimSpace(strings.SplitN(line, " raw ", 2)[1])); err == nil {
			plantFile(t, at, text)
		}
	case len(fields) == 2 && fields[1] == "fifo":
		err = makeFifo(at)
	case strings.HasSuffix(fields[0], "/"):
		if err = os.MkdirAll(at, 0o755); err == nil && len(fields) == 2 {
			err = chmod(at, fields[1])
		}
	case len(fields) == 2:
		err = chmod(at, fields[1])
	default:
		err = errors.New("cannot be read")
	}
	if err != nil {
		t.Fatalf("before.tree: %s: %v", line, err)
	}
}

func plantSparse(at, size string) error {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	if err := os.WriteFile(at, nil, 0o644); err != nil {
		return err
	}
	return os.Truncate(at, n)
}

func makeFifo(at string) error { return unix.Mkfifo(at, 0o644) }

// chmod sets all twelve bits.
func chmod(at, mode string) error {
	bits, err := strconv.ParseUint(mode, 8, 32)
	if err != nil {
		return err
	}
	return os.NewSyscallError("chmod", unix.Chmod(at, uint32(bits)))
}

// args are the arguments with $ROOT filled in, and with what src names on the
// controller in its place.
func (f *fixture) args(t *testing.T, spec *modules.Spec, root, controller string) map[string]any {
	t.Helper()
	var args map[string]any
	text := strings.ReplaceAll(f.sections["args.yaml"], "$ROOT", root)
	if err := yaml.Unmarshal([]byte(text), &args); err != nil {
		t.Fatalf("args.yaml: %v", err)
	}
	for name, text := range f.sections {
		if rest, ok := strings.CutPrefix(name, "controller/"); ok {
			plantFile(t, filepath.Join(controller, rest), text)
		}
	}
	age(t, controller)
	return FromController(t, spec, args, controller)
}

// describe writes changes as the section changes has them.
func describe(changes []change.Change, root string) string {
	var out strings.Builder
	for _, c := range changes {
		line := fmt.Sprintf("%s %s %s", c.Action, c.Target, c.Field)
		switch c.Action {
		case change.Create, change.Run:
			line += ": " + shown(c.After)
		case change.Remove:
			line += ": " + shown(c.Before)
		case change.Update:
			line += ": " + shown(c.Before) + " => " + shown(c.After)
		}
		line = strings.ReplaceAll(line, fmt.Sprintf(" %d:%d", os.Getuid(), os.Getgid()), " $OWNER")
		out.WriteString(strings.ReplaceAll(line, root, "$ROOT") + "\n")
	}
	return out.String()
}

func shown(v change.Value) string {
	if v.Kind == change.KindText {
		return strconv.Quote(v.Text)
	}
	return v.String()
}

// update writes what was seen into the fixture, for a person to read and commit.
func (f *fixture) update(t *testing.T, changes string) {
	t.Helper()
	f.archive.Files = slices.DeleteFunc(f.archive.Files, func(s txtar.File) bool { return s.Name == "changes" })
	if changes != "" {
		f.archive.Files = append(f.archive.Files, txtar.File{Name: "changes", Data: []byte(changes)})
	}
	if err := os.WriteFile(f.file, txtar.Format(f.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// expectedFiles are the contents that the fixture tells for afterwards.
func (f *fixture) expectedFiles() map[string]string {
	files := map[string]string{}
	for _, prefix := range []string{"before/", "after/"} {
		for name, text := range f.sections {
			if rest, ok := strings.CutPrefix(name, prefix); ok {
				files[path.Clean(rest)] = text
			}
		}
	}
	for p := range strings.FieldsSeq(f.sections["gone"]) {
		p = path.Clean(p)
		for name := range files {
			if name == p || strings.HasPrefix(name, p+"/") {
				delete(files, name)
			}
		}
	}
	return files
}
