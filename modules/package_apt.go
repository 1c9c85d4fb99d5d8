package modules

import (
	"context"
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// AptArgs are the arguments of apt.
type AptArgs struct {
	PackageWish
	PackageApt
	PackageHold
	Upgrade           string `arg:"upgrade" default:"no" choices:"no,yes,safe,full,dist" doc:"Upgrade everything that is installed: yes and safe remove no package, full and dist may. Goes without name. Held packages stay."`
	Autoremove        bool   `arg:"autoremove" default:"no" doc:"Also remove packages that came along with others and that nothing needs any more."`
	OnlyUpgrade       bool   `arg:"only_upgrade" default:"no" doc:"Pass over names that are not installed."`
	InstallRecommends *bool  `arg:"install_recommends" alias:"install-recommends" doc:"Whether recommended packages come along; as apt is configured when not given."`
	DefaultRelease    string `arg:"default_release" alias:"default-release" doc:"The release that versions are taken from, as apt-get -t."`
}

func aptSpec() Spec {
	return Spec{
		Name:    "apt",
		Summary: "Install, upgrade and remove packages with apt",
		Place:   OnHost,
		New:     func() Module { return &AptArgs{} },
		Notes: []string{
			"What package says of changes and lists holds here too. deb, build-dep, fixed, clean, autoclean, force, fail_on_autoremove, policy_rc_d and dpkg_options are refused; units: disabled does what policy_rc_d is mostly used for.",
			"Configuration files that were changed on the host are kept, as with Ansible's default dpkg_options.",
			"In check mode, a transaction after another with other options (upgrade, autoremove, install_recommends, default_release) is deferred: apt simulates only one at a time.",
		},
		Returns: packageSpec().Returns,
		Examples: []Example{
			{"Several, one of them in a certain version", `
apt:
  name: [nginx=1.22.1-9, curl]
  install_recommends: no
  update_cache: yes
  cache_valid_time: 3600`},
			{"Remove with configuration and what nothing needs then", `
apt:
  name: nfs-kernel-server
  state: absent
  purge: yes
  autoremove: yes`},
			{"Upgrade everything", `
apt:
  upgrade: dist
  update_cache: yes`},
		},
	}
}

func (a *AptArgs) task() packageTask {
	t := packageTask{
		module: "apt", managers: []string{"apt"}, onlyOld: a.OnlyUpgrade && a.wanted() != sys.PackageAbsent,
		apt: a.PackageApt, PackageWish: &a.PackageWish, options: a.options(),
	}
	t.options.AllowChangeHeld, t.options.Purge = a.AllowChangeHeldPackages, a.Purge
	t.options.AutoRemove, t.options.Release = a.Autoremove, a.DefaultRelease
	switch a.Upgrade {
	case "yes", "safe":
		t.options.Upgrade = sys.UpgradeSafe
	case "full", "dist":
		t.options.Upgrade = sys.UpgradeFull
	}
	if a.InstallRecommends != nil {
		t.options.Recommends = map[bool]string{true: "yes", false: "no"}[*a.InstallRecommends]
	}
	return t
}

var aptRelease = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9._/=-]*$`)

// Validate holds the rules between options.
func (a *AptArgs) Validate() error {
	switch {
	case a.Upgrade != "no" && a.Name != nil:
		return errors.New("apt: upgrade goes without name; use state: latest for some packages")
	case a.DefaultRelease != "" && !aptRelease().MatchString(a.DefaultRelease):
		return fmt.Errorf("apt: default_release: %q is no name of a release", a.DefaultRelease)
	}
	return a.task().validate()
}

// Plan asks what the transaction would be.
func (a *AptArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	return a.task().plan(ctx, host)
}
