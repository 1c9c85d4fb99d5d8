package compat

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// testCase is one file of testdata: the folder in which both programs start, and
// how they are run. Its head has, besides comments after "#", lines of these:
//
//	run: ARGUMENTS   one run; several come one after another on the same tree
//	fails: ARGUMENTS the same, but it must not end well
//	mode: 0755 FILE  the mode of a file that is not 0644
//	serve: FOLDER    files of the folder are at $URL in the arguments
//
// A case without a file hosts.yml gets one with the host "one". The playbooks
// write into the folder tree; only that is compared.
type testCase struct {
	name    string
	archive *txtar.Archive
	sum     string
	runs    []run
	modes   map[string]os.FileMode
	serve   string
}

type run struct {
	args  []string
	fails bool
}

const oneHost = `all:
  hosts:
    one: {ansible_connection: local}
`

func readCase(t *testing.T, file string) *testCase {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	c := &testCase{
		name:    strings.TrimSuffix(filepath.Base(file), ".txtar"),
		archive: txtar.Parse(data),
		sum:     hex.EncodeToString(sum[:8]),
		modes:   map[string]os.FileMode{},
	}
	for line := range strings.Lines(string(c.archive.Comment)) {
		if err := c.readHead(strings.TrimSpace(line)); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	if len(c.runs) == 0 {
		t.Fatalf("%s has no line \"run:\"", file)
	}
	return c
}

func (c *testCase) readHead(line string) error {
	key, value, _ := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	switch {
	case line == "" || strings.HasPrefix(line, "#"):
	case key == "run", key == "fails":
		c.runs = append(c.runs, run{args: strings.Fields(value), fails: key == "fails"})
	case key == "serve":
		c.serve = value
	case key == "mode":
		var mode os.FileMode
		var name string
		if _, err := fmt.Sscanf(value, "%o %s", &mode, &name); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		c.modes[name] = mode
	default:
		return fmt.Errorf("%q is no line of a head", line)
	}
	return nil
}

// unpack makes the starting tree in dir, which is emptied first.
func (c *testCase) unpack(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := c.archive.Files
	if !bytes.Contains(txtar.Format(c.archive), []byte("-- hosts.yml --\n")) {
		files = append(files[:len(files):len(files)], txtar.File{Name: "hosts.yml", Data: []byte(oneHost)})
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		mode, ok := c.modes[f.Name]
		if !ok {
			mode = 0o644
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, mode); err != nil {
			t.Fatal(err)
		}
	}
}

// server answers on loopback for both programs, when the case asks for it: the
// files of its folder, and under /echo what was asked.
func (c *testCase) server(t *testing.T, dir string) (url string) {
	t.Helper()
	if c.serve == "" {
		return ""
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(filepath.Join(dir, c.serve))))
	mux.HandleFunc("/echo/", echo)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}
