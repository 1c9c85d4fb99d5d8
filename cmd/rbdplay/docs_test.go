package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
)

// TestDocsAreFresh holds docs/modules to the code; make docs writes it anew.
func TestDocsAreFresh(t *testing.T) {
	registry, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	fresh := t.TempDir()
	if err := writeDocs(registry, fresh); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pages(t, "../../docs/modules"), pages(t, fresh)); diff != "" {
		t.Errorf("docs/modules is stale, run make docs (- there, + from the code):\n%s", diff)
	}
}

func pages(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(text)
	}
	return all
}
