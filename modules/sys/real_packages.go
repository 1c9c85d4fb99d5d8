package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

const (
	// lockPatience is how long a package database locked by others is waited for.
	lockPatience = time.Minute
	// queryTimeout bounds what only reads, fetching lists that have expired included.
	queryTimeout = 5 * time.Minute
	// transactionTimeout bounds what must not be cut off in the middle.
	transactionTimeout = time.Hour
)

// packageManager is what apt, dnf and yum have in common. Names were checked.
type packageManager interface {
	name() string
	// state gives what is installed, all of it, by name.
	state(ctx context.Context) (map[string]Package, error)
	resolve(ctx context.Context, requests []PackageRequest, options PackageOptions, state map[string]Package) ([]PackageChange, error)
	apply(ctx context.Context, requests []PackageRequest, options PackageOptions, state map[string]Package) error
	updateCache(ctx context.Context) error
	// takes refuses what the manager has nothing for.
	takes(selection PackageSelection) error
	// files lists the paths that installed packages own; others are passed over.
	files(ctx context.Context, packages []string) ([]string, error)
	// sources are the files and folders whose change makes answers stale.
	sources() []string
}

// realPackages asks and tells the machine's own package manager. What it was told
// is kept until the package database or lists change, by whomsoever.
type realPackages struct {
	commands *realCommands
	units    *realUnits

	turn chan struct{} // held while working: package managers do not run side by side

	manager     packageManager
	fingerprint string
	installed   map[string]Package
	resolved    resolution
}

// resolution is the last answer of a simulation: planning a task and carrying it out
// ask for the same one, and it takes seconds.
type resolution struct {
	of      string // requests and options
	changes []PackageChange
}

func newRealPackages(units *realUnits) *realPackages {
	return &realPackages{commands: newRealCommands(), units: units, turn: make(chan struct{}, 1)}
}

// enter waits for its turn and finds the manager. leave must follow a nil error.
func (p *realPackages) enter(ctx context.Context) error {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := p.find()
	if err != nil {
		p.leave()
	}
	return err
}

func (p *realPackages) leave() { <-p.turn }

func (p *realPackages) find() error {
	if p.manager != nil {
		return nil
	}
	has := func(program string) bool {
		_, err := lookUp(program, "", os.Environ())
		return err == nil
	}
	switch {
	case has("apt-get") && has("dpkg-query"):
		p.manager = newApt(p.commands)
	case has("dnf") && has("rpm"):
		p.manager = newDnf(p.commands, "dnf")
	case has("yum") && has("rpm"):
		p.manager = newDnf(p.commands, "yum")
	default:
		return fmt.Errorf("this host has none of the package managers apt, dnf and yum: %w", exec.ErrNotFound)
	}
	return nil
}

// Manager names the package manager.
func (p *realPackages) Manager(ctx context.Context) (string, error) {
	if err := p.enter(ctx); err != nil {
		return "", err
	}
	defer p.leave()
	return p.manager.name(), nil
}

// Query gives what is installed of each name; the lists are not asked.
func (p *realPackages) Query(ctx context.Context, names ...string) (map[string]Package, error) {
	if err := checkNames(names); err != nil {
		return nil, err
	}
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.read(ctx); err != nil {
		return nil, err
	}
	found := make(map[string]Package, len(names))
	for _, name := range names {
		one := p.installed[name]
		one.Name = name
		found[name] = one
	}
	return found, nil
}

// read makes sure that what is kept of installed packages is what is so.
func (p *realPackages) read(ctx context.Context) error {
	now, err := fingerprint(p.manager.sources())
	if err != nil {
		return err
	}
	if p.installed != nil && now == p.fingerprint {
		return nil
	}
	installed, err := p.manager.state(ctx)
	if err != nil {
		return err
	}
	p.installed, p.fingerprint, p.resolved = installed, now, resolution{}
	return nil
}

// fingerprint differs when one of the files differs, or one in one of the folders.
func fingerprint(paths []string) (string, error) {
	var b strings.Builder
	for _, p := range paths {
		entries, err := os.ReadDir(p)
		if err != nil {
			entries = nil // a file, or nothing
		}
		all := []string{p}
		for _, e := range entries {
			all = append(all, filepath.Join(p, e.Name()))
		}
		for _, file := range all {
			info, err := os.Stat(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String(), nil
}

// Resolve simulates.
func (p *realPackages) Resolve(ctx context.Context, requests []PackageRequest, options PackageOptions) ([]PackageChange, error) {
	if err := checkRequests(requests); err != nil {
		return nil, err
	}
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	defer p.leave()
	return p.resolve(ctx, requests, options)
}

func (p *realPackages) resolve(ctx context.Context, requests []PackageRequest, options PackageOptions) ([]PackageChange, error) {
	if err := p.read(ctx); err != nil {
		return nil, err
	}
	if err := p.manager.takes(options.PackageSelection); err != nil {
		return nil, err
	}
	of := fmt.Sprintf("%#v %#v", requests, options)
	if p.resolved.of == of {
		return slices.Clone(p.resolved.changes), nil
	}
	changes, err := p.manager.resolve(ctx, requests, options, p.installed)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(changes, func(a, b PackageChange) int { return strings.Compare(a.Name, b.Name) })
	p.resolved = resolution{of, changes}
	return slices.Clone(changes), nil
}

// Apply carries the transaction out. Cancelling ends it while it downloads; once
// packages are being changed it is waited for, since half a transaction would be
// neither the old state nor the new one.
func (p *realPackages) Apply(ctx context.Context, requests []PackageRequest, options PackageOptions) (err error) {
	if err := checkRequests(requests); err != nil {
		return err
	}
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.leave()
	if err := recoverPolicy(policyPath); err != nil {
		return fmt.Errorf("undo what an interrupted run has left: %w", err)
	}
	changes, err := p.resolve(ctx, requests, options)
	if err != nil || len(changes) == 0 {
		return err
	}
	defer func() { p.installed = nil }()
	if !options.UnitsDisabled {
		return p.manager.apply(ctx, requests, options, p.installed)
	}
	return p.applyQuietly(ctx, requests, options, changes)
}

// applyQuietly lets no unit of a new package run or be enabled. Where systemd does
// not run there is none that could.
func (p *realPackages) applyQuietly(ctx context.Context, requests []PackageRequest, options PackageOptions, changes []PackageChange) (err error) {
	before, err := p.units.fileNames(ctx)
	booted := !errors.Is(err, errNoSystemd)
	if err != nil && booted {
		return err
	}
	restore, err := forbidStarts(policyPath, p.manager.name())
	if err != nil {
		return fmt.Errorf("keep new units from starting: %w", err)
	}
	err = p.manager.apply(ctx, requests, options, p.installed)
	err = errors.Join(err, restore())
	if !booted {
		return err
	}
	// Even when ctx ended meanwhile: what was installed must not stay enabled.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	defer cancel()
	return errors.Join(err, p.disableNew(settle, changes, before))
}

func (p *realPackages) disableNew(ctx context.Context, changes []PackageChange, before map[string]bool) error {
	var fresh []string
	for _, c := range changes {
		if c.From == "" {
			fresh = append(fresh, c.Name)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	files, err := p.manager.files(ctx, fresh)
	if err != nil {
		return fmt.Errorf("find the units of the new packages: %w", err)
	}
	units := unitsAmong(files)
	if len(units) == 0 {
		return nil
	}
	if err := p.units.DaemonReload(ctx); err != nil {
		return err
	}
	var failed error
	for _, unit := range units {
		if !before[unit] && !strings.Contains(unit, "@.") {
			failed = errors.Join(failed, p.settle(ctx, unit))
		}
	}
	return failed
}

// settle leaves a unit stopped and disabled.
func (p *realPackages) settle(ctx context.Context, name string) error {
	unit, err := p.units.Get(ctx, name)
	if err != nil {
		return err
	}
	if unit.File == "enabled" || unit.File == "enabled-runtime" {
		err = p.units.Disable(ctx, name)
	}
	if unit.Active == "active" || unit.Active == "activating" || unit.Active == "reloading" {
		err = errors.Join(err, p.units.Stop(ctx, name))
	}
	return err
}

// unitsAmong picks the units out of the files of packages, init scripts included.
func unitsAmong(files []string) []string {
	var units []string
	for _, file := range files {
		name := path.Base(file)
		switch dir := path.Dir(file); dir {
		case "/lib/systemd/system", "/usr/lib/systemd/system", "/etc/systemd/system":
			if slices.Contains(unitSuffixes, path.Ext(name)) {
				units = append(units, name)
			}
		case "/etc/init.d", "/etc/rc.d/init.d":
			if unit, err := unitName(name); err == nil {
				units = append(units, unit)
			}
		}
	}
	slices.Sort(units)
	return slices.Compact(units)
}

// UpdateCache fetches the package lists.
func (p *realPackages) UpdateCache(ctx context.Context) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer p.leave()
	p.installed = nil
	return p.manager.updateCache(ctx)
}

// filesOf lists the paths that installed packages own; the shadow asks for them.
func (p *realPackages) filesOf(ctx context.Context, packages []string) ([]string, error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	defer p.leave()
	return p.manager.files(ctx, packages)
}

// packageNames are names as apt, dpkg and rpm have them, with :arch or .arch. Both
// apt and dnf would take other characters for a pattern, an option or a path.
var (
	packageNames    = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9+._-]*(:[a-z0-9]+)?$`)
	packageVersions = lazy.Regexp(`^[A-Za-z0-9][A-Za-z0-9.+~:_^-]*$`)
)

func checkNames(names []string) error {
	for _, name := range names {
		if !packageNames().MatchString(name) || strings.HasSuffix(name, "-") {
			return fmt.Errorf("%q is no name of a package", name)
		}
	}
	return nil
}

func checkRequests(requests []PackageRequest) error {
	for _, r := range requests {
		if err := checkNames([]string{r.Name}); err != nil {
			return err
		}
		if r.Version != "" && !packageVersions().MatchString(r.Version) {
			return fmt.Errorf("package %s: %q is no version", r.Name, r.Version)
		}
		switch r.State {
		case PackagePresent, PackageLatest, PackageAbsent:
		default:
			return fmt.Errorf("package %s: %q is no state of a package", r.Name, r.State)
		}
	}
	return nil
}

func (*apt) takes(s PackageSelection) error {
	if s.Enable != "" || s.Disable != "" {
		return errors.New("apt cannot enable or disable repositories for one transaction")
	}
	return nil
}

func (d *dnf) takes(s PackageSelection) error {
	s.Enable, s.Disable = "", ""
	if s != (PackageSelection{}) {
		return fmt.Errorf("%s: upgrade, autoremove, install_recommends and default_release are apt's", d.program)
	}
	return nil
}

// unavailable is the error for a package that no list has.
func unavailable(name, version, manager string) error {
	if version != "" {
		return missing("there is no version %s of package %s in the lists of %s", version, name, manager)
	}
	return missing("there is no package %s in the lists of %s; is the name right, and are the lists fetched (update_cache)?", name, manager)
}

var urls = lazy.Regexp(`[a-z+]+://[^\s'"]+`)

// withoutPasswords takes user and password out of the URLs of mirrors.
func withoutPasswords(text string) string {
	return urls().ReplaceAllStringFunc(text, func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			return "(address)" // it may hold one still
		}
		if u.User == nil {
			return address
		}
		u.User = nil
		return u.String()
	})
}
