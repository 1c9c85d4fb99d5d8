package modulestest

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/rbdplay/rbdplay/modules"
)

// Specs holds every module of the registry against what a spec promises: an
// unknown argument is refused with its name, each example is well-formed and has
// no fault that load time would find, every option and result is documented.
func Specs(t *testing.T, registry *modules.Registry) {
	t.Helper()
	for _, name := range registry.Names() {
		spec, _ := registry.Find(name)
		t.Run(name, func(t *testing.T) {
			refusesUnknown(t, spec)
			examplesLoad(t, spec, registry)
			documented(t, spec)
		})
	}
}

func refusesUnknown(t *testing.T, spec *modules.Spec) {
	t.Helper()
	if spec.AnyArgs {
		return
	}
	for _, p := range spec.Check(map[string]any{"no_such_argument": 1}, func(any) bool { return false }) {
		if p.Argument == "no_such_argument" && strings.Contains(p.Summary, "no_such_argument") {
			return
		}
	}
	t.Error("an unknown argument is not refused")
}

func examplesLoad(t *testing.T, spec *modules.Spec, registry *modules.Registry) {
	t.Helper()
	if len(spec.Examples) == 0 {
		t.Error("has no examples")
	}
	for _, example := range spec.Examples {
		var task map[string]any
		if err := yaml.Unmarshal([]byte(example.YAML), &task); err != nil {
			t.Errorf("example %q: %v", example.Title, err)
			continue
		}
		used := false
		for key, value := range task {
			found, ok := registry.Find(key)
			if !ok || found.Name != spec.Name {
				continue
			}
			used = true
			exampleFits(t, spec, example.Title, value)
		}
		if !used {
			t.Errorf("example %q does not use the module", example.Title)
		}
	}
}

func exampleFits(t *testing.T, spec *modules.Spec, title string, value any) {
	t.Helper()
	args, _ := value.(map[string]any)
	if text, free := value.(string); free && spec.FreeForm != "" {
		args = map[string]any{spec.FreeForm: text}
	}
	later := func(v any) bool {
		text, ok := v.(string)
		return ok && strings.Contains(text, "{{")
	}
	for _, p := range spec.Check(args, later) {
		t.Errorf("example %q: %s", title, p.Summary)
	}
}

func documented(t *testing.T, spec *modules.Spec) {
	t.Helper()
	if spec.Summary == "" || strings.HasSuffix(spec.Summary, ".") {
		t.Errorf("the summary %q should be one line without a full stop", spec.Summary)
	}
	options, err := spec.Options()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		if !strings.ContainsAny(o.Doc[len(o.Doc)-1:], ".?!") {
			t.Errorf("the documentation of %s is no sentence: %q", o.Name, o.Doc)
		}
	}
	for _, r := range spec.Returns {
		if r.Name == "" || r.Type == "" || r.Doc == "" {
			t.Errorf("the result %q is not documented", r.Name)
		}
	}
}
