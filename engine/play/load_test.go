package play

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

var update = flag.Bool("update", false, "write the golden parts of testdata anew")

// The modules of these tests are few and small, so that the findings do not
// change when a real module does.
type nothing struct{}

func (nothing) Plan(context.Context, sys.Reader) (modules.Plan, error) { return modules.Plan{}, nil }

type (
	copyArgs struct {
		nothing
		Src       *modules.Source `arg:"src" doc:"Source."`
		Content   string          `arg:"content" doc:"Content."`
		Dest      string          `arg:"dest,required" doc:"Destination."`
		Mode      *modules.Mode   `arg:"mode" doc:"Mode."`
		RemoteSrc bool            `arg:"remote_src" doc:"On the host."`
	}
	templateArgs struct {
		nothing
		Src  *modules.Content `arg:"src,required" content:"template" doc:"Template."`
		Dest string           `arg:"dest,required" doc:"Destination."`
	}
	scriptArgs struct {
		nothing
		File *modules.Content `arg:"file,required" content:"file" doc:"A file."`
		Tree *modules.Tree    `arg:"tree" doc:"A folder."`
	}
	commandArgs struct {
		nothing
		Cmd     string `arg:"cmd,required" doc:"Command."`
		Creates string `arg:"creates" doc:"Creates."`
		Chdir   string `arg:"chdir" doc:"Folder."`
	}
	fileArgs struct {
		nothing
		Path  string `arg:"path,required" alias:"dest,name" doc:"Path."`
		State string `arg:"state" default:"file" choices:"file,directory,absent" doc:"State."`
	}
	debugArgs struct {
		nothing
		Msg any    `arg:"msg" doc:"Message."`
		Var string `arg:"var" doc:"Expression."`
	}
	assertArgs struct {
		nothing
		That    any    `arg:"that,required" doc:"Conditions."`
		FailMsg string `arg:"fail_msg" doc:"Message."`
	}
	setFactArgs struct {
		nothing
		Cacheable bool `arg:"cacheable" doc:"Cacheable."`
	}
	pingArgs struct{ nothing }
)

func testRegistry(t testing.TB) *modules.Registry {
	t.Helper()
	spec := func(name, freeForm string, empty func() modules.Module) modules.Spec {
		return modules.Spec{Name: name, FreeForm: freeForm, New: empty, AnyArgs: name == "set_fact"}
	}
	r, err := modules.NewRegistry(
		spec("copy", "", func() modules.Module { return &copyArgs{} }),
		spec("template", "", func() modules.Module { return &templateArgs{} }),
		spec("upload", "", func() modules.Module { return &scriptArgs{} }),
		spec("command", "cmd", func() modules.Module { return &commandArgs{} }),
		spec("file", "", func() modules.Module { return &fileArgs{} }),
		spec("debug", "", func() modules.Module { return &debugArgs{} }),
		spec("assert", "", func() modules.Module { return &assertArgs{} }),
		spec("set_fact", "", func() modules.Module { return &setFactArgs{} }),
		spec("ping", "", func() modules.Module { return &pingArgs{} }),
	)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// loadFiles loads site.yml of a tree of files.
func loadFiles(t testing.TB, files map[string]string) (*Playbook, *diag.Sources, diag.List) {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return Load(context.Background(), Source{FS: tree, Path: "site.yml"}, testRegistry(t), Options{})
}

// TestLoad reads each testdata/*.txtar: its files are a tree with site.yml, and
// the part named "want" is what must come of it: findings, and the tasks when
// there are no errors.
func TestLoad(t *testing.T) {
	fixtures, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(fixtures) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, fixture := range fixtures {
		t.Run(strings.TrimSuffix(filepath.Base(fixture), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(fixture)
			if err != nil {
				t.Fatal(err)
			}
			files, want, at := map[string]string{}, "", -1
			for i, f := range a.Files {
				if f.Name == "want" {
					want, at = string(f.Data), i
					continue
				}
				files[f.Name] = string(f.Data)
			}
			got := report(loadFiles(t, files))
			if *update && at >= 0 {
				a.Files[at].Data = []byte(got)
				if err := os.WriteFile(fixture, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func report(p *Playbook, sources *diag.Sources, found diag.List) string {
	var out bytes.Buffer
	for _, d := range found {
		_ = diag.Format(&out, d, sources, false)
	}
	if p == nil {
		return out.String()
	}
	for _, one := range p.Plays {
		d := dumper{out: &out}
		d.play(one)
	}
	return out.String()
}

// dumper writes what was read, for golden files.
type dumper struct{ out *bytes.Buffer }

func (d dumper) line(depth int, format string, args ...any) {
	d.out.WriteString(strings.Repeat("  ", depth) + strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (d dumper) play(p *Play) {
	d.line(0, "play %q on %s%s", p.Name, p.Hosts.Text, d.inherited(&p.Inherited))
	d.layers(1, p.Layers)
	for _, stage := range p.Stages {
		if len(stage.Steps) > 0 {
			d.line(1, "%s", stage.Name)
			d.steps(2, stage.Steps)
		}
	}
	for _, h := range p.Handlers {
		d.line(1, "handler listens to %q", h.Listen)
		d.task(2, &h.Task)
	}
}

func (d dumper) steps(depth int, steps []Step) {
	for _, step := range steps {
		switch step := step.(type) {
		case *Block:
			d.line(depth, "block %q", step.Name)
			d.steps(depth+1, step.Steps)
			if step.Rescue != nil {
				d.line(depth, "rescue")
				d.steps(depth+1, step.Rescue)
			}
			if step.Always != nil {
				d.line(depth, "always")
				d.steps(depth+1, step.Always)
			}
		case *Task:
			d.task(depth, step)
		}
	}
}

func (d dumper) task(depth int, t *Task) {
	title := t.Module
	if t.Name != "" {
		title += fmt.Sprintf(" %q", t.Name)
	}
	if t.Meta != "" {
		title += " " + string(t.Meta)
	}
	d.line(depth, "%s (%s)%s", title, t.Range, d.inherited(&t.Inherited))
	for _, name := range t.Args.Names() {
		value, ok := t.Args.Literal(name)
		text := fmt.Sprintf("%#v", value)
		if !ok {
			text = fmt.Sprintf("rendered from %v", t.Args.given[name].value.Variables())
		}
		d.line(depth+1, "%s: %s", name, text)
	}
	for _, c := range t.That {
		d.line(depth+1, "that %s", c.Text)
	}
	if t.Var != nil {
		d.line(depth+1, "var %s", t.Var.Source())
	}
	if t.Loop != nil {
		d.line(depth+1, "%s as %s", t.Loop.Keyword, t.LoopControl.Var)
	}
	if t.Register != "" {
		d.line(depth+1, "register %s", t.Register)
	}
	for _, n := range t.Notify {
		d.line(depth+1, "notify %s: %d handlers", n.Text, len(n.Handlers))
	}
	d.layers(depth+1, t.Layers)
	if uses := t.Uses(); len(uses) > 0 {
		d.line(depth+1, "uses %s", strings.Join(uses, " "))
	}
	if t.Include != nil {
		for _, name := range sortedKeys(t.Include.loaded) {
			d.line(depth+1, "brings %s", name)
			d.steps(depth+2, t.Include.loaded[name])
		}
	}
}

func (d dumper) layers(depth int, layers []scope.Layer) {
	for _, layer := range layers {
		if layer.Vars.Len() > 0 {
			d.line(depth, "%s: %s", layer.Level, strings.Join(layer.Vars.Names(), " "))
		}
	}
}

func (d dumper) inherited(i *Inherited) string {
	var all []string
	add := func(name, value string) {
		if value != "" {
			all = append(all, name+"="+value)
		}
	}
	add("become", i.Become.String())
	add("become_user", i.BecomeUser.String())
	add("connection", i.Connection.String())
	add("check_mode", i.CheckMode.String())
	add("no_log", i.NoLog.String())
	add("run_once", i.RunOnce.String())
	add("ignore_errors", i.IgnoreErrors.String())
	add("delegate_to", i.DelegateTo.String())
	add("timeout", i.Timeout.String())
	if len(i.Environment) > 0 {
		add("environment", fmt.Sprint(len(i.Environment)))
	}
	add("tags", strings.Join(i.Tags, ","))
	for _, c := range i.When {
		add("when", "("+c.Text+")")
	}
	if len(all) == 0 {
		return ""
	}
	return " " + strings.Join(all, " ")
}

func TestCancelledLoad(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tree := fstest.MapFS{"site.yml": {Data: []byte("- hosts: all\n")}}
	p, _, found := Load(ctx, Source{FS: tree, Path: "site.yml"}, testRegistry(t), Options{})
	if p != nil || !found.HasErrors() {
		t.Error("a cancelled load gave a playbook")
	}
}

func TestPlaybookThatIsNotThere(t *testing.T) {
	p, _, found := Load(context.Background(), Source{FS: fstest.MapFS{}, Path: "no.yml"}, testRegistry(t), Options{})
	if p != nil || len(found) != 1 || !strings.Contains(found[0].Summary, "no.yml: cannot be read: file does not exist") {
		t.Errorf("got %v", found)
	}
}

func first(t *testing.T, text string) *Task {
	t.Helper()
	p, sources, found := loadFiles(t, map[string]string{"site.yml": "- hosts: all\n  tasks:\n" + text})
	if p == nil {
		t.Fatal(report(nil, sources, found))
	}
	return p.Plays[0].Stages[1].Steps[0].(*Task)
}

func TestSettingsAreRendered(t *testing.T) {
	task := first(t, `
    - ping:
      become: "{{ b }}"
      become_user: "{{ u }}"
      timeout: "{{ n }}"
      environment:
        - {A: 1, B: "{{ u }}"}
        - {A: "{{ n }}"}
`)
	ctx, s := context.Background(), expression.Variables{"b": "yes", "u": "op", "n": 5}
	if on, err := task.Become.Get(ctx, s); err != nil || !on {
		t.Error(on, err)
	}
	if d, err := task.Timeout.Get(ctx, s); err != nil || d.Seconds() != 5 {
		t.Error(d, err)
	}
	env, err := task.Env(ctx, s)
	if diff := cmp.Diff(map[string]string{"A": "5", "B": "op"}, env); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if _, err := task.Become.Get(ctx, expression.Variables{"b": "perhaps"}); err == nil || !strings.Contains(err.Error(), `become: must be yes or no, not "perhaps"`) {
		t.Error(err)
	}
	_, err = task.BecomeUser.Get(ctx, expression.Variables{"u": expression.Unknown{Reason: "r"}})
	if reason, ok := IsUnknown(err); !ok || reason != "r" {
		t.Error(err)
	}
}

func TestArgumentsAreRendered(t *testing.T) {
	task := first(t, `
    - copy: {dest: "/{{ d }}", content: "{{ c }}", mode: "{{ m | default(omit) }}"}
`)
	ctx := context.Background()
	args, err := task.Args.Render(ctx, expression.Variables{"d": "x", "c": 5, "omit": scope.Omit})
	if diff := cmp.Diff(map[string]any{"dest": "/x", "content": 5}, args); diff != "" || err != nil {
		t.Error(err, diff)
	}
	_, err = task.Args.Render(ctx, expression.Variables{"d": "x", "c": expression.Unknown{Reason: "r"}, "omit": scope.Omit})
	if reason, ok := IsUnknown(err); !ok || reason != "r" {
		t.Error(err)
	}
}

func TestBatches(t *testing.T) {
	for text, want := range map[string][]int{
		"1": {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "3": {3, 3, 3, 1}, "30%": {3, 3, 3, 1}, "[1, 5]": {1, 5, 4}, "[1, '50%', '100%']": {1, 5, 4}, "5%": {1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, "100": {10},
	} {
		p, _, found := loadFiles(t, map[string]string{"site.yml": "- hosts: all\n  serial: " + text + "\n"})
		if p == nil {
			t.Fatal(found)
		}
		if diff := cmp.Diff(want, p.Plays[0].Batches(10)); diff != "" {
			t.Errorf("serial: %s (-want +got)\n%s", text, diff)
		}
	}
	if got := (&Play{}).Batches(3); len(got) != 1 || got[0] != 3 {
		t.Error(got)
	}
	if got := (&Play{}).Batches(0); len(got) != 0 {
		t.Error(got)
	}
}

func TestBrokenYAML(t *testing.T) {
	p, _, found := loadFiles(t, map[string]string{"site.yml": "- hosts: all\n  tasks:\n    - copy: {src: a\n    - ping:\n"})
	if p != nil || len(found) != 1 || found[0].Range.File != "site.yml" || found[0].Range.Start.Line < 3 {
		t.Error(found)
	}
}
