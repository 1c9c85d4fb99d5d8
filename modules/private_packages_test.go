package modules_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// packageStep is a task, and what it must change: "name: from -> to".
type packageStep struct {
	before  string // a command of the shell, done before
	args    map[string]any
	changes string
	fails   string
}

// do holds check against run, and that the check wrote nothing to the folders.
func (s packageStep) do(t *testing.T, module string, folders ...string) {
	t.Helper()
	if s.before != "" {
		shell(t, s.before)
	}
	out := modulestest.Predicted(t, decoded(t, module, s.args), sys.NewReal(), t.TempDir(), folders...)
	if s.fails != "" {
		wantFailure(t, out, s.fails)
		return
	}
	var got []string
	for _, c := range out.Changes {
		_, text, _ := strings.Cut(shown([]change.Change{c}), "package ")
		got = append(got, strings.TrimSpace(strings.Replace(text, " version:", ":", 1)))
	}
	if all := strings.Join(got, "; "); out.Status == modules.Failed || all != s.changes {
		t.Fatalf("%s %v: %s %s: %q, want %q", module, s.args, out.Status, out.Message, all, s.changes)
	}
}

func shell(t *testing.T, text string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", text).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", text, err, out)
	}
}

// needPrograms skips where a program is not installed that makes packages.
func needPrograms(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("needs %s", name)
		}
	}
}

// TestAptOnAPrivateMachine lets apt itself work on packages made here, in a copy of
// this machine's package database.
func TestAptOnAPrivateMachine(t *testing.T) {
	needPrograms(t, "apt-get", "dpkg-deb", "dpkg-scanpackages")
	if !privately(t, "/etc", "/srv", "/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/var/log") {
		return
	}
	const repository = "/srv/rbdrepository"
	for _, p := range []struct{ name, version, fields string }{
		{"rbdlib", "1.0", ""},
		{"rbdlib", "2.0", ""},
		{"rbdextra", "1.0", ""},
		{"rbdapp", "1.0", "Depends: rbdlib\nRecommends: rbdextra\n"},
		{"rbdapp", "2.0", "Depends: rbdlib (>= 2)\nRecommends: rbdextra\n"},
	} {
		makeDeb(t, repository, p.name, p.version, p.fields)
	}
	// Nothing but dpkg is taken to be installed: that is quicker, and no package of
	// this machine can be in the way.
	shell(t, `arch=$(dpkg --print-architecture); version=$(dpkg-query -W -f '${Version}' dpkg); rm -rf /var/lib/dpkg/info/* /var/lib/apt/extended_states
printf 'Package: dpkg\nStatus: install ok installed\nMaintainer: Nobody <nobody@example.org>\nArchitecture: %s\nVersion: %s\nDescription: dpkg\n\n' "$arch" "$version" > /var/lib/dpkg/status`)
	const makeLists = "cd " + repository + " && dpkg-scanpackages -m . > Packages 2>/dev/null"
	sources := "rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*; echo 'deb [trusted=yes] file:" + repository + " ./' > /etc/apt/sources.list; apt-get update"
	name := func(names string, more ...any) map[string]any {
		args := map[string]any{"name": names}
		for i := 0; i < len(more); i += 2 {
			args[more[i].(string)] = more[i+1]
		}
		return args
	}
	const newest = "rbdapp: 1.0 -> 2.0; rbdlib: 1.0 -> 2.0"
	for _, step := range []packageStep{
		{makeLists + "; " + sources, name("rbdapp=1.0,rbdlib=1.0", "install_recommends", false), "rbdapp: (absent) -> 1.0; rbdlib: (absent) -> 1.0", ""},
		{"", name("rbdapp"), "", ""},
		{"apt-mark hold rbdlib", name("rbdapp", "state", "latest"), "", "rbdlib"},
		{"", name("rbdlib", "state", "latest", "allow_change_held_packages", true), "rbdlib: 1.0 -> 2.0", ""},
		{"apt-mark unhold rbdlib", name("rbdlib=1.0"), "", "DOWNGRADED: rbdlib"},
		{"", name("rbdlib=1.0", "allow_downgrade", true), "rbdlib: 2.0 -> 1.0", ""},
		{"", name("rbdapp,rbdextra", "state", "latest", "only_upgrade", true, "install_recommends", false), newest, ""},
		{"", name("rbdapp=1.0,rbdlib=1.0", "allow_downgrade", true, "install_recommends", false), "rbdapp: 2.0 -> 1.0; rbdlib: 2.0 -> 1.0", ""},
		{"", map[string]any{"upgrade": "dist", "install_recommends": false}, newest, ""},
		{"", map[string]any{"upgrade": "safe"}, "", ""},
		{"", name("rbdnosuch"), "", "there is no package rbdnosuch in the lists of apt"},
		{"", name("rbdapp=9"), "", "there is no version 9 of package rbdapp"},
		{"", name("rbdapp", "state", "absent"), "rbdapp: 2.0 -> (absent)", ""},
		{"", name("rbdapp"), "rbdapp: (absent) -> 2.0; rbdextra: (absent) -> 1.0", ""},
		{"apt-mark auto rbdlib rbdextra", name("rbdapp", "state", "absent", "purge", true, "autoremove", true), "rbdapp: 2.0 -> (absent); rbdextra: 1.0 -> (absent); rbdlib: 2.0 -> (absent)", ""},
		{"", map[string]any{"autoremove": true}, "", ""},
	} {
		step.do(t, "apt", "/srv", "/etc/apt", "/var/lib/apt")
	}
	waitsForLock(t, "apt", name("rbdextra"), "/var/lib/dpkg/lock-frontend")
	wantForeseenFiles(t, repository)
	shell(t, "echo 'deb [trusted=yes] http://127.0.0.1:1/broken ./' >> /etc/apt/sources.list")
	wantFailure(t, run(t, sys.NewReal(), "apt", map[string]any{"update_cache": true}), "127.0.0.1:1/broken")
}

// wantForeseenFiles: of a package whose archive is at hand and that runs no scripts,
// a check knows which files it brings and which not; of one with scripts it does not.
func wantForeseenFiles(t *testing.T, repository string) {
	t.Helper()
	shell(t, `mkdir -p /tmp/scripted; cd /tmp/scripted; dpkg-deb -R `+repository+`/rbdextra_1.0_all.deb p
sed -i 's/^Package: .*/Package: rbdscripted/' p/DEBIAN/control; rm -r p/srv; printf '#!/bin/sh\n' > p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst
dpkg-deb -b p `+repository+`/rbdscripted_1.0_all.deb; cd `+repository+`; rm -r /tmp/scripted; dpkg-scanpackages -m . > Packages 2>/dev/null; apt-get update`)
	for _, test := range []struct {
		name, path string
		status     modules.Status
	}{
		{"rbdapp", "/etc/rbdapp", modules.Changed},
		{"rbdapp", "/srv/rbd/rbdapp", modules.Deferred},
		{"rbdscripted", "/etc/rbdapp", modules.Deferred},
	} {
		shadow := sys.NewShadow(sys.NewReal())
		wantStatus(t, run(t, shadow, "apt", map[string]any{"name": test.name}), modules.Changed)
		if out := run(t, shadow, "file", map[string]any{"path": test.path, "state": "touch"}); out.Status != test.status {
			t.Errorf("after %s, %s: %s %s, want %s", test.name, test.path, out.Status, out.Message, test.status)
		}
	}
}

// makeDeb makes a package with one file.
func makeDeb(t *testing.T, folder, name, version, fields string) {
	t.Helper()
	tree := t.TempDir()
	for path, text := range map[string]string{
		"DEBIAN/control":  "Package: " + name + "\nVersion: " + version + "\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n" + fields + "Description: made for a test\n",
		"srv/rbd/" + name: version + "\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, path)), 0o755); err != nil { // a package's folder
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, path), []byte(text), 0o644); err != nil { // a package's file
			t.Fatal(err)
		}
	}
	shell(t, "chmod 755 "+tree+"; mkdir -p "+folder+"; dpkg-deb --root-owner-group -b "+tree+" "+folder)
}
