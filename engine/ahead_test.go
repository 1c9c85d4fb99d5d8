package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// A play is the same to everybody whether its tasks go out one by one or ahead of
// their turn: the events, and what was done on the host in which order.
func TestLawAheadIsAsOneByOne(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		g := &playMaker{T: rt}
		text, role := g.play()
		checking := rapid.Bool().Draw(rt, "check")
		do := func(sendsAhead bool) (events []any, calls []string) {
			l := newLab(t, "a,")
			l.ahead = sendsAhead
			o := engine.Options{Playbook: l.load(text, map[string]string{"roles/r/tasks/main.yml": role}), Inventory: l.inv, Registry: l.registry, Connector: l, Sink: l, Check: checking}
			if _, err := engine.Run(t.Context(), o); err != nil {
				rt.Fatal(err)
			}
			ahead.Add(int64(l.behind))
			return told(rt, l.events), l.did("a")
		}
		events, calls := do(false)
		aheadEvents, aheadCalls := do(true)
		if diff := cmp.Diff(events, aheadEvents); diff != "" {
			rt.Errorf("%s\nevents: -one by one +ahead:\n%s", text, diff)
		}
		if diff := cmp.Diff(calls, aheadCalls); diff != "" {
			rt.Errorf("%s\non the host: -one by one +ahead:\n%s", text, diff)
		}
	})
	t.Logf("%d tasks went ahead", ahead.Load())
	if ahead.Load() < 30 { // some 120, by chance
		t.Errorf("only %d tasks went ahead in all: the law says little", ahead.Load())
	}
}

// playMaker draws plays of tasks that succeed, fail, depend on each other and come in
// blocks.
type playMaker struct {
	*rapid.T
	tasks int
	calm  bool // most tasks succeed, and have little that makes them wait
}

func (g *playMaker) pick(what string, of ...string) string {
	return rapid.SampledFrom(of).Draw(g.T, what)
}

// play gives a playbook and the tasks of its role r.
func (g *playMaker) play() (text, role string) {
	g.calm = rapid.Bool().Draw(g.T, "calm")
	var b, r strings.Builder
	g.steps(&r, "", 4, 0)
	b.WriteString("- hosts: all\n  gather_facts: false\n  vars: {late: \"{{ r0.changed | default(false) }}\", n: [1, 2]}\n")
	b.WriteString("  roles: " + g.pick("roles", "[]", "[r]", "[r, r]", "[r, {role: r, vars: {n: [4]}}, r]") + "\n  tasks:\n")
	g.steps(&b, "    ", 10, 2)
	b.WriteString("  post_tasks:\n")
	g.steps(&b, "    ", 3, 0)
	b.WriteString("  handlers:\n    - {name: H, command: say yes}\n    - {name: J, command: bad}\n")
	return b.String(), r.String()
}

func (g *playMaker) steps(b *strings.Builder, indent string, most, depth int) {
	for range rapid.IntRange(1, most).Draw(g.T, "steps") {
		if depth > 0 && rapid.IntRange(0, 4).Draw(g.T, "block") == 0 {
			fmt.Fprintf(b, "%s- block:\n", indent)
			g.steps(b, indent+"    ", 4, depth-1)
			if rapid.Bool().Draw(g.T, "rescue") {
				fmt.Fprintf(b, "%s  rescue:\n", indent)
				g.steps(b, indent+"    ", 2, 0)
			}
			if rapid.Bool().Draw(g.T, "always") {
				fmt.Fprintf(b, "%s  always:\n", indent)
				g.steps(b, indent+"    ", 2, 0)
			}
			continue
		}
		if depth > 0 && rapid.IntRange(0, 8).Draw(g.T, "role") == 0 {
			fmt.Fprintf(b, "%s- import_role: {name: r}\n", indent)
			continue
		}
		g.tasks++
		fmt.Fprintf(b, "%s- name: T%d\n", indent, g.tasks)
		for _, line := range g.task() {
			fmt.Fprintf(b, "%s  %s\n", indent, line)
		}
	}
}

func (g *playMaker) task() []string {
	actions := []string{
		"command: good", "command: good", "command: say yes", "command: bad",
		"lineinfile: {path: /etc/f, line: \"{{ n | join }}\", create: true}",
		"copy: {dest: /etc/g, content: \"{{ r1.stdout | default('none') }}\"}",
		"file: {path: /etc/d, state: directory}", "stat: {path: /etc/f}",
		"command: \"{{ item }}\"", "debug: {msg: \"{{ r0 is defined }} {{ now(fmt='%Y') }}\"}", "set_fact: {n: [3]}",
		"copy: {dest: /etc/h, content: \"{{ now(fmt='%Y') }}\"}", "meta: noop", "meta: flush_handlers", "meta: end_host",
	}
	if g.calm {
		actions = []string{"command: good", "command: say yes", "file: {path: /etc/d, state: directory}", "command: bad", "copy: {dest: /etc/g, content: \"{{ r1.stdout | default('none') }}\"}"}
	}
	action := g.pick("action", actions...)
	lines := []string{action}
	if strings.HasPrefix(action, "meta") {
		if action == "meta: end_host" {
			lines = append(lines, "when: r2 is defined and r2 is failed")
		}
		return lines
	}
	if strings.Contains(action, "item") {
		lines = append(lines, "loop: "+g.pick("loop", "[good, say yes]", "[good, bad, good]", "[]", "\"{{ ['good'] if r0 is defined else ['say yes'] }}\""))
	}
	optional := func(name string, often int, of ...string) {
		if g.calm {
			often += 20
		}
		if rapid.IntRange(0, often).Draw(g.T, name) == 0 {
			lines = append(lines, name+": "+g.pick(name+" value", of...))
		}
	}
	optional("register", 1, "r0", "r1", "r2")
	optional("when", 2, "true", "false", "r0 is defined and r0 is changed", "r1 is not defined", "not late", "n | length > 1",
		"hostvars[inventory_hostname].r2 is defined", "r9.nothing", "\"'/nonexistent' is exists\"")
	optional("ignore_errors", 3, "true", "false", "\"{{ r0 is defined }}\"")
	optional("changed_when", 3, "false", "true", "1 > 2", "r0 is defined", "nothing.there")
	optional("failed_when", 5, "false", "true", "r0 is defined and r0.rc | default(0) != 0")
	optional("notify", 3, "H", "J", "\"{{ 'H' if r0 is defined else 'J' }}\"")
	optional("check_mode", 8, "false", "true")
	optional("no_log", 8, "true")
	optional("diff", 8, "true")
	optional("become", 8, "true")
	optional("environment", 6, "{A: \"{{ r1.rc | default('none') }}\"}", "{B: b}")
	optional("delegate_to", 8, "a")
	return lines
}

// told is what can be compared of events: all but times and numbers of files.
func told(t *rapid.T, events []event.Event) []any {
	all := make([]any, len(events))
	for i, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		all[i] = []any{fmt.Sprintf("%T", e), timeless(value)}
	}
	return all
}

func timeless(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = timeless(v[i])
		}
	case map[string]any:
		maps.DeleteFunc(v, func(key string, _ any) bool {
			return slices.Contains([]string{"Took", "Started", "start", "end", "delta", "mtime", "ctime", "atime", "inode"}, key)
		})
		for key := range v {
			v[key] = timeless(v[key])
		}
	}
	return value
}

// did is what was done on a host, in order.
func (l *lab) did(host string) []string {
	var did []string
	for _, c := range l.hosts[host].Calls() {
		did = append(did, fmt.Sprintf("%+v", c))
	}
	return did
}

// Tasks that do not need each other go out together, and one that does waits.
func TestWhatGoesAhead(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("    - {command: good, changed_when: false}\n", 36)
	for _, tt := range []struct {
		name, hosts, head, tasks string
		ahead                    int
	}{
		{"36 commands", "a,", "", many, 35},
		{"more than one host waits for the other", "a,b,", "", many, 0},
		{"free", "a,b,", "\n  strategy: free", many, 2 * 35},
		{"a result that is needed", "a,", "", "    - {command: good, register: r}\n    - {command: good, when: r is changed}\n    - command: good", 1},
		{"a result that is needed by way of a variable", "a,", "\n  vars: {v: \"{{ w }}\", w: \"{{ r.rc }}\"}", "    - {command: good, register: r}\n    - {command: good, when: v == 0}\n    - command: good", 1},
		{"what only the controller can judge", "a,", "", "    - {command: good, failed_when: false}\n    - command: good\n    - {command: good, changed_when: x is defined}\n    - command: good", 1},
		{"skipped tasks are passed", "a,", "", "    - command: good\n    - {command: good, when: false}\n    - {command: good, tags: [never]}\n    - command: good", 1},
		{"the controller's own are not", "a,", "", "    - command: good\n    - set_fact: {x: 1}\n    - command: good", 0},
		{"what looks outside waits", "a,", "", "    - command: good\n    - {command: good, when: \"lookup('env', 'HOME') is defined\"}\n    - {command: good, environment: {N: \"{{ now() }}\"}}\n    - command: good", 1},
		{"blocks", "a,", "", "    - block:\n        - command: good\n        - command: good\n      rescue:\n        - command: good\n      always:\n        - command: good\n    - command: good", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, tt.hosts)
			l.ahead = true
			summary, trace := l.run("- hosts: all\n  gather_facts: false"+tt.head+"\n  tasks:\n"+tt.tasks+"\n", nil)
			if l.behind != tt.ahead || summary.Failed() {
				t.Errorf("%d tasks went ahead, want %d\n%s", l.behind, tt.ahead, trace)
			}
		})
	}
}

// After an interruption nothing more is begun, and what the host had begun by then is
// told of, though its turn had not come.
func TestInterruptionOfWhatWentAhead(t *testing.T) {
	t.Parallel()
	ahead := 0
	for range 30 {
		l := newLab(t, "a,")
		l.ahead = true
		ctx, cancel := context.WithCancel(t.Context())
		l.hosts["a"].State.Runs["good"] = func(systest.Call) sys.Result {
			cancel()
			return sys.Result{}
		}
		tasks := "    - {name: First, command: good}\n"
		for i := range 40 {
			tasks += fmt.Sprintf("    - {name: T%d, command: say yes}\n    - {name: Skipped, command: say yes, when: \"'x' | upper == 'x'\"}\n", i)
		}
		summary, got := l.runContext(ctx, "- hosts: all\n  gather_facts: false\n  tasks:\n"+tasks, nil)
		if ahead += l.behind; !summary.Interrupted {
			t.Error("the run was not interrupted")
		}
		ran, begun := len(l.did("a"))-1, strings.Count(got, "\nT")
		if ran > begun || strings.Contains(got, "skipped") && begun == 0 {
			t.Errorf("the host ran %d tasks behind the first, and %d were told of:\n%s", ran, begun, got)
		}
		if texts := l.messages(); len(texts) > 0 {
			t.Error(texts)
		}
	}
	if ahead < 30 {
		t.Errorf("only %d tasks went ahead", ahead)
	}
}

func TestLossOfAHostTellsWhatItMayHaveBegun(t *testing.T) {
	t.Parallel()
	l := newLab(t, "a,")
	l.ahead = true
	l.hosts["a"].State.Runs["good"] = func(systest.Call) sys.Result {
		go l.client.Close()
		<-l.client.Done()
		return sys.Result{}
	}
	_, got := l.run("- hosts: all\n  gather_facts: false\n  tasks:\n    - {name: First, command: good}\n    - {name: Second, command: say yes}\n", nil)
	if !strings.Contains(got, "First: a unreachable") || strings.Contains(got, "Second:") {
		t.Error(got)
	}
	if texts := strings.Join(l.messages(), "\n"); !strings.Contains(texts, "whether it has begun it is not known") {
		t.Errorf("it was not said what else the host had been told to do: %q", texts)
	}
}

// What a role does is not sent ahead across its own end: whether the next use of the
// same role is left out depends on it.
func TestAheadWaitsForTheEndOfARole(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"roles/once/tasks/main.yml":  "- command: good\n  when: first | default(true)\n",
		"roles/outer/meta/main.yml":  "dependencies: [once]\n",
		"roles/outer/tasks/main.yml": "- command: say yes\n",
		"roles/again/meta/main.yml":  "allow_duplicates: yes\n",
		"roles/again/tasks/main.yml": "- command: say yes\n",
	}
	const text = "- hosts: all\n  gather_facts: false\n  roles: [once, once, outer, outer, again, again]\n"
	for _, sendsAhead := range []bool{false, true} {
		l := newLab(t, "a,")
		l.ahead = sendsAhead
		o := engine.Options{Playbook: l.load(text, files), Inventory: l.inv, Registry: l.registry, Connector: l, Sink: l}
		if _, err := engine.Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if did := l.did("a"); len(did) != 4 { // once, outer, again twice
			t.Errorf("ahead: %v: the host did %q", sendsAhead, did)
		}
	}
}
