package modules_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

const dnfRepository = "/srv/rbdrepository"

// TestDnfOnAPrivateMachine lets dnf itself work on packages that rpmbuild makes here,
// with a package database of its own. Debian's dnf is a real dnf 4; only apt is hidden
// from it, since a host with apt is served with apt.
func TestDnfOnAPrivateMachine(t *testing.T) {
	needPrograms(t, "dnf", "rpm", "rpmbuild", "createrepo_c")
	if !privately(t, "/etc", "/srv", "/var/lib/rpm", "/var/lib/dnf", "/var/cache/dnf", "/var/log") {
		return
	}
	onlyDnf(t)
	makeRpms(t, [][3]string{
		{"rbdlib", "1.0", ""},
		{"rbdlib", "2.0", ""},
		{"rbdextra", "1.0", ""},
		{"rbdapp", "1.0", "Requires: rbdlib"},
		{"rbdapp", "2.0", "Requires: rbdlib >= 2"},
	})
	name := func(names string, more ...any) map[string]any {
		args := map[string]any{"name": names}
		for i := 0; i < len(more); i += 2 {
			args[more[i].(string)] = more[i+1]
		}
		return args
	}
	const excludeLib = "echo exclude=rbdlib >> /etc/dnf/dnf.conf"
	for _, step := range []packageStep{
		{"", name("rbdapp=1.0-1,rbdlib=1.0-1,rbdextra"), "rbdapp: (absent) -> 1.0-1; rbdextra: (absent) -> 1.0-1; rbdlib: (absent) -> 1.0-1", ""},
		{excludeLib, name("rbdlib=2.0-1"), "", "rbdlib-2.0-1 is excluded"},
		{"sed -i /exclude/d /etc/dnf/dnf.conf", name("rbdapp", "state", "latest"), "rbdapp: 1.0-1 -> 2.0-1; rbdlib: 1.0-1 -> 2.0-1", ""},
		{"", name("rbdapp=1.0"), "", "2.0-1 is installed and 1.0 is older"},
		{"", name("rbdapp=1.0", "allow_downgrade", true), "rbdapp: 2.0-1 -> 1.0-1", ""},
		{"", name("rbdnosuch"), "", "there is no package rbdnosuch in the lists of dnf"},
		{"", name("rbdlib,rbdextra", "state", "absent"), "rbdapp: 1.0-1 -> (absent); rbdextra: 1.0-1 -> (absent); rbdlib: 2.0-1 -> (absent)", ""},
	} {
		step.do(t, "dnf", "/srv/rbd", "/etc")
	}
	for _, lock := range []string{"/var/lib/rpm/.rpm.lock", "/var/cache/dnf/metadata_lock.pid"} {
		waitsForLock(t, "dnf", name("rbdextra"), lock)
		shell(t, "rpm -e rbdextra")
	}
	shell(t, `printf '[broken]\nname=broken\nbaseurl=http://user:hidden@127.0.0.1:1/broken\ngpgcheck=0\nskip_if_unavailable=0\n' > /etc/yum.repos.d/broken.repo`)
	out := run(t, sys.NewReal(), "dnf", name("rbdextra"))
	wantFailure(t, out, "Failed to download metadata for repo 'broken'")
	wantNoWord(t, out.Message, "hidden")
}

// onlyDnf makes this a machine of dnf's that knows one repository.
func onlyDnf(t *testing.T) {
	t.Helper()
	shell(t, `mount --bind /dev/null "$(command -v apt-get)"
mkdir -p /srv/rbd /etc/rpm /etc/yum.repos.d `+dnfRepository+`; rm -f /etc/yum.repos.d/*
echo '%_dbpath /var/lib/rpm' > /etc/rpm/macros
printf '[main]\ngpgcheck=0\n' > /etc/dnf/dnf.conf
printf '[rbd]\nname=rbd\nbaseurl=file://`+dnfRepository+`\ngpgcheck=0\n' > /etc/yum.repos.d/rbd.repo`)
}

// makeRpms makes packages, each a name, a version and a line of its spec, and the
// repository of them.
func makeRpms(t *testing.T, packages [][3]string) {
	t.Helper()
	work := t.TempDir()
	for _, p := range packages {
		spec := filepath.Join(work, "package.spec")
		text := fmt.Sprintf("Name: %[1]s\nVersion: %[2]s\nRelease: 1\nSummary: made for a test\nLicense: none\nBuildArch: noarch\n%[3]s\n%%description\nmade for a test\n"+
			"%%install\nmkdir -p %%{buildroot}/srv/rbd\necho %[2]s > %%{buildroot}/srv/rbd/%[1]s\n%%files\n/srv/rbd/%[1]s\n", p[0], p[1], p[2])
		if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		shell(t, "rpmbuild -bb --quiet --define '_topdir "+work+"' --define '_rpmdir "+dnfRepository+"' "+spec)
	}
	shell(t, "createrepo_c -q "+dnfRepository)
}

// waitsForLock holds a module to two things while another process has the lock: it
// can be called off, and has then done nothing, and it does its work once the lock
// is given up, not before.
func waitsForLock(t *testing.T, module string, args map[string]any, lock string) {
	t.Helper()
	release := holdLock(t, lock)
	m := decoded(t, module, args)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	out := modules.Run(ctx, m, sys.NewReal(), modules.Emit{})
	wantFailure(t, out, "context deadline exceeded")
	if len(out.Changes) > 0 {
		t.Errorf("called off while it waited for %s, it changed %s", lock, shown(out.Changes))
	}
	released := make(chan struct{})
	time.AfterFunc(time.Second, func() {
		close(released)
		release()
	})
	out = modules.Run(t.Context(), m, sys.NewReal(), modules.Emit{})
	select {
	case <-released:
		wantStatus(t, out, modules.Changed)
	default:
		t.Errorf("it ended while %s was held: %s %s", lock, out.Status, out.Message)
		<-released
	}
}

// holdLock lets another process hold a lock until release is called.
func holdLock(t *testing.T, lock string) (release func()) {
	t.Helper()
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHoldsLock$")
	holder.Env = append(os.Environ(), "RBDPLAY_TEST_HOLDS="+lock)
	end, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "held\n" {
		t.Fatalf("the process that was to hold %s said %q: %v", lock, line, err)
	}
	return func() { _ = end.Close() } // it sees the end, and ends
}

// TestHoldsLock is the other process of holdLock, and nothing by itself. A lock file
// named *.pid is dnf's own kind, which holds the number of its process.
func TestHoldsLock(t *testing.T) {
	lock := os.Getenv("RBDPLAY_TEST_HOLDS")
	if lock == "" {
		t.Skip("only a part of other tests")
	}
	file, err := os.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(lock) == ".pid" {
		defer func() { _ = os.Remove(lock) }()
		_, err = fmt.Fprint(file, os.Getpid())
	} else {
		err = syscall.FcntlFlock(file.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK})
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin) // until release
}

func wantNoWord(t *testing.T, text, word string) {
	t.Helper()
	if strings.Contains(text, word) {
		t.Errorf("%q holds the word %s", text, word)
	}
}
