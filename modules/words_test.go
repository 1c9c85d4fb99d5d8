package modules

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitWords(t *testing.T) {
	tests := []struct {
		line  string
		words []string
		err   string
	}{
		{line: "", words: nil},
		{line: "  ls\t-l \n /tmp ", words: []string{"ls", "-l", "/tmp"}},
		{line: `echo "a b" 'c d'e`, words: []string{"echo", "a b", "c de"}},
		{line: `echo "" ''`, words: []string{"echo", "", ""}},
		{line: `a\ b \\ \"`, words: []string{"a b", `\`, `"`}},
		{line: `"a\"b\\c\d"`, words: []string{`a"b\c\d`}},
		{line: `'a\b'`, words: []string{`a\b`}},
		{line: `über "naïve ☃"`, words: []string{"über", "naïve ☃"}},
		{line: `echo "a`, err: "not closed"},
		{line: `echo a\`, err: "last backslash"},
	}
	for _, test := range tests {
		words, err := SplitWords(test.line)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%q: got error %v, want %q", test.line, err, test.err)
			}
			continue
		}
		if diff := cmp.Diff(test.words, words); err != nil || diff != "" {
			t.Errorf("%q: %v %s", test.line, err, diff)
		}
	}
}

// Words that are quoted come back as they were.
func FuzzSplitWords(f *testing.F) {
	f.Add("ls", "-l")
	f.Add(`a"b\`, "it's")
	f.Fuzz(func(t *testing.T, a, b string) {
		_, _ = SplitWords(a) // any text, without panic
		want := []string{strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "?")}
		got, err := SplitWords(quoteWords(want))
		if err != nil || !cmp.Equal(want, got) {
			t.Errorf("%q came back as %q, %v", want, got, err)
		}
	})
}
