package engine_test

import (
	"strings"
	"testing"
)

// Names in vars_files that need a host are read for each host, in the order in
// which they stand, as soon as they can be.
func TestVarsFilesOfHosts(t *testing.T) {
	files := map[string]string{
		"vars/Debian.yml":        "name: from os\nover: os\n",
		"default.yml":            "name: default\n",
		"vars/one.yml":           "over: one\nlast: one\n",
		"vars/two.yml":           "last: two of {{ inventory_hostname }}\n",
		"broken.yml":             "a: [\n",
		"vars/mine_a.yml":        "mine: of a\n",
		"mine_b.yml":             "mine: of b\n",
		"roles/r/vars/main.yml":  "strong: role\n",
		"roles/r/tasks/main.yml": "- {name: Role, assert: {that: [strong == 'role', last == 'two of ' + inventory_hostname]}}\n",
	}
	for _, test := range []flow{
		{
			name: "facts, alternatives and order",
			playbook: `
- hosts: all
  vars_files:
    - one.yml
    - ["nosuch_{{ ansible_facts.distribution }}.yml", "{{ ansible_os_family }}.yml", default.yml]
    - two.yml
  roles: [r]
  tasks:
    - {name: Vars, assert: {that: [name == 'from os', over == 'os']}}
    - {name: Set, set_fact: {over: fact}}
    - {name: Above, assert: {that: [over == 'fact']}}
`,
			want: `
Gathering Facts: a ok, b ok
Role: a ok, b ok
Vars: a ok, b ok
Set: a ok, b ok
Above: a ok, b ok
= a ok=5; b ok=5`,
		},
		{
			name: "a name of the inventory needs no facts",
			playbook: `
- hosts: all
  gather_facts: false
  vars_files: "mine_{{ inventory_hostname }}.yml"
  tasks: [{name: Mine, assert: {that: ["mine == 'of ' + inventory_hostname"]}}]
`,
			want: "Mine: a ok, b ok\n= a ok=1; b ok=1",
		},
		{
			name: "what is not there fails that host alone", hosts: "a,c,",
			playbook: `
- hosts: all
  gather_facts: false
  vars_files: ["mine_{{ inventory_hostname }}.yml"]
  tasks: [{name: Mine, debug: }]
`,
			want: "Mine: c failed\nMine: a ok\n= a ok=1; c failed=1",
		},
		{
			name: "a broken file fails every host",
			playbook: `
- hosts: all
  gather_facts: false
  vars_files: ["{{ 'broken' if inventory_hostname else '' }}.yml"]
  tasks: [{name: Mine, debug: }]
`,
			files: map[string]string{"broken.yml": "a: [\n"},
			want:  "Mine: a failed, b failed\n= a failed=1; b failed=1",
		},
		{
			name: "facts that come late", hosts: "a,",
			playbook: `
- hosts: all
  gather_facts: false
  vars_files: ["{{ ansible_os_family }}.yml"]
  tasks:
    - {name: Before, assert: {that: [name is undefined]}}
    - {name: Facts, setup: }
    - {name: After, assert: {that: [name == 'from os']}}
`,
			want: "Before: a ok\nFacts: a ok\nAfter: a ok\n= a ok=3",
		},
		{
			name: "what facts do not define is an error", hosts: "a,",
			playbook: `
- hosts: all
  vars_files: ["{{ nosuch }}.yml"]
  tasks: [{name: Never, debug: }]
`,
			want: "Gathering Facts: a ok\nNever: a failed\n= a ok=1 failed=1",
		},
	} {
		if test.files == nil {
			test.files = files
		}
		t.Run(test.name, test.run)
	}
}

// A file that was read in vain is not taken for an empty one by the next host.
func TestIncludeVarsOfABrokenFile(t *testing.T) {
	flow{
		playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Read, include_vars: broken.yml}
    - {name: Never, debug: }
`,
		files: map[string]string{"vars/broken.yml": "a: [\n"},
		want:  "Read: a failed, b failed\n= a failed=1; b failed=1",
	}.run(t)
}

// It is said, once for a host, that a file is passed by.
func TestVarsFilesPassedBy(t *testing.T) {
	l := newLab(t, "a,")
	l.run(`
- hosts: all
  gather_facts: false
  vars_files: ["{{ ansible_os_family }}.yml"]
  tasks: [{meta: noop}, {set_fact: {x: 1}}, {set_fact: {x: 2}}]
`, nil)
	if got := strings.Join(l.messages(), "\n"); strings.Count(got, "passed by") != 1 || !strings.Contains(got, "ansible_os_family") {
		t.Errorf("messages: %q", got)
	}
}
