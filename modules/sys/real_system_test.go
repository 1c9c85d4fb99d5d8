package sys

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseOSRelease(t *testing.T) {
	tests := map[string]struct {
		text string
		want OSRelease
	}{
		"debian": {
			"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n",
			OSRelease{ID: "debian", VersionID: "12", Name: "Debian GNU/Linux", PrettyName: "Debian GNU/Linux 12 (bookworm)", Codename: "bookworm", Family: "Debian"},
		},
		"centos": {
			"NAME=\"CentOS Linux\"\nID=\"centos\"\nID_LIKE=\"rhel fedora\"\nVERSION_ID=\"7\"\n\n",
			OSRelease{ID: "centos", VersionID: "7", Name: "CentOS Linux", IDLike: []string{"rhel", "fedora"}, Family: "RedHat"},
		},
		"known by its parents": {"ID=neon\nID_LIKE='ubuntu debian'\n", OSRelease{ID: "neon", IDLike: []string{"ubuntu", "debian"}, Family: "Debian"}},
		"of no family":         {"ID=void\n", OSRelease{ID: "void"}},
		"quoting": {
			"# ID=no\n  NAME=\"a \\\"b\\\" \\$c \\n\"\nnonsense\nPRETTY_NAME='a \\\"b'\nID=\"\n",
			OSRelease{ID: `"`, Name: `a "b" $c \n`, PrettyName: `a \"b`},
		},
		"nothing": {"", OSRelease{}},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, parseOSRelease(test.text), cmp.Comparer(func(a, b []string) bool {
			return strings.Join(a, " ") == strings.Join(b, " ")
		})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func FuzzParseOSRelease(f *testing.F) {
	f.Add("ID=debian\nNAME=\"a \\\" b\"\nID_LIKE='x y'\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got := parseOSRelease(text); strings.Contains(got.ID+got.Name+got.PrettyName, "\n") {
			t.Errorf("%+v", got)
		}
	})
}

const routesHead = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"

func TestDefaultRoutes(t *testing.T) {
	tests := map[string]struct{ text, device, outside string }{
		"one":             {"eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", "eth0", "192.0.2.1"},
		"lowest metric":   {"wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", "eth0", "192.0.2.1"},
		"down":            {"eth0\t00000000\t0101A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", "", "192.0.2.1"},
		"rejected":        {"*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n", "", "192.0.2.1"},
		"none":            {"", "", "192.0.2.1"},
		"not understood":  {"eth0\t0\nx y z\neth0\tXX\t0\t0003\t0\t0\t0\t0\n", "", "192.0.2.1"},
		"on 192.0.2.0/24": {"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", "eth0", "198.51.100.1"},
	}
	for name, test := range tests {
		routes := parseRoutes(routesHead + test.text)
		if got := defaultInterface(routes); got != test.device {
			t.Errorf("%s: by %q, want %q", name, got, test.device)
		}
		if got := outside(routes).String(); got != test.outside {
			t.Errorf("%s: outside is %s, want %s", name, got, test.outside)
		}
	}
}

func FuzzParseRoutes(f *testing.F) {
	f.Add(routesHead + "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n")
	f.Fuzz(func(_ *testing.T, text string) {
		routes := parseRoutes(text)
		_, _ = defaultInterface(routes), outside(routes)
	})
}

func TestParseMemory(t *testing.T) {
	if got, err := parseMemory("Cached: 1 kB\nMemTotal:       2048 kB\nMemFree: 1 kB\n"); got != 2<<20 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	for _, bad := range []string{"", "MemTotal: x kB\n", "MemFree: 1 kB\n"} {
		if _, err := parseMemory(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestSystemOfThisMachine(t *testing.T) {
	s, err := NewReal().System(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname != hostname || s.FQDN == "" || s.Kernel == "" || s.Architecture == "" || s.CPUs < 1 || s.MemoryBytes < 1<<20 || s.UID != os.Geteuid() {
		t.Errorf("%+v", s)
	}
	if s.DefaultIPv4 != "" && net.ParseIP(s.DefaultIPv4) == nil {
		t.Errorf("default address %q", s.DefaultIPv4)
	}
	for _, i := range s.Interfaces {
		for _, address := range i.Addresses {
			if _, _, err := net.ParseCIDR(address); err != nil {
				t.Errorf("%s: %v", i.Name, err)
			}
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewReal().System(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestHostsFiles(t *testing.T) {
	lines := parseHosts("127.0.0.1 localhost\n# 1.1.1.1 no\n10.0.0.1\tmanage01.example.org manage01 # and more\n10.0.0.2\n\n")
	want := []string{"127.0.0.1 localhost", "10.0.0.1 manage01.example.org manage01"}
	var got []string
	for _, l := range lines {
		got = append(got, l.address+" "+strings.Join(l.names, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, canonical := range map[string]string{"manage01": "manage01.example.org", "MANAGE01": "manage01.example.org", "other": "other"} {
		if got := canonicalName(lines, name); got != canonical {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func FuzzParseHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost # x\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range parseHosts(text) {
			if l.address == "" || len(l.names) == 0 || strings.ContainsAny(l.address+strings.Join(l.names, ""), " \n#") {
				t.Errorf("%+v", l)
			}
		}
	})
}

func TestUsersAndGroups(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/bash\nops:x:1000:100:Ops,,,:/home/ops:/bin/sh\n1000:x:7:7::/:/bin/false\nbroken:x\n"
	const group = "root:x:0:\nusers:x:100:ops,root\n"
	dir := t.TempDir()
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// With a getent that answers from the same files, and without any.
	script := "#!/bin/sh\nfound=$(grep -e \"^$2:\" -e \"^[^:]*:x:$2:\" " + dir + "/$1 | head -n 1)\n[ \"$found\" ] || exit 2\necho \"$found\"\n"
	if err := os.WriteFile(filepath.Join(dir, "getent"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nsswitch.conf"), []byte("passwd: sss files\ngroup: files [SUCCESS=continue] sss\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"getent", "files"} {
		t.Run(source, func(t *testing.T) {
			u := realUsersOf(dir, getent)
			t.Setenv("PATH", dir+":/usr/bin:/bin")
			if source == "files" {
				u.lookUp = func(context.Context, string, string) ([]byte, error) {
					return nil, &exec.Error{Name: "getent", Err: exec.ErrNotFound}
				}
			}
			ops, err := u.User(t.Context(), "ops")
			if diff := cmp.Diff(User{Name: "ops", Home: "/home/ops", Shell: "/bin/sh", UID: 1000, GID: 100}, ops); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			if byID, err := u.UserByID(t.Context(), 0); err != nil || byID.Name != "root" {
				t.Errorf("%+v, %v", byID, err)
			}
			if g, err := u.GroupByID(t.Context(), 100); err != nil || g != (Group{Name: "users", GID: 100}) {
				t.Errorf("%+v, %v", g, err)
			}
			for _, name := range []string{"nosuch", "", "-x", "a:b", "broken", "0"} {
				if got, err := u.User(t.Context(), name); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("user %q: %+v, %v", name, got, err)
				}
			}
			if _, err := u.GroupByID(t.Context(), 4711); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("group 4711: %v", err)
			}
		})
	}
	t.Run("getent that fails", func(t *testing.T) {
		failing := t.TempDir()
		if err := os.WriteFile(filepath.Join(failing, "getent"), []byte("#!/bin/sh\necho no server >&2; exit 3\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", failing+":/bin")
		u := newRealUsers()
		u.order = &keptFile{path: filepath.Join(dir, "nsswitch.conf")}
		_, err := u.User(t.Context(), "root")
		if err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "no server") {
			t.Errorf("it counts as absence: %v", err)
		}
	})
}

// Whom the files know needs no process, where nsswitch.conf asks the files first.
func TestKnownUsersNeedNoProcess(t *testing.T) {
	dir := t.TempDir()
	order := filepath.Join(dir, "nsswitch.conf")
	for name, text := range map[string]string{"passwd": "root:x:0:0:root:/root:/bin/bash\n", "group": "root:x:0:\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, order string
		asked       []string // of getent, for root and then for nosuch
	}{
		{"as Debian has it", "# a comment\npasswd:         files systemd # x\ngroup: files systemd\n", []string{"passwd nosuch", "group nosuch"}},
		{"files alone", "passwd: files\ngroup:files\n", []string{"passwd nosuch", "group nosuch"}},
		{"merged", "passwd: files\ngroup: files [SUCCESS=merge] systemd\n", []string{"group 0", "passwd nosuch", "group nosuch"}},
		{"others first", "passwd: sss files\ngroup: sss files\n", []string{"passwd root", "group 0", "passwd nosuch", "group nosuch"}},
		{"nothing said", "hosts: files dns\n", []string{"passwd nosuch", "group nosuch"}},
		{"no file", "", []string{"passwd nosuch", "group nosuch"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_ = os.Remove(order) // may not be there
			if test.order != "" {
				if err := os.WriteFile(order, []byte(test.order), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var asked []string
			u := realUsersOf(dir, func(_ context.Context, database, key string) ([]byte, error) {
				asked = append(asked, database+" "+key)
				switch database + " " + key {
				case "passwd root":
					return []byte("root:x:0:0:root:/root:/bin/bash\n"), nil
				case "group 0":
					return []byte("root:x:0:\n"), nil
				}
				return nil, nil
			})
			if user, err := u.User(t.Context(), "root"); err != nil || user.Home != "/root" {
				t.Errorf("%+v, %v", user, err)
			}
			if group, err := u.GroupByID(t.Context(), 0); err != nil || group.Name != "root" {
				t.Errorf("%+v, %v", group, err)
			}
			if _, err := u.User(t.Context(), "nosuch"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nosuch: %v", err)
			}
			if _, err := u.Group(t.Context(), "nosuch"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nosuch: %v", err)
			}
			if diff := cmp.Diff(test.asked, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMountOptions(t *testing.T) {
	for _, test := range []struct{ mount, super, want string }{
		{"rw,relatime", "rw,user_id=0,allow_other", "rw,relatime,user_id=0,allow_other"},
		{"ro,relatime", "rw", "ro,relatime"},
		{"rw,relatime", "ro,size=4k", "ro,relatime,size=4k"},
		{"rw", "", "rw"},
		{"rw,seclabel", "rw,seclabel", "rw,seclabel"},
	} {
		if got := joinOptions(test.mount, test.super); got != test.want {
			t.Errorf("%s and %s: %s, want %s", test.mount, test.super, got, test.want)
		}
	}
}

func TestUnitNames(t *testing.T) {
	for name, want := range map[string]string{
		"ssh": "ssh.service", "ssh.service": "ssh.service", "a.timer": "a.timer", "a.b": "a.b.service",
		"getty@tty1": "getty@tty1.service", `srv-a\x2db.mount`: `srv-a\x2db.mount`,
		"": "", ".service": "", "a b": "", "a/b": "", "ä": "", "a*": "", strings.Repeat("x", 256): "",
	} {
		got, err := unitName(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

func TestUnitFiles(t *testing.T) {
	values := map[string]string{}
	parseUnitFile("; no\n[Unit]\nDescription=a\n[Service]\nType = oneshot \nExecStart=/bin/x \\\n  --long\n#Type=simple\n[Install]\nWantedBy=multi-user.target\nType=x\n", values)
	want := map[string]string{
		"Unit.Description": "a", "Service.Type": "oneshot", "Service.ExecStart": "/bin/x  --long",
		"Install.WantedBy": "multi-user.target", "Install.Type": "x",
	}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Error(diff)
	}
}

func FuzzUnitFile(f *testing.F) {
	f.Add("[Service]\nType=oneshot\nExecStart=a \\\n b\n")
	f.Fuzz(func(t *testing.T, text string) {
		values := map[string]string{}
		parseUnitFile(text, values)
		for key := range values {
			if !strings.Contains(key, ".") {
				t.Errorf("%q", key)
			}
		}
	})
}

func TestWithoutSystemd(t *testing.T) {
	if _, err := os.Lstat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here")
	}
	h := NewReal()
	defer h.Close()
	if _, err := h.Units().Get(t.Context(), "ssh"); !errors.Is(err, errNoSystemd) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
