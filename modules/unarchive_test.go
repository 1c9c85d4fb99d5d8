package modules_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
)

var packed = time.Date(2018, 6, 1, 12, 0, 0, 0, time.UTC)

// member is one of a test's archive: text, or with a header of its own.
type member struct {
	name, text string
	header     tar.Header
}

// fataler is a test, rapid's too.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func tarOf(t fataler, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, m := range members {
		h := m.header
		h.Name, h.Size, h.ModTime = m.name, int64(len(m.text)), packed
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if h.Typeflag == 0 && !strings.HasSuffix(m.name, "/") {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
			if strings.HasSuffix(m.name, "/") {
				h.Mode = 0o755
			}
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipOf(t testing.TB, members ...member) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate, Modified: packed}
		mode := fs.FileMode(0o664)
		switch {
		case m.header.Typeflag == tar.TypeSymlink:
			mode, m.text = fs.ModeSymlink|0o777, m.header.Linkname
		case strings.HasSuffix(m.name, "/"):
			mode = fs.ModeDir | 0o775
		}
		h.SetMode(mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, m.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// through compresses with what open makes.
func through(t testing.TB, data []byte, open func(w io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := open(&out)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpacked runs unarchive on an archive in a directory of its own, with dest out.
func unpacked(t *testing.T, data []byte, args map[string]any) (modules.Outcome, string) {
	t.Helper()
	root := modulestest.Dir(t)
	for _, err := range []error{os.WriteFile(root+"/archive", data, 0o644), os.MkdirAll(root+"/out", 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]any{"src": root + "/archive", "dest": root + "/out", "remote_src": true}
	for name, value := range args {
		all[name] = value
	}
	return modulestest.Predicted(t, decoded(t, "unarchive", all), sys.NewReal(), root), root + "/out"
}

var sample = []member{
	{name: "./"},
	{name: "app/bin/run", text: "#!/bin/sh\n", header: tar.Header{Mode: 0o755}},
	{name: "app/conf/", header: tar.Header{Mode: 0o750}},
	{name: "app/conf/a.conf", text: "a=1\n"},
	{name: "app/conf/link", header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: "a.conf"}},
	{name: "README", text: strings.Repeat("read me\n", 9000)},
}

func TestUnarchiveFormats(t *testing.T) {
	plain := tarOf(t, sample...)
	formats := map[string][]byte{
		"TarArchive":     plain,
		"ZipArchive":     zipOf(t, sample...),
		"TgzArchive":     through(t, plain, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }),
		"TarXzArchive":   through(t, plain, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }),
		"TarZstdArchive": through(t, plain, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }),
	}
	for handler, data := range formats {
		t.Run(handler, func(t *testing.T) {
			out, dest := unpacked(t, data, map[string]any{"list_files": true})
			wantStatus(t, out, modules.Changed)
			if out.Result["handler"] != handler {
				t.Errorf("handler %v", out.Result["handler"])
			}
			if names := strings.Join(out.Result["files"].([]string), " "); names != "app/bin/run app/conf/ app/conf/a.conf app/conf/link README" {
				t.Errorf("files %s", names)
			}
			text, err := os.ReadFile(dest + "/app/conf/link")
			if err != nil || string(text) != "a=1\n" {
				t.Errorf("the linked file has %q: %v", text, err)
			}
			info, err := os.Stat(dest + "/README")
			if err != nil || info.Size() != 72000 || !info.ModTime().Equal(packed) || info.Mode() != 0o644 {
				t.Errorf("README became %v: %v", info, err)
			}
		})
	}
}

func TestUnarchiveRefusesToLeaveItsFolder(t *testing.T) {
	link := func(name, to string) member {
		return member{name: name, header: tar.Header{Typeflag: tar.TypeSymlink, Linkname: to}}
	}
	hard := func(name, to string) member {
		return member{name: name, header: tar.Header{Typeflag: tar.TypeLink, Linkname: to}}
	}
	for name, data := range map[string][]byte{
		"up":             tarOf(t, member{name: "../evil", text: "x"}),
		"up and down":    tarOf(t, member{name: "a/../../evil", text: "x"}),
		"absolute":       tarOf(t, member{name: "/evil", text: "x"}),
		"zip up":         zipOf(t, member{name: "a/../../evil", text: "x"}),
		"through a link": tarOf(t, link("a", ".."), member{name: "a/evil", text: "x"}),
		"zip through":    zipOf(t, link("a", ".."), member{name: "a/evil", text: "x"}),
		"hard link":      tarOf(t, hard("a", "../archive")),
		"hard to link":   tarOf(t, link("a", "/etc/passwd"), hard("b", "a")),
	} {
		t.Run(name, func(t *testing.T) {
			out, dest := unpacked(t, data, nil)
			wantStatus(t, out, modules.Failed)
			if !strings.Contains(out.Message, "nothing is unpacked") && !strings.Contains(out.Message, "no file before it") {
				t.Errorf("message %q", out.Message)
			}
			if _, err := os.Lstat(filepath.Dir(dest) + "/evil"); err == nil {
				t.Error("it was written outside")
			}
		})
	}
	root := modulestest.Dir(t)
	for _, err := range []error{
		os.Mkdir(root+"/out", 0o755), os.Mkdir(root+"/elsewhere", 0o755), os.Symlink("../elsewhere", root+"/out/a"),
		os.WriteFile(root+"/archive", tarOf(t, member{name: "a/evil", text: "x"}), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m := decoded(t, "unarchive", map[string]any{"src": root + "/archive", "dest": root + "/out", "remote_src": true})
	wantFailure(t, modulestest.Predicted(t, m, sys.NewReal(), root), "is a link where the archive has a directory")
}

func TestUnarchiveNoArchive(t *testing.T) {
	for _, data := range []string{"", "no archive at all", "PK\x03\x04", "\x1f\x8b\x08", strings.Repeat("x", 2000)} {
		out, _ := unpacked(t, []byte(data), nil)
		wantStatus(t, out, modules.Failed)
	}
	whole := tarOf(t, sample...)
	out, _ := unpacked(t, whole[:len(whole)-40_000], nil)
	wantFailure(t, out, "cannot be read as an archive")
}

// A large archive is never held: the sum of what was allocated stays far below it.
func TestUnarchiveHoldsNothing(t *testing.T) {
	root := modulestest.Dir(t)
	f, err := os.Create(root + "/archive")
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	w := tar.NewWriter(f)
	if err := w.WriteHeader(&tar.Header{Name: "large", Size: size, Mode: 0o600, Typeflag: tar.TypeReg, ModTime: packed}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{w.Close(), f.Close(), os.Mkdir(root+"/out", 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	m := decoded(t, "unarchive", map[string]any{"src": root + "/archive", "dest": root + "/out", "remote_src": true})
	allocated := allocates(func() {
		wantStatus(t, modules.Run(t.Context(), m, sys.NewReal(), modules.Emit{}), modules.Changed)
	})
	if allocated > size/4 {
		t.Errorf("%d bytes were allocated for an archive of %d", allocated, size)
	}
}

// allocates is how many bytes do allocates in all.
func allocates(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLawUnarchive(t *testing.T) {
	law(t, "unarchive", func(t *rapid.T, root string) {
		must(t, os.Mkdir(root+"/out", 0o755))
		plantFiles(t, root+"/out")
		var members []member
		for range rapid.IntRange(0, 6).Draw(t, "members") {
			m := member{name: some(t, "name", "f", "d/", "d/.dot", "./new/er", "l", "h", "new/"), text: some(t, "text", "one\n", "two\n", "")}
			switch some(t, "type", "file", "file", "link", "hard", "fifo") {
			case "link":
				m.header = tar.Header{Typeflag: tar.TypeSymlink, Linkname: some(t, "to", "f", "/nowhere")}
			case "hard":
				m.header = tar.Header{Typeflag: tar.TypeLink, Linkname: "f"}
			case "fifo":
				m.header = tar.Header{Typeflag: tar.TypeFifo}
			}
			if m.header.Mode = some(t, "mode", int64(0o644), 0o755); strings.HasSuffix(m.name, "/") {
				m.header = tar.Header{Mode: 0o755}
			}
			if m.header.Typeflag != 0 || strings.HasSuffix(m.name, "/") {
				m.text = ""
			}
			members = append(members, m)
		}
		must(t, os.WriteFile(root+"/archive", tarOf(t, members...), 0o644))
	}, func(t *rapid.T, root string) map[string]any {
		return given(t, map[string]any{"src": root + "/archive", "dest": root + "/out", "remote_src": true}, map[string][]any{
			"exclude": {"f", "/d/"}, "include": {"d/", "f"}, "keep_newer": {true}, "mode": {"u+x"}, "list_files": {true}, "creates": {root + "/out/hole"},
		})
	})
}
