package modules

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// SetupArgs are the arguments of setup.
type SetupArgs struct {
	GatherSubset []string `arg:"gather_subset" default:"all" doc:"Which facts: all, min, network, hardware, mounts, date_time; !name leaves some out. min always comes, unless !min stands there."`
	Filter       []string `arg:"filter" doc:"Patterns (* ? [..]) of the facts to report, with or without ansible_ before the name; all when not given."`
}

func setupSpec() Spec {
	return Spec{
		Name:    "setup",
		Aliases: []string{"gather_facts", "ansible.builtin.gather_facts"},
		Summary: "Gather facts about the host",
		Place:   OnHost,
		New:     func() Module { return &SetupArgs{} },
		Notes:   []string{"File systems are listed from the mount table and never touched, so that a dead one cannot hang it: mounts have no sizes."},
		Returns: []Return{{Name: "ansible_facts", Type: "dict", Doc: "The facts under Ansible's names: ansible_hostname, ansible_default_ipv4, ansible_os_family, ansible_interfaces, …; and ansible_addresses, a list of interface, address and network for each address."}},
		Examples: []Example{{"Only what the network looks like", `
setup:
  gather_subset: ["!all", network]`}},
	}
}

// factGroups are the subsets, in the order in which they are gathered.
var factGroups = []struct {
	name   string
	gather func(ctx context.Context, host sys.Reader, s sys.System, facts map[string]any) error
}{
	{"min", minimalFacts},
	{"date_time", dateFacts},
	{"network", networkFacts},
	{"hardware", hardwareFacts},
	{"mounts", mountFacts},
}

// Validate knows the subsets and the patterns.
func (a *SetupArgs) Validate() error {
	known := []string{"all"}
	for _, group := range factGroups {
		known = append(known, group.name)
	}
	for _, subset := range a.GatherSubset {
		name := strings.TrimPrefix(subset, "!")
		if !slices.Contains(known, name) {
			return fmt.Errorf("setup: gather_subset: there is no subset %s%s; there are %s", name, hintAfter(name, known), strings.Join(known, ", "))
		}
	}
	for _, pattern := range a.Filter {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("setup: filter: %q is not a valid pattern: a [ is not closed", pattern)
		}
	}
	return nil
}

// wants reports whether a subset is asked for. What is named wins over all.
func (a *SetupArgs) wants(group string) bool {
	switch {
	case slices.Contains(a.GatherSubset, "!"+group):
		return false
	case group == "min" || slices.Contains(a.GatherSubset, group):
		return true
	case slices.Contains(a.GatherSubset, "!all"):
		return false
	case slices.Contains(a.GatherSubset, "all"):
		return true
	}
	// Only exclusions: the rest is meant.
	return !slices.ContainsFunc(a.GatherSubset, func(s string) bool { return !strings.HasPrefix(s, "!") })
}

// Plan gathers.
func (a *SetupArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	system, err := host.System(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("asking what the host is: %w", err)
	}
	facts := map[string]any{}
	for _, group := range factGroups {
		if !a.wants(group.name) {
			continue
		}
		if err := group.gather(ctx, host, system, facts); err != nil {
			return Plan{}, err
		}
	}
	named := map[string]any{}
	for name, value := range facts {
		if a.passes(name) {
			named["ansible_"+name] = value
		}
	}
	return Plan{Result: Result{"ansible_facts": named}}, nil
}

func (a *SetupArgs) passes(name string) bool {
	if len(a.Filter) == 0 {
		return true
	}
	return slices.ContainsFunc(a.Filter, func(pattern string) bool {
		ok, _ := path.Match(strings.TrimPrefix(pattern, "ansible_"), name)
		return ok
	})
}

func minimalFacts(ctx context.Context, host sys.Reader, s sys.System, facts map[string]any) error {
	major, _, _ := strings.Cut(s.OS.VersionID, ".")
	nodename := s.Hostname
	hostname, _, _ := strings.Cut(s.Hostname, ".")
	_, domain, _ := strings.Cut(s.FQDN, ".")
	maps.Copy(facts, map[string]any{
		"system": "Linux", "kernel": s.Kernel, "architecture": s.Architecture, "machine": s.Architecture,
		"machine_id": s.MachineID, "hostname": hostname, "nodename": nodename, "fqdn": s.FQDN, "domain": domain,
		"distribution": distribution(s.OS), "distribution_version": s.OS.VersionID,
		"distribution_major_version": major, "distribution_release": s.OS.Codename, "os_family": s.OS.Family,
		"user_uid": s.UID, "effective_user_id": s.UID,
	})
	if user, err := host.Users().UserByID(ctx, s.UID); err == nil {
		facts["user_id"], facts["user_dir"], facts["user_shell"], facts["user_gid"] = user.Name, user.Home, user.Shell, user.GID
	} else if there, err := present(err); there || err != nil {
		return fmt.Errorf("asking for user %d: %w", s.UID, err)
	}
	manager, err := host.Packages().Manager(ctx)
	if err != nil {
		manager = "unknown" // a host without one that we know can still be looked at
	}
	facts["pkg_mgr"] = manager
	service, err := serviceManager(ctx, host)
	facts["service_mgr"] = service
	return err
}

// serviceManager goes by what sd_booted(3) goes by.
func serviceManager(ctx context.Context, host sys.Reader) (string, error) {
	_, err := host.Files().Stat(ctx, "/run/systemd/system")
	there, err := present(err)
	if err != nil {
		return "", fmt.Errorf("looking for systemd: %w", err)
	}
	if there {
		return "systemd", nil
	}
	return "service", nil
}

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

func dateFacts(_ context.Context, _ sys.Reader, _ sys.System, facts map[string]any) error {
	now := time.Now()
	_, offset := now.Zone()
	zone, _ := now.Zone()
	facts["date_time"] = map[string]any{
		"date": now.Format("2006-01-02"), "time": now.Format("15:04:05"), "epoch": strconv.FormatInt(now.Unix(), 10), "epoch_int": strconv.FormatInt(now.Unix(), 10),
		"iso8601": now.UTC().Format("2006-01-02T15:04:05Z"), "iso8601_micro": now.UTC().Format("2006-01-02T15:04:05.000000Z"),
		"iso8601_basic": now.Format("20060102T150405.000000"), "iso8601_basic_short": now.Format("20060102T150405"),
		"year": now.Format("2006"), "month": now.Format("01"), "day": now.Format("02"), "hour": now.Format("15"),
		"minute": now.Format("04"), "second": now.Format("05"), "weekday": now.Format("Monday"),
		"weekday_number": strconv.Itoa(int(now.Weekday())), "weeknumber": fmt.Sprintf("%02d", weekOfYear(now)),
		"tz": zone, "tz_offset": fmt.Sprintf("%+03d%02d", offset/3600, max(offset, -offset)/60%60),
	}
	return nil
}

// weekOfYear is strftime's %W: weeks begin on Monday, days before the first are week 0.
func weekOfYear(t time.Time) int { return (t.YearDay() + 6 - (int(t.Weekday())+6)%7) / 7 }

func networkFacts(_ context.Context, _ sys.Reader, s sys.System, facts map[string]any) error {
	var names, all4, all6 []string
	defaults := map[string]any{}
	addresses := []any{}
	for _, i := range s.Interfaces {
		addresses = append(addresses, addressFacts(i)...)
		names = append(names, i.Name)
		fact, v4, v6 := interfaceFact(i)
		if i.Name != "lo" {
			all4, all6 = append(all4, v4...), append(all6, v6...)
		}
		facts[strings.NewReplacer("-", "_", ".", "_", ":", "_").Replace(i.Name)] = fact
		if i.Name == s.DefaultInterface {
			defaults = defaultFact(i, s.DefaultIPv4)
		}
	}
	slices.Sort(names)
	facts["interfaces"], facts["default_ipv4"] = orEmpty(names), defaults
	facts["all_ipv4_addresses"], facts["all_ipv6_addresses"] = orEmpty(all4), orEmpty(all6)
	facts["addresses"] = addresses
	return nil
}

// addressFacts lists an interface's addresses one by one, so that a playbook can
// find the interface that has an address. Ansible has no such fact.
func addressFacts(i sys.Interface) []any {
	var facts []any
	for _, cidr := range i.Addresses {
		if ip, network, err := net.ParseCIDR(cidr); err == nil {
			facts = append(facts, map[string]any{"interface": i.Name, "address": ip.String(), "network": network.String()})
		}
	}
	return facts
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func interfaceFact(i sys.Interface) (fact map[string]any, v4, v6 []string) {
	kind := "ether"
	if i.Name == "lo" {
		kind = "loopback"
	}
	fact = map[string]any{"device": i.Name, "active": i.Up, "mtu": i.MTU, "macaddress": i.MAC, "type": kind}
	var second, six []any
	for _, cidr := range i.Addresses {
		ip, network, err := net.ParseCIDR(cidr)
		if err != nil {
			continue
		}
		ones, _ := network.Mask.Size()
		if ip.To4() == nil {
			six = append(six, map[string]any{"address": ip.String(), "prefix": strconv.Itoa(ones), "scope": scope(ip)})
			v6 = append(v6, ip.String())
			continue
		}
		address := ipv4Fact(ip, network)
		if len(v4) == 0 {
			fact["ipv4"] = address
		} else {
			second = append(second, address)
		}
		v4 = append(v4, ip.String())
	}
	if second != nil {
		fact["ipv4_secondaries"] = second
	}
	if six != nil {
		fact["ipv6"] = six
	}
	return fact, v4, v6
}

func ipv4Fact(ip net.IP, network *net.IPNet) map[string]any {
	ones, _ := network.Mask.Size()
	broadcast := slices.Clone(network.IP.To4())
	for i := range broadcast {
		broadcast[i] |= ^network.Mask[len(network.Mask)-4+i]
	}
	return map[string]any{
		"address": ip.String(), "netmask": net.IP(network.Mask).String(), "network": network.IP.String(),
		"prefix": strconv.Itoa(ones), "broadcast": broadcast.String(),
	}
}

func scope(ip net.IP) string {
	switch {
	case ip.IsLoopback():
		return "host"
	case ip.IsLinkLocalUnicast():
		return "link"
	default:
		return "global"
	}
}

func defaultFact(i sys.Interface, address string) map[string]any {
	fact := map[string]any{"address": address, "interface": i.Name, "macaddress": i.MAC, "mtu": i.MTU, "type": "ether"}
	for _, cidr := range i.Addresses {
		if ip, network, err := net.ParseCIDR(cidr); err == nil && ip.String() == address && ip.To4() != nil {
			maps.Copy(fact, ipv4Fact(ip, network))
		}
	}
	return fact
}

func hardwareFacts(_ context.Context, _ sys.Reader, s sys.System, facts map[string]any) error {
	facts["memtotal_mb"] = int64(s.MemoryBytes >> 20)
	facts["processor_vcpus"], facts["processor_nproc"] = s.CPUs, s.CPUs
	return nil
}

func mountFacts(ctx context.Context, host sys.Reader, _ sys.System, facts map[string]any) error {
	all, err := host.Mounts().List(ctx)
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	list := make([]any, 0, len(all))
	for _, m := range all {
		list = append(list, map[string]any{"mount": m.Target, "device": m.Source, "fstype": m.Type, "options": m.Options})
	}
	facts["mounts"] = list
	return nil
}
