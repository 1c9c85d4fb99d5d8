package engine_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine"
)

func TestIncludes(t *testing.T) {
	said := map[string]string{"said.yml": "- {name: Said, debug: {msg: \"{{ item }}\"}}\n"}
	for _, test := range []flow{
		{
			name: "a loop includes for each item, hosts with the same item together",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - include_tasks: said.yml
      loop: "{{ [1, 1, 2] if inventory_hostname == 'a' else [1, 3] }}"
      when: item != 3
      register: got
    - {name: After, assert: {that: ["got.results[0].include == 'said.yml'", item is not defined]}}
`,
			files: said,
			want: `
include_tasks: a ok, b ok
Said: a ok, b ok
Said: a ok
Said: a ok
After: a ok, b ok
= a ok=7; b ok=3`,
		},
		{
			name: "the variables of loop_control reach what is included, and a loop within a loop",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - include_tasks: outer.yml
      loop: [x, y]
      loop_control: {loop_var: out, index_var: at, extended: true, label: "no {{ at }}"}
`,
			files: map[string]string{
				"outer.yml": "- {include_tasks: inner.yml, loop: [1]}\n",
				"inner.yml": "- {name: \"{{ out }}{{ at }}{{ item }}{{ ansible_loop.last }}\", debug: }\n",
			},
			want: `
include_tasks: a ok
include_tasks: a ok
x01False: a ok
include_tasks: a ok
y11True: a ok
= a ok=6`,
		},
		{
			name: "roles count nothing, and their variables stay with each item",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - include_role: {name: "{{ item }}", apply: {tags: x, become: false}}
      vars: {text: "{{ item }}!"}
      loop: [one, two]
`,
			files: map[string]string{
				"roles/one/tasks/main.yml": "- {name: \"1 {{ text }}\", debug: }\n",
				"roles/two/tasks/main.yml": "- {name: \"2 {{ text }}\", debug: }\n",
			},
			want: `
include_role: a ok
1 one!: a ok
2 two!: a ok
= a ok=2`,
		},
		{
			name: "run_once includes on the first host",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {include_tasks: one.yml, run_once: true, register: got}
    - {name: Both know, assert: {that: got is not changed}}
`,
			files: map[string]string{"one.yml": "- {name: One, command: good}\n"},
			want: `
include_tasks: a ok
One: a changed
Both know: a ok, b ok
= a ok=3 changed=1; b ok=1`,
		},
		{
			name: "ignore_errors forgives a file that is not there",
			playbook: `
- hosts: a
  gather_facts: false
  vars: {n: nosuch}
  tasks:
    - {include_tasks: "{{ n }}.yml", ignore_errors: true, register: got}
    - {name: On, assert: {that: got is failed}}
`,
			want: `
include_tasks: a failed ignored
On: a ok
= a ok=2 ignored=1`,
		},
		{
			name: "a handler includes tasks, in no loop of who notified it",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {include_tasks: change.yml, loop: [1]}
  handlers:
    - {name: Restart, include_tasks: "{{ kind }}.yml", vars: {kind: "{{ 'one' if inventory_hostname == 'a' else 'two' }}"}}
    - {import_tasks: three.yml}
`,
			files: map[string]string{
				"change.yml": "- {name: Change, command: good, notify: Restart}\n- meta: flush_handlers\n",
				"one.yml":    "- {name: One, debug: , when: item is not defined}\n",
				"two.yml":    "- {name: Two, debug: }\n",
				"three.yml":  "- {name: Three, debug: , listen: Restart}\n",
			},
			want: `
include_tasks: a ok, b ok
Change: a changed, b changed
handler Restart: a ok, b ok
One: a ok
Two: b ok
handler Three: a ok, b ok
= a ok=5 changed=1; b ok=5 changed=1`,
		},
		{
			name: "check mode shows what might be included as waiting",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - {name: Ask, command: say yes, register: got}
    - {include_tasks: said.yml, loop: [1], when: got.stdout == 'yes'}
`,
			files: said, options: check,
			want: `
Ask: a changed
include_tasks: a deferred
Said: a deferred
= a ok=1 changed=1 deferred=2`,
		},
	} {
		t.Run(test.name, test.run)
	}
}

// TestNoLogOfInclude holds that no_log hides the include's own loop.
func TestNoLogOfInclude(t *testing.T) {
	l := newLab(t, "a,")
	l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - {name: Hidden, include_tasks: x.yml, loop: [opensesame], no_log: true}
`, map[string]string{"x.yml": "- {name: In, debug: {msg: in}}\n"}, func(*engine.Options) {})
	for _, e := range l.events {
		if strings.Contains(cmp.Diff(nil, e), "opensesame") {
			t.Errorf("shown in %#v", e)
		}
	}
}
