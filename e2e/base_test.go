package e2e

import (
	"context"
	"strings"
	"testing"
	"time"
)

// baseArgs are a run of rainbond-base on the lab, whose hosts run Debian 12.
func baseArgs() []string {
	return []string{"run", "rainbond-base", "-i", cluster.Inventory, "-e", `{"base_systems": ["Debian 12"]}`}
}

// TestBaseInstall takes bare hosts to a platform that runs an app, by a stand-in for
// Rainbond's installer that fails with exit code 0, asks for the network card, and
// deletes the data when its terminal goes away.
func TestBaseInstall(t *testing.T) {
	reset(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := cluster.Bare(ctx); err != nil {
		t.Fatal(err)
	}
	t.Run("a host that is not fit is told of", unfitHost)
	t.Run("an installer that fails exits with 0", failedInstaller)
	t.Run("the link is lost", lostInstaller)
	t.Run("the next run follows it to its end", finishedInstaller)
	t.Run("the second run changes nothing", installedAgain)
	t.Run("a node that is off is not installed anew", nodeOff)
	t.Run("the stand-in does delete the data", installerDeletes)
}

// installs are the installers that were started, in order.
func installs(t *testing.T) string {
	t.Helper()
	return on(t, "manage01", "sh", "-c", "cut -d ' ' -f 2- /var/lib/rbdplay-lab/installs 2>/dev/null || true")
}

func unfitHost(t *testing.T) {
	on(t, "compute02", "sh", "-c", "printf '#!/bin/sh\n' >/usr/local/bin/docker && chmod 755 /usr/local/bin/docker")
	defer on(t, "compute02", "rm", "/usr/local/bin/docker")
	o := rbdplay(t, "run", "rainbond-base", "-i", cluster.Inventory, "-e", "base_memory_mb=99999999")
	wantFailure(
		t, o, 2, "manage01 runs Debian 12; the installer knows CentOS 7", "MB of memory, Rainbond wants 99999999",
		"compute02 has /usr/local/bin/docker already",
	)
	if got := installs(t); got != "" {
		t.Errorf("it installed: %s", got)
	}
}

func failedInstaller(t *testing.T) {
	on(t, "manage01", "sh", "-c", "echo db >/root/rainbond-install/lab-fault")
	defer on(t, "manage01", "rm", "/root/rainbond-install/lab-fault")
	wantFailure(t, rbdplay(t, baseArgs()...), 2, "the installer did not say that manage01 was installed", "state db failed", "/var/log/rainbond-base/manage01.log")
}

// lostInstaller takes the management node off the network while the installer runs.
// It has a second network card, which a careless answer would choose.
func lostInstaller(t *testing.T) {
	on(t, "manage01", "sh", "-c", "ip link add aaa0 type bridge && ip address add 10.99.0.5/24 dev aaa0 && ip link set aaa0 up")
	r := begin(t, baseArgs()...)
	if !r.await(`"type":"task_start"`, `"task":"Give it time to say more"`) {
		t.Fatalf("the run ended before the installer was at work:\n%s", r.end(t).faults())
	}
	cut := cluster.Node("manage01")
	if err := cut.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := r.end(t)
	if err := cut.Join(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o.code != 4 {
		t.Errorf("the run exits with %d, want 4:\n%s", o.code, o.faults())
	}
	wantNoAgents(t)
	on(t, "manage01", "test", "-e", "/grdata/lab-canary")
}

func finishedInstaller(t *testing.T) {
	if o := rbdplay(t, baseArgs()...); o.code != 0 {
		t.Fatalf("exits with %d:\n%s", o.code, o.faults())
	}
	want := "setup.sh install\nsetup.sh install\ncompute.sh install compute01\ncompute.sh install compute02\n"
	if got := installs(t); got != want {
		t.Errorf("the installers that were started:\n%swant:\n%s", got, want)
	}
	nodes := on(t, "manage01", "grctl", "node", "list")
	for _, n := range cluster.Nodes {
		if !strings.Contains(nodes, n.IP+" ") {
			t.Errorf("%s (%s) is not among the nodes:\n%s", n.Name, n.IP, nodes)
		}
	}
	eventually(t, time.Minute, func() string { return appFault(t, 2) })
}

func installedAgain(t *testing.T) {
	before := installs(t)
	o := rbdplay(t, baseArgs()...)
	if o.code != 0 {
		t.Errorf("exits with %d:\n%s", o.code, o.faults())
	}
	for host, totals := range o.hosts {
		if totals["changed"] != 0 {
			t.Errorf("%s: %d changed", host, totals["changed"])
		}
	}
	if after := installs(t); after != before {
		t.Errorf("it installed again:\n%s", after)
	}
}

func nodeOff(t *testing.T) {
	on(t, "compute02", "systemctl", "stop", "kubelet")
	defer on(t, "compute02", "systemctl", "start", "kubelet")
	before := installs(t)
	wantFailure(t, rbdplay(t, baseArgs()...), 2, "compute02 is a node of the platform, but is not alive", "see why and start it again")
	if after := installs(t); after != before {
		t.Errorf("it installed again:\n%s", after)
	}
}

// installerDeletes holds that the trap is there, which the unit keeps away from.
func installerDeletes(t *testing.T) {
	on(t, "manage01", "test", "-e", "/grdata/lab-canary")
	on(t, "manage01", "systemd-run", "--quiet", "--unit=careless", "sh", "-c", "exec /root/rainbond-install/setup.sh install >/run/said 2>&1")
	eventually(t, 30*time.Second, func() string {
		return on(t, "manage01", "sh", "-c", "grep -q 'Start install' /run/said || echo it has not begun")
	})
	on(t, "manage01", "systemctl", "kill", "--signal=HUP", "--kill-who=main", "careless")
	eventually(t, 30*time.Second, func() string {
		return on(t, "manage01", "sh", "-c", "! test -e /grdata || echo /grdata is there")
	})
}
