package sys

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// throwaway skips a test that starts units or installs packages, except on a
// machine that was made for it, such as a node of the lab. Compile the tests with
// go test -c, copy the program there and run it with the variable set.
func throwaway(t *testing.T) {
	t.Helper()
	if os.Getenv("RBDPLAY_TEST_CHANGES_THIS_MACHINE") == "" {
		t.Skip("changes the machine; set RBDPLAY_TEST_CHANGES_THIS_MACHINE=1 on one to throw away")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

const testUnits = "/run/systemd/system/"

func plantUnit(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(testUnits+name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(testUnits + name) })
}

func TestUnitsOfSystemd(t *testing.T) {
	throwaway(t)
	if _, err := os.Lstat("/run/systemd/system"); err != nil {
		t.Skip("systemd does not run here")
	}
	defer goleak.VerifyNone(t)
	plantUnit(t, "rbdplay-test.service", "[Unit]\nDescription=A test\n[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
	plantUnit(t, "rbdplay-fails.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo the reason >&2; exit 7'\n")
	plantUnit(t, "rbdplay-once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
	h := NewReal()
	defer h.Close()
	units := realUnitsOf(h)
	ctx := t.Context()
	must(t, units.DaemonReload(ctx))
	is := func(name, load, active, sub, file string) Unit {
		t.Helper()
		u, err := units.Get(ctx, name)
		must(t, err)
		if diff := cmp.Diff([]string{load, active, sub, file}, []string{u.Load, u.Active, u.Sub, u.File}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		return u
	}
	is("rbdplay-nosuch", "not-found", "inactive", "dead", "")
	u := is("rbdplay-test", "loaded", "inactive", "dead", "disabled")
	if u.Name != "rbdplay-test.service" || u.Description != "A test" || u.MainPID != 0 {
		t.Errorf("%+v", u)
	}
	must(t, units.Start(ctx, "rbdplay-test"))
	u = is("rbdplay-test", "loaded", "active", "running", "disabled")
	if u.MainPID == 0 {
		t.Error("it runs without a process")
	}
	must(t, units.Reload(ctx, "rbdplay-test"))
	must(t, units.Restart(ctx, "rbdplay-test"))
	if again := is("rbdplay-test", "loaded", "active", "running", "disabled"); again.MainPID == u.MainPID {
		t.Error("it was not restarted")
	}
	must(t, units.Enable(ctx, "rbdplay-test"))
	is("rbdplay-test", "loaded", "active", "running", "enabled")
	plantUnit(t, "rbdplay-test.service", "[Unit]\nDescription=A changed test\n[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n")
	if u := is("rbdplay-test", "loaded", "active", "running", "enabled"); !u.NeedReload {
		t.Error("its file changed and systemd needs no reload")
	}
	must(t, units.Disable(ctx, "rbdplay-test"))
	if u := is("rbdplay-test", "loaded", "active", "running", "disabled"); u.NeedReload || u.Description != "A changed test" {
		t.Errorf("after a reload: %+v", u)
	}
	must(t, units.Stop(ctx, "rbdplay-test"))
	is("rbdplay-test", "loaded", "inactive", "dead", "disabled")
	must(t, units.Start(ctx, "rbdplay-once"))
	is("rbdplay-once", "loaded", "inactive", "dead", "static")
	refused(t, units.Enable(ctx, "rbdplay-once"), "no [Install] section")
	refused(t, units.Start(ctx, "rbdplay-nosuch"), "not found")
	refused(t, units.Reload(ctx, "rbdplay-test"), "")
	refused(t, units.Start(ctx, "rbdplay-fails"), "it failed (exit-code, status 7); its last log lines:", "the reason")
	is("rbdplay-fails", "loaded", "failed", "failed", "static")
	must(t, units.Mask(ctx, "rbdplay-nosuch"))
	is("rbdplay-nosuch", "masked", "inactive", "dead", "masked")
	refused(t, units.Start(ctx, "rbdplay-nosuch"), "masked")
	must(t, units.Unmask(ctx, "rbdplay-nosuch"))
	is("rbdplay-nosuch", "not-found", "inactive", "dead", "")
	units.close() // as when systemd drops the connection
	is("rbdplay-once", "loaded", "inactive", "dead", "static")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := units.Get(ended, "rbdplay-once"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func realUnitsOf(h *Real) *realUnits { return h.units }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, why ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it was not refused: %v", why)
	}
	for _, w := range why {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q says nothing of %q", err, w)
		}
	}
}

// The shadow of a machine foretells what systemd then does.
func TestShadowOfSystemd(t *testing.T) {
	throwaway(t)
	if _, err := os.Lstat("/run/systemd/system"); err != nil {
		t.Skip("systemd does not run here")
	}
	const unitText = "[Service]\nExecStart=/bin/sleep infinity\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
	steps := []struct {
		name string
		do   func(ctx context.Context, h Host) error
	}{
		{"write", func(ctx context.Context, h Host) error {
			return h.Change().Files().Write(ctx, testUnits+"rbdplay-shadow.service", text(unitText), Attributes{})
		}},
		{"reload", func(ctx context.Context, h Host) error { return h.Change().Units().DaemonReload(ctx) }},
		{"enable", func(ctx context.Context, h Host) error { return h.Change().Units().Enable(ctx, "rbdplay-shadow") }},
		{"start", func(ctx context.Context, h Host) error { return h.Change().Units().Start(ctx, "rbdplay-shadow") }},
		{"drop-in folder", func(ctx context.Context, h Host) error {
			return h.Change().Files().Mkdir(ctx, testUnits+"rbdplay-shadow.service.d", Attributes{})
		}},
		{"drop-in", func(ctx context.Context, h Host) error {
			return h.Change().Files().Write(ctx, testUnits+"rbdplay-shadow.service.d/a.conf", text("[Service]\nNice=1\n"), Attributes{})
		}},
		{"restart", func(ctx context.Context, h Host) error { return h.Change().Units().Restart(ctx, "rbdplay-shadow") }},
		{"reload again", func(ctx context.Context, h Host) error { return h.Change().Units().DaemonReload(ctx) }},
		{"stop", func(ctx context.Context, h Host) error { return h.Change().Units().Stop(ctx, "rbdplay-shadow") }},
		{"disable", func(ctx context.Context, h Host) error { return h.Change().Units().Disable(ctx, "rbdplay-shadow") }},
		{"remove drop-in", func(ctx context.Context, h Host) error {
			return h.Change().Files().RemoveAll(ctx, testUnits+"rbdplay-shadow.service.d")
		}},
		{"remove", func(ctx context.Context, h Host) error {
			return h.Change().Files().Remove(ctx, testUnits+"rbdplay-shadow.service")
		}},
		{"last reload", func(ctx context.Context, h Host) error { return h.Change().Units().DaemonReload(ctx) }},
	}
	beneath := NewReal()
	defer beneath.Close()
	shadow := NewShadow(beneath)
	var foretold, seen []Unit
	for _, host := range []struct {
		Host

		units *[]Unit
	}{{shadow, &foretold}, {beneath, &seen}} {
		for _, step := range steps {
			if err := step.do(t.Context(), host); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			u, err := host.Units().Get(t.Context(), "rbdplay-shadow")
			must(t, err)
			u.MainPID = 0
			u.Description = step.name
			*host.units = append(*host.units, u)
		}
	}
	if diff := cmp.Diff(seen, foretold); diff != "" {
		t.Errorf("-happened +foretold\n%s", diff)
	}
}

// RBDPLAY_TEST_PACKAGE names a package that is not installed and can be.
func TestPackagesOfThisMachine(t *testing.T) {
	throwaway(t)
	name := os.Getenv("RBDPLAY_TEST_PACKAGE")
	if name == "" {
		t.Skip("set RBDPLAY_TEST_PACKAGE to a package that is not installed and brings a unit")
	}
	h := NewReal()
	defer h.Close()
	ctx := t.Context()
	want := []PackageRequest{{Name: name, State: PackagePresent}}
	known, err := h.Packages().Query(ctx, name)
	must(t, err)
	if p := known[name]; p.Installed != "" {
		t.Fatalf("%+v", p)
	}
	shadow := NewShadow(h)
	foretold, err := shadow.Packages().Resolve(ctx, want, PackageOptions{})
	must(t, err)
	must(t, shadow.Change().Packages().Apply(ctx, want, PackageOptions{UnitsDisabled: true}))
	began := time.Now()
	must(t, h.Change().Packages().Apply(ctx, want, PackageOptions{UnitsDisabled: true}))
	t.Logf("installed in %s: %v", time.Since(began), foretold)
	for _, c := range foretold {
		known, err := h.Packages().Query(ctx, c.Name)
		must(t, err)
		planned, err := shadow.Packages().Query(ctx, c.Name)
		must(t, err)
		if got := known[c.Name].Installed; got != c.To || planned[c.Name].Installed != c.To {
			t.Errorf("%s: %q was foretold, %q is installed, the shadow says %q", c.Name, c.To, got, planned[c.Name].Installed)
		}
	}
	rest, err := h.Packages().Resolve(ctx, want, PackageOptions{})
	must(t, err)
	if len(rest) > 0 {
		t.Errorf("left to do: %v", rest)
	}
	var names []string
	for _, c := range foretold {
		names = append(names, c.Name)
	}
	files, err := h.packages.filesOf(ctx, names)
	must(t, err)
	for _, unit := range unitsAmong(files) {
		if strings.Contains(unit, "@.") {
			continue
		}
		u, err := h.Units().Get(ctx, unit)
		must(t, err)
		t.Logf("%+v", u)
		if u.Active != "inactive" || u.File == "enabled" {
			t.Errorf("%s was to be stopped and disabled", unit)
		}
	}
	for _, leftover := range []string{policyPath, savedPolicy(policyPath)} {
		if _, err := os.Lstat(leftover); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", leftover, err)
		}
	}
	must(t, h.Change().Packages().Apply(ctx, []PackageRequest{{Name: name, State: PackageAbsent}}, PackageOptions{Purge: true}))
}

func TestBusyMountsNameTheirHolder(t *testing.T) {
	throwaway(t)
	h := NewReal()
	ctx := t.Context()
	target := filepath.Join(t.TempDir(), "with space")
	must(t, os.Mkdir(target, 0o755))
	missing := h.Change().Mounts().Unmount(ctx, target)
	if !errors.Is(missing, fs.ErrNotExist) {
		t.Errorf("nothing mounted: %v", missing)
	}
	must(t, h.Change().Mounts().Mount(ctx, Mount{Source: "test", Target: target, Type: "tmpfs", Options: "size=64k,mode=0700"}))
	table, err := h.Mounts().List(ctx)
	must(t, err)
	last := table[len(table)-1]
	if last.Source != "test" || last.Target != target || last.Type != "tmpfs" || !strings.Contains(last.Options, "size=64k") {
		t.Errorf("%+v", last)
	}
	held, err := os.Create(filepath.Join(target, "open"))
	must(t, err)
	refused(t, h.Change().Mounts().Unmount(ctx, target), "it is held by", "process")
	must(t, held.Close())
	must(t, h.Change().Mounts().Unmount(ctx, target))
	refused(t, h.Change().Mounts().Mount(ctx, Mount{Source: "test", Target: target + "/none", Type: "tmpfs"}), "none")
}
