package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// What depends on a command's result is deferred, and nothing else.
func TestDeferred(t *testing.T) {
	for _, test := range []flow{
		{
			name: "through register, when, arguments and loops",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Run, command: say yes, register: r}
    - {name: Known, debug: {msg: x}, when: r is changed and r is success}
    - {name: When, copy: {content: x, dest: /etc/x}, when: r.stdout == 'yes'}
    - {name: Argument, copy: {content: "{{ r.stdout }}", dest: /etc/x}}
    - {name: Loop, debug: {msg: "{{ item }}"}, loop: "{{ r.stdout_lines }}"}
    - {name: Assert, assert: {that: r.stdout == 'yes'}}
    - {name: False before it, debug: {msg: x}, when: [false, r.stdout == 'yes']}
    - {name: Items, debug: {msg: "{{ item }}"}, loop: [1, "{{ r.stdout }}"], when: item == 1, register: items}
    - {name: Of the loop, debug: {msg: x}, when: items is changed}
    - {name: Of the first item, debug: {msg: x}, when: "items.results[0] is success"}
    - {name: Default, debug: {msg: "{{ r.nosuch | default('x') }}"}}
`,
			want: `
Run: a changed
Known: a ok
When: a deferred
Argument: a deferred
Loop: a deferred
Assert: a deferred
False before it: a skipped
Items: a deferred
Of the loop: a deferred
Of the first item: a ok
Default: a ok
= a ok=4 changed=1 skipped=1 deferred=6`,
		},
		{
			name: "what waits makes wait: results and facts, not their old values",
			playbook: `
- hosts: all
  gather_facts: false
  vars: {mode: old}
  tasks:
    - {name: Run, command: say yes, register: r}
    - {name: First, copy: {content: "{{ r.stdout }}", dest: /etc/x}, register: first}
    - {name: Second, debug: {msg: x}, when: first is changed}
    - {name: Fact, set_fact: {mode: "{{ r.stdout }}"}}
    - {name: Of the fact, debug: {msg: x}, when: mode == 'old'}
    - {name: Perhaps set, set_fact: {other: new}, when: r.rc == 0}
    - {name: Of the other, debug: {msg: "{{ other }}"}}
`,
			want: `
Run: a changed
First: a deferred
Second: a deferred
Fact: a deferred
Of the fact: a deferred
Perhaps set: a deferred
Of the other: a deferred
= a ok=1 changed=1 deferred=6`,
		},
		{
			name: "handlers: sure of a change, waiting for what waits",
			playbook: `
- hosts: all
  gather_facts: false
  handlers:
    - {name: Sure, command: good, notify: Next}
    - {name: Perhaps, command: good, notify: Next perhaps}
    - {name: Both, command: good}
    - {name: Next, debug: {msg: x}}
    - {name: Next perhaps, debug: {msg: x}}
  tasks:
    - {name: Run, command: say yes, register: r, notify: [Sure, Both]}
    - {name: Wait, copy: {content: "{{ r.stdout }}", dest: /etc/x}, notify: [Perhaps, Both]}
`,
			want: `
Run: a changed
Wait: a deferred
handler Sure: a changed
handler Perhaps: a deferred
handler Both: a changed
handler Next: a ok
handler Next perhaps: a deferred
= a ok=4 changed=3 deferred=3`,
		},
		{
			name: "changed_when waits for the command, failed_when takes it that it succeeds",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Changed, command: say yes, changed_when: r.rc == 3, register: r}
    - {name: Failed, command: say yes, failed_when: f.rc > 1, register: f}
    - {name: Goes on, debug: {msg: x}, when: f is success}
    - {name: Ignored, command: say yes, ignore_errors: true, register: i}
    - {name: Who knows, debug: {msg: x}, when: i is failed}
    - {name: Until, command: say yes, until: u.stdout == 'up', delay: 600, register: u}
`,
			want: `
Changed: a deferred
Failed: a changed
Goes on: a ok
Ignored: a changed
Who knows: a deferred
Until: a deferred
= a ok=3 changed=2 deferred=3`,
		},
		{
			name: "an include that may run shows its steps as waiting",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Run, command: say yes, register: r}
    - {name: Include, include_tasks: more.yml, when: r.stdout == 'yes'}
    - {name: After, debug: {msg: x}, when: inside is changed}
    - {name: Free, debug: {msg: x}}
`,
			files: map[string]string{"more.yml": "- {name: Inside, ping: {}, register: inside}\n- meta: end_play\n"},
			want: `
Run: a changed
Include: a deferred
Inside: a deferred
After: a deferred
Free: a ok
= a ok=2 changed=1 deferred=3`,
		},
		{
			name: "a keyword that waits defers the task",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Run, command: say yes, register: r}
    - {name: Once, ping: {}, run_once: "{{ r.stdout }}", register: once}
    - {name: Of it, debug: {msg: x}, when: once is success}
    - {name: Become, ping: {}, become: "{{ r.stdout }}"}
    - {name: Delegate, ping: {}, delegate_to: "{{ r.stdout }}"}
    - {name: Notify, command: good, notify: "{{ r.stdout }}"}
`,
			want: `
Run: a changed
Once: a deferred
Of it: a deferred
Become: a deferred
Delegate: a deferred
Notify: a deferred
= a ok=1 changed=1 deferred=5`,
		},
	} {
		test.hosts, test.options = "a,", check
		t.Run(test.name, test.run)
	}
}

func TestDeferredSaysWhatItWaitsFor(t *testing.T) {
	l := newLab(t, "a,")
	l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - {name: Ask, command: say yes, register: r}
    - {name: Wait, debug: {msg: x}, when: r.rc == 0}
    - {meta: end_play, when: r.rc == 0}
    - {name: Own, command: good, changed_when: o.rc == 0, register: o}
`, nil, check)
	if got, want := l.end("Wait", "a").Deferred, "the result of the task “Ask”"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if m := l.messages(); len(m) != 1 || !strings.Contains(m[0], "end_play") || !strings.Contains(m[0], "Ask") {
		t.Errorf("got %q", m)
	}
	if c := l.end("Own", "a").Changes; len(c) != 1 || !c[0].Event() {
		t.Errorf("the command that will run is not among the changes: %v", c)
	}
}

func TestARealRunDoesNotPassByWhatACheckLeftUnknown(t *testing.T) {
	l := newLab(t, "a,")
	_, got := l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - {name: Checked, command: say hello, check_mode: true, register: said}
    - {name: Known, debug: {msg: "{{ said is changed }}"}}
    - {name: Needs, debug: {msg: "{{ said.stdout }}"}}
    - {name: Never, debug: {msg: never}}
`, nil)
	compare(t, "Checked: a changed\nKnown: a ok\nNeeds: a failed\n= a ok=2 changed=1 failed=1", got)
	if m := l.end("Needs", "a").Message; !strings.Contains(m, "the result of the task “Checked”") {
		t.Errorf("got %q", m)
	}
}

func TestCheckModeOfATask(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, copy: {content: new, dest: /etc/one}}
    - {name: Checked, copy: {content: new, dest: /etc/two}, check_mode: true}
    - {name: Again, copy: {content: new, dest: /etc/two}, check_mode: true}
    - {name: Real, copy: {content: new, dest: /etc/three}, check_mode: false}
`
	there := func(l *lab, path string) bool {
		_, err := l.hosts["a"].Files().Stat(t.Context(), path)
		return err == nil
	}
	for _, test := range []struct {
		name    string
		check   bool
		changed string // by task
		files   []string
		calls   string
	}{
		{"in a real run", false, "One: a changed\nChecked: a changed\nAgain: a changed\nReal: a changed\n= a ok=4 changed=4", []string{"/etc/one", "/etc/three"}, "a copy|a copy check|a copy check|a copy"},
		{"in a check", true, "One: a changed\nChecked: a changed\nAgain: a ok\nReal: a changed\n= a ok=4 changed=3", []string{"/etc/three"}, "a copy check|a copy check|a copy check|a copy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, "a,")
			_, got := l.run(playbook, nil, func(o *engine.Options) { o.Check = test.check })
			compare(t, test.changed, got)
			for _, path := range []string{"/etc/one", "/etc/two", "/etc/three"} {
				if there(l, path) != slices.Contains(test.files, path) {
					t.Errorf("%s: there is %t", path, there(l, path))
				}
			}
			if got := strings.Join(l.calls, "|"); got != test.calls {
				t.Errorf("got %s", got)
			}
			for _, task := range l.tasks {
				if task.Fresh != (task.Check && !test.check) {
					t.Errorf("a fresh shadow: %t, for %+v", task.Fresh, task)
				}
			}
		})
	}
}

// changesOf lists all that a run changed, in order, with before and after.
func changesOf(events []event.Event) map[string][]change.Change {
	all := map[string][]change.Change{}
	for _, e := range events {
		if e, ok := e.(event.TaskEnd); ok {
			all[e.Host] = append(all[e.Host], e.Changes...)
		}
	}
	return all
}

// The law of check mode, for playbooks of random tasks whose effects can be
// foretold: the check shows what the run that follows does, and changes nothing.
func TestCheckEqualsRun(t *testing.T) {
	path := rapid.SampledFrom([]string{"/etc/a", "/etc/b", "/etc/c/d"})
	text := rapid.SampledFrom([]string{"one", "two\\n", "one\\ntwo\\n"})
	task := rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return "copy: {content: \"" + text.Draw(t, "text") + "\", dest: " + path.Draw(t, "path") + "}, notify: Handler"
		case 1:
			return "lineinfile: {path: " + path.Draw(t, "path") + ", line: two, create: true}, register: r"
		case 2:
			return "file: {path: " + path.Draw(t, "path") + ", state: absent}, register: r"
		case 3:
			return "copy: {content: x, dest: /etc/r}, when: r is changed"
		case 4:
			return "lineinfile: {path: /etc/many, line: '{{ item }}', create: true}, loop: [x, y, x]"
		default:
			return "stat: {path: " + path.Draw(t, "path") + "}, register: s"
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		tasks := rapid.SliceOfN(task, 1, 8).Draw(rt, "tasks")
		playbook := "- hosts: all\n  gather_facts: false\n  vars: {r: {changed: true}}\n  handlers: [{name: Handler, copy: {content: x, dest: /etc/handled}}]\n  tasks:\n"
		for _, one := range tasks {
			playbook += "    - {ignore_errors: true, " + one + "}\n"
		}
		l := newLab(t, "a,")
		_, foretold := l.run(playbook, nil, check)
		shown := changesOf(l.events)
		_, done := l.run(playbook, nil)
		if diff := cmp.Diff(foretold, done); diff != "" {
			rt.Errorf("-check +run:\n%s", diff)
		}
		if diff := cmp.Diff(shown, changesOf(l.events)); diff != "" {
			rt.Errorf("-check +run:\n%s", diff)
		}
	})
}

// A failed command that failed_when lets pass counts in the run as the check
// said it would.
func TestFailedCommandRunsAsForetold(t *testing.T) {
	l := newLab(t, "a,")
	const playbook = "- hosts: all\n  gather_facts: false\n  tasks: [{name: One, command: bad, failed_when: false}]\n"
	l.run(playbook, nil, check)
	foretold := l.end("One", "a")
	l.run(playbook, nil)
	done := l.end("One", "a")
	if diff := cmp.Diff(foretold.Changes, done.Changes); diff != "" || done.Status != foretold.Status || done.Status != modules.Changed {
		t.Errorf("%s, %s: %s", foretold.Status, done.Status, diff)
	}
}
