package modules_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// privately runs the test again in name spaces of its own, with copies in memory of
// the folders that it changes: the programs of the system are the real ones, and
// what they do is gone with the process. It returns false in the outer process.
func privately(t *testing.T, folders ...string) bool {
	t.Helper()
	if os.Getenv("RBDPLAY_TEST_PRIVATE") == t.Name() {
		cover(t, folders)
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, for name spaces of its own")
	}
	if out, err := exec.Command("unshare", "-m", "-u", "-n", "true").CombinedOutput(); err != nil {
		t.Skipf("no name spaces here: %v %s", err, out)
	}
	c := exec.CommandContext(t.Context(), "unshare", "-m", "-u", "-n", "--propagation", "private",
		os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), "RBDPLAY_TEST_PRIVATE="+t.Name())
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func cover(t *testing.T, folders []string) {
	t.Helper()
	memory := "/run"
	shell := func(text string) {
		if out, err := exec.CommandContext(t.Context(), "sh", "-ec", text).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", text, err, out)
		}
	}
	shell("mount -t tmpfs none " + memory)
	for _, f := range folders {
		at := filepath.Join(memory, f)
		shell("mkdir -p " + at + "; test ! -d " + f + " || cp -a " + f + "/. " + at + "; mkdir -p " + f + "; mount --bind " + at + " " + f)
	}
}

// TestSystemOnAPrivateMachine lets the system's own programs work, each time after
// a check that must have foretold it.
func TestSystemOnAPrivateMachine(t *testing.T) {
	if !privately(t, "/etc", "/home", "/var/spool", "/var/mail") {
		return
	}
	for _, command := range []string{"mkdir -p /var/spool/cron/crontabs", "printf 'set bell-style none\\n' > /etc/skel/.inputrc", "mkdir /etc/skel/bin", "ln -s bin /etc/skel/tools"} {
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", command, err, out)
		}
	}
	const hash = "$6$saltsalt$8m3nq0ZqXb0dM4bG0wUe6m9c0J7e1f0c0Z2m3vS1f1d7v6x9b1y2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0c1"
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0kb8s7Zr6l2v1dHk6D0oSQXw8y1c1q0m9m1Q4nqvXk ops@desk"
	steps := []struct {
		module  string
		args    map[string]any
		changes bool
	}{
		{"group", map[string]any{"name": "rbdops"}, true},
		{"group", map[string]any{"name": "rbdops"}, false},
		{"group", map[string]any{"name": "rbdsys", "system": true}, true},
		{"group", map[string]any{"name": "rbdops", "gid": 4321}, true},
		{"user", map[string]any{"name": "rbduser", "groups": []any{"rbdops"}, "password": hash, "comment": "A user"}, true},
		{"user", map[string]any{"name": "rbduser", "groups": []any{"rbdsys"}, "append": true}, true},
		{"user", map[string]any{"name": "rbduser", "groups": []any{"rbdsys"}, "shell": "/bin/bash", "expires": 1893456000}, true},
		{"user", map[string]any{"name": "rbduser", "password": hash, "password_lock": true}, true},
		{"user", map[string]any{"name": "rbduser", "password": hash}, false},
		{"user", map[string]any{"name": "rbduser", "password_lock": false, "expires": -1, "password_expire_max": 90}, true},
		{"user", map[string]any{"name": "rbduser", "home": "/home/elsewhere", "move_home": true}, true},
		{"user", map[string]any{"name": "rbduser", "uid": 5432, "groups": []any{}}, true},
		{"user", map[string]any{"name": "rbdsvc", "system": true, "create_home": false, "group": "rbdsys", "shell": "/usr/sbin/nologin"}, true},
		{"user", map[string]any{"name": "rbdsvc", "home": "/home/rbdsvc"}, true},
		{"user", map[string]any{"name": "rbdkeys"}, true},
		{"authorized_key", map[string]any{"user": "rbduser", "key": key}, true},
		{"authorized_key", map[string]any{"user": "rbduser", "key": key, "key_options": `command="echo a b",no-pty`}, true},
		{"authorized_key", map[string]any{"user": "rbduser", "key": key, "state": "absent"}, true},
		{"cron", map[string]any{"name": "tidy", "user": "rbduser", "minute": "*/5", "job": "true"}, true},
		{"cron", map[string]any{"name": "tidy", "user": "rbduser", "minute": "*/5", "job": "true"}, false},
		{"cron", map[string]any{"name": "tidy", "user": "rbduser", "special_time": "daily", "job": "true", "disabled": true}, true},
		{"cron", map[string]any{"name": "PATH", "env": true, "user": "rbduser", "job": "/bin"}, true},
		{"cron", map[string]any{"name": "x", "cron_file": "rbd", "user": "root", "job": "true"}, true},
		{"cron", map[string]any{"name": "x", "cron_file": "rbd", "state": "absent"}, true},
		{"hostname", map[string]any{"name": "elsewhere"}, true},
		{"hostname", map[string]any{"name": "elsewhere"}, false},
		{"sysctl", map[string]any{"name": "net.ipv4.ip_forward", "value": "1", "sysctl_set": true}, true},
		{"sysctl", map[string]any{"name": "net.ipv4.ip_forward", "value": "0", "sysctl_set": true, "sysctl_file": "/etc/sysctl.d/x.conf"}, true},
		{"sysctl", map[string]any{"name": "net/ipv4/ip_forward", "state": "absent", "sysctl_file": "/etc/sysctl.d/x.conf"}, true},
		{"user", map[string]any{"name": "rbdsvc", "state": "absent"}, true},
		{"user", map[string]any{"name": "rbdkeys", "state": "absent"}, true},
		{"group", map[string]any{"name": "rbdkeys", "state": "absent"}, false}, // went with its user
		{"user", map[string]any{"name": "rbduser", "state": "absent", "remove": true}, true},
		{"user", map[string]any{"name": "rbduser", "state": "absent", "remove": true}, false},
		{"group", map[string]any{"name": "rbdops", "state": "absent"}, true},
	}
	for _, step := range steps {
		spec, _ := registry(t).Find(step.module)
		m, problems := spec.Decode(step.args, modulestest.Contents{})
		if len(problems) > 0 {
			t.Fatalf("%s %v: %v", step.module, step.args, problems)
		}
		out := modulestest.Predicted(t, m, sys.NewReal(), "/home", "/etc", "/var/spool", "/var/mail")
		if out.Status == modules.Failed || (len(out.Changes) > 0) != step.changes {
			t.Fatalf("%s %v: %s %s: %s", step.module, step.args, out.Status, out.Message, shown(out.Changes))
		}
		if strings.Contains(shown(out.Changes)+out.Message, hash) {
			t.Errorf("%s %v shows the password: %s", step.module, step.args, shown(out.Changes))
		}
	}
	for file, wants := range map[string]string{"/etc/sysctl.conf": "net.ipv4.ip_forward = 1", "/etc/hostname": "elsewhere"} {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), wants) {
			t.Errorf("%s: %v %s", file, err, text)
		}
	}
}

// TestUserKeyOnAPrivateMachine makes a key: the check says all but the key itself,
// which nobody can foretell.
func TestUserKeyOnAPrivateMachine(t *testing.T) {
	if !privately(t, "/etc", "/home", "/var/spool", "/var/mail") {
		return
	}
	for _, kind := range []string{"ed25519", "ecdsa"} {
		args := map[string]any{"name": "rbdkeys", "generate_ssh_key": true, "ssh_key_type": kind, "ssh_key_comment": "of " + kind}
		checked := run(t, sys.NewShadow(sys.NewReal()), "user", args)
		file := "/home/rbdkeys/.ssh/id_" + kind
		if _, err := os.Lstat(file); !os.IsNotExist(err) {
			t.Fatalf("the check made %s: %v", file, err)
		}
		ran := run(t, sys.NewReal(), "user", args)
		wantStatus(t, ran, modules.Changed)
		if got, want := shown(checked.Changes), shown(ran.Changes); got != want {
			t.Errorf("the check foretold %s, and the run did %s", got, want)
		}
		wantStatus(t, run(t, sys.NewReal(), "user", args), modules.OK)
		wantKey(t, file, ran.Result["ssh_public_key"], "of "+kind)
	}
}

// wantKey holds the two halves against each other, and looks at who may read them.
func wantKey(t *testing.T, file string, told any, comment string) {
	t.Helper()
	public, err := exec.CommandContext(t.Context(), "ssh-keygen", "-y", "-f", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if told != strings.TrimSpace(string(public)) || !strings.HasSuffix(strings.TrimSpace(string(public)), " "+comment) {
		t.Errorf("%s: told was %v, and it is %s", file, told, public)
	}
	for path, mode := range map[string]os.FileMode{file: 0o600, file + ".pub": 0o644, filepath.Dir(file): 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		owner, err := exec.CommandContext(t.Context(), "stat", "-c", "%U:%G", path).Output()
		if err != nil || strings.TrimSpace(string(owner)) != "rbdkeys:rbdkeys" {
			t.Errorf("%s is of %s, %v", path, owner, err)
		}
	}
}
