package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/probe"
	"github.com/rbdplay/rbdplay/e2e/lab"
)

// TestManagementNodes puts two management nodes behind an address of their own, lets
// them go, one and both, while users ask an app, and goes back.
func TestManagementNodes(t *testing.T) {
	reset(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := cluster.AddManager(ctx); err != nil {
		t.Fatal(err)
	}
	on(t, "manage01", "sh", "-c", "rm -r /grdata/tenant/t0[2-9]") // TestHAMinimal moves them all
	before, second := installedState(t), secondState(t)
	inventory := inventoryOfManagers(t, "manage01", "manage02")

	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"what they lack is told at once", func(t *testing.T) { refusedManagers(t, inventory) }},
		{"they come to stand behind one address", func(t *testing.T) { standingManagers(t, before, inventory) }},
		{"one is lost, and both", func(t *testing.T) { lostManagers(t, inventory) }},
		{"a drill", func(t *testing.T) { drilledManagers(t, inventory) }},
		{"the way back", func(t *testing.T) { wayBackOfManagers(t, before, second, inventory) }},
	} {
		if !t.Run(step.name, step.do) {
			return // the others would fail for the same reason
		}
	}
}

// wayBackOfManagers takes the cluster back; each node is as it was.
func wayBackOfManagers(t *testing.T, before state, second, inventory string) {
	succeeds(t, "ha-minimal-rollback", inventory)
	before.old.wantServing(t, "compute01", "compute02")
	if diff := cmp.Diff(second, secondState(t)); diff != "" {
		t.Errorf("manage02 (- before, + now):\n%s", diff)
	}
	for node, want := range before.nodes {
		if diff := cmp.Diff(want, nodeState(t, node)); diff != "" {
			t.Errorf("%s (- before, + now):\n%s", node, diff)
		}
	}
	wantNothingToDo(t, "ha-minimal-rollback", inventory)
}

// secondState is what runs on manage02, and where its data is.
func secondState(t *testing.T) string {
	t.Helper()
	return on(t, "manage02", "sh", "-ec", "docker ps --format '{{.Names}}' | sort; findmnt --noheadings --output SOURCE,FSTYPE /grdata; ip -4 -o address show dev eth0 | wc -l")
}

// manageVIP is an address that is free on the lab's segment.
func manageVIP() string { return neighbour(102) }

// inventoryOfManagers is one with these management nodes.
func inventoryOfManagers(t *testing.T, managers ...string) string {
	t.Helper()
	head, rest, found := strings.Cut(read(t, cluster.Inventory), "    manage:\n")
	_, computes, alsoFound := strings.Cut(rest, "    compute:\n")
	if !found || !alsoFound {
		t.Fatalf("%s has no group manage before compute", cluster.Inventory)
	}
	head += "    manage:\n      hosts:\n"
	for _, node := range managers {
		head += "        " + node + ":\n          ansible_host: " + cluster.Node(node).IP + "\n"
	}
	text := head + "    compute:\n" + computes
	return write(t, "cluster.yml", strings.Replace(text, "  vars:\n", "  vars:\n    app_host: "+lab.AppHost+"\n    manage_vip: "+manageVIP()+"\n", 1))
}

// refusedManagers looks at two management nodes that cannot stand in for each other.
func refusedManagers(t *testing.T, inventory string) {
	advertise(t, 52)
	rule := dynamics + "/dynamic_servers/alone.http.conf"
	on(t, "manage02", "touch", rule)
	undo(t, "manage02", "rm", rule)
	on(t, "manage02", "mv", "/opt/rainbond/compose/ui.yaml", "/opt/rainbond/compose/ui.kept")
	undo(t, "manage02", "mv", "/opt/rainbond/compose/ui.kept", "/opt/rainbond/compose/ui.yaml")
	o := rbdplay(t, "run", "ha-minimal", "-i", inventory, "-t", "preflight", "-e", "manage_vip="+neighbour(1))
	wantFailure(t, o, 2,
		"a machine outside this cluster answers at manage_vip "+neighbour(1),
		"VRRP id 52 is in use on the segment of manage01, by "+neighbour(1)+"; set manage_vrrp_id to another one",
		"missing on manage02: /opt/rainbond/compose/ui.yaml",
		"manage02 has no rbd-app-ui in /opt/rainbond/compose",
		"manage02 has rules of rbd-lb that manage01 has not, and they would be lost: ./dynamic_servers/alone.http.conf")
	if told := o.faults(); strings.Contains(told, "VRRP id 51") || strings.Contains(told, "answers at vip") {
		t.Errorf("it tells of the gateways' address, which is free: %s", told)
	}
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventoryOfManagers(t, "manage02", "manage01"), "-t", "preflight"), 2,
		"Name the management node that has rbd-db first in the group manage")
}

// standingManagers makes the cluster available, as it was predicted.
func standingManagers(t *testing.T, before state, inventory string) {
	untouched := snapshots(t)
	check := succeeds(t, "ha-minimal", inventory, "--check", "--diff")
	wantUntouched(t, untouched, snapshots(t))
	run := succeeds(t, "ha-minimal", inventory)
	wantPredicted(t, check, run,
		"Platform names on the VIP: Invariant: manage_vip is on exactly one management node",
		"VIP of the management nodes: The VIP answers",
		"Verify: So does the API of the region, by its name",
		"Verify: The registry answers at manage_vip",
		"Verify: manage_vip is on exactly one management node",
	)
	wantFiles(t, before.old.files)
	wantNothingToDo(t, "ha-minimal", inventory)

	for _, n := range cluster.Nodes {
		for name, address := range map[string]string{"kubeapi.goodrain.me": manageVIP(), "region.goodrain.me": manageVIP(), "console.goodrain.me": manageVIP(), "goodrain.me": cluster.VIP} {
			if got := on(t, n.Name, "getent", "ahostsv4", name); !strings.HasPrefix(got, address+" ") {
				t.Errorf("%s: %s is %q, want %s", n.Name, name, got, address)
			}
		}
	}
	eventually(t, 10*time.Second, func() string { return holders(t, manageVIP(), "manage01") })
	on(t, "manage02", "sh", "-ec", "test -e /opt/rainbond/compose/lb.yaml.bak; ! docker inspect rbd-lb; ! docker inspect rbd-db")
	// Each rbd-entrance pushes to both gateways.
	for _, alone := range []string{"manage01", "manage02"} {
		other := map[string]string{"manage01": "manage02", "manage02": "manage01"}[alone]
		on(t, other, "docker", "stop", "rbd-entrance")
		publish(t, "by-"+alone, "by-"+alone+".a1b2.grapps.cn", "compute01")
		eventually(t, 20*time.Second, func() string { return rulesFault(t, "by-"+alone, "compute01", "compute02") })
		on(t, other, "docker", "start", "rbd-entrance")
	}
}

// lostManagers cuts the power of the node that has manage_vip, then of both, and stops
// its services, where no multicast is let through.
func lostManagers(t *testing.T, inventory string) {
	app := probe.Start(t.Context(), probe.HTTP("http://"+cluster.VIP+"/", lab.AppHost, http.StatusOK), probe.Often)
	defer app.Stop()
	registry := probe.Start(t.Context(), probe.HTTP("http://"+manageVIP()+":5000/v2/", "", http.StatusOK), probe.Often)
	defer registry.Stop()
	wantAnswering(t, registry)
	wantAnswering(t, app)
	app.Reset()

	registry.Reset()
	power(t, cluster.Node("manage01").PowerOff)
	eventually(t, 20*time.Second, func() string { return holders(t, manageVIP(), "manage02") })
	wantMoved(t, registry)
	// What the nodes pull images by.
	on(t, "compute01", "curl", "-sSk", "--fail", "-m", "5", "https://goodrain.me/v2/")
	on(t, "compute02", "curl", "-sS", "--fail", "-m", "5", "http://region.goodrain.me:8888/v2/show")
	on(t, "compute01", "curl", "-sS", "--fail", "-m", "5", "http://kubeapi.goodrain.me:6443/healthz")
	wantHeld(t, app)
	power(t, cluster.Node("manage01").PowerOn)
	eventually(t, time.Minute, func() string { return holders(t, manageVIP(), "manage01") })

	for _, node := range []string{"manage01", "manage02"} {
		power(t, cluster.Node(node).PowerOff)
	}
	time.Sleep(3 * time.Second) // of users' requests
	wantHeld(t, app)
	for _, node := range []string{"manage01", "manage02"} {
		power(t, cluster.Node(node).PowerOn)
	}
	eventually(t, time.Minute, func() string { return holders(t, manageVIP(), "manage01") })
	wantAnswering(t, registry)
	wantHeld(t, app)

	// Without multicast, from here on.
	for _, node := range []string{"manage01", "manage02"} {
		dropMulticast(t, node)
	}
	succeeds(t, "ha-minimal", inventory, "-e", "vrrp_unicast=true")
	eventually(t, 10*time.Second, func() string { return holders(t, manageVIP(), "manage01") })
	on(t, "manage01", "docker", "stop", "rbd-api")
	eventually(t, 20*time.Second, func() string { return holders(t, manageVIP(), "manage02") })
	on(t, "manage02", "docker", "stop", "rbd-api") // where it is well nowhere, the first has the address
	eventually(t, 20*time.Second, func() string { return holders(t, manageVIP(), "manage01") })
	wantAnswering(t, registry)
	for _, node := range []string{"manage01", "manage02"} {
		on(t, node, "docker", "start", "rbd-api")
	}
	wantHeld(t, app)
}

// wantHeld wants users to have been answered, but for what a busy machine costs.
func wantHeld(t *testing.T, app *probe.Probe) {
	t.Helper()
	wantGap(t, "the app", app, 5*time.Second)
	app.Reset()
}

// wantMoved wants the registry back, at another node.
func wantMoved(t *testing.T, registry *probe.Probe) {
	t.Helper()
	wantGap(t, "the registry at manage_vip", registry, 15*time.Second)
}

// wantGap wants an answer now, and that nobody waited for one longer than most.
func wantGap(t *testing.T, what string, asked *probe.Probe, most time.Duration) {
	t.Helper()
	wantAnswering(t, asked)
	r := asked.Result()
	t.Logf("%s: %d requests, %d lost, longest gap %d ms", what, r.Requests, r.Lost, r.Gap.Milliseconds())
	if r.Gap > most {
		t.Errorf("%s was away for %s", what, r.Gap)
	}
}

// drilledManagers wants every step of level 2 to hold: the services of one management
// node, whose place the other takes, and of both.
func drilledManagers(t *testing.T, inventory string) {
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, binary(t), "drill", "ha-minimal", "-i", inventory, "-e", "vrrp_unicast=true", "--yes", "-o", "json")
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var report struct {
		Steps []struct {
			What, Host string
			Held       bool
			Management *struct{ Requests int }
		}
		Verdicts []struct{ Verdict string }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, s := range report.Steps {
		told = append(told, s.What+" on "+s.Host)
		all := s.Host == "manage01,manage02"
		if !s.Held || all != (s.Management == nil) || !all && s.Management.Requests == 0 {
			t.Errorf("%s on %s: held %v, the registry was asked: %+v", s.What, s.Host, s.Held, s.Management)
		}
	}
	for _, v := range report.Verdicts {
		told = append(told, v.Verdict)
	}
	want := []string{
		"keepalived on compute01", "rbd-lb on compute01", "brick on compute01",
		"management on manage01", "management on manage01,manage02", "holds", "holds", "not reached",
	}
	if !slices.Equal(want, told) {
		t.Errorf("- want, + told:\n%s", cmp.Diff(want, told))
	}
}
