package inventory

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/rbdplay/rbdplay/engine/diag"
)

var update = flag.Bool("update", false, "write the golden parts of testdata anew")

// TestLoad reads each testdata/*.txtar: the comment's first line lists the
// sources (and "playbook:DIR"), the files are laid out in a folder, and the part
// named "want" is what must come of them.
func TestLoad(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { testFixture(t, file) })
	}
}

func testFixture(t *testing.T, file string) {
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	fixture, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	want, at := "", -1
	for i, f := range fixture.Files {
		if f.Name == "want" {
			want, at = string(f.Data), i
			continue
		}
		write(t, f.Name, string(f.Data))
	}
	head, _, _ := strings.Cut(string(fixture.Comment), "\n")
	got := report(load(t, strings.Fields(head)))
	if *update && at >= 0 {
		fixture.Files[at].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(fixture), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, words []string) (*Inventory, diag.List, *diag.Sources) {
	t.Helper()
	o := Options{Sources: &diag.Sources{}}
	var sources []string
	for _, word := range words {
		if dir, ok := strings.CutPrefix(word, "playbook:"); ok {
			o.Playbook, o.PlaybookName = os.DirFS(dir), dir
			continue
		}
		sources = append(sources, word)
	}
	inv, found := Load(context.Background(), sources, o)
	return inv, found, o.Sources
}

// report shows all that an inventory says.
func report(inv *Inventory, found diag.List, sources *diag.Sources) string {
	var out bytes.Buffer
	for _, d := range found {
		_ = diag.Format(&out, d, sources, false)
	}
	if inv == nil {
		return out.String()
	}
	for _, g := range inv.Groups() {
		fmt.Fprintf(&out, "[%s]", g.Name)
		for _, h := range g.Hosts() {
			out.WriteString(" " + h.Name)
		}
		out.WriteString("\n")
	}
	hosts := inv.Hosts()
	if local, _ := inv.Host("localhost"); local.Implicit && len(local.VariableNames()) > 1 {
		hosts = append(hosts, local)
	}
	for _, h := range hosts {
		fmt.Fprintf(&out, "%s in %s\n", h.Name, strings.Join(h.GroupNames(), ", "))
		for _, name := range h.VariableNames() {
			for i, v := range h.Written(name) {
				value, _ := v.plain()
				lead := "  " + name + " ="
				if i > 0 {
					lead = "    hiding"
				}
				fmt.Fprintf(&out, "%s %#v (layer %d, %s)\n", lead, value, v.Layer, v.Origin())
			}
		}
	}
	return out.String()
}

func TestSourcesThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "run.sh", "#!/bin/sh\necho bad luck >&2\nexit 3\n")
	if err := os.Chmod("run.sh", 0o755); err != nil {
		t.Fatal(err)
	}
	inv, found := Load(context.Background(), []string{"hosts", "run.sh"}, Options{})
	if inv != nil {
		t.Error("an inventory came of nothing")
	}
	text := fmt.Sprint(found.Unwrap())
	for _, want := range []string{"inventory hosts: no such file", `"hosts,"`, "executable inventory ended with exit status 3: bad luck"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
}

func TestExecutableInventories(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, body := range map[string]string{
		"meta":   `[ "$1" = --list ] || exit 9; echo '{"web": {"hosts": ["a", "b"], "vars": {"x": 1}, "children": ["sub"]}, "sub": ["c"], "_meta": {"hostvars": {"a": {"y": "\ud83d\ude00"}, "nobody": {"z": 1}}}}'`,
		"single": `case "$1" in --list) echo '{"web": ["a", "b"]}' ;; --host) echo "{\"me\": \"$2\"}" ;; esac`,
		"broken": `echo '{"web": [}'`,
		"silent": `exit 0`,
	} {
		write(t, name, "#!/bin/sh\n"+body+"\n")
		if err := os.Chmod(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]string{
		"meta":   {"a in web\n", "  x = 1 (layer 3, group web, meta --list:1:", "  y = \"😀\" (layer 8, meta --list:1:", "c in sub, web\n"},
		"single": {"  me = \"a\" (layer 8, single --host a:1:2)", "  me = \"b\" (layer 8, single --host b:1:2)"},
		"broken": {"broken --list:1:10: error: the executable inventory prints no JSON"},
		"silent": {},
	} {
		got := report(load(t, []string{name}))
		for _, part := range want {
			if !strings.Contains(got, part) {
				t.Errorf("%s: %q is not in\n%s", name, part, got)
			}
		}
		if strings.Contains(got, "nobody") {
			t.Errorf("%s: a host that is in no group is there:\n%s", name, got)
		}
	}
}

func TestCancelledLoad(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if inv, found := Load(ctx, []string{"a,"}, Options{}); inv != nil || !found.HasErrors() {
		t.Error("a cancelled load gave an inventory")
	}
}

func TestImplicitLocalhost(t *testing.T) {
	inv, found := Load(context.Background(), []string{"web1,web2"}, Options{})
	if found.HasErrors() {
		t.Fatal(found)
	}
	h, ok := inv.Host("localhost")
	if !ok || !h.Implicit {
		t.Fatal("localhost is not there by itself")
	}
	c, err := ConnectionOf(h.Name, lookupIn(h))
	if err != nil || c.Kind != Local {
		t.Errorf("its connection is %q, %v", c.Kind, err)
	}
	for _, other := range inv.Hosts() {
		if other == h {
			t.Error("the implicit localhost is in all")
		}
	}
}
