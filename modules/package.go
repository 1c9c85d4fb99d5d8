package modules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// PackageArgs are the arguments of package and of its names apt, dnf and yum.
type PackageArgs struct {
	Name                    []string `arg:"name" alias:"pkg,package" doc:"The packages, each a name or name=version in the package manager's own version string. May be left out with update_cache."`
	State                   string   `arg:"state" default:"present" choices:"present,absent,latest,installed,removed" doc:"present takes any version that is there already; latest also upgrades. installed and removed are other words for present and absent."`
	UpdateCache             bool     `arg:"update_cache" default:"no" alias:"update-cache" doc:"Fetch the package lists first. With names and state present this is done only when something has to be installed."`
	CacheValidTime          int      `arg:"cache_valid_time" default:"0" doc:"Seconds for which the package lists of apt are fresh enough; with it update_cache is on. dnf and yum look after the age of their lists themselves, so that nothing is fetched there."`
	Units                   string   `arg:"units" default:"as_packaged" choices:"as_packaged,disabled" doc:"What becomes of the units of newly installed packages: what the packages' scripts do (Debian starts and enables them), or stopped and disabled."`
	AllowDowngrade          bool     `arg:"allow_downgrade" default:"no" alias:"allow-downgrade,allow_downgrades" doc:"Let name=version be older than what is installed."`
	AllowChangeHeldPackages bool     `arg:"allow_change_held_packages" default:"no" doc:"Let held packages (apt-mark hold, versionlock) be changed."`
	Purge                   bool     `arg:"purge" default:"no" doc:"With absent, remove the configuration files too (apt)."`
}

func packageSpec() Spec {
	return Spec{
		Name:    "package",
		Aliases: []string{"apt", "dnf", "yum", "ansible.builtin.apt", "ansible.builtin.dnf", "ansible.builtin.yum"},
		Summary: "Install, upgrade and remove packages with apt, dnf or yum",
		Place:   OnHost,
		New:     func() Module { return &PackageArgs{} },
		Notes: []string{
			"The host's own package manager is used, whichever of the names the task has. Packages that are called differently in the families are the playbook's business.",
			"Every package of the transaction is a change, dependencies included. When the lists are fetched first, check mode foretells from the lists that are there; where those lack the package, its version is not known yet.",
			"Ansible's package fetches the lists even when nothing is to be installed. Here that happens only with state latest or without names; it counts as a change then.",
		},
		Returns: []Return{
			{Name: "packages", Type: "dict", Doc: "The installed version of each package asked for; empty when it is not installed."},
			{Name: "cache_updated", Type: "bool", Doc: "Whether the package lists were fetched."},
		},
		Examples: []Example{
			{"A package, configured before its daemon may start", `
package:
  name: keepalived
  units: disabled
  update_cache: yes
  cache_valid_time: 3600`},
			{"Several, one of them in a certain version", `
package:
  name: [nginx=1.22.1-9, curl]
  state: present`},
			{"Remove with configuration", `
apt:
  name: nfs-kernel-server
  state: absent
  purge: yes`},
		},
	}
}

// Validate wants names, or lists to fetch.
func (a *PackageArgs) Validate() error {
	if a.Name == nil && !a.refreshes() { // an empty list is a loop's nothing, and fine
		return errors.New("package needs name, or update_cache alone")
	}
	if a.CacheValidTime < 0 {
		return errors.New("package: cache_valid_time: wants 0 or more seconds")
	}
	if a.Purge && a.wanted() != sys.PackageAbsent {
		return errors.New("package: purge goes with state: absent only")
	}
	for _, name := range a.Name {
		if _, err := a.request(name); err != nil {
			return fmt.Errorf("package: %w", err)
		}
	}
	return nil
}

func (a *PackageArgs) refreshes() bool { return a.UpdateCache || a.CacheValidTime > 0 }

func (a *PackageArgs) wanted() sys.PackageState {
	switch a.State {
	case "absent", "removed":
		return sys.PackageAbsent
	case "latest":
		return sys.PackageLatest
	default:
		return sys.PackagePresent
	}
}

// request reads name or name=version. What could be taken for an option or a
// wildcard is refused: nobody means "-y" or every package.
func (a *PackageArgs) request(text string) (sys.PackageRequest, error) {
	name, version, versioned := strings.Cut(text, "=")
	request := sys.PackageRequest{Name: name, Version: version, State: a.wanted()}
	switch {
	case name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(text, " \t\r\n*?/\\"):
		return request, fmt.Errorf("%q is no package name", text)
	case strings.HasSuffix(name, "-"):
		return request, fmt.Errorf("%q is no package name; use state: absent to remove one", text)
	case versioned && version == "":
		return request, fmt.Errorf("%q: the version after = is missing", text)
	case versioned && request.State != sys.PackagePresent:
		return request, fmt.Errorf("%q: a version goes with state: present only", text)
	}
	return request, nil
}

// Plan asks what the transaction would be.
func (a *PackageArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	names := make([]string, 0, len(a.Name))
	requests := make([]sys.PackageRequest, 0, len(a.Name))
	for _, text := range a.Name {
		request, err := a.request(text)
		if err != nil {
			return Plan{}, err
		}
		names, requests = append(names, request.Name), append(requests, request)
	}
	known, err := host.Packages().Query(ctx, names...)
	if err != nil {
		return Plan{}, fmt.Errorf("asking for installed packages: %w", err)
	}
	plan := Plan{Result: Result{"packages": installedVersions(names, known)}, Once: Result{"cache_updated": false}}
	if len(names) > 0 && satisfied(requests, known) {
		return plan, nil
	}
	refresh, err := a.stale(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	t := &transaction{args: a, requests: requests, names: names}
	if err := t.resolve(ctx, host); err != nil {
		if _, unknown := sys.Unknown(err); unknown || !refresh {
			return Plan{}, err
		}
		t.unresolved = err // the new lists may hold it
	}
	if refresh && (len(names) == 0 || a.wanted() == sys.PackageLatest || t.pending()) {
		plan.Steps = append(plan.Steps, happening("package lists", "refresh", t.refresh))
	}
	if t.pending() || len(plan.Steps) > 0 && len(names) > 0 {
		plan.Steps = append(plan.Steps, t)
	}
	return plan, nil
}

func installedVersions(names []string, known map[string]sys.Package) map[string]any {
	versions := map[string]any{}
	for _, name := range names {
		versions[name] = known[name].Installed
	}
	return versions
}

// satisfied sees without a costly simulation that nothing is to be done.
func satisfied(requests []sys.PackageRequest, known map[string]sys.Package) bool {
	return !slices.ContainsFunc(requests, func(r sys.PackageRequest) bool {
		installed := known[r.Name].Installed
		switch r.State {
		case sys.PackageAbsent:
			return installed != ""
		case sys.PackagePresent:
			return installed == "" || r.Version != "" && r.Version != installed
		default:
			return true
		}
	})
}

// stale reports whether the package lists are to be fetched.
func (a *PackageArgs) stale(ctx context.Context, host sys.Reader) (bool, error) {
	if !a.refreshes() || a.wanted() == sys.PackageAbsent {
		return false, nil
	}
	if a.CacheValidTime == 0 {
		return true, nil
	}
	manager, err := host.Packages().Manager(ctx)
	if err != nil {
		return false, err
	}
	if manager != "apt" {
		return false, nil
	}
	for _, stamp := range []string{"/var/lib/apt/periodic/update-success-stamp", "/var/lib/apt/lists"} {
		info, err := host.Files().Stat(ctx, stamp)
		there, err := present(err)
		if err != nil {
			return false, fmt.Errorf("looking at the age of the package lists: %w", err)
		}
		if there {
			return time.Since(info.ModTime) >= time.Duration(a.CacheValidTime)*time.Second, nil
		}
	}
	return true, nil
}

// transaction is the step that changes packages. When the lists are fetched
// before it, it is resolved once more, so that what it shows is what it does.
type transaction struct {
	args       *PackageArgs
	requests   []sys.PackageRequest
	names      []string
	packages   []sys.PackageChange
	unresolved error // why the old lists did not do
	refreshed  bool  // new lists were fetched
	stale      error // why check mode cannot fetch new ones
}

func (t *transaction) pending() bool { return len(t.packages) > 0 || t.unresolved != nil }

func (t *transaction) resolve(ctx context.Context, host sys.Reader) error {
	t.packages, t.unresolved = nil, nil
	if len(t.requests) == 0 {
		return nil
	}
	packages, err := host.Packages().Resolve(ctx, t.requests, t.args.options())
	if err != nil {
		return err
	}
	t.packages = packages
	return t.refuseHeld(ctx, host)
}

func (t *transaction) refuseHeld(ctx context.Context, host sys.Reader) error {
	if t.args.AllowChangeHeldPackages {
		return nil
	}
	var touched []string
	for _, p := range t.packages {
		if p.From != "" {
			touched = append(touched, p.Name)
		}
	}
	if len(touched) == 0 {
		return nil
	}
	known, err := host.Packages().Query(ctx, touched...)
	if err != nil {
		return fmt.Errorf("asking for held packages: %w", err)
	}
	for _, name := range touched {
		if known[name].Held {
			return fmt.Errorf("the package %s is held and would be changed; release it, or set allow_change_held_packages: yes", name)
		}
	}
	return nil
}

func (t *transaction) refresh(ctx context.Context, host sys.Host, result Result) error {
	err := host.Change().Packages().UpdateCache(ctx)
	if _, unknown := sys.Unknown(err); unknown {
		t.stale = err
		return err
	}
	if err != nil {
		return fmt.Errorf("fetching the package lists: %w", err)
	}
	t.refreshed, result["cache_updated"] = true, true
	before := t.unresolved
	if err := t.resolve(ctx, sys.ReadOnly(host)); err != nil {
		t.unresolved = errors.Join(before, err)
	}
	return nil
}

// Changes lists the packages. It is asked after the lists were fetched, and is
// empty when those hold nothing newer.
func (t *transaction) Changes() []change.Change {
	if len(t.packages) > 0 {
		return packageChanges(t.packages)
	}
	if t.refreshed && t.unresolved == nil {
		return nil
	}
	var changes []change.Change
	for _, name := range t.names {
		changes = append(changes, change.Change{
			Target: "package " + name, Action: change.Run, Field: "version",
			After: change.Unknown("the package lists are fetched first"),
		})
	}
	return changes
}

func packageChanges(packages []sys.PackageChange) []change.Change {
	changes := make([]change.Change, 0, len(packages))
	for _, p := range packages {
		c := change.Change{Target: "package " + p.Name, Action: change.Update, Field: "version", Before: change.Text(p.From), After: change.Text(p.To)}
		switch {
		case p.From == "":
			c.Action, c.Before = change.Create, change.Absent()
		case p.To == "":
			c.Action, c.After = change.Remove, change.Absent()
		}
		changes = append(changes, c)
	}
	return changes
}

// Do carries out the transaction.
func (t *transaction) Do(ctx context.Context, host sys.Host, _ Result) error {
	if t.stale != nil && len(t.packages) == 0 {
		return t.stale
	}
	if t.unresolved != nil {
		return t.unresolved
	}
	return host.Change().Packages().Apply(ctx, t.requests, t.args.options())
}

func (a *PackageArgs) options() sys.PackageOptions {
	return sys.PackageOptions{
		UnitsDisabled:   a.Units == "disabled",
		AllowDowngrade:  a.AllowDowngrade,
		AllowChangeHeld: a.AllowChangeHeldPackages,
		Purge:           a.Purge,
	}
}
