package engine_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
)

// A slow host keeps nobody back: b ends the whole play, handlers too, while a is
// in its first task.
func TestFreeHostsDoNotWait(t *testing.T) {
	t.Parallel()
	for _, strategy := range []string{"free", "host_pinned", "ansible.builtin.free"} {
		l := newLab(t, "a,b,")
		through := make(chan struct{})
		l.before = func(ctx context.Context, host string, task agent.Task) error {
			line, _ := task.Items[0]["cmd"].(string)
			switch {
			case host == "a" && line == "good":
				select {
				case <-through:
				case <-ctx.Done():
				}
			case host == "b" && line == "say last":
				close(through)
			}
			return nil
		}
		for _, h := range l.hosts {
			h.State.Runs["say handled"] = h.State.Runs["good"]
			h.State.Runs["say last"] = h.State.Runs["good"]
		}
		_, got := l.run(`
- hosts: all
  gather_facts: false
  strategy: `+strategy+`
  tasks:
    - {name: First, command: good, notify: H, register: r}
    - {name: Needs none, set_fact: {n: "{{ r.rc + 1 }}"}}
  post_tasks:
    - {name: Last, command: say last, when: n == 1}
  handlers:
    - {name: H, command: say handled}
`, nil)
		if !strings.Contains(got, "= a ok=4 changed=3; b ok=4 changed=3") {
			t.Errorf("%s: %s", strategy, got)
		}
		want := []string{"First", "Needs none", "H", "Last"}
		titles := map[int]string{}
		byHost := map[string][]string{}
		for _, e := range l.events {
			switch e := e.(type) {
			case event.TaskStart:
				titles[e.ID] = e.Task
			case event.TaskEnd:
				byHost[e.Host] = append(byHost[e.Host], titles[e.Task])
			}
		}
		if !slices.Equal(byHost["a"], want) || !slices.Equal(byHost["b"], want) {
			t.Errorf("%s: %v", strategy, byHost)
		}
	}
}

func TestFree(t *testing.T) {
	for _, test := range []flow{
		{
			name: "a failed host stops alone, a rescue is its own, any_errors_fatal and run_once do not hold",
			playbook: `
- hosts: all
  gather_facts: false
  strategy: free
  any_errors_fatal: true
  tasks:
    - block: [{name: Rescued, command: bad, when: inventory_hostname == 'a'}]
      rescue: [{name: Rescue, debug: {msg: "{{ ansible_failed_task.name }}"}}]
      always: [{name: Always, command: good}]
    - {name: Once, command: good, run_once: true}
    - {name: Fails, command: bad, when: inventory_hostname == 'b'}
    - {name: Only a, command: good}
- hosts: all
  gather_facts: false
  tasks: [{name: Linear again, command: good, run_once: true}]
`,
			want: `= a ok=5 changed=4 skipped=1 rescued=1; b ok=2 changed=2 failed=1 skipped=1`,
		},
		{
			name: "end_host is the host's, end_play everybody's", hosts: "a,",
			playbook: `
- hosts: all
  gather_facts: false
  strategy: free
  tasks:
    - {name: One, command: good}
    - meta: end_play
    - {name: Two, command: good}
`,
			want: `= a ok=1 changed=1`,
		},
		{
			name: "batches still come one after another", hosts: "a,b,c,",
			playbook: `
- hosts: all
  gather_facts: false
  strategy: free
  serial: 1
  tasks: [{name: One, set_fact: {n: "{{ ansible_play_batch | length }}"}}, {name: Two, assert: {that: n == 1}}]
`,
			want: `= a ok=2; b ok=2; c ok=2`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.hosts == "" {
				test.hosts = "a,b,"
			}
			l := newLab(t, test.hosts)
			_, got := l.run(test.playbook, nil)
			if at := strings.Index(got, "= "); got[at:] != test.want+"\n" {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestFreeWarns(t *testing.T) {
	l := newLab(t, "a,b,")
	l.run(`
- hosts: all
  gather_facts: false
  strategy: free
  max_fail_percentage: 10
  tasks: [{name: Once, command: good, run_once: true, any_errors_fatal: true}, {command: good, any_errors_fatal: false}]
`, nil)
	var texts []string
	for _, e := range l.events {
		if m, ok := e.(event.Message); ok && m.Warning {
			texts = append(texts, m.Text)
		}
	}
	if all := strings.Join(texts, "\n"); len(texts) != 3 || !strings.Contains(all, "run_once") || !strings.Contains(all, "max_fail_percentage") {
		t.Errorf("%q", texts)
	}
}

// forks and throttle limit what goes on at a time.
func TestFreeLimits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		throttle    string
		forks, most int
	}{{"", 2, 2}, {", throttle: 1", 4, 1}} {
		l := newLab(t, "a,b,c,d,e,f,")
		_, got := l.run("- hosts: all\n  gather_facts: false\n  strategy: free\n  tasks: [{assert: {that: true}}, {command: good"+test.throttle+"}]", nil,
			func(o *engine.Options) { o.Forks = test.forks })
		if l.top > test.most || strings.Count(got, " ok=2") != 6 {
			t.Errorf("%+v: %d at a time\n%s", test, l.top, got)
		}
	}
}

// With host_pinned no further host begins before one has ended the play.
func TestHostPinned(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a,b,c,d,e,f,")
	var mu sync.Mutex
	within, most := map[string]bool{}, 0
	l.before = func(_ context.Context, host string, task agent.Task) error {
		mu.Lock()
		defer mu.Unlock()
		within[host] = true
		most = max(most, len(within))
		if task.Module == "ping" {
			delete(within, host)
		}
		return nil
	}
	_, got := l.run("- hosts: all\n  gather_facts: false\n  strategy: host_pinned\n  tasks: [{command: good}, {command: good}, {ping: {}}]", nil,
		func(o *engine.Options) { o.Forks = 2 })
	if most > 2 || strings.Count(got, " ok=3") != 6 {
		t.Errorf("%d hosts were in the play with 2 forks\n%s", most, got)
	}
}

func TestFreeStartsAtTask(t *testing.T) {
	l := newLab(t, "a,b,c,")
	text := `
- hosts: all
  gather_facts: false
  strategy: free
  tasks: [{name: Before, command: good}, {name: Here, command: good}, {name: After, command: good}]
`
	_, got := l.run(text, nil, func(o *engine.Options) {
		var err error
		if o.StartAt, err = o.Playbook.FindTask("Here"); err != nil {
			t.Fatal(err)
		}
	})
	if strings.Contains(got, "Before") || !strings.Contains(got, "= a ok=2 changed=2; b ok=2 changed=2; c ok=2 changed=2") {
		t.Error(got)
	}
}
