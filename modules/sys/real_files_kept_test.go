package sys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestKeptFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	kept := &keptFile{path: file}
	want := func(text string, isKept bool) {
		t.Helper()
		got, err := kept.read()
		if err != nil || string(got) != text || (kept.info != nil) != isKept {
			t.Errorf("got %q, kept: %t, %v; want %q, %t", got, kept.info != nil, err, text, isKept)
		}
	}
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kept.read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	put("one")
	want("one", true)
	kept.text = []byte("what is kept")
	want("what is kept", true)
	put("longer than that")
	want("longer than that", true)
	if err := errors.Join(os.WriteFile(file+"+", []byte("another of size."), 0o600), os.Rename(file+"+", file)); err != nil {
		t.Fatal(err)
	}
	want("another of size.", true)
	kept.settled = time.Hour
	put("just changed")
	want("just changed", false)
	put("just changes")
	want("just changes", false)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := kept.read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after its removal: %v", err)
	}
}
