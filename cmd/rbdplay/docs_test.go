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
	above := t.TempDir()
	fresh := filepath.Join(above, "modules")
	if err := writeDocs(registry, fresh); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pages(t, "../../docs/modules"), pages(t, fresh)); diff != "" {
		t.Errorf("docs/modules is stale, run make docs (- there, + from the code):\n%s", diff)
	}
	kept, err := os.ReadFile("../../docs/" + schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(filepath.Join(above, schemaFile))
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != string(made) {
		t.Errorf("docs/%s is stale, run make docs", schemaFile)
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
