package engine_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/play"
)

// countingFS counts how often its files are opened.
type countingFS struct {
	fs.FS
	mu     sync.Mutex
	opened map[string]int
}

func (c *countingFS) Open(name string) (fs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened[name]++
	return c.FS.Open(name)
}

func (c *countingFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(c.FS, name) }

// runDir runs the playbook in dir/site.yml and gives the file system it was read
// from.
func (l *lab) runDir(dir string, roots map[string]any) (*countingFS, string) {
	l.t.Helper()
	fsys := &countingFS{FS: os.DirFS(dir), opened: map[string]int{}}
	playbook, _, found := play.Load(l.t.Context(), play.Source{FS: fsys, Path: "site.yml"}, l.registry, play.Options{})
	if err := found.ErrorOrNil(); err != nil {
		l.t.Fatal(err)
	}
	fsys.opened = map[string]int{}
	l.events = nil
	if _, err := engine.Run(l.t.Context(), engine.Options{Playbook: playbook, Inventory: l.inv, Registry: l.registry, Connector: l, Sink: l, ExtraVars: map[string]any{"root": roots}}); err != nil {
		l.t.Fatal(err)
	}
	return fsys, trace(l.events)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestContent(t *testing.T) {
	large := strings.Repeat("0123456789abcdef\n", 4000)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "files/small"), "small\n")
	write(t, filepath.Join(dir, "files/empty"), "")
	write(t, filepath.Join(dir, "files/large"), large)
	write(t, filepath.Join(dir, "files/tree/one/two"), "deep\n")
	write(t, filepath.Join(dir, "files/tree/large"), large+"x")
	write(t, filepath.Join(dir, "templates/page"), "on {{ inventory_hostname }}\n"+large)
	write(t, filepath.Join(dir, "site.yml"), `
- hosts: all
  gather_facts: false
  tasks:
    - {name: Small, copy: {src: small, dest: "{{ root[inventory_hostname] }}/etc/small"}}
    - {name: Empty, copy: {src: empty, dest: "{{ root[inventory_hostname] }}/etc/empty"}}
    - {name: Large, copy: {src: large, dest: "{{ root[inventory_hostname] }}/etc/large"}}
    - {name: Tree, copy: {src: tree, dest: "{{ root[inventory_hostname] }}"}}
    - {name: Template, template: {src: page, dest: "{{ root[inventory_hostname] }}/etc/page"}}
`)
	l := newLab(t, "a,b,c,")
	roots := l.onDisk()
	for _, h := range []string{"a", "b", "c"} {
		l.hosts[h].Mkdir("/etc")
	}
	fsys, got := l.runDir(dir, roots)
	compare(t, `
Small: a changed, b changed, c changed
Empty: a changed, b changed, c changed
Large: a changed, b changed, c changed
Tree: a changed, b changed, c changed
Template: a changed, b changed, c changed
= a ok=5 changed=5; b ok=5 changed=5; c ok=5 changed=5`, got)
	// What is large is read once for its digest, and again for each host that
	// lacks it.
	for name, want := range map[string]int{"files/small": 1, "files/empty": 1, "files/large": 4, "files/tree/large": 4} {
		if n := fsys.opened[name]; n != want {
			t.Errorf("%s was opened %d times, want %d", name, n, want)
		}
	}
	for path, want := range map[string]string{
		"/etc/small": "small\n", "/etc/empty": "", "/etc/large": large,
		"/tree/one/two": "deep\n", "/tree/large": large + "x", "/etc/page": "on b\n" + large,
	} {
		if got := l.hosts["b"].ReadFile(path); got != want {
			t.Errorf("%s holds %d bytes that are not those sent", path, len(got))
		}
	}
	fsys, got = l.runDir(dir, roots)
	if n := fsys.opened["files/large"]; n != 1 || !strings.Contains(got, "Large: a ok, b ok, c ok") {
		t.Errorf("where it is already, it was opened %d times\n%s", n, got)
	}
}

// A playbook may write on the controller what it sends later.
func TestFileChangesDuringTheRun(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "files/word"), "first")
	write(t, filepath.Join(dir, "site.yml"), `
- hosts: all
  gather_facts: false
  tasks:
    - {name: One, copy: {src: word, dest: "{{ root[inventory_hostname] }}/etc/one"}}
    - {name: Change, ping: {}}
    - {name: Two, copy: {src: word, dest: "{{ root[inventory_hostname] }}/etc/two"}}
`)
	l := newLab(t, "a,")
	roots := l.onDisk()
	l.hosts["a"].Mkdir("/etc")
	l.before = func(_ context.Context, _ string, task agent.Task) error {
		if task.Module == "ping" {
			write(t, filepath.Join(dir, "files/word"), "later")
			later := time.Now().Add(time.Hour)
			return os.Chtimes(filepath.Join(dir, "files/word"), later, later)
		}
		return nil
	}
	l.runDir(dir, roots)
	if one, two := l.hosts["a"].ReadFile("/etc/one"), l.hosts["a"].ReadFile("/etc/two"); one != "first" || two != "later" {
		t.Errorf("got %q and %q", one, two)
	}
}

func TestTreeOfAnotherHost(t *testing.T) {
	const playbook = `
- hosts: b,c
  gather_facts: false
  tasks:
    - {name: Write, copy: {content: new, dest: "{{ root.a }}/srv/data/new"}, delegate_to: a, run_once: true}
    - {name: Sync, synchronize: {src: "{{ root.a }}/srv/data/", src_host: a, dest: "{{ root[inventory_hostname] }}/copy", delete: true}}
`
	large := strings.Repeat("0123456789abcdef\n", 4000)
	l := newLab(t, "a,b,c,")
	roots := l.onDisk()
	vars := func(o *engine.Options) { o.ExtraVars = map[string]any{"root": roots} }
	l.hosts["a"].WriteFile("/srv/data/old", large, 0o644)
	_, foretold := l.run(playbook, nil, vars, check)
	shown := changesOf(l.events)
	_, got := l.run(playbook, nil, vars)
	compare(t, "Write: b changed by a\nSync: b changed, c changed\n= b ok=2 changed=2; c ok=1 changed=1", got)
	compare(t, foretold, got)
	if done := changesOf(l.events); len(done["c"]) == 0 || len(done["c"]) != len(shown["c"]) {
		t.Errorf("check %v, run %v", shown["c"], done["c"])
	}
	for _, host := range []string{"b", "c"} {
		if l.hosts[host].ReadFile("/copy/old") != large || l.hosts[host].ReadFile("/copy/new") != "new" {
			t.Errorf("%s has other files", host)
		}
	}
	l.trees = nil
	l.run("- hosts: b\n  gather_facts: false\n  tasks: [{name: Sync, synchronize: {src: '{{ root.a }}/srv/data/', src_host: a, dest: '{{ root.b }}/other'}, check_mode: true}]\n", nil, vars)
	if want := l.hosts["a"].Path("/srv/data"); len(l.trees) != 1 || l.trees[0] != "a "+want+" false" {
		t.Errorf("a check in a real run must read the host as it is, not %v", l.trees)
	}
	l.down["a"] = true
	_, got = l.run("- hosts: b\n  gather_facts: false\n  tasks: [{name: Sync, synchronize: {src: /srv/data/, src_host: a, dest: /copy}}]\n", nil, vars)
	compare(t, "Sync: b unreachable\n= b unreachable=1", got)
}
