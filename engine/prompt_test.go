package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/diag"
)

// person answers prompts and remembers them.
type person struct {
	answers map[string]string
	asked   []engine.PromptRequest
}

func (p *person) prompt(_ context.Context, request engine.PromptRequest) (string, error) {
	p.asked = append(p.asked, request)
	answer, ok := p.answers[request.Name]
	if !ok {
		return "", engine.ErrNobodyToAsk
	}
	return answer, nil
}

func TestPrompts(t *testing.T) {
	const playbook = `
- hosts: "{{ where }}"
  gather_facts: false
  vars: {what: user, name: from vars}
  vars_prompt:
    - {name: name, prompt: "The {{ what }}", default: 5, private: false}
    - {name: where, confirm: true}
    - {name: raw, unsafe: true, private: no}
    - {name: made, private: no}
    - {name: given}
  tasks:
    - debug: {msg: "{{ [name, raw, made, given] | join(' ') }}"}
`
	l := newLab(t, "a,b,")
	p := &person{answers: map[string]string{"name": "", "where": "b", "raw": "{{ what }}", "made": "{{ what }}s"}}
	_, got := l.run(playbook, nil, func(o *engine.Options) {
		o.Prompt = p.prompt
		o.ExtraVars = map[string]any{"given": "extra"}
	})
	compare(t, "debug: b ok\n= b ok=1", got)
	want := []engine.PromptRequest{
		{Name: "name", Text: "The user", Default: "5"},
		{Name: "where", Text: "where", Private: true, Confirm: true},
		{Name: "raw", Text: "raw"},
		{Name: "made", Text: "made"},
	}
	if diff := cmp.Diff(want, p.asked, cmpopts.IgnoreFields(engine.PromptRequest{}, "Place")); diff != "" {
		t.Errorf("asked (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b: 5 {{ what }} users extra"}, l.messages()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestPrivateAnswer holds that what was typed unseen is not shown afterwards.
func TestPrivateAnswer(t *testing.T) {
	l := newLab(t, "a,")
	p := &person{answers: map[string]string{"password": "open sesame"}}
	l.run(`
- hosts: all
  gather_facts: false
  vars_prompt: [{name: password}]
  tasks: [debug: {msg: "it is {{ password }}"}]
`, nil, func(o *engine.Options) { o.Prompt = p.prompt })
	if diff := cmp.Diff([]string{"a: it is ********"}, l.messages()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestNobodyToAsk(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: false
  vars_prompt:
    - {name: one, default: first}
    - {name: two, prompt: The second}
  tasks: [debug: {var: one}]
`
	l := newLab(t, "a,")
	o := engine.Options{Playbook: l.load(playbook, nil), Inventory: l.inv, Registry: l.registry, Connector: l, Sink: l}
	_, err := engine.Run(t.Context(), o)
	var found diag.List
	if !errors.As(err, &found) || !strings.HasPrefix(err.Error(), "site.yml:6:7: two cannot be asked for") {
		t.Errorf("got %v", err)
	}
	if _, err := engine.Hosts(t.Context(), o); err != nil {
		t.Error("a listing asks:", err)
	}
	o.Prompt = func(context.Context, engine.PromptRequest) (string, error) { return "", errors.New("no more paper") }
	if _, err := engine.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "asking for one: no more paper") {
		t.Errorf("got %v", err)
	}
	if len(l.events) != 0 {
		t.Errorf("events before the run: %v", l.events)
	}
}
