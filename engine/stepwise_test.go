package engine_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine"
)

func TestStep(t *testing.T) {
	answers := []engine.StepAnswer{engine.StepRun, engine.StepSkip, engine.StepContinue}
	var asked []string
	l := newLab(t, "a,")
	_, got := l.run(`
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, debug: }
    - {name: Two, debug: }
    - meta: noop
    - {name: Three, debug: }
    - {name: Four, debug: }
`, nil, func(o *engine.Options) {
		o.Step = func(_ context.Context, task string) (engine.StepAnswer, error) {
			asked = append(asked, task)
			return answers[len(asked)-1], nil
		}
	})
	compare(t, "One: a ok\nThree: a ok\nFour: a ok\n= a ok=3", got)
	if diff := cmp.Diff([]string{"One", "Two", "Three"}, asked); diff != "" {
		t.Errorf("asked -want +got\n%s", diff)
	}
}

func TestForceHandlersOption(t *testing.T) {
	const playbook = `
- hosts: all
  gather_facts: false
  tasks: [{name: Change, command: good, notify: H}, {name: Fail, command: bad}]
  handlers: [{name: H, debug: }]
`
	l := newLab(t, "a,")
	_, got := l.run(playbook, nil, func(o *engine.Options) { o.ForceHandlers = true })
	compare(t, "Change: a changed\nFail: a failed\nhandler H: a ok\n= a ok=2 changed=1 failed=1", got)
}

func TestMagicOfTheCall(t *testing.T) {
	test := flow{
		hosts: "a,",
		playbook: `
- name: "For {{ who }}"
  hosts: all
  gather_facts: false
  vars: {who: you}
  roles: [outer]
  tasks:
    - name: Known
      assert:
        that:
          - ansible_version.full is version('2.9', '>=')
          - ansible_forks == 3
          - ansible_verbosity == 2
          - ansible_limit == 'a'
          - ansible_inventory_sources == ['a,']
          - ansible_play_name == 'For you'
          - ansible_play_role_names == ['outer']
          - ansible_dependent_role_names == ['inner']
          - ansible_role_names | sort == ['inner', 'outer']
`,
		files: map[string]string{
			"roles/outer/meta/main.yml":  "dependencies: [inner]\n",
			"roles/outer/tasks/main.yml": "[]\n",
			"roles/inner/tasks/main.yml": "[]\n",
		},
		options: func(o *engine.Options) { o.Forks, o.Verbosity, o.Limit = 3, 2, "a" },
		want:    "Known: a ok\n= a ok=1",
	}
	test.run(t)
}
