package engine_test

import (
	"testing"

	"github.com/rbdplay/rbdplay/engine"
)

// flow is a table entry for who runs what, in which order, and how it counts.
type flow struct {
	name, hosts, playbook string
	files                 map[string]string
	prepare               func(l *lab)
	options               func(o *engine.Options)
	want                  string
}

func (f flow) run(t *testing.T) {
	t.Helper()
	if f.hosts == "" {
		f.hosts = "a,b,"
	}
	l := newLab(t, f.hosts)
	if f.prepare != nil {
		f.prepare(l)
	}
	if f.options == nil {
		f.options = func(*engine.Options) {}
	}
	_, got := l.run(f.playbook, f.files, f.options)
	compare(t, f.want, got)
}

func TestFailures(t *testing.T) {
	for _, test := range []flow{
		{
			name: "a failed host is out of the play and of later ones, others go on",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, command: bad, when: inventory_hostname == 'a'}
    - {name: Two, command: good}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Three, debug: {msg: "{{ ansible_play_hosts }}"}}
`,
			want: `
One: a failed, b skipped
Two: b changed
Three: b ok
= a failed=1; b ok=2 changed=1 skipped=1
`,
		},
	} {
		t.Run(test.name, test.run)
	}
}
