package modules_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func packaged(t *testing.T) *systest.Host {
	host := systest.NewHostInMemory(t)
	host.State.Packages = map[string]systest.Package{
		"nginx":      {Candidate: "1.22"},
		"libpcre":    {Candidate: "8.39"},
		"curl":       {Installed: "7.80", Candidate: "7.88"},
		"keepalived": {Installed: "2.2", Candidate: "2.3", Held: true},
	}
	host.State.Requires = map[string][]string{"nginx": {"libpcre"}}
	return host
}

func TestPackage(t *testing.T) {
	tests := []struct {
		name    string
		args    map[string]any
		changes []string
		fails   string
	}{
		{"with what it needs", map[string]any{"name": []any{"nginx", "curl"}}, []string{
			"create package libpcre version: (absent) -> 8.39",
			"create package nginx version: (absent) -> 1.22",
		}, ""},
		{"there in any version", map[string]any{"name": "curl,keepalived", "state": "installed"}, nil, ""},
		{"latest", map[string]any{"name": "curl", "state": "latest"}, []string{"update package curl version: 7.80 -> 7.88"}, ""},
		{"a version", map[string]any{"name": "curl=7.88"}, []string{"update package curl version: 7.80 -> 7.88"}, ""},
		{"the version that is there", map[string]any{"name": "curl=7.80"}, nil, ""},
		{"absent", map[string]any{"name": "curl", "state": "removed"}, []string{"remove package curl version: 7.80 -> (absent)"}, ""},
		{"absent already", map[string]any{"name": "nginx", "state": "absent", "purge": true}, nil, ""},
		{"held", map[string]any{"name": "keepalived", "state": "latest"}, nil, "keepalived is held"},
		{"held, and let go", map[string]any{"name": "keepalived", "state": "latest", "allow_change_held_packages": true}, []string{"update package keepalived version: 2.2 -> 2.3"}, ""},
		{"no such package", map[string]any{"name": "nosuch"}, nil, "nosuch"},
		{"nothing of a list", map[string]any{"name": []any{}}, nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := agreed(t, packaged(t), "apt", test.args)
			if test.fails != "" {
				wantFailure(t, out, test.fails)
				return
			}
			wantChanges(t, out, test.changes...)
		})
	}
}

// What is installed needs no simulation, which takes the package manager seconds.
func TestPackageAsksLittleWhenSatisfied(t *testing.T) {
	host := packaged(t)
	host.State.Broken["packages.Resolve"] = errors.New("was asked")
	wantStatus(t, run(t, host, "package", map[string]any{"name": "curl", "update_cache": true}), modules.OK)
	wantFailure(t, run(t, host, "package", map[string]any{"name": "nginx"}), "was asked")
	host.State.Broken["packages.Query"] = errors.New("locked")
	wantFailure(t, run(t, host, "package", map[string]any{"name": "curl"}), "locked")
}

func TestPackageFetchesTheLists(t *testing.T) {
	host := packaged(t)
	fetch := map[string]any{"name": "nginx", "update_cache": true}
	out := run(t, host, "package", fetch)
	wantChanges(t, out,
		"run package lists refresh: (absent) -> (absent)",
		"create package libpcre version: (absent) -> 8.39",
		"create package nginx version: (absent) -> 1.22")
	if out.Result["cache_updated"] != true {
		t.Errorf("result %v", out.Result)
	}
	wantStatus(t, run(t, host, "package", fetch), modules.OK)
	out = run(t, host, "package", map[string]any{"name": "nginx", "state": "latest", "update_cache": true})
	wantChanges(t, out, "run package lists refresh: (absent) -> (absent)")
	wantChanges(t, run(t, host, "package", map[string]any{"update_cache": true}), "run package lists refresh: (absent) -> (absent)")
	wantStatus(t, run(t, host, "package", map[string]any{"name": "curl", "state": "absent", "cache_valid_time": 60}), modules.Changed)
}

// newLists fetches lists that hold another version.
type newLists struct {
	*systest.Host
	candidate string
}

func (h newLists) Change() sys.Writer { return newListsWriter{h.Host.Change(), h} }

type newListsWriter struct {
	sys.Writer
	h newLists
}

func (w newListsWriter) Packages() sys.PackageWriter {
	return newListsPackages{w.Writer.Packages(), w.h}
}

type newListsPackages struct {
	sys.PackageWriter
	h newLists
}

func (p newListsPackages) UpdateCache(ctx context.Context) error {
	p.h.State.Packages["nginx"] = systest.Package{Candidate: p.h.candidate}
	return p.PackageWriter.UpdateCache(ctx)
}

// What is shown after the lists were fetched is what is then installed.
func TestPackageShowsWhatTheNewListsHold(t *testing.T) {
	for _, before := range []string{"1.22", ""} {
		host := newLists{packaged(t), "1.24"}
		host.State.Packages["nginx"] = systest.Package{Candidate: before}
		host.State.Requires = nil
		out := run(t, host, "package", map[string]any{"name": "nginx", "update_cache": true})
		wantChanges(t, out, "run package lists refresh: (absent) -> (absent)", "create package nginx version: (absent) -> 1.24")
	}
}

func TestPackageListsAge(t *testing.T) {
	for _, test := range []struct {
		manager string
		age     time.Duration
		fetches bool
	}{{"apt", 0, false}, {"apt", time.Hour, true}, {"dnf", time.Hour, false}} {
		host := packaged(t)
		host.State.Manager = test.manager
		host.WriteFile("/var/lib/apt/periodic/update-success-stamp", "", 0o644)
		old := time.Now().Add(-test.age)
		if err := host.Change().Files().SetAttributes(t.Context(), "/var/lib/apt/periodic/update-success-stamp", sys.Attributes{ModTime: &old}); err != nil {
			t.Fatal(err)
		}
		out := run(t, host, "package", map[string]any{"name": "nginx", "cache_valid_time": 600})
		if fetched := strings.Contains(shown(out.Changes), "refresh"); fetched != test.fetches {
			t.Errorf("%+v: fetched %v", test, fetched)
		}
	}
}

func TestPackageRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"needs name":         {},
		"state: absent only": {"name": "a", "purge": true},
		"no package name":    {"name": "-y"},
		"to remove one":      {"name": "apache2-"},
		"is missing":         {"name": "a="},
		"present only":       {"name": "a=1", "state": "latest"},
	} {
		if got := refused(t, "package", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}

func TestSystemd(t *testing.T) {
	up := sys.Unit{Load: "loaded", Active: "active", Sub: "running", File: "enabled"}
	down := sys.Unit{Load: "loaded", Active: "inactive", Sub: "dead", File: "disabled"}
	masked := sys.Unit{Load: "masked", Active: "inactive", Sub: "dead", File: "masked"}
	broken := sys.Unit{Load: "error", Active: "inactive"}
	looping := sys.Unit{Load: "loaded", Active: "activating", Sub: "auto-restart", File: "enabled"}
	static := sys.Unit{Load: "loaded", Active: "active", Sub: "running", File: "static"}
	stale := sys.Unit{Load: "loaded", Active: "active", Sub: "running", File: "enabled", NeedReload: true}
	tests := []struct {
		name    string
		unit    sys.Unit
		args    map[string]any
		changes []string
		fails   string
	}{
		{"started", down, map[string]any{"state": "started", "enabled": true}, []string{
			"update unit app.service enabled: disabled -> enabled",
			"update unit app.service state: inactive -> active",
		}, ""},
		{"started already", up, map[string]any{"state": "started", "enabled": true, "masked": false, "daemon_reload": true}, nil, ""},
		{"stopped", up, map[string]any{"state": "stopped", "enabled": false}, []string{
			"update unit app.service enabled: enabled -> disabled",
			"update unit app.service state: active -> inactive",
		}, ""},
		{"failed is stopped", sys.Unit{Load: "loaded", Active: "failed", Sub: "failed"}, map[string]any{"state": "stopped"}, nil, ""},
		{"looping is not started", looping, map[string]any{"state": "started"}, []string{"update unit app.service state: activating -> active"}, ""},
		{"restarted", up, map[string]any{"state": "restarted"}, []string{"run unit app.service restart: (absent) -> (absent)"}, ""},
		{"restarted from stopped", down, map[string]any{"state": "restarted"}, []string{"update unit app.service state: inactive -> active"}, ""},
		{"reloaded", up, map[string]any{"state": "reloaded"}, []string{"run unit app.service reload: (absent) -> (absent)"}, ""},
		{"reloaded from stopped", down, map[string]any{"state": "reloaded"}, []string{"update unit app.service state: inactive -> active"}, ""},
		{"static has nothing to enable", static, map[string]any{"enabled": true}, nil, ""},
		{"static has nothing to disable", static, map[string]any{"enabled": false}, nil, ""},
		{"out of date", stale, map[string]any{"daemon_reload": true, "state": "started"}, []string{"run unit app.service daemon-reload: (absent) -> (absent)"}, ""},
		{"masked", up, map[string]any{"masked": true, "state": "stopped"}, []string{
			"update unit app.service masked: no -> yes",
			"update unit app.service state: active -> inactive",
		}, ""},
		{"unmasked and started", masked, map[string]any{"masked": false, "state": "started"}, []string{
			"update unit app.service masked: yes -> no",
			"update unit app.service state: inactive -> active",
		}, ""},
		{"masked is in the way", masked, map[string]any{"state": "started"}, nil, "is masked"},
		{"masked need not be disabled", masked, map[string]any{"enabled": false}, nil, ""},
		{"not to be loaded", broken, map[string]any{"state": "started"}, nil, "could not load app.service (error)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			host := systest.NewHostInMemory(t)
			host.State.Units["app.service"] = test.unit
			host.WriteFile("/usr/lib/systemd/system/app.service", "[Service]\nExecStart=/bin/app\n[Install]\nWantedBy=multi-user.target\n", 0o644)
			args := map[string]any{"name": "app"}
			for k, v := range test.args {
				args[k] = v
			}
			out := predictedUnit(t, host, args)
			if test.fails != "" {
				wantFailure(t, out, test.fails)
				return
			}
			wantChanges(t, out, test.changes...)
		})
	}
}

// predictedUnit holds check against run, but for the process number, which nobody
// can foretell.
func predictedUnit(t *testing.T, host *systest.Host, args map[string]any) modules.Outcome {
	t.Helper()
	checked := run(t, sys.NewShadow(host), "service", args)
	ran := run(t, host, "service", args)
	for _, out := range []modules.Outcome{checked, ran} {
		if status, ok := out.Result["status"].(map[string]any); ok {
			delete(status, "MainPID")
		}
	}
	if diff := cmp.Diff(checked, ran); diff != "" {
		t.Errorf("the check foretold something else (-check +run):\n%s", diff)
	}
	again := run(t, host, "service", args)
	for _, c := range again.Changes {
		if !c.Event() {
			t.Errorf("a second run still changes %v", c)
		}
	}
	return ran
}

func TestSystemdOneshotIsStartedEachTime(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.State.Units["once.service"] = sys.Unit{Load: "loaded", Active: "inactive", Sub: "dead", File: "static", Oneshot: true}
	wantChanges(t, run(t, host, "systemd", map[string]any{"name": "once", "state": "started"}), "run unit once.service start: (absent) -> (absent)")
}

func TestSystemdFailures(t *testing.T) {
	host := systest.NewHostInMemory(t)
	wantFailure(t, run(t, host, "systemd", map[string]any{"name": "nosuch.timer", "state": "stopped"}), "there is no unit nosuch.timer")
	host.State.Units["app.service"] = sys.Unit{Load: "loaded", Active: "inactive", File: "enabled"}
	host.State.Fails["app.service"] = errors.New("job failed: port taken")
	wantFailure(t, run(t, host, "systemd", map[string]any{"name": "app", "state": "started"}), "port taken")
	host.State.Broken["units.Get"] = errors.New("no bus")
	wantFailure(t, run(t, host, "systemd", map[string]any{"name": "app", "state": "started"}), "no bus")
}

func TestSystemdRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"needs name":              {},
		"need the name":           {"state": "started"},
		"what is to be done":      {"name": "app"},
		"no name of a unit":       {"name": "a b", "state": "started"},
		"cannot be started":       {"name": "a", "masked": true, "state": "started"},
		"none of started,stopped": {"name": "a", "state": "running"},
	} {
		if got := strings.ReplaceAll(refused(t, "systemd", args), ", ", ","); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}

const nfsLine = "10.77.0.11:/grdata /grdata nfs rw 0 0\n"

func mounted(t *testing.T, fstab string, mounts ...sys.Mount) *systest.Host {
	host := systest.NewHostInMemory(t)
	host.WriteFile("/etc/fstab", fstab, 0o644)
	host.State.Mounts = mounts
	for _, m := range mounts {
		host.Mkdir(m.Target)
	}
	return host
}

func TestMount(t *testing.T) {
	nfs := sys.Mount{Source: "10.77.0.11:/grdata", Target: "/grdata", Type: "nfs4", Options: "rw"}
	gluster := sys.Mount{Source: "compute01:/data", Target: "/grdata", Type: "fuse.glusterfs", Options: "rw"}
	wish := func(state string, more ...any) map[string]any {
		args := map[string]any{"path": "/grdata/", "src": "compute01:/data", "fstype": "glusterfs", "opts": "use-readdirp=no,log-level=WARNING", "state": state}
		for i := 0; i < len(more); i += 2 {
			args[more[i].(string)] = more[i+1]
		}
		return args
	}
	const glusterLine = "compute01:/data /grdata glusterfs use-readdirp=no,log-level=WARNING 0 0\n"
	edit := func(before, after string) string {
		return strings.TrimSpace("update /etc/fstab content: " + before + " -> " + after)
	}
	tests := []struct {
		name    string
		host    *systest.Host
		args    map[string]any
		changes []string
		fails   string
	}{
		{"new", mounted(t, "# none\n"), wish("mounted"), []string{
			"create /grdata state: (absent) -> directory",
			"create mount /grdata source: (absent) -> compute01:/data (glusterfs)",
			edit("# none\n", "# none\n"+glusterLine),
		}, ""},
		{"in place of another", mounted(t, nfsLine, nfs), wish("mounted"), []string{
			"remove mount /grdata source: 10.77.0.11:/grdata (nfs) -> (absent)",
			"create mount /grdata source: (absent) -> compute01:/data (glusterfs)",
			edit(nfsLine, glusterLine),
		}, ""},
		{"stacked on another", mounted(t, glusterLine, nfs, gluster), wish("mounted"), nil, ""},
		{"as it is, options in another order", mounted(t, "compute01:/data /grdata glusterfs log-level=WARNING,use-readdirp=no\n", gluster), wish("mounted"), nil, ""},
		{"other options", mounted(t, "compute01:/data /grdata glusterfs defaults 0 0\n", gluster), wish("mounted"), []string{
			"run mount /grdata remount: (absent) -> use-readdirp=no,log-level=WARNING",
			edit("compute01:/data /grdata glusterfs defaults 0 0\n", glusterLine),
		}, ""},
		{"nfs by its kernel name", mounted(t, nfsLine, nfs), map[string]any{"path": "/grdata", "src": "10.77.0.11:/grdata/", "fstype": "nfs", "opts": "rw", "state": "ephemeral"}, []string{
			"run mount /grdata remount: (absent) -> rw",
		}, ""},
		{"present only", mounted(t, nfsLine, nfs), wish("present", "boot", false), []string{
			edit(nfsLine, strings.Replace(glusterLine, "WARNING", "WARNING,noauto", 1)),
		}, ""},
		{"unmounted, every layer", mounted(t, nfsLine, nfs, gluster), wish("unmounted"), []string{
			"remove mount /grdata source: compute01:/data (glusterfs) -> (absent)",
			"remove mount /grdata source: 10.77.0.11:/grdata (nfs) -> (absent)",
		}, ""},
		{"absent", mounted(t, "# a\n"+nfsLine+"b /grdata xfs\n"), map[string]any{"path": "/grdata", "state": "absent"}, []string{
			edit("# a\n"+nfsLine+"b /grdata xfs\n", "# a\n"),
		}, ""},
		{"two lines", mounted(t, nfsLine+nfsLine), wish("mounted"), nil, "lines 1 and 2"},
		{"not mounted", mounted(t, ""), wish("remounted"), nil, "nothing is mounted at /grdata"},
		{"another is in the way", mounted(t, "", nfs), wish("ephemeral"), nil, "unmount it first"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out := agreed(t, test.host, "mount", test.args)
			if test.fails != "" {
				wantFailure(t, out, test.fails)
				return
			}
			wantChanges(t, out, test.changes...)
		})
	}
}

// agreed runs a module on a shadow and on the host, twice; for hosts whose mounts
// are only names.
func agreed(t *testing.T, host *systest.Host, name string, args map[string]any) modules.Outcome {
	t.Helper()
	checked := run(t, sys.NewShadow(host), name, args)
	ran := run(t, host, name, args)
	if diff := cmp.Diff(checked, ran); diff != "" {
		t.Errorf("the check foretold something else (-check +run):\n%s", diff)
	}
	if ran.Status != modules.Failed {
		for _, c := range run(t, host, name, args).Changes {
			if !c.Event() {
				t.Errorf("a second run still changes %v", c)
			}
		}
	}
	return ran
}

func TestMountKeepsFolderWithFiles(t *testing.T) {
	host := mounted(t, "")
	host.WriteFile("/mnt/old/file", "precious", 0o644)
	wantStatus(t, agreed(t, host, "mount", map[string]any{"path": "/mnt/old", "state": "absent"}), modules.OK)
	host.Mkdir("/mnt/empty")
	wantChanges(t, agreed(t, host, "mount", map[string]any{"path": "/mnt/empty", "state": "absent"}), "remove /mnt/empty state: directory -> (absent)")
}

func TestMountFailureLeavesFstab(t *testing.T) {
	host := mounted(t, "# none\n")
	host.State.Broken["mounts.Mount"] = errors.New("no such server")
	out := run(t, host, "mount", map[string]any{"path": "/grdata", "src": "a:/b", "fstype": "nfs", "state": "mounted"})
	wantFailure(t, out, "no such server")
	if !strings.Contains(out.Message, "already done: create /grdata") {
		t.Errorf("message %q does not say what was done", out.Message)
	}
	if got := host.ReadFile("/etc/fstab"); got != "# none\n" {
		t.Errorf("fstab was written: %q", got)
	}
	host.State.Broken["mounts.List"] = errors.New("cannot read")
	wantFailure(t, run(t, host, "mount", map[string]any{"path": "/grdata", "state": "absent"}), "cannot read")
}

func TestMountRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"absolute path":        {"path": "grdata", "state": "absent"},
		"cannot be unmounted":  {"path": "//", "state": "absent"},
		"needs src and fstype": {"path": "/a", "state": "mounted"},
		"present or absent":    {"path": "none", "src": "/s", "fstype": "swap", "state": "mounted"},
		"wants a number":       {"path": "/a", "state": "absent", "passno": "x"},
	} {
		if got := refused(t, "mount", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}

func TestSetup(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.Mkdir("/run/systemd/system")
	host.State.System.Interfaces = []sys.Interface{
		{Name: "lo", Up: true, Addresses: []string{"127.0.0.1/8", "::1/128"}},
		{Name: "br-a.1", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true, Addresses: []string{"10.77.0.11/24", "10.77.0.100/32", "fe80::1/64"}},
	}
	host.State.System.DefaultInterface, host.State.System.DefaultIPv4 = "br-a.1", "10.77.0.11"
	host.State.System.UID = 0
	host.State.Mounts = []sys.Mount{{Source: "/dev/vda1", Target: "/", Type: "ext4", Options: "rw"}}
	out := run(t, host, "setup", map[string]any{"filter": []any{"default_ipv4", "ansible_br_a_1", "all_ip*", "interfaces", "dist*", "os_family", "*_mgr", "user_id", "memtotal_mb", "host*", "fqdn", "domain"}})
	want := map[string]any{
		"ansible_default_ipv4": map[string]any{
			"address": "10.77.0.11", "interface": "br-a.1", "alias": "br-a.1", "macaddress": "02:00:00:00:00:01", "mtu": 1500, "type": "ether",
			"netmask": "255.255.255.0", "network": "10.77.0.0", "prefix": "24", "broadcast": "10.77.0.255",
		},
		"ansible_br_a_1": map[string]any{
			"device": "br-a.1", "active": true, "mtu": 1500, "macaddress": "02:00:00:00:00:01", "type": "ether",
			"ipv4":             map[string]any{"address": "10.77.0.11", "netmask": "255.255.255.0", "network": "10.77.0.0", "prefix": "24", "broadcast": "10.77.0.255"},
			"ipv4_secondaries": []any{map[string]any{"address": "10.77.0.100", "netmask": "255.255.255.255", "network": "10.77.0.100", "prefix": "32", "broadcast": ""}},
			"ipv6":             []any{map[string]any{"address": "fe80::1", "prefix": "64", "scope": "link"}},
		},
		"ansible_all_ipv4_addresses": []string{"10.77.0.11", "10.77.0.100"}, "ansible_all_ipv6_addresses": []string{"fe80::1"},
		"ansible_interfaces":   []string{"br-a.1", "lo"},
		"ansible_distribution": "Debian", "ansible_distribution_version": "12", "ansible_distribution_major_version": "12", "ansible_distribution_release": "NA",
		"ansible_os_family": "Debian", "ansible_pkg_mgr": "apt", "ansible_service_mgr": "systemd", "ansible_user_id": "root",
		"ansible_memtotal_mb": int64(4096), "ansible_hostname": "host", "ansible_fqdn": "host.example.org", "ansible_domain": "example.org",
	}
	if diff := cmp.Diff(want, out.Result["ansible_facts"]); diff != "" {
		t.Error(diff)
	}
	if got := refused(t, "setup", map[string]any{"gather_subset": "hardwear"}); !strings.Contains(got, `did you mean "hardware"?`) {
		t.Errorf("refused with %q", got)
	}
}
