package engine_test

import (
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/event"
)

// TestInvariants holds what is checked when, and that a broken one ends the run.
func TestInvariants(t *testing.T) {
	for _, test := range []flow{
		{
			name: "before the play and after each batch, on all hosts",
			playbook: `
- hosts: all
  serial: 1
  gather_facts: false
  invariant:
    - name: All say yes
      tasks:
        - {name: Ask, command: say yes, register: said, changed_when: false}
      that: ansible_play_hosts | map('extract', hostvars) | map(attribute='said.stdout') | unique == ['yes']
  tasks:
    - {name: Work, command: good}
`,
			want: `
Ask: a ok, b ok
Invariant: All say yes: a ok
Work: a changed
Ask: a ok, b ok
Invariant: All say yes: a ok
Work: b changed
Ask: a ok, b ok
Invariant: All say yes: a ok
= a ok=7 changed=1; b ok=4 changed=1`,
		},
		{
			name: "one that breaks stops the run before the next batch, and later plays",
			playbook: `
- hosts: all
  serial: 1
  gather_facts: false
  invariant:
    - name: Nothing was done
      that: done is not defined
  tasks:
    - {name: Work, command: good}
    - {name: Note, set_fact: {done: true}}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Later, command: good}
`,
			want: `
Invariant: Nothing was done: a ok
Work: a changed
Note: a ok
Invariant: Nothing was done: a failed
= a ok=3 changed=1 failed=1; b`,
		},
		{
			name: "a task that changes something is no look",
			playbook: `
- hosts: all
  gather_facts: false
  invariant:
    - name: Careless
      tasks:
        - {name: Ask, command: say yes}
      that: true
  tasks:
    - {name: Work, command: good}
`,
			want: `
Ask: a changed, b changed
Invariant: Careless: a ok
Invariant: Careless: a failed, b failed
= a ok=2 changed=1 failed=1; b ok=1 changed=1 failed=1`,
		},
		{
			name:    "what check mode cannot know is deferred",
			options: func(o *engine.Options) { o.Check = true },
			hosts:   "a,",
			playbook: `
- hosts: all
  gather_facts: false
  invariant:
    - name: It says yes
      tasks:
        - {name: Ask, command: say yes, register: said, changed_when: false}
      that: said.stdout == 'yes'
  tasks:
    - {name: Work, debug: {msg: x}}
`,
			want: `
Ask: a ok
Invariant: It says yes: a deferred
Work: a ok
Ask: a ok
Invariant: It says yes: a deferred
= a ok=3 deferred=2`,
		},
		{
			name:  "around a block, on its hosts, also when another tag was asked for",
			hosts: "a,",
			options: func(o *engine.Options) {
				o.Selection.Tags = []string{"x"}
			},
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - invariant:
        - {name: Well, that: "broken | default(false) is false"}
      block:
        - {name: Break, set_fact: {broken: true}, tags: x}
        - {name: Other, command: good}
    - {name: After, command: good, tags: x}
`,
			want: `
Invariant: Well: a ok
Break: a ok
Invariant: Well: a failed
= a ok=2 failed=1`,
		},
	} {
		t.Run(test.name, test.run)
	}
}

func TestBrokenInvariantIsNamed(t *testing.T) {
	l := newLab(t, "a,b,")
	summary, _ := l.run(`
- hosts: all
  serial: 1
  gather_facts: false
  invariant: [{name: Nothing was done, that: done is not defined}]
  tasks:
    - set_fact: {done: true}
`, nil)
	const want = "after a the invariant “Nothing was done” does not hold: the run stops here"
	for _, e := range l.events {
		if m, ok := e.(event.Message); ok && m.Warning && strings.Contains(m.Text, want) {
			if !summary.Failed() {
				t.Error("the run counts as fine")
			}
			return
		}
	}
	t.Errorf("no warning tells %q", want)
}

// A role's arguments are checked whatever tags are chosen; that alone is no reason
// to look at the hosts.
func TestInvariantOfAPlayThatOnlyChecksArguments(t *testing.T) {
	l := newLab(t, "a,")
	summary, got := l.run(`
- hosts: all
  gather_facts: false
  tags: look
  invariant:
    - name: Never
      that: false
  tasks:
    - import_role: {name: web}
- hosts: all
  gather_facts: false
  tags: work
  tasks:
    - {name: Work, command: good}
`, map[string]string{
		"roles/web/tasks/main.yml":          "- {name: Look, ping: {}}\n",
		"roles/web/meta/argument_specs.yml": "argument_specs:\n  main:\n    options:\n      port: {type: int, default: 80}\n",
	}, func(o *engine.Options) { o.Selection.Tags = []string{"work"} })
	if summary.Failed() || !strings.Contains(got, "Work: a changed") || strings.Contains(got, "Never") {
		t.Errorf("got %s", got)
	}
}
