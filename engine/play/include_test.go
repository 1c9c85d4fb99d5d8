package play

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/modules"
)

func TestIncludeAtRunTime(t *testing.T) {
	p, sources, found := loadFiles(t, map[string]string{
		"site.yml": `
- hosts: all
  tasks:
    - include_tasks: "{{ os }}.yml"
      vars: {a: 1}
    - include_role: {name: "{{ role }}"}
    - include_tasks: ring.yml
`,
		"debian.yml":                  "- {name: D, ping: , notify: Restart}\n",
		"redhat.yml":                  "- {pnig: }\n- {ping: , when: 'a ==', notify: Rostart}\n",
		"ring.yml":                    "- include_tasks: ring.yml\n  when: more\n",
		"roles/web/tasks/main.yml":    "- {ping: }\n",
		"roles/web/handlers/main.yml": "- {name: Restart, ping: }\n",
	})
	if p == nil {
		t.Fatal(report(nil, sources, found))
	}
	ctx := context.Background()
	steps := p.Plays[0].Stages[1].Steps
	role := steps[1].(*Task).Include
	if got, err := role.Steps(ctx, expression.Variables{"role": "web"}); err != nil || len(got) != 2 { // the task, and the role's end
		t.Fatal(got, err)
	}
	include := steps[0].(*Task).Include
	one, err := include.Steps(ctx, expression.Variables{"os": "debian"})
	if err != nil || len(one) != 1 || len(one[0].(*Task).Notify[0].Handlers) != 1 {
		t.Fatal(one, err)
	}
	two, _ := include.Steps(ctx, expression.Variables{"os": "debian"})
	if one[0] != two[0] {
		t.Error("the steps of one name are read twice")
	}
	_, err = include.Steps(ctx, expression.Variables{"os": "redhat"})
	list, ok := errors.AsType[diag.List](err)
	if !ok || len(list) != 3 {
		t.Errorf("want the module, the condition and the handler, got %v", err)
	}
	_, err = include.Steps(ctx, expression.Variables{"os": "plan9"})
	if err == nil || !strings.Contains(err.Error(), "site.yml:4:22: there is no file plan9.yml") {
		t.Error(err)
	}
	_, err = include.Steps(ctx, expression.Variables{"os": expression.Unknown{Reason: "r"}})
	if _, unknown := IsUnknown(err); !unknown {
		t.Error(err)
	}
	ring := steps[2].(*Task)
	for range 5 { // a ring is read turn by turn
		next, err := ring.Include.Steps(ctx, expression.Variables{})
		if err != nil || len(next) != 1 {
			t.Fatal(next, err)
		}
		ring = next[0].(*Task)
	}
}

func TestHandlersFor(t *testing.T) {
	p, _, found := loadFiles(t, map[string]string{
		"site.yml": `
- hosts: all
  roles: [web]
  handlers:
    - {name: Restart, ping: }
    - {name: Reload, listen: [web stack, Restart], ping: }
    - {name: Other, listen: web stack, ping: }
`,
		"roles/web/tasks/main.yml":    "- {ping: }\n",
		"roles/web/handlers/main.yml": "- {name: Restart, ping: }\n",
	})
	if p == nil {
		t.Fatal(found)
	}
	for name, want := range map[string]string{
		"Restart":       "site.yml:6:7 site.yml:5:7", // who listens, then the last one of that name
		"web : Restart": "roles/web/handlers/main.yml:1:3",
		"web stack":     "site.yml:6:7 site.yml:7:7",
		"Other":         "site.yml:7:7",
	} {
		handlers, err := p.Plays[0].HandlersFor(name)
		var places []string
		for _, h := range handlers {
			places = append(places, h.Range.String())
		}
		if got := strings.Join(places, " "); got != want || err != nil {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
	}
	if _, err := p.Plays[0].HandlersFor("Web stack"); err == nil || !strings.Contains(err.Error(), `did you mean "web stack"?`) {
		t.Error(err)
	}
}

func TestFindFile(t *testing.T) {
	files := map[string]string{
		"pb/site.yml":                          "- hosts: all\n  roles: [outer]\n  tasks: [{import_tasks: sub/t.yml}]\n",
		"pb/sub/t.yml":                         "- ping:\n",
		"pb/sub/files/only-sub":                "",
		"pb/files/site-file":                   "",
		"pb/beside":                            "",
		"pb/files/both":                        "",
		"pb/roles/inner/tasks/main.yml":        "- ping:\n",
		"pb/roles/inner/files/both":            "",
		"pb/roles/inner/in-role":               "",
		"pb/roles/outer/meta/main.yml":         "dependencies: [inner]\n",
		"pb/roles/outer/files/from-outer":      "",
		"pb/roles/outer/tasks/files/task-file": "",
		"pb/roles/outer/tasks/main.yml":        "- ping:\n",
		"etc/passwd":                           "",
	}
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	p, _, found := Load(context.Background(), Source{FS: tree, Path: "pb/site.yml", Display: "../x/site.yml"}, testRegistry(t), Options{Disk: tree})
	if p == nil {
		t.Fatal(found)
	}
	steps := p.Plays[0].Stages[1].Steps
	inner, outer, plain := steps[0].(*Task), steps[2].(*Task), steps[4].(*Task) // behind each role stands its end
	for _, test := range []struct {
		task       *Task
		name, want string
	}{
		{inner, "both", "../x/roles/inner/files/both"},
		{inner, "in-role", "../x/roles/inner/in-role"},
		{inner, "from-outer", "../x/roles/outer/files/from-outer"},
		{inner, "site-file", "../x/files/site-file"},
		{outer, "both", "../x/files/both"},
		{outer, "task-file", "../x/roles/outer/tasks/files/task-file"},
		{outer, "beside", "../x/beside"},
		{plain, "only-sub", "../x/sub/files/only-sub"},
		{plain, "/etc/passwd", "/etc/passwd"},
		{plain, "../beside", "../x/beside"},
	} {
		file, err := test.task.FindFile("files", test.name, diag.Range{})
		if err != nil || file.Display != test.want {
			t.Errorf("%s: got %s, %v", test.name, file.Display, err)
		}
	}
	if p.Dir != "../x" || inner.Role.Dir != "../x/roles/inner" {
		t.Error(p.Dir, inner.Role.Dir)
	}
	if _, err := plain.FindFile("files", "../../../../etc/shadow", diag.Range{}); err == nil {
		t.Error("a path above the root was found")
	}
}

func TestReadVars(t *testing.T) {
	p, _, found := loadFiles(t, map[string]string{
		"site.yml": "- hosts: all\n  tasks: [{ping: }]\n", "vars/a.yml": "x: 1\ny: '{{ x }}'\n", "vars/b.yml": "[1]",
	})
	if p == nil {
		t.Fatal(found)
	}
	task := p.Plays[0].Stages[1].Steps[0].(*Task)
	got, err := task.ReadVars(&modules.IncludeVarsArgs{File: "a.yml"})
	if err != nil || strings.Join(got.Vars.Names(), " ") != "x y" {
		t.Error(got, err)
	}
	if at, _ := got.Vars.Where("y"); at.String() != "vars/a.yml:2:1" {
		t.Error("y is said to stand at", at)
	}
	for _, name := range []string{"b.yml", "c.yml"} {
		if _, err := task.ReadVars(&modules.IncludeVarsArgs{File: name}); err == nil {
			t.Error(name, "was read")
		}
	}
}

func TestArgumentSpec(t *testing.T) {
	p, _, found := loadFiles(t, map[string]string{
		"site.yml":                 "- hosts: all\n  roles: [web]\n",
		"roles/web/tasks/main.yml": "- ping:\n",
		"roles/web/meta/argument_specs.yml": `
argument_specs:
  main:
    options:
      port: {type: int, required: true, description: The port.}
      mode: {choices: [fast, safe]}
      "on": {type: bool}
      sites:
        type: list
        elements: dict
        options:
          name: {required: true}
          size: {type: int}
`,
	})
	if p == nil {
		t.Fatal(found)
	}
	task := p.Plays[0].Stages[1].Steps[0].(*Task)
	if task.Action != ValidateArgs {
		t.Fatal(task.Action)
	}
	check := func(v expression.Variables) string {
		var all []string
		for _, d := range task.ArgumentSpec.Check(context.Background(), v) {
			all = append(all, d.Summary)
		}
		return strings.Join(all, "\n")
	}
	right := expression.Variables{"port": "80", "mode": "fast", "on": "yes", "sites": []any{map[string]any{"name": "a", "size": 1}}}
	if got := check(right); got != "" {
		t.Error(got)
	}
	if got := check(expression.Variables{"port": expression.Unknown{}}); got != "" {
		t.Error(got)
	}
	got := check(expression.Variables{"mode": "slow", "on": "perhaps", "sites": []any{map[string]any{"size": "big", "nmae": "a"}, 5}})
	want := `the role web needs the variable port
the variable mode of the role web is "slow", and must be one of fast, safe
the variable on of the role web must be yes or no, is "perhaps"
the role web needs the variable sites[0].name
the variable sites[0].size of the role web must be a whole number, is "big"
the variable sites[0] of the role web has no key nmae
the variable sites[1] of the role web must be a mapping, is 5`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
