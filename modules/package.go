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

// PackageWish is what package, apt, dnf and yum have in common.
type PackageWish struct {
	Name           []string `arg:"name" alias:"pkg,package" doc:"The packages, each a name or name=version in the package manager's own version string. May be left out with update_cache."`
	State          string   `arg:"state" default:"present" choices:"present,absent,latest,installed,removed" doc:"present takes any version that is there already; latest also upgrades. installed and removed are other words for present and absent."`
	UpdateCache    bool     `arg:"update_cache" default:"no" alias:"update-cache" doc:"Fetch the package lists first. With names and state present this is done only when something has to be installed."`
	Units          string   `arg:"units" default:"as_packaged" choices:"as_packaged,disabled" doc:"What becomes of the units of newly installed packages: what the packages' scripts do (Debian starts and enables them), or stopped and disabled."`
	AllowDowngrade bool     `arg:"allow_downgrade" default:"no" alias:"allow-downgrade,allow_downgrades" doc:"Let name=version be older than what is installed."`
}

// PackageHold is whether held packages stay.
type PackageHold struct {
	AllowChangeHeldPackages bool `arg:"allow_change_held_packages" default:"no" doc:"Let held packages (apt-mark hold, versionlock) be changed."`
}

// PackageApt are options that only apt knows. package takes them for hosts with
// any package manager, where they are of no matter to the others.
type PackageApt struct {
	CacheValidTime int  `arg:"cache_valid_time" default:"0" doc:"Seconds for which the package lists of apt are fresh enough; with it update_cache is on. dnf and yum look after the age of their lists themselves, so that nothing is fetched there."`
	Purge          bool `arg:"purge" default:"no" doc:"With absent, remove the configuration files too (apt)."`
}

// PackageArgs are the arguments of package.
type PackageArgs struct {
	PackageWish
	PackageApt
	PackageHold
}

func packageSpec() Spec {
	return Spec{
		Name:    "package",
		Summary: "Install, upgrade and remove packages with apt, dnf or yum",
		Place:   OnHost,
		New:     func() Module { return &PackageArgs{} },
		Notes: []string{
			"The host's own package manager is used. Packages that are called differently in the families are the playbook's business.",
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
package:
  name: nfs-kernel-server
  state: absent
  purge: yes`},
		},
	}
}

// packageTask is a task of any of the package modules, as they are carried out.
type packageTask struct {
	module   string   // package, apt, dnf or yum, for messages
	managers []string // which must be the host's; any when empty
	onlyOld  bool     // names that are not installed are passed over
	apt      PackageApt
	options  sys.PackageOptions
	*PackageWish
}

func (a *PackageArgs) task() packageTask {
	t := packageTask{module: "package", apt: a.PackageApt, PackageWish: &a.PackageWish, options: a.options()}
	t.options.AllowChangeHeld, t.options.Purge = a.AllowChangeHeldPackages, a.Purge
	return t
}

// Validate wants names, or lists to fetch.
func (a *PackageArgs) Validate() error { return a.task().validate() }

// Plan asks what the transaction would be.
func (a *PackageArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	return a.task().plan(ctx, host)
}

func (a *PackageWish) options() sys.PackageOptions {
	return sys.PackageOptions{UnitsDisabled: a.Units == "disabled", AllowDowngrade: a.AllowDowngrade}
}

// whole reports a transaction about more than the names.
func (t packageTask) whole() bool { return t.options.Upgrade != "" || t.options.AutoRemove }

func (t packageTask) validate() error {
	if t.Name == nil && !t.refreshes() && !t.whole() { // an empty list is a loop's nothing, and fine
		return fmt.Errorf("%s needs name, or update_cache alone", t.module)
	}
	if t.apt.CacheValidTime < 0 {
		return fmt.Errorf("%s: cache_valid_time: wants 0 or more seconds", t.module)
	}
	if t.apt.Purge && t.wanted() != sys.PackageAbsent && !t.whole() {
		return fmt.Errorf("%s: purge goes with state: absent only", t.module)
	}
	for _, name := range t.Name {
		if _, err := t.request(name); err != nil {
			return fmt.Errorf("%s: %w", t.module, err)
		}
	}
	return nil
}

func (t packageTask) refreshes() bool { return t.UpdateCache || t.apt.CacheValidTime > 0 }

func (a *PackageWish) wanted() sys.PackageState {
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
func (a *PackageWish) request(text string) (sys.PackageRequest, error) {
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

func (t packageTask) plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if err := t.here(ctx, host); err != nil {
		return Plan{}, err
	}
	names := make([]string, 0, len(t.Name))
	requests := make([]sys.PackageRequest, 0, len(t.Name))
	for _, text := range t.Name {
		request, err := t.request(text)
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
	if t.onlyOld {
		requests = slices.DeleteFunc(requests, func(r sys.PackageRequest) bool { return known[r.Name].Installed == "" })
	}
	if len(names) > 0 && !t.whole() && satisfied(requests, known) {
		return plan, nil
	}
	plan.Steps, err = t.steps(ctx, host, requests)
	return plan, err
}

// here refuses a host with another package manager than the module is for.
func (t packageTask) here(ctx context.Context, host sys.Reader) error {
	if len(t.managers) == 0 {
		return nil
	}
	manager, err := host.Packages().Manager(ctx)
	if err != nil || slices.Contains(t.managers, manager) {
		return err
	}
	return fmt.Errorf("%s: this host has %s; use package for hosts with any package manager", t.module, manager)
}

// steps fetches the lists where that is wanted and due, and changes packages.
func (t packageTask) steps(ctx context.Context, host sys.Reader, requests []sys.PackageRequest) ([]Step, error) {
	refresh, err := t.stale(ctx, host)
	if err != nil {
		return nil, err
	}
	x := &transaction{options: t.options, requests: requests}
	if err := x.resolve(ctx, host); err != nil {
		if _, unknown := sys.Unknown(err); unknown || !refresh {
			return nil, err
		}
		x.unresolved = err // the new lists may hold it
	}
	var steps []Step
	if refresh && (x.empty() || t.options.Upgrade != "" || t.wanted() == sys.PackageLatest || x.pending()) {
		steps = append(steps, happening("package lists", "refresh", x.refresh))
	}
	if x.pending() || len(steps) > 0 && !x.empty() {
		steps = append(steps, x)
	}
	return steps, nil
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
func (t packageTask) stale(ctx context.Context, host sys.Reader) (bool, error) {
	if !t.refreshes() || t.wanted() == sys.PackageAbsent {
		return false, nil
	}
	if t.apt.CacheValidTime == 0 {
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
			return time.Since(info.ModTime) >= time.Duration(t.apt.CacheValidTime)*time.Second, nil
		}
	}
	return true, nil
}

// transaction is the step that changes packages. When the lists are fetched
// before it, it is resolved once more, so that what it shows is what it does.
type transaction struct {
	options    sys.PackageOptions
	requests   []sys.PackageRequest
	packages   []sys.PackageChange
	unresolved error // why the old lists did not do
	refreshed  bool  // new lists were fetched
	stale      error // why check mode cannot fetch new ones
}

func (t *transaction) pending() bool { return len(t.packages) > 0 || t.unresolved != nil }

// empty reports that there is nothing that could be changed.
func (t *transaction) empty() bool {
	return len(t.requests) == 0 && t.options.Upgrade == "" && !t.options.AutoRemove
}

func (t *transaction) resolve(ctx context.Context, host sys.Reader) error {
	t.packages, t.unresolved = nil, nil
	if t.empty() {
		return nil
	}
	packages, err := host.Packages().Resolve(ctx, t.requests, t.options)
	if err != nil {
		return err
	}
	t.packages = packages
	return t.refuseHeld(ctx, host)
}

func (t *transaction) refuseHeld(ctx context.Context, host sys.Reader) error {
	if t.options.AllowChangeHeld {
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
	for _, r := range t.requests {
		changes = append(changes, change.Change{
			Target: "package " + r.Name, Action: change.Run, Field: "version",
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
	return host.Change().Packages().Apply(ctx, t.requests, t.options)
}
