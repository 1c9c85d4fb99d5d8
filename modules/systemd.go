package modules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// SystemdArgs are the arguments of systemd and of its names service and
// systemd_service.
type SystemdArgs struct {
	Name         string `arg:"name" alias:"unit,service" doc:"The unit. Without a suffix such as .timer it is a service. May be left out with daemon_reload."`
	State        string `arg:"state" choices:"started,stopped,restarted,reloaded" doc:"started and stopped do nothing when it is so already. restarted always happens; reloaded too, and starts a unit that does not run."`
	Enabled      *bool  `arg:"enabled" doc:"Whether the unit starts at boot."`
	Masked       *bool  `arg:"masked" doc:"Whether the unit is masked: it cannot be started at all."`
	DaemonReload bool   `arg:"daemon_reload" alias:"daemon-reload" default:"no" doc:"Let systemd read its unit files again before anything else. With a name this happens only when systemd says that what it has loaded of the unit is out of date."`
}

func systemdSpec() Spec {
	return Spec{
		Name:    "systemd",
		Aliases: []string{"systemd_service", "service", "ansible.builtin.systemd_service", "ansible.builtin.service"},
		Summary: "Start, stop, enable and mask units of systemd",
		Place:   OnHost,
		New:     func() Module { return &SystemdArgs{} },
		Notes: []string{
			"systemd is asked over D-Bus. A start that fails shows the unit's last log lines.",
			"A service that does its work and ends (Type=oneshot without RemainAfterExit) is never found running: started starts it each time.",
			"A unit that starts again and again (activating, auto-restart) does not count as started.",
		},
		Returns: []Return{
			{Name: "name", Type: "string", Doc: "The unit."},
			{Name: "state", Type: "string", Doc: "started or stopped, when state was given."},
			{Name: "enabled", Type: "bool", Doc: "Whether it starts at boot, when enabled was given."},
			{Name: "status", Type: "dict", Doc: "What systemd says of the unit: Id, Description, LoadState, ActiveState, SubState, UnitFileState, MainPID, NeedDaemonReload."},
		},
		Examples: []Example{
			{"Running, now and after a boot", `
systemd:
  name: glusterd
  state: started
  enabled: yes`},
			{"A handler", `
service:
  name: kubelet
  state: restarted
  daemon_reload: yes`},
		},
	}
}

// Validate wants a unit, and something to be done with it.
func (a *SystemdArgs) Validate() error {
	if a.Name == "" {
		if a.State != "" || a.Enabled != nil || a.Masked != nil {
			return errors.New("systemd: state, enabled and masked need the name of a unit")
		}
		if !a.DaemonReload {
			return errors.New("systemd needs name, or daemon_reload alone")
		}
		return nil
	}
	if strings.ContainsAny(a.Name, "/ \t\r\n*?[") {
		return fmt.Errorf("systemd: name: %q is no name of a unit", a.Name)
	}
	if a.State == "" && a.Enabled == nil && a.Masked == nil && !a.DaemonReload {
		return fmt.Errorf("systemd: say what is to be done with %s: state, enabled, masked or daemon_reload", a.Name)
	}
	if a.Masked != nil && *a.Masked && (a.State != "" && a.State != "stopped" || a.Enabled != nil && *a.Enabled) {
		return fmt.Errorf("systemd: %s is to be masked; it cannot be started or enabled then", a.Name)
	}
	return nil
}

var unitSuffixes = []string{".service", ".socket", ".target", ".timer", ".path", ".mount", ".automount", ".swap", ".slice", ".scope", ".device"}

// unitName completes a name as systemctl does.
func unitName(name string) string {
	for _, suffix := range unitSuffixes {
		if strings.HasSuffix(name, suffix) {
			return name
		}
	}
	return name + ".service"
}

const reloadField = "daemon-reload"

// Plan compares the unit with what is wanted of it.
func (a *SystemdArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if a.Name == "" {
		return Plan{Steps: []Step{happening("systemd", reloadField, reloadUnits)}}, nil
	}
	name := unitName(a.Name)
	unit, err := host.Units().Get(ctx, name)
	if err != nil {
		return Plan{}, fmt.Errorf("asking systemd for %s: %w", name, err)
	}
	if err := a.refuse(unit, name); err != nil {
		return Plan{}, err
	}
	plan := Plan{Result: a.result(unit, name)}
	if a.DaemonReload && unit.NeedReload {
		plan.Steps = append(plan.Steps, happening("unit "+name, reloadField, reloadUnits))
	}
	for _, step := range []Step{a.maskStep(unit, name), a.enableStep(unit, name), a.stateStep(unit, name)} {
		if step != nil {
			plan.Steps = append(plan.Steps, step)
		}
	}
	return plan, nil
}

func reloadUnits(ctx context.Context, host sys.Host, _ Result) error {
	return host.Change().Units().DaemonReload(ctx)
}

// refuse says what stands in the way: no unit, a broken one, or its mask.
func (a *SystemdArgs) refuse(unit sys.Unit, name string) error {
	unmasks := a.Masked != nil && !*a.Masked
	starts := a.State != "" && a.State != "stopped" || a.Enabled != nil && *a.Enabled
	switch {
	case unit.Load == "not-found" && a.Masked != nil && *a.Masked:
		return nil // masked before it is installed: it will never start by itself
	case unit.Load == "not-found":
		return fmt.Errorf("there is no unit %s on this host; see the name with: systemctl list-unit-files", name)
	case unit.Load == "error" || unit.Load == "bad-setting":
		return fmt.Errorf("systemd could not load %s (%s); see: systemctl status %s", name, unit.Load, name)
	case masked(unit) && starts && !unmasks:
		return fmt.Errorf("%s is masked, so it can be neither started nor enabled; add masked: no if that is meant", name)
	}
	return nil
}

func masked(unit sys.Unit) bool {
	return unit.Load == "masked" || unit.File == "masked" || unit.File == "masked-runtime"
}

func (a *SystemdArgs) maskStep(unit sys.Unit, name string) Step {
	if a.Masked == nil || *a.Masked == masked(unit) {
		return nil
	}
	do := sys.UnitWriter.Unmask
	if *a.Masked {
		do = sys.UnitWriter.Mask
	}
	return unitStep(name, update("unit "+name, "masked", yesNo(!*a.Masked), yesNo(*a.Masked)), do)
}

// The states of a unit file that enabling or disabling does not change.
var unswitchable = []string{"static", "generated", "transient", "alias", "indirect", ""}

func (a *SystemdArgs) enableStep(unit sys.Unit, name string) Step {
	if a.Enabled == nil || slices.Contains(unswitchable, unit.File) && !masked(unit) {
		return nil
	}
	c := update("unit "+name, "enabled", unit.File, "disabled")
	switch on := unit.File == "enabled"; {
	case *a.Enabled && !on:
		c.After = change.Text("enabled")
		return unitStep(name, c, sys.UnitWriter.Enable)
	case !*a.Enabled && (on || unit.File == "enabled-runtime"):
		return unitStep(name, c, sys.UnitWriter.Disable)
	}
	return nil
}

func (a *SystemdArgs) stateStep(unit sys.Unit, name string) Step {
	up := running(unit)
	start := update("unit "+name, "state", unit.Active, "active")
	switch {
	case a.State != "" && a.State != "stopped" && !up && unit.Oneshot:
		return unitStep(name, change.Change{Target: "unit " + name, Action: change.Run, Field: "start"}, sys.UnitWriter.Start)
	case a.State == "started" && !up, a.State == "reloaded" && !up:
		return upStep(name, start, sys.UnitWriter.Start)
	case a.State == "restarted" && !up:
		return upStep(name, start, sys.UnitWriter.Restart)
	case a.State == "stopped" && !slices.Contains([]string{"inactive", "failed", ""}, unit.Active):
		return unitStep(name, update("unit "+name, "state", unit.Active, "inactive"), sys.UnitWriter.Stop)
	case a.State == "restarted":
		return unitStep(name, change.Change{Target: "unit " + name, Action: change.Run, Field: "restart"}, sys.UnitWriter.Restart)
	case a.State == "reloaded":
		return unitStep(name, change.Change{Target: "unit " + name, Action: change.Run, Field: "reload"}, sys.UnitWriter.Reload)
	}
	return nil
}

// running is Ansible's idea of it, but for a unit that keeps falling over.
func running(unit sys.Unit) bool {
	switch unit.Active {
	case "active", "reloading":
		return true
	case "activating":
		return unit.Sub != "auto-restart"
	}
	return false
}

func unitStep(name string, c change.Change, do func(sys.UnitWriter, context.Context, string) error) Step {
	return act{changes: []change.Change{c}, do: func(ctx context.Context, host sys.Host, _ Result) error {
		return do(host.Change().Units(), ctx, name)
	}}
}

// upStep starts a unit and sees that it is up then: systemd takes a start whose
// conditions are not met for a success.
func upStep(name string, c change.Change, do func(sys.UnitWriter, context.Context, string) error) Step {
	return act{changes: []change.Change{c}, do: func(ctx context.Context, host sys.Host, _ Result) error {
		if err := do(host.Change().Units(), ctx, name); err != nil {
			return err
		}
		unit, err := host.Units().Get(ctx, name)
		if err != nil {
			return fmt.Errorf("asking systemd for %s: %w", name, err)
		}
		if !running(unit) {
			return fmt.Errorf("%s was started and is %s (%s): a condition of the unit is not met, or it has ended at once; see: systemctl status %s", name, unit.Active, unit.Sub, name)
		}
		return nil
	}}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (a *SystemdArgs) result(unit sys.Unit, name string) Result {
	result := Result{"name": name, "status": map[string]any{
		"Id": unit.Name, "Description": unit.Description, "LoadState": unit.Load,
		"ActiveState": unit.Active, "SubState": unit.Sub, "UnitFileState": unit.File,
		"MainPID": int64(unit.MainPID), "NeedDaemonReload": yesNo(unit.NeedReload),
	}}
	if a.State != "" {
		result["state"] = "stopped"
		if running(unit) {
			result["state"] = "started"
		}
	}
	if a.Enabled != nil {
		result["enabled"] = unit.File == "enabled" || unit.File == "enabled-runtime"
	}
	return result
}
