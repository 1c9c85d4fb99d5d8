package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/play"
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
	language, err := os.ReadFile("../../docs/" + languageFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(above, languageFile), language, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeDocs(registry, fresh); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(pages(t, "../../docs/modules"), pages(t, fresh)); diff != "" {
		t.Errorf("docs/modules is stale, run make docs (- there, + from the code):\n%s", diff)
	}
	for _, name := range []string{schemaFile, languageFile} {
		kept, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		made, err := os.ReadFile(filepath.Join(above, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(kept) != string(made) {
			t.Errorf("docs/%s is stale, run make docs", name)
		}
	}
}

// TestAnsibleNames holds that each name of Ansible's is known or refused with a
// reason, and that no name is both.
func TestAnsibleNames(t *testing.T) {
	text, err := os.ReadFile("testdata/ansible_names.txt")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]play.Words{}
	for _, w := range play.Language(lookup.Environment(nil)) {
		ours[w.Kind] = w
		for name, why := range w.Refused {
			if why == "" {
				t.Errorf("%s %s is refused without a reason", w.Kind, name)
			}
			if slices.Contains(w.Known, name) {
				t.Errorf("%s %s is known and refused", w.Kind, name)
			}
		}
	}
	checked := 0
	for line := range strings.Lines(string(text)) {
		kind, names, ok := strings.Cut(line, ": ")
		if !ok || line[0] == '#' {
			continue
		}
		for name := range strings.FieldsSeq(names) {
			checked++
			if _, refused := ours[kind].Refused[name]; !refused && !slices.Contains(ours[kind].Known, name) {
				t.Errorf("the %s %s of Ansible is neither known nor refused", kind, name)
			}
		}
	}
	if checked < 400 {
		t.Errorf("only %d names were checked", checked)
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
