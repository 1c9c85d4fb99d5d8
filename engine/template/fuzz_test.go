package template_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/template"
)

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"{% for a, b in d.items() if a recursive %}{{ loop(a) }}{% else %}{% endfor %}", "{%- macro m(a, b=1) -%}{{ caller() }}{%- endmacro -%}{% call(x) m(1) %}{% endcall %}",
		"{% raw %}{{ {% endraw +%}\n", "#jinja2: trim_blocks: False\n{# x #}{{ '}}' }}", "{% set ns = namespace(a=1) %}{% set ns.a = 2 %}", "{% filter upper %}{% include 'part.j2' ignore missing %}{% endfilter %}",
		"{% from 'macros.j2' import bold as b with context %}", "{% with a=1, b=[2] %}{% block x scoped %}{% endblock %}{% endwith %}", "{% if %}{% elif x %}",
	} {
		f.Add(seed)
	}
	env := expression.Builtins()
	f.Fuzz(func(t *testing.T, text string) {
		compiled, err := template.Compile(env, text, diag.InText("f.j2", text), template.ForFiles(library))
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, _, err = compiled.Render(ctx, vars)
		}
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if d, ok := errors.AsType[diag.Diagnostic](err); !ok || strings.Contains(d.Summary, "runtime error") {
			t.Fatalf("%q: %T %v", text, err, err)
		}
	})
}

// TestPlainText: text without marks is rendered as it is.
func TestPlainText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z} %#\n]{0,60}`).Draw(t, "text")
		compiled, err := template.Compile(expression.Builtins(), text, nil, template.ForFiles(nil))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := compiled.Render(context.Background(), vars)
		if err != nil || got != text {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	const text = "{% for x in list %}server {{ x }}:{{ n + loop.index }};\n{% endfor %}"
	compiled, err := template.Compile(expression.Builtins(), text, nil, template.ForFiles(nil))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := compiled.Render(b.Context(), vars); err != nil {
			b.Fatal(err)
		}
	}
}
