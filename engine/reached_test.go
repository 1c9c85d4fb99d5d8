package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func vars(more map[string]any) func(*engine.Options) {
	return func(o *engine.Options) { o.ExtraVars = more }
}

// ends is a trace without its recap.
func ends(trace string) string {
	tasks, _, _ := strings.Cut(trace, "\n= ")
	return tasks
}

func TestFetch(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: no
  tasks:
    - {name: write, copy: {content: "new\n", dest: /srv/conf}}
    - {name: fetch, fetch: {src: /srv/conf, dest: "{{ to }}"}, register: got}
    - {name: told, assert: {that: "got.dest == to ~ '/' ~ inventory_hostname ~ '/srv/conf' and got.checksum is defined"}}
    - {name: lost, fetch: {src: /srv/none, dest: "{{ to }}", fail_on_missing: no}}
    - {name: folder, fetch: {src: /srv, dest: "{{ to }}"}, ignore_errors: yes}
    - {name: missing, fetch: {src: /srv/none, dest: "{{ to }}/x", flat: yes}, ignore_errors: yes}
`
	l := newLab(t, "a,b,")
	for _, h := range l.hosts {
		h.WriteFile("/srv/conf", "old\n", 0o600)
	}
	to := t.TempDir()
	_, foretold := l.run(playbook, nil, vars(map[string]any{"to": to}), check)
	changes := l.end("fetch", "a").Changes
	if names, err := os.ReadDir(to); err != nil || len(names) != 0 {
		t.Errorf("the check wrote %v: %v", names, err)
	}
	_, ran := l.run(playbook, nil, vars(map[string]any{"to": to}))
	compare(t, foretold, ran)
	if got := l.end("fetch", "a").Changes; len(got) != 1 || len(changes) != 1 || got[0] != changes[0] {
		t.Errorf("the check said %v, the run %v", changes, got)
	}
	file := filepath.Join(to, "a/srv/conf")
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "new\n" {
		t.Errorf("fetched %q: %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("it became %v: %v", info, err)
	}
	_, again := l.run(playbook, nil, vars(map[string]any{"to": to}))
	if end := l.end("fetch", "a"); end.Status != "ok" {
		t.Errorf("a second run ended %s:\n%s", end.Status, again)
	}
	if names, _ := os.ReadDir(filepath.Dir(file)); len(names) != 1 {
		t.Errorf("something was left beside it: %v", names)
	}
}

func TestFetchFlat(t *testing.T) {
	l := newLab(t, "a,")
	large := strings.Repeat("0123456789abcdef", 1<<16)
	l.hosts["a"].WriteFile("/srv/large", large, 0o644)
	to := t.TempDir()
	write(t, filepath.Join(to, "own"), "other")
	_, text := l.run(`
- hosts: all
  gather_facts: no
  tasks:
    - {name: as named, fetch: {src: /srv/large, dest: "{{ to }}/own", flat: yes}}
    - {name: in folder, fetch: {src: /srv/large, dest: "{{ to }}/sub/", flat: yes}}
`, nil, vars(map[string]any{"to": to}))
	compare(t, "as named: a changed\nin folder: a changed", ends(text))
	for _, name := range []string{"own", "sub/large"} {
		if got, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(got) != large {
			t.Errorf("%s has %d bytes: %v", name, len(got), err)
		}
	}
	if info, err := os.Stat(filepath.Join(to, "own")); err != nil || info.Mode() != 0o644 {
		t.Errorf("the mode of a file that was there became %v: %v", info, err)
	}
}

func TestRaw(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: no
  tasks:
    - {name: plain, raw: "uname -sm", register: out}
    - {name: told, debug: {msg: "{{ out.stdout_lines }} {{ out.rc }}"}}
    - {name: root, raw: "echo 'it'", become: yes, args: {executable: /bin/bash}}
    - {name: bad, raw: "exit 3", register: bad, ignore_errors: yes}
    - {name: quiet, raw: "exit 3", failed_when: false, changed_when: false}
`
	l := newLab(t, "a,")
	_, text := l.run(playbook, nil)
	compare(t, "plain: a changed\ntold: a ok\nroot: a changed\nbad: a failed ignored\nquiet: a ok", ends(text))
	compare(t, strings.Join([]string{
		"a shell uname -sm",
		`a shell sudo -H -n -u 'root' -- /bin/sh -c ''\''/bin/bash'\'' -c '\''echo '\''\'\'''\''it'\''\'\'''\'''\'''`,
		"a shell exit 3", "a shell exit 3",
	}, "\n"), strings.Join(l.calls, "\n"))
	summary, text := l.run(playbook, nil, check)
	compare(t, "plain: a changed\ntold: a deferred\nroot: a changed\nbad: a changed\nquiet: a ok", ends(text))
	if len(l.calls) > 0 || summary.Contacted {
		t.Errorf("the check reached the host: %v", l.calls)
	}
}

func TestPause(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: no
  tasks:
    - {name: short, pause: {seconds: 0.01, prompt: wait for it}}
    - {name: ask, pause: {prompt: sure}, register: answer, run_once: yes}
    - {name: told, debug: {msg: "{{ answer.user_input }}"}, run_once: yes}
`
	l := newLab(t, "a,b,")
	asked := 0
	answers := func(o *engine.Options) {
		o.Prompt = func(_ context.Context, r engine.PromptRequest) (string, error) {
			asked++
			return "yes to " + r.Text, nil
		}
	}
	_, text := l.run(playbook, nil, answers)
	compare(t, "short: a ok, b ok\nask: a ok\ntold: a ok", ends(text))
	if asked != 1 || !strings.Contains(strings.Join(l.messages(), "\n"), "a: yes to sure") {
		t.Errorf("asked %d times, said %v", asked, l.messages())
	}
	_, text = l.run(playbook, nil, answers, check)
	compare(t, "short: a ok, b ok\nask: a ok\ntold: a deferred", ends(text))
	if asked != 1 {
		t.Error("somebody was asked in check mode")
	}
	_, text = l.run(playbook, nil)
	if !strings.Contains(text, "ask: a failed") {
		t.Errorf("without a terminal:\n%s", text)
	}
}

func TestWaitForConnection(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: no
  tasks:
    - {name: lost, ping: "", ignore_unreachable: yes}
    - {name: wait, wait_for_connection: {timeout: 60, sleep: 0.01}}
    - {name: there, ping: ""}
`
	l := newLab(t, "a,")
	l.down["a"] = true
	tries := 0
	l.forgotten = func(host string) {
		if tries++; tries == 3 {
			l.down[host] = false
		}
	}
	_, text := l.run(playbook, nil)
	compare(t, "lost: a unreachable ignored\nwait: a ok\nthere: a ok", ends(text))
	if tries != 3 {
		t.Errorf("%d tries", tries)
	}
	l.down["a"] = true
	_, text = l.run(strings.ReplaceAll(playbook, "timeout: 60", "timeout: 0.05"), nil)
	compare(t, "lost: a unreachable ignored\nwait: a failed", ends(text))
	_, text = l.run(playbook, nil, check)
	if tries = 0; !strings.Contains(text, "wait: a deferred") {
		t.Errorf("check:\n%s", text)
	}
}

func TestReboot(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: no
  tasks:
    - {name: reboot, reboot: {reboot_timeout: 60}, register: out}
    - {name: told, assert: {that: out.rebooted}}
`
	l := newLab(t, "a,")
	host := l.hosts["a"]
	boot, reboots := "1", 0
	for _, program := range []string{"cat", "shutdown", "whoami"} {
		host.WriteFile("/usr/bin/"+program, "", 0o755)
	}
	host.State.Runs["cat /proc/sys/kernel/random/boot_id"] = func(systest.Call) (r sys.Result) {
		r.Stdout = []byte(boot + "\n")
		return r
	}
	host.State.Runs["whoami"] = systest.Says(0, "root\n")
	host.State.Runs["shutdown -r now Reboot initiated by rbdplay"] = func(systest.Call) (r sys.Result) {
		reboots++
		return r
	}
	_, text := l.run(playbook, nil, check)
	compare(t, "reboot: a changed\ntold: a deferred", ends(text))
	if reboots != 0 {
		t.Fatal("the check rebooted")
	}
	tries := 0
	l.forgotten = func(string) {
		if tries++; tries == 2 {
			boot = "2"
		}
	}
	_, text = l.run(playbook, nil)
	compare(t, "reboot: a changed\ntold: a ok", ends(text))
	if reboots != 1 || tries < 3 {
		t.Errorf("%d reboots, %d connections", reboots, tries)
	}
	host.State.Runs["shutdown -r now Reboot initiated by rbdplay"] = systest.Says(1, "not permitted\n")
	_, text = l.run(playbook, nil)
	compare(t, "reboot: a failed", ends(text))
	l.before = func(context.Context, string, agent.Task) error { return errors.New("gone") }
	_, text = l.run(playbook, nil)
	compare(t, "reboot: a failed", ends(text))
}

func TestRebootRefusesItself(t *testing.T) {
	l := newLab(t, "a,")
	_, text := l.run(`
- hosts: all
  gather_facts: no
  connection: local
  tasks:
    - {name: reboot, reboot: {}}
`, nil)
	compare(t, "reboot: a failed", ends(text))
}

func TestScript(t *testing.T) {
	l := newLab(t, "a,")
	host := l.hosts["a"]
	for _, program := range []string{"bash", "python3"} {
		host.WriteFile("/usr/bin/"+program, "", 0o755)
	}
	host.State.Runs["/bin/bash -e /proc/self/fd/3 -x one two words"] = systest.Says(0, "done\n")
	host.State.Runs["python3 -u /proc/self/fd/3 a b"] = systest.Says(4, "")
	files := map[string]string{"files/do.sh": "#! /bin/bash -e\necho done\n"}
	const playbook = `
- hosts: all
  gather_facts: no
  tasks:
    - {name: run, script: do.sh -x one "two words", register: out}
    - {name: told, assert: {that: out.stdout == 'done'}}
    - {name: other, script: {cmd: do.sh a, argv: [b], executable: python3 -u}, ignore_errors: yes}
    - {name: spared, script: {cmd: do.sh, creates: /usr/bin/ba*}}
`
	_, text := l.run(playbook, files)
	compare(t, "run: a changed\ntold: a ok\nother: a failed ignored\nspared: a skipped", ends(text))
	_, text = l.run(playbook, files, check)
	compare(t, "run: a changed\ntold: a deferred\nother: a changed\nspared: a skipped", ends(text))
}
