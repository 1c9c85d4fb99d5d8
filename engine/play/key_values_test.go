package play_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/play"
)

func TestKeyValues(t *testing.T) {
	tests := []struct {
		text string
		want map[string]string
	}{
		{"a=1", map[string]string{"a": "1"}},
		{" a=1  b=two ", map[string]string{"a": "1", "b": "two"}},
		{`a="two words" b='it "is"'`, map[string]string{"a": "two words", "b": `it "is"`}},
		{"a={{ b | default('x y') }}/c d=e", map[string]string{"a": "{{ b | default('x y') }}/c", "d": "e"}},
		{"a=b=c", map[string]string{"a": "b=c"}},
		{"a=1 a=2", map[string]string{"a": "2"}},
		{"a=", map[string]string{"a": ""}},
		{"", map[string]string{}},
	}
	for _, test := range tests {
		got, err := play.KeyValues(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s:\n%s", test.text, diff)
		}
	}
}

func TestKeyValuesRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"alone":     "piece 1 is not name=value; put quotes around a value with spaces",
		"a=1 b":     "piece 2 is not name=value; put quotes around a value with spaces",
		"=1":        "piece 1 is not name=value; put quotes around a value with spaces",
		"a-b=1":     "piece 1 is not name=value; put quotes around a value with spaces",
		`a="1`:      "a quote is opened and not closed",
		"a={{ b c ": "{{ is opened and not closed",
	} {
		if _, err := play.KeyValues(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
