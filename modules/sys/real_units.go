package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
)

const (
	connectTimeout = 10 * time.Second
	// sysvInstall is systemd's own bridge to chkconfig or update-rc.d.
	sysvInstallName = "systemd-sysv-install"
)

var sysvInstallPaths = []string{"/usr/lib/systemd/" + sysvInstallName, "/lib/systemd/" + sysvInstallName}

var errNoSystemd = errors.New("systemd is not running on this host (/run/systemd/system is missing)")

// realUnits asks and tells systemd over D-Bus. The connection is made when it is
// first needed and made anew once when it turns out to be lost.
type realUnits struct {
	commands *realCommands

	mu   sync.Mutex
	conn *dbus.Conn
	end  context.CancelFunc // ends conn
}

func newRealUnits() *realUnits { return &realUnits{commands: newRealCommands()} }

// close ends the connection and its goroutines; the next use makes a new one.
func (u *realUnits) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.drop()
}

func (u *realUnits) drop() {
	if u.conn != nil {
		u.conn.Close()
		u.end()
		u.conn, u.end = nil, nil
	}
}

func (u *realUnits) connect(ctx context.Context) (*dbus.Conn, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil && u.conn.Connected() {
		return u.conn, nil
	}
	u.drop()
	if _, err := os.Lstat("/run/systemd/system"); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNoSystemd
		}
		return nil, fmt.Errorf("is systemd running? %w", err)
	}
	conn, end, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	u.conn, u.end = conn, end
	return conn, nil
}

// dial prefers systemd's private socket: it needs no bus daemon and no polkit.
// godbus closes a connection when the context that it was made with ends, so
// that must be one of its own, which ctx ends only while the connection is made.
func dial(ctx context.Context) (*dbus.Conn, context.CancelFunc, error) {
	own, end := context.WithCancel(context.WithoutCancel(ctx))
	timer := time.AfterFunc(connectTimeout, end)
	stop := context.AfterFunc(ctx, end)
	conn, err := dialEither(own)
	if err == nil {
		err = conn.Subscribe() // without it the system bus does not tell of jobs
	}
	if !stop() || !timer.Stop() {
		err = errors.Join(err, ctx.Err())
		if err == nil {
			err = fmt.Errorf("no answer within %s", connectTimeout)
		}
	}
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		end()
		return nil, nil, err
	}
	return conn, end, nil
}

func dialEither(ctx context.Context) (*dbus.Conn, error) {
	if os.Geteuid() != 0 {
		return dbus.NewSystemConnectionContext(ctx)
	}
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err == nil {
		return conn, nil
	}
	conn, second := dbus.NewSystemConnectionContext(ctx)
	if second != nil {
		return nil, errors.Join(err, second)
	}
	return conn, nil
}

// call does what do says with a connection, and once more with a new one when the
// connection is found to be lost: systemd drops its private ones when it
// executes itself anew. All that is asked of it here may be asked twice.
func (u *realUnits) call(ctx context.Context, do func(*dbus.Conn) error) error {
	for again := false; ; again = true {
		conn, err := u.connect(ctx)
		if err != nil {
			return err
		}
		err = do(conn)
		if err == nil || again || ctx.Err() != nil || conn.Connected() {
			return preferContext(ctx, err)
		}
	}
}

// preferContext prefers ctx's own error to the one that it caused.
func preferContext(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

var unitSuffixes = []string{
	".service", ".socket", ".device", ".mount", ".automount", ".swap", ".target", ".path", ".timer", ".slice", ".scope",
}

// unitName completes a name as systemctl does: without a suffix it is a service.
func unitName(name string) (string, error) {
	if !slices.Contains(unitSuffixes, path.Ext(name)) {
		name += ".service"
	}
	stem := strings.TrimSuffix(name, path.Ext(name))
	if stem == "" || len(name) > 255 || strings.Trim(stem, unitNameBytes) != "" {
		return "", fmt.Errorf("%q is no name of a unit", name)
	}
	return name, nil
}

const unitNameBytes = `abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\@`

// Get asks for one unit. Name in the answer is the unit's own name when it was
// asked for by an alias.
func (u *realUnits) Get(ctx context.Context, name string) (Unit, error) {
	name, err := unitName(name)
	if err != nil {
		return Unit{}, err
	}
	var unit Unit
	var source string
	err = u.call(ctx, func(conn *dbus.Conn) error {
		properties, err := conn.GetUnitPropertiesContext(ctx, name)
		if err != nil {
			return err
		}
		unit, source = unitOf(properties)
		if strings.HasSuffix(unit.Name, ".service") && unit.Active != "inactive" {
			pid, err := conn.GetServicePropertyContext(ctx, unit.Name, "MainPID")
			if err != nil {
				return err
			}
			unit.MainPID, _ = pid.Value.Value().(uint32)
		}
		if !unit.NeedReload && unit.Load == "loaded" {
			dropIns, _ := properties["DropInPaths"].([]string)
			if unit.NeedReload, err = unread(unit.Name, dropIns); err != nil {
				return err
			}
		}
		unit.Oneshot, err = oneshot(ctx, conn, unit.Name)
		return err
	})
	if err != nil {
		return Unit{}, fmt.Errorf("look at unit %s: %w", name, err)
	}
	if sysv(unit, source) {
		return u.withSysvState(ctx, unit)
	}
	return unit, nil
}

// unread reports whether there is a drop-in that systemd has not read. It sees
// that by itself only when it knew the drop-in's folder at its last reload.
func unread(name string, read []string) (bool, error) {
	seen := map[string]bool{}
	for _, file := range read {
		seen[path.Base(file)] = true
	}
	for _, folder := range unitFolders {
		for _, base := range unitFileNames(name) {
			files, err := filepath.Glob(filepath.Join(folder, globEscape(base)+".d", "*.conf"))
			if err != nil {
				return false, err
			}
			for _, file := range files {
				if known := path.Base(file); !seen[known] {
					seen[known] = true // the first one counts
					if to, err := os.Readlink(file); err != nil || to != "/dev/null" {
						return true, nil //nolint:nilerr // no link, or not to be seen: it counts
					}
				}
			}
		}
	}
	return false, nil
}

func globEscape(name string) string { return strings.ReplaceAll(name, `\`, `\\`) }

// oneshot reports whether the unit is a service that is over once its program ends.
func oneshot(ctx context.Context, conn *dbus.Conn, name string) (bool, error) {
	if !strings.HasSuffix(name, ".service") {
		return false, nil
	}
	kind, err := conn.GetServicePropertyContext(ctx, name, "Type")
	if err != nil || kind.Value.Value() != "oneshot" {
		return false, err
	}
	remains, err := conn.GetServicePropertyContext(ctx, name, "RemainAfterExit")
	if err != nil {
		return false, err
	}
	return remains.Value.Value() != true, nil
}

func unitOf(properties map[string]any) (unit Unit, source string) {
	text := func(key string) string {
		s, _ := properties[key].(string)
		return s
	}
	reload, _ := properties["NeedDaemonReload"].(bool)
	return Unit{
		Name: text("Id"), Load: text("LoadState"), Active: text("ActiveState"), Sub: text("SubState"),
		File: text("UnitFileState"), NeedReload: reload, Description: text("Description"),
	}, text("SourcePath")
}

// sysv reports whether the unit was generated from an init script, so that
// systemd itself can tell nothing of its being enabled.
func sysv(unit Unit, source string) bool {
	return (unit.File == "generated" || unit.File == "") &&
		(strings.HasPrefix(source, "/etc/init.d/") || strings.HasPrefix(source, "/etc/rc.d/init.d/"))
}

// withSysvState asks the bridge to the distribution's own tool. Where there is no
// bridge, File stays as systemd has it: the unit can then not be enabled.
func (u *realUnits) withSysvState(ctx context.Context, unit Unit) (Unit, error) {
	r, err := u.sysvInstall(ctx, "is-enabled", unit.Name)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return unit, nil
	case err != nil:
		return Unit{}, err
	case r.Code == 0:
		unit.File = "enabled"
	default:
		unit.File = "disabled"
	}
	return unit, nil
}

func (u *realUnits) sysvInstall(ctx context.Context, verb, name string) (Result, error) {
	program := sysvInstallPaths[0]
	if _, err := os.Stat(program); errors.Is(err, fs.ErrNotExist) {
		program = sysvInstallPaths[1]
	}
	return u.commands.Run(ctx, Command{
		Args: []string{program, verb, strings.TrimSuffix(name, ".service")},
		Env:  []string{"LC_ALL=C.UTF-8"}, Timeout: time.Minute,
	})
}

type startJob func(c *dbus.Conn, ctx context.Context, name, mode string, ch chan<- string) (int, error)

// Start starts the unit. Cancelling stops the wait, not systemd's job.
func (u *realUnits) Start(ctx context.Context, name string) error {
	return u.job(ctx, "start", name, (*dbus.Conn).StartUnitContext)
}

// Stop stops the unit.
func (u *realUnits) Stop(ctx context.Context, name string) error {
	return u.job(ctx, "stop", name, (*dbus.Conn).StopUnitContext)
}

// Restart restarts the unit, or starts it.
func (u *realUnits) Restart(ctx context.Context, name string) error {
	return u.job(ctx, "restart", name, (*dbus.Conn).RestartUnitContext)
}

// Reload lets the unit's program read its configuration again.
func (u *realUnits) Reload(ctx context.Context, name string) error {
	return u.job(ctx, "reload", name, (*dbus.Conn).ReloadUnitContext)
}

func (u *realUnits) job(ctx context.Context, verb, name string, start startJob) error {
	name, err := unitName(name)
	if err != nil {
		return err
	}
	var outcome string
	err = u.call(ctx, func(conn *dbus.Conn) error {
		done := make(chan string, 1)
		if _, err := start(conn, ctx, name, "replace", done); err != nil {
			return err
		}
		outcome, err = jobEnd(ctx, conn, done)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s unit %s: %w", verb, name, err)
	}
	if outcome != "done" && outcome != "skipped" { // skipped: nothing to do in the unit's state
		return u.failure(ctx, verb, name, outcome)
	}
	return nil
}

var errLost = errors.New("the connection to systemd was lost")

// jobEnd waits for the job's result. A connection that was lost will not bring it.
func jobEnd(ctx context.Context, conn *dbus.Conn, done <-chan string) (string, error) {
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case outcome := <-done:
			return outcome, nil
		case <-ctx.Done():
			return "", ctx.Err()
		case <-check.C:
			if !conn.Connected() {
				return "", errLost
			}
		}
	}
}

// failure is an error that says what systemd says and what the unit wrote last.
func (u *realUnits) failure(ctx context.Context, verb, name, outcome string) error {
	words := map[string]string{
		"failed":     "it failed",
		"timeout":    "it took longer than its own timeout",
		"dependency": "a unit that it needs could not be started",
		"canceled":   "another job took the place of this one",
	}
	why := words[outcome]
	if why == "" {
		why = "systemd says " + outcome
	}
	text := fmt.Sprintf("%s unit %s: %s", verb, name, why)
	if result := u.result(ctx, name); result != "" {
		text += " (" + result + ")"
	}
	if lines := u.lastLines(ctx, name); lines != "" {
		text += "; its last log lines:\n" + lines
	}
	return errors.New(text)
}

// result is systemd's word for how the unit's processes ended: "exit-code,
// status 1". It is an addition to an error, so that not learning it is none.
func (u *realUnits) result(ctx context.Context, name string) string {
	if !strings.HasSuffix(name, ".service") {
		return ""
	}
	var text string
	_ = u.call(ctx, func(conn *dbus.Conn) error {
		all, err := conn.GetUnitTypePropertiesContext(ctx, name, "Service")
		if err != nil {
			return err
		}
		result, _ := all["Result"].(string)
		if result == "" || result == "success" {
			return nil
		}
		text = result
		if status, _ := all["ExecMainStatus"].(int32); status != 0 {
			text += fmt.Sprintf(", status %d", status)
		}
		return nil
	})
	return text
}

func (u *realUnits) lastLines(ctx context.Context, name string) string {
	r, err := u.commands.Probe(ctx, Command{
		Args: []string{"journalctl", "-u", name, "-n", "10", "-o", "cat", "--no-pager", "-q"},
		Env:  []string{"LC_ALL=C.UTF-8"}, Timeout: 10 * time.Second, Limit: 1 << 20,
	})
	if err != nil || r.Code != 0 {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(r.Stdout)), "\n")
	if lines[0] == "" {
		return ""
	}
	return "  " + strings.Join(lines, "\n  ")
}

// DaemonReload lets systemd read all unit files again.
func (u *realUnits) DaemonReload(ctx context.Context) error {
	err := u.call(ctx, func(conn *dbus.Conn) error { return conn.ReloadContext(ctx) })
	if err != nil {
		return fmt.Errorf("daemon-reload: %w", err)
	}
	return nil
}

// Enable lets the unit start at boot. A unit without an [Install] section cannot
// be enabled; that is an error, where systemctl only warns.
func (u *realUnits) Enable(ctx context.Context, name string) error {
	return u.switchFile(ctx, "enable", name, func(conn *dbus.Conn, name string) error {
		installable, changes, err := conn.EnableUnitFilesContext(ctx, []string{name}, false, false)
		if err == nil && !installable && len(changes) == 0 {
			return errNotInstallable
		}
		return err
	})
}

var errNotInstallable = errors.New("it has no [Install] section: only other units start it, so it cannot be enabled")

// Disable is the opposite of Enable.
func (u *realUnits) Disable(ctx context.Context, name string) error {
	return u.switchFile(ctx, "disable", name, func(conn *dbus.Conn, name string) error {
		_, err := conn.DisableUnitFilesContext(ctx, []string{name}, false)
		return err
	})
}

// Mask makes it impossible to start the unit. A unit file of the administrator's
// own in /etc/systemd/system is in the way and stays: that is an error.
func (u *realUnits) Mask(ctx context.Context, name string) error {
	return u.changeLinks(ctx, "mask", name, func(conn *dbus.Conn, name string) error {
		_, err := conn.MaskUnitFilesContext(ctx, []string{name}, false, false)
		return err
	})
}

// Unmask is the opposite of Mask.
func (u *realUnits) Unmask(ctx context.Context, name string) error {
	return u.changeLinks(ctx, "unmask", name, func(conn *dbus.Conn, name string) error {
		_, err := conn.UnmaskUnitFilesContext(ctx, []string{name}, false)
		return err
	})
}

// switchFile enables or disables. What comes from an init script goes through
// the distribution's tool; an alias stands for its unit.
func (u *realUnits) switchFile(ctx context.Context, verb, name string, do func(*dbus.Conn, string) error) error {
	name, err := unitName(name)
	if err != nil {
		return err
	}
	if strings.Contains(name, "@.") {
		return u.changeLinks(ctx, verb, name, do) // a template has no state to look at
	}
	var unit Unit
	var source string
	err = u.call(ctx, func(conn *dbus.Conn) error {
		properties, err := conn.GetUnitPropertiesContext(ctx, name)
		unit, source = unitOf(properties)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s unit %s: %w", verb, name, err)
	}
	if sysv(unit, source) {
		return u.switchScript(ctx, verb, unit.Name, source)
	}
	if unit.Load == "loaded" {
		name = unit.Name
	}
	return u.changeLinks(ctx, verb, name, do)
}

func (u *realUnits) switchScript(ctx context.Context, verb, name, source string) error {
	r, err := u.sysvInstall(ctx, verb, name)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%s unit %s: it comes from %s, and %s, which could %s it, is not installed", verb, name, source, sysvInstallName, verb)
	}
	if err != nil {
		return fmt.Errorf("%s unit %s: %w", verb, name, err)
	}
	if r.Code != 0 {
		return fmt.Errorf("%s unit %s: %s of %s ended with code %d: %s", verb, name, sysvInstallName, source, r.Code, strings.TrimSpace(string(r.Stderr)))
	}
	return u.DaemonReload(ctx)
}

// changeLinks changes links to unit files and then reloads, as systemctl does: older
// versions of systemd go on reporting the former state otherwise.
func (u *realUnits) changeLinks(ctx context.Context, verb, name string, do func(*dbus.Conn, string) error) error {
	name, err := unitName(name)
	if err != nil {
		return err
	}
	err = u.call(ctx, func(conn *dbus.Conn) error { return do(conn, name) })
	if err != nil {
		return fmt.Errorf("%s unit %s: %w", verb, name, err)
	}
	return u.DaemonReload(ctx)
}

// fileNames lists the units that have a unit file.
func (u *realUnits) fileNames(ctx context.Context) (map[string]bool, error) {
	names := map[string]bool{}
	err := u.call(ctx, func(conn *dbus.Conn) error {
		files, err := conn.ListUnitFilesContext(ctx)
		for _, f := range files {
			names[path.Base(f.Path)] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list unit files: %w", err)
	}
	return names, nil
}
