package sys

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write what the parsers make of testdata as what is wanted; look at the diff")

// fixtures reads each file of testdata/packages that the pattern names, and
// compares what is made of it with the file of the same name ending in .want.
func fixtures(t *testing.T, pattern string, read func(t *testing.T, text string) any) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "packages", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			encoder := json.NewEncoder(&got)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(read(t, string(text))); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, filepath.Ext(file)) + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func sorted(t *testing.T, changes []PackageChange, err error) any {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(changes, func(a, b PackageChange) int { return strings.Compare(a.Name, b.Name) })
	return changes
}

var installedForTests = map[string]Package{
	"httpd":     {Name: "httpd", Installed: "2.4.6-99.el7"},
	"foo":       {Name: "foo", Installed: "1.0-1"},
	"liba":      {Name: "liba", Installed: "1.0-1"},
	"old-thing": {Name: "old-thing", Installed: "0.9-1"},
}

func TestAptSimulations(t *testing.T) {
	fixtures(t, "apt-*.txt", func(t *testing.T, text string) any {
		changes, err := parseSimulation(text, installedForTests)
		return sorted(t, changes, err)
	})
}

func TestDnfAndYumTransactions(t *testing.T) {
	for _, pattern := range []string{"yum-*.txt", "dnf-*.txt", "dnf5-*.txt"} {
		fixtures(t, pattern, func(t *testing.T, text string) any {
			changes, err := parseTransaction(text, "x86_64", installedForTests)
			return sorted(t, changes, err)
		})
	}
}

// The failures in testdata are "program", stdout and stderr between lines of ---.
func TestPackageFailures(t *testing.T) {
	fixtures(t, "failure-*.txt", func(t *testing.T, text string) any {
		parts := strings.Split(text, "---\n")
		if len(parts) != 3 {
			t.Fatalf("%d parts", len(parts))
		}
		r := Result{Code: 1, Stdout: []byte(parts[1]), Stderr: []byte(parts[2])}
		var err error
		switch program := strings.TrimSpace(parts[0]); program {
		case "apt-get":
			err = aptFailure(program, r)
		default:
			_, err = newDnf(newRealCommands(), program).planned(r, []PackageRequest{{Name: "foo", Version: "9", State: PackagePresent}}, nil)
		}
		if err == nil {
			t.Fatal("no error")
		}
		return map[string]any{"error": err.Error(), "absent": errors.Is(err, fs.ErrNotExist)}
	})
}

func TestParseDpkg(t *testing.T) {
	text := "dpkg\tamd64\tii \t1.21\nadduser\tall\tii \t3.134\nlibc6\ti386\tii \t2.36\nheld\tamd64\thi \t1\n" +
		"gone\tamd64\trc \t2\nhalf\tamd64\tiF \t3\nwaits\tamd64\tiW \t4\nwish\tamd64\thn \t\n"
	got, err := parseDpkg(text)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Package{
		"dpkg":       {Name: "dpkg", Installed: "1.21"},
		"adduser":    {Name: "adduser", Installed: "3.134"},
		"libc6:i386": {Name: "libc6:i386", Installed: "2.36"},
		"held":       {Name: "held", Installed: "1", Held: true},
		"waits":      {Name: "waits", Installed: "4"},
		"wish":       {Name: "wish", Held: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"dpkg amd64 ii 1\n", "a\tb\tc\n", "a\tb\ti\t1\n"} {
		if _, err := parseDpkg(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestParsePolicy(t *testing.T) {
	got := parsePolicy("nginx:\n  Installed: (none)\n  Candidate: 1.22.1-9\n  Version table:\n     1.22.1-9 500\n        500 http://mirror.example/debian bookworm/main amd64 Packages\nmail-transport-agent:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n")
	if diff := cmp.Diff(map[string]string{"nginx": "1.22.1-9", "mail-transport-agent": ""}, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRPM(t *testing.T) {
	text := "bash\t(none)\t4.2.46\t35.el7_9\tx86_64\t100\nkernel\t0\t3.10.0\t1160.el7\tx86_64\t200\nkernel\t0\t3.10.0\t1062.el7\tx86_64\t100\n" +
		"glibc\t0\t2.17\t326\ti686\t1\ntzdata\t1\t2024a\t1.el7\tnoarch\t1\ngpg-pubkey\t(none)\tf4a80eb5\t53a7ff4b\t(none)\t1\n"
	got, err := parseRPM(text, "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for name, p := range got {
		versions[name] = p.Installed
	}
	want := map[string]string{
		"bash": "4.2.46-35.el7_9", "kernel": "3.10.0-1160.el7", "glibc.i686": "2.17-326", "tzdata": "1:2024a-1.el7",
	}
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"bash\n", "a\tb\tc\td\te\tlater\n"} {
		if _, err := parseRPM(bad, "x86_64"); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestAptWords(t *testing.T) {
	state := map[string]Package{"here": {Name: "here", Installed: "1"}}
	tests := []struct {
		request PackageRequest
		want    string
	}{
		{PackageRequest{Name: "new", State: PackagePresent}, "new"},
		{PackageRequest{Name: "new", State: PackageLatest}, "new"},
		{PackageRequest{Name: "new", Version: "2", State: PackagePresent}, "new=2"},
		{PackageRequest{Name: "new", State: PackageAbsent}, ""},
		{PackageRequest{Name: "here", State: PackagePresent}, ""},
		{PackageRequest{Name: "here", Version: "1", State: PackagePresent}, ""},
		{PackageRequest{Name: "here", Version: "2", State: PackagePresent}, "here=2"},
		{PackageRequest{Name: "here", State: PackageLatest}, "here"},
		{PackageRequest{Name: "here", State: PackageAbsent}, "here-"},
	}
	for _, test := range tests {
		words, _ := aptWords([]PackageRequest{test.request}, state)
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%+v: %q, want %q", test.request, got, test.want)
		}
	}
}

func TestDnfVerbs(t *testing.T) {
	state := map[string]Package{"here": {Name: "here", Installed: "1:1.5-2.el9"}}
	tests := []struct {
		request PackageRequest
		want    string
	}{
		{PackageRequest{Name: "new", State: PackagePresent}, "install new"},
		{PackageRequest{Name: "new", State: PackageLatest}, "install new"},
		{PackageRequest{Name: "new", Version: "2-1", State: PackagePresent}, "install new-2-1"},
		{PackageRequest{Name: "new", State: PackageAbsent}, ""},
		{PackageRequest{Name: "here", State: PackagePresent}, ""},
		{PackageRequest{Name: "here", Version: "1.5", State: PackagePresent}, ""},
		{PackageRequest{Name: "here", Version: "1.5-2.el9", State: PackagePresent}, ""},
		{PackageRequest{Name: "here", Version: "1:1.5", State: PackagePresent}, ""},
		{PackageRequest{Name: "here", Version: "1:1.6", State: PackagePresent}, "install here-1:1.6"},
		{PackageRequest{Name: "here", Version: "1:1.4", State: PackagePresent}, "downgrade here-1:1.4"},
		{PackageRequest{Name: "here", State: PackageLatest}, "upgrade here"},
		{PackageRequest{Name: "here", State: PackageAbsent}, "remove here"},
	}
	d := newDnf(newRealCommands(), "dnf")
	for _, test := range tests {
		verbs, err := d.sort([]PackageRequest{test.request}, PackageOptions{AllowDowngrade: true}, state)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, v := range verbs {
			got += v.verb + " " + strings.Join(v.args, " ")
		}
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.request, got, test.want)
		}
	}
	older := []PackageRequest{{Name: "here", Version: "1:1.4", State: PackagePresent}}
	if _, err := d.sort(older, PackageOptions{}, state); err == nil || !strings.Contains(err.Error(), "here") {
		t.Errorf("a downgrade that is not allowed: %v", err)
	}
}

func TestVersionLocks(t *testing.T) {
	p := Package{Name: "keepalived", Installed: "1.3.5-19.el7"}
	for lock, want := range map[string]bool{
		"keepalived-0:1.3.5-19.el7.*": true, "0:keepalived-1.3.5-19.el7.*": true, "keepalived-1.3.*": true,
		"keepalived-0:1.3.5-20.el7.*": false, "nginx-0:1.*": false, "[": false,
	} {
		if got := versionLocked([]string{lock}, p); got != want {
			t.Errorf("%s: %v", lock, got)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	// Each is older than the next.
	for _, order := range [][]string{
		{"1.0~rc1", "1.0", "1.0^git1", "1.0.1"},
		{"1.9", "1.10", "2"},
		{"1.a", "1.1"},
		{"1.0a", "1.0b", "1.0.1"},
		{"2.0-1", "1:1.0-1", "1:1.0-2"},
		{"9-1.el7", "10-1.el7"},
		{"1.05", "1.06"},
	} {
		for i := 1; i < len(order); i++ {
			if compareEVR(order[i-1], order[i]) >= 0 || compareEVR(order[i], order[i-1]) <= 0 {
				t.Errorf("%s is not older than %s", order[i-1], order[i])
			}
		}
	}
	for _, same := range [][2]string{{"1.0", "1_0"}, {"1.01", "1.1"}, {"1.0-1", "1.0"}, {"0:1.0", "1.0"}} {
		if c := compareEVR(same[0], same[1]); c != 0 {
			t.Errorf("%s and %s: %d", same[0], same[1], c)
		}
	}
}

func TestVersionOrderIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.StringMatching(`[0-9ab.~^]{0,8}`)
		a, b, c := version.Draw(t, "a"), version.Draw(t, "b"), version.Draw(t, "c")
		if compareVersion(a, a) != 0 {
			t.Fatalf("%q is not as new as itself", a)
		}
		if compareVersion(a, b) != -compareVersion(b, a) {
			t.Fatalf("%q and %q: %d one way and %d the other", a, b, compareVersion(a, b), compareVersion(b, a))
		}
		if compareVersion(a, b) < 0 && compareVersion(b, c) < 0 && compareVersion(a, c) >= 0 {
			t.Fatalf("%q, %q, %q are not in order", a, b, c)
		}
	})
}

func TestNamesThatAreNone(t *testing.T) {
	for _, name := range []string{"", "-y", "a b", "a*", "a/b", "a=1", "name-", "a;b", "a:b:c", "../x"} {
		if err := checkNames([]string{name}); err == nil {
			t.Errorf("%q passed", name)
		}
	}
	if err := checkNames([]string{"g++", "libc6:i386", "glibc.i686", "python3.11", "NetworkManager", "a_b"}); err != nil {
		t.Error(err)
	}
	for _, r := range []PackageRequest{{Name: "a", State: "newest"}, {Name: "a", Version: "-1", State: PackagePresent}, {Name: "a", Version: "1 2", State: PackagePresent}} {
		if err := checkRequests([]PackageRequest{r}); err == nil {
			t.Errorf("%+v passed", r)
		}
	}
}

func TestUnitsAmongFiles(t *testing.T) {
	got := unitsAmong([]string{
		"/.", "/lib/systemd/system", "/lib/systemd/system/a.service", "/usr/lib/systemd/system/b.timer", "/usr/lib/systemd/system/a.service",
		"/usr/lib/systemd/system/c.service.d/x.conf", "/etc/init.d/d", "/usr/lib/systemd/user/e.service", "/usr/bin/f.service",
	})
	if diff := cmp.Diff([]string{"a.service", "b.timer", "d.service"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPasswordsOfMirrorsAreNotShown(t *testing.T) {
	got := withoutPasswords("Failed to fetch https://user:secret@mirror.example.org/debian/x  401 http://plain.example.org/y http://u:se%zzcret@h/z")
	want := "Failed to fetch https://mirror.example.org/debian/x  401 http://plain.example.org/y (address)"
	if got != want {
		t.Errorf("%s", got)
	}
}

func TestFingerprints(t *testing.T) {
	dir := t.TempDir()
	look := func() string {
		t.Helper()
		f, err := fingerprint([]string{dir, "/no/such/file"})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	empty := look()
	file := filepath.Join(dir, "list")
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	one := look()
	if one == empty || one != look() {
		t.Error("a new file makes no difference, or none does")
	}
	if err := os.Chtimes(file, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if look() == one {
		t.Error("a changed file makes no difference")
	}
}

func TestPolicyThatForbidsStarts(t *testing.T) {
	const theirs = "#!/bin/sh\nexit 0\n"
	tests := map[string]struct {
		before string // of policy-rc.d; "" for none
		link   bool   // it is a link to theirs
	}{
		"none": {}, "a file": {before: theirs}, "a link": {before: theirs, link: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			policy := filepath.Join(dir, "policy-rc.d")
			if test.before != "" {
				file := policy
				if test.link {
					file = filepath.Join(dir, "elsewhere")
				}
				if err := os.WriteFile(file, []byte(test.before), 0o755); err != nil {
					t.Fatal(err)
				}
				if test.link {
					if err := os.Symlink(file, policy); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := listing(t, dir)
			restore, err := forbidStarts(policy, "apt")
			if err != nil {
				t.Fatal(err)
			}
			r, err := newRealCommands().Run(t.Context(), Command{Args: []string{policy, "glusterd", "start"}})
			if err != nil || r.Code != 101 {
				t.Errorf("it says %d, %v", r.Code, err)
			}
			if err := restore(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Error(diff)
			}
			// A crash: nobody calls restore, the next run does.
			if _, err := forbidStarts(policy, "apt"); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := recoverPolicy(policy); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
					t.Error(diff)
				}
			}
			if test.before == "" {
				return
			}
			// A crash before ours was in place.
			if err := os.Link(policy, savedPolicy(policy)); err != nil {
				t.Fatal(err)
			}
			if err := recoverPolicy(policy); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()+" "+e.Type().String()] = string(text)
	}
	return files
}

func TestLockedDatabase(t *testing.T) {
	lock := filepath.Join(t.TempDir(), "lock")
	file, err := os.Create(lock)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := awaitUnlocked(t.Context(), []string{lock, lock + "-none"}, 0); err != nil {
		t.Errorf("nobody holds it: %v", err)
	}
	holder := os.Getenv("RBDPLAY_TEST_HOLDS")
	if holder != "" { // this is the other process, see below
		held := syscall.Flock_t{Type: syscall.F_WRLCK}
		other, err := os.OpenFile(holder, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.FcntlFlock(other.Fd(), syscall.F_SETLK, &held); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(holder+"-held", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := newRealCommands().Run(ctx, Command{
			Args: []string{os.Args[0], "-test.run=^TestLockedDatabase$"}, Env: []string{"RBDPLAY_TEST_HOLDS=" + lock},
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the process that holds the lock: %v", err)
		}
	}()
	for {
		if _, err := os.Stat(lock + "-held"); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	err = awaitUnlocked(ctx, []string{lock}, 10*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), filepath.Base(os.Args[0])[:8]) {
		t.Errorf("error %v", err)
	}
	called, callOff := context.WithTimeout(ctx, 10*time.Millisecond)
	defer callOff()
	if err := awaitUnlocked(called, []string{lock}, time.Hour); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), lock+", which is held by ") {
		t.Errorf("called off while waiting: %v", err)
	}
	time.AfterFunc(100*time.Millisecond, cancel)
	if err := awaitUnlocked(t.Context(), []string{lock}, time.Minute); err != nil {
		t.Errorf("the holder ended: %v", err)
	}
	<-ended
	if err := awaitUnlocked(ctx, []string{lock}, 0); err != nil {
		t.Errorf("nobody holds it any more: %v", err)
	}
}

// apt itself, where it is: the predictions must fit what it has.
func TestAptOfThisMachine(t *testing.T) {
	p := newRealPackages(newRealUnits())
	if manager, err := p.Manager(t.Context()); err != nil || manager != "apt" {
		t.Skipf("not a machine with apt: %s %v", manager, err)
	}
	known, err := p.Query(t.Context(), "dpkg", "rbdplay-no-such-package")
	if err != nil {
		t.Fatal(err)
	}
	if known["dpkg"].Installed == "" {
		t.Errorf("%+v", known["dpkg"])
	}
	if diff := cmp.Diff(Package{Name: "rbdplay-no-such-package"}, known["rbdplay-no-such-package"]); diff != "" {
		t.Error(diff)
	}
	for _, nothing := range []PackageRequest{
		{Name: "dpkg", State: PackagePresent},
		{Name: "dpkg", State: PackagePresent, Version: known["dpkg"].Installed},
		{Name: "rbdplay-no-such-package", State: PackageAbsent},
	} {
		if changes, err := p.Resolve(t.Context(), []PackageRequest{nothing}, PackageOptions{}); err != nil || len(changes) > 0 {
			t.Errorf("%+v: %v, %v", nothing, changes, err)
		}
	}
	for _, none := range []PackageRequest{
		{Name: "rbdplay-no-such-package", State: PackagePresent}, {Name: "rbdplay.no", State: PackageLatest},
	} {
		_, err := p.Resolve(t.Context(), []PackageRequest{none}, PackageOptions{AllowDowngrade: true})
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), none.Name) {
			t.Errorf("%+v: %v", none, err)
		}
	}
}

// countedPackages simulates by counting, and refuses what it was not told of.
type countedPackages struct {
	packageManager

	source    string
	simulated int
}

func (c *countedPackages) sources() []string          { return []string{c.source} }
func (*countedPackages) takes(PackageSelection) error { return nil }
func (*countedPackages) state(context.Context) (map[string]Package, error) {
	return map[string]Package{}, nil
}

func (c *countedPackages) resolve(_ context.Context, requests []PackageRequest, _ PackageOptions, _ map[string]Package) ([]PackageChange, error) {
	c.simulated++
	if requests[0].Name == "broken" {
		return nil, errors.New("broken")
	}
	return []PackageChange{{Name: requests[0].Name, To: strconv.Itoa(c.simulated)}}, nil
}

func TestOneSimulationForTheSameQuestion(t *testing.T) {
	manager := &countedPackages{source: filepath.Join(t.TempDir(), "status")}
	p := newRealPackages(newRealUnits())
	p.manager = manager
	ask := func(name string, options PackageOptions, want int) {
		t.Helper()
		changes, err := p.Resolve(t.Context(), []PackageRequest{{Name: name, State: PackagePresent}}, options)
		if manager.simulated != want || err == nil && changes[0].To != strconv.Itoa(want) {
			t.Errorf("%s: %v, %v after %d simulations, not %d", name, changes, err, manager.simulated, want)
		}
	}
	ask("nginx", PackageOptions{}, 1)
	ask("nginx", PackageOptions{}, 1)
	ask("nginx", PackageOptions{Purge: true}, 2)
	ask("curl", PackageOptions{}, 3)
	if err := os.WriteFile(manager.source, []byte("another state"), 0o600); err != nil {
		t.Fatal(err)
	}
	ask("curl", PackageOptions{}, 4) // somebody else has been at the packages
	ask("broken", PackageOptions{}, 5)
	ask("broken", PackageOptions{}, 6) // a failure may have passed
}

func FuzzParseSimulation(f *testing.F) {
	f.Add("Inst a [1] (2 Debian:12/stable [amd64])\nConf a (2 x)\nRemv b [1]\nPurg c [1]\n")
	f.Fuzz(func(t *testing.T, text string) {
		changes, err := parseSimulation(text, installedForTests)
		for _, c := range changes {
			if err == nil && (c.Name == "" || c.From == c.To) {
				t.Errorf("%+v from %q", c, text)
			}
		}
	})
}

func FuzzParseTransaction(f *testing.F) {
	f.Add("Installing:\n foo x86_64 1-1 base 1 k\n     replacing  bar.noarch 1-1\nTransaction Summary\n")
	f.Fuzz(func(t *testing.T, text string) {
		changes, err := parseTransaction(text, "x86_64", installedForTests)
		for _, c := range changes {
			if err == nil && (c.Name == "" || c.From == c.To) {
				t.Errorf("%+v from %q", c, text)
			}
		}
	})
}

func FuzzParsePackageLists(f *testing.F) {
	f.Add("dpkg\tamd64\tii \t1\n")
	f.Add("a:\n  Candidate: 1\n")
	f.Add("Available Packages\nfoo.x86_64 1-1 base\n")
	f.Add("bash\t(none)\t4\t1\tx86_64\t1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if state, err := parseDpkg(text); err == nil {
			for name, p := range state {
				if name != p.Name || p.Installed == "" && !p.Held {
					t.Errorf("%q: %+v", name, p)
				}
			}
		}
		if state, err := parseRPM(text, "x86_64"); err == nil {
			for name, p := range state {
				if name != p.Name || p.Installed == "" {
					t.Errorf("%q: %+v", name, p)
				}
			}
		}
		for name, version := range parsePolicy(text) {
			if strings.Contains(name+version, "\n") {
				t.Errorf("%q %q", name, version)
			}
		}
	})
}
