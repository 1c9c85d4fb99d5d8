package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

func TestResults(t *testing.T) {
	for _, test := range []flow{
		{
			name:  "register in every status",
			hosts: "a,",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Changed, command: say yes, register: changed}
    - {name: OK, command: good, changed_when: false, register: ok}
    - {name: Skipped, command: good, when: false, register: skipped}
    - {name: Failed, command: bad, ignore_errors: true, register: failed}
    - {name: No items, command: good, loop: [], register: empty}
    - name: All
      assert:
        that:
          - changed is changed and changed is success and changed.stdout == 'yes' and changed.rc == 0
          - ok is not changed and ok is success
          - skipped is skipped and not skipped.changed and not skipped.failed
          - failed is failed and failed.rc == 1 and failed.changed
          - empty is skipped and empty.results == []
`,
			want: `
Changed: a changed
OK: a ok
Skipped: a skipped
Failed: a failed ignored
No items: a skipped
All: a ok
= a ok=4 changed=2 skipped=2 ignored=1`,
		},
		{
			name:  "changed_when and failed_when, whatever the command says",
			hosts: "a,",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Let pass, command: bad, failed_when: false, register: r}
    - {name: As told, assert: {that: [r is changed, r is not failed, r.rc == 1, not r.failed_when_result]}}
    - {name: By code, command: bad, changed_when: r.rc == 1, failed_when: r.rc > 1, register: r}
    - {name: Unchanged, command: bad, changed_when: r.rc != 1, failed_when: r.rc > 1, register: r}
    - {name: Both must hold, command: say yes, failed_when: [r.rc == 0, r.stdout == 'no'], register: r}
    - {name: Fails, command: say yes, failed_when: "'yes' in r.stdout", register: r, ignore_errors: true}
    - {name: Debug, debug: {msg: x}, changed_when: true}
    - {name: Hidden debug, debug: {msg: x, verbosity: 1}, changed_when: true}
`,
			want: `
Let pass: a changed
As told: a ok
By code: a changed
Unchanged: a ok
Both must hold: a changed
Fails: a failed ignored
Debug: a changed
Hidden debug: a skipped
= a ok=7 changed=5 skipped=1 ignored=1`,
		},
		{
			name:  "loops",
			hosts: "a,",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - name: Loop
      command: "{{ item }}"
      loop: [good, bad, say yes]
      when: item != 'good'
      register: r
      ignore_errors: true
    - name: Results
      assert:
        that:
          - r.results | map(attribute='item') | list == ['good', 'bad', 'say yes']
          - r.results[0] is skipped and r.results[1] is failed and r.results[2].stdout == 'yes'
          - r is failed and r is changed
    - name: Control
      set_fact:
        seen: "{{ seen | default([]) + [[at, thing, ansible_loop.first, ansible_loop.last, ansible_loop.length, ansible_loop.nextitem | default('-')]] }}"
      loop: [x, y]
      loop_control: {loop_var: thing, index_var: at, extended: true}
    - {name: Seen, assert: {that: "seen == [[0, 'x', true, false, 2, 'y'], [1, 'y', false, true, 2, '-']]"}}
    - {name: Break, set_fact: {last: "{{ item }}"}, loop: [1, 2, 3], loop_control: {break_when: item == 2}}
    - {name: Broken off, assert: {that: last == 2}}
`,
			want: `
Loop: a failed ignored
Results: a ok
Control: a ok
Seen: a ok
Break: a ok
Broken off: a ok
= a ok=6 changed=1 ignored=1`,
		},
		{
			name:  "set_fact goes to the task's host, with delegate_facts to the other",
			hosts: "a,b,",
			playbook: `
- hosts: a
  gather_facts: false
  tasks:
    - {set_fact: {mine: 1}, name: Mine, delegate_to: b}
    - {set_fact: {theirs: 1}, name: Theirs, delegate_to: b, delegate_facts: true}
    - {setup: {}, name: Facts, delegate_to: b, delegate_facts: true}
    - name: All
      assert:
        that:
          - mine == 1 and hostvars.b.mine is undefined
          - theirs is undefined and hostvars.b.theirs == 1
          - ansible_facts.hostname is undefined and hostvars.b.ansible_facts.hostname is defined
`,
			want: `
Mine: a ok by b
Theirs: a ok by b
Facts: a ok by b
All: a ok
= a ok=4`,
		},
		{
			name:  "fail has its own message, debug shows what is not defined",
			hosts: "a,",
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Fail, fail: {}, ignore_errors: true, register: r}
    - {name: Message, assert: {that: r.msg == 'Failed as requested from task'}}
`,
			want: "Fail: a failed ignored\nMessage: a ok\n= a ok=2 ignored=1",
		},
	} {
		t.Run(test.name, test.run)
	}
}

// scripted makes a command answer one after another of the results.
func scripted(l *lab, host, command string, results ...modules.Outcome) {
	at := 0
	l.scripts = func(h string, task agent.Task) (modules.Outcome, bool) {
		if h != host || task.Module != "command" || task.Items[0]["cmd"] != command && task.Items[0]["_raw_params"] != command {
			return modules.Outcome{}, false
		}
		at++
		return results[min(at, len(results))-1], true
	}
}

func TestUntil(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Try, command: say yes, until: r.stdout == 'up', retries: 2, delay: 0, register: r, ignore_errors: true}
    - {name: Attempts, debug: {msg: "{{ r.attempts }} {{ r is failed }}"}}
`
	said := func(text string) modules.Outcome {
		return modules.Outcome{Status: modules.Changed, Result: modules.Result{"stdout": text, "rc": 0}}
	}
	for _, test := range []struct {
		name, status, message string
		answers               []modules.Outcome
	}{
		{"holds at once", "changed", "a: 1 False", []modules.Outcome{said("up")}},
		{"holds at last", "changed", "a: 3 False", []modules.Outcome{said(""), said(""), said("up")}},
		{"never holds", "failed ignored", "a: 2 True", []modules.Outcome{said("")}},
		{"fails first", "changed", "a: 2 False", []modules.Outcome{
			{Status: modules.Failed, Message: "no", Result: modules.Result{"stdout": "", "rc": 1}}, said("up"),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, "a,")
			scripted(l, "a", "say yes", test.answers...)
			l.run(playbook, nil)
			if got := endText(l.end("Try", "a")); got != test.status {
				t.Errorf("got %s, want %s: %s", got, test.status, l.end("Try", "a").Message)
			}
			if got := l.messages(); !slices.Equal(got, []string{test.message}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	l := newLab(t, "a,")
	l.before = func(ctx context.Context, _ string, task agent.Task) error {
		if task.Items[0]["data"] == "slow" {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	_, got := l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, ping: {data: "{{ item }}"}, timeout: 0.02, loop: [quick, slow, quick], register: r, ignore_errors: true}
    - {name: Others, assert: {that: "r.results[0] is success and r.results[1] is failed and r.results[2] is success"}}
`, nil)
	compare(t, "One: a failed ignored\nOthers: a ok\n= a ok=2 ignored=1", got)
	if m := l.end("One", "a").Message; !strings.Contains(m, "slow: the task took longer than its timeout of 20ms") {
		t.Errorf("got %q", m)
	}
}

func TestPauseBetweenItems(t *testing.T) {
	l := newLab(t, "a,")
	began := time.Now()
	l.run("- hosts: all\n  gather_facts: false\n  tasks: [{ping: {}, loop: [1, 2, 3], loop_control: {pause: 0.03}}]\n", nil)
	if took := time.Since(began); took < 60*time.Millisecond || len(l.calls) != 3 {
		t.Errorf("took %s with %d exchanges", took, len(l.calls))
	}
}

func TestExchanges(t *testing.T) {
	for _, test := range []struct{ name, tasks, want string }{
		{"a loop is one", `[{ping: {}, loop: [1, 2, 3]}]`, "a ping|b ping"},
		{"what needs no host costs none", `[{debug: {msg: x}}, {set_fact: {x: 1}, loop: [1, 2]}, {assert: {that: x == 1}}, {fail: {}, when: false}, {meta: noop}, {ping: {}, when: false}]`, ""},
		{"run_once is one", `[{ping: {}, run_once: true}]`, "a ping"},
		{"items that are skipped are not sent", `[{ping: {}, loop: [1, 2], when: item == inventory_hostname}]`, ""},
		{"delegated items go to their hosts", `[{ping: {}, delegate_to: "{{ item }}", loop: [a, a, b], run_once: true}]`, "a ping|b ping"},
		{"environments part a loop", `[{ping: {}, environment: {X: "{{ item }}"}, loop: [1, 1, 2], run_once: true}]`, "a ping|a ping"},
		{"facts are gathered in one", `[{setup: {}}]`, "a setup|b setup"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, "a,b,")
			l.run("- hosts: all\n  gather_facts: false\n  tasks: "+test.tasks+"\n", nil)
			slices.Sort(l.calls)
			if got := strings.Join(l.calls, "|"); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if test.want == "" && len(l.targets) > 0 {
				t.Errorf("hosts were contacted: %v", l.targets)
			}
		})
	}
}

func TestTargets(t *testing.T) {
	const hosts = `
all:
  vars: {needs_root: true}
  hosts:
    a: {ansible_user: from_variable, ansible_become_password: sesame!}
    b: {ansible_host: 10.0.0.2}
`
	for _, test := range []struct{ name, play, task, want string }{
		{"nothing", "", "", "b  0 ssh become="},
		{"keywords", "", "remote_user: ops, port: 2222, become: true", "b ops 2222 ssh become=root"},
		{"become user", "", "become: true, become_user: app", "b  0 ssh become=app"},
		{"a user to become without become", "", "become_user: app", "b  0 ssh become="},
		{"inherited and taken back", "become: true", "become: false", "b  0 ssh become="},
		{"local", "connection: local", "", "b  0 local become="},
		// The keywords see the task's variables; the connection is the other host's.
		{"delegated", "vars: {who: app}", "delegate_to: a, become: '{{ needs_root }}', become_user: '{{ who }}', remote_user: ops", "a from_variable 0 ssh become=app"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, hosts)
			l.run(fmt.Sprintf("- hosts: b\n  gather_facts: false\n  %s\n  tasks: [{ping: {}, %s}]\n", test.play, test.task), nil)
			if len(l.targets) != 1 {
				t.Fatalf("connected to %v", l.targets)
			}
			c := l.targets[0]
			kind := c.Connection.Kind
			if kind == "" {
				kind = "ssh"
			}
			if got := fmt.Sprintf("%s %s %d %s become=%s", c.Host, c.Connection.User, c.Connection.Port, kind, c.Become); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Each way of becoming another user has an agent of its own; variables win.
func TestWaysToBecome(t *testing.T) {
	l := newLab(t, "all: {hosts: {b: {ansible_become_exe: /opt/sudo}}}\n")
	_, got := l.run(`
- hosts: all
  gather_facts: false
  become: true
  become_exe: /not/this
  tasks:
    - {ping: {}, become_method: su, become_flags: "-s /bin/sh"}
    - {ping: {}, become_method: ansible.builtin.su, become_flags: "{{ '-s /bin/sh' }}"}
    - {ping: {}, become_user: app}
`, nil)
	if len(l.targets) != 2 || strings.Contains(got, "failed") {
		t.Fatalf("%+v\n%s", l.targets, got)
	}
	c := l.targets[0].Connection
	if c.BecomeMethod != "su" || c.BecomeExe != "/opt/sudo" || c.BecomeFlags != "-s /bin/sh" || l.targets[1].Become != "app" {
		t.Errorf("%+v", l.targets)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	l := newLab(t, "a,")
	l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - ping: {}
    - ping: {}
    - {ping: {}, become: true}
    - {ping: {}, become: true}
    - {ping: {}, remote_user: other}
`, nil)
	if len(l.targets) != 3 {
		t.Errorf("connected to %v", l.targets)
	}
}

func TestEnvironment(t *testing.T) {
	l := newLab(t, "a,")
	l.run(`
- hosts: all
  gather_facts: false
  environment: {A: play, B: play}
  tasks: [{ping: {}, environment: {B: "{{ inventory_hostname }}"}}]
`, nil)
	if diff := cmp.Diff(map[string]string{"A": "play", "B": "a"}, l.tasks[0].Environment); diff != "" {
		t.Error(diff)
	}
}

func TestWidth(t *testing.T) {
	var names strings.Builder
	for i := range 20 {
		fmt.Fprintf(&names, "h%02d,", i)
	}
	for _, test := range []struct {
		name, keywords string
		forks, want    int
	}{
		{"everybody", "", 0, 20},
		{"forks", "", 5, 5},
		{"throttle", "throttle: 3", 0, 3},
		{"throttle within forks", "throttle: 7", 4, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, names.String())
			l.before = func(ctx context.Context, _ string, _ agent.Task) error { wait(ctx); return nil }
			summary, _ := l.run("- hosts: all\n  gather_facts: false\n  tasks: [{ping: {}, "+test.keywords+"}, {set_fact: {x: '{{ inventory_hostname }}'}}, {assert: {that: hostvars.h07.x == 'h07'}}]\n", nil,
				func(o *engine.Options) { o.Forks = test.forks })
			if l.top > test.want || test.want < 20 && l.top != test.want {
				t.Errorf("%d exchanges at a time, want %d", l.top, test.want)
			}
			if len(summary.Hosts) != 20 || summary.Failed() || summary.Hosts["h19"].OK != 3 {
				t.Errorf("got %v", summary.Hosts)
			}
		})
	}
}

func TestHostLostWithinATask(t *testing.T) {
	l := newLab(t, "a,b,")
	l.before = func(_ context.Context, host string, task agent.Task) error {
		if host == "a" && task.Module == "command" {
			return errGone
		}
		return nil
	}
	summary, got := l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, ping: {}}
    - {name: Two, command: good, loop: [1, 2]}
    - {name: Three, ping: {}}
`, nil)
	compare(t, `
One: a ok, b ok
Two: a unreachable, b changed
Three: b ok
= a ok=1 unreachable=1; b ok=3 changed=1`, got)
	if m := l.end("Two", "a").Message; !strings.Contains(m, errGone.Error()) || !summary.Unreachable() || summary.Failed() {
		t.Errorf("got %q, %+v", m, summary)
	}
}

func TestInterruption(t *testing.T) {
	l := newLab(t, "a,b,")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := make(chan struct{}) // both hosts are in the task before it is interrupted
	l.before = func(ctx context.Context, host string, _ agent.Task) error {
		if host == "a" {
			<-begun
			cancel()
		} else {
			close(begun)
		}
		<-ctx.Done()
		return ctx.Err()
	}
	summary, got := l.runContext(ctx, `
- hosts: all
  gather_facts: false
  tasks:
    - block:
        - {name: One, ping: {}}
      always:
        - {name: Two, ping: {}}
- hosts: all
  tasks: [{name: Three, ping: {}}]
`, nil)
	compare(t, "One: a failed, b failed\n= a failed=1; b failed=1", got)
	if !summary.Interrupted {
		t.Error("the summary does not say so")
	}
	if m := l.end("One", "b").Message; m != "interrupted; what the host did last is not known" {
		t.Errorf("got %q", m)
	}
	if end, ok := l.events[len(l.events)-1].(event.RunEnd); !ok || !end.Interrupted {
		t.Error("nor does the last event")
	}
}

func TestInterruptionOfWaiting(t *testing.T) {
	l := newLab(t, "a,")
	ctx, cancel := context.WithCancel(t.Context())
	l.before = func(context.Context, string, agent.Task) error {
		time.AfterFunc(5*time.Millisecond, cancel)
		return nil
	}
	summary, _ := l.runContext(ctx, "- hosts: all\n  gather_facts: false\n  tasks: [{name: One, ping: {}, until: false, delay: 600, loop: [1, 2]}]\n", nil)
	if got := endText(l.end("One", "a")); got != "failed" || !summary.Interrupted {
		t.Errorf("got %s", got)
	}
}

func TestSummary(t *testing.T) {
	for _, test := range []struct {
		task                                    string
		failed, unreachable, changed, contacted bool
	}{
		{"debug: {msg: x}", false, false, false, false},
		{"fail: {}", true, false, false, false},
		{"ping: {}", false, false, false, true},
		{"command: good", false, false, true, true},
		{"ping: {}, delegate_to: down", false, true, false, true},
	} {
		t.Run(test.task, func(t *testing.T) {
			l := newLab(t, "a,down,")
			l.down["down"] = true
			s, _ := l.run("- hosts: a\n  gather_facts: false\n  tasks: [{"+test.task+"}]\n", nil)
			got := []bool{s.Failed(), s.Unreachable(), s.Changed(), s.Contacted}
			if want := []bool{test.failed, test.unreachable, test.changed, test.contacted}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestArgumentsOfATemplate(t *testing.T) {
	test := flow{
		hosts: "a,",
		playbook: `
- hosts: all
  gather_facts: false
  vars: {rest: {path: /etc/x, state: touch}, facts: {one: 1}}
  tasks:
    - {name: Args, file: {state: directory}, args: "{{ rest }}", register: got}
    - {name: There, stat: {path: /etc/x}, register: got}
    - {name: Won, assert: {that: [got.stat.isdir]}}
    - {name: Whole, set_fact: "{{ facts }}"}
    - {name: Set, assert: {that: [one == 1]}}
    - {name: Wrong, ping: "{{ facts }}", ignore_errors: true}
    - {name: Text, stat: "{{ 'a' }}", ignore_errors: true}
`,
		prepare: func(l *lab) { l.hosts["a"].Mkdir("/etc") },
		want: `
Args: a changed
There: a ok
Won: a ok
Whole: a ok
Set: a ok
Wrong: a failed ignored
Text: a failed ignored
= a ok=7 changed=1 ignored=2`,
	}
	test.run(t)
}

func TestRetriesWithoutUntil(t *testing.T) {
	l := newLab(t, "a,")
	tries := 0
	l.scripts = func(string, agent.Task) (modules.Outcome, bool) {
		if tries++; tries < 3 {
			return modules.Outcome{Status: modules.Failed, Message: "not yet"}, true
		}
		return modules.Outcome{Status: modules.OK}, true
	}
	_, got := l.run("- {hosts: all, gather_facts: false, tasks: [{name: Try, ping: , retries: 4, delay: 0, register: got}, {name: N, assert: {that: [got.attempts == 3]}}]}\n", nil)
	compare(t, "Try: a ok\nN: a ok\n= a ok=2", got)
	tries = -9
	_, got = l.run("- {hosts: all, gather_facts: false, tasks: [{name: Try, ping: , retries: 1, delay: 0}]}\n", nil)
	compare(t, "Try: a failed\n= a failed=1", got)
	if tries != -7 {
		t.Errorf("tried %d times", tries+9)
	}
}
