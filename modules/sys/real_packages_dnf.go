package sys

import (
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

// dnf drives dnf (4 and 5) and yum 3, which print alike, and rpm.
type dnf struct {
	commands *realCommands
	program  string // dnf or yum
}

func newDnf(commands *realCommands, program string) *dnf {
	return &dnf{commands: commands, program: program}
}

func (d *dnf) name() string { return d.program }

func (*dnf) sources() []string {
	return []string{
		"/var/lib/rpm", "/usr/lib/sysimage/rpm", "/etc/yum.repos.d", "/etc/yum.conf", "/etc/dnf/dnf.conf",
		"/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5", versionLocks[0], versionLocks[1],
	}
}

var versionLocks = []string{"/etc/dnf/plugins/versionlock.list", "/etc/yum/pluginconf.d/versionlock.list"}

func (d *dnf) probe(ctx context.Context, args ...string) (Result, error) {
	return d.commands.Probe(ctx, Command{Args: args, Env: []string{"LC_ALL=C.UTF-8"}, Timeout: queryTimeout})
}

const rpmFormat = `%{NAME}\t%{EPOCH}\t%{VERSION}\t%{RELEASE}\t%{ARCH}\t%{INSTALLTIME}\n`

func (d *dnf) state(ctx context.Context) (map[string]Package, error) {
	r, err := d.probe(ctx, "rpm", "-qa", "--qf", rpmFormat)
	if err != nil {
		return nil, err
	}
	if r.Code != 0 {
		return nil, fmt.Errorf("rpm: %s", said(r))
	}
	state, err := parseRPM(string(r.Stdout), nativeRPM())
	if err != nil {
		return nil, err
	}
	var locks []string
	for _, file := range versionLocks {
		text, err := os.ReadFile(file)
		if err == nil {
			locks = append(locks, strings.Fields(string(text))...)
		}
	}
	for name, p := range state {
		p.Held = versionLocked(locks, p)
		state[name] = p
	}
	return state, nil
}

// nativeRPM is rpm's name for the architecture that this program was built for.
func nativeRPM() string {
	names := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}
	if name := names[runtime.GOARCH]; name != "" {
		return name
	}
	return runtime.GOARCH
}

// parseRPM reads rpm's answer in rpmFormat. Of a package that is installed in
// several versions, as kernels are, the last that was installed counts.
func parseRPM(text, native string) (map[string]Package, error) {
	state, since := map[string]Package{}, map[string]int64{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 {
			return nil, fmt.Errorf("rpm: a line that is not understood: %q", line)
		}
		if f[0] == "gpg-pubkey" {
			continue
		}
		installed, err := strconv.ParseInt(f[5], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("rpm: a line that is not understood: %q", line)
		}
		name := rpmName(f[0], f[4], native)
		if old, ok := since[name]; ok && old > installed {
			continue
		}
		since[name] = installed
		state[name] = Package{Name: name, Installed: evr(f[1], f[2], f[3])}
	}
	return state, nil
}

func rpmName(name, arch, native string) string {
	if arch == native || arch == "noarch" {
		return name
	}
	return name + "." + arch
}

// evr writes a version as dnf does: an epoch of 0 is left out.
func evr(epoch, version, release string) string {
	text := version + "-" + release
	if epoch != "" && epoch != "0" && epoch != "(none)" {
		return epoch + ":" + text
	}
	return text
}

// versionLocked reports whether an entry of the versionlock plugin names p. dnf
// writes name-epoch:version-release.*, yum epoch:name-version-release.*.
func versionLocked(locks []string, p Package) bool {
	epoch, rest, ok := strings.Cut(p.Installed, ":")
	if !ok {
		epoch, rest = "0", p.Installed
	}
	for _, form := range []string{
		p.Name + "-" + epoch + ":" + rest, epoch + ":" + p.Name + "-" + rest, p.Name + "-" + rest,
	} {
		for _, lock := range locks {
			if matches(lock, form) || matches(lock, form+".arch") {
				return true
			}
		}
	}
	return false
}

// matches takes a pattern that is not well-formed for one that nothing matches.
func matches(pattern, text string) bool {
	matched, err := path.Match(pattern, text)
	return err == nil && matched
}

// wishes are requests by the verb that dnf has for them, in the order of doing.
type wishes struct {
	verb string
	args []string
}

// sort turns requests into verbs. What is satisfied is left out.
func (d *dnf) sort(requests []PackageRequest, options PackageOptions, state map[string]Package) ([]wishes, error) {
	verbs := []wishes{{verb: "install"}, {verb: "upgrade"}, {verb: "downgrade"}, {verb: "remove"}}
	add := func(verb string, arg string) {
		i := slices.IndexFunc(verbs, func(w wishes) bool { return w.verb == verb })
		verbs[i].args = append(verbs[i].args, arg)
	}
	for _, r := range requests {
		installed := state[r.Name].Installed
		switch {
		case r.State == PackageAbsent:
			if installed != "" {
				add("remove", r.Name)
			}
		case installed == "":
			add("install", withVersion(r))
		case r.State == PackageLatest:
			add("upgrade", r.Name)
		case r.Version == "" || sameEVR(r.Version, installed):
		case compareEVR(r.Version, installed) > 0:
			add("install", withVersion(r))
		case !options.AllowDowngrade:
			return nil, fmt.Errorf("package %s: %s is installed and %s is older; a downgrade has to be allowed", r.Name, installed, r.Version)
		default:
			add("downgrade", withVersion(r))
		}
	}
	return slices.DeleteFunc(verbs, func(w wishes) bool { return len(w.args) == 0 }), nil
}

func withVersion(r PackageRequest) string {
	if r.Version == "" {
		return r.Name
	}
	return r.Name + "-" + r.Version
}

// sameEVR takes a wish that leaves out the epoch or the release as met by any.
func sameEVR(wish, installed string) bool {
	_, plain, _ := cutEpoch(installed)
	version, _, _ := strings.Cut(plain, "-")
	whole := strings.TrimSuffix(installed, strings.TrimPrefix(plain, version)) // epoch:version
	return slices.Contains([]string{installed, plain, version, whole, "0:" + installed}, wish)
}

// resolve asks dnf for each verb what it would do, and answers its question
// with no. Verbs after the first do not see what the earlier ones would do;
// that matters only to requests that contradict each other.
func (d *dnf) resolve(ctx context.Context, requests []PackageRequest, options PackageOptions, state map[string]Package) ([]PackageChange, error) {
	verbs, err := d.sort(requests, options, state)
	if err != nil {
		return nil, err
	}
	changes := map[string]PackageChange{}
	for _, w := range verbs {
		args := slices.Concat([]string{d.program, "--assumeno"}, dnfOptions(options), []string{w.verb}, w.args)
		r, err := d.locked(ctx, args, queryTimeout)
		if err != nil {
			return nil, err
		}
		planned, err := d.planned(r, requests, state)
		if err != nil {
			return nil, err
		}
		for _, c := range planned {
			changes[c.Name] = c
		}
	}
	list := make([]PackageChange, 0, len(changes))
	for _, c := range changes {
		list = append(list, c)
	}
	return list, nil
}

func (d *dnf) planned(r Result, requests []PackageRequest, state map[string]Package) ([]PackageChange, error) {
	all := string(r.Stdout) + string(r.Stderr)
	if m := dnfExcluded().FindStringSubmatch(all); m != nil {
		return nil, fmt.Errorf("package %s is excluded by the configuration of %s (exclude, versionlock), so that it cannot be changed", m[1], d.program)
	}
	if m := dnfNoPackage().FindStringSubmatch(all); m != nil {
		if strings.Contains(all, "Failed to download metadata") || strings.Contains(all, "[Errno") {
			return nil, dnfFailure(d.program, r) // a repository that was not seen may have it
		}
		name := strings.Join(m[1:], "")
		for _, request := range requests {
			if request.Version != "" && withVersion(request) == name {
				return nil, unavailable(request.Name, request.Version, d.program)
			}
		}
		return nil, unavailable(name, "", d.program)
	}
	if strings.Contains(string(r.Stdout), "Transaction Summary") {
		return parseTransaction(string(r.Stdout), nativeRPM(), state)
	}
	if r.Code != 0 && !strings.Contains(all, "Nothing to do") {
		return nil, dnfFailure(d.program, r)
	}
	return nil, nil
}

var dnfExcluded = lazy.Regexp(`(?m)^All matches were filtered out by exclude filtering for argument: (\S+)`)

var dnfNoPackage = lazy.Regexp(`(?m)^(?:\s*No package (\S+) available\.?|\s*No match for argument: (\S+)|\s*Error: Unable to find a match: (\S+))`)

// parseTransaction reads the table that dnf and yum print before they ask. Rows
// begin with one space; longer rows go over into lines that begin with more.
func parseTransaction(text, native string, state map[string]Package) ([]PackageChange, error) {
	t := transactionTable{native: native, state: state}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case strings.HasPrefix(line, "Transaction Summary"):
			return t.changes, t.err
		case indent == 0:
			section, isSection := strings.CutSuffix(line, ":")
			if !isSection {
				section = ""
			}
			t.section, t.row = section, nil
		case t.section == "":
			// the table's head, mirrors, and what else is told before it
		case indent == 1:
			t.row = strings.Fields(line)
			t.complete()
		case strings.HasPrefix(strings.TrimSpace(line), "replacing "):
			t.replaced(strings.Fields(line)[1:])
		case t.row != nil:
			t.row = append(t.row, strings.Fields(line)...)
			t.complete()
		}
	}
	return nil, fmt.Errorf("the package manager's plan has no end: %q", text)
}

type transactionTable struct {
	native  string
	state   map[string]Package
	section string
	row     []string
	last    string
	changes []PackageChange
	err     error
}

// complete takes up the row when it has name, architecture, version and repository.
func (t *transactionTable) complete() {
	if len(t.row) < 4 {
		return
	}
	name := rpmName(t.row[0], t.row[1], t.native)
	version, from := strings.TrimPrefix(t.row[2], "0:"), t.state[name].Installed
	t.row, t.last = nil, name
	switch verb, _, _ := strings.Cut(t.section, " "); verb {
	case "Installing", "Upgrading", "Updating", "Downgrading":
		if from != version {
			t.changes = append(t.changes, PackageChange{Name: name, From: from, To: version})
		}
	case "Removing":
		t.changes = append(t.changes, PackageChange{Name: name, From: version})
	case "Reinstalling", "Skipping", "Skipped", "Enabling", "Switching", "Disabling", "Resetting":
	default:
		if t.err == nil {
			t.err = fmt.Errorf("the package manager plans something that is not understood: %q", t.section)
		}
	}
}

// replaced is what a new package takes the place of: its own older version, which
// dnf 5 shows, or another one, written as name.arch version.
func (t *transactionTable) replaced(fields []string) {
	if len(fields) < 2 {
		return
	}
	name, arch, version := fields[0], "", fields[1]
	if at := strings.LastIndexByte(name, '.'); at >= 0 && len(fields) == 2 {
		name, arch = name[:at], name[at+1:]
	} else if len(fields) > 2 {
		arch, version = fields[1], fields[2]
	}
	if name = rpmName(name, arch, t.native); name != t.last {
		t.changes = append(t.changes, PackageChange{Name: name, From: strings.TrimPrefix(version, "0:")})
	}
}

func dnfOptions(options PackageOptions) []string {
	var args []string
	if options.AllowChangeHeld {
		args = append(args, "--disableplugin=versionlock")
	}
	if options.Disable != "" {
		args = append(args, "--disablerepo="+options.Disable)
	}
	if options.Enable != "" {
		args = append(args, "--enablerepo="+options.Enable)
	}
	return args
}

func (d *dnf) apply(ctx context.Context, requests []PackageRequest, options PackageOptions, state map[string]Package) error {
	verbs, err := d.sort(requests, options, state)
	if err != nil {
		return err
	}
	for _, w := range verbs {
		args := slices.Concat([]string{d.program, "-y"}, dnfOptions(options), []string{w.verb})
		if w.verb != "remove" {
			if err := d.change(ctx, slices.Concat(args, []string{"--downloadonly"}, w.args)); err != nil {
				return err
			}
		}
		if err := awaitUnlocked(ctx, rpmLocks, lockPatience); err != nil {
			return err // from here on nothing calls it off
		}
		whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
		err := d.change(whole, slices.Concat(args, w.args))
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *dnf) change(ctx context.Context, args []string) error {
	r, err := d.locked(ctx, args, 0)
	if err != nil {
		return err
	}
	if r.Code != 0 && !strings.Contains(string(r.Stdout)+string(r.Stderr), `exiting because "Download Only" specified`) {
		return dnfFailure(d.program, r)
	}
	return nil
}

var rpmLocks = []string{"/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"}

// locked runs dnf so that it does not wait for ever for another one, but tries
// again for as long as lockPatience.
func (d *dnf) locked(ctx context.Context, args []string, timeout time.Duration) (Result, error) {
	deadline := time.Now().Add(lockPatience)
	args = slices.Concat(args[:1], []string{"--setopt=exit_on_lock=1"}, args[1:])
	for {
		if err := awaitUnlocked(ctx, rpmLocks, time.Until(deadline)); err != nil {
			return Result{}, err
		}
		r, err := d.commands.Run(ctx, Command{Args: args, Env: []string{"LC_ALL=C.UTF-8"}, Timeout: timeout})
		if err != nil || r.Code == 0 || !lockedOut(r) {
			return r, err
		}
		if !time.Now().Before(deadline) {
			return r, fmt.Errorf("%s is in use by another process, and was for the %s that were waited: %s", d.program, lockPatience, said(r))
		}
		select {
		case <-ctx.Done():
			return r, fmt.Errorf("waiting for another process that uses %s (%s): %w", d.program, said(r), ctx.Err())
		case <-time.After(time.Second):
		}
	}
}

// dnfLocked is dnf's exit code for a lock that another process has.
const dnfLocked = 200

func lockedOut(r Result) bool {
	text := string(r.Stdout) + string(r.Stderr)
	return r.Code == dnfLocked || strings.Contains(text, "exit_on_lock") || strings.Contains(text, "currently holding the yum lock")
}

func (d *dnf) updateCache(ctx context.Context) error {
	commands := [][]string{{"dnf", "-q", "makecache", "--refresh"}}
	if d.program == "yum" {
		commands = [][]string{{"yum", "-q", "clean", "expire-cache"}, {"yum", "-q", "makecache", "fast"}}
	}
	for _, args := range commands {
		r, err := d.locked(ctx, args, transactionTimeout)
		if err != nil {
			return err
		}
		if r.Code != 0 {
			return fmt.Errorf("fetch the package lists: %w", dnfFailure(d.program, r))
		}
	}
	return nil
}

func (d *dnf) files(ctx context.Context, packages []string) ([]string, error) {
	r, err := d.probe(ctx, append([]string{"rpm", "-ql", "--"}, packages...)...)
	if err != nil {
		return nil, err
	}
	// Its code counts the packages that are not installed; they own nothing.
	return slices.DeleteFunc(strings.Split(string(r.Stdout), "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "/")
	}), nil
}

// dnfFailure makes of what dnf printed an error that says why.
func dnfFailure(program string, r Result) error {
	var reasons []string
	take := false
	for line := range strings.Lines(string(r.Stderr) + "\n" + string(r.Stdout)) {
		text := strings.TrimSpace(withoutPasswords(line))
		switch {
		case strings.HasPrefix(text, "Error") || strings.HasPrefix(text, "Failed") || strings.HasPrefix(text, "Cannot") || strings.Contains(text, "[Errno"):
			take = true
		case !strings.HasPrefix(line, " "):
			take = false
		}
		if take && text != "" && text != "Error:" && !slices.Contains(reasons, text) {
			reasons = append(reasons, text)
		}
	}
	if len(reasons) == 0 {
		reasons = []string{withoutPasswords(said(r))}
	}
	return fmt.Errorf("%s: %s", program, strings.Join(reasons, "; "))
}
