package sys

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
)

// shadowUnits is what would become of units. It knows three sources: systemd on
// the host beneath, unit files written in the shadow, and packages that would be
// installed and may bring any unit.
type shadowUnits struct {
	sh *Shadow

	mu       sync.Mutex
	units    map[string]*unitOverlay // by the unit's own name
	arrivals []arrival
	// loaded is which unit files systemd would have read last, by path; nil as
	// long as no reload was recorded: then those of the host beneath.
	loaded map[string]string
}

// unitOverlay is what was recorded of one unit; "" where nothing was.
type unitOverlay struct {
	active, sub, file, load string
	restarted               bool   // its MainPID is another one
	read                    string // the unit files it was started with, when systemd had not read them before
}

// arrival is an installation of packages that may bring units.
type arrival struct {
	reason   string
	disabled bool // whatever units come are stopped and disabled
}

func newShadowUnits(sh *Shadow) *shadowUnits {
	return &shadowUnits{sh: sh, units: map[string]*unitOverlay{}}
}

// brought tells that units may appear for reason ("package foo would be
// installed"), and whether they would be left stopped and disabled.
func (u *shadowUnits) brought(reason string, disabled bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.arrivals = append(u.arrivals, arrival{reason: reason, disabled: disabled})
	for name, o := range u.units {
		if o.load == "not-found" {
			delete(u.units, name) // it may come back
		}
	}
}

// gone tells that the units' package would be removed.
func (u *shadowUnits) gone(names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range names {
		u.units[name] = &unitOverlay{load: "not-found", active: "inactive", sub: "dead", file: absentFile}
	}
}

// absentFile in an overlay stands for a unit without a unit file, since "" there
// means that nothing was recorded.
const absentFile = "-"

// Get gives the unit as it would be.
func (u *shadowUnits) Get(ctx context.Context, name string) (Unit, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	unit, err := u.get(ctx, name)
	if err != nil {
		return Unit{}, err
	}
	if unit.unknown != nil {
		return Unit{}, unit.unknown
	}
	return unit.Unit, nil
}

// predicted is a unit with what cannot be known of it.
type predicted struct {
	Unit

	unknown *UnknownError // set when some of the state depends on a package's scripts
}

// get looks at the host beneath, then at unit files, then at arrivals, and lays
// over it what was recorded.
func (u *shadowUnits) get(ctx context.Context, name string) (predicted, error) {
	name, err := unitName(name)
	if err != nil {
		return predicted{}, err
	}
	under, err := u.sh.under.Units().Get(ctx, name)
	if err != nil {
		return predicted{}, err
	}
	unit := predicted{Unit: under}
	if unit.Name == "" {
		unit.Name = name
	}
	o := u.units[unit.Name]
	if o == nil {
		o = &unitOverlay{}
	}
	if under.Load == "not-found" && o.load == "" {
		if unit, err = u.appeared(ctx, unit); err != nil {
			return predicted{}, err
		}
	}
	o.over(&unit)
	return unit, u.refreshed(ctx, &unit.Unit, o)
}

func (o *unitOverlay) over(unit *predicted) {
	for _, f := range []struct {
		field    *string
		recorded string
	}{{&unit.Load, o.load}, {&unit.Active, o.active}, {&unit.Sub, o.sub}, {&unit.File, o.file}} {
		if f.recorded != "" {
			*f.field = strings.TrimPrefix(f.recorded, absentFile)
		}
	}
	if unit.Load == "not-found" {
		if unit.Active == "inactive" {
			unit.File = "" // its file went after it was enabled or disabled
		} else {
			unit.Load = "loaded" // what runs is kept in memory
		}
	}
	if o.restarted || unit.Active == "inactive" {
		unit.MainPID = 0
	}
	if o.active != "" && o.file != "" {
		unit.unknown = nil // all that its package would have decided was decided since
	}
}

// appeared is a unit that the host beneath does not have.
func (u *shadowUnits) appeared(ctx context.Context, unit predicted) (predicted, error) {
	fragment, err := u.sh.readFragment(ctx, unit.Name)
	if err != nil {
		return predicted{}, err
	}
	if fragment.path != "" {
		unit.Load, unit.Active, unit.Sub = "loaded", "inactive", "dead"
		unit.Description = fragment.value("Unit", "Description")
		if fragment.masks {
			unit.Load = "masked"
		}
		unit.Oneshot = fragment.ends()
		unit.File, err = u.sh.fileState(ctx, unit.Name, fragment)
		return unit, err
	}
	for _, a := range u.arrivals {
		unit.Load, unit.Active, unit.Sub, unit.File = "loaded", "inactive", "dead", "disabled"
		if !a.disabled {
			unit.unknown = &UnknownError{What: "state of unit " + unit.Name, Because: a.reason}
		}
	}
	return unit, nil
}

// refreshed brings up to date what follows from unit files that changed in the
// shadow: whether systemd needs a reload, or has lost the unit with one.
func (u *shadowUnits) refreshed(ctx context.Context, unit *Unit, o *unitOverlay) error {
	now, err := u.sh.unitFiles(ctx, u.sh.files, unit.Name)
	if err != nil {
		return err
	}
	before, err := u.sh.unitFiles(ctx, u.sh.under.Files(), unit.Name)
	if err != nil {
		return err
	}
	read := before.signature()
	switch {
	case o.read != "":
		read = o.read
	case u.loaded != nil:
		read = pick(u.loaded, unit.Name).signature()
		unit.NeedReload = false
	}
	if now.signature() != read {
		// systemd keeps in memory only what runs or what another unit refers to;
		// anything else it reads anew each time.
		unit.NeedReload = unit.Active != "inactive" || strings.HasPrefix(unit.File, "enabled")
	}
	if before.fragment() != "" && now.fragment() == "" && !unit.NeedReload {
		unit.Load, unit.File = "not-found", ""
	}
	return nil
}

func (u *shadowUnits) record(name string) *unitOverlay {
	o := u.units[name]
	if o == nil {
		o = &unitOverlay{}
		u.units[name] = o
	}
	return o
}

// Start records that the unit would run.
func (u *shadowUnits) Start(ctx context.Context, name string) error {
	return u.activate(ctx, "start", name)
}

// Restart records that the unit would run.
func (u *shadowUnits) Restart(ctx context.Context, name string) error {
	return u.activate(ctx, "restart", name)
}

func (u *shadowUnits) activate(ctx context.Context, verb, name string) error {
	return u.change(ctx, verb, name, func(unit predicted, o *unitOverlay) error {
		if verb == "start" && unit.unknown == nil && unit.Active == "active" {
			return nil
		}
		active, sub, err := u.running(ctx, unit)
		if err != nil {
			return err
		}
		if !unit.NeedReload && unit.Active == "inactive" {
			files, err := u.sh.unitFiles(ctx, u.sh.files, unit.Name)
			if err != nil {
				return err
			}
			o.read = files.signature()
		}
		o.active, o.sub, o.restarted = active, sub, true
		u.sh.network.stirred(verb + " of " + unit.Name)
		return nil
	})
}

// running is the state that a unit of this kind has when its start is done. A
// service that runs once has ended by then.
func (u *shadowUnits) running(ctx context.Context, unit predicted) (active, sub string, err error) {
	suffix := path.Ext(unit.Name)
	if suffix != ".service" {
		return "active", runningSub[suffix], nil
	}
	fragment, err := u.sh.readFragment(ctx, unit.Name)
	switch {
	case err != nil:
		return "", "", err
	case unit.Oneshot || fragment.ends():
		return "inactive", "dead", nil
	case fragment.value("Service", "Type") == "oneshot":
		return "active", "exited", nil
	}
	return "active", "running", nil
}

var runningSub = map[string]string{
	".socket": "listening", ".timer": "waiting", ".path": "waiting", ".automount": "waiting",
	".mount": "mounted", ".device": "plugged", ".target": "active", ".slice": "active",
	".swap": "active", ".scope": "running",
}

// Stop records that the unit would not run.
func (u *shadowUnits) Stop(ctx context.Context, name string) error {
	return u.change(ctx, "stop", name, func(unit predicted, o *unitOverlay) error {
		if unit.unknown == nil && (unit.Active == "inactive" || unit.Active == "failed") {
			return nil
		}
		o.active, o.sub = "inactive", "dead"
		u.sh.network.stirred("stop of " + unit.Name)
		return nil
	})
}

// Reload records that the unit's program would read its configuration.
func (u *shadowUnits) Reload(ctx context.Context, name string) error {
	return u.change(ctx, "reload", name, func(unit predicted, _ *unitOverlay) error {
		if unit.unknown == nil && unit.Active != "active" && unit.Active != "reloading" {
			return fmt.Errorf("it cannot be reloaded because it is %s", unit.Active)
		}
		u.sh.network.stirred("reload of " + unit.Name)
		return nil
	})
}

// Enable records that the unit would start at boot.
func (u *shadowUnits) Enable(ctx context.Context, name string) error {
	return u.change(ctx, "enable", name, func(unit predicted, o *unitOverlay) error {
		if unit.unknown == nil && unit.File == "static" {
			return errNotInstallable
		}
		o.file = "enabled"
		return u.reload(ctx)
	})
}

// Disable records that the unit would not start at boot.
func (u *shadowUnits) Disable(ctx context.Context, name string) error {
	return u.change(ctx, "disable", name, func(unit predicted, o *unitOverlay) error {
		if unit.unknown != nil || unit.File == "enabled" || unit.File == "enabled-runtime" {
			o.file = "disabled"
		}
		return u.reload(ctx)
	})
}

// Mask records that the unit could not be started any more. It need not exist.
func (u *shadowUnits) Mask(ctx context.Context, name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	unit, err := u.get(ctx, name)
	if err != nil {
		return fmt.Errorf("mask unit %s: %w", name, err)
	}
	own := "/etc/systemd/system/" + unit.Name
	if _, err := u.sh.files.Lstat(ctx, own); err == nil && unit.File != "masked" {
		return fmt.Errorf("mask unit %s: %s is in the way", unit.Name, own)
	} else if err != nil && !absentOrUnknown(err) {
		return fmt.Errorf("mask unit %s: %w", unit.Name, err)
	}
	o := u.record(unit.Name)
	o.file, o.load = "masked", "masked"
	return u.reload(ctx)
}

// Unmask records that the mask would be taken away.
func (u *shadowUnits) Unmask(ctx context.Context, name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	unit, err := u.get(ctx, name)
	if err != nil {
		return fmt.Errorf("unmask unit %s: %w", name, err)
	}
	if unit.File != "masked" {
		return nil
	}
	fragment, err := u.sh.readFragmentBelowMask(ctx, unit.Name)
	if err != nil {
		return fmt.Errorf("unmask unit %s: %w", unit.Name, err)
	}
	o := u.record(unit.Name)
	if fragment.path == "" {
		o.load, o.file = "not-found", absentFile
		return u.reload(ctx)
	}
	state, err := u.sh.fileState(ctx, unit.Name, fragment)
	if err != nil {
		return fmt.Errorf("unmask unit %s: %w", unit.Name, err)
	}
	o.load, o.file = "loaded", state
	return u.reload(ctx)
}

// DaemonReload records which unit files systemd would read now.
func (u *shadowUnits) DaemonReload(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reload(ctx)
}

// reload is also part of enabling and masking, on the real host too.
func (u *shadowUnits) reload(ctx context.Context) error {
	loaded, err := u.sh.allUnitFiles(ctx)
	if err != nil {
		return fmt.Errorf("daemon-reload: %w", err)
	}
	u.loaded = loaded
	for _, o := range u.units {
		o.read = ""
	}
	return nil
}

// change does what do says to a unit that is there and not masked; the errors are
// those of the real host.
func (u *shadowUnits) change(ctx context.Context, verb, name string, do func(unit predicted, o *unitOverlay) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	unit, err := u.get(ctx, name)
	if err == nil {
		err = changeable(verb, unit)
	}
	if err == nil {
		err = do(unit, u.record(unit.Name))
	}
	if err != nil {
		return fmt.Errorf("%s unit %s: %w", verb, name, err)
	}
	return nil
}

func changeable(verb string, unit predicted) error {
	switch {
	case unit.Load == "not-found":
		return errors.New("Unit " + unit.Name + " not found.")
	case unit.Load == "masked" && (verb == "start" || verb == "restart"):
		return errors.New("Unit " + unit.Name + " is masked.")
	case unit.File == "masked" && verb == "enable":
		return errors.New("Unit file " + unit.Name + " is masked.")
	}
	return nil
}
