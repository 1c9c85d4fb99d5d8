package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// shown is all that events tell, secrets among it.
func shown(events []event.Event) string {
	var out strings.Builder
	for _, e := range events {
		fmt.Fprintf(&out, "%+v\n", e)
		if end, ok := e.(event.TaskEnd); ok && end.Diagnostic != nil {
			fmt.Fprintf(&out, "%+v\n", *end.Diagnostic)
		}
	}
	return out.String()
}

func TestSecretsAreHiddenInEveryEvent(t *testing.T) {
	const (
		secret = "open\"sesame"
		key    = "-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\nabcdefgh12345678\n-----END KEY-----\n"
	)
	l := newLab(t, "a,")
	l.scripts = func(_ string, task agent.Task) (modules.Outcome, bool) {
		if task.Module != "command" {
			return modules.Outcome{}, false
		}
		text := fmt.Sprint(task.Items[0])
		return modules.Outcome{
			Status: modules.Failed, Message: "cannot do " + text,
			Result: modules.Result{"stdout": text, "stdout_lines": strings.Split(text, "\n"), "of": map[string]any{text: []any{text}}},
		}, true
	}
	l.run(`
- hosts: all
  gather_facts: false
  ignore_errors: true
  tasks:
    - {name: "Name {{ word }}", debug: {msg: "says {{ word }} and {{ word | to_json }}"}}
    - {name: Loop, debug: {msg: "{{ item }}"}, loop: ["{{ word }}", "{{ key }}"]}
    - {name: Label, ping: {}, loop: [1], loop_control: {label: "{{ word }}"}}
    - {name: Change, copy: {content: "{{ word }}", dest: "/etc/{{ word }}"}, diff: true}
    - {name: Command, command: "{{ word }} {{ key }}"}
    - {name: Fault, debug: {msg: "{{ word.nosuch }}"}}
    - {name: Fact, set_fact: {mine: "{{ word }}"}}
    - {name: Assert, assert: {that: "word == 'x'", fail_msg: "{{ word }}"}}
`, nil, func(o *engine.Options) {
		o.Secrets = []string{secret, key}
		o.ExtraVars = map[string]any{"word": secret, "key": key}
	})
	text := shown(l.events)
	for _, part := range []string{secret, `open\"sesame`, "MIIEpAIBAAKCAQEA", "abcdefgh12345678"} {
		if at := strings.Index(text, part); at >= 0 {
			t.Errorf("%q is shown: …%s…", part, text[max(0, at-200):min(len(text), at+100)])
		}
	}
	if !strings.Contains(text, "says ******** and ") || !strings.Contains(text, "Name ********") {
		t.Errorf("what stands around a secret is not shown:\n%s", text)
	}
}

func TestShortSecretsAreNotLookedFor(t *testing.T) {
	l := newLab(t, "a,")
	l.run("- hosts: all\n  gather_facts: false\n  tasks: [{name: One, debug: {msg: a 123 b 1234}}]\n", nil,
		func(o *engine.Options) { o.Secrets = []string{"123", "1234"} })
	if m := l.messages(); len(m) != 1 || m[0] != "a: a 123 b ********" {
		t.Errorf("got %q", m)
	}
}

func TestArgumentsThatAreSecret(t *testing.T) {
	l := newLab(t, "a,")
	l.scripts = func(_ string, task agent.Task) (modules.Outcome, bool) {
		return modules.Outcome{Status: modules.Failed, Message: fmt.Sprintf("%v was refused", task.Items[0]["url_password"]), Result: modules.Result{}}, task.Module == "uri"
	}
	l.run("- hosts: all\n  gather_facts: false\n  tasks: [{name: One, uri: {url: 'http://a/', url_password: swordfish}}, {name: Two, debug: {msg: swordfish}}]\n", nil)
	if got := l.end("One", "a").Message; got != "******** was refused" {
		t.Errorf("got %q", got)
	}
}

func TestNoLog(t *testing.T) {
	l := newLab(t, "a,")
	l.hosts["a"].State.Runs["say swordfish"] = l.hosts["a"].State.Runs["say yes"]
	l.run(`
- hosts: all
  gather_facts: false
  ignore_errors: true
  vars: {word: swordfish}
  tasks:
    - {name: Command, command: "say {{ word }}", no_log: true, register: r}
    - {name: Loop, copy: {content: "{{ item }}", dest: "/etc/{{ item }}"}, loop: ["{{ word }}"], no_log: "{{ true }}"}
    - {name: Debug, debug: {msg: "{{ word }}"}, no_log: true}
    - {name: Fail, fail: {msg: "{{ word }}"}, no_log: true}
    - {name: Fault, debug: {msg: "{{ word.nosuch }}"}, no_log: true}
    - {name: Assert, assert: {that: "word == 'x'", fail_msg: "{{ word }}"}, no_log: true}
    - {name: Result, assert: {that: r.stdout == 'yes'}}
`, nil)
	if text := shown(l.events); strings.Contains(text, "swordfish") {
		t.Errorf("the secret is shown:\n%s", text)
	}
	if got := endText(l.end("Result", "a")); got != "ok" {
		t.Errorf("the registered result is hidden from the playbook: %s", got)
	}
	if e := l.end("Loop", "a"); e.Status != modules.Changed || len(e.Changes) == 0 || e.Result != nil {
		t.Errorf("got %+v", e)
	}
}

func TestDiffOfATask(t *testing.T) {
	l := newLab(t, "a,")
	l.run(`
- hosts: all
  gather_facts: false
  diff: false
  tasks:
    - {name: Off, copy: {content: text, dest: /etc/off}}
    - {name: On, copy: {content: text, dest: /etc/on}, diff: true}
`, nil)
	if e := l.end("Off", "a"); strings.Contains(fmt.Sprint(e.Changes), "text") || e.Changes[0].Target != "/etc/off" || e.Diff {
		t.Errorf("got %+v", e)
	}
	if e := l.end("On", "a"); !strings.Contains(fmt.Sprint(e.Changes), "text") || !e.Diff {
		t.Errorf("got %+v", e)
	}
}
