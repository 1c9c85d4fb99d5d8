package scope

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/inventory"
)

// compile reads YAML variables.
func compile(t testing.TB, file, text string) *Vars {
	t.Helper()
	node, err := syntax.Parse(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	vars, found := Compile(expression.Builtins(), node)
	if len(found) > 0 {
		t.Fatal(found)
	}
	return vars
}

func lookup(t testing.TB, s *Scope, name string) any {
	t.Helper()
	value, ok, err := s.Lookup(context.Background(), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !ok {
		return "(nothing)"
	}
	plain, err := expression.Plain(context.Background(), value)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func eval(t testing.TB, s *Scope, source string) any {
	t.Helper()
	e, err := expression.Builtins().Compile(source, nil)
	if err != nil {
		t.Fatal(err)
	}
	value, err := e.Evaluate(context.Background(), s)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	plain, err := expression.Plain(context.Background(), value)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// testRun is a run on an inventory given as files.
func testRun(t testing.TB, files map[string]string, o Options) *Run {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	inv, found := inventory.Load(context.Background(), []string{filepath.Join(dir, "hosts")}, inventory.Options{})
	if inv == nil {
		t.Fatal(found)
	}
	r, found := NewRun(expression.Builtins(), inv, o)
	if r == nil {
		t.Fatal(found)
	}
	return r
}

// TestPrecedence holds every pair of levels against each other, pushed in either
// order: the higher counts. Among equals the inner one does.
func TestPrecedence(t *testing.T) {
	levels := []Level{
		RoleDefaults, InventoryHost, Facts, PlayVars, PlayVarsFiles, RoleVars, BlockVars, TaskVars, IncludeVars,
		Registered, RoleParams, IncludeParams, ExtraVars, Magic, LoopVars,
	}
	push := func(s *Scope, level Level, value string) *Scope {
		return s.With(level, Plain(map[string]any{"v": value}, diag.Range{File: value}))
	}
	for i, strong := range levels {
		for _, weak := range levels[:i] {
			for _, s := range []*Scope{
				push(push(nil, strong, "strong"), weak, "weak"),
				push(push(nil, weak, "weak"), strong, "strong"),
			} {
				level, at, _ := s.Where("v")
				if got := lookup(t, s, "v"); got != "strong" || level != strong || at.File != "strong" {
					t.Errorf("%s over %s: got %v at level %v", strong, weak, got, level)
				}
			}
		}
		s := push(push(nil, strong, "outer"), strong, "inner")
		if got := lookup(t, s, "v"); got != "inner" {
			t.Errorf("two of %s: got %v", strong, got)
		}
	}
}

// TestPrecedenceLaw compares a chain of frames with the plain idea of it: sort
// the layers by level, stably, and let each overwrite the one before.
func TestPrecedenceLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c"}
		type layer struct {
			level Level
			vars  map[string]any
		}
		layers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) layer {
			l := layer{Level(rapid.IntRange(2, 24).Draw(t, "level")), map[string]any{}}
			for _, name := range names {
				if rapid.Bool().Draw(t, name) {
					l.vars[name] = rapid.IntRange(0, 1000).Draw(t, "value")
				}
			}
			return l
		}), 0, 12).Draw(t, "layers")

		var s *Scope
		for _, l := range layers {
			s = s.With(l.level, Plain(l.vars, diag.Range{}))
		}
		want := map[string]any{}
		for level := Level(2); level <= 24; level++ {
			for _, l := range layers {
				if l.level == level {
					for name, value := range l.vars {
						want[name] = value
					}
				}
			}
		}
		got := map[string]any{}
		for _, name := range names {
			if value, ok, _ := s.Lookup(context.Background(), name); ok {
				got[name] = value
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		if len(s.Names()) != len(want) {
			t.Fatalf("Names gives %v", s.Names())
		}
	})
}

func TestTemplatesAreRenderedByTheScopeThatAsks(t *testing.T) {
	play := (*Scope)(nil).With(PlayVars, compile(t, "play.yml", "url: 'http://{{ name }}:{{ port }}'\nport: 80\nname: a\nlist: ['{{ port }}', x]"))
	task := play.With(TaskVars, compile(t, "task.yml", "name: b"))
	if got := lookup(t, play, "url"); got != "http://a:80" {
		t.Error(got)
	}
	if got := lookup(t, task, "url"); got != "http://b:80" {
		t.Error(got)
	}
	if diff := cmp.Diff([]any{80, "x"}, lookup(t, task, "list")); diff != "" {
		t.Error(diff)
	}
}

func TestLoopsOfVariables(t *testing.T) {
	s := (*Scope)(nil).With(PlayVars, compile(t, "p.yml", "a: '{{ b }}'\nb: 'x{{ c }}'\nc: '{{ a }}'\nself: '{{ self }}'\nok: '{{ fine }}{{ fine }}'\nfine: 1"))
	_, _, err := s.Lookup(context.Background(), "a")
	if err == nil || !strings.Contains(err.Error(), "the variable a is made of itself: a → b → c → a") {
		t.Error(err)
	}
	_, _, err = s.Lookup(context.Background(), "self")
	if err == nil || !strings.Contains(err.Error(), "self → self") {
		t.Error(err)
	}
	if got := lookup(t, s, "ok"); got != "11" && got != 11 {
		t.Error(got)
	}
}

func TestDeepChainsEnd(t *testing.T) {
	var text strings.Builder
	for i := range 2 * mostNested {
		fmt.Fprintf(&text, "v%d: '{{ v%d }}'\n", i, i+1)
	}
	s := (*Scope)(nil).With(PlayVars, compile(t, "p.yml", text.String()))
	if _, _, err := s.Lookup(context.Background(), "v0"); err == nil || !strings.Contains(err.Error(), "nested more than") {
		t.Error(err)
	}
	if got, ok, err := s.Lookup(context.Background(), fmt.Sprintf("v%d", 2*mostNested)); ok || err != nil {
		t.Error(got, err)
	}
}

const hosts = `
[web]
web1.example.org port=80 url="http://{{ inventory_hostname }}:{{ port }}"
web2.example.org port=81 peer="{{ hostvars['web1.example.org'].url }}"
[db]
db1
[web:vars]
other="{{ hostvars[groups.web | difference([inventory_hostname]) | first].port }}"
ring="{{ hostvars[groups.web | difference([inventory_hostname]) | first].ring }}"
`

func TestMagicVariables(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": hosts}, Options{
		Check: true, PlaybookDir: "site", Extra: compile(t, "-e", "extra: 1"), Magic: map[string]any{"ansible_run_tags": []any{"all"}},
	})
	p, err := r.Play(PlayOptions{Name: "P", Hosts: []string{"web1.example.org", "db1"}, Roles: []string{"r"}})
	if err != nil {
		t.Fatal(err)
	}
	s := p.Scope("web1.example.org")
	for name, want := range map[string]any{
		"inventory_hostname": "web1.example.org", "inventory_hostname_short": "web1", "group_names": []any{"web"},
		"ansible_check_mode": true, "ansible_diff_mode": false, "playbook_dir": "site", "extra": 1,
		"ansible_play_hosts": []any{"web1.example.org", "db1"}, "ansible_play_hosts_all": []any{"web1.example.org", "db1"},
		"play_hosts": []any{"web1.example.org", "db1"}, "ansible_play_batch": []any{"web1.example.org", "db1"},
		"ansible_play_name": "P", "ansible_play_role_names": []any{"r"}, "ansible_run_tags": []any{"all"},
		"url": "http://web1.example.org:80", "other": "81", "nothing": "(nothing)",
	} {
		got := lookup(t, s, name)
		if name == "other" {
			got = fmt.Sprint(got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	for source, want := range map[string]any{
		"groups.web | length": 2, "groups.all | sort | first": "db1", "hostvars['db1'].group_names": []any{"db"},
		"hostvars['web2.example.org'].peer": "http://web1.example.org:80", "hostvars.db1.port is defined": false,
		"hostvars['nobody'] is defined": false, "hostvars | list | length": 3, "vars['extra']": 1,
		"groups['web'] | map('extract', hostvars) | map(attribute='port') | list": []any{80, 81},
		"hostvars['localhost'].ansible_connection":                                "local",
	} {
		if diff := cmp.Diff(want, eval(t, s, source)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", source, diff)
		}
	}
	p.SetHosts([]string{"db1"}, nil)
	if diff := cmp.Diff([]any{"db1"}, lookup(t, s, "ansible_play_hosts")); diff != "" {
		t.Error(diff)
	}
	if p.Scope("web2.example.org") != nil {
		t.Error("a host outside of the play has a scope in it")
	}
	if _, err := r.Play(PlayOptions{Hosts: []string{"nobody"}}); err == nil {
		t.Error("a play opened with a host that is not there")
	}
}

func TestRingThroughHostvars(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": hosts}, Options{})
	h, _ := r.Host("web1.example.org")
	_, _, err := h.Scope().Lookup(context.Background(), "ring")
	if err == nil || !strings.Contains(err.Error(), "ring → ring → ring") {
		t.Error(err)
	}
}

// What a host returned is never a template here.
func TestHostsAreNotTrusted(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": hosts}, Options{})
	h, _ := r.Host("db1")
	const evil = "{{ lookup('pipe', 'id') }}{% if %}"
	h.Register("out", map[string]any{"stdout": evil}, diag.Range{})
	h.SetFacts(map[string]any{"ansible_evil": evil, "list": []any{evil}}, diag.Range{})
	h.SetFact("fact", evil, true, diag.Range{})
	p, err := r.Play(PlayOptions{Hosts: []string{"db1"}, Layers: []Layer{{PlayVars, compile(t, "p.yml", "shown: 'got {{ out.stdout }}'\nalias: '{{ out.stdout }}'")}}})
	if err != nil {
		t.Fatal(err)
	}
	s := p.Scope("db1").With(LoopVars, Plain(map[string]any{"item": evil}, diag.Range{}))
	for source, want := range map[string]any{
		"out.stdout": evil, "ansible_facts.evil": evil, "ansible_evil": evil, "ansible_facts['list'][0]": evil, "fact": evil,
		"ansible_facts.fact": evil, "item": evil, "alias": evil, "shown": "got " + evil, "hostvars.db1.out.stdout": evil,
	} {
		if got := eval(t, s, source); got != want {
			t.Errorf("%s: got %v", source, got)
		}
	}
}

func TestFacts(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": "h distribution=x\n"}, Options{})
	h, _ := r.Host("h")
	if h.HasFacts() {
		t.Error("facts before any were set")
	}
	h.SetFacts(map[string]any{"distribution": "Debian"}, diag.Range{})
	if got := lookup(t, h.Scope(), "ansible_distribution"); got != "Debian" || !h.HasFacts() {
		t.Error(got)
	}
	if level, _, _ := h.Scope().Where("ansible_distribution"); level != Facts {
		t.Error(level)
	}
	h.ClearFacts()
	if got := lookup(t, h.Scope(), "ansible_distribution"); got != "(nothing)" || h.HasFacts() {
		t.Error(got)
	}
	h.Include(compile(t, "i.yml", "a: 1\nb: '{{ a }}'"))
	if got := eval(t, h.Scope(), "a + b"); got != 2 {
		t.Error(got)
	}
	h.Register("a", 5, diag.Range{})
	if got := eval(t, h.Scope(), "a + b"); got != 10 {
		t.Error(got)
	}
}

func TestWhere(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": "[g]\nh a=1\n[g:vars]\na=2\nb=2\n", "group_vars/all.yml": "c: 3\n"}, Options{})
	h, _ := r.Host("h")
	for name, want := range map[string]struct {
		level Level
		place string
	}{"a": {InventoryHost, "hosts:2:3"}, "b": {InventoryGroup, "hosts:5:1"}, "c": {InventoryGroupVarsAll, "all.yml:1:1"}} {
		level, at, ok := h.Scope().Where(name)
		if !ok || level != want.level || !strings.HasSuffix(at.String(), want.place) {
			t.Errorf("%s: got %v %v", name, level, at)
		}
	}
	if _, _, ok := h.Scope().Where("z"); ok {
		t.Error("z is somewhere")
	}
}

func TestConnection(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": "h ansible_host='10.0.0.{{ n }}' ansible_port='{{ bad }}' n=7\n"}, Options{})
	h, _ := r.Host("h")
	s := h.Scope().With(TaskVars, compile(t, "t.yml", "bad: 22"))
	c, err := s.Connection(context.Background(), "h")
	if err != nil || c.Address != "10.0.0.7" || c.Port != 22 {
		t.Error(c, err)
	}
	if _, err = h.Scope().Connection(context.Background(), "h"); err == nil || !strings.Contains(err.Error(), "bad") {
		t.Error(err)
	}
}

func TestFaultsInVariablesComeTogether(t *testing.T) {
	node, err := syntax.Parse("p.yml", []byte("a: '{{ | }}'\n1b: 1\nin: 2\nc: ['{{ x', 1]\nfine: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	vars, found := Compile(expression.Builtins(), node)
	if len(found) != 4 || strings.Join(vars.Names(), " ") != "fine" {
		t.Error(vars.Names(), found)
	}
	node, _ = syntax.Parse("p.yml", []byte("[1]"))
	if _, found := Compile(expression.Builtins(), node); len(found) != 1 {
		t.Error(found)
	}
	if vars, found := Compile(expression.Builtins(), nil); vars.Len() != 0 || len(found) != 0 {
		t.Error(found)
	}
	if _, found := FromText(expression.Builtins(), map[string]any{"a-b": 1, "c": "{{ x"}, diag.Range{File: "-e"}); len(found) != 2 {
		t.Error(found)
	}
}

func TestVarsOver(t *testing.T) {
	under, over := compile(t, "u", "a: 1\nb: 1"), compile(t, "o", "b: 2\nc: '{{ a }}{{ z }}'")
	both := over.Over(under)
	s := (*Scope)(nil).With(PlayVars, both)
	if lookup(t, s, "a") != 1 || lookup(t, s, "b") != 2 {
		t.Error(both.Names())
	}
	if at, _ := both.Where("b"); at.File != "o" {
		t.Error(at)
	}
	if got := strings.Join(both.Uses(), " "); got != "a z" {
		t.Error(got)
	}
	if got := (*Vars)(nil).Over(under); got.Len() != 2 {
		t.Error(got.Names())
	}
	if (*Scope)(nil).With(PlayVars, nil) != nil {
		t.Error("no variables make a frame")
	}
}

func TestOmit(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": "h\n"}, Options{})
	value, _, err := r.Scope().Lookup(context.Background(), "omit")
	if err != nil || value != Omit {
		t.Fatal(value, err)
	}
	got, isOmit := WithoutOmitted(map[string]any{"a": Omit, "b": []any{1, Omit, map[string]any{"c": Omit}}})
	if diff := cmp.Diff(map[string]any{"b": []any{1, map[string]any{}}}, got); diff != "" || isOmit {
		t.Error(diff)
	}
	if _, isOmit := WithoutOmitted(Omit); !isOmit {
		t.Error("omit is not taken for omit")
	}
	s := r.Scope().With(PlayVars, compile(t, "p.yml", "o: '{{ nothing | default(omit) }}'"))
	if value, _, err := s.Lookup(context.Background(), "o"); err != nil || value != Omit {
		t.Error(value, err)
	}
}

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{"a": true, "_a1": true, "A": true, "1a": false, "a-b": false, "": false, "a b": false, "in": false, "True": false, "é": false} {
		if (CheckName(name) == "") != good {
			t.Errorf("%q: %q", name, CheckName(name))
		}
	}
}

// Hosts work at the same time: each sets its own variables and reads others'.
func TestManyHostsAtOnce(t *testing.T) {
	r := testRun(t, map[string]string{"hosts": "h[1:8]\n"}, Options{})
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("h%d", i+1))
	}
	p, err := r.Play(PlayOptions{Hosts: names})
	if err != nil {
		t.Fatal(err)
	}
	e, err := expression.Builtins().Compile("hostvars.values() | map(attribute='n', default=0) | list | length", nil)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for _, name := range names {
		group.Go(func() {
			h, _ := r.Host(name)
			for i := range 20 {
				h.Register("n", i, diag.Range{})
				h.SetFacts(map[string]any{"n": i}, diag.Range{})
				h.SetFact("m", i, true, diag.Range{})
				p.SetHosts(names[:i%8], names)
				if _, err := e.Evaluate(context.Background(), p.Scope(name)); err != nil {
					t.Error(err)
				}
				p.Scope(name).Names()
				h.ClearFacts()
			}
		})
	}
	group.Wait()
}

func BenchmarkLookup(b *testing.B) {
	r := testRun(b, map[string]string{"hosts": hosts}, Options{})
	p, err := r.Play(PlayOptions{Hosts: []string{"web1.example.org"}})
	if err != nil {
		b.Fatal(err)
	}
	s := p.Scope("web1.example.org").With(TaskVars, Plain(map[string]any{"a": 1}, diag.Range{}))
	for b.Loop() {
		if _, ok, _ := s.Lookup(context.Background(), "port"); !ok {
			b.Fatal("no port")
		}
	}
}
