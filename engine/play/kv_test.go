package play

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitPieces(t *testing.T) {
	for text, want := range map[string][]string{
		"":                             nil,
		"a b":                          {"a", "b"},
		" a=1\tb=2\n":                  {"a=1", "b=2"},
		`a="x y" b='p q'`:              {`a="x y"`, `b='p q'`},
		`a={{ b c }} d`:                {`a={{ b c }}`, "d"},
		`a={% if x %}1{% endif %} d=1`: {`a={% if x %}1{% endif %}`, "d=1"},
		`a="{{ "x y" }}" b`:            {`a="{{ "x y" }}"`, "b"},
		`a="x \" y" b`:                 {`a="x \" y"`, "b"},
		`it's fine`:                    {"it's", "fine"},
		`a="x`:                         nil,
		`a={{ b`:                       nil,
	} {
		pieces, err := splitPieces(text)
		var got []string
		for _, p := range pieces {
			got = append(got, p.text)
			if text[p.from:p.to] != p.text {
				t.Errorf("%q: the piece %q stands elsewhere", text, p.text)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || (err != nil) != (want == nil && text != "") {
			t.Errorf("%q: %v (-want +got)\n%s", text, err, diff)
		}
	}
}

func TestUnquote(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", `"a b"`: "a b", `'a'`: "a", `"`: `"`, `"a'`: `"a'`, `a\nb`: "a\nb", `"a\tb"`: "a\tb", `a\\nb`: `a\nb`, `\d+`: `\d+`, `""`: "",
	} {
		if got := (piece{text: text}).unquote().text; got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzSplitPieces(f *testing.F) {
	for _, seed := range []string{"a=1 b='x y'", `c="{{ a | default('}}') }}"`, "{% raw %}", `\`, `a=\"`, "x='"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pieces, err := splitPieces(text)
		if err != nil {
			return
		}
		last := 0
		for _, p := range pieces {
			if p.from < last || text[p.from:p.to] != p.text || p.text == "" {
				t.Fatalf("%q: pieces %v", text, pieces)
			}
			if strings.Trim(text[last:p.from], " \t\r\n") != "" {
				t.Fatalf("%q: %q was lost", text, text[last:p.from])
			}
			p.keyValue()
			p.unquote()
			last = p.to
		}
		if strings.Trim(text[last:], " \t\r\n") != "" {
			t.Fatalf("%q: %q was lost", text, text[last:])
		}
	})
}
