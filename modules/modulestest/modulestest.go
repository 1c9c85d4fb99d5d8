// Package modulestest is the conformance suite that every module runs. What it
// asks of a module is what its contract promises: a check that writes nothing and
// foretells exactly what the run then does, a run that leaves nothing to do, old
// or new state when it is cancelled, and an error when it could not look.
package modulestest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

var update = flag.Bool("update", false, "write the changes that were seen into the fixtures")

// Fixtures runs every file DIR/MODULE/*.txtar as a test of that module, with all
// laws. A module without any fixture fails when must names it.
func Fixtures(t *testing.T, registry *modules.Registry, dir string, must ...string) {
	t.Helper()
	for _, name := range must {
		spec, ok := registry.Find(name)
		if !ok {
			t.Fatalf("there is no module %s", name)
		}
		files, err := filepath.Glob(filepath.Join(dir, name, "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Errorf("module %s has no fixtures in %s: %v", name, dir, err)
		}
		for _, file := range files {
			f, err := loadFixture(file)
			if err != nil {
				t.Error(err)
				continue
			}
			t.Run(name+"/"+f.name, func(t *testing.T) { f.run(t, spec) })
		}
	}
}

// run holds one fixture against the laws.
func (f *fixture) run(t *testing.T, spec *modules.Spec) {
	if _, root := f.sections["root"]; root && os.Geteuid() != 0 {
		t.Skip("needs root, to give files to other users")
	}
	root := Dir(t)
	f.plant(t, root)
	args := f.args(t, spec, root, t.TempDir())
	module, problems := spec.Decode(args, Contents{})
	if len(problems) > 0 {
		f.fails(t, problems[0].Summary)
		return
	}
	machine := sys.NewReal()
	ran := Predicted(t, module, machine, root)
	if ran.Status == modules.Failed || f.sections["error"] != "" {
		f.fails(t, ran.Message)
		return
	}
	f.told(t, ran, root)
	f.became(t, machine, root)
	f.faults(t, spec)
	f.cancels(t, spec)
}

// fails holds a message against the section error.
func (f *fixture) fails(t *testing.T, message string) {
	t.Helper()
	want := strings.TrimSpace(f.sections["error"])
	if want == "" || !strings.Contains(message, want) {
		t.Errorf("failed with %q, want an error with %q", message, want)
	}
}

// Dir is an empty directory for one test, in memory where the machine offers that:
// a real disk takes its time over each fsync.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "rbdplay-test-") //nolint:usetesting // see above
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Predicted runs m on a shadow of host and then on host, and holds the two
// against each other: the check wrote nothing at or below root, both ended alike,
// with the same changes and result, and a second run of each finds nothing to do.
// Of the folders besides, only that the check left them alone is held: what the
// system's own programs write there is not foretold. It returns the run's outcome.
func Predicted(t systest.TB, m modules.Module, host sys.Host, root string, besides ...string) modules.Outcome {
	t.Helper()
	before := systest.Tree(t, host, root)
	around := trees(t, host, besides)
	shadow := sys.NewShadow(host)
	checked := modules.Run(t.Context(), m, shadow, modules.Emit{})
	foretold := systest.Tree(t, shadow, root) // now, since the shadow reads on from what lies beneath
	if checked.Status == modules.Changed {
		nothingLeft(t, m, shadow, root)
	}
	if diff := cmp.Diff(before, systest.Tree(t, host, root)); diff != "" {
		t.Fatalf("the check wrote to the host (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(around, trees(t, host, besides)); diff != "" {
		t.Fatalf("the check wrote to the host (-before +after):\n%s", diff)
	}
	ran := modules.Run(t.Context(), m, host, modules.Emit{})
	if diff := cmp.Diff(steady(checked), steady(ran)); diff != "" {
		t.Fatalf("the check foretold something else (-check +run):\n%s", diff)
	}
	after := systest.Tree(t, host, root)
	if diff := cmp.Diff(systest.Portable(foretold), systest.Portable(after)); diff != "" {
		t.Fatalf("the host became something else than its shadow (-shadow +host):\n%s", diff)
	}
	if ran.Status == modules.Changed {
		nothingLeft(t, m, host, root)
		return ran
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Fatalf("the run said %s (%s) and changed the host (-before +after):\n%s", ran.Status, ran.Message, diff)
	}
	return ran
}

func trees(t systest.TB, host sys.Reader, roots []string) map[string]map[string]systest.Entry {
	t.Helper()
	all := map[string]map[string]systest.Entry{}
	for _, root := range roots {
		all[root] = systest.Tree(t, host, root)
	}
	return all
}

// nothingLeft runs m once more: there must be nothing to do but events, and with
// nothing to do nothing is written.
func nothingLeft(t systest.TB, m modules.Module, host sys.Host, root string) {
	t.Helper()
	before := systest.Tree(t, host, root)
	again := modules.Run(t.Context(), m, host, modules.Emit{})
	if again.Status == modules.Failed || len(states(again.Changes)) > 0 {
		t.Fatalf("a second run on a %T ended %s, %s, with the changes %v", host, again.Status, again.Message, again.Changes)
	}
	if diff := cmp.Diff(before, systest.Tree(t, host, root)); diff != "" && len(again.Changes) == 0 {
		t.Fatalf("a second run wrote to the %T (-before +after):\n%s", host, diff)
	}
}

// steady leaves out of an outcome what may differ between a check and a run: inode
// numbers, and times that come from the clock.
func steady(o modules.Outcome) modules.Outcome {
	stat, ok := o.Result["stat"].(map[string]any)
	if !ok {
		return o
	}
	o.Result, stat = maps.Clone(o.Result), maps.Clone(stat)
	for _, key := range []string{"inode", "atime", "ctime", "mtime", "dev", "blocks"} {
		delete(stat, key)
	}
	o.Result["stat"] = stat
	return o
}

// states are the changes that are no events.
func states(changes []change.Change) []change.Change {
	return slices.DeleteFunc(slices.Clone(changes), change.Change.Event)
}

// told holds what the run reported against the fixture.
func (f *fixture) told(t *testing.T, ran modules.Outcome, root string) {
	t.Helper()
	changes := describe(ran.Changes, root)
	if *update {
		f.update(t, changes)
		return
	}
	if diff := cmp.Diff(strings.TrimSpace(f.sections["changes"]), strings.TrimSpace(changes)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	var want map[string]any
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(f.sections["result.yaml"], "$ROOT", root)), &want); err != nil {
		t.Fatalf("result.yaml: %v", err)
	}
	for key, value := range want {
		if diff := cmp.Diff(plain(t, value), plain(t, ran.Result[key])); diff != "" {
			t.Errorf("result %s (-want +got):\n%s", key, diff)
		}
	}
}

// plain takes a value through JSON, so that numbers of any type compare.
func plain(t *testing.T, value any) any {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// became holds the tree against the fixture: contents, then what after.tree says.
func (f *fixture) became(t *testing.T, host sys.Reader, root string) {
	t.Helper()
	tree := systest.Tree(t, host, root)
	got := map[string]string{}
	for name, entry := range tree {
		if entry.Type != sys.Regular {
			continue
		}
		if text, err := os.ReadFile(filepath.Join(root, name)); err == nil && utf8Text(text) {
			got[name] = string(text)
		}
	}
	want := f.expectedFiles()
	for line := range strings.Lines(f.sections["before.tree"] + f.sections["after.tree"]) {
		if fields := strings.Fields(line); len(fields) > 0 {
			name := filepath.Clean(fields[0])
			if _, told := want[name]; !told {
				delete(got, name) // known by its entry alone
			}
			if is := tree[name].Type; is == sys.Symlink || is == sys.Directory {
				delete(want, name) // no file any more
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for line := range strings.Lines(f.sections["after.tree"]) {
		if strings.TrimSpace(line) != "" {
			f.entryBecame(t, tree, strings.TrimSpace(strings.ReplaceAll(line, "$ROOT", root)))
		}
	}
	for p := range strings.FieldsSeq(f.sections["gone"]) {
		if _, there := tree[filepath.Clean(p)]; there {
			t.Errorf("%s is still there", p)
		}
	}
}

func utf8Text(text []byte) bool { return len(text) < 1<<20 && !bytes.ContainsRune(text, 0) }

func (f *fixture) entryBecame(t *testing.T, tree map[string]systest.Entry, line string) {
	t.Helper()
	fields := strings.Fields(line)
	entry, there := tree[filepath.Clean(fields[0])]
	switch {
	case !there:
		t.Errorf("after.tree: %s is not there", fields[0])
	case len(fields) == 3 && fields[1] == "->":
		if entry.Target != fields[2] {
			t.Errorf("after.tree: %s leads to %q", line, entry.Target)
		}
	case len(fields) == 3 && fields[1] == "=":
		if first := tree[filepath.Clean(fields[2])]; first.Inode != entry.Inode {
			t.Errorf("after.tree: %s: they are two files", line)
		}
	case strings.HasSuffix(fields[0], "/") && entry.Type != sys.Directory:
		t.Errorf("after.tree: %s is a %s", fields[0], entry.Type)
	case len(fields) == 2 && fields[1] != entry.Mode && fields[1] != string(entry.Type):
		t.Errorf("after.tree: %s: it is a %s with mode %s", line, entry.Type, entry.Mode)
	}
}

// mostCalls bounds how far into a fixture's calls the tests interfere: each of the
// first ones in turn, then every few.
const mostCalls = 60

func next(at int64) int64 { return at + 1 + at/8 }

// faults makes each look of the plan fail in turn: the module must fail as well,
// saying so, and must have done nothing.
func (f *fixture) faults(t *testing.T, spec *modules.Spec) {
	t.Helper()
	for at := int64(1); at <= mostCalls; at = next(at) {
		root := Dir(t)
		f.plant(t, root)
		module, _ := spec.Decode(f.args(t, spec, root, t.TempDir()), Contents{})
		host := interfered{Host: sys.NewReal(), calls: &atomic.Int64{}, at: at, fail: true}
		before := systest.Tree(t, host.Host, root)
		_, err := module.Plan(t.Context(), sys.ReadOnly(host))
		if host.calls.Load() < at {
			return
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("look %d failed with an input/output error, and Plan returned %v", at, err)
		}
		if diff := cmp.Diff(before, systest.Tree(t, host.Host, root)); diff != "" {
			t.Fatalf("a plan wrote to the host (-before +after):\n%s", diff)
		}
	}
}

// cancels ends the task at each call in turn: every path must then be as it was or
// as it should become, with nothing left beside.
func (f *fixture) cancels(t *testing.T, spec *modules.Spec) {
	t.Helper()
	whole := Dir(t)
	f.plant(t, whole)
	machine := sys.NewReal()
	before := contents(systest.Tree(t, machine, whole), whole)
	module, _ := spec.Decode(f.args(t, spec, whole, t.TempDir()), Contents{})
	modules.Run(t.Context(), module, machine, modules.Emit{})
	after := contents(systest.Tree(t, machine, whole), whole)
	for at := int64(1); at <= mostCalls; at = next(at) {
		root := Dir(t)
		f.plant(t, root)
		module, _ := spec.Decode(f.args(t, spec, root, t.TempDir()), Contents{})
		ctx, cancel := context.WithCancel(t.Context())
		host := interfered{Host: machine, calls: &atomic.Int64{}, at: at, happen: cancel, writes: true}
		modules.Run(ctx, module, host, modules.Emit{})
		cancel()
		for p, got := range contents(systest.Tree(t, machine, root), root) {
			if got != before[p] && got != after[p] {
				t.Fatalf("cancelled at call %d, %s became %q, which is neither what it was, %q, nor what it should be, %q", at, p, got, before[p], after[p])
			}
		}
		if host.calls.Load() < at {
			return
		}
	}
}

// contents sums up each entry for comparing across directories of other names.
func contents(tree map[string]systest.Entry, root string) map[string]string {
	sums := map[string]string{}
	for p, e := range tree {
		sums[p] = strings.ReplaceAll(string(e.Type)+" "+e.Content+e.Target, root, "$ROOT")
	}
	return sums
}
