package playbooks_test

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/playbooks"
)

// TestVariablesAreDescribed holds the description of the variables against the
// roles' defaults, and the commented inventory against the description.
func TestVariablesAreDescribed(t *testing.T) {
	registry, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]map[string]any{} // by folder, which companions share
	folders := map[string]playbooks.Embedded{}
	for _, name := range playbooks.Names() {
		embedded, err := playbooks.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		playbook, _, found := play.Load(t.Context(), play.Source{FS: embedded.Folder, Path: embedded.Entry}, registry, play.Options{})
		if err := found.ErrorOrNil(); err != nil {
			t.Fatal(err)
		}
		if len(playbook.ArgumentSpecs()) == 0 {
			t.Errorf("%s: no variable is described", name)
		}
		if described[embedded.Dir] == nil {
			described[embedded.Dir], folders[embedded.Dir] = map[string]any{}, embedded
		}
		for _, spec := range playbook.ArgumentSpecs() {
			for _, o := range spec.Options {
				described[embedded.Dir][o.Name] = o.Default
				if o.Description == "" {
					t.Errorf("%s: %s has no description", name, o.Name)
				}
			}
		}
	}
	for dir, embedded := range folders {
		wantDescribed(t, embedded, described[dir])
	}
}

func wantDescribed(t *testing.T, embedded playbooks.Embedded, described map[string]any) {
	t.Helper()
	for variable, value := range defaultsOf(t, embedded.Folder) {
		told, there := described[variable]
		if !there {
			t.Errorf("%s: %s is not described", embedded.Dir, variable)
		} else if diff := cmp.Diff(value, told); diff != "" {
			t.Errorf("%s: the default of %s (- role, + description):\n%s", embedded.Dir, variable, diff)
		}
	}
	inventory, err := embedded.Inventory()
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`(?m)^ {4}(?:# )?([a-z_]+): \S`).FindAllStringSubmatch(inventory, -1) {
		if _, there := described[match[1]]; !there && !strings.HasPrefix(match[1], "ansible_") {
			t.Errorf("%s: the inventory names %s, which is not described", embedded.Dir, match[1])
		}
	}
}

func defaultsOf(t *testing.T, folder fs.FS) map[string]any {
	t.Helper()
	files, err := fs.Glob(folder, "roles/*/defaults/main.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no defaults: %v", err)
	}
	all := map[string]any{}
	for _, file := range files {
		text, err := fs.ReadFile(folder, file)
		if err != nil {
			t.Fatal(err)
		}
		node, err := syntax.Parse(file, text)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := node.Fields()
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range fields.Node.Entries {
			if all[entry.Name], err = entry.Value.Decode(); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}
