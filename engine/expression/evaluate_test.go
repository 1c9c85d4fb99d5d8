package expression_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

// TestValues shows the values of the variables beside an error. A long one is
// described and never cut: half a secret would slip past redaction.
func TestValues(t *testing.T) {
	scope := expression.Variables{"a": 1, "name": "it's\n\"x\"", "secret": strings.Repeat("s3cr3t", 1000), "list": []any{"x", nil}}
	source := "[a, secret, list] and name + a"
	e, err := expression.Builtins().Compile(source, diag.InText("t", source))
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Evaluate(t.Context(), scope)
	d, ok := errors.AsType[diag.Diagnostic](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	want := []diag.NamedValue{
		{Name: "a", Value: "1"},
		{Name: "secret", Value: "a string of 6000 characters"},
		{Name: "list", Value: "['x', None]"},
		{Name: "name", Value: `"it's\n\"x\""`}, // on one line
	}
	if diff := cmp.Diff(want, d.Values); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// failing is a scope in which one variable's own template is wrong.
type failing struct{ expression.Variables }

func (f failing) Lookup(ctx context.Context, name string) (any, bool, error) {
	if name == "broken" {
		return nil, true, diag.New(diag.Range{File: "vars.yml", Start: diag.Pos{Line: 3, Column: 7}}, "'x' is undefined")
	}
	return f.Variables.Lookup(ctx, name)
}

// TestDeeperPlace: when a variable's value cannot be worked out, its own place
// is reported, not that of its use; and what is not needed is not looked up.
func TestDeeperPlace(t *testing.T) {
	e, err := expression.Builtins().Compile("1 + broken", diag.InText("t", "1 + broken"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Evaluate(t.Context(), failing{}); err == nil || err.Error() != "vars.yml:3:7: 'x' is undefined" {
		t.Errorf("got %v", err)
	}
	if e, err = expression.Builtins().Compile("true or broken", nil); err != nil {
		t.Fatal(err)
	}
	if value, err := e.Evaluate(t.Context(), failing{}); value != true || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
}

// TestConcurrent evaluates one expression from many goroutines, for the race
// detector.
func TestConcurrent(t *testing.T) {
	e, err := expression.Builtins().Compile("users | map(attribute='name') | map('regex_replace', 'n', '-') | join ~ n", nil)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			scope := expression.Variables{"users": vars["users"], "n": i}
			for range 50 {
				value, err := e.Evaluate(t.Context(), scope)
				if want := "a--bob" + string(rune('0'+i)); err != nil || value != want {
					t.Errorf("got %v, %v, want %s", value, err, want)
				}
			}
		})
	}
	wait.Wait()
}

func TestNames(t *testing.T) {
	e, err := expression.Builtins().Compile("a.b[c] | default(d, true) and range(e) is in f", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "c", "d", "e", "f"}, e.Variables()); diff != "" {
		t.Error(diff)
	}
}

func TestCompileCondition(t *testing.T) {
	for source, want := range map[string]bool{"n == 7": true, "{{ n == 7 }}": true, " {{ name }} ": true, "'{{ x }}' == ''": false} {
		e, err := expression.Builtins().CompileCondition(source, diag.InText("t", source))
		if err != nil {
			t.Fatal(err)
		}
		if holds, unknown, err := e.Test(t.Context(), vars); holds != want || unknown != nil || err != nil {
			t.Errorf("%s: %v %v %v", source, holds, unknown, err)
		}
	}
	_, err := expression.Builtins().CompileCondition("{{ n | uper }}", diag.InText("t", "{{ n | uper }}"))
	if err == nil || !strings.HasPrefix(err.Error(), "t:1:8: ") {
		t.Errorf("got %v", err)
	}
}
