package modules

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// everyArgs has an option of each type.
type everyArgs struct {
	Text     string            `arg:"text,required" alias:"t" doc:"A text."`
	Choice   string            `arg:"choice" default:"one" choices:"one,two,three" doc:"One of some."`
	At       string            `arg:"at" type:"path" doc:"A path."`
	Yes      bool              `arg:"yes" default:"yes" doc:"A bool."`
	Maybe    *bool             `arg:"maybe" doc:"A bool or nothing."`
	Number   int               `arg:"number" doc:"A number."`
	Ratio    float64           `arg:"ratio" doc:"A number."`
	List     []string          `arg:"list" doc:"A list."`
	Numbers  []int             `arg:"numbers" doc:"A list of numbers."`
	Dict     map[string]string `arg:"dict" doc:"A mapping."`
	Any      any               `arg:"any" doc:"Anything."`
	Mode     *Mode             `arg:"mode" doc:"A mode."`
	File     *Content          `arg:"file" content:"file" doc:"A file."`
	Template *Content          `arg:"template" content:"template" doc:"A template."`
	Tree     *Tree             `arg:"tree" doc:"A tree."`
	Source   *Source           `arg:"source" doc:"A source."`
	invalid  error
}

func (a *everyArgs) Plan(context.Context, sys.Reader) (Plan, error) { return Plan{}, nil }

func (a *everyArgs) Validate() error {
	if a.Text == "invalid" {
		return errors.New("text is invalid")
	}
	return a.invalid
}

func everySpec() *Spec {
	return &Spec{Name: "every", New: func() Module { return &everyArgs{} }}
}

func TestOptionsHaveTypes(t *testing.T) {
	options, err := everySpec().Options()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range options {
		got[o.Name] = o.Type
	}
	want := map[string]string{
		"text": "string", "choice": "string", "at": "path", "yes": "bool", "maybe": "bool", "number": "int", "ratio": "float",
		"list": "list", "numbers": "list", "dict": "dict", "any": "raw", "mode": "mode", "file": "content",
		"template": "template", "tree": "tree", "source": "source",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func decodeEvery(t *testing.T, args map[string]any) *everyArgs {
	t.Helper()
	m, problems := everySpec().Decode(args, noContents{})
	if len(problems) > 0 {
		t.Fatalf("%v: %v", args, problems)
	}
	return m.(*everyArgs)
}

type noContents struct{}

func (noContents) Content(ref ContentRef) sys.Content { return textContent(ref.Inline) }

func TestDecode(t *testing.T) {
	a := decodeEvery(t, map[string]any{"t": 5})
	if a.Text != "5" || a.Choice != "one" || !a.Yes || a.Maybe != nil || a.Mode != nil || a.File != nil || a.Source != nil {
		t.Errorf("defaults: %+v", a)
	}
	a = decodeEvery(t, map[string]any{
		"text": true, "yes": "off", "maybe": "no", "number": "7", "ratio": 2, "list": "a, b", "numbers": []any{1, "2"},
		"dict": map[string]any{"k": 1}, "any": []any{1}, "mode": "0600", "at": "/a/../b/",
		"file": ContentRef{Name: "f", Mode: 0o600, Inline: []byte("x"), Secret: true}, "tree": TreeRef{Path: "/t"}, "source": "/s/",
	})
	if a.Text != "True" || a.Yes || a.Maybe == nil || *a.Maybe || a.Number != 7 || a.Ratio != 2 || a.At != "/a/../b/" {
		t.Errorf("scalars: %+v", a)
	}
	if diff := cmp.Diff([]string{"a", "b"}, a.List) + cmp.Diff([]int{1, 2}, a.Numbers) + cmp.Diff(map[string]string{"k": "1"}, a.Dict); diff != "" {
		t.Error(diff)
	}
	if a.File.Name != "f" || a.File.Mode != 0o600 || !a.File.Secret || a.File.Size() != 1 || a.Tree.Path != "/t" || a.Source.Path != "/s/" {
		t.Errorf("files: %+v %+v %+v", a.File, a.Tree, a.Source)
	}
	if a := decodeEvery(t, map[string]any{"text": "", "choice": nil}); a.Choice != "one" {
		t.Errorf("null is not as if it were left out: %q", a.Choice)
	}
}

func TestDecodeSources(t *testing.T) {
	content := decodeEvery(t, map[string]any{"text": "", "source": ContentRef{Name: "f"}}).Source
	tree := decodeEvery(t, map[string]any{"text": "", "source": TreeRef{Origin: "o", Name: "n"}}).Source
	host := decodeEvery(t, map[string]any{"text": "", "tree": "/a/b"}).Tree
	inside := decodeEvery(t, map[string]any{"text": "", "tree": "/a/b/"}).Tree
	if content.Content == nil || content.Tree != nil || tree.Tree == nil || tree.Tree.Name != "n" {
		t.Errorf("content %+v, tree %+v", content, tree)
	}
	if host.Path != "/a/b" || host.Name != "b" || inside.Name != "" {
		t.Errorf("host %+v, inside %+v", host.TreeRef, inside.TreeRef)
	}
}

func TestDecodeReportsEveryFault(t *testing.T) {
	tests := []struct {
		args map[string]any
		want []string
	}{
		{map[string]any{}, []string{"needs the argument text"}},
		{map[string]any{"text": nil}, []string{"needs the argument text"}},
		{map[string]any{"text": "a", "t": "b"}, []string{"two names of one argument"}},
		{
			map[string]any{"text": "a", "chioce": 1, "zzz": 2, "number": "x", "yes": "maybe"},
			[]string{`wants yes or no, got "maybe"`, `wants a whole number, got "x"`, "has no argument chioce", "has no argument zzz"},
		},
		{map[string]any{"text": []any{}}, []string{"wants a string, got a list"}},
		{map[string]any{"text": "a", "choice": "tow"}, []string{`"tow" is none of one, two, three`}},
		{map[string]any{"text": "a", "at": "b/c"}, []string{`wants an absolute path, got "b/c"`}},
		{map[string]any{"text": "a", "at": "/b\x00"}, []string{"NUL"}},
		{map[string]any{"text": "a", "numbers": "1,x"}, []string{"item 2: wants a whole number"}},
		{map[string]any{"text": "a", "dict": map[string]any{"b": 1, "a": []any{}}}, []string{"a: wants a string"}},
		{map[string]any{"text": "a", "dict": "x"}, []string{"wants a mapping"}},
		{map[string]any{"text": "a", "ratio": "x"}, []string{"wants a number"}},
		{map[string]any{"text": "a", "mode": 644}, []string{"write '0644'"}},
		{map[string]any{"text": "a", "file": "f"}, []string{"wants a file of the controller"}},
		{map[string]any{"text": "a", "source": 5, "tree": 5}, []string{"wants a directory", "wants a file or a directory"}},
		{map[string]any{"text": "invalid"}, []string{"text is invalid"}},
	}
	for _, test := range tests {
		_, problems := everySpec().Decode(test.args, noContents{})
		if len(problems) != len(test.want) {
			t.Errorf("%v: %v, want %q", test.args, problems, test.want)
			continue
		}
		for i, p := range problems {
			if !strings.Contains(p.Summary, test.want[i]) {
				t.Errorf("%v: problem %d is %q, want %q", test.args, i+1, p.Summary, test.want[i])
			}
		}
	}
	_, problems := everySpec().Decode(map[string]any{"text": "", "choise": 1}, noContents{})
	if len(problems) != 1 || !strings.Contains(problems[0].Hint, "choice") || problems[0].Argument != "choise" {
		t.Errorf("no hint: %#v", problems)
	}
}

// At load time files are only paths, and values may still be templates.
func TestCheckAtLoadTime(t *testing.T) {
	later := func(v any) bool { return v == "{{ x }}" }
	if problems := everySpec().Check(map[string]any{
		"text": "a", "file": "files/f", "template": "t.j2", "tree": "d", "source": "s", "number": "{{ x }}",
	}, later); len(problems) > 0 {
		t.Errorf("faults in good arguments: %v", problems)
	}
	if problems := everySpec().Check(map[string]any{"text": "invalid"}, later); len(problems) != 1 {
		t.Errorf("Validate is not asked: %v", problems)
	}
	if problems := everySpec().Check(map[string]any{"text": "invalid", "number": "{{ x }}"}, later); len(problems) != 0 {
		t.Errorf("Validate is asked while a value waits: %v", problems)
	}
	copying := copySpec()
	if problems := copying.Check(map[string]any{"src": "f", "dest": "/d"}, later); len(problems) > 0 {
		t.Errorf("copy with a src that is still a path: %v", problems)
	}
}

func TestRegistryRefusesBrokenSpecs(t *testing.T) {
	good := *everySpec()
	type noDoc struct {
		everyArgs
		More string `arg:"more"`
	}
	type oddType struct {
		everyArgs
		More chan int `arg:"more" doc:"More."`
	}
	tests := map[string]struct {
		specs []Spec
		want  string
	}{
		"twice":   {[]Spec{good, good}, "taken twice"},
		"no args": {[]Spec{{Name: "x"}}, "no arguments struct"},
		"no doc":  {[]Spec{{Name: "x", New: func() Module { return &noDoc{} }}}, "needs the tags arg and doc"},
		"type":    {[]Spec{{Name: "x", New: func() Module { return &oddType{} }}}, "cannot be an option"},
	}
	for name, test := range tests {
		r, err := NewRegistry(test.specs...)
		if err == nil {
			err = r.Check()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
	r, err := NewRegistry(good)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Error(err)
	}
	if _, ok := r.Find("ansible.builtin.every"); !ok {
		t.Error("the full name is not found")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("text", "a", "number", "1")
	f.Add("at", "/x", "mode", "u+x")
	f.Fuzz(func(t *testing.T, name, value, other, second string) {
		args := map[string]any{"text": "a", name: value, other: second}
		m, problems := everySpec().Decode(args, noContents{})
		if (m == nil) == (len(problems) == 0) {
			t.Errorf("%v gives %v and %v", args, m, problems)
		}
		for _, p := range problems {
			if p.Summary == "" {
				t.Errorf("%v: a problem without a word", args)
			}
		}
	})
}
