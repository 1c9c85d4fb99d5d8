package modules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// Facts about the system as a whole: what it is, who the agent is, how it was
// booted.

func platformFacts(ctx context.Context, g *gathering) error {
	s := g.system
	hostname, _, _ := strings.Cut(s.Hostname, ".")
	_, domain, _ := strings.Cut(s.FQDN, ".")
	version, err := g.line(ctx, "/proc/sys/kernel/version")
	if err != nil {
		return err
	}
	g.add(map[string]any{
		"system": "Linux", "kernel": s.Kernel, "kernel_version": version, "architecture": s.Architecture, "machine": s.Architecture,
		"machine_id": s.MachineID, "hostname": hostname, "nodename": s.Hostname, "fqdn": s.FQDN, "domain": domain,
	})
	return nil
}

// distributionFacts come from os-release; where that has only the major version,
// from the file that older programs read.
func distributionFacts(ctx context.Context, g *gathering) error {
	release := g.system.OS
	version, codename := release.VersionID, release.Codename
	file := map[string]string{"debian": "/etc/debian_version", "centos": "/etc/centos-release", "rhel": "/etc/redhat-release"}[release.ID]
	if file != "" {
		text, err := g.line(ctx, file)
		if err != nil {
			return err
		}
		if full := majorMinor().FindString(text); strings.HasPrefix(full, version+".") {
			version = full
		}
		if name := inBrackets().FindStringSubmatch(text); name != nil && codename == "" {
			codename = name[1]
		}
	}
	major, minor, _ := strings.Cut(version, ".")
	g.add(map[string]any{
		"distribution": distribution(release), "distribution_version": version, "distribution_major_version": major,
		"distribution_release": cmp.Or(codename, "NA"), "os_family": cmp.Or(release.Family, distribution(release)),
	})
	if minor != "" {
		g.facts["distribution_minor_version"] = minor
	}
	return nil
}

var (
	majorMinor = lazy.Regexp(`\d+\.\d+`)
	inBrackets = lazy.Regexp(`\(([^)]+)\)`)
)

// distribution is Ansible's name for what os-release calls ID.
func distribution(os sys.OSRelease) string {
	names := map[string]string{
		"debian": "Debian", "ubuntu": "Ubuntu", "centos": "CentOS", "rhel": "RedHat", "rocky": "Rocky",
		"almalinux": "AlmaLinux", "fedora": "Fedora", "ol": "OracleLinux", "opensuse-leap": "openSUSE Leap",
		"alpine": "Alpine", "arch": "Archlinux", "linuxmint": "Linux Mint", "amzn": "Amazon",
	}
	if name, known := names[os.ID]; known {
		return name
	}
	return os.Name
}

func userFacts(ctx context.Context, g *gathering) error {
	uid := g.system.UID
	g.add(map[string]any{"user_uid": uid, "effective_user_id": uid, "real_user_id": uid})
	status, _, err := g.text(ctx, "/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(status) {
		name, rest, _ := strings.Cut(line, ":")
		ids := strings.Fields(rest)
		if (name != "Uid" && name != "Gid") || len(ids) < 2 {
			continue
		}
		kind := map[string]string{"Uid": "user_id", "Gid": "group_id"}[name]
		for i, which := range []string{"real_", "effective_"} {
			if id, err := strconv.Atoi(ids[i]); err == nil {
				g.facts[which+kind] = id
			}
		}
	}
	user, err := g.host.Users().UserByID(ctx, uid)
	if there, err := thereNow(err); err != nil {
		return fmt.Errorf("asking for user %d: %w", uid, err)
	} else if !there {
		return nil
	}
	g.add(map[string]any{"user_id": user.Name, "user_dir": user.Home, "user_shell": user.Shell, "user_gid": user.GID})
	return gecosFact(ctx, g, user.Name)
}

// gecosFact is there for users of the host's own file only.
func gecosFact(ctx context.Context, g *gathering, name string) error {
	text, _, err := g.text(ctx, "/etc/passwd")
	for line := range strings.Lines(text) {
		if fields := strings.Split(line, ":"); fields[0] == name && len(fields) > 4 {
			g.facts["user_gecos"] = fields[4]
		}
	}
	return err
}

// able is how Ansible says whether a guard of the kernel is there.
var able = map[bool]string{true: "enabled", false: "disabled"}

func apparmorFacts(ctx context.Context, g *gathering) error {
	there, err := g.exists(ctx, "/sys/kernel/security/apparmor")
	g.facts["apparmor"] = map[string]any{"status": able[there]}
	return err
}

func fipsFacts(ctx context.Context, g *gathering) error {
	text, err := g.line(ctx, "/proc/sys/crypto/fips_enabled")
	g.facts["fips"] = text == "1"
	return err
}

func selinuxFacts(ctx context.Context, g *gathering) error {
	enforce, there, err := g.text(ctx, "/sys/fs/selinux/enforce")
	if err != nil {
		return err
	}
	fact := map[string]any{"status": able[there]}
	g.facts["selinux"] = fact
	if !there {
		return nil
	}
	return selinuxFact(ctx, g, fact, strings.TrimSpace(enforce))
}

func selinuxFact(ctx context.Context, g *gathering, fact map[string]any, enforce string) error {
	version, err := g.line(ctx, "/sys/fs/selinux/policyvers")
	if err != nil {
		return err
	}
	config, _, err := g.text(ctx, "/etc/selinux/config")
	if err != nil {
		return err
	}
	values := shellValues(config)
	fact["mode"] = map[bool]string{true: "enforcing", false: "permissive"}[enforce == "1"]
	fact["config_mode"], fact["type"] = cmp.Or(values["SELINUX"], "unknown"), cmp.Or(values["SELINUXTYPE"], "unknown")
	fact["policyvers"] = version
	if n, err := strconv.Atoi(version); err == nil {
		fact["policyvers"] = n
	}
	return nil
}

// shellValues reads lines of NAME=value.
func shellValues(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			values[name] = strings.Trim(value, `"'`)
		}
	}
	return values
}

// cmdlineFacts are the words that the kernel was booted with: cmdline has the last
// value of each, proc_cmdline all.
func cmdlineFacts(ctx context.Context, g *gathering) error {
	line, err := g.line(ctx, "/proc/cmdline")
	if err != nil {
		return err
	}
	last, all := map[string]any{}, map[string]any{}
	for word := range strings.FieldsSeq(line) {
		name, text, hasValue := strings.Cut(word, "=")
		var value any = true
		if hasValue {
			value = text
		}
		last[name] = value
		switch before := all[name].(type) {
		case nil:
			all[name] = value
		case []any:
			all[name] = append(before, value)
		default:
			all[name] = []any{before, value}
		}
	}
	g.add(map[string]any{"cmdline": last, "proc_cmdline": all})
	return nil
}

// dnsFacts are what resolv.conf(5) says.
func dnsFacts(ctx context.Context, g *gathering) error {
	text, _, err := g.text(ctx, "/etc/resolv.conf")
	if err != nil {
		return err
	}
	dns := map[string]any{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || strings.HasPrefix(words[0], "#") || strings.HasPrefix(words[0], ";") {
			continue
		}
		switch words[0] {
		case "nameserver":
			list, _ := dns["nameservers"].([]any)
			dns["nameservers"] = append(list, words[1])
		case "domain":
			dns["domain"] = words[1]
		case "search", "sortlist":
			dns[words[0]] = anyWords(words[1:])
		case "options":
			dns["options"] = resolverOptions(words[1:])
		}
	}
	g.facts["dns"] = dns
	return nil
}

func resolverOptions(words []string) map[string]any {
	options := map[string]any{}
	for _, word := range words {
		name, value, hasValue := strings.Cut(word, ":")
		options[name] = true
		if hasValue {
			options[name] = value
		}
	}
	return options
}

func anyWords(words []string) []any {
	list := make([]any, len(words))
	for i, word := range words {
		list[i] = word
	}
	return list
}

// envFacts are the environment of the agent.
func envFacts(ctx context.Context, g *gathering) error {
	text, _, err := g.text(ctx, "/proc/self/environ")
	env := map[string]any{}
	for entry := range strings.SplitSeq(text, "\x00") {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			env[name] = value
		}
	}
	g.facts["env"] = env
	return err
}

// lsbFacts are what lsb_release(1) would tell, where a system has that standard.
func lsbFacts(ctx context.Context, g *gathering) error {
	text, own, err := g.text(ctx, "/etc/lsb-release")
	if err != nil {
		return err
	}
	program, err := g.exists(ctx, "/usr/bin/lsb_release")
	if err != nil {
		return err
	}
	lsb := map[string]any{}
	if own || program {
		values := shellValues(text)
		release := g.system.OS
		version := cmp.Or(values["DISTRIB_RELEASE"], release.VersionID)
		major, _, _ := strings.Cut(version, ".")
		lsb = map[string]any{
			"id": cmp.Or(values["DISTRIB_ID"], distribution(release)), "release": version, "major_release": major,
			"codename":    cmp.Or(values["DISTRIB_CODENAME"], release.Codename),
			"description": cmp.Or(values["DISTRIB_DESCRIPTION"], release.PrettyName),
		}
	}
	g.facts["lsb"] = lsb
	return nil
}

func packageFacts(ctx context.Context, g *gathering) error {
	manager, err := g.host.Packages().Manager(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		manager = "unknown" // a host without one that we know can still be looked at
	}
	g.facts["pkg_mgr"] = manager
	return nil
}

func serviceFacts(ctx context.Context, g *gathering) error {
	service, err := serviceManager(ctx, g.host)
	if err != nil {
		return err
	}
	first, err := g.line(ctx, "/proc/1/comm")
	if service != "systemd" && first != "" && first != "init" && !strings.HasSuffix(first, "sh") {
		service = cmp.Or(map[string]string{"procd": "openwrt_init", "runit-init": "runit", "svscan": "svc", "openrc-init": "openrc"}[first], first)
	}
	g.facts["service_mgr"] = service
	return err
}

// serviceManager goes by what sd_booted(3) goes by.
func serviceManager(ctx context.Context, host sys.Reader) (string, error) {
	_, err := host.Files().Stat(ctx, "/run/systemd/system")
	there, err := thereNow(err)
	if err != nil {
		return "", fmt.Errorf("looking for systemd: %w", err)
	}
	if there {
		return "systemd", nil
	}
	return "service", nil
}

// hostKeyFacts are the public keys of the SSH server.
func hostKeyFacts(ctx context.Context, g *gathering) error {
	for _, kind := range []string{"dsa", "rsa", "ecdsa", "ed25519"} {
		text, err := g.line(ctx, "/etc/ssh/ssh_host_"+kind+"_key.pub")
		if err != nil {
			return err
		}
		if words := strings.Fields(text); len(words) > 1 {
			g.facts["ssh_host_key_"+kind+"_public"] = words[1]
			g.facts["ssh_host_key_"+kind+"_public_keytype"] = words[0]
		}
	}
	return nil
}

// chrootFacts compares the root with that of the first process; who may not look
// at that one goes by the inode that roots of file systems have.
func chrootFacts(ctx context.Context, g *gathering) error {
	own, err := g.host.Files().Stat(ctx, "/")
	if err != nil {
		return fmt.Errorf("looking at /: %w", err)
	}
	first, err := g.host.Files().Stat(ctx, "/proc/1/root/.")
	there, err := thereNow(err)
	switch {
	case errors.Is(err, fs.ErrPermission) || err == nil && !there:
		g.facts["is_chroot"] = own.Inode != 2 && own.Inode != 128 && own.Inode != 256 // ext, xfs, btrfs
		return nil
	case err != nil:
		return fmt.Errorf("looking at the root of the first process: %w", err)
	}
	g.facts["is_chroot"] = own.Inode != first.Inode || own.Dev != first.Dev
	return nil
}

func dateFacts(_ context.Context, g *gathering) error {
	now := time.Now()
	_, offset := now.Zone()
	zone, _ := now.Zone()
	g.facts["date_time"] = map[string]any{
		"date": now.Format("2006-01-02"), "time": now.Format("15:04:05"), "epoch": strconv.FormatInt(now.Unix(), 10), "epoch_int": strconv.FormatInt(now.Unix(), 10),
		"iso8601": now.UTC().Format("2006-01-02T15:04:05Z"), "iso8601_micro": now.UTC().Format("2006-01-02T15:04:05.000000Z"),
		"iso8601_basic": now.Format("20060102T150405") + now.Format(".000000")[1:], "iso8601_basic_short": now.Format("20060102T150405"),
		"year": now.Format("2006"), "month": now.Format("01"), "day": now.Format("02"), "hour": now.Format("15"),
		"minute": now.Format("04"), "second": now.Format("05"), "weekday": now.Format("Monday"),
		"weekday_number": strconv.Itoa(int(now.Weekday())), "weeknumber": fmt.Sprintf("%02d", weekOfYear(now)),
		"tz": zone, "tz_dst": summerTime(now), "tz_offset": fmt.Sprintf("%+03d%02d", offset/3600, max(offset, -offset)/60%60),
	}
	return nil
}

// summerTime is the name of the zone in summer; where there is none that of the zone.
func summerTime(now time.Time) string {
	for month := time.January; month <= time.December; month++ {
		if day := time.Date(now.Year(), month, 1, 0, 0, 0, 0, now.Location()); day.IsDST() {
			name, _ := day.Zone()
			return name
		}
	}
	name, _ := now.Zone()
	return name
}

// weekOfYear is strftime's %W: weeks begin on Monday, days before the first are week 0.
func weekOfYear(t time.Time) int { return (t.YearDay() + 6 - (int(t.Weekday())+6)%7) / 7 }
