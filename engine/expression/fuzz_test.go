package expression_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

func FuzzExpression(f *testing.F) {
	for _, seed := range []string{
		"a.b[1:2] | map('x', y=1) is not defined", "{'a': [1, (2,)]}['a'][0] ** 2 // 3", "'%s' % x ~ \"\\u00e9\"", "f(*a, **b)(1)", "1 if x else 2 if y", "a is divisibleby 3 and not b in c",
		"'{:>{w}}'.format(1, w=5)", "'x' | regex_replace('(a|b)*c', '\\1')", "range(9) | batch(2) | list", "((((1))))", "0x1f + 1_0.5e3", "-a ** -b", "list | sort(attribute='a') | groupby('b')",
	} {
		f.Add(seed)
	}
	env := expression.Builtins()
	f.Fuzz(func(t *testing.T, source string) {
		e, err := env.Compile(source, diag.InText("f", source))
		if err != nil {
			d, ok := errors.AsType[diag.Diagnostic](err)
			if !ok || d.Range.Start.Line < 1 {
				t.Fatalf("no place: %#v", err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		value, err := e.Evaluate(ctx, vars)
		if err == nil {
			expression.Repr(value)
			return
		}
		if d, ok := errors.AsType[diag.Diagnostic](err); !ok || strings.Contains(d.Summary, "runtime error") || strings.Contains(d.Summary, "interface conversion") {
			t.Fatalf("%s: %v", source, err)
		}
	})
}

// TestDeep shows that depth and length are bounded, not the stack.
func TestDeep(t *testing.T) {
	for _, source := range []string{
		strings.Repeat("(", 100_000), strings.Repeat("[", 5000) + strings.Repeat("]", 5000), strings.Repeat("not ", 5000) + "x", strings.Repeat("-", 5000) + "1",
		strings.Repeat("1 + ", 200_000) + "1", strings.Repeat("{1:", 3000),
	} {
		if _, err := expression.Builtins().Compile(source, nil); err == nil {
			t.Errorf("%.20s… was accepted", source)
		}
	}
	long := strings.Repeat("1 + ", 4000) + "1"
	if value, err := evaluate(t, long); err != nil || value != 4001 {
		t.Errorf("got %v, %v", value, err)
	}
	if value, err := evaluate(t, strings.Repeat("no or ", 3000)+"1"); err != nil || value != 1 {
		t.Errorf("got %v, %v", value, err)
	}
}

// TestTextIsRead: what Repr writes is a literal for the same value.
func TestTextIsRead(t *testing.T) {
	values := rapid.Deferred(func() *rapid.Generator[any] {
		return rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.IntRange(-1e9, 1e9).AsAny(), rapid.String().AsAny(), rapid.Float64Range(-1e20, 1e20).AsAny())
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(values, 0, 6).Draw(t, "list")
		text := expression.Repr(list)
		back, err := expression.Literal(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !expression.Equal(append([]any{}, list...), back) {
			t.Fatalf("%s became %s", text, expression.Repr(back))
		}
	})
}

// TestOrder: sort is a permutation in order, and its reverse is too.
func TestOrder(t *testing.T) {
	e, err := expression.Builtins().Compile("[l | sort, l | sort(reverse=true)]", nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.IntRange(-5, 5).AsAny(), 0, 12).Draw(t, "list")
		value, err := e.Evaluate(context.Background(), expression.Variables{"l": append([]any{}, list...)})
		if err != nil {
			t.Fatal(err)
		}
		both := value.([]any)
		up, down := both[0].([]any), both[1].([]any)
		for i := range up {
			if i > 0 && up[i-1].(int) > up[i].(int) || up[i] != down[len(down)-1-i] {
				t.Fatalf("%v and %v", up, down)
			}
		}
		if len(up) != len(list) {
			t.Fatal("items are lost")
		}
	})
}

// TestLookups shows that a lookup's name is checked when it is compiled, and its
// options obeyed.
func TestLookups(t *testing.T) {
	env := expression.Builtins().WithLookups(map[string]expression.Lookup{
		"words": {Options: []string{"fail"}, Find: func(_ context.Context, _ expression.Scope, terms []any, options map[string]any) ([]any, error) {
			if options["fail"] == true {
				return nil, errors.New("no luck")
			}
			return terms, nil
		}},
	})
	for source, want := range map[string]any{
		"lookup('words', 'a', 'b')": "a,b", "query('words', 'a')": []any{"a"}, "lookup('words', 'a', wantlist=true)": []any{"a"}, "q('ansible.builtin.words', 1)": []any{1},
		"lookup('words', fail=true, errors='ignore')": nil, "lookup('words', {'a': 1}).a": 1,
	} {
		e, err := env.Compile(source, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.Evaluate(t.Context(), vars)
		if err != nil || !expression.Equal(got, want) {
			t.Errorf("%s: %v, %v", source, got, err)
		}
	}
	for source, want := range map[string]string{
		"lookup('wrds')": `there is no lookup "wrds" (did you mean "words"?)`, "lookup('words', fial=true)": `the lookup "words" has no option fial (did you mean "fail"?)`,
		"query('ansible.builtin.url', 'x')": `the lookup "ansible.builtin.url" is not supported yet`,
	} {
		if _, err := env.Compile(source, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", source, err)
		}
	}
	warned := ""
	warning, err := env.Compile("query('words', fail=true, errors='warn')", diag.InText("w.yml", "x"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := warning.Evaluate(expression.WithWarnings(t.Context(), func(text string) { warned = text }), vars)
	if err != nil || !expression.Equal(got, []any{}) || warned != "w.yml:1:1: lookup words: no luck" {
		t.Error(got, err, warned)
	}
	e, err := env.Compile("lookup('words', fail=true)", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Evaluate(t.Context(), vars); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Error(err)
	}
}
