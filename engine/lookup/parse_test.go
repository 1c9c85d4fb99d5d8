package lookup

import (
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/expression"
)

func TestWords(t *testing.T) {
	for term, want := range map[string]string{
		"key file=a.ini section=b": `key|file=a.ini,section=b`, `key  re="a b" x`: `key x|re=a b`, `"two words" a=''`: `"two words"|a=`,
		"": "|", "KEY=1 a-b=2": "KEY=1 a-b=2|", `a="x`: "error: a quote is opened and not closed",
	} {
		rest, options, err := words(term)
		var texts []string
		for _, o := range options {
			texts = append(texts, o.name+"="+o.text)
		}
		got := rest + "|" + strings.Join(texts, ",")
		if err != nil {
			got = "error: " + err.Error()
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", term, got, want)
		}
	}
}

// FuzzTexts reads arbitrary text as a term, an INI file, a pattern and a
// sequence: none may panic or hang, and what is read can be asked for.
func FuzzTexts(f *testing.F) {
	for _, seed := range []string{
		"key file='a b' x=1", "[a]\nb=%(c)s\nc: 1 %% 2\n  more\n[DEFAULT]\nd\n", "x[!a-z]*?[]]", "start=1 end=3 format=%02d", "2-8/2:h%d", "[s]\na=%(a)s", "[z-a]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, _, err := words(text); err == nil && strings.Count(text, "'")%2 == 1 && strings.HasPrefix(text, "'") && !strings.ContainsAny(text[1:], "'\" ") {
			t.Errorf("an open quote is read: %q", text)
		}
		p := iniParser{name: "f", fold: true, valueless: true, sections: map[string]*expression.Dict{}}
		if p.parse(text) == nil {
			for _, entries := range p.sections {
				for _, key := range entries.Keys() {
					value, ok := p.get(entries, key)
					if !ok {
						t.Errorf("the key %q is lost", key)
					}
					_, _ = p.value(entries, value, 0) // an error is fine
				}
			}
		}
		if matcher, err := globPattern(text); err == nil && !strings.ContainsAny(text, "*?[") && !matcher.MatchString(text) {
			t.Errorf("the pattern %q does not match itself", text)
		}
		s := sequence{start: 1, stride: 1, format: "%d"}
		if len(text) < 40 && s.read(t.Context(), text) == nil {
			_, _ = s.items()
		}
	})
}
