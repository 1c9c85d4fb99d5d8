package systest_test

import (
	"context"
	"errors"
	"io/fs"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func TestHostFiles(t *testing.T) {
	systest.Files(t, func(t *testing.T) (sys.Host, string) {
		h := systest.NewHost(t)
		return h, h.Root
	})
}

func TestHostFilesInMemory(t *testing.T) {
	systest.Files(t, func(t *testing.T) (sys.Host, string) { return systest.NewHostInMemory(t), "/srv" })
}

func TestShadowOverHostInMemory(t *testing.T) {
	systest.Files(t, func(t *testing.T) (sys.Host, string) {
		h := systest.NewHostInMemory(t)
		systest.Plant(t, h, "/srv")
		return sys.NewShadow(h), "/srv"
	})
}

// recorder is a test that is meant to fail.
type recorder struct {
	testing.TB

	failed int
}

func (r *recorder) Errorf(string, ...any) { r.failed++ }

func TestHostFailsOnWhatItDoesNotExpect(t *testing.T) {
	ctx := t.Context()
	for name, do := range map[string]func(h *systest.Host) error{
		"a command": func(h *systest.Host) error {
			_, err := h.Change().Run(ctx, sys.Command{Args: []string{"reboot"}})
			return err
		},
		"a run of what may only be probed": func(h *systest.Host) error {
			h.State.Probes["reboot"] = systest.Says(0, "")
			_, err := h.Change().Run(ctx, sys.Command{Args: []string{"reboot"}})
			return err
		},
		"a connection": func(h *systest.Host) error {
			_, err := h.Network().Dial(ctx, "tcp", "10.0.0.1:80")
			return err
		},
		"waiting": func(h *systest.Host) error { return h.Pause(ctx, time.Second) },
		"reading elsewhere": func(h *systest.Host) error {
			_, err := h.Files().Open(ctx, "/etc/passwd")
			return err
		},
		"writing elsewhere": func(h *systest.Host) error { return h.Change().Files().Remove(ctx, "/no/such/file") },
		"moving out":        func(h *systest.Host) error { return h.Change().Files().Rename(ctx, h.Path("a"), "/no/such/file") },
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			if err := do(systest.NewHost(r)); err == nil || r.failed != 1 {
				t.Errorf("the error is %v, and the test was failed %d times", err, r.failed)
			}
		})
	}
}

func TestHostPackages(t *testing.T) {
	ctx, h := t.Context(), systest.NewHost(t)
	h.State.Packages = map[string]systest.Package{
		"web":  {Candidate: "2"},
		"base": {Candidate: "1.1", Installed: "1.0"},
		"lib":  {Candidate: "3"},
	}
	h.State.Requires["web"] = []string{"lib", "base"}
	install := []sys.PackageRequest{{Name: "web", State: sys.PackagePresent}}
	want := []sys.PackageChange{{Name: "lib", To: "3"}, {Name: "web", To: "2"}}
	got, err := h.Packages().Resolve(ctx, install, sys.PackageOptions{})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if err := h.Change().Packages().Apply(ctx, install, sys.PackageOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err = h.Packages().Resolve(ctx, install, sys.PackageOptions{})
	if len(got) != 0 || err != nil {
		t.Errorf("after the installation there is still %v to do, %v", got, err)
	}
	found, err := h.Packages().Query(ctx, "web", "no")
	wantFound := map[string]sys.Package{"web": {Name: "web", Installed: "2"}, "no": {Name: "no"}}
	if diff := cmp.Diff(wantFound, found); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, r := range []sys.PackageRequest{{Name: "no", State: sys.PackagePresent}, {Name: "web", Version: "9", State: sys.PackagePresent}} {
		if _, err := h.Packages().Resolve(ctx, []sys.PackageRequest{r}, sys.PackageOptions{}); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v gave %v", r, err)
		}
	}
}

func TestHostUnits(t *testing.T) {
	ctx, h := t.Context(), systest.NewHost(t)
	failure := errors.New("exit code 1")
	h.State.Units["web.service"] = sys.Unit{Load: "loaded", Active: "inactive", File: "disabled", NeedReload: true}
	h.State.Units["bad.service"] = sys.Unit{Load: "loaded", Active: "inactive"}
	h.State.Fails["bad.service"] = failure
	w := h.Change().Units()
	for _, err := range []error{w.Enable(ctx, "web.service"), w.DaemonReload(ctx), w.Start(ctx, "web.service")} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := w.Start(ctx, "bad.service"); !errors.Is(err, failure) {
		t.Errorf("the bad unit's start gave %v", err)
	}
	if err := w.Start(ctx, "no.service"); err == nil {
		t.Error("a unit that is not there was started")
	}
	for name, want := range map[string]sys.Unit{
		"web.service": {Name: "web.service", Load: "loaded", Active: "active", Sub: "running", File: "enabled", MainPID: 1000},
		"bad.service": {Name: "bad.service", Load: "loaded", Active: "failed", Sub: "failed"},
		"no.service":  {Name: "no.service", Load: "not-found", Active: "inactive", Sub: "dead"},
	} {
		got, err := h.Units().Get(ctx, name)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestHostCommands(t *testing.T) {
	ctx, h := t.Context(), systest.NewHost(t)
	h.State.Probes["judge /proc/self/fd/3"] = func(c systest.Call) sys.Result { return sys.Result{Stdout: []byte(c.Files[0])} }
	h.State.Runs["say"] = systest.Says(3, "a\nb\n")
	h.State.Missing = []string{"docker"}
	result, err := h.Probe(ctx, sys.Command{Args: []string{"judge", "/proc/self/fd/3"}, Files: []sys.Content{systest.Content("text")}})
	if string(result.Stdout) != "text" || err != nil {
		t.Errorf("the probe gave %q, %v", result.Stdout, err)
	}
	var lines []string
	result, err = h.Change().Run(ctx, sys.Command{Args: []string{"say"}, Output: func(stream string, line []byte) {
		lines = append(lines, stream+" "+string(line))
	}})
	if diff := cmp.Diff([]string{"stdout a", "stdout b"}, lines); diff != "" || result.Code != 3 || err != nil {
		t.Errorf("the run ended with %d, %v\n%s", result.Code, err, diff)
	}
	if _, err := h.Probe(ctx, sys.Command{Args: []string{"docker", "ps"}}); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a missing program gave %v", err)
	}
	want := []systest.Call{
		{Args: []string{"judge", "/proc/self/fd/3"}, Files: []string{"text"}, Probe: true},
		{Args: []string{"say"}},
		{Args: []string{"docker", "ps"}, Probe: true},
	}
	if diff := cmp.Diff(want, h.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestHostBroken(t *testing.T) {
	broken := errors.New("broken")
	h := systest.NewHostInMemory(t)
	h.WriteFile("/etc/deep/down/file", "text", 0o600)
	if text := h.ReadFile("/etc/deep/down/file"); text != "text" {
		t.Errorf("the file holds %q", text)
	}
	for operation, do := range map[string]func(ctx context.Context) error{
		"files.Lstat":  func(ctx context.Context) error { _, err := h.Files().Lstat(ctx, "/etc"); return err },
		"files.Write":  func(ctx context.Context) error { return h.Change().Files().Remove(ctx, "/none") },
		"mounts.List":  func(ctx context.Context) error { _, err := h.Mounts().List(ctx); return err },
		"users.User":   func(ctx context.Context) error { _, err := h.Users().User(ctx, "root"); return err },
		"units.Get":    func(ctx context.Context) error { _, err := h.Units().Get(ctx, "x"); return err },
		"system":       func(ctx context.Context) error { _, err := h.System(ctx); return err },
		"network.Dial": func(ctx context.Context) error { _, err := h.Network().Dial(ctx, "tcp", "x:1"); return err },
	} {
		h.State.Broken = map[string]error{operation: broken}
		err := do(t.Context())
		if want := operation != "files.Write"; errors.Is(err, broken) != want {
			t.Errorf("%s gave %v", operation, err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := do(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with an ended context gave %v", operation, err)
		}
	}
}
