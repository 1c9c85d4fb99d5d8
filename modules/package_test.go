package modules_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func TestAptUpgrades(t *testing.T) {
	for _, upgrade := range []string{"yes", "safe", "full", "dist"} {
		wantChanges(t, agreed(t, packaged(t), "apt", map[string]any{"upgrade": upgrade}), "update package curl version: 7.80 -> 7.88")
	}
	out := run(t, packaged(t), "apt", map[string]any{"upgrade": "dist", "update_cache": true})
	wantChanges(t, out, "run package lists refresh: (absent) -> (absent)", "update package curl version: 7.80 -> 7.88")
	only := map[string]any{"name": []any{"nginx", "curl"}, "state": "latest", "only_upgrade": true}
	wantChanges(t, agreed(t, packaged(t), "apt", only), "update package curl version: 7.80 -> 7.88")
}

// What a later task sees of an upgrade is deferred unless nothing is to be done.
func TestPackagesAfterAnUpgradeAreDeferred(t *testing.T) {
	shadow := sys.NewShadow(packaged(t))
	wantStatus(t, run(t, shadow, "apt", map[string]any{"upgrade": "dist"}), modules.Changed)
	wantStatus(t, run(t, shadow, "apt", map[string]any{"name": "curl=7.88"}), modules.OK)
	out := run(t, shadow, "apt", map[string]any{"name": "nginx"})
	wantStatus(t, out, modules.Deferred)
	if !strings.Contains(out.Message, "simulates only one at a time") {
		t.Errorf("the reason is %q", out.Message)
	}
	wantStatus(t, run(t, shadow, "apt", map[string]any{"upgrade": "dist"}), modules.OK)
}

func TestPackageManagersAreTheHosts(t *testing.T) {
	host := packaged(t)
	wantFailure(t, run(t, host, "yum", map[string]any{"name": "nginx"}), "this host has apt")
	host.State.Manager = "yum"
	wantFailure(t, run(t, host, "apt", map[string]any{"name": "nginx"}), "this host has yum")
	wantStatus(t, run(t, host, "dnf", map[string]any{"name": "nginx"}), modules.Changed)
}

// optionsSeen records with which options the package manager is asked.
type optionsSeen struct {
	*systest.Host
	seen *[]sys.PackageOptions
}

func (h optionsSeen) Packages() sys.PackageReader { return optionsReader{h.Host.Packages(), h.seen} }

type optionsReader struct {
	sys.PackageReader
	seen *[]sys.PackageOptions
}

func (r optionsReader) Resolve(_ context.Context, _ []sys.PackageRequest, options sys.PackageOptions) ([]sys.PackageChange, error) {
	*r.seen = append(*r.seen, options)
	return nil, nil
}

func TestPackageOptionsReachTheManager(t *testing.T) {
	tests := []struct {
		module, manager string
		args            map[string]any
		want            sys.PackageOptions
	}{
		{
			"apt", "apt",
			map[string]any{"name": "nginx", "install_recommends": false, "default_release": "bookworm-backports"},
			sys.PackageOptions{PackageSelection: sys.PackageSelection{Recommends: "no", Release: "bookworm-backports"}},
		},
		{
			"apt", "apt",
			map[string]any{"name": "nginx", "install_recommends": true, "allow_downgrade": true, "units": "disabled"},
			sys.PackageOptions{UnitsDisabled: true, AllowDowngrade: true, PackageSelection: sys.PackageSelection{Recommends: "yes"}},
		},
		{
			"apt", "apt",
			map[string]any{"name": "curl", "state": "absent", "purge": true, "autoremove": true, "allow_change_held_packages": true},
			sys.PackageOptions{Purge: true, AllowChangeHeld: true, PackageSelection: sys.PackageSelection{AutoRemove: true}},
		},
		{"apt", "apt", map[string]any{"autoremove": true}, sys.PackageOptions{PackageSelection: sys.PackageSelection{AutoRemove: true}}},
		{"apt", "apt", map[string]any{"upgrade": "safe"}, sys.PackageOptions{PackageSelection: sys.PackageSelection{Upgrade: sys.UpgradeSafe}}},
		{
			"dnf", "dnf",
			map[string]any{"name": "nginx", "enablerepo": "a,b", "disablerepo": "*"},
			sys.PackageOptions{PackageSelection: sys.PackageSelection{Enable: "a,b", Disable: "*"}},
		},
	}
	for _, test := range tests {
		host := optionsSeen{packaged(t), &[]sys.PackageOptions{}}
		host.State.Manager = test.manager
		wantStatus(t, run(t, host, test.module, test.args), modules.OK)
		if diff := cmp.Diff([]sys.PackageOptions{test.want}, *host.seen); diff != "" {
			t.Errorf("%s %v (-want +got):\n%s", test.module, test.args, diff)
		}
	}
}

func TestAptAndDnfRefuse(t *testing.T) {
	for _, test := range []struct {
		module, want string
		args         map[string]any
	}{
		{"apt", "goes without name", map[string]any{"name": "a", "upgrade": "dist"}},
		{"apt", "no name of a release", map[string]any{"name": "a", "default_release": "-o x"}},
		{"apt", "enablerepo", map[string]any{"name": "a", "enablerepo": "b"}},
		{"apt", "none of", map[string]any{"name": "a", "state": "build-dep"}},
		{"dnf", "purge", map[string]any{"name": "a", "purge": true}},
		{"dnf", "no id of a repository", map[string]any{"name": "a", "enablerepo": "--x"}},
		{"yum", "exclude", map[string]any{"name": "a", "exclude": "b"}},
		{"package", "autoremove", map[string]any{"name": "a", "autoremove": true}},
	} {
		if got := refused(t, test.module, test.args); !strings.Contains(got, test.want) {
			t.Errorf("%s %v: %q, want %q", test.module, test.args, got, test.want)
		}
	}
}
