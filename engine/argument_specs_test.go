package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/diag"
)

// TestWrittenArguments holds that wrong arguments of roles are found before any
// host is contacted, where they are written; and that what a run may still change
// is left to it.
func TestWrittenArguments(t *testing.T) {
	const inventory = `
all:
  hosts: {a: {}, b: {}}
  vars: {port: http, size: "{{ 1 + 1 }} MB", later: no_number}
`
	files := map[string]string{
		"roles/web/tasks/main.yml": "- debug: {msg: done}\n",
		"roles/web/meta/argument_specs.yml": `
argument_specs:
  main:
    options:
      port: {type: int}
      size: {type: int}
      name: {required: true}
      found: {required: true}
`,
	}
	for _, test := range []struct {
		name, play string
		tags       []string
		want       []string
	}{
		{
			name: "written values and missing ones",
			play: "  roles: [web]\n",
			want: []string{`inventory.yml:4:10: the variable port of the role web must be a whole number, is "http"`, "the role web needs the variable found", "the role web needs the variable name"},
		},
		{
			name: "a variable that a task sets",
			play: "  vars: {port: 1, name: x}\n  pre_tasks:\n    - set_fact: {found: 1}\n  roles: [web]\n",
		},
		{
			name: "a role that may be skipped",
			play: "  roles: [{role: web, when: size is defined}]\n",
		},
		{
			name: "a role that was not asked for: always checked, as in Ansible",
			play: "  roles: [{role: web, tags: other}]\n  tasks:\n    - {debug: {msg: x}, tags: one}\n",
			tags: []string{"one"},
			want: []string{"must be a whole number"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, inventory)
			o := engine.Options{
				Playbook: l.load("- hosts: all\n  gather_facts: false\n"+test.play, files), Inventory: l.inv,
				Registry: l.registry, Connector: l, Sink: l,
			}
			o.Selection.Tags = test.tags
			_, err := engine.Hosts(t.Context(), o)
			if len(test.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("nothing was found")
			}
			found, ok := errors.AsType[diag.List](err)
			if !ok {
				t.Fatal(err)
			}
			var told strings.Builder
			for _, d := range found {
				told.WriteString(d.Error() + "\n")
			}
			for _, want := range test.want {
				if !strings.Contains(told.String(), want) {
					t.Errorf("lacks %q:\n%s", want, told.String())
				}
			}
			if strings.Contains(told.String(), "size") {
				t.Errorf("a template was judged before its time:\n%s", told.String())
			}
			if len(l.targets) > 0 {
				t.Error("a host was contacted")
			}
		})
	}
}
