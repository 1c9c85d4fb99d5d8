package play

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
)

func TestLoopItems(t *testing.T) {
	variables := scope.Plain(map[string]any{
		"list": []any{1, []any{2, 3}}, "dict": map[string]any{"b": 2, "a": 1}, "empty": []any{},
		"users": []any{map[string]any{"name": "u", "keys": []any{"k1", "k2"}}, map[string]any{"name": "v"}},
	}, diag.Range{})
	for _, test := range []struct{ loop, want string }{
		{`loop: "{{ list }}"`, `[1,[2,3]]`},
		{`loop: []`, `null`},
		{`loop: [a, "{{ list[0] }}"]`, `["a",1]`},
		{`loop: "{{ dict }}"`, `error: site.yml:5:13: loop must be a list, not a mapping; write "{{ … | dict2items }}"`},
		{`loop: "{{ list[0] }}"`, `error: site.yml:5:13: loop must be a list, not 1`},
		{`with_list: "{{ list }}"`, `[1,[2,3]]`},
		{`with_items: "{{ list }}"`, `[1,2,3]`},
		{`with_items: ["{{ list }}", x]`, `[1,[2,3],"x"]`},
		{`with_items: single`, `["single"]`},
		{`with_flattened: [a, ["{{ list }}"]]`, `["a",1,2,3]`},
		{`with_dict: "{{ dict }}"`, `[{"key":"a","value":1},{"key":"b","value":2}]`},
		{`with_dict: {z: 1, a: 2}`, `[{"key":"z","value":1},{"key":"a","value":2}]`},
		{`with_dict: "{{ list }}"`, `error: site.yml:5:18: with_dict must be a mapping, not 1`},
		{`with_indexed_items: [a, b]`, `[[0,"a"],[1,"b"]]`},
		{`with_together: [[a, b], [1]]`, `[["a",1],["b",null]]`},
		{`with_nested: [[a, b], [1, 2]]`, `[["a",1],["a",2],["b",1],["b",2]]`},
		{`with_nested: ["{{ empty }}", [1]]`, `null`},
		{`with_sequence: start=1 end=3 format=web%02d`, `["web01","web02","web03"]`},
		{`with_sequence: count=3 start=5 stride=5`, `["5","10","15"]`},
		{`with_sequence: 4-8/2:host%d`, `["host4","host6","host8"]`},
		{`with_sequence: 3`, `["1","2","3"]`},
		{`with_sequence: {start: 0, end: 1}`, `["0","1"]`},
		{`with_sequence: start=3 end=1`, `error: site.yml:5:22: with_sequence counts from 3 to 1 in steps of 1 and never arrives`},
		{`with_sequence: start=3 end=1 stride=-1`, `["3","2","1"]`},
		{`with_sequence: end=9 format=%s`, `error: site.yml:5:22: with_sequence wants one number in its format, such as %02d, not "%s"`},
		{`with_sequence: count=0`, `null`},
		{`with_sequence: end=99999999`, `error: site.yml:5:22: with_sequence has more than 1000000 items`},
		{`with_subelements: ["{{ users }}", keys, {skip_missing: true}]`, `[[{"name":"u"},"k1"],[{"name":"u"},"k2"]]`},
		{`with_subelements: ["{{ users }}", keys]`, `error: site.yml:5:25: with_subelements finds no key keys in {'name': 'v'}`},
		{`with_random_choice: [a, a]`, `["a"]`},
		{`with_file: a.txt`, `["one\ntwo"]`},
		{`with_file: b.txt`, `error: site.yml:5:18: with_file there is no file b.txt; looked for files/b.txt b.txt`},
		{`with_fileglob: "*.txt"`, `["files/a.txt"]`},
		{`with_fileglob: [no*, "files/?.txt"]`, `["files/a.txt"]`},
		{`with_first_found: [b.txt, a.txt]`, `["files/a.txt"]`},
		{`with_first_found: [{files: [b.txt], skip: true}]`, `null`},
		{`with_first_found: [{files: "b.txt,a.txt", paths: "no:files"}]`, `["files/a.txt"]`},
		{`with_first_found: b.txt`, `error: site.yml:5:25: with_first_found finds none of b.txt; skip=true makes that no error`},
		{`with_first_found: [{file: b.txt}]`, `error: site.yml:5:25: with_first_found knows no file, only files, paths and skip`},
		{`with_template: t.j2`, `["3 is 3\n"]`},
		{`with_vars: [empty]`, `[[]]`},
		{`with_varnames: "^.i"`, `["dict","list"]`},
		{`with_cartesian: [[a], [1, 2]]`, `[["a",1],["a",2]]`},
		{`with_ini: ["one section=s file=c.ini", "two section=s file=c.ini"]`, `["1","2 and 1"]`},
		{`with_inventory_hostnames: all`, `null`},
		{`with_pipe: id`, `error: site.yml:5:18: with_pipe the controller is out of reach here`},
		{`with_lines: id`, `error: site.yml:5:19: with_lines the controller is out of reach here`},
		{`with_env: HOME`, `[""]`},
	} {
		t.Run(test.loop, func(t *testing.T) {
			p, sources, found := loadFiles(t, map[string]string{
				"site.yml":    "- hosts: all\n  tasks:\n    - ping:\n\n      " + test.loop + "\n",
				"files/a.txt": "one\ntwo\n", "files/c.ini": "[s]\none = 1\ntwo: 2 and %(one)s\n", "templates/t.j2": "{{ users[0]['keys'] | length + 1 }} is {{ list[1][1] }}\n",
			})
			if p == nil {
				t.Fatal(report(nil, sources, found))
			}
			task := p.Plays[0].Stages[1].Steps[0].(*Task)
			items, err := task.Loop.Items(context.Background(), task.Scope((*scope.Scope)(nil).With(scope.PlayVars, variables)))
			var got string
			if err != nil {
				got = "error: " + err.Error()
			} else {
				plain, err := expression.Plain(context.Background(), items)
				if err != nil {
					t.Fatal(err)
				}
				if list, ok := plain.([]any); ok && len(list) == 0 {
					plain = nil
				}
				data, err := json.Marshal(plain)
				if err != nil {
					t.Fatal(err)
				}
				got = string(data)
			}
			if !strings.HasPrefix(got, test.want) || !strings.HasPrefix(test.want, "error") && got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestUnknownLoop(t *testing.T) {
	task := first(t, "    - ping:\n      with_items: '{{ a }}'\n")
	_, err := task.Loop.Items(context.Background(), expression.Variables{"a": expression.Unknown{Reason: "r"}})
	if reason, ok := IsUnknown(err); !ok || reason != "r" {
		t.Error(err)
	}
}
