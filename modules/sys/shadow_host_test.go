package sys_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, why string) {
	t.Helper()
	if _, unknown := sys.Unknown(err); err == nil || unknown || !strings.Contains(err.Error(), why) {
		t.Errorf("error %v, want one that says %q", err, why)
	}
}

func unknown(t *testing.T, err error, why string) {
	t.Helper()
	u, ok := sys.Unknown(err)
	if !ok || !strings.Contains(u.Because, why) {
		t.Errorf("error %v, want it unknown because of %q", err, why)
	}
}

func present(names ...string) []sys.PackageRequest {
	return requests(sys.PackagePresent, names...)
}

func requests(state sys.PackageState, names ...string) []sys.PackageRequest {
	var list []sys.PackageRequest
	for _, name := range names {
		list = append(list, sys.PackageRequest{Name: name, State: state})
	}
	return list
}

// gluster is a host that has lists with glusterfs in them, and runs ssh.
func gluster(t *testing.T) *systest.Host {
	t.Helper()
	h := systest.NewHostInMemory(t)
	h.State.Packages = map[string]systest.Package{
		"glusterfs-server": {Candidate: "10.3-5"}, "glusterfs-client": {Candidate: "10.3-5"},
		"libaio1": {Candidate: "0.3"}, "bash": {Installed: "5.1", Candidate: "5.2"},
	}
	h.State.Requires = map[string][]string{"glusterfs-server": {"glusterfs-client", "libaio1"}}
	h.State.Units = map[string]sys.Unit{
		"ssh.service":    {Load: "loaded", Active: "active", Sub: "running", File: "enabled", MainPID: 7},
		"idle.service":   {Load: "loaded", Active: "inactive", Sub: "dead", File: "disabled"},
		"static.service": {Load: "loaded", Active: "inactive", Sub: "dead", File: "static"},
		"masked.service": {Load: "masked", Active: "inactive", Sub: "dead", File: "masked"},
		"broken.service": {Load: "loaded", Active: "failed", Sub: "failed", File: "enabled"},
	}
	h.Mkdir("/etc/systemd")
	h.Mkdir("/etc/systemd/system")
	return h
}

func TestShadowOfPackages(t *testing.T) {
	h := gluster(t)
	shadow := sys.NewShadow(h)
	ctx := t.Context()
	resolves := func(r []sys.PackageRequest, want ...sys.PackageChange) {
		t.Helper()
		got, err := shadow.Packages().Resolve(ctx, r, sys.PackageOptions{})
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	installed := func(name, want string) {
		t.Helper()
		known, err := shadow.Packages().Query(ctx, name)
		must(t, err)
		if known[name].Installed != want {
			t.Errorf("%s: %+v, want %q", name, known[name], want)
		}
	}
	resolves(present("bash"))
	resolves(present("libaio1"), sys.PackageChange{Name: "libaio1", To: "0.3"})
	must(t, shadow.Change().Packages().Apply(ctx, present("glusterfs-server"), sys.PackageOptions{}))
	resolves(present("glusterfs-server", "libaio1"))
	installed("glusterfs-client", "10.3-5")
	resolves(requests(sys.PackageLatest, "bash"), sys.PackageChange{Name: "bash", From: "5.1", To: "5.2"})
	must(t, shadow.Change().Packages().Apply(ctx, requests(sys.PackageLatest, "bash"), sys.PackageOptions{}))
	installed("bash", "5.2")
	resolves(present("bash"))
	resolves(requests(sys.PackageAbsent, "bash", "glusterfs-server"),
		sys.PackageChange{Name: "bash", From: "5.2"}, sys.PackageChange{Name: "glusterfs-server", From: "10.3-5"})
	must(t, shadow.Change().Packages().Apply(ctx, requests(sys.PackageAbsent, "glusterfs-server"), sys.PackageOptions{}))
	installed("glusterfs-server", "")
	installed("libaio1", "0.3") // what came along stays
	resolves(present("glusterfs-server"), sys.PackageChange{Name: "glusterfs-server", To: "10.3-5"})
	if h.State.Packages["bash"].Installed != "5.1" || h.State.Packages["libaio1"].Installed != "" {
		t.Errorf("the host beneath changed: %+v", h.State.Packages)
	}
}

func TestPackagesThatListsLackAreUnknownOnceListsWouldBeFetched(t *testing.T) {
	shadow := sys.NewShadow(gluster(t))
	_, err := shadow.Packages().Resolve(t.Context(), present("keepalived"), sys.PackageOptions{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	must(t, shadow.Change().Packages().UpdateCache(t.Context()))
	_, err = shadow.Packages().Resolve(t.Context(), present("keepalived"), sys.PackageOptions{})
	unknown(t, err, "lists")
	if err := shadow.Change().Packages().Apply(t.Context(), present("keepalived"), sys.PackageOptions{}); err == nil {
		t.Error("it was installed")
	}
	if _, err := shadow.Packages().Resolve(t.Context(), present("libaio1"), sys.PackageOptions{}); err != nil {
		t.Errorf("a package that is in the lists: %v", err)
	}
}

// Whatever is asked for in whatever order, the shadow ends with what the host
// beneath would have ended with, each transaction did what was foretold, and
// nothing is left to do of the last.
func TestShadowOfPackagesFitsTheHost(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		below := func() *systest.Host {
			h := systest.NewHostInMemory(t)
			h.State.Packages = map[string]systest.Package{
				"a": {Candidate: "1"}, "b": {Candidate: "1"}, "c": {Installed: "1", Candidate: "2"}, "d": {Installed: "1", Candidate: "1"},
			}
			h.State.Requires = map[string][]string{"a": {"b"}}
			return h
		}
		host, shadow := below(), sys.NewShadow(below())
		ctx := context.Background()
		states := []sys.PackageState{sys.PackagePresent, sys.PackageLatest, sys.PackageAbsent}
		for range rapid.IntRange(1, 5).Draw(r, "transactions") {
			name := rapid.SampledFrom([]string{"a", "c", "d"}).Draw(r, "name")
			wish := requests(rapid.SampledFrom(states).Draw(r, "state"), name)
			foretold, err := shadow.Packages().Resolve(ctx, wish, sys.PackageOptions{})
			if err != nil {
				r.Fatal(err)
			}
			does, err := host.Packages().Resolve(ctx, wish, sys.PackageOptions{})
			if err != nil {
				r.Fatal(err)
			}
			if len(foretold) != len(does) || len(does) > 0 && cmp.Diff(does, foretold) != "" {
				r.Fatalf("%v: foretold %v, and %v came", wish, foretold, does)
			}
			for _, h := range []sys.Host{host, shadow} {
				if err := h.Change().Packages().Apply(ctx, wish, sys.PackageOptions{}); err != nil {
					r.Fatal(err)
				}
			}
			if rest, err := shadow.Packages().Resolve(ctx, wish, sys.PackageOptions{}); err != nil || len(rest) > 0 {
				r.Fatalf("left to do: %v, %v", rest, err)
			}
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			want, err := host.Packages().Query(ctx, name)
			if err != nil {
				r.Fatal(err)
			}
			got, err := shadow.Packages().Query(ctx, name)
			if err != nil {
				r.Fatal(err)
			}
			if got[name].Installed != want[name].Installed {
				r.Fatalf("%s: the shadow has %q, the host %q", name, got[name].Installed, want[name].Installed)
			}
		}
	})
}

func state(t *testing.T, h sys.Host, name string) string {
	t.Helper()
	u, err := h.Units().Get(t.Context(), name)
	must(t, err)
	reload := ""
	if u.NeedReload {
		reload = " reload"
	}
	return strings.Join([]string{u.Load, u.Active, u.Sub, u.File}, " ") + reload
}

func TestShadowOfUnits(t *testing.T) {
	h := gluster(t)
	tests := map[string]struct {
		do   func(w sys.UnitWriter, ctx context.Context, name string) error
		unit string
		want string // the state, or what the error says after "error "
	}{
		"start":                 {sys.UnitWriter.Start, "idle", "loaded active running disabled"},
		"start what runs":       {sys.UnitWriter.Start, "ssh", "loaded active running enabled"},
		"start what failed":     {sys.UnitWriter.Start, "broken", "loaded active running enabled"},
		"start what is masked":  {sys.UnitWriter.Start, "masked", "error Unit masked.service is masked."},
		"start nothing":         {sys.UnitWriter.Start, "nosuch", "error Unit nosuch.service not found."},
		"stop":                  {sys.UnitWriter.Stop, "ssh", "loaded inactive dead enabled"},
		"stop what failed":      {sys.UnitWriter.Stop, "broken", "loaded failed failed enabled"},
		"restart":               {sys.UnitWriter.Restart, "idle", "loaded active running disabled"},
		"reload":                {sys.UnitWriter.Reload, "ssh", "loaded active running enabled"},
		"reload what is off":    {sys.UnitWriter.Reload, "idle", "error inactive"},
		"enable":                {sys.UnitWriter.Enable, "idle", "loaded inactive dead enabled"},
		"enable what is static": {sys.UnitWriter.Enable, "static", "error no [Install] section"},
		"enable what is masked": {sys.UnitWriter.Enable, "masked", "error masked"},
		"disable":               {sys.UnitWriter.Disable, "ssh", "loaded active running disabled"},
		"disable what is so":    {sys.UnitWriter.Disable, "static", "loaded inactive dead static"},
		"mask":                  {sys.UnitWriter.Mask, "ssh", "masked active running masked"},
		"mask nothing":          {sys.UnitWriter.Mask, "nosuch", "masked inactive dead masked"},
		"unmask nothing":        {sys.UnitWriter.Unmask, "idle", "loaded inactive dead disabled"},
		"no unit's name":        {sys.UnitWriter.Start, "a b", "error is no name of a unit"},
	}
	before := sys.NewShadow(h)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			shadow := sys.NewShadow(h)
			err := test.do(shadow.Change().Units(), t.Context(), test.unit)
			if why, bad := strings.CutPrefix(test.want, "error "); bad {
				refused(t, err, why)
				return
			}
			must(t, err)
			if got := state(t, shadow, test.unit); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			again := state(t, before, "ssh")
			if again != "loaded active running enabled" {
				t.Errorf("the host beneath changed: %s", again)
			}
		})
	}
}

func TestUnmaskingShowsWhatIsBeneath(t *testing.T) {
	shadow := sys.NewShadow(gluster(t))
	units := shadow.Change().Units()
	must(t, units.Unmask(t.Context(), "masked")) // no file is to be found
	if got := state(t, shadow, "masked"); got != "not-found inactive dead " {
		t.Error(got)
	}
	must(t, units.Mask(t.Context(), "nosuch"))
	must(t, units.Unmask(t.Context(), "nosuch"))
	if got := state(t, shadow, "nosuch"); got != "not-found inactive dead " {
		t.Error(got)
	}
}

func TestUnitsThatPackagesBring(t *testing.T) {
	ctx := t.Context()
	quiet := sys.NewShadow(gluster(t))
	must(t, quiet.Change().Packages().Apply(ctx, present("glusterfs-server"), sys.PackageOptions{UnitsDisabled: true}))
	if got := state(t, quiet, "glusterd"); got != "loaded inactive dead disabled" {
		t.Error(got)
	}
	must(t, quiet.Change().Units().Start(ctx, "glusterd"))
	must(t, quiet.Change().Units().Enable(ctx, "glusterd"))
	if got := state(t, quiet, "glusterd"); got != "loaded active running enabled" {
		t.Error(got)
	}
	if got := state(t, quiet, "ssh"); got != "loaded active running enabled" {
		t.Errorf("a unit that was there: %s", got)
	}
	loud := sys.NewShadow(gluster(t))
	must(t, loud.Change().Packages().Apply(ctx, present("glusterfs-server"), sys.PackageOptions{}))
	_, err := loud.Units().Get(ctx, "glusterd")
	unknown(t, err, "package glusterfs-server would be installed")
	must(t, loud.Change().Units().Restart(ctx, "glusterd"))
	must(t, loud.Change().Units().Reload(ctx, "glusterd"))
	_, err = loud.Units().Get(ctx, "glusterd")
	unknown(t, err, "would be installed") // whether it is enabled
	must(t, loud.Change().Units().Enable(ctx, "glusterd"))
	if got := state(t, loud, "glusterd"); got != "loaded active running enabled" {
		t.Errorf("all was decided since: %s", got)
	}
	if got := state(t, loud, "ssh"); got != "loaded active running enabled" {
		t.Errorf("a unit that was there: %s", got)
	}
}

func TestUnitFilesInTheShadow(t *testing.T) {
	h := gluster(t)
	h.WriteFile("/etc/systemd/system/ssh.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	ctx := t.Context()
	shadow := sys.NewShadow(h)
	write := func(path, text string) {
		t.Helper()
		must(t, shadow.Change().Files().Write(ctx, path, systest.Content(text), sys.Attributes{}))
	}
	is := func(name, want string) {
		t.Helper()
		if got := state(t, shadow, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	is("ssh", "loaded active running enabled")
	is("own", "not-found inactive dead ")
	write("/etc/systemd/system/own.service", "[Unit]\nDescription=My own\n[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
	write("/etc/systemd/system/bare.service", "[Service]\nExecStart=/bin/true\n")
	write("/etc/systemd/system/once.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n")
	write("/etc/systemd/system/stays.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
	write("/etc/systemd/system/own@.service", "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n")
	must(t, shadow.Change().Units().DaemonReload(ctx))
	is("own", "loaded inactive dead disabled")
	is("bare", "loaded inactive dead static")
	is("own@eth0", "loaded inactive dead disabled")
	is("ssh", "loaded active running enabled")
	if u, err := shadow.Units().Get(ctx, "own"); err != nil || u.Description != "My own" {
		t.Errorf("%+v, %v", u, err)
	}
	for _, name := range []string{"own", "once", "stays"} {
		must(t, shadow.Change().Units().Start(ctx, name))
	}
	is("own", "loaded active running disabled")
	is("once", "loaded inactive dead static")
	is("stays", "loaded active exited static")
	if u, err := shadow.Units().Get(ctx, "once"); err != nil || !u.Oneshot {
		t.Errorf("%+v, %v", u, err)
	}
	write("/etc/systemd/system/ssh.service", "[Service]\nExecStart=/bin/false\n")
	must(t, shadow.Change().Files().Mkdir(ctx, "/etc/systemd/system/own.service.d", sys.Attributes{}))
	write("/etc/systemd/system/own.service.d/limits.conf", "[Service]\nNice=1\n")
	is("ssh", "loaded active running enabled reload")
	is("own", "loaded active running disabled reload")
	must(t, shadow.Change().Units().DaemonReload(ctx))
	is("ssh", "loaded active running enabled")
	is("own", "loaded active running disabled")
	must(t, shadow.Change().Units().Stop(ctx, "own"))
	must(t, shadow.Change().Files().Remove(ctx, "/etc/systemd/system/own.service"))
	must(t, shadow.Change().Units().DaemonReload(ctx))
	is("own", "not-found inactive dead ")
	refused(t, shadow.Change().Units().Mask(ctx, "bare"), "in the way")
	must(t, shadow.Change().Files().Symlink(ctx, "/dev/null", "/etc/systemd/system/null.service"))
	is("null", "masked inactive dead masked")
}

func TestShadowOfMounts(t *testing.T) {
	h := systest.NewHostInMemory(t)
	h.Mkdir("/data")
	h.State.Mounts = []sys.Mount{{Source: "/dev/sda", Target: "/", Type: "ext4", Options: "rw"}}
	shadow := sys.NewShadow(h)
	ctx := t.Context()
	mounts := shadow.Change().Mounts()
	is := func(want ...string) {
		t.Helper()
		table, err := shadow.Mounts().List(ctx)
		must(t, err)
		var got []string
		for _, m := range table {
			got = append(got, m.Source+" "+m.Target+" "+m.Type+" "+m.Options)
		}
		if diff := cmp.Diff(append([]string{"/dev/sda / ext4 rw"}, want...), got); diff != "" {
			t.Error(diff)
		}
	}
	err := mounts.Unmount(ctx, "/data")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unmount of nothing: %v", err)
	}
	if err := mounts.Mount(ctx, sys.Mount{Source: "x", Target: "/none", Type: "tmpfs"}); err == nil {
		t.Error("mounted where nothing is")
	}
	is()
	must(t, mounts.Mount(ctx, sys.Mount{Source: "manage01:/data", Target: "/data/", Type: "glusterfs", Options: "_netdev"}))
	is("manage01:/data /data fuse.glusterfs _netdev")
	must(t, mounts.Mount(ctx, sys.Mount{Source: "t", Target: "/data", Type: "tmpfs"}))
	must(t, mounts.Mount(ctx, sys.Mount{Source: "t", Target: "/data", Type: "tmpfs", Options: "remount,ro"}))
	is("manage01:/data /data fuse.glusterfs _netdev", "t /data tmpfs ro")
	must(t, mounts.Unmount(ctx, "/data"))
	is("manage01:/data /data fuse.glusterfs _netdev")
	must(t, mounts.Unmount(ctx, "/data"))
	is()
	if len(h.State.Mounts) != 1 {
		t.Errorf("the host beneath changed: %v", h.State.Mounts)
	}
}

func TestShadowOfResources(t *testing.T) {
	h := systest.NewHostInMemory(t)
	shadow := sys.NewShadow(h)
	ctx := t.Context()
	look := func() (int, error) {
		return sys.Look(ctx, shadow, "volume data", func(context.Context) (int, error) { return 1, nil })
	}
	if got, err := look(); got != 1 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	must(t, shadow.Change().Resources().Make(ctx, "volume data", 2, func(context.Context) error {
		t.Error("it was done")
		return nil
	}))
	if got, err := look(); got != 2 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := sys.Look(ctx, shadow, "volume data", func(context.Context) (string, error) { return "", nil }); err == nil {
		t.Error("another type was taken")
	}
}

func TestCommandsInTheShadow(t *testing.T) {
	h := systest.NewHostInMemory(t)
	h.State.Probes["uname -r"] = systest.Says(0, "6.1\n")
	shadow := sys.NewShadow(h)
	ctx := t.Context()
	r, err := shadow.Probe(ctx, sys.Command{Args: []string{"uname", "-r"}})
	if err != nil || string(r.Stdout) != "6.1\n" {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = shadow.Change().Run(ctx, sys.Command{Args: []string{"/usr/bin/make-it"}, Creates: []string{"/srv/made"}})
	unknown(t, err, "not run in check mode")
	_, err = shadow.Files().Lstat(ctx, "/srv/made")
	unknown(t, err, "make-it")
	if _, err = shadow.Files().Lstat(ctx, "/srv/other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("another file: %v", err)
	}
	if len(h.Calls()) != 1 {
		t.Errorf("commands: %v", h.Calls())
	}
}

func TestNetworkOfTheShadow(t *testing.T) {
	changes := map[string]func(ctx context.Context, w sys.Writer) error{
		"unit": func(ctx context.Context, w sys.Writer) error { return w.Units().Restart(ctx, "ssh") },
		"package": func(ctx context.Context, w sys.Writer) error {
			return w.Packages().Apply(ctx, present("libaio1"), sys.PackageOptions{})
		},
		"mount": func(ctx context.Context, w sys.Writer) error {
			return w.Mounts().Mount(ctx, sys.Mount{Source: "t", Target: "/srv", Type: "tmpfs"})
		},
		"resource": func(ctx context.Context, w sys.Writer) error { return w.Resources().Make(ctx, "x", 1, nil) },
		"command": func(ctx context.Context, w sys.Writer) error {
			_, err := w.Run(ctx, sys.Command{Args: []string{"x"}})
			if _, ok := sys.Unknown(err); !ok {
				return errors.New("it ran")
			}
			return nil
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			h := gluster(t)
			h.State.Dials["tcp 10.0.0.1:80"] = func(context.Context) (net.Conn, error) {
				here, there := net.Pipe()
				_ = there.Close()
				return here, nil
			}
			shadow := sys.NewShadow(h)
			dial := func() error {
				conn, err := shadow.Network().Dial(t.Context(), "tcp", "10.0.0.1:80")
				if err == nil {
					err = conn.Close()
				}
				return err
			}
			must(t, dial())
			must(t, shadow.Change().Files().Write(t.Context(), "/etc/x", systest.Content("x"), sys.Attributes{}))
			must(t, shadow.Change().Units().DaemonReload(t.Context()))
			must(t, dial())
			must(t, change(t.Context(), shadow.Change()))
			unknown(t, dial(), "would come first")
		})
	}
}

func TestNamesInTheShadow(t *testing.T) {
	h := systest.NewHostInMemory(t)
	h.WriteFile("/etc/hosts", "127.0.0.1 localhost\n10.0.0.1 manage01 # old\n10.0.0.9 leaves\n", 0o644)
	h.State.Names["manage01"] = []string{"10.0.0.1"}
	h.State.Names["elsewhere"] = []string{"192.0.2.9"}
	h.State.Dials["tcp 10.0.0.2:80"] = func(context.Context) (net.Conn, error) {
		here, there := net.Pipe()
		_ = there.Close()
		return here, nil
	}
	shadow := sys.NewShadow(h)
	ctx := t.Context()
	is := func(name, want string) {
		t.Helper()
		got, err := shadow.Network().LookupHost(ctx, name)
		must(t, err)
		if strings.Join(got, " ") != want {
			t.Errorf("%s is %v, want %s", name, got, want)
		}
	}
	is("manage01", "10.0.0.1")
	must(t, shadow.Change().Files().Write(ctx, "/etc/hosts", systest.Content("127.0.0.1 localhost\n10.0.0.2 manage01 goodrain.me\n"), sys.Attributes{}))
	is("manage01", "10.0.0.2")
	is("GOODRAIN.me", "10.0.0.2")
	is("elsewhere", "192.0.2.9")
	_, err := shadow.Network().LookupHost(ctx, "leaves")
	unknown(t, err, "/etc/hosts")
	conn, err := shadow.Network().Dial(ctx, "tcp", "goodrain.me:80")
	must(t, err)
	must(t, conn.Close())
	must(t, shadow.Change().Files().Write(ctx, "/etc/resolv.conf", systest.Content("nameserver 10.0.0.2\n"), sys.Attributes{}))
	_, err = shadow.Network().LookupHost(ctx, "elsewhere")
	unknown(t, err, "/etc/resolv.conf")
	is("manage01", "10.0.0.2")
}
