package play

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/expression"
)

// TestKnownNames holds which variables the names may use that must be known before
// anything runs.
func TestKnownNames(t *testing.T) {
	tree := fstest.MapFS{}
	for name, text := range map[string]string{
		"site.yml": "- {import_playbook: \"{{ env }}.yml\", vars: {origin: import}}\n",
		"test.yml": `
- name: Play {{ origin }}
  hosts: all
  collections: [ansible.builtin]
  vars: {os: debian, more: [x, y]}
  vars_files: ["{{ env }}_vars.yml"]
  tags: ["{{ origin }}"]
  tasks:
    - {import_tasks: "{{ os }}.yml", tags: "{{ more }}"}
    - {import_tasks: "{{ own }}.yml", vars: {own: "{{ os }}"}}
    - {action: import_tasks debian.yml}
    - {import_role: name=web tasks_from=other}
    - {action: "include_role name=web"}
  handlers:
    - {name: "Restart {{ service }}", ping: }
`,
		"test_vars.yml":             "service: nginx\n",
		"debian.yml":                "- {ping: , notify: Restart nginx}\n",
		"roles/web/tasks/main.yml":  "- {ping: }\n",
		"roles/web/tasks/other.yml": "- {ping: , collections: ansible.legacy}\n",
	} {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, _, found := Load(context.Background(), Source{FS: tree, Path: "site.yml"}, testRegistry(t), Options{ExtraVars: map[string]any{"env": "test"}})
	if p == nil {
		t.Fatal(found)
	}
	one := p.Plays[0]
	if got := one.Title(context.Background(), expression.Variables{"origin": "x"}); got != "Play x" {
		t.Error(got)
	}
	if one.Handlers[0].Name != "Restart nginx" {
		t.Error(one.Handlers[0].Name)
	}
	var got []string
	p.walk(func(_ *Play, t *Task) { got = append(got, t.Range.File+" "+strings.Join(t.Tags, ",")) })
	want := []string{"debian.yml import,x,y", "debian.yml import", "debian.yml import", "roles/web/tasks/other.yml import", "test.yml import", "roles/web/tasks/main.yml import"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
