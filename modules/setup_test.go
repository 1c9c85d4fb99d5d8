package modules_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// factsOf runs setup and gives the facts, by their names without ansible_.
func factsOf(t *testing.T, host sys.Host, args map[string]any) map[string]any {
	t.Helper()
	facts, _ := run(t, host, "setup", args).Result["ansible_facts"].(map[string]any)
	named := map[string]any{}
	for name, value := range facts {
		named[strings.TrimPrefix(name, "ansible_")] = value
	}
	return named
}

// Facts are read from the files in which a system keeps them.
func TestFactsFromFiles(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		os    sys.OSRelease
		want  map[string]any
	}{
		{
			name:  "Debian",
			files: map[string]string{"/etc/debian_version": "12.11\n", "/usr/bin/lsb_release": ""},
			os:    sys.OSRelease{ID: "debian", VersionID: "12", Codename: "bookworm", PrettyName: "Debian GNU/Linux 12 (bookworm)", Family: "Debian"},
			want: map[string]any{
				"distribution": "Debian", "distribution_version": "12.11", "distribution_minor_version": "11", "distribution_major_version": "12",
				"distribution_release": "bookworm", "os_family": "Debian",
				"lsb": map[string]any{"id": "Debian", "release": "12", "major_release": "12", "codename": "bookworm", "description": "Debian GNU/Linux 12 (bookworm)"},
			},
		},
		{
			name:  "CentOS",
			files: map[string]string{"/etc/centos-release": "CentOS Linux release 7.9.2009 (Core)\n"},
			os:    sys.OSRelease{ID: "centos", VersionID: "7", Family: "RedHat"},
			want: map[string]any{
				"distribution": "CentOS", "distribution_version": "7.9", "distribution_major_version": "7", "distribution_minor_version": "9",
				"distribution_release": "Core", "os_family": "RedHat", "lsb": map[string]any{},
			},
		},
		{
			name: "memory and processors",
			files: map[string]string{
				"/proc/meminfo": "MemTotal: 4194304 kB\nMemFree: 1048576 kB\nBuffers: 2048 kB\nCached: 1022 kB\nSwapCached: 0 kB\nSwapTotal: 2097152 kB\nSwapFree: 1048576 kB\n",
				"/proc/cpuinfo": strings.Repeat("processor\t: 0\nvendor_id\t: V\nmodel name\t: M\nphysical id\t: 0\nsiblings\t: 4\ncpu cores\t: 2\n\n", 4),
				"/proc/uptime":  "6346.77 1.0\n", "/proc/loadavg": "0.50 1.00 1.50 1/2 3\n",
			},
			want: map[string]any{
				"memtotal_mb": int64(4096), "memfree_mb": int64(1024), "swaptotal_mb": int64(2048), "swapfree_mb": int64(1024),
				"processor":       []any{"0", "V", "M", "0", "V", "M", "0", "V", "M", "0", "V", "M"},
				"processor_count": 1, "processor_cores": 2, "processor_threads_per_core": 2, "processor_vcpus": 4,
				"uptime_seconds": int64(6346), "loadavg": map[string]any{"1m": 0.5, "5m": 1.0, "15m": 1.5},
			},
		},
		{
			name: "boot, keys and guards",
			files: map[string]string{
				"/proc/cmdline":                     "quiet root=/dev/vda console=tty0 console=ttyS0\n",
				"/etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 AAAAC3 root@host\n",
				"/etc/resolv.conf":                  "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a.example b.example\noptions ndots:2 rotate\n",
				"/sys/fs/selinux/enforce":           "1",
				"/sys/fs/selinux/policyvers":        "33",
				"/etc/selinux/config":               "# SELINUX=disabled\nSELINUX=permissive\nSELINUXTYPE=targeted\n",
				"/proc/sys/crypto/fips_enabled":     "1\n", "/proc/1/comm": "runit-init\n",
				"/proc/self/environ": "HOME=/root\x00EMPTY=\x00",
			},
			want: map[string]any{
				"cmdline":                     map[string]any{"quiet": true, "root": "/dev/vda", "console": "ttyS0"},
				"proc_cmdline":                map[string]any{"quiet": true, "root": "/dev/vda", "console": []any{"tty0", "ttyS0"}},
				"ssh_host_key_ed25519_public": "AAAAC3", "ssh_host_key_ed25519_public_keytype": "ssh-ed25519",
				"dns":      map[string]any{"nameservers": []any{"10.0.0.1", "10.0.0.2"}, "search": []any{"a.example", "b.example"}, "options": map[string]any{"ndots": "2", "rotate": true}},
				"selinux":  map[string]any{"status": "enabled", "mode": "enforcing", "config_mode": "permissive", "type": "targeted", "policyvers": 33},
				"apparmor": map[string]any{"status": "disabled"}, "fips": true, "service_mgr": "runit",
				"env": map[string]any{"HOME": "/root", "EMPTY": ""},
			},
		},
		{
			name:  "firmware",
			files: map[string]string{"/sys/class/dmi/id/sys_vendor": "QEMU\n", "/sys/class/dmi/id/product_name": "Standard PC\n"},
			want: map[string]any{
				"system_vendor": "QEMU", "product_name": "Standard PC", "product_serial": "NA", "virtualization_type": "kvm", "virtualization_role": "guest",
				"virtualization_tech_guest": []string{"kvm"}, "virtualization_tech_host": []string{},
			},
		},
		{
			name:  "a container on a machine that can run others",
			files: map[string]string{"/.dockerenv": "", "/dev/kvm": "", "/sys/class/dmi/id/sys_vendor": "VMware, Inc.\n"},
			want: map[string]any{
				"virtualization_type": "docker", "virtualization_role": "guest",
				"virtualization_tech_guest": []string{"docker", "VMware", "container"}, "virtualization_tech_host": []string{"kvm"},
			},
		},
		{
			name: "routes",
			files: map[string]string{
				"/proc/net/route":                "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\nbr0\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\n",
				"/sys/class/net/br0/bridge/name": "", "/sys/class/net/br0/brif/eth0": "", "/sys/class/net/br0/flags": "0x1103\n",
			},
			want: map[string]any{
				"default_ipv4": map[string]any{
					"address": "10.77.0.11", "alias": "br0", "broadcast": "10.77.0.255", "gateway": "10.77.0.1", "interface": "br0",
					"macaddress": "02:00:00:00:00:01", "mtu": 1500, "netmask": "255.255.255.0", "network": "10.77.0.0", "prefix": "24", "type": "bridge",
				},
			},
		},
		{
			name:  "routes of IPv6",
			files: map[string]string{"/proc/net/ipv6_route": "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 br0\n"},
			want: map[string]any{
				"default_ipv6": map[string]any{
					"address": "fd00::2", "gateway": "fe80::1", "interface": "br0", "macaddress": "02:00:00:00:00:01", "mtu": 1500, "prefix": "64", "scope": "global", "type": "ether",
				},
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			host := systest.NewHostInMemory(t)
			host.State.System.OS = test.os
			host.State.System.UID = 0
			host.State.System.DefaultInterface, host.State.System.DefaultIPv4 = "br0", "10.77.0.11"
			host.State.System.Interfaces = []sys.Interface{{Name: "br0", MAC: "02:00:00:00:00:01", MTU: 1500, Up: true, Addresses: []string{"10.77.0.11/24", "fe80::2/64", "fd00::2/64"}}}
			for name, text := range test.files {
				host.WriteFile(name, text, 0o644)
			}
			got := map[string]any{}
			for name, value := range factsOf(t, host, nil) {
				if _, wanted := test.want[name]; wanted {
					got[name] = value
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// Subsets are chosen by Ansible's rules.
func TestGatherSubset(t *testing.T) {
	const of = "kernel fips interfaces memtotal_mb mounts virtualization_type"
	for _, test := range []struct {
		subset []any
		want   string
	}{
		{nil, of},
		{[]any{"!all"}, "kernel fips"},
		{[]any{"min"}, "kernel fips"},
		{[]any{"!all", "!min"}, ""},
		{[]any{"network"}, "kernel fips interfaces"},
		{[]any{"interfaces"}, "kernel fips interfaces"},
		{[]any{"!all", "!min", "hardware"}, "memtotal_mb mounts"},
		{[]any{"!hardware"}, "kernel fips interfaces virtualization_type"},
		{[]any{"!hardware", "mounts"}, "kernel fips mounts"},
		{[]any{"all", "!network"}, "kernel fips memtotal_mb mounts virtualization_type"},
		{[]any{"!fips"}, "kernel interfaces memtotal_mb mounts virtualization_type"},
		{[]any{"!min", "fips"}, "fips"},
		{[]any{"virtual", "!all"}, "kernel fips virtualization_type"},
	} {
		host := systest.NewHostInMemory(t)
		host.State.System.UID = 0
		args := map[string]any{}
		if test.subset != nil {
			args["gather_subset"] = test.subset
		}
		facts := factsOf(t, host, args)
		var got []string
		for _, name := range strings.Fields(of) {
			if _, there := facts[name]; there {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%v: got %v, want %s", test.subset, got, test.want)
		}
	}
	if got := refused(t, "setup", map[string]any{"gather_subset": "facter"}); !strings.Contains(got, "there is no subset facter") {
		t.Errorf("refused with %q", got)
	}
	if got := refused(t, "setup", map[string]any{"gather_timeout": 0}); !strings.Contains(got, "gather_timeout wants seconds") {
		t.Errorf("refused with %q", got)
	}
}

func TestFactFilter(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.State.System.UID = 0
	facts := factsOf(t, host, map[string]any{"filter": []any{"ansible_[!a-z]*", "processor_c?*", "ansible_swap*"}})
	want := []string{"processor_cores", "processor_count", "swapfree_mb", "swaptotal_mb"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(facts))); diff != "" {
		t.Error(diff)
	}
}

// What holds no files is no mount of anybody's; what cannot be asked is listed.
func TestMountsThatCannotBeAsked(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.State.System.UID = 0
	host.State.Mounts = []sys.Mount{
		{Source: "/dev/vda1", Target: "/", Type: "ext4"},
		{Source: "systemd-1", Target: "/auto", Type: "autofs"},
		{Source: "10.0.0.1:/gone", Target: "/gone", Type: "nfs4"},
	}
	facts := factsOf(t, host, map[string]any{"gather_subset": []any{"!all", "!min", "mounts"}})
	list, _ := facts["mounts"].([]any)
	if len(list) != 2 {
		t.Fatalf("mounts are %v", list)
	}
	root, _ := list[0].(map[string]any)
	if root["size_total"] != int64(16<<30) || root["block_total"] != int64(4<<20) || root["inode_total"] != int64(1<<21) || root["note"] != nil {
		t.Errorf("the root is %v", root)
	}
	gone, _ := list[1].(map[string]any)
	if note, _ := gone["note"].(string); gone["mount"] != "/gone" || note == "" || gone["size_total"] != nil {
		t.Errorf("what cannot be asked is %v", gone)
	}
}

// Check mode gathers the facts of the machine as a run does.
func TestFactsInCheckMode(t *testing.T) {
	names := func(host sys.Host) []string { return slices.Sorted(maps.Keys(factsOf(t, host, nil))) }
	run := names(sys.NewReal())
	if diff := cmp.Diff(run, names(sys.NewShadow(sys.NewReal()))); diff != "" {
		t.Errorf("-run +check\n%s", diff)
	}
	for _, name := range []string{"mounts", "env", "cmdline", "user_gecos", "memfree_mb", "kernel_version", "is_chroot", "default_ipv4"} {
		if !slices.Contains(run, name) {
			t.Errorf("there is no fact %s", name)
		}
	}
}

// Local facts are JSON, INI or what a program prints; one that is at fault says so
// and spoils no other.
func TestLocalFacts(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.WriteFile("/f/json.fact", `{"a": [1]}`, 0o644)
	host.WriteFile("/f/ini.fact", "# by hand\n[DEFAULT]\nshared = all\n[main]\nKey = one\n two\nother: x=y\n", 0o644)
	host.WriteFile("/f/wrong.fact", "neither\n", 0o644)
	host.WriteFile("/f/twice.fact", "[a]\nk=1\nK=2\n", 0o644)
	host.WriteFile("/f/other.txt", "{}", 0o644)
	host.WriteFile("/f/program.fact", "", 0o755)
	host.WriteFile("/f/broken.fact", "", 0o755)
	host.State.Probes = map[string]func(systest.Call) sys.Result{
		"/f/program.fact": systest.Says(0, `{"ran": true}`), "/f/broken.fact": systest.Says(3, "{}"),
	}
	want := map[string]any{
		"json":    map[string]any{"a": []any{1.0}},
		"ini":     map[string]any{"main": map[string]any{"key": "one\ntwo", "other": "x=y", "shared": "all"}},
		"program": map[string]any{"ran": true}, "broken": "Failure executing fact script (/f/broken.fact), rc: 3, err: ",
		"wrong": "error loading facts as JSON or ini - please check content: /f/wrong.fact",
		"twice": "error loading facts as JSON or ini - please check content: /f/twice.fact",
	}
	facts := factsOf(t, host, map[string]any{"fact_path": "/f", "gather_subset": []any{"!all", "!min", "local"}})
	if diff := cmp.Diff(map[string]any{"local": want}, facts, cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == `["gather_subset"]` || p.Last().String() == `["module_setup"]`
	}, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
	facts = factsOf(t, host, map[string]any{"fact_path": "/none", "gather_subset": []any{"local"}, "filter": []any{"local"}})
	if diff := cmp.Diff(map[string]any{"local": map[string]any{}}, facts); diff != "" {
		t.Error(diff)
	}
}
