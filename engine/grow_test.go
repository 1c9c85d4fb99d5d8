package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/inventory"
)

func TestGrowingInventory(t *testing.T) {
	const groups = `
all:
  vars: {colour: grey}
  children:
    web: {hosts: {a: {kind: big}, b: {kind: small}, c: {kind: big}}, vars: {colour: red}}
`
	for _, test := range []flow{
		{
			name: "group_by makes groups that later plays choose and group_names know at once", hosts: groups,
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Sort, group_by: {key: "is {{ kind }}", parents: [kinds]}, register: got}
    - {name: Know, assert: {that: ["group_names == ['is-' ~ kind, 'kinds', 'web']", "groups['is-big'] == ['a', 'c']", got.add_group == 'is-' ~ kind]}}
    - {name: Again, group_by: "key=is-{{ kind }}"}
- hosts: is-big
  gather_facts: false
  tasks: [{name: Big, debug: }]
- hosts: kinds:!is-big
  gather_facts: false
  tasks: [{name: Small, debug: }]
`,
			want: `
Sort: a changed, b changed, c changed
Know: a ok, b ok, c ok
Again: a ok, b ok, c ok
Big: a ok, c ok
Small: b ok
= a ok=4 changed=1; b ok=4 changed=1; c ok=4 changed=1`,
		},
		{
			name: "add_host runs once and its values are no templates", hosts: groups,
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Add, add_host: {name: "n{{ item }}:2222", groups: "new,web", text: "{{ '{' ~ '{ colour }' ~ '}' }}", n: "{{ item }}"}, loop: [1, 2, 2], register: got}
    - name: Know
      assert:
        that:
          - groups.new == ['n1', 'n2']
          - hostvars.n1.text == '{' ~ '{ colour }' ~ '}'
          - hostvars.n2.n == 2
          - hostvars.n1.colour == 'red'
          - hostvars.n1.ansible_port == '2222'
          - got.results | map(attribute='changed') | list == [true, true, false]
      run_once: true
- hosts: new
  gather_facts: false
  tasks: [{name: New, assert: {that: ["'new' in group_names", "ansible_play_hosts_all == ['n1', 'n2']"]}}]
`,
			want: `
Add: a changed
Know: a ok
New: n1 ok, n2 ok
= a ok=2 changed=1; b; c; n1 ok=1; n2 ok=1`,
		},
		{
			name: "a pattern that still means nobody is passed by, with a warning",
			playbook: `
- hosts: a
  gather_facts: false
  tasks: [{name: Add, add_host: {name: x}, when: false}]
- hosts: x
  gather_facts: false
  tasks: [{name: X, debug: }]
- hosts: a
  gather_facts: false
  tasks: [{name: Last, debug: }]
`,
			want: `
Add: a skipped
Last: a ok
= a ok=1 skipped=1`,
		},
		{
			name: "end_role leaves the role and what it leads to, on some hosts",
			playbook: `
- hosts: all
  gather_facts: false
  roles: [one, two]
`,
			files: map[string]string{
				"roles/one/tasks/main.yml": `
- {meta: end_role, when: inventory_hostname == 'a'}
- {name: One, debug: }
- {import_role: {name: two}}
- {include_tasks: more.yml}
`,
				"roles/one/tasks/more.yml": "- {name: More, debug: }\n",
				"roles/two/tasks/main.yml": "- {name: Two, debug: }\n",
			},
			want: `
One: b ok
Two: b ok
include_tasks: b ok
More: b ok
Two: a ok, b ok
= a ok=1; b ok=5`,
		},
		{
			name: "end_role in an included role ends one item of the loop",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - {include_role: {name: one}, loop: [1, 2]}
`,
			files: map[string]string{"roles/one/tasks/main.yml": "- {meta: end_role, when: item == 1}\n- {name: \"One {{ item }}\", debug: }\n"},
			want: `
include_role: a ok
One 2: a ok
= a ok=1`,
		},
	} {
		t.Run(test.name, test.run)
	}
}

func TestIncludeVars(t *testing.T) {
	test := flow{
		playbook: `
- hosts: a
  gather_facts: false
  vars: {who: play, map: {a: 1, b: {c: 1}}}
  tasks:
    - {name: One, include_vars: one.yml, register: got}
    - {name: Lazy, assert: {that: [text == 'hello task', who == 'file', "got.ansible_included_var_files == ['vars/one.yml']", got.ansible_facts.who == 'file']}, vars: {whom: task, who: task}}
    - {name: Named, include_vars: {file: one.yml, name: inside}}
    - {name: In, assert: {that: [inside.text == 'hello x']}, vars: {whom: x}}
    - {name: Folder, include_vars: {dir: more, depth: 1, ignore_files: [readme.md], files_matching: "^[^c]"}}
    - {name: Read, assert: {that: [a == 'of b', c is not defined, deep is not defined]}}
    - {name: Strange, include_vars: {dir: more}, ignore_errors: true}
    - {name: Merge, include_vars: {file: map.yml, hash_behaviour: merge}}
    - {name: Both, assert: {that: ["map == {'a': 1, 'b': {'c': 1, 'd': 2}}"]}}
    - {name: Fact, set_fact: {who: fact}}
    - {name: Above, assert: {that: [who == 'fact']}}
    - {name: None, include_vars: "{{ who }}.yml", ignore_errors: true}
`,
		hosts: "a,",
		files: map[string]string{
			"vars/one.yml":    "text: hello {{ whom }}\nwho: file\n",
			"more/a.yml":      "a: of a\n",
			"more/b.json":     `{"a": "of b"}`,
			"more/c.yml":      "c: 1\n",
			"more/readme.md":  "no variables",
			"more/deep/d.yml": "deep: 1\n",
			"map.yml":         "map: {b: {d: 2}}\n",
		},
		want: `
One: a ok
Lazy: a ok
Named: a ok
In: a ok
Folder: a ok
Read: a ok
Strange: a failed ignored
Merge: a ok
Both: a ok
Fact: a ok
Above: a ok
None: a failed ignored
= a ok=12 ignored=2`,
	}
	test.run(t)
}

func TestRefreshInventory(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Add, add_host: {name: extra, groups: web}}
    - meta: refresh_inventory
    - {name: Know, assert: {that: ["groups.web == ['b', 'extra']", "groups.all == ['b', 'extra']"]}}
- hosts: web
  gather_facts: false
  tasks: [{name: Fresh, debug: }]
`
	fresh := newLab(t, "web:\n  hosts: {b: }\n").inv
	l := newLab(t, "a,")
	_, got := l.run(playbook, nil, func(o *engine.Options) {
		o.Reload = func(context.Context) (*inventory.Inventory, error) { return fresh, nil }
	})
	compare(t, `
Add: a changed
Know: a ok
Fresh: b ok, extra ok
= a ok=2 changed=1; b ok=1; extra ok=1`, got)

	l = newLab(t, "a,")
	s, _ := l.run(playbook, nil, func(o *engine.Options) {
		o.Reload = func(context.Context) (*inventory.Inventory, error) { return nil, errors.New("the script is gone") }
	})
	if !s.Failed() || !strings.Contains(l.end("meta", "a").Message, "the script is gone") {
		t.Errorf("got %+v", l.end("meta", "a"))
	}
}

func TestResetConnection(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: false
  tasks:
    - ping:
    - {meta: reset_connection, when: inventory_hostname == 'a'}
    - ping:
`
	for name, test := range map[string]struct {
		check bool
		want  []string
	}{"run": {false, []string{"a", "b", "a"}}, "check": {true, []string{"a", "b"}}} {
		l := newLab(t, "a,b,")
		l.run(playbook, nil, func(o *engine.Options) { o.Check, o.Forks = test.check, 1 })
		var reached []string
		for _, target := range l.targets {
			reached = append(reached, target.Host)
		}
		if diff := cmp.Diff(test.want, reached); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}
