package diag_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/diag"
)

func at(file string, line, column, end int) diag.Range {
	return diag.Range{File: file, Start: diag.Pos{Line: line, Column: column}, End: diag.Pos{Line: line, Column: end}}
}

func TestFormat(t *testing.T) {
	var src diag.Sources
	src.Add("a.yml", []byte("- name: x\n\tké: 世界 ownr: y\r\nlast\x1b[2J"))
	for name, test := range map[string]struct {
		d    diag.Diagnostic
		want string
	}{
		"everything": {
			diag.Diagnostic{
				Summary: "unknown key", Detail: "first line\nsecond line", Range: at("a.yml", 1, 3, 7), Hint: `did you mean "name"?`,
				Related: []diag.Note{{Text: "seen here", Range: at("a.yml", 3, 1, 1)}}, Values: []diag.NamedValue{{Name: "x", Value: "'1'"}},
			},
			"a.yml:1:3: error: unknown key\n   1 | - name: x\n     |   ^^^^\n  first line\n  second line\n" +
				"  a.yml:3:1: seen here\n   3 | last\uFFFD[2J\n     | ^\n  x = '1'\n  hint: did you mean \"name\"?\n",
		},
		"tabs and wide letters": {
			diag.Diagnostic{Summary: "s", Severity: diag.Warning, Range: at("a.yml", 2, 9, 13)},
			"a.yml:2:9: warning: s\n   2 | \tké: 世界 ownr: y\n     | \t         ^^^^\n",
		},
		"no place":           {diag.Diagnostic{Summary: "s"}, "error: s\n"},
		"unknown file":       {diag.Diagnostic{Summary: "s", Range: at("b.yml", 1, 2, 2)}, "b.yml:1:2: error: s\n"},
		"behind the end":     {diag.Diagnostic{Summary: "s", Range: at("a.yml", 1, 90, 99)}, "a.yml:1:90: error: s\n   1 | - name: x\n     |          ^\n"},
		"no such line":       {diag.Diagnostic{Summary: "s", Range: at("a.yml", 9, 1, 1)}, "a.yml:9:1: error: s\n"},
		"more than one line": {diag.Diagnostic{Summary: "s", Range: diag.Range{File: "a.yml", Start: diag.Pos{Line: 1, Column: 3}, End: diag.Pos{Line: 3, Column: 1}}}, "a.yml:1:3: error: s\n   1 | - name: x\n     |   ^^^^^^^\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			if err := diag.Format(&got, test.d, &src, false); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			var colored strings.Builder
			if err := diag.Format(&colored, test.d, &src, true); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(colored.String(), "\x1b[1;3") {
				t.Errorf("no colour in %q", colored.String())
			}
		})
	}
}

func TestErrors(t *testing.T) {
	d := diag.New(at("a.yml", 2, 1, 1), "no %s", "x").WithHint("try y").WithCause(fs.ErrNotExist)
	if d.Error() != "a.yml:2:1: no x (try y)" {
		t.Error(d)
	}
	list := diag.List{d, diag.New(at("a.yml", 1, 1, 1), "first")}
	err := fmt.Errorf("load: %w", list.ErrorOrNil())
	if found, ok := errors.AsType[diag.Diagnostic](err); !ok || found.Summary != "first" {
		t.Errorf("found %v", found)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	if err.Error() != "load: a.yml:1:1: first (and 1 more)" {
		t.Error(err)
	}
	warnings := diag.List{{Severity: diag.Warning, Summary: "w"}}
	if warnings.ErrorOrNil() != nil {
		t.Error("a warning is no error")
	}
	var gathered diag.List
	gathered.AddError(diag.Range{}, nil)
	gathered.AddError(diag.Range{}, err)
	gathered.AddError(at("b.yml", 1, 1, 1), io("plain"))
	if len(gathered) != 3 || gathered[2].Error() != "b.yml:1:1: plain" {
		t.Errorf("gathered %v", gathered)
	}
}

func io(text string) error { return errors.New(text) }

func TestDidYouMean(t *testing.T) {
	known := []string{"owner", "group", "mode", "state", "validate_certs", "path"}
	for word, want := range map[string]string{
		"ownr": "owner", "onwer": "owner", "Owner": "owner", "validate-certs": "validate_certs", "validatecerts": "validate_certs",
		"mod": "mode", "zzz": "", "": "", "x": "", "owner": "", "pth": "path", strings.Repeat("x", 500): "",
	} {
		if got := diag.Nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	if got := diag.DidYouMean("ownr", known); got != `did you mean "owner"?` {
		t.Error(got)
	}
}

// TestInText: a place in a text leads back to the characters it was made from.
func TestInText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-zé世\n]{1,60}`).Draw(t, "text")
		runes := []rune(text)
		i := rapid.IntRange(0, len(runes)-1).Draw(t, "i")
		offset := len(string(runes[:i]))
		place := diag.InText("f", text).Shift(1).At(offset-1, offset-1)
		line := strings.Split(text, "\n")[place.Start.Line-1] + "\n"
		if got := []rune(line)[place.Start.Column-1]; got != runes[i] {
			t.Fatalf("%v holds %q, want %q", place, got, runes[i])
		}
	})
	if got := diag.Locator(nil).Shift(3).At(0, 1); !got.IsZero() {
		t.Errorf("a nil Locator knows %v", got)
	}
}
