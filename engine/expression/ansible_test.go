package expression_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
)

// recorded is testdata/ansible.json, made by testdata/generate.py.
type recorded struct {
	Vars  string
	Cases []struct {
		Expr  string
		JSON  *string
		Error string
	}
}

// TestAsAnsible compares expressions with what ansible-core's own templar made
// of them.
func TestAsAnsible(t *testing.T) {
	text, err := os.ReadFile("testdata/ansible.json")
	if err != nil {
		t.Fatal(err)
	}
	var record recorded
	if err := json.Unmarshal(text, &record); err != nil {
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
		got, err := asJSON(t, c.Expr, scope)
		switch {
		case c.JSON == nil && err == nil:
			t.Errorf("%s\n got %s\nwant an error (%s)", c.Expr, got, c.Error)
		case c.JSON != nil && err != nil:
			t.Errorf("%s\n got %v\nwant %s", c.Expr, err, *c.JSON)
		case c.JSON != nil && got != *c.JSON:
			t.Errorf("%s\n got %s\nwant %s", c.Expr, got, *c.JSON)
		}
	}
}

func asJSON(t *testing.T, source string, scope expression.Scope) (string, error) {
	e, err := lookup.Environment(&recordedShell{t: t}).Compile("("+source+") | to_json", nil)
	if err != nil {
		return "", err
	}
	text, _, err := e.Text(t.Context(), scope)
	return text, err
}

// recordedShell is the controller on which the record was made: its commands, and
// an empty environment.
type recordedShell struct {
	lookup.Controller // everything else is not expected
	t                 *testing.T
}

func (*recordedShell) Getenv(string) (string, bool) { return "", false }

func (s *recordedShell) Run(_ context.Context, command, _ string) (string, error) {
	if command == "exit 3" {
		return "", errors.New("it ended with status 3")
	}
	printed, known := map[string]string{
		"echo a": "a\n", "echo x": "x\n", "printf x": "x", "printf a,b": "a,b", "echo a; echo b": "a\nb\n", "true": "",
	}[command]
	if !known {
		s.t.Errorf("the command %q was not expected", command)
	}
	return printed, nil
}
