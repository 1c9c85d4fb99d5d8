package engine_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// jobs does a job on a host in memory, in this process. A job is not done before
// somebody asks for its record, unless the task waits for it.
type jobs struct {
	lab  *lab
	host *systest.Host
}

func (j jobs) Start(ctx context.Context, o agent.Order) (<-chan struct{}, func(), error) {
	ended := make(chan struct{})
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wait sync.WaitGroup
	wait.Go(func() {
		defer close(ended)
		if err := agent.DoJob(ctx, o, j.lab.registry, sys.Host(j.host)); err != nil {
			j.lab.t.Error(err)
		}
	})
	j.lab.t.Cleanup(func() { stop(); wait.Wait() })
	return ended, stop, nil
}

func TestAsync(t *testing.T) {
	root := func(l *lab) {
		for _, h := range l.hosts {
			h.State.System.UID = 0
		}
	}
	for _, test := range []flow{
		{
			name: "a task that waits", hosts: "a,", prepare: root,
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Waited for, command: say yes, async: 60, poll: 5, register: r}
    - {name: Default poll, command: good, async: 60}
    - {name: Fails, command: bad, async: 60, register: f, ignore_errors: true}
    - name: All
      assert:
        that:
          - r is changed and r.stdout == 'yes' and r.rc == 0
          - r.finished == 1 and r.started == 1 and r.ansible_job_id.startswith('j')
          - f is failed and f.rc == 1 and f.finished == 1
    - {name: Its record is gone, stat: {path: "{{ r.results_file }}"}, register: s, failed_when: s.stat.exists}
`,
			want: `
Waited for: a changed
Default poll: a changed
Fails: a failed ignored
All: a ok
Its record is gone: a ok
= a ok=5 changed=3 ignored=1`,
		},
		{
			name: "fire and forget, then ask", hosts: "a,", prepare: root,
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Started, command: say yes, async: 60, poll: 0, register: job}
    - {name: At once, assert: {that: [job is changed, job.finished == 0, job.started == 1, job.stdout is not defined]}}
    - {name: Ask, async_status: {jid: "{{ job.ansible_job_id }}"}, register: r, until: r.finished, retries: 1000, delay: 0}
    - {name: Answer, assert: {that: [r is changed, r.stdout == 'yes', r.rc == 0, r.results_file == job.results_file]}}
    - {name: Clean up, async_status: {jid: "{{ job.ansible_job_id }}", mode: cleanup}, register: c}
    - {name: Erased, assert: {that: c.erased == job.results_file}}
    - {name: Gone, async_status: {jid: "{{ job.ansible_job_id }}"}, register: g, ignore_errors: true}
    - {name: Not found, assert: {that: [g is failed, g.finished == 1, g.msg == 'could not find job']}}
    - {name: No job, async_status: {jid: ../../etc/passwd}, ignore_errors: true}
    - {name: Not a job, command: good, async: 0, poll: 0, register: n}
    - {name: Plain, assert: {that: n.ansible_job_id is not defined}}
    - {name: Each, command: "{{ item }}", loop: [good, good], async: 9, poll: 0, register: e}
    - {name: One each, assert: {that: "e.results | map(attribute='ansible_job_id') | unique | length == 2"}}
`,
			want: `
Started: a changed
At once: a ok
Ask: a changed
Answer: a ok
Clean up: a changed
Erased: a ok
Gone: a failed ignored
Not found: a ok
No job: a failed ignored
Not a job: a changed
Plain: a ok
Each: a changed
One each: a ok
= a ok=13 changed=5 ignored=2`,
		},
		{
			name: "check mode plans on the shadow and knows no job", hosts: "a,", prepare: root, options: check,
			playbook: `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Would change, file: {path: /srv/x, state: directory}, async: 60, poll: 0, register: job}
    - {name: Sees it, file: {path: /srv/x, state: directory}}
    - {name: Cannot ask, async_status: {jid: "{{ job.ansible_job_id }}"}}
`,
			want: `
Would change: a changed
Sees it: a ok
Cannot ask: a deferred
= a ok=2 changed=1 deferred=1`,
		},
	} {
		t.Run(test.name, test.run)
	}
}

// What a job was told stays out of its record.
func TestJobRecordHoldsNoArguments(t *testing.T) {
	l := newLab(t, "a,")
	l.hosts["a"].State.System.UID = 0
	l.hosts["a"].State.Runs["say"] = systest.Says(0, "")
	_, got := l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - {command: say, args: {stdin: hunter2}, async: 60, poll: 0, register: job}
    - {async_status: {jid: "{{ job.ansible_job_id }}"}, register: r, until: r.finished, retries: 1000, delay: 0}
    - {stat: {path: "{{ job.results_file }}"}, register: s, failed_when: s.stat.mode != '0600'}
    - {stat: {path: "{{ job.results_file | dirname }}"}, register: s, failed_when: s.stat.mode != '0700'}
    - {slurp: {src: "{{ job.results_file }}"}, register: s, failed_when: "'hunter2' in s.content | b64decode"}
`, nil)
	if strings.Contains(got, "failed") {
		t.Error(got)
	}
}

func TestAsyncRefused(t *testing.T) {
	l := newLab(t, "a,")
	for task, want := range map[string]string{
		`{debug: {msg: x}, async: 10}`:                       "runs on the controller",
		`{copy: {content: x, dest: /x}, async: 10}`:          "takes files of the controller",
		`{command: good, poll: 0}`:                           "poll without async",
		`{command: good, async: -1}`:                         "must not be negative",
		`{block: [{command: good}], async: 5}`:               "async",
		`{command: good, async: 5, poll: "{{ 1 }}", oll: 1}`: "oll",
	} {
		fsys := fstest.MapFS{"site.yml": {Data: []byte("- hosts: all\n  tasks:\n    - " + task + "\n")}}
		_, _, found := play.Load(t.Context(), play.Source{FS: fsys, Path: "site.yml"}, l.registry, play.Options{})
		if err := found.ErrorOrNil(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", task, err)
		}
	}
}
