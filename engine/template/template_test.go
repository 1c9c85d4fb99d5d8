package template_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
)

var vars = expression.Variables{
	"name": "web", "n": 3, "yes": true, "nothing": nil, "list": []any{"a", "b", "c"},
	"d":     map[string]any{"x": 1, "y": 2},
	"tree":  []any{map[string]any{"name": "a", "kids": []any{map[string]any{"name": "b", "kids": []any{}}}}},
	"later": expression.Unknown{Reason: "task x"},
	"evil":  "{{ lookup('pipe', 'id') }}",
	"omit":  expression.Omitted{},
}

// files are templates by name.
type files map[string]string

func (f files) ReadTemplate(_ context.Context, name string) (string, string, error) {
	text, ok := f[name]
	if !ok {
		return "", "", fmt.Errorf("%w: '%s'", template.ErrNoTemplate, name)
	}
	return "templates/" + name, text, nil
}

var library = files{
	"base.j2":   "<{% block title %}base {{ n }}{% endblock %}|{% block body %}{% endblock %}|{% for i in list %}{% block item scoped %}{{ i }}{% endblock %}{% endfor %}>\n",
	"mid.j2":    "{% extends 'base.j2' %}{% set mark = 'M' %}{% block title %}mid {{ super() }}{% endblock %}lost{% block body %}{{ mark }}{% block inner %}i{% endblock %}{% endblock %}",
	"needs.j2":  "{% block must required %}{% endblock %}",
	"ring.j2":   "{% extends 'ring.j2' %}",
	"part.j2":   "[{{ name }} {{ inner | default('-') }}]",
	"macros.j2": "{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}{% set version = 2 %}",
	"self.j2":   "{% include 'self.j2' %}",
	"broken.j2": "line one\n{{ name | uper }}\n",
}

func TestRender(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"plain", "plain"},
		{"{{ name }}-{{ n + 1 }}", "web-4"},
		{"{{ nothing }}|{{ yes }}|{{ list }}", "|True|['a', 'b', 'c']"},
		{"a {# no #} b", "a  b"},
		{"{% if n > 2 %}big{% elif n %}some{% else %}none{% endif %}", "big"},
		{"{% for x in list %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% endfor %}", "1a,2b,3c"},
		{"{% for x in list %}{{ loop.index }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b,3c"},
		{"{% for x in [] %}{{ x }}{% else %}empty{% endfor %}", "empty"},
		{"{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "x=1;y=2;"},
		{"{% for x in list if x != 'b' %}{{ x }}{{ loop.length }}{% endfor %}", "a2c2"},
		{"{% for x in list %}{{ loop.cycle('o', 'e') }}{{ loop.revindex }}{{ loop.first }}{% endfor %}", "o3Truee2Falseo1False"},
		{"{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}", "True False True "},
		{"{% for t in tree recursive %}{{ t.name }}{{ loop.depth }}({{ loop(t.kids) }}){% endfor %}", "a1(b2())"},
		{"{% for x in list %}{{ loop.previtem | default('^') }}{{ loop.nextitem | default('$') }}{% endfor %}", "^bacb$"},
		{"{% set x = 1 %}{% for i in list %}{% set x = 2 %}{% endfor %}{{ x }}", "1"},
		{"{% set ns = namespace(x=0) %}{% for i in list %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}", "3"},
		{"{% set a, b = [1, 2] %}{{ a }}{{ b }}", "12"},
		{"{% set t %}x{{ n }}{% endset %}{{ t | upper }}", "X3"},
		{"{% set t | upper %}x{{ n }}{% endset %}{{ t }}", "X3"},
		{"{% if yes %}{% set z = 5 %}{% endif %}{{ z }}", "5"},
		{"{% macro m(a, b=2, c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, c=9) }} {{ m(b=4, a=3) }}", "122 129 344"},
		{"{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, x=2) }}", "[1]{'x': 2}"},
		{"{% macro fact(i) %}{{ i if i < 2 else i * (fact(i - 1) | int) }}{% endmacro %}{{ fact(5) }}", "120"},
		{"{% macro box() %}<{{ caller() }}>{% endmacro %}{% call box() %}in{{ n }}{% endcall %}", "<in3>"},
		{"{% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(x) each(list) %}-{{ x }}{% endcall %}", "-a-b-c"},
		{"{% filter upper | replace('A', 'x') %}a{{ name }}{% endfilter %}", "xWEB"},
		{"{% with a = 1, b = n %}{{ a + b }}{% endwith %}", "4"},
		{"{% block body %}in{% endblock body %}", "in"},
		{"a{% extends 'base.j2' %}b{{ n }}", "a<base 3||abc>"},
		{"{% extends 'base.j2' %}{% block title %}own {{ super() }}{% endblock %}", "<own base 3||abc>"},
		{"{% extends 'mid.j2' %}{% block inner %}I{{ self.title() }}{% endblock %}{% block item %}[{{ i }}]{% endblock %}", "<mid base 3|MImid base 3|[a][b][c]>"},
		{"{% extends 'mid.j2' %}{% block title %}{{ super() }}!{% endblock %}", "<mid base 3!|Mi|abc>"},
		{"{% set mark = 'x' %}{% extends 'mid.j2' %}{% block body %}{{ mark }}{% endblock %}", "<mid base 3|M|abc>"},
		{"{% block a %}{{ i is defined }}{% endblock %}{% for i in list %}{% block b %}{{ i is defined }}{% endblock %}{% endfor %}", "FalseFalseFalseFalse"},
		{"{% block a %}1{% endblock %}{{ self.a() }}{% include 'mid.j2' %}", "11<mid base 3|Mi|abc>"},
		{"{% raw %}{{ x }}{% y %}{% endraw %}!", "{{ x }}{% y %}!"},
		{"{{ '}}' }}{{ {'a': {'b': 1}}.a.b }}{{ \"{% x %}\" }}", "}}1{% x %}"},
		{"a  {{- n -}}  b", "a3b"},
		{"a \n{%- if yes -%}\n x \n{%- endif %} b", "ax b"},
		{"{% if yes %}\nx\n{% endif %}\ny\n", "x\ny\n"},
		{"{% if yes +%}\nx{% endif %}", "\nx"},
		{"{# c #}\nx", "x"},
		{"  {% if yes %}\nx{% endif %}", "  x"},
		{"{{ n }}\nx", "3\nx"},
		{"a\r\nb", "a\nb"},
		{"{% for x in 'ab' %}\n{{ x }}\n{% endfor %}\n", "a\nb\n"},
		{"{% include 'part.j2' %}", "[web -]"},
		{"{% for inner in [1, 2] %}{% include 'part.j2' %}{% endfor %}", "[web 1][web 2]"},
		{"{% include 'none.j2' ignore missing %}x", "x"},
		{"{% include ['none.j2', 'part.j2'] %}", "[web -]"},
		{"{% import 'macros.j2' as m %}{{ m.bold(n) }}{{ m.version }}", "<b>3</b>2"},
		{"{% from 'macros.j2' import bold as b, version %}{{ b('x') }}{{ version }}", "<b>x</b>2"},
		{"{% set j = joiner('|') %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}", "a|b|c"},
		{"{{ evil }}", "{{ lookup('pipe', 'id') }}"},
		{"#jinja2: trim_blocks: False, lstrip_blocks: True\n  {% if yes %}\nx{% endif %}", "\nx"},
		{"#jinja2: variable_start_string: '[[', variable_end_string: ']]'\n[[ n ]]{{ x }}", "3{{ x }}"},
		{"#jinja2: newline_sequence: '\\r\\n'\n{% if yes %}\na\n{% endif %}b\n\n", "a\r\nb\r\n\r\n"},
		{"{% for x in list recursive %}{{ x }}{% endfor %}", "abc"},
		{"{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}", "12"},
		{"{{ range(3) | join(',') }} {{ 'a' ~ 'b' }} {{ 1, 2 }}", "0,1,2 ab [1, 2]"},
	} {
		t.Run(test.text, func(t *testing.T) {
			compiled, err := template.Compile(expression.Builtins(), test.text, diag.InText("t.j2", test.text), template.ForFiles(library))
			if err != nil {
				t.Fatal(err)
			}
			got, unknown, err := compiled.Render(t.Context(), vars)
			if test.want == "" {
				if err == nil {
					t.Fatalf("no error, but %q", got)
				}
				return
			}
			if err != nil || unknown != nil {
				t.Fatal(unknown, err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestUnknown(t *testing.T) {
	for text, known := range map[string]bool{
		"{{ later }}": false, "{% if later %}a{% endif %}": false, "{% for x in later %}a{% endfor %}": false, "{% for x in list if later %}a{% endfor %}": false,
		"{% if yes %}a{% else %}{{ later }}{% endif %}": true, "{{ later is defined }}": true, "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(later) }}": false,
		"{% set x = later %}y": true, "{% filter upper %}{{ later }}{% endfilter %}": false,
	} {
		compiled, err := template.Compile(expression.Builtins(), text, nil, template.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, unknown, err := compiled.Render(t.Context(), vars)
		if err != nil || (unknown == nil) != known {
			t.Errorf("%s: unknown %v, error %v", text, unknown, err)
		}
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"a\n{{ name | uper }}":         `t.j2:2:11: there is no filter "uper" (did you mean "upper"?)`,
		"a\n {{ boom }}":               "t.j2:2:5: 'boom' is undefined",
		"{% if %}x{% endif %}":         "t.j2:1:7: the expression is empty",
		"{% if yes %}x":                "t.j2:1:3: 'if' is not closed ({% endif %} is missing)",
		"{% forr x in y %}":            `t.j2:1:3: there is no statement 'forr' (did you mean "for"?)`,
		"{{ name":                      "t.j2:1:1: '{{' is not closed ('}}' is missing)",
		"{# x":                         "t.j2:1:1: the comment is not closed ('#}' is missing)",
		"x{{ 'a }}":                    "t.j2:1:5: the string is not closed (a ' is missing)",
		"{% endif %}":                  "t.j2:1:3: 'endif' closes nothing here",
		"{% for x in y %}{% endif %}":  "t.j2:1:19: 'endif' closes nothing here (expected else or endfor)",
		"{% for x %}{% endfor %}":      "t.j2:1:3: 'in' is missing ({% for item in list %})",
		"{% for x in n %}{% endfor %}": "t.j2:1:12: expected a list, found an integer",
		"{% include 'none.j2' %}":      "t.j2:1:3: there is no such template: 'none.j2'",
		"{% include 'broken.j2' %}":    `templates/broken.j2:2:11: there is no filter "uper" (did you mean "upper"?)`,
		"{% include 'self.j2' %}":      "templates/self.j2:1:3: templates include each other more than 100 levels deep",
		"{% extends 'x' %}":            "t.j2:1:3: there is no such template: 'x'",
		"{% if yes %}{% extends 'base.j2' %}{% endif %}":         "t.j2:1:15: 'extends' within another statement is not supported (write it at the top of the template)",
		"{% extends 'base.j2' %}{% extends 'base.j2' %}":         "t.j2:1:26: the template extends another one already",
		"{% extends 'ring.j2' %}":                                "templates/ring.j2:1:3: templates include each other more than 100 levels deep",
		"{% extends 'needs.j2' %}":                               "templates/needs.j2:1:3: the block 'must' is required, and no template gives it",
		"{% block a %}{% endblock %}{% block a %}{% endblock %}": "t.j2:1:30: the block 'a' is there twice",
		"{% block a %}{{ self.a() }}{% endblock %}":              "t.j2:1:3: blocks call each other more than 100 levels deep",
		"{% block a %}{{ super() }}{% endblock %}":               "t.j2:1:17: 'super' is undefined",
		"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}":        "t.j2:1:19: the macro 'm' is called more than 100 levels deep",
		"{% set ns.x = 1 %}":                                     "t.j2:1:3: 'ns' is no namespace, so its entries cannot be set ({% set ns = namespace() %})",
		"{% for a, b in list %}{% endfor %}":                     "t.j2:1:3: 2 names are set from a value that does not have 2 items",
		"{% macro m(a) %}{{ a }}{% endmacro %}{{ m() }}":         "t.j2:1:20: 'a' is undefined",
		"{% raw %}x":                             "t.j2:1:1: 'raw' is not closed ({% endraw %} is missing)",
		"{{ }}":                                  "t.j2:1:4: the expression is empty",
		"{% from 'macros.j2' import nope %}":     "t.j2:1:3: the template has no 'nope' to import",
		"#jinja2: line_statement_prefix: '%'\nx": "t.j2:1:1: the option 'line_statement_prefix': it is not supported",
	} {
		t.Run(text, func(t *testing.T) {
			compiled, err := template.Compile(expression.Builtins(), text, diag.InText("t.j2", text), template.ForFiles(library))
			if err == nil {
				_, _, err = compiled.Render(t.Context(), vars)
			}
			if err == nil {
				t.Fatal("no error")
			}
			if _, ok := errors.AsType[diag.Diagnostic](err); !ok {
				t.Errorf("%T is no diagnostic", err)
			}
			if !strings.HasPrefix(err.Error(), want) {
				t.Errorf("said %s\nwant %s", err, want)
			}
		})
	}
}

func TestValue(t *testing.T) {
	const text = `
number: "{{ n }}"
text: "n={{ n }}"
list: "{{ list }}"
literal: "[{{ n }}, 'x']"
bool: "{% if yes %}True{% else %}False{% endif %}"
section: "[{{ name }}]"
block: |
  a {{ n }}
  {% if yes %}b{% endif %}
unsafe: !unsafe "{{ n }}"
nested:
  - "{{ name }}": ["{{ n + 1 }}", plain, 0644]
"{{ name }}_key": yes
json: '{"a": {{ n }}}'
written: "{{ list | to_json }}"
line: "{{ list | to_json }}\n"
evil: "{{ evil }}"
gone: "{{ omit }}"
unknown: "{{ later }}"
part: "x {{ later }}"
date: 2001-12-14
regex: "{{ 'a1' | regex_replace('([a-z])', '\\1-') }}"
mixed: "x{{ 'a\\b' }}"
`
	node, err := syntax.Parse("v.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	value, err := template.CompileValue(expression.Builtins(), node)
	if err != nil {
		t.Fatal(err)
	}
	got, err := value.RenderPlain(t.Context(), vars)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"number": 3, "text": "n=3", "list": []any{"a", "b", "c"}, "literal": []any{3, "x"}, "bool": true, "section": "[web]",
		"block": "a 3\nb\n", "unsafe": "{{ n }}", "nested": []any{map[string]any{"web": []any{4, "plain", 420}}}, "web_key": true,
		"json": map[string]any{"a": 3}, "evil": "{{ lookup('pipe', 'id') }}", "unknown": vars["later"], "part": vars["later"], "date": "2001-12-14", "regex": "a-1", "mixed": `xa\b`,
		"written": `["a", "b", "c"]`, "line": "[\"a\", \"b\", \"c\"]\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"evil", "later", "list", "n", "name", "omit", "yes"}, value.Variables()); diff != "" {
		t.Errorf("variables (-want +got)\n%s", diff)
	}
}

// TestValueFaults shows that all faults of a value come at once, each with its
// place inside the YAML scalar.
func TestValueFaults(t *testing.T) {
	const text = `a: "{{ n | uper }}"
b:
  - 'it''s {{ n | lenth }}'
c: |
  one
    {{ 1 + }}
d: >-
  folded
  text {{ x is defind }}
`
	node, err := syntax.Parse("v.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	_, err = template.CompileValue(expression.Builtins(), node)
	faults, ok := errors.AsType[diag.List](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, fault := range faults {
		got = append(got, fault.Error())
	}
	want := []string{
		`v.yml:1:12: there is no filter "uper" (did you mean "upper"?)`,
		`v.yml:3:19: there is no filter "lenth" (did you mean "length"?)`,
		`v.yml:6:12: the expression ends too early`,
		`v.yml:9:16: there is no test "defind" (did you mean "defined"?)`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
