package syntax_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestAsAnsible compares with what ansible-core's own loader reads.
func TestAsAnsible(t *testing.T) {
	recorded, err := os.ReadFile("testdata/ansible.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text  string
		JSON  *string
		Error bool
	}
	if err := json.Unmarshal(recorded, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		got, err := decode(c.Text)
		switch {
		case c.Error && err == nil:
			t.Errorf("%q\n got %s\nwant an error", c.Text, got)
		case !c.Error && err != nil:
			t.Errorf("%q\n got %v\nwant %s", c.Text, err, *c.JSON)
		case !c.Error && got != plainJSON(t, *c.JSON):
			t.Errorf("%q\n got %s\nwant %s", c.Text, got, *c.JSON)
		}
	}
}

// plainJSON is a recorded value with the numbers that JSON cannot carry as text.
func plainJSON(t *testing.T, recorded string) string {
	t.Helper()
	recorded = strings.NewReplacer("-Infinity", `"-inf"`, "Infinity", `"inf"`, "NaN", `"nan"`).Replace(recorded)
	var value any
	decoder := json.NewDecoder(strings.NewReader(recorded))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%s: %v", recorded, err)
	}
	return canonical(value)
}

func decode(text string) (string, error) {
	node, err := syntax.Parse("test.yml", []byte(text))
	if err != nil {
		return "", err
	}
	value, err := node.Decode()
	return canonical(value), err
}

// canonical writes a value so that an integer and a float differ.
func canonical(v any) string {
	var b strings.Builder
	writeCanonical(&b, v)
	return b.String()
}

// TestWrong reads the files of testdata/wrong and compares the whole message
// with the golden file beside each.
func TestWrong(t *testing.T) {
	paths, err := filepath.Glob("testdata/wrong/*.yml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var src diag.Sources
			src.Add(filepath.Base(path), text)
			_, err = syntax.Parse(filepath.Base(path), text)
			if err == nil {
				t.Fatal("no error")
			}
			var found diag.List
			found.AddError(diag.Range{}, err)
			var got bytes.Buffer
			for _, d := range found {
				if err := diag.Format(&got, d, &src, false); err != nil {
					t.Fatal(err)
				}
			}
			golden := strings.TrimSuffix(path, ".yml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func parse(t *testing.T, text string) *syntax.Node {
	t.Helper()
	node, err := syntax.Parse("t.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// TestLocator marks a word with «» in each kind of scalar; it must be found at
// the marks.
func TestLocator(t *testing.T) {
	for _, marked := range []string{
		"a: plain «word» here\n", "a: 'it''s a «word» there'\n", "a: \"tab\\t \\u00e9 «word» \\\"x\\\"\"\n",
		"a: |\n  first\n    and a «word»\n  more\n", "a: >-\n  folded\n  and a «word»\n  more\n", "a: plain\n  goes on «word»\n  more\n",
		"a: \"quoted \\\n   goes on «word»\"\n", "- ü ☃ «word»\n", "a: !unsafe «word»\n", "a: &x !!str '«word»'\n", "? «word»\n: 1\n",
		"a: |+2\n\n    x\n\n  é «word»\n\n", "a: 'x\n\n  y «word»'\n", "a:\r\n  - b\r\n  - «word»\r\n",
	} {
		text := strings.NewReplacer("«", "", "»", "").Replace(marked)
		found := 0
		walk(parse(t, text), func(n *syntax.Node) {
			at := strings.Index(n.Text, "word")
			if at < 0 {
				return
			}
			found++
			got := n.Locator().At(at, at+len("word"))
			start := strings.Index(marked, "«")
			want := diag.InText("t.yml", text).At(start, start+len("word"))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q (-want +got)\n%s", marked, diff)
			}
		})
		if found != 1 {
			t.Errorf("%q: found %d times", marked, found)
		}
	}
}

func walk(n *syntax.Node, do func(*syntax.Node)) {
	do(n)
	for _, item := range n.Items {
		walk(item, do)
	}
	for _, entry := range n.Entries {
		walk(entry.Key, do)
		walk(entry.Value, do)
	}
}

func TestRanges(t *testing.T) {
	node := parse(t, "a: 'x y'\nb: [1, two]\nc:\n  d: |\n    e\n    f\n")
	want := map[string]string{"x y": "1:4-1:9", "1": "2:5-2:6", "two": "2:8-2:11", "a": "1:1-1:2", "d": "4:3-4:4", "e\nf\n": "4:6-6:6"}
	walk(node, func(n *syntax.Node) {
		if place, ok := want[n.Text]; ok && n.IsScalar() {
			got := strings.TrimPrefix(n.Range.String(), "t.yml:") + "-" + strings.TrimPrefix(diag.Range{Start: n.Range.End}.String(), ":")
			if got != place {
				t.Errorf("%q is at %s, want %s", n.Text, got, place)
			}
		}
	})
}

func TestFields(t *testing.T) {
	fields, err := parse(t, "name: x\nownr: y\nmode: 0644\nempty:\n").Fields()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"name", "ownr", "mode", "empty"}, fields.Names()); diff != "" {
		t.Error(diff)
	}
	mode, ok := fields.Get("mode")
	if !ok {
		t.Fatal("no mode")
	}
	number, err := mode.AsInt()
	if text, textErr := mode.AsString(); number != 420 || text != "0644" || err != nil || textErr != nil {
		t.Errorf("mode is %d and %q, %v %v", number, text, err, textErr)
	}
	if empty, ok := fields.Get("empty"); !ok || empty.Kind != syntax.Null {
		t.Errorf("empty is %v, %v", empty, ok)
	}
	unknown := fields.Unknown("name", "owner", "mode", "empty")
	if len(unknown) != 1 || unknown[0].Error() != `t.yml:2:1: unknown key "ownr" (did you mean "owner"?)` {
		t.Errorf("unknown: %v", unknown)
	}
	if _, err := fields.Require("state"); err == nil || err.Error() != `t.yml:1:1: key "state" is missing` {
		t.Errorf("require: %v", err)
	}
}

func TestAccessors(t *testing.T) {
	node := parse(t, "b: 'yes'\nn: '5'\nl: one\nnothing:\nv: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  00\nu: !unsafe '{{ x }}'\n")
	fields, err := node.Fields()
	if err != nil {
		t.Fatal(err)
	}
	get := func(name string) *syntax.Node { n, _ := fields.Get(name); return n }
	if b, err := get("b").AsBool(); !b || err != nil {
		t.Error(b, err)
	}
	if n, err := get("n").AsInt(); n != 5 || err != nil {
		t.Error(n, err)
	}
	if l, err := get("l").AsStrings(); len(l) != 1 || err != nil {
		t.Error(l, err)
	}
	if l, err := get("nothing").AsList(); len(l) != 0 || err != nil {
		t.Error(l, err)
	}
	if u := get("u"); u.Tag != syntax.TagUnsafe || u.Text != "{{ x }}" {
		t.Error(u)
	}
	for what, err := range map[string]error{
		`t.yml:3:4: expected a list, found a string ("one")`:                                     errorOf(get("l").AsList()),
		`t.yml:3:4: expected true or false, found a string ("one")`:                              errorOf(get("l").AsBool()),
		`t.yml:4:9: expected a string, found nothing`:                                            errorOf(get("nothing").AsString()),
		`t.yml:5:11: this value is encrypted with ansible-vault and no vault password was given`: errorOf(get("v").AsString()),
		`t.yml:3:4: expected a mapping, found a string ("one")`:                                  errorOf(get("l").Fields()),
		`t.yml:1:1: expected an integer, found a mapping`:                                        errorOf(node.AsInt()),
	} {
		if err == nil || err.Error() != what {
			t.Errorf("said %v\nwant %s", err, what)
		}
	}
	if _, err := node.Decode(); err == nil {
		t.Error("a vault was decoded")
	}
}

func errorOf[T any](_ T, err error) error { return err }

// TestGrowth shows that a file whose aliases multiply is refused, and quickly.
func TestGrowth(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: &a [x, x, x, x, x, x, x, x, x, x]\n")
	for name := 'b'; name < 'm'; name++ {
		items := strings.Repeat(fmt.Sprintf("*%c , ", name-1), 10)
		fmt.Fprintf(&b, "%c: &%c [%s]\n", name, name, strings.TrimSuffix(items, ", "))
	}
	_, err := syntax.Parse("bomb.yml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "aliases") {
		t.Errorf("got %v", err)
	}
	deep := strings.Repeat("[", 100_000)
	if _, err := syntax.Parse("deep.yml", []byte(deep)); err == nil {
		t.Error("deep nesting was accepted")
	}
}

// TestRoundTrip: text in single quotes is read back as it is, whatever it holds.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.StringMatching(`[ -~é☃{}%#:'"\\]{0,40}`).Draw(t, "text")
		node, err := syntax.Parse("t.yml", []byte("k: '"+strings.ReplaceAll(want, "'", "''")+"'\n"))
		if err != nil {
			t.Fatal(err)
		}
		value := node.Entries[0].Value
		if value.Text != want || value.Kind != syntax.String {
			t.Fatalf("got %q, a %s", value.Text, value.Kind)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"a: 1\n", "- a\n- {b: [c, 'd']}\n", "a: |\n  x\n", "a: &x {<<: *x}\n", "a: \"\\x41\\\n b\"\n", "{{ x }}", "a: !vault |\n  x\n", "\t- a", "a: >-\n\n  x\n y", "? [a]\n: b", "a: 'x\n  y'",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		node, err := syntax.Parse("f.yml", text)
		if err != nil {
			if _, one := errors.AsType[diag.Diagnostic](err); !one {
				t.Fatalf("%T is no diagnostic: %v", err, err)
			}
			return
		}
		lines := bytes.Count(text, []byte("\n")) + 1
		walk(node, func(n *syntax.Node) {
			if n.Range.Start.Line < 1 || n.Range.End.Line > lines || n.Range.End.Before(n.Range.Start) {
				t.Fatalf("%q is at %v, in a file of %d lines", n.Text, n.Range, lines)
			}
			if at := n.Locator().At(len(n.Text)/2, len(n.Text)); at.Start.Line < 1 || at.End.Line > lines {
				t.Fatalf("half of %q is at %v", n.Text, at)
			}
		})
	})
}
