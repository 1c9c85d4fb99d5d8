package modules_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// cancelled is a task that is ended at each of its calls, on a host in memory.
type cancelled struct {
	module string
	args   map[string]any
	host   func(t *testing.T) modulestest.Cancellable
}

// inMemory is a host in memory on which prepare has put what the task finds.
func inMemory(prepare func(*systest.Host)) func(t *testing.T) modulestest.Cancellable {
	return func(t *testing.T) modulestest.Cancellable {
		host := systest.NewHostInMemory(t)
		prepare(host)
		return modulestest.Cancellable{Host: host}
	}
}

func withPackages(manager string) func(t *testing.T) modulestest.Cancellable {
	return func(t *testing.T) modulestest.Cancellable {
		host := packaged(t)
		host.State.Manager = manager
		return modulestest.Cancellable{Host: host}
	}
}

func withAccounts(host *systest.Host) {
	for _, folder := range []string{"/var/spool", "/var/spool/cron", "/var/spool/cron/crontabs", "/etc/cron.d", "/etc/sysctl.d", "/etc/keepalived", "/home/ops"} {
		host.Mkdir(folder)
	}
	host.WriteFile("/etc/hostname", "host\n", 0o644)
	host.WriteFile("/etc/login.defs", "UID_MIN 1000\nUID_MAX 2000\nGID_MIN 1000\nGID_MAX 2000\n", 0o644)
	host.WriteFile("/etc/nsswitch.conf", "passwd: files\ngroup: files\n", 0o644)
	host.State.Groups = append(host.State.Groups, sys.Group{Name: "adm", GID: 4}, sys.Group{Name: "ops", GID: 1000})
	host.State.Users = append(host.State.Users, sys.User{Name: "ops", UID: 1000, GID: 1000, Home: "/home/ops", Shell: "/bin/sh"})
	host.State.Units["app.service"] = sys.Unit{Load: "loaded", Active: "inactive", Sub: "dead", File: "disabled"}
	host.State.Units["old.service"] = sys.Unit{Load: "loaded", Active: "active", Sub: "running", File: "enabled"}
	host.WriteFile("/usr/lib/systemd/system/app.service", "[Service]\nExecStart=/bin/app\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	host.WriteFile("/etc/fstab", nfsLine, 0o644)
	host.Mkdir("/grdata")
	host.State.Mounts = []sys.Mount{{Source: "10.77.0.11:/grdata", Target: "/grdata", Type: "nfs4", Options: "rw"}}
	host.State.Runs["hostname compute01"] = func(systest.Call) sys.Result {
		host.State.System.Hostname = "compute01"
		return sys.Result{}
	}
}

func cancellableGluster(t *testing.T) modulestest.Cancellable {
	h := newGluster(t)
	h.becomes(t, "peer probe compute02", "gluster_peer_probe.xml", func() { h.peers = "gluster_peer_status_one.xml" })
	h.becomes(t, "volume create data replica 2 transport tcp compute01:/data/glusterfs compute02:/data/glusterfs force", "gluster_volume_create.xml",
		func() { h.volume = "gluster_volume_info_created.xml" })
	h.becomes(t, "volume set data network.ping-timeout 10", "gluster_volume_set.xml", func() {})
	h.becomes(t, "volume set data nfs.disable on", "gluster_volume_set.xml", func() {})
	h.becomes(t, "volume start data", "gluster_volume_start.xml", func() { h.volume = "gluster_volume_info_started.xml" })
	return modulestest.Cancellable{Host: h.Host, Besides: func() map[string]string {
		return map[string]string{
			"peers": h.peers, "volume": fmt.Sprint(h.volume != "gluster_volume_info_none.xml"), "started": fmt.Sprint(h.volume == "gluster_volume_info_started.xml"),
		}
	}}
}

func cancellableDomain(t *testing.T) modulestest.Cancellable {
	host := grctlHost(t)
	host.State.Runs["grctl domain --ip 10.77.0.100"] = func(systest.Call) sys.Result {
		host.State.Names["rbdplay.a1b2.grapps.cn"] = []string{"10.77.0.100"}
		return sys.Result{Stdout: []byte("domain change Success!!!\n")}
	}
	return modulestest.Cancellable{Host: host, Besides: func() map[string]string { return map[string]string{"names": fmt.Sprint(host.State.Names)} }}
}

func cancellableRow(t *testing.T) modulestest.Cancellable {
	host, server := newRegions(t, "10.77.0.11")
	return modulestest.Cancellable{Host: host, Besides: func() map[string]string { return map[string]string{"rows": fmt.Sprint(server.rows)} }}
}

func cancellableCompose(t *testing.T) modulestest.Cancellable {
	h := newCompose(t)
	h.WriteFile("/opt/rainbond/compose/base.yaml", "dns=c mq=e", 0o644)
	h.WriteFile("/opt/rainbond/compose/lb.yaml", "", 0o644)
	h.containers["rbd-mq"] = fakeContainer{service: "rbd-mq", hash: hash("e"), status: "exited"}
	h.runs("dc-compose up -d --remove-orphans rbd-dns rbd-mq", func() {
		delete(h.containers, "rbd-lb")
		h.containers["rbd-dns"] = fakeContainer{service: "rbd-dns", hash: hash("c"), status: "running"}
		h.containers["rbd-mq"] = fakeContainer{service: "rbd-mq", hash: hash("e"), status: "running"}
	})
	return modulestest.Cancellable{Host: h.Host, Besides: func() map[string]string {
		pieces := map[string]string{}
		for name, c := range h.containers {
			pieces["container "+name] = fmt.Sprint(c)
		}
		return pieces
	}}
}

// withDownloads has what get_url and unarchive read, and where they write.
func withDownloads(t *testing.T) func(*systest.Host) {
	t.Helper()
	archive := string(tarOf(t, member{name: "in/"}, member{name: "in/one", text: "one\n"}, member{name: "in/two", text: "two\n"}))
	return func(host *systest.Host) {
		host.Mkdir("/srv")
		host.Mkdir("/srv/out")
		host.WriteFile("/srv/archive.tar", archive, 0o644)
		host.WriteFile("/srv/new", "new\n", 0o644)
		host.WriteFile("/srv/file", "old\n", 0o644)
	}
}

// TestCancelledAtEachCall ends tasks of the modules that the fixtures do not reach.
func TestCancelledAtEachCall(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0kb8s7Zr6l2v1dHk6D0oSQXw8y1c1q0m9m1Q4nqvXk ops@desk"
	accounts := inMemory(withAccounts)
	for _, c := range []cancelled{
		{"package", map[string]any{"name": "nginx,curl", "state": "latest"}, withPackages("apt")},
		{"apt", map[string]any{"name": "nginx,curl", "state": "latest"}, withPackages("apt")},
		{"dnf", map[string]any{"name": "nginx,curl", "state": "latest"}, withPackages("dnf")},
		{"apt_repository", map[string]any{"repo": "deb http://b.example.org/x bookworm main", "update_cache": false}, inMemory(func(h *systest.Host) {
			h.Mkdir("/etc/apt")
			h.Mkdir("/etc/apt/sources.list.d")
		})},
		{"yum_repository", map[string]any{"name": "own", "description": "Own", "baseurl": "http://h/a"}, inMemory(func(h *systest.Host) { h.Mkdir("/etc/yum.repos.d") })},
		{"group", map[string]any{"name": "rbdops", "gid": 1500}, accounts},
		{"group", map[string]any{"name": "adm", "state": "absent"}, accounts},
		{"user", map[string]any{"name": "rainbond", "groups": []any{"adm"}}, accounts},
		{"user", map[string]any{"name": "ops", "groups": []any{"adm"}, "shell": "/bin/bash", "home": "/home/elsewhere", "move_home": true}, accounts},
		{"user", map[string]any{"name": "ops", "state": "absent", "remove": true}, accounts},
		{"authorized_key", map[string]any{"user": "ops", "key": key}, accounts},
		{"cron", map[string]any{"name": "tidy", "cron_file": "rbd", "user": "root", "job": "true"}, accounts},
		{"hostname", map[string]any{"name": "compute01"}, accounts},
		{"sysctl", map[string]any{"name": "vm.swappiness", "value": "10", "reload": false}, accounts},
		{"systemd", map[string]any{"name": "app", "state": "started", "enabled": true}, accounts},
		{"systemd", map[string]any{"name": "old", "state": "stopped", "masked": true}, accounts},
		{"mount", map[string]any{"path": "/data", "src": "compute01:/data", "fstype": "glusterfs", "state": "mounted"}, accounts},
		{"mount", map[string]any{"path": "/grdata", "state": "absent"}, accounts},
		{"keepalived", vrrp(map[string]any{"unicast_peers": "10.77.0.13"}), func(t *testing.T) modulestest.Cancellable {
			host := newVRRPHost(t)
			host.WriteFile("/usr/sbin/keepalived", "", 0o755)
			host.State.Probes["keepalived -t -f /proc/self/fd/3"] = systest.Says(0, "")
			return modulestest.Cancellable{Host: host}
		}},
		{"gluster_peer", map[string]any{"hosts": []any{"compute01", "compute02"}}, cancellableGluster},
		{"gluster_volume", volumeArgs(), cancellableGluster},
		{"grctl", map[string]any{"domain": "10.77.0.100"}, cancellableDomain},
		{"mysql_exec", domainArgs(), cancellableRow},
		{"compose", dcCompose("remove_orphans", true), cancellableCompose},
		{"get_url", map[string]any{"url": "file:///srv/new", "dest": "/srv/file", "force": true, "mode": "0600"}, inMemory(withDownloads(t))},
		{"unarchive", map[string]any{"src": "/srv/archive.tar", "dest": "/srv/out", "remote_src": true}, inMemory(withDownloads(t))},
	} {
		t.Run(c.module, func(t *testing.T) {
			if calls := modulestest.Cancels(t, decoded(t, c.module, c.args), c.host); calls < 3 {
				t.Errorf("it made only %d calls", calls)
			}
		})
	}
}

// TestTempfileIsCancelled ends the task at each of its calls, as Cancels does, which
// cannot compare names that are chosen at random: there is what was told of, or nothing.
func TestTempfileIsCancelled(t *testing.T) {
	for _, state := range []string{"file", "directory"} {
		at := 1
		for cancelTempfile(t, state, at) {
			at++
		}
		if at < 4 {
			t.Errorf("%s: it made only %d calls", state, at-1)
		}
	}
}

// cancelTempfile ends the task at one call, and tells whether there was such a call.
func cancelTempfile(t *testing.T, state string, at int) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	host, calls := systest.NewHostInMemory(t), 0
	host.Mkdir("/made")
	host.State.Entered = func(string) {
		if calls++; calls == at {
			cancel()
		}
	}
	out := modules.Run(ctx, decoded(t, "tempfile", map[string]any{"path": "/made", "state": state}), host, modules.Emit{})
	host.State.Entered = nil
	made := systest.Tree(t, host, "/made")
	delete(made, ".")
	told, _ := out.Result["path"].(string)
	switch {
	case out.Status == modules.Changed && len(made) == 1 && string(made[strings.TrimPrefix(told, "/made/")].Type) == state:
	case out.Status == modules.Failed && len(made) == 0 && strings.Contains(out.Message, context.Canceled.Error()):
	default:
		t.Errorf("%s, cancelled at call %d: it ended %s (%s), told of %q, and made %v", state, at, out.Status, out.Message, told, made)
	}
	return calls >= at
}
