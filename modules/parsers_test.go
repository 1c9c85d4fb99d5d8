package modules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// seed adds what real programs have printed to a corpus.
func seed(f *testing.F, pattern string) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "recorded", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("no recorded outputs %s: %v", pattern, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// Whatever gluster prints: a refusal is never taken for a state.
func FuzzParseGluster(f *testing.F) {
	seed(f, "gluster_*.xml")
	f.Add([]byte("Connection failed. Please check if gluster daemon is operational.\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out, err := parseGluster(data)
		if err == nil && out.OpRet != 0 {
			t.Errorf("opRet %d is no error", out.OpRet)
		}
		for _, v := range out.Volumes {
			v.state()
		}
		for _, h := range out.Heal {
			if h.entries() < -1 {
				t.Errorf("%d entries", h.entries())
			}
		}
	})
}

func FuzzParseHashes(f *testing.F) {
	f.Add([]byte("rbd-dns " + strings.Repeat("a", 64) + "\nrbd-lb " + strings.Repeat("0", 64) + "\n"))
	f.Add([]byte("WARNING: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		services, err := parseHashes(data)
		if err != nil {
			return
		}
		for _, s := range services {
			if s.name == "" || strings.ContainsAny(s.name, " \t\n") || len(s.hash) < 40 {
				t.Errorf("%q was read as %+v", data, s)
			}
		}
	})
}

func FuzzParseContainerNames(f *testing.F) {
	seed(f, "compose_config.yaml")
	f.Add([]byte("services:\n  a:\n    container_name: '1'\nvolumes:\n  b:\n    container_name: x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for service, name := range parseContainerNames(data) {
			if service == "" || strings.ContainsAny(name, "\n") {
				t.Errorf("service %q is called %q", service, name)
			}
		}
	})
}

func FuzzParseInspect(f *testing.F) {
	f.Add([]byte(`{"Id":"a","Name":"/b","State":{"Status":"running","Pid":1},"Config":{"Labels":{"x":"y"}}}` + "\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := parseInspect(data); err != nil && list != nil {
			t.Error("an error with a list")
		}
	})
}

func FuzzParseNodes(f *testing.F) {
	seed(f, "grctl_node_list.txt")
	f.Add([]byte("+-----+----+\n| Uid | IP |\n+-----+----+\n| a   | b  |\n+-----+----+\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		nodes, err := parseNodes(string(data))
		if err == nil && nodes == nil {
			t.Error("no table, and no error")
		}
	})
}

func FuzzJudgeDomain(f *testing.F) {
	f.Add("domain change Success!!!")
	f.Add("domain change error!!!")
	f.Add("DOMAIN NOT ALLOW")
	f.Fuzz(func(t *testing.T, output string) {
		if err := judgeDomain(output); err == nil && strings.Contains(output, "error!!!") && !strings.Contains(output, "Success") && !strings.Contains(output, "NOT ALLOW") {
			t.Errorf("%q was taken for a success", output)
		}
	})
}

func TestParseContainerNames(t *testing.T) {
	data, err := os.ReadFile("testdata/recorded/compose_config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"rbd-db": "rbd-db", "rbd-dns": "rbd-dns", "rbd-hub": "rbd-hub", "rbd-lb": "rbd-lb", "rbd-repo": "rbd-repo"}
	if diff := cmp.Diff(want, parseContainerNames(data)); diff != "" {
		t.Error(diff)
	}
}

func TestParseNodesBetweenRules(t *testing.T) {
	nodes, err := parseNodes("+---+---+\n| Uid | Alived |\n+---+---+\n| a | TRUE |\n| b | false |\n+---+---+\n")
	want := []map[string]any{{"uid": "a", "alived": true}, {"uid": "b", "alived": false}}
	if diff := cmp.Diff(want, nodes); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := parseNodes("Uid IP\na b c\n"); err == nil {
		t.Error("a line with too many columns was taken")
	}
}

// A link inside of a container must not lead out of it.
func TestRealpathWithin(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"/data", "/var/lib"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/data/my.sock", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"/var/run": "/data", "/data/up": "../../../../data", "/data/loop": "loop", "/out": "/etc/../../../../etc/passwd", "/var/lib/s": "../../data/my.sock",
	} {
		if err := os.Symlink(target, root+link); err != nil {
			t.Fatal(err)
		}
	}
	files := sys.NewReal().Files()
	for path, want := range map[string]string{
		"/data/my.sock": "/data/my.sock", "/var/run/my.sock": "/data/my.sock", "/data/up/up/my.sock": "/data/my.sock",
		"/var/lib/s": "/data/my.sock", "/../data/./my.sock": "/data/my.sock",
	} {
		if got, err := realpathWithin(t.Context(), files, root, path); err != nil || got != root+want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"/out", "/data/loop", "/none"} {
		if got, err := realpathWithin(t.Context(), files, root, path); err == nil {
			t.Errorf("%s led to %s", path, got)
		}
	}
}

// Whatever a file of local facts holds: a fact is told, and no section has the name of
// another's or is without keys in lower case.
func FuzzLocalFact(f *testing.F) {
	for _, text := range []string{`{"a": [1]}`, "[a]\nk = v\n more\n[DEFAULT]\nb: c\n", "[a]\nk\n", "k=v\n", "[a]\n[a]\n", "\t[a]\n=\n", "[]\n k=v"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if localFact("/x.fact", text) == nil && strings.TrimSpace(text) != "null" {
			t.Errorf("%q tells nothing", text)
		}
		sections, err := localSections(text)
		if err != nil {
			return
		}
		for name, section := range sections {
			for key := range section.(map[string]any) {
				if key != strings.ToLower(key) {
					t.Errorf("%q: the key %s of %s", text, key, name)
				}
			}
		}
	})
}
