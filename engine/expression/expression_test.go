package expression_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

var vars = expression.Variables{
	"name": "web01", "n": 7, "f": 2.5, "yes": true, "no": false, "nothing": nil, "empty": "",
	"list":   []any{3, 1, 2},
	"words":  []any{"b", "A", "c"},
	"d":      map[string]any{"a": 1, "b": map[string]any{"c": "deep"}},
	"users":  []any{map[string]any{"name": "ann", "age": 30, "groups": []any{"adm", "dev"}}, map[string]any{"name": "bob", "age": 25, "groups": []any{"dev"}}},
	"result": map[string]any{"changed": true, "rc": 0, "stdout": "a\nb", "stdout_lines": []any{"a", "b"}},
	"evil":   "{{ lookup('pipe', 'id') }}",
	"later":  expression.Unknown{Reason: "the result of task “x”"},
}

func evaluate(t *testing.T, source string) (any, error) {
	t.Helper()
	e, err := expression.Builtins().Compile(source, diag.InText("test.yml", source))
	if err != nil {
		return nil, err
	}
	value, err := e.Evaluate(t.Context(), vars)
	if err != nil {
		return nil, err
	}
	return expression.Plain(t.Context(), value)
}

func TestEvaluate(t *testing.T) {
	type list = []any
	type dict = map[string]any
	for source, want := range map[string]any{
		// literals
		"5": 5, "1_000": 1000, "0x1f": 31, "1.5": 1.5, "1e3": 1000.0, "'a'": "a", `"a\n\x41\u00e9\q"`: "a\nAé\\q",
		"'a' 'b'": "ab", "true": true, "None": nil, "[1, 'a', [2]]": list{1, "a", list{2}}, "(1, 2)": list{1, 2}, "1, 2": list{1, 2},
		"{'a': 1, 2: 'b'}": dict{"a": 1, "2": "b"}, "[]": list{}, "{}": dict{}, "()": list{}, "(1)": 1,
		// arithmetic as in Python
		"1 + 2 * 3": 7, "7 // 2": 3, "-7 // 2": -4, "7 % 3": 1, "-7 % 3": 2, "7 % -3": -2, "7 / 2": 3.5, "4 / 2": 2.0, "2 ** 3": 8,
		"2 ** -1": 0.5, "2 ** 3 ** 2": 64, "-2 ** 2": 4, "7.5 // 2": 3.0, "-7.5 % 2": 0.5, "'ab' * 2": "abab", "[1] + [2]": list{1, 2},
		"'a' + 'b'": "ab", "true + 1": 2, "1 ~ 2": "12", "n ~ '-' ~ name": "7-web01", "none ~ true": "NoneTrue",
		"'%s is %03d' % ['x', 7]": "x is 007", "'%.2f' % 1.005": "1.00", "'%(a)s' % d": "1", "n // 2": 3,
		// comparison
		"1 < 2 < 3": true, "1 < 3 < 2": false, "1 == 1.0": true, "true == 1": true, "'a' == 1": false, "'a' < 'b'": true, "[1, 2] < [1, 3]": true,
		"'b' in 'abc'": true, "2 in list": true, "9 not in list": true, "'a' in d": true, "not 1 == 2": true, "'1' == 1": false,
		// logic gives the deciding value
		"0 or 'x'": "x", "'a' and 'b'": "b", "'' and boom": "", "1 or boom": 1, "not ''": true, "no or n": 7,
		"'y' if yes else boom": "y", "boom if no else 'z'": "z", "1 if no else 2 if no else 3": 3,
		// access
		"d.b.c": "deep", "d['b']['c']": "deep", "d['b'].c": "deep", "list[0]": 3, "list[-1]": 2, "list[1:]": list{1, 2}, "list[::-1]": list{2, 1, 3},
		"list[:2]": list{3, 1}, "name[0]": "w", "name[3:]": "01", "name[::2]": "wb1", "users[0].groups[1]": "dev", "users.1.name": "bob", "list[9:]": list{},
		"list[-2:]": list{1, 2}, "name[-2:]": "01", "list[5:0:-1]": list{2, 1},
		// methods
		"'a,b'.split(',')": list{"a", "b"}, "' a  b '.split()": list{"a", "b"}, "'a b c'.split(' ', 1)": list{"a", "b c"}, "'a b c'.rsplit(' ', 1)": list{"a b", "c"},
		"name.startswith('web')": true, "name.upper()": "WEB01", "name.replace('0', '')": "web1", "','.join(words)": "b,A,c", "'x'.zfill(3)": "00x",
		"d.get('z', 5)": 5, "d.keys() | list": list{"a", "b"}, "d.items() | list": list{list{"a", 1}, list{"b", dict{"c": "deep"}}},
		"'{} {0} {x}'.format(1, x=2) if false else '{0}-{x:>4}'.format(1, x=2)": "1-   2", "'{:.2f}'.format(3.14159)": "3.14", "'{:,}'.format(1234567)": "1,234,567",
		"'abc'.find('c')": 2, "'a.b.c'.rpartition('.')": list{"a.b", ".", "c"}, "'  x '.strip()": "x", "'xxaxx'.strip('x')": "a", "'Ab'.swapcase()": "aB",
		// tests
		"name is defined": true, "boom is defined": false, "boom is not defined": true, "boom.a.b is undefined": true, "d.z is defined": false,
		"nothing is none": true, "nothing is not none": false, "n is odd": true, "n is divisibleby 7": true, "n is divisibleby(2)": false,
		"result is changed": true, "result is failed": false, "result is succeeded": true, "result is success and n == 7": true, "name is match('web')": true,
		"name is search('0')": true, "name is match('eb')": false, "'1.10' is version('1.9', '>')": true, "'1.2.3' is version('1.2', '>=')": true,
		"[1] is subset list": true, "list is superset([1])": true, "list is contains 1": true, "1 is in list": true, "n is number": true, "name is string": true,
		"d is mapping": true, "'' is falsy": true, "'no' is truthy(convert_bool=true)": false, "name is regex('^w.*1$')": true, "list is sequence": true,
		"'1.0.0-rc1' is version('1.0.0', '<', version_type='semver')": true, "'1.0rc1' is version('1.0', '<', version_type='pep440')": true,
		"'1.0.post1' is version('1.0', '>', version_type='pep440')": true, "'1.0.dev1' is version('1.0a1', '<', version_type='pep440')": true,
		// filters
		"boom | default('x')": "x", "boom.a | d('x')": "x", "empty | default('x')": "", "empty | default('x', true)": "x", "nothing | default('x', boolean=True)": "x",
		"'5' | int + 1": 6, "'5.9' | int": 5, "'x' | int(3)": 3, "'ff' | int(base=16)": 255, "'1.5' | float": 1.5, "'yes' | bool": true, "'nope' | bool": false, "1 | bool": true,
		"list | sort": list{1, 2, 3}, "list | sort(reverse=true) | first": 3, "list | max": 3, "list | min": 1, "list | sum": 6, "words | sort": list{"A", "b", "c"},
		"words | sort(case_sensitive=true)": list{"A", "b", "c"}, "list | length": 3, "users | map(attribute='name') | list": list{"ann", "bob"},
		"users | map(attribute='x', default='y') | list": list{"y", "y"}, "words | map('upper') | join('-')": "B-A-C", "users | selectattr('age', '>', 26) | map(attribute='name') | first": "ann",
		"users | rejectattr('age', 'lt', 26) | list | length": 1, "list | select('odd') | list": list{3, 1}, "list | reject('equalto', 1) | list": list{3, 2}, "[1, '', 0, 2] | select | list": list{1, 2},
		"users | sum(attribute='age')": 55, "users | groupby('age') | map('first') | list": list{25, 30}, "[1, 2, 3] | batch(2) | list": list{list{1, 2}, list{3}}, "[1, 2, 3] | batch(2, 0) | list": list{list{1, 2}, list{3, 0}},
		"[1, 2, 3] | slice(2) | list": list{list{1, 2}, list{3}}, "[1, 1.0, 'a', 'a'] | unique": list{1, "a"}, "[1, 2] | union([2, 3])": list{1, 2, 3}, "[1, 2] | intersect([2, 3])": list{2}, "[1, 2] | difference([2])": list{1},
		"[1, 2] | symmetric_difference([2, 3])": list{1, 3}, "[1, 2] | zip(['a', 'b']) | list": list{list{1, "a"}, list{2, "b"}}, "[1, 2, 3] | zip_longest('ab', fillvalue='-') | last": list{3, "-"}, "[1, [2, [3]]] | flatten": list{1, 2, 3}, "[1, [2, [3]]] | flatten(levels=1)": list{1, 2, list{3}},
		"{'a': 1} | combine({'b': 2}, {'a': 3})": dict{"a": 3, "b": 2}, "{'a': {'x': 1}} | combine({'a': {'y': 2}}, recursive=true)": dict{"a": dict{"x": 1, "y": 2}},
		"{'z': 1, 'a': 2} | dict2items | map(attribute='key') | list": list{"z", "a"}, "[{'key': 'a', 'value': 1}] | items2dict": dict{"a": 1}, "{'b': 1, 'a': 2} | dictsort": list{list{"a", 2}, list{"b", 1}},
		"'a b' | quote": "'a b'", "'it''s' | upper": "ITS", "'/a/b.c' | basename": "b.c", "'/a/b.c' | dirname": "/a", "'/a/b.tar.gz' | splitext": list{"/a/b.tar", ".gz"}, "['/a', 'b', '/c', 'd'] | path_join": "/c/d",
		"'a1b2' | regex_replace('[0-9]', '<\\\\g<0>>')": "a<1>b<2>", "'foobar' | regex_replace('(?P<x>o+)b', '\\\\g<x>-')": "foo-ar", "'ab12' | regex_search('[0-9]+')": "12", "'ab12' | regex_search('([a-z])([0-9])', '\\\\2', '\\\\1')": list{"1", "b"}, "'x' | regex_search('y')": nil,
		"'a1 b2' | regex_findall('([a-z])([0-9])')": list{list{"a", "1"}, list{"b", "2"}}, "'a.b*' | regex_escape": "a\\.b\\*", "'foobar' | regex_search('foo(?=bar)')": "foo", "'ABC' | regex_findall('b', ignorecase=true)": list{"B"},
		"'hi' | b64encode": "aGk=", "'aGk=' | b64decode": "hi", "'x' | hash('md5')": "9dd4e461268c8034f5c8564e155c67a6", "'x' | checksum": "11f6ad8ec52a2984abaafd7c3b516503785c2072", "'x' | to_uuid": "66b2f013-1baa-5313-9c8c-e6f1182e0e90",
		"{'b': [1, none], 'a': 'é'} | to_json": `{"b": [1, null], "a": "\u00e9"}`, `'{"b": 1, "a": [1.5, null]}' | from_json`: dict{"b": 1, "a": list{1.5, nil}}, "'a: [1, yes]' | from_yaml": dict{"a": list{1, true}},
		"{'b': 1, 'a': []} | to_nice_json": "{\n    \"a\": [],\n    \"b\": 1\n}", "yes | ternary('a', 'b')": "a", "nothing | ternary(1, 2, 3)": 3, "n | type_debug": "int", "'x' | comment": "#\n# x\n#",
		"1048576 | human_readable": "1.00 MB", "'1MB' | human_to_bytes": 1048576, "'a\nb' | indent(2)": "a\n  b", "2.5 | round": 2.0, "3.14159 | round(2)": 3.14, "2.1 | round(0, 'ceil')": 3.0, "-3 | abs": 3,
		"'%s-%s' | format(1, 'a')": "1-a", "'one two' | wordcount": 2, "[1, 2] | product('ab') | list | length": 4, "['a', 'x'] | map('extract', {'a': 1, 'x': 2}) | list": list{1, 2}, "users | subelements('groups') | length": 3,
		"'hello world' | title": "Hello World", "'hELLO' | capitalize": "Hello", "' x ' | trim": "x", "'a-b' | replace('-', '_')": "a_b", "'abc' | list": list{"a", "b", "c"}, "'abc' | reverse": "cba", "'a,b' | split(',')": list{"a", "b"},
		"list | string": "[3, 1, 2]", "{'a': none} | string": "{'a': None}", "\"it's\" | list | length": 4, "[\"it's\"] | string": `["it's"]`, "1.0 | string": "1.0", "1e16 | string": "1e+16", "'a' | ansible.builtin.upper": "A",
		"range(3) | list": list{0, 1, 2}, "range(5, 1, -2) | list": list{5, 3}, "dict(a=1, b=2)": dict{"a": 1, "b": 2}, "dict([['a', 1]])": dict{"a": 1}, "'abcdef' | truncate(5, true, '', 0)": "abcde",
		"[3, 1] | sort | list + [9]": list{1, 3, 9}, "1 + 2 | abs": 3, "-3 | abs + 1": 4, "[[1, 2], [3]] | map('sum') | list": list{3, 3}, "{'a': 1}.a": 1, "'http://u:p@h:80/x?q=1#f' | urlsplit('port')": 80, "'a b/c' | urlencode": "a%20b/c",
		// expr's own functions stay in reach
		"len(list)": 3, "toJSON(list) | from_json": list{3, 1, 2}, "ceil(1.5)": 2.0,
		// text from a host is only ever text
		"evil": "{{ lookup('pipe', 'id') }}", "evil ~ '!'": "{{ lookup('pipe', 'id') }}!",
	} {
		t.Run(source, func(t *testing.T) {
			got, err := evaluate(t, source)
			if err != nil {
				t.Fatalf("%v", err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestUnknownSpreads(t *testing.T) {
	for source, want := range map[string]any{
		"later": "unknown", "later.rc == 0": "unknown", "later | default('x')": "unknown", "later is changed": "unknown", "later is defined": true,
		"later ~ 'x'": "unknown", "[later] | length": "unknown", "later and no": "unknown", "no and later": false, "yes or later": true, "not later": "unknown",
		"1 if later else 2": "unknown", "1 if yes else later": 1, "n == 7 or later": true, "later[0]": "unknown", "n in [1, later]": "unknown", "7 in [7, later]": true,
		"later.stdout | trim | int > 3": "unknown", "later is not changed": "unknown", "'x' is in later": "unknown", "dict(a=later)": "unknown",
	} {
		t.Run(source, func(t *testing.T) {
			got, err := evaluate(t, source)
			if err != nil {
				t.Fatal(err)
			}
			if _, unknown := got.(expression.Unknown); unknown {
				got = "unknown"
			}
			if got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// TestFaults gives wrong expressions and what is said of them: the place of the
// fault in angle brackets, the summary and the hint.
func TestFaults(t *testing.T) {
	for marked, want := range map[string]string{
		"1 + «boom»":                          "'boom' is undefined",
		"«d.bb».c":                            "'d.bb' is undefined",
		"«usrs» | length":                     "'usrs' is undefined; did you mean \"users\"?",
		"name | «uper»":                       `there is no filter "uper"; did you mean "upper"?`,
		"name is «defind»":                    `there is no test "defind"; did you mean "defined"?`,
		"«lenght»(name)":                      `there is no function "lenght"`,
		"«list[7]»":                           "'list[7]' is undefined; the list has 3 items",
		"«name + 1»":                          "'+' does not work on a string and an integer; use ~ to join text, or | int to count with it",
		"«n / 0»":                             "division by zero",
		"«n < name»":                          "an integer and a string cannot be ordered",
		"n «=» 7":                             "unexpected '='; write == to compare",
		"n «&»& yes":                          `unexpected character '&'; write "and" instead of "&&"`,
		"(1 + 2«»":                            "expected ')', found the end of the expression",
		"«'abc»":                              "the string is not closed; a ' is missing",
		"«{{ n }} == 7»":                      "an expression is written here without {{ }}",
		"1 +«»":                               "the expression ends too early",
		"n «m»":                               "unexpected 'm'; an operator is missing between two names",
		"name | «default(defualt='x')»":       `the filter "default": unknown argument "defualt"`,
		"name | «replace('a')»":               `the filter "replace": the argument "new" is missing`,
		"users | «map('uper')»":               `the filter "map": there is no filter "uper"; did you mean "upper"?`,
		"name | «regex_search('(')»":          `the filter "regex_search": the regular expression '(': missing closing ) in ` + "`(`",
		"«name.uper()»":                       "a string has no method 'uper'; did you mean \"upper\"?",
		"«list.append(4)»":                    "'append' would change a value, and values do not change here; use list + [value]",
		"users | map(attribute='«»x') | list": "'x' is undefined",
		"boom | «mandatory»":                  "the mandatory variable 'boom' is not defined",
		"«0644»":                              "0644 begins with a zero; write 0o644 for an octal number, or '0644' for text",
		"n | «int» | «»upper(1)":              `the filter "upper": it takes no arguments`,
	} {
		t.Run(marked, func(t *testing.T) {
			source := strings.NewReplacer("«", "", "»", "").Replace(marked)
			_, err := evaluate(t, source)
			if err == nil {
				t.Fatal("no error")
			}
			d, ok := errors.AsType[diag.Diagnostic](err)
			if !ok {
				t.Fatalf("%T is no diagnostic: %v", err, err)
			}
			said := d.Summary
			if d.Hint != "" {
				said += "; " + d.Hint
			}
			if !strings.HasPrefix(said, want) {
				t.Errorf("said %s\nwant %s", said, want)
			}
			if strings.Count(marked, "«") == 1 && !strings.Contains(marked, "«»") {
				runes := []rune(source)
				got := string(runes[d.Range.Start.Column-1 : d.Range.End.Column-1])
				_, rest, _ := strings.Cut(marked, "«")
				if place, _, _ := strings.Cut(rest, "»"); got != place {
					t.Errorf("points at %q, want %q", got, place)
				}
			}
		})
	}
}

func TestCancel(t *testing.T) {
	e, err := expression.Builtins().Compile("list | sort", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Evaluate(ctx, vars); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	for _, source := range []string{"n == 7", "result is changed and name.startswith('web')", "users | selectattr('age', '>', 26) | map(attribute='name') | list"} {
		b.Run(source, func(b *testing.B) {
			e, err := expression.Builtins().Compile(source, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Evaluate(b.Context(), vars); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := expression.Builtins().Compile("result is changed and name.startswith('web')", nil); err != nil {
			b.Fatal(err)
		}
	}
}
