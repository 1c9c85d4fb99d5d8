package sys

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

const (
	aptStatus    = "/var/lib/dpkg/status"
	aptLists     = "/var/lib/apt/lists"
	aptSrcCache  = "/var/cache/apt/srcpkgcache.bin"
	aptListsLock = aptLists + "/lock"
)

var aptLocks = []string{"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/cache/apt/archives/lock"}

// apt drives apt-get, apt-cache and dpkg-query, none of whose texts it lets be
// translated.
type apt struct{ commands *realCommands }

func newApt(commands *realCommands) *apt { return &apt{commands: commands} }

func (*apt) name() string { return "apt" }

func (*apt) sources() []string {
	return []string{
		aptStatus, "/var/lib/dpkg/updates", aptLists, "/etc/apt/sources.list", "/etc/apt/sources.list.d",
		"/etc/apt/preferences", "/etc/apt/preferences.d", "/etc/apt/apt.conf", "/etc/apt/apt.conf.d", "/var/lib/apt/extended_states",
	}
}

func (a *apt) probe(ctx context.Context, args ...string) (Result, error) {
	return a.commands.Probe(ctx, Command{Args: args, Env: []string{"LC_ALL=C.UTF-8"}, Timeout: queryTimeout})
}

const dpkgFormat = "${Package}\t${Architecture}\t${db:Status-Abbrev}\t${Version}\n"

func (a *apt) state(ctx context.Context) (map[string]Package, error) {
	if err := awaitUnlocked(ctx, aptLocks[:2], lockPatience); err != nil {
		return nil, err
	}
	r, err := a.probe(ctx, "dpkg-query", "-W", "-f", dpkgFormat)
	if err != nil {
		return nil, err
	}
	if r.Code != 0 {
		return nil, fmt.Errorf("dpkg-query: %s", said(r))
	}
	return parseDpkg(string(r.Stdout))
}

// parseDpkg reads dpkg-query's answer in dpkgFormat. A package of an architecture
// that is not dpkg's own is called name:architecture. One that is unpacked but
// not configured does not count as installed.
func parseDpkg(text string) (map[string]Package, error) {
	type row struct{ name, arch, status, version string }
	var rows []row
	native := ""
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 || len(f[2]) < 2 {
			return nil, fmt.Errorf("dpkg-query: a line that is not understood: %q", line)
		}
		rows = append(rows, row{f[0], f[1], f[2], f[3]})
		if f[0] == "dpkg" {
			native = f[1]
		}
	}
	state := make(map[string]Package, len(rows))
	for _, r := range rows {
		p := Package{Name: r.name, Held: r.status[0] == 'h'}
		if r.arch != "all" && r.arch != native && native != "" {
			p.Name += ":" + r.arch
		}
		if strings.IndexByte("iWt", r.status[1]) >= 0 {
			p.Installed = r.version
		}
		if p.Installed != "" || p.Held {
			state[p.Name] = p
		}
	}
	return state, nil
}

// readOnly are the options that keep apt from writing its caches and its planner's
// log while it only looks. The one of the lists is used where it is up to date: it saves a second.
func (*apt) readOnly() []string {
	options := []string{"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Log::Planner=/dev/null"}
	if !newerThan(aptSrcCache, aptLists, "/etc/apt/sources.list", "/etc/apt/sources.list.d") {
		options = append(options, "-o", "Dir::Cache::srcpkgcache=")
	}
	return options
}

// newerThan reports whether file is there and no other file, or file in one of the
// folders, is newer.
func newerThan(file string, others ...string) bool {
	info, err := os.Stat(file)
	if err != nil {
		return false
	}
	for _, other := range others {
		within, _ := filepath.Glob(filepath.Join(other, "*")) // the pattern is well-formed
		for _, o := range append(within, other) {
			if i, err := os.Stat(o); err == nil && i.Mode().IsRegular() && i.ModTime().After(info.ModTime()) {
				return false
			}
		}
	}
	return true
}

// candidates gives the candidate of each name that apt knows; "" for a virtual one.
func (a *apt) candidates(ctx context.Context, names []string) (map[string]string, error) {
	args := slices.Concat([]string{"apt-cache"}, a.readOnly(), []string{"policy"}, names)
	r, err := a.probe(ctx, args...)
	if err != nil {
		return nil, err
	}
	if r.Code != 0 {
		return nil, aptFailure("apt-cache", r)
	}
	return parsePolicy(string(r.Stdout)), nil
}

// parsePolicy reads apt-cache policy.
func parsePolicy(text string) map[string]string {
	candidates := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !strings.HasPrefix(line, " ") && strings.HasSuffix(line, ":"):
			name = strings.TrimSuffix(line, ":")
			candidates[name] = ""
		case name != "" && strings.HasPrefix(line, "  Candidate: "):
			if version := strings.TrimPrefix(line, "  Candidate: "); version != "(none)" {
				candidates[name] = version
			}
		}
	}
	return candidates
}

// aptWords turns requests into what apt-get install takes: "name-" removes. What is
// satisfied is left out, since apt-get would upgrade it.
func aptWords(requests []PackageRequest, state map[string]Package) (words, names []string) {
	for _, r := range requests {
		installed := state[r.Name].Installed
		switch {
		case r.State == PackageAbsent:
			if installed != "" {
				words = append(words, r.Name+"-")
			}
			continue
		case r.State == PackagePresent && installed != "" && (r.Version == "" || r.Version == installed):
			continue
		case r.Version != "":
			words = append(words, r.Name+"="+r.Version)
		default:
			words = append(words, r.Name)
		}
		names = append(names, r.Name)
	}
	return words, names
}

func aptOptions(options PackageOptions) []string {
	args := []string{
		"-y", "-q", "-o", "APT::Get::HideAutoRemove=true",
		"-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Progress-Fancy=0",
		"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
		"-o", fmt.Sprintf("DPkg::Lock::Timeout=%.0f", lockPatience.Seconds()),
	}
	if options.AllowDowngrade {
		args = append(args, "--allow-downgrades")
	}
	if options.AllowChangeHeld {
		args = append(args, "--allow-change-held-packages")
	}
	if options.Purge {
		args = append(args, "--purge")
	}
	if options.AutoRemove {
		args = append(args, "--auto-remove")
	}
	if options.Recommends != "" {
		args = append(args, "-o", "APT::Install-Recommends="+options.Recommends)
	}
	if options.Release != "" {
		args = append(args, "-t", options.Release)
	}
	return args
}

// aptVerb is the command of apt-get that takes the words: an upgrade takes names too.
func aptVerb(options PackageOptions, words []string) []string {
	switch {
	case options.Upgrade == UpgradeFull:
		return []string{"dist-upgrade"}
	case options.Upgrade == UpgradeSafe:
		return []string{"upgrade", "--with-new-pkgs"}
	case options.AutoRemove && len(words) == 0:
		return []string{"autoremove"}
	default:
		return []string{"install"}
	}
}

func (a *apt) resolve(ctx context.Context, requests []PackageRequest, options PackageOptions, state map[string]Package) ([]PackageChange, error) {
	words, names := aptWords(requests, state)
	if len(words) == 0 && options.Upgrade == "" && !options.AutoRemove {
		return nil, nil
	}
	if err := a.known(ctx, names); err != nil {
		return nil, err
	}
	args := slices.Concat([]string{"apt-get", "-s"}, a.readOnly(), aptOptions(options), aptVerb(options, words), []string{"--"}, words)
	r, err := a.probe(ctx, args...)
	if err != nil {
		return nil, err
	}
	if r.Code != 0 {
		return nil, aptFailure("apt-get", r)
	}
	return parseSimulation(string(r.Stdout), state)
}

// known refuses names that apt does not know and would take for a pattern: those
// with a dot. Others that it does not know it refuses itself.
func (a *apt) known(ctx context.Context, names []string) error {
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, ".") })
	if len(names) == 0 {
		return nil
	}
	known, err := a.candidates(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := known[name]; !ok {
			return unavailable(name, "", "apt")
		}
	}
	return nil
}

// A line of apt-get -s: Inst name [old version] (new version, release, …).
var simulated = lazy.Regexp(`^(Inst|Conf|Remv|Purg) (\S+)(?: \[([^\]]+)\])?(?: \(([^ )]+)[^)]*\))?`)

// parseSimulation reads apt-get -s. Conf counts for what was unpacked before.
func parseSimulation(text string, state map[string]Package) ([]PackageChange, error) {
	changes := map[string]PackageChange{}
	for line := range strings.Lines(text) {
		m := simulated().FindStringSubmatch(line)
		if m == nil {
			continue
		}
		verb, name, from, to := m[1], m[2], m[3], m[4]
		_, seen := changes[name]
		switch {
		case verb == "Inst" && to == "":
			return nil, fmt.Errorf("apt-get: a line that is not understood: %q", line)
		case verb == "Inst":
			changes[name] = PackageChange{Name: name, From: from, To: to}
		case (verb == "Remv" || verb == "Purg") && !seen: // with --purge only Purg is printed
			changes[name] = PackageChange{Name: name, From: from}
		case verb == "Conf" && !seen && to != "" && state[name].Installed == "":
			changes[name] = PackageChange{Name: name, To: to}
		}
	}
	var list []PackageChange
	for _, c := range changes {
		if c.From == "" && c.To == "" {
			c.From = state[c.Name].Installed
		}
		if c.From != c.To {
			list = append(list, c)
		}
	}
	return list, nil
}

func (a *apt) apply(ctx context.Context, requests []PackageRequest, options PackageOptions, state map[string]Package) error {
	words, _ := aptWords(requests, state)
	install := slices.Concat([]string{"apt-get"}, aptOptions(options), aptVerb(options, words))
	if err := a.run(ctx, slices.Concat(install, []string{"--download-only", "--"}, words)); err != nil {
		return err
	}
	if err := awaitUnlocked(ctx, aptLocks, lockPatience); err != nil {
		return err // from here on nothing calls it off
	}
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
	defer cancel()
	return a.run(whole, slices.Concat(install, []string{"--"}, words))
}

// run calls apt-get where nobody can be asked anything. needrestart, which would
// restart services of its own accord, only lists them.
func (a *apt) run(ctx context.Context, args []string) error {
	if err := awaitUnlocked(ctx, aptLocks, lockPatience); err != nil {
		return err
	}
	r, err := a.commands.Run(ctx, Command{Args: args, Env: []string{
		"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_MODE=l",
	}})
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return aptFailure("apt-get", r)
	}
	return nil
}

// updateCache fetches the lists. A mirror that does not answer is an error, also
// where apt-get falls back on older lists with a mere warning.
func (a *apt) updateCache(ctx context.Context) error {
	if err := awaitUnlocked(ctx, []string{aptListsLock}, lockPatience); err != nil {
		return err
	}
	r, err := a.commands.Run(ctx, Command{
		Args:    []string{"apt-get", "-q", "-o", "DPkg::Lock::Timeout=60", "update"},
		Env:     []string{"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"},
		Timeout: transactionTimeout,
	})
	if err != nil {
		return err
	}
	if r.Code != 0 || strings.Contains(string(r.Stderr), "W: Failed to fetch") {
		return fmt.Errorf("fetch the package lists: %w", aptFailure("apt-get", r))
	}
	return nil
}

func (a *apt) files(ctx context.Context, packages []string) ([]string, error) {
	r, err := a.probe(ctx, append([]string{"dpkg-query", "-L", "--"}, packages...)...)
	if err != nil {
		return nil, err
	}
	// A code of 1 is for packages that are not installed: they own nothing.
	if r.Code > 1 {
		return nil, fmt.Errorf("dpkg-query: %s", said(r))
	}
	return strings.Split(strings.TrimSpace(string(r.Stdout)), "\n"), nil
}

var (
	aptNoPackage   = lazy.Regexp(`^E: Unable to locate package (\S+)`)
	aptNoCandidate = lazy.Regexp(`^E: Package '?([^' ]+)'? has no installation candidate`)
	aptNoVersion   = lazy.Regexp(`^E: Version '([^']+)' for '([^']+)' was not found`)
	aptUnsatisfied = lazy.Regexp(`(?ms)^The following packages have unmet dependencies:\n(.*?)^\S`)
	aptRefused     = lazy.Regexp(`(?m)^The following (held packages will be changed|packages will be DOWNGRADED|packages cannot be authenticated)[:!]\n((?:  .*\n)+)`)
	aptScript      = lazy.Regexp(`(?m)^dpkg: error processing (?:package|archive) (.+)\n ?(.+)$`)
)

// aptFailure makes of what apt printed an error that names packages and mirrors.
func aptFailure(program string, r Result) error {
	var reasons []string
	add := func(reason string) {
		if reason = strings.TrimSpace(withoutPasswords(reason)); reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	for line := range strings.Lines(string(r.Stderr)) {
		if m := aptNoPackage().FindStringSubmatch(line); m != nil {
			return unavailable(m[1], "", "apt")
		}
		if m := aptNoCandidate().FindStringSubmatch(line); m != nil {
			return missing("apt knows package %s by name only, and no version of it: it is virtual, or gone from the lists", m[1])
		}
		if m := aptNoVersion().FindStringSubmatch(line); m != nil {
			return unavailable(m[2], m[1], "apt")
		}
		text, failed := strings.CutPrefix(line, "E: ")
		if warned, ok := strings.CutPrefix(line, "W: Failed"); ok {
			text, failed = "Failed"+warned, true
		}
		if failed && text != "Sub-process /usr/bin/dpkg returned an error code (1)\n" {
			add(text)
		}
	}
	for _, m := range aptScript().FindAllStringSubmatch(string(r.Stdout)+string(r.Stderr), -1) {
		add("package " + strings.TrimSuffix(m[1], ":") + ": " + m[2])
	}
	for _, m := range aptRefused().FindAllStringSubmatch(string(r.Stdout), -1) {
		add(m[1] + ": " + strings.Join(strings.Fields(m[2]), " "))
	}
	if m := aptUnsatisfied().FindStringSubmatch(string(r.Stdout) + "\n."); m != nil {
		for line := range strings.Lines(m[1]) {
			add(strings.Join(strings.Fields(line), " "))
		}
	}
	if len(reasons) == 0 {
		add(said(r))
	}
	return fmt.Errorf("%s: %s", program, strings.Join(reasons, "; "))
}
