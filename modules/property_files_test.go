package modules_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// The law of every module with state: what the check foretells is what the run
// does, and then nothing is left to do. It is tried on random starting states and
// random arguments; arguments that the module refuses must leave all as it was,
// which modulestest.Predicted looks at too.

// law draws a tree and arguments, and holds the module against the law.
func law(t *testing.T, module string, plant func(*rapid.T, string), draw func(*rapid.T, string) map[string]any) {
	t.Helper()
	spec, ok := registry(t).Find(module)
	if !ok {
		t.Fatalf("there is no module %s", module)
	}
	ends := map[modules.Status]int{}
	base := modulestest.Dir(t)
	property := func(rt *rapid.T) {
		root, err := os.MkdirTemp(base, "")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(root)
		plant(rt, root)
		m, problems := spec.Decode(draw(rt, root), modulestest.Contents{})
		if len(problems) > 0 {
			ends["refused"]++
			return
		}
		ends[modulestest.Predicted(rt, m, sys.NewReal(), root).Status]++
	}
	metBoth := func() bool { return ends[modules.Changed] > 0 && ends[modules.OK] > 0 }
	for round := 0; round == 0 || round < 5 && !metBoth(); round++ { // chance may withhold one of them
		rapid.Check(t, property)
	}
	t.Logf("outcomes: %v", ends)
	if !metBoth() {
		t.Errorf("the arguments never met both a change and nothing to do: %v", ends)
	}
}

// some draws one of the values under the name label.
func some[T any](t *rapid.T, label string, values ...T) T {
	return rapid.SampledFrom(values).Draw(t, label)
}

// given adds arguments, each of them only sometimes.
func given(t *rapid.T, args map[string]any, more map[string][]any) map[string]any {
	for _, name := range slices.Sorted(maps.Keys(more)) { // rapid replays draws in order
		if rapid.Bool().Draw(t, "give "+name) {
			args[name] = rapid.SampledFrom(more[name]).Draw(t, name)
		}
	}
	return args
}

// text draws a file of few different lines, with and without newline at the end.
func text(t *rapid.T, lines ...string) string {
	out := ""
	for i, n := 0, rapid.IntRange(0, 5).Draw(t, "lines"); i < n; i++ {
		out += some(t, "line", lines...) + some(t, "end", "\n", "\n", "\n", "\r\n")
	}
	if rapid.Bool().Draw(t, "unfinished") && out != "" {
		out += "last"
	}
	return out
}

// plantText makes a file, a link to one, or nothing, at root/conf.
func plantText(lines ...string) func(*rapid.T, string) {
	return func(t *rapid.T, root string) {
		at := filepath.Join(root, "conf")
		if rapid.Bool().Draw(t, "behind a link") {
			must(t, os.Symlink("real", at))
			at = filepath.Join(root, "real")
		}
		if rapid.IntRange(0, 7).Draw(t, "there") > 0 {
			must(t, os.WriteFile(at, []byte(text(t, lines...)), some(t, "mode", os.FileMode(0o644), 0o600)))
			if os.Geteuid() == 0 && rapid.Bool().Draw(t, "of somebody else") {
				must(t, os.Chown(at, 1234, 5678))
			}
		}
	}
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var textArguments = map[string][]any{
	"mode": {"0600", "u+x", "a+r,go-w"}, "backup": {true}, "create": {true},
}

func alsoGiven(base, more map[string][]any) map[string][]any {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

func TestLawLineinfile(t *testing.T) {
	law(t, "lineinfile", plantText("a=1", "a=2", "#a=1", "b", ""), func(t *rapid.T, root string) map[string]any {
		return given(t, map[string]any{"path": root + "/conf", "line": some(t, "line", "a=1", "a=3", `\1=9`, "c")}, alsoGiven(textArguments, map[string][]any{
			"regexp": {"^#?(a)=", "^(a)=", "(.*)", "b"}, "search_string": {"a=", "b"}, "state": {"absent"}, "backrefs": {true},
			"insertafter": {"^a", "EOF", "b"}, "insertbefore": {"^a", "BOF"}, "firstmatch": {true},
		}))
	})
}

func TestLawReplace(t *testing.T) {
	law(t, "replace", plantText("a=1", "a=2", "[x]", "b"), func(t *rapid.T, root string) map[string]any {
		arguments := alsoGiven(textArguments, map[string][]any{"after": {`\[x\]`, "b"}, "before": {`\[x\]`}})
		delete(arguments, "create")
		return given(t, map[string]any{
			"path": root + "/conf", "regexp": some(t, "regexp", "^(a)=1$", "a", "=", "$", "(?P<n>b)"), "replace": some(t, "replace", `\1=3`, "", "z", `\g<0>\n`),
		}, arguments)
	})
}

func TestLawBlockinfile(t *testing.T) {
	law(t, "blockinfile", plantText("a", "# BEGIN ANSIBLE MANAGED BLOCK", "# END ANSIBLE MANAGED BLOCK", ""), func(t *rapid.T, root string) map[string]any {
		return given(t, map[string]any{"path": root + "/conf", "block": some(t, "block", "", "x", "a\nb\n", "\n")}, alsoGiven(textArguments, map[string][]any{
			"state": {"absent"}, "insertafter": {"a", "EOF"}, "insertbefore": {"a", "BOF"}, "append_newline": {true}, "prepend_newline": {true},
		}))
	})
}

func TestLawIniFile(t *testing.T) {
	lines := []string{"[s]", "[ t ] # x", "a = 1", "a=2", "#a = 1", "; a=3", "a", "b = a = 1", "", "# note"}
	law(t, "ini_file", plantText(lines...), func(t *rapid.T, root string) map[string]any {
		args := given(t, map[string]any{"path": root + "/conf"}, alsoGiven(textArguments, map[string][]any{
			"section": {"s", "t", "new"}, "option": {"a", "b"}, "state": {"absent"}, "exclusive": {false}, "allow_no_value": {true},
			"no_extra_spaces": {true}, "ignore_spaces": {true}, "modify_inactive_option": {false},
		}))
		switch some(t, "how many values", 0, 1, 2) {
		case 1:
			args["value"] = some(t, "value", "1", "3", "", "x = y")
		case 2:
			args["values"] = []any{some(t, "first", "1", "2"), some(t, "second", "1", "4"), "2"}
		}
		return args
	})
}

func TestLawHosts(t *testing.T) {
	lines := []string{"127.0.0.1 localhost", "::1 localhost a", "10.0.0.1\ta b # c", "10.0.0.2   b", "# 10.0.0.1 a", "10.0.0.2", "nonsense a"}
	law(t, "hosts", plantText(lines...), func(t *rapid.T, root string) map[string]any {
		ips := []any{"10.0.0.1", "10.0.0.2", "::1", "fe80::1"}
		return map[string]any{
			"path": root + "/conf", "state": some(t, "state", "present", "present", "absent"),
			"names": map[string]any{some(t, "name", "a", "B"): some(t, "ip", ips...), some(t, "other name", "b", "c"): some(t, "other ip", ips...)},
		}
	})
}

// plantFiles makes a small tree of everything: files, a directory, links, a hard
// link, odd names, a hole.
func plantFiles(t *rapid.T, root string) {
	old := time.Date(2018, 3, 6, 12, 0, 0, 123456789, time.UTC)
	must(t, os.Mkdir(root+"/d", some(t, "mode of d", os.FileMode(0o755), 0o700)))
	for _, name := range []string{"f", "d/in\n ner", "d/.dot"} {
		if rapid.Bool().Draw(t, "plant "+name) {
			must(t, os.WriteFile(filepath.Join(root, name), []byte(some(t, "content", "one\n", "two\n", "")), 0o644))
			must(t, os.Chtimes(filepath.Join(root, name), old, old))
		}
	}
	if rapid.Bool().Draw(t, "plant l") {
		must(t, os.Symlink(some(t, "target", "f", "d", "nowhere"), root+"/l"))
	}
	if _, err := os.Stat(root + "/f"); err == nil && rapid.Bool().Draw(t, "plant h") {
		must(t, os.Link(root+"/f", root+"/h"))
	}
	if rapid.Bool().Draw(t, "plant hole") {
		must(t, os.WriteFile(root+"/hole", nil, 0o600))
		must(t, os.Truncate(root+"/hole", 300_000))
	}
}

func TestLawFile(t *testing.T) {
	law(t, "file", plantFiles, func(t *rapid.T, root string) map[string]any {
		return given(t, map[string]any{"path": root + "/" + some(t, "path", "f", "d", "l", "h", "new", "d/new/er", "f/x")}, map[string][]any{
			"state": {"file", "directory", "link", "hard", "absent", "touch"}, "src": {"f", "d", root + "/f", "nowhere"},
			// Directories stay open to their owner: a shadow does not foretell what
			// permissions forbid to a user who is not root.
			"mode": {"0700", "u=rwX,go=", "a+x"}, "recurse": {true}, "follow": {false}, "force": {true},
			"modification_time": {"preserve", "202001020304.05"},
		})
	})
}

func TestLawCopy(t *testing.T) {
	law(t, "copy", plantFiles, func(t *rapid.T, root string) map[string]any {
		args := map[string]any{"dest": root + "/" + some(t, "dest", "f", "d", "l", "new", "d/new/", "d/.dot")}
		if rapid.Bool().Draw(t, "content") {
			args["content"] = some(t, "content", "one\n", "three\n", "")
		} else {
			args["src"], args["remote_src"] = root+"/"+some(t, "src", "f", "d", "l", "hole", "d/"), true
		}
		return given(t, args, map[string][]any{
			"mode": {"0600", "preserve", "g+w"}, "force": {false}, "follow": {true}, "backup": {true}, "directory_mode": {"0711"},
		})
	})
}

func TestLawAssemble(t *testing.T) {
	law(t, "assemble", func(t *rapid.T, root string) {
		plantFiles(t, root)
		joined := ""
		for _, name := range []string{"10-a", "9"} {
			if rapid.Bool().Draw(t, "fragment "+name) {
				content := text(t, "a", "b")
				joined += content
				must(t, os.WriteFile(root+"/d/"+name, []byte(content), 0o644))
			}
		}
		must(t, os.WriteFile(root+"/there", []byte(joined), 0o644))
	}, func(t *rapid.T, root string) map[string]any {
		return given(t, map[string]any{"src": root + "/" + some(t, "src", "d", "d", "d", "l"), "dest": root + "/" + some(t, "dest", "new", "there", "there", "l", "d/zz")}, map[string][]any{
			"delimiter": {"---", `\n\x2d\n`}, "regexp": {"[0-9]"}, "ignore_hidden": {true}, "backup": {true}, "mode": {"0600"},
		})
	})
}

func TestLawMove(t *testing.T) {
	law(t, "move", plantFiles, func(t *rapid.T, root string) map[string]any {
		return map[string]any{
			"src": root + "/" + some(t, "src", "f", "d", "l", "gone"), "dest": root + "/" + some(t, "dest", "new", "f", "d", "d/new", "h"),
		}
	})
}

func TestLawSynchronize(t *testing.T) {
	law(t, "synchronize", func(t *rapid.T, root string) {
		for _, side := range []string{"/src", "/dest"} {
			if side == "/src" || rapid.Bool().Draw(t, "dest is there") {
				must(t, os.Mkdir(root+side, 0o755))
				plantFiles(t, root+side)
			}
		}
		if rapid.IntRange(0, 19).Draw(t, "many") == 0 {
			must(t, os.Mkdir(root+"/src/many", 0o755))
			for i := range 210 {
				must(t, os.WriteFile(fmt.Sprintf("%s/src/many/%d", root, i), nil, 0o644))
			}
		}
	}, func(t *rapid.T, root string) map[string]any {
		return given(t, map[string]any{"src": root + "/src" + some(t, "slash", "", "/"), "dest": root + "/dest", "remote_src": true}, map[string][]any{
			"delete": {true}, "checksum": {true}, "archive": {false}, "times": {false}, "perms": {false}, "exclude": {"f", "/d/", "*"},
		})
	})
}
