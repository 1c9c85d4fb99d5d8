package engine_test

import (
	"testing"

	"github.com/rbdplay/rbdplay/engine"
)

// flow is a table entry for who runs what, in which order, and how it counts.
// Its plays gather no facts unless they say so.
type flow struct {
	name, hosts, playbook string
	files                 map[string]string
	prepare               func(l *lab)
	options               func(o *engine.Options)
	want                  string
}

func (f flow) run(t *testing.T) {
	t.Parallel()
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

func down(hosts ...string) func(l *lab) {
	return func(l *lab) {
		for _, h := range hosts {
			l.down[h] = true
		}
	}
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
= a failed=1; b ok=2 changed=1 skipped=1`,
		},
		{
			name:    "an unreachable host too",
			prepare: down("a"),
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, command: good}
    - {name: Two, command: good}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Three, command: good}
`,
			want: `
One: a unreachable, b changed
Two: b changed
Three: b changed
= a unreachable=1; b ok=3 changed=3`,
		},
		{
			name: "when all hosts have failed the run ends",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - {name: One, command: bad}
    - {name: Two, command: good}
- hosts: b
  gather_facts: false
  tasks:
    - {name: Three, command: good}
`,
			want: "One: a failed\n= a failed=1; b",
		},
		{
			name: "all hosts of a batch",
			playbook: `
- hosts: all
  serial: 1
  gather_facts: false
  tasks:
    - {name: One, command: bad}
`,
			want: "One: a failed\n= a failed=1; b",
		},
		{
			name: "ignored failures count as ok, and as changed when something ran",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - {name: Ran, command: bad, ignore_errors: true, register: r}
    - {name: Said, fail: {msg: no}, ignore_errors: "{{ r is failed and r is changed }}"}
    - {name: After, debug: {msg: x}}
`,
			hosts: "a,",
			want: `
Ran: a failed ignored
Said: a failed ignored
After: a ok
= a ok=3 changed=1 ignored=2`,
		},
		{
			name:    "ignored unreachability counts as ok",
			prepare: down("a"),
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, ping: {}, ignore_unreachable: true, register: r}
    - {name: Two, assert: {that: r is unreachable}, when: inventory_hostname == 'a'}
`,
			want: `
One: a unreachable ignored, b ok
Two: a ok, b skipped
= a ok=2 ignored=1; b ok=1 skipped=1`,
		},
		{
			name: "a failure of templating is its host's own",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, debug: {msg: "{{ nosuch }}"}, when: inventory_hostname == 'a'}
    - {name: Two, debug: {msg: x}}
`,
			want: `
One: a failed, b skipped
Two: b ok
= a failed=1; b ok=1 skipped=1`,
		},
		{
			name: "a keyword that cannot be rendered fails the task",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Once, ping: {}, run_once: "{{ nosuch }}", ignore_errors: true}
    - {name: Throttle, ping: {}, throttle: "{{ nosuch }}", ignore_errors: true}
    - {name: No log, ping: {}, no_log: "{{ nosuch }}", ignore_errors: true}
    - {name: Diff, ping: {}, diff: "{{ nosuch }}", ignore_errors: true}
    - {name: Check, ping: {}, check_mode: "{{ nosuch }}", ignore_errors: true}
    - {name: Timeout, ping: {}, timeout: "{{ nosuch }}", ignore_errors: true}
    - {name: Become, ping: {}, become: "{{ nosuch }}", ignore_errors: true}
    - {name: Retries, ping: {}, until: true, retries: "{{ nosuch }}", ignore_errors: true}
    - {name: Environment, ping: {}, environment: {A: "{{ nosuch }}"}, ignore_errors: true}
    - {name: Delegate, ping: {}, delegate_to: "{{ nosuch }}", ignore_errors: true}
    - {name: Pause, ping: {}, loop: [1, 2], loop_control: {pause: "{{ nosuch }}"}, ignore_errors: true}
    - {name: Label, ping: {}, loop: [1], loop_control: {label: "{{ nosuch }}"}, ignore_errors: true}
    - {name: Ignore, fail: {}, ignore_errors: "{{ nosuch }}"}
`,
			hosts: "a,",
			want: `
Once: a failed ignored
Throttle: a failed ignored
No log: a failed ignored
Diff: a failed ignored
Check: a failed ignored
Timeout: a failed ignored
Become: a failed ignored
Retries: a failed ignored
Environment: a failed ignored
Delegate: a failed ignored
Pause: a failed ignored
Label: a failed ignored
Ignore: a failed
= a ok=12 failed=1 ignored=12`,
		},
		{
			name: "a play whose own settings cannot be rendered fails",
			playbook: `
- hosts: all
  gather_facts: "{{ nosuch }}"
  tasks:
    - {name: One, debug: {msg: x}}
`,
			want: "Settings of the play: a failed, b failed\n= a failed=1; b failed=1",
		},
		{
			name: "a play's settings know its variables",
			playbook: `
- hosts: all
  vars: {facts: false}
  gather_facts: "{{ facts }}"
  tasks:
    - {name: One, debug: {msg: x}}
`,
			want: "One: a ok, b ok\n= a ok=1; b ok=1",
		},
	} {
		t.Run(test.name, test.run)
	}
}

func TestFatal(t *testing.T) {
	for _, test := range []flow{
		{
			name: "any_errors_fatal ends the play for all and the run, after the task has ended everywhere",
			playbook: `
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - {name: One, command: "{{ 'bad' if inventory_hostname == 'a' else 'good' }}"}
    - {name: Two, command: good}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Three, command: good}
`,
			want: "One: a failed, b changed\n= a failed=1; b ok=1 changed=1",
		},
		{
			name: "always parts run on every host, rescues do not",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - block:
            - {name: One, command: bad, when: inventory_hostname == 'a', any_errors_fatal: true}
            - {name: Two, command: good}
          always:
            - {name: Inner, debug: {msg: x}}
            - {name: Inner too, debug: {msg: x}}
      always:
        - {name: Outer, debug: {msg: x}}
    - {name: Three, command: good}
`,
			want: `
One: a failed, b skipped
Inner: a ok, b ok
Inner too: a ok, b ok
Outer: a ok, b ok
= a ok=3 failed=1; b ok=3 skipped=1`,
		},
		{
			name: "a failure that a rescue takes care of is not fatal",
			playbook: `
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - block:
        - {name: One, command: bad, when: inventory_hostname == 'a'}
        - {name: Two, command: good}
      rescue:
        - {name: Rescue, debug: {msg: "{{ ansible_failed_task.name }} {{ ansible_failed_result.rc }}"}}
    - {name: Three, debug: {msg: x}}
`,
			want: `
One: a failed rescued, b skipped
Two: b changed
Rescue: a ok
Three: a ok, b ok
= a ok=2 rescued=1; b ok=2 changed=1 skipped=1`,
		},
		{
			name:    "the loss of a host is fatal, and the others get their rescue",
			prepare: down("a"),
			playbook: `
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - block:
        - {name: One, ping: {}}
        - {name: Two, ping: {}}
      rescue:
        - {name: Rescue, ping: {}}
    - {name: Three, ping: {}}
`,
			want: `
One: a unreachable, b ok
Rescue: b ok
Three: b ok
= a unreachable=1; b ok=3`,
		},
		{
			name: "an earlier failure is not a later task's",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, command: bad, when: inventory_hostname == 'a'}
    - {name: Two, debug: {msg: x}, any_errors_fatal: true}
    - {name: Three, debug: {msg: x}}
`,
			want: `
One: a failed, b skipped
Two: b ok
Three: b ok
= a failed=1; b ok=2 skipped=1`,
		},
		{
			name: "an ignored one is not fatal",
			playbook: `
- hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - {name: One, fail: {}, ignore_errors: true, when: inventory_hostname == 'a'}
    - {name: Two, debug: {msg: x}}
`,
			want: `
One: a failed ignored, b skipped
Two: a ok, b ok
= a ok=2 ignored=1; b ok=1 skipped=1`,
		},
		{
			name:  "max_fail_percentage must be exceeded",
			hosts: "a,b,c,d,",
			playbook: `
- hosts: all
  gather_facts: false
  max_fail_percentage: 25
  tasks:
    - {name: One, fail: {}, when: inventory_hostname == 'a'}
    - {name: Two, fail: {}, when: inventory_hostname == 'b'}
    - {name: Three, debug: {msg: x}}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Four, debug: {msg: x}}
`,
			want: `
One: a failed, b skipped, c skipped, d skipped
Two: b failed, c skipped, d skipped
= a failed=1; b failed=1 skipped=1; c skipped=2; d skipped=2`,
		},
		{
			name:  "it counts in the batch",
			hosts: "a,b,c,d,",
			playbook: `
- hosts: all
  gather_facts: false
  serial: 2
  max_fail_percentage: 49
  tasks:
    - {name: One, fail: {}, when: inventory_hostname == 'a'}
    - {name: Two, debug: {msg: x}}
`,
			want: "One: a failed, b skipped\n= a failed=1; b skipped=1; c; d",
		},
	} {
		t.Run(test.name, test.run)
	}
}

func TestBlocks(t *testing.T) {
	for _, test := range []flow{
		{
			name: "always runs after failure, and the host stays failed",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - {name: One, fail: {}, when: inventory_hostname == 'a'}
        - {name: Two, debug: {msg: x}}
      always:
        - {name: Always, debug: {msg: x}}
    - {name: Three, debug: {msg: x}}
`,
			want: `
One: a failed, b skipped
Two: b ok
Always: a ok, b ok
Three: b ok
= a ok=1 failed=1; b ok=3 skipped=1`,
		},
		{
			name: "a failure in the rescue counts, and always runs",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - {name: One, fail: {}}
      rescue:
        - {name: Rescue, fail: {}, when: inventory_hostname == 'a'}
        - {name: Rescued, debug: {msg: x}}
      always:
        - {name: Always, debug: {msg: x}}
    - {name: Two, debug: {msg: x}}
`,
			want: `
One: a failed rescued, b failed rescued
Rescue: a failed, b skipped
Rescued: b ok
Always: a ok, b ok
Two: b ok
= a ok=1 failed=1 rescued=1; b ok=3 skipped=1 rescued=1`,
		},
		{
			name: "an outer rescue takes the failure of an inner block, after its always",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - block:
        - block:
            - {name: One, fail: {msg: first}}
          rescue:
            - {name: Inner rescue, fail: {msg: second}}
          always:
            - {name: Always, debug: {msg: x}}
        - {name: Never, debug: {msg: x}}
      rescue:
        - {name: Outer rescue, assert: {that: ansible_failed_result.msg == 'second' and ansible_failed_task.name == 'Inner rescue'}}
    - {name: Two, debug: {msg: x}}
`,
			hosts: "a,",
			want: `
One: a failed rescued
Inner rescue: a failed rescued
Always: a ok
Outer rescue: a ok
Two: a ok
= a ok=3 rescued=2`,
		},
		{
			name:    "nothing rescues a lost host",
			prepare: down("a"),
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - {name: One, ping: {}}
      rescue:
        - {name: Rescue, debug: {msg: x}}
      always:
        - {name: Always, debug: {msg: x}}
`,
			want: `
One: a unreachable, b ok
Always: b ok
= a unreachable=1; b ok=2`,
		},
		{
			name: "handlers that fail within a block are rescued",
			playbook: `
- hosts: a
  gather_facts: false
  handlers:
    - {name: Bad, command: bad}
  tasks:
    - block:
        - {name: One, command: good, notify: Bad}
        - meta: flush_handlers
        - {name: Never, debug: {msg: x}}
      rescue:
        - {name: Rescue, debug: {msg: x}}
`,
			hosts: "a,",
			want: `
One: a changed
handler Bad: a failed rescued
Rescue: a ok
= a ok=2 changed=1 rescued=1`,
		},
	} {
		t.Run(test.name, test.run)
	}
}

func TestHandlers(t *testing.T) {
	for _, test := range []flow{
		{
			name: "once per flush per host, in the order of definition, after each stage",
			playbook: `
- hosts: all
  gather_facts: false
  handlers:
    - {name: First, debug: {msg: x}}
    - {name: Second, debug: {msg: x}, listen: both}
    - {name: Third, debug: {msg: x}, listen: [both, other]}
  pre_tasks:
    - {name: Pre, command: good, notify: First}
  tasks:
    - {name: One, command: good, notify: [Third, First], when: inventory_hostname == 'b'}
    - {name: Two, command: good, notify: both}
    - {name: Unchanged, debug: {msg: x}, notify: First}
  post_tasks:
    - {name: Post, command: good, notify: "{{ 'other' }}"}
`,
			want: `
Pre: a changed, b changed
handler First: a ok, b ok
One: a skipped, b changed
Two: a changed, b changed
Unchanged: a ok, b ok
handler First: b ok
handler Second: a ok, b ok
handler Third: a ok, b ok
Post: a changed, b changed
handler Third: a ok, b ok
= a ok=8 changed=3 skipped=1; b ok=10 changed=4`,
		},
		{
			name: "handlers notify handlers, each once in a flush; the rest is for the next, after post_tasks",
			playbook: `
- hosts: a
  gather_facts: false
  handlers:
    - {name: First, command: good, notify: Second}
    - {name: Second, command: good, notify: First}
  tasks:
    - {name: One, command: good, notify: Second}
`,
			hosts: "a,",
			want: `
One: a changed
handler Second: a changed
handler First: a changed
handler Second: a changed
handler First: a changed
= a ok=5 changed=5`,
		},
		{
			name: "a failed host runs none, with force_handlers it does",
			playbook: `
- hosts: all
  gather_facts: false
  handlers:
    - {name: Handler, debug: {msg: x}}
  tasks:
    - {name: One, command: good, notify: Handler}
    - {name: Two, fail: {}, when: inventory_hostname == 'a'}
- hosts: b
  gather_facts: false
  force_handlers: true
  handlers:
    - {name: Forced, debug: {msg: x}}
  tasks:
    - {name: Three, command: good, notify: Forced}
    - {name: Four, fail: {}}
`,
			want: `
One: a changed, b changed
Two: a failed, b skipped
handler Handler: b ok
Three: b changed
Four: b failed
handler Forced: b ok
= a ok=1 changed=1 failed=1; b ok=4 changed=2 failed=1 skipped=1`,
		},
		{
			name: "a condition that does not hold keeps a flush from a host",
			playbook: `
- hosts: all
  gather_facts: false
  handlers:
    - {name: Handler, debug: {msg: x}}
  tasks:
    - {name: One, command: good, notify: Handler}
    - {meta: flush_handlers, when: inventory_hostname == 'a'}
    - {name: Two, debug: {msg: x}}
`,
			want: `
One: a changed, b changed
handler Handler: a ok
Two: a ok, b ok
handler Handler: b ok
= a ok=3 changed=1; b ok=3 changed=1`,
		},
		{
			name: "an ignored failure notifies nobody, a loop with one change does",
			playbook: `
- hosts: a
  gather_facts: false
  handlers:
    - {name: Handler, debug: {msg: x}}
    - {name: Looped, debug: {msg: x}}
  tasks:
    - {name: One, command: bad, notify: Handler, ignore_errors: true}
    - {name: Two, command: good, notify: Looped, loop: [1, 2], changed_when: item == 1}
`,
			hosts: "a,",
			want: `
One: a failed ignored
Two: a changed
handler Looped: a ok
= a ok=3 changed=2 ignored=1`,
		},
		{
			name: "a handler that nobody has fails the task",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - {name: One, command: good, notify: "{{ 'no' ~ 'body' }}"}
`,
			hosts: "a,",
			want:  "One: a failed\n= a failed=1",
		},
	} {
		t.Run(test.name, test.run)
	}
}

func TestMeta(t *testing.T) {
	for _, test := range []flow{
		{
			name: "end_host takes a host out of the play, its handlers too",
			playbook: `
- hosts: all
  gather_facts: false
  handlers:
    - {name: Handler, debug: {msg: x}}
  tasks:
    - {name: One, command: good, notify: Handler}
    - {meta: end_host, when: inventory_hostname == 'a'}
    - {name: Two, debug: {msg: x}}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Three, debug: {msg: x}}
`,
			want: `
One: a changed, b changed
Two: b ok
handler Handler: b ok
Three: a ok, b ok
= a ok=2 changed=1; b ok=4 changed=1`,
		},
		{
			name: "end_batch ends the batch, end_play the play with its handlers",
			playbook: `
- hosts: all
  serial: 1
  gather_facts: false
  tasks:
    - meta: end_batch
    - {name: Never, debug: {msg: x}}
- hosts: all
  serial: 1
  gather_facts: false
  handlers:
    - {name: Handler, debug: {msg: x}}
  tasks:
    - {name: One, command: good, notify: Handler}
    - {meta: end_play, when: false}
    - {name: Two, debug: {msg: x}}
    - meta: end_play
    - {name: Never, debug: {msg: x}}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Three, debug: {msg: x}}
`,
			want: `
One: a changed
Two: a ok
Three: a ok, b ok
= a ok=3 changed=1; b ok=1`,
		},
		{
			name: "clear_host_errors is for later plays",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, fail: {}, when: inventory_hostname == 'a'}
    - meta: clear_host_errors
    - {name: Two, debug: {msg: x}}
- hosts: all
  gather_facts: false
  tasks:
    - {name: Three, debug: {msg: x}}
`,
			want: `
One: a failed, b skipped
Two: b ok
Three: a ok, b ok
= a ok=1 failed=1; b ok=2 skipped=1`,
		},
		{
			name: "clear_facts",
			playbook: `
- hosts: all
  tasks:
    - {name: One, assert: {that: ansible_facts.hostname is defined}}
    - meta: clear_facts
    - {name: Two, assert: {that: ansible_facts.hostname is undefined}}
`,
			want: `
Gathering Facts: a ok, b ok
One: a ok, b ok
Two: a ok, b ok
= a ok=3; b ok=3`,
		},
	} {
		t.Run(test.name, test.run)
	}
}

const tagged = `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, debug: {msg: x}, tags: one}
    - {name: Two, debug: {msg: x}, tags: two}
    - {name: Always, debug: {msg: x}, tags: always}
    - block:
        - {name: Three, debug: {msg: x}}
      tags: two
- hosts: a
  gather_facts: false
  tasks:
    - {name: Four, debug: {msg: x}}
`

func TestSelection(t *testing.T) {
	tags := func(tags ...string) func(o *engine.Options) {
		return func(o *engine.Options) { o.Selection.Tags = tags }
	}
	startAt := func(name string) func(o *engine.Options) {
		return func(o *engine.Options) {
			var err error
			if o.StartAt, err = o.Playbook.FindTask(name); err != nil {
				panic(err)
			}
		}
	}
	for _, test := range []flow{
		{name: "tags", playbook: tagged, options: tags("two"), want: `
Two: a ok, b ok
Always: a ok, b ok
Three: a ok, b ok
= a ok=3; b ok=3`},
		{name: "skipped tags", playbook: tagged, options: func(o *engine.Options) { o.Selection.Skip = []string{"two", "always"} }, want: `
One: a ok, b ok
Four: a ok
= a ok=2; b ok=1`},
		{name: "limit", playbook: tagged, options: func(o *engine.Options) { o.Limit, o.Selection.Tags = "b", []string{"one"} }, want: `
One: b ok
Always: b ok
= b ok=2`},
		{name: "start at a task", playbook: tagged, options: startAt("Always"), want: `
Always: a ok, b ok
Three: a ok, b ok
Four: a ok
= a ok=3; b ok=2`},
		{name: "start in a later play, in a block", playbook: tagged, options: startAt("Three"), want: `
Three: a ok, b ok
Four: a ok
= a ok=2; b ok=1`},
		{
			name: "facts are gathered whatever the tags, and by their own when the play has some",
			playbook: `
- hosts: a
  tasks: [{name: One, debug: {msg: x}, tags: one}]
- hosts: b
  tags: two
  tasks: [{name: Two, debug: {msg: x}}]
- hosts: b
`,
			options: tags("one"),
			want:    "Gathering Facts: a ok\nOne: a ok\nGathering Facts: b ok\n= a ok=2; b ok=1",
		},
		{
			name: "order and serial",
			playbook: `
- hosts: all
  order: reverse_sorted
  serial: [1, 50%]
  gather_facts: false
  tasks: [{name: "{{ ansible_play_batch | join }}", debug: {msg: x}}]
`,
			hosts: "a,b,c,d,",
			want:  "d: d ok\ncb: b ok, c ok\na: a ok\n= a ok=1; b ok=1; c ok=1; d ok=1",
		},
		{
			name: "an include counts, and is skipped, for each host",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Include, include_tasks: "{{ inventory_hostname }}.yml", when: inventory_hostname != 'c'}
    - {name: Last, debug: {msg: x}}
`,
			hosts: "a,b,c,d,",
			files: map[string]string{"a.yml": "- {name: A, fail: {}}", "b.yml": "- {name: B, debug: {msg: x}}"},
			want: `
Include: a ok, b ok, c skipped, d failed
A: a failed
B: b ok
Last: b ok, c ok
= a ok=1 failed=1; b ok=3; c ok=1 skipped=1; d failed=1`,
		},
	} {
		t.Run(test.name, test.run)
	}
}

func TestStartInsideAnIncludeIsRefused(t *testing.T) {
	l := newLab(t, "a,")
	playbook := l.load("- hosts: all\n  tasks: [{include_tasks: more.yml}]\n", map[string]string{"more.yml": "- {name: Inside, ping: {}}"})
	inside, err := playbook.FindTask("Inside")
	if err != nil {
		t.Fatal(err)
	}
	_, err = engine.Run(t.Context(), engine.Options{Playbook: playbook, Inventory: l.inv, Registry: l.registry, Connector: l, Sink: l, StartAt: inside})
	if err == nil || len(l.targets) > 0 {
		t.Errorf("got %v and %d connections", err, len(l.targets))
	}
}

func TestRunOnce(t *testing.T) {
	for _, test := range []flow{
		{
			name: "result and facts are everybody's, the notification is the first host's",
			playbook: `
- hosts: all
  gather_facts: false
  handlers: [{name: Handler, debug: {msg: x}}]
  tasks:
    - {name: One, command: say yes, run_once: true, register: r, notify: Handler}
    - {name: Fact, set_fact: {who: "{{ inventory_hostname }}"}, run_once: true}
    - {name: Facts, setup: {}, run_once: true}
    - {name: Two, assert: {that: [r.stdout == 'yes', who == 'a', ansible_facts.hostname is defined]}}
`,
			want: `
One: a changed
Fact: a ok
Facts: a ok
Two: a ok, b ok
handler Handler: a ok
= a ok=5 changed=1; b ok=1`,
		},
		{
			name: "its failure is everybody's",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - {name: One, fail: {}, run_once: true}
      rescue:
        - {name: Rescue, debug: {msg: x}}
    - {name: Two, fail: {}, run_once: true}
    - {name: Three, debug: {msg: x}}
`,
			want: `
One: a failed rescued
Rescue: a ok, b ok
Two: a failed
= a ok=1 failed=1 rescued=1; b ok=1`,
		},
		{
			name: "it is skipped where the first host skips it",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, command: good, run_once: true, when: inventory_hostname == 'b', register: r}
    - {name: Two, assert: {that: r is skipped and not r.failed and not r.changed}}
`,
			want: `
One: a skipped
Two: a ok, b ok
= a ok=1 skipped=1; b ok=1`,
		},
	} {
		t.Run(test.name, test.run)
	}
}
