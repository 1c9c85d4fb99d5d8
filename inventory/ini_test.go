package inventory

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/diag"
)

func TestLiteral(t *testing.T) {
	for text, want := range map[string]any{
		"22": 22, "-3": -3, "0x1f": 31, "0644": "0644", "1_000": 1000, "1.5": 1.5, "1e3": 1000.0, "00": 0,
		"True": true, "False": false, "None": nil, "true": "true", "yes": "yes",
		"'a b'": "a b", `"a\tb"`: "a\tb", `'it\'s'`: "it's", "a b": "a b", "": "",
		"[1, 'x', True]": []any{1, "x", true}, "(1,)": []any{1}, "(1)": 1, "[]": []any{}, "()": []any{},
		"{'a': [1], 'b': {}}": map[string]any{"a": []any{1}, "b": map[string]any{}},
		"[1 2]":               "[1 2]", "{'a' 1}": "{'a' 1}", "{1: 2}": "{1: 2}", "[a]": "[a]", "'open": "'open",
		"5 # five": 5, "5 six": "5 six", "{{ x }}": "{{ x }}", "10.0.0.1": "10.0.0.1", "a=b": "a=b",
	} {
		if diff := cmp.Diff(want, literal(text)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
}

func TestExpandRanges(t *testing.T) {
	for text, want := range map[string][]string{
		"web":               {"web"},
		"web[1:3]":          {"web1", "web2", "web3"},
		"web[08:10]":        {"web08", "web09", "web10"},
		"web[1:9:4]":        {"web1", "web5", "web9"},
		"web[:2]":           {"web0", "web1", "web2"},
		"db-[a:c].x":        {"db-a.x", "db-b.x", "db-c.x"},
		"r[1:2]n[a:b]":      {"r1na", "r1nb", "r2na", "r2nb"},
		"[web:22":           nil,
		"web[3:1]":          nil,
		"web[01:100]":       nil,
		"web[1]":            nil,
		"web[1:x]":          nil,
		"web[1:3:0]":        nil,
		"web[0:999999]":     nil,
		"a[0:999]b[0:9999]": nil,
	} {
		got, err := expandRanges(text)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (want != nil) {
			t.Errorf("%q: %v (-want +got)\n%s", text, err, diff)
		}
	}
}

func TestSplitPort(t *testing.T) {
	for text, want := range map[string]struct {
		Name string
		Port int
	}{
		"web": {"web", 0}, "web:22": {"web", 22}, "web:0": {"web:0", 0}, "web:99999": {"web:99999", 0},
		"10.0.0.1:2222": {"10.0.0.1", 2222}, "::1": {"::1", 0}, "[::1]": {"::1", 0}, "[::1]:22": {"::1", 22},
		"web[1:3]": {"web[1:3]", 0}, "web[1:3]:22": {"web[1:3]", 22},
	} {
		name, port := splitPort(text)
		if name != want.Name || port != want.Port {
			t.Errorf("%q: got %q %d", text, name, port)
		}
	}
}

func FuzzINI(f *testing.F) {
	for _, seed := range []string{
		patternHosts, "a x=1 y='b c' # z\n[g:vars]\nk = v\n", "[g:children]\nh\n[h]\n", "[", "[a:b:c]", "h x='",
		"[g:vars]\nansible_group_priority=9", "h[1:2] ansible_port=x", "\ufeffa", "[::1]:22 a=b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l := &loader{ctx: context.Background(), sources: &diag.Sources{}, hosts: map[string]*Host{}, groups: map[string]*Group{}}
		l.all, l.ungrouped = l.group(allName, diag.Range{}), l.group(ungroupedName, diag.Range{})
		l.ini("hosts", text)
		inv := l.assemble(nil)
		l.settle(inv)
		l.checkConnections(inv)
		for _, h := range inv.hosts {
			if len(h.groups) == 0 {
				t.Errorf("%s is in no group, not even all", h.Name)
			}
		}
	})
}
