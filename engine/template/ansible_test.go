package template_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/template"
)

// TestAsAnsible compares with what ansible-core's own templar made of the
// templates in testdata/ansible.json (see generate.py there).
func TestAsAnsible(t *testing.T) {
	recorded, err := os.ReadFile("testdata/ansible.json")
	if err != nil {
		t.Fatal(err)
	}
	var record struct {
		Vars  string
		Cases []struct {
			Kind, Text, Error string
			JSON              *string
		}
	}
	if err := json.Unmarshal(recorded, &record); err != nil {
		t.Fatal(err)
	}
	parsed, err := expression.ParseJSON(record.Vars)
	if err != nil {
		t.Fatal(err)
	}
	scope := expression.Variables{}
	for name, value := range parsed.(*expression.Dict).All() {
		scope[name] = value
	}
	for _, c := range record.Cases {
		got, err := renderAs(t, c.Kind, c.Text, scope)
		switch {
		case c.JSON == nil && err == nil:
			t.Errorf("%s %q\n got %s\nwant an error (%s)", c.Kind, c.Text, expression.Repr(got), c.Error)
		case c.JSON != nil && err != nil:
			t.Errorf("%s %q\n got %v\nwant %s", c.Kind, c.Text, err, *c.JSON)
		case c.JSON != nil:
			want, err := expression.ParseJSON(*c.JSON)
			if err != nil {
				t.Fatal(err)
			}
			if expression.Repr(want) != expression.Repr(got) {
				t.Errorf("%s %q\n got %s\nwant %s", c.Kind, c.Text, expression.Repr(got), expression.Repr(want))
			}
		}
	}
}

func renderAs(t *testing.T, kind, text string, scope expression.Scope) (any, error) {
	if kind == "string" {
		value, err := template.CompileString(expression.Builtins(), text, diag.InText("t", text))
		if err != nil {
			return nil, err
		}
		return value.Render(t.Context(), scope)
	}
	compiled, err := template.Compile(expression.Builtins(), text, diag.InText("t", text), template.ForFiles(library))
	if err != nil {
		return nil, err
	}
	rendered, _, err := compiled.Render(t.Context(), scope)
	return rendered, err
}
