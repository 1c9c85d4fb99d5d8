package play

import (
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/diag"
)

func words(text string) []string { return strings.Fields(text) }

func TestSelects(t *testing.T) {
	for _, test := range []struct {
		tags, only, skip string
		want             bool
	}{
		{"", "", "", true},
		{"a", "", "", true},
		{"a", "a", "", true},
		{"a", "b", "", false},
		{"", "a", "", false},
		{"a b", "b", "", true},
		{"a", "a", "a", false},
		{"a", "", "a", false},
		{"a", "", "b", true},
		{"always", "b", "", true},
		{"always a", "b", "", true},
		{"always", "", "always", false},
		{"always a", "", "a", false},
		{"always", "", "all", true},
		{"a", "", "all", false},
		{"always", "", "all always", false},
		{"never", "", "", false},
		{"never a", "", "", false},
		{"never a", "a", "", true},
		{"never", "never", "", true},
		{"never a", "all", "", false},
		{"never a", "tagged", "", false},
		{"a", "tagged", "", true},
		{"", "tagged", "", false},
		{"", "untagged", "", true},
		{"a", "untagged", "", false},
		{"always", "untagged", "", true},
		{"a", "all", "", true},
		{"a", "", "tagged", false},
		{"", "", "tagged", true},
		{"", "", "untagged", false},
		{"a", "", "untagged", true},
	} {
		got := Selection{Tags: words(test.only), Skip: words(test.skip)}.Selects(words(test.tags))
		if got != test.want {
			t.Errorf("a task with the tags %q, --tags %q --skip-tags %q: got %v", test.tags, test.only, test.skip, got)
		}
	}
}

const taggedPlaybook = `
- hosts: all
  tasks:
    - {name: Install the package, ping: , tags: [install, packages]}
    - name: Start
      ping:
      tags: [never, start]
    - block:
        - {name: Deep in a block, ping: , tags: always}
  handlers: [{name: Restart, ping: }]
`

func TestCheckSelection(t *testing.T) {
	p, _, found := loadFiles(t, map[string]string{"site.yml": taggedPlaybook})
	if p == nil {
		t.Fatal(found)
	}
	if got := p.CheckSelection(Selection{Tags: words("install start all tagged untagged always never")}); len(got) > 0 {
		t.Error(got)
	}
	got := p.CheckSelection(Selection{Tags: words("instal"), Skip: words("zzz")})
	if len(got) != 2 || got[0].Error() != `--tags: no task of site.yml has the tag instal (did you mean "install"?)` ||
		got[1].Error() != "--skip-tags: no task of site.yml has the tag zzz (it has the tags install, packages, start)" {
		t.Error(got)
	}
	p, _, _ = loadFiles(t, map[string]string{"site.yml": "- hosts: all\n  tasks: [{include_tasks: '{{ x }}'}]"})
	if got := p.CheckSelection(Selection{Tags: words("inside")}); len(got) != 1 || got[0].Severity != diag.Warning {
		t.Error("a tag that an unknown include may have must only be a warning:", got)
	}
}

func TestFindTask(t *testing.T) {
	p, _, found := loadFiles(t, map[string]string{
		"site.yml":                 taggedPlaybook + "  roles: [web]\n",
		"roles/web/tasks/main.yml": "- {name: Start, ping: }\n- {name: Serve, ping: }\n",
	})
	if p == nil {
		t.Fatal(found)
	}
	for name, line := range map[string]string{
		"Start": "roles/web/tasks/main.yml:1:3", "web : Serve": "roles/web/tasks/main.yml:2:3", "Deep*": "site.yml:9:11", "Install the pack???": "site.yml:4:7",
	} {
		task, err := p.FindTask(name)
		if err != nil || task.Range.String() != line {
			t.Errorf("%s: got %v, %v", name, task, err)
		}
	}
	if _, err := p.FindTask("Instal the package"); err == nil || !strings.Contains(err.Error(), `did you mean "Install the package"?`) {
		t.Error(err)
	}
}
