package modules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// SetupArgs are the arguments of setup.
type SetupArgs struct {
	GatherSubset  []string `arg:"gather_subset" default:"all" doc:"Which facts: all, min, network, hardware, virtual, or the name of a single group of facts; !name leaves some out, and what is named wins over all. min always comes, unless !min stands there."`
	GatherTimeout int      `arg:"gather_timeout" default:"10" doc:"Seconds to wait for each file system to tell its size; all are asked at a time. One that does not answer is listed without."`
	FactPath      string   `arg:"fact_path" default:"/etc/ansible/facts.d" type:"path" doc:"A folder of files NAME.fact with JSON or INI, or programs that print it: ansible_local.NAME. One that is not there has none."`
	Filter        []string `arg:"filter" doc:"Patterns (* ? [..]) of the facts to report, with or without ansible_ before the name; all when not given."`
}

func setupSpec() Spec {
	return Spec{
		Name:    "setup",
		Aliases: []string{"gather_facts", "ansible.builtin.gather_facts"},
		Summary: "Gather facts about the host",
		Place:   OnHost,
		New:     func() Module { return &SetupArgs{} },
		Notes: []string{
			"Facts are read from files and the kernel, in one exchange. No program is run but those that fact_path holds: executable files NAME.fact, which must only look, since check mode runs them too.",
			"A file system that does not answer within gather_timeout cannot hang it: the mount is listed with a note in place of its sizes. Besides Ansible's, mounts has file systems without a device of this host (tmpfs, overlay, gluster, zfs), but none that hold no files (proc, sysfs).",
			"fqdn is what /etc/hosts says; DNS is not asked. env is the environment that the agent was started with. lsb comes from /etc/lsb-release and os-release.",
			"There is no Python: python, python_version, selinux_python_present are absent, as are capabilities, devices, lvm, iSCSI and NVMe names, facter and ohai; a subset of those names is refused.",
			"In check mode a fact from a file that does not exist, and that a package might bring, is what it is now.",
			"virtualization knows containers and the common hypervisors by their DMI names.",
		},
		Returns: []Return{{Name: "ansible_facts", Type: "dict", Doc: "The facts under Ansible's names: ansible_hostname, ansible_default_ipv4, ansible_os_family, ansible_interfaces, …; and ansible_addresses, a list of interface, address and network for each address."}},
		Examples: []Example{{"Only what the network looks like", `
setup:
  gather_subset: ["!all", network]`}},
	}
}

// gathering is what the groups of facts work with.
type gathering struct {
	host     sys.Reader
	system   sys.System
	timeout  time.Duration // for a file system
	factPath string        // of local facts
	facts    map[string]any
}

// factGroup is a group of facts that can be asked for by its name, or by those that
// Ansible knows for some of its facts.
type factGroup struct {
	name, also string
	subset     string // that it is part of, besides all
	gather     func(ctx context.Context, g *gathering) error
}

var factGroups = []factGroup{
	{"platform", "system kernel kernel_version machine architecture machine_id hostname", "min", platformFacts},
	{"distribution", "distribution_version distribution_release distribution_major_version os_family", "min", distributionFacts},
	{"user", "user_id user_uid user_gid user_gecos user_dir user_shell real_user_id effective_user_id effective_group_ids", "min", userFacts},
	{"apparmor", "", "min", apparmorFacts},
	{"selinux", "", "min", selinuxFacts},
	{"fips", "", "min", fipsFacts},
	{"cmdline", "", "min", cmdlineFacts},
	{"date_time", "", "min", dateFacts},
	{"dns", "", "min", dnsFacts},
	{"env", "", "min", envFacts},
	{"local", "", "min", localFacts},
	{"lsb", "", "min", lsbFacts},
	{"pkg_mgr", "", "min", packageFacts},
	{"service_mgr", "", "min", serviceFacts},
	{"ssh_pub_keys", "ssh_host_pub_keys ssh_host_key_dsa_public ssh_host_key_rsa_public ssh_host_key_ecdsa_public ssh_host_key_ed25519_public", "min", hostKeyFacts},
	{"chroot", "is_chroot", "", chrootFacts},
	{"loadavg", "", "", loadFacts},
	{"network", "interfaces default_ipv4 default_ipv6 all_ipv4_addresses all_ipv6_addresses", "network", networkFacts},
	{"processor", "processor_cores processor_count", "hardware", processorFacts},
	{"memory", "", "hardware", memoryFacts},
	{"dmi", "", "hardware", dmiFacts},
	{"uptime_seconds", "", "hardware", uptimeFacts},
	{"mounts", "", "hardware", mountFacts},
	{"virtual", "virtualization_type virtualization_role virtualization_tech_guest virtualization_tech_host", "virtual", virtualFacts},
}

// is reports whether a subset's name means the group.
func (f factGroup) is(subset string) bool {
	return subset == "all" || subset == f.name || subset == f.subset || slices.Contains(strings.Fields(f.also), subset)
}

// Validate knows the subsets and the patterns.
func (a *SetupArgs) Validate() error {
	known := []string{"all", "min", "network", "hardware", "virtual"}
	for _, group := range factGroups {
		known = append(known, group.name)
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, subset := range a.GatherSubset {
		name := strings.TrimPrefix(subset, "!")
		if !slices.ContainsFunc(factGroups, func(f factGroup) bool { return f.is(name) }) {
			return fmt.Errorf("setup: gather_subset: there is no subset %s%s; there are %s", name, hintAfter(name, known), strings.Join(known, ", "))
		}
	}
	if a.GatherTimeout < 1 {
		return fmt.Errorf("setup: gather_timeout wants seconds, not %d", a.GatherTimeout)
	}
	for _, pattern := range a.Filter {
		if _, err := path.Match(asPathPattern(pattern), ""); err != nil {
			return fmt.Errorf("setup: filter: %q is not a valid pattern: a [ is not closed", pattern)
		}
	}
	return nil
}

// wants reports whether a group is asked for, by Ansible's rules: what is named wins
// over what is left out, and only exclusions mean all the rest.
func (a *SetupArgs) wants(f factGroup) bool {
	named, all, out := false, true, false
	for _, subset := range a.GatherSubset {
		name, excluded := strings.CutPrefix(subset, "!")
		switch {
		case excluded && name == "all":
			out = out || f.subset != "min"
		case excluded:
			out = out || f.is(name)
		case name == "all":
		case f.is(name) && name != "min":
			named = true
		default:
			all = false
		}
	}
	all = all || slices.Contains(a.GatherSubset, "all")
	return named || !out && (all || f.subset == "min")
}

// Plan gathers.
func (a *SetupArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	system, err := host.System(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("asking what the host is: %w", err)
	}
	g := &gathering{host: host, system: system, timeout: time.Duration(a.GatherTimeout) * time.Second, factPath: a.FactPath, facts: map[string]any{}}
	all := map[string]any{}
	for _, group := range factGroups {
		if !a.wants(group) {
			continue
		}
		if err := group.gather(ctx, g); err != nil {
			return Plan{}, err
		}
	}
	for name, value := range g.facts {
		if a.passes(name) {
			all["ansible_"+name] = value
		}
	}
	if len(a.Filter) == 0 {
		all["gather_subset"], all["module_setup"] = a.GatherSubset, true
	}
	return Plan{Result: Result{"ansible_facts": all}}, nil
}

func (a *SetupArgs) passes(name string) bool {
	if len(a.Filter) == 0 {
		return true
	}
	return slices.ContainsFunc(a.Filter, func(pattern string) bool {
		ok, _ := path.Match(strings.TrimPrefix(asPathPattern(pattern), "ansible_"), name)
		return ok
	})
}

// asPathPattern turns Ansible's [!x] into [^x].
func asPathPattern(pattern string) string { return strings.ReplaceAll(pattern, "[!", "[^") }

// add adds facts.
func (g *gathering) add(facts map[string]any) { maps.Copy(g.facts, facts) }

// mostFactText is the most that a file of facts may hold.
const mostFactText = 1 << 20

// text is the content of a file; ok is false when it is not there, or not ours to
// read: then the fact is absent, or NA, as with Ansible.
func (g *gathering) text(ctx context.Context, name string) (text string, ok bool, err error) {
	r, err := g.host.Files().Open(ctx, name)
	if errors.Is(err, fs.ErrPermission) {
		return "", false, nil
	}
	if there, err := thereNow(err); err != nil || !there {
		return "", false, err
	}
	data, err := io.ReadAll(io.LimitReader(&untilCancelled{ctx, r}, mostFactText))
	if err := errors.Join(err, r.Close()); err != nil {
		if errors.Is(err, syscall.EINVAL) || errors.Is(err, fs.ErrPermission) {
			return "", false, nil // of the kernel's own files some open and cannot be read
		}
		return "", false, fmt.Errorf("reading %s: %w", name, err)
	}
	return string(data), true, nil
}

// line is the text of a file of one line, "" when there is none.
func (g *gathering) line(ctx context.Context, name string) (string, error) {
	text, _, err := g.text(ctx, name)
	return strings.TrimSpace(text), err
}

// exists reports whether a file is there, following links.
func (g *gathering) exists(ctx context.Context, name string) (bool, error) {
	_, err := g.host.Files().Stat(ctx, name)
	return thereNow(err)
}

// thereNow is present, for which a file that a package might bring in check mode is
// not there: one optional fact must not defer all.
func thereNow(err error) (bool, error) {
	if _, unknown := sys.Unknown(err); unknown {
		return false, nil
	}
	return present(err)
}
