package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/probe"
)

// trio is an app that runs on all three compute nodes, as users ask for it.
const trio = "trio.a1b2.grapps.cn"

// TestMoreNodes adds a compute node to a cluster that is highly available, lets a
// gateway come back that was installed anew, adds an arbiter, lets the third node take
// the place of a gateway that is lost, and goes back. Users ask all the time.
func TestMoreNodes(t *testing.T) {
	reset(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := cluster.AddSpare(ctx); err != nil {
		t.Fatal(err)
	}
	// A brick is healed file by file, and TestHAMinimal has moved them all.
	on(t, "manage01", "sh", "-c", "rm -r /grdata/tenant/t0[2-9]")
	files := listing(t, "/grdata")
	publish(t, "gone", "gone.a1b2.grapps.cn", "compute01")
	publish(t, "trio", trio, "compute01", "compute02", "compute03")
	eventually(t, 10*time.Second, func() string {
		return on(t, "manage01", "sh", "-c", "cd "+dynamics+"/dynamic_servers; test -e gone.http.conf && test -e trio.http.conf || echo the rules are not there")
	})
	makeAvailable(t)
	users := probe.Start(t.Context(), probe.HTTP("http://"+cluster.VIP+"/", trio, 200), probe.Often)
	defer users.Stop()
	wantAnswering(t, users)

	var joined string
	t.Run("a compute node is added", func(t *testing.T) { joined = addedNode(t, users) })
	t.Run("it is no gateway that is not lost", func(t *testing.T) { notLost(t) })
	t.Run("a gateway comes back that was installed anew", func(t *testing.T) { returnedGateway(t, users, files) })
	t.Run("the volume gets an arbiter and keepalived speaks by unicast", func(t *testing.T) { arbiterAdded(t, users, files) })
	for _, node := range []string{"compute01", "compute03"} {
		dropMulticast(t, node)
	}
	t.Run("it takes the place of a lost gateway", func(t *testing.T) { replacedGateway(t, users, files) })
	t.Run("a drill", drilledThird)
	t.Run("the way back", func(t *testing.T) { wayBackOfMore(t, files, joined) })
}

const dynamics = "/opt/rainbond/etc/rbd-lb/dynamics"

// publish makes a rule, as when a user publishes an app; rbd-entrance pushes it.
func publish(t *testing.T, name, host string, nodes ...string) {
	t.Helper()
	var upstreams []string
	for _, node := range nodes {
		upstreams = append(upstreams, fmt.Sprintf("%q", addressOf(node)+":31080"))
	}
	rule := fmt.Sprintf(`{"host": %q, "upstreams": [%s]}`, host, strings.Join(upstreams, ", "))
	on(t, "manage01", "curl", "-sS", "--fail", "-X", "PUT", "-d", rule, "http://127.0.0.1:2379/v2/keys/rules/"+name)
}

// addressOf a node, of the spare one also before it is there.
func addressOf(node string) string {
	return neighbour(map[string]int{"manage01": 11, "compute01": 12, "compute02": 13, "compute03": 14}[node])
}

// inventoryOf is one with these compute nodes. The first two are the gateways.
func inventoryOf(t *testing.T, computes ...string) string {
	t.Helper()
	text, err := os.ReadFile(cluster.Inventory)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), "    compute:\n")
	if !found {
		t.Fatalf("%s has no group compute", cluster.Inventory)
	}
	head += "    compute:\n      hosts:\n"
	for _, node := range computes {
		head += "        " + node + ":\n          ansible_host: " + addressOf(node) + "\n"
	}
	path := filepath.Join(t.TempDir(), "cluster.yml")
	if err := os.WriteFile(path, []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// succeeds runs rbdplay on an inventory, and wants it to succeed.
func succeeds(t *testing.T, playbook, inventory string, more ...string) outcome {
	t.Helper()
	o := rbdplay(t, append([]string{"run", playbook, "-i", inventory}, more...)...)
	if o.code != 0 {
		t.Fatalf("%s exits with %d:\n%s", playbook, o.code, o.faults())
	}
	return o
}

// wantNothingToDo runs it again.
func wantNothingToDo(t *testing.T, playbook, inventory string, more ...string) {
	t.Helper()
	for host, totals := range succeeds(t, playbook, inventory, more...).hosts {
		if totals["changed"] != 0 {
			t.Errorf("%s: a second run of %s changed %d things", host, playbook, totals["changed"])
		}
	}
}

// wantUsers holds how many requests of the users were lost since the last time.
func wantUsers(t *testing.T, users *probe.Probe, most int) {
	t.Helper()
	wantAnswering(t, users)
	r := users.Result()
	t.Logf("%d requests, %d lost, longest gap %d ms", r.Requests, r.Lost, r.Gap.Milliseconds())
	if r.Lost > most {
		t.Errorf("users lost %d of %d requests, want %d at most", r.Lost, r.Requests, most)
	}
	users.Reset()
}

// addedNode makes a bare host a compute node, whose installer puts the management
// node's files back to what they were before ha-minimal, and lets it join.
func addedNode(t *testing.T, users *probe.Probe) (before string) {
	inventory := inventoryOf(t, "compute01", "compute02", "compute03")
	publish(t, "since", "since.a1b2.grapps.cn", "compute01") // the management node's rbd-lb never gets it
	eventually(t, 10*time.Second, func() string { return rulesFault(t, "since", "compute01", "compute02") })
	for _, node := range []string{"compute01", "compute02"} { // the app is gone; the management node's rbd-lb does not know
		on(t, node, "sh", "-c", "rm -f "+dynamics+"/*/gone.*conf")
	}
	users.Reset()
	succeeds(t, "rainbond-base", inventory, "-e", `{"base_systems": ["Debian 12"]}`)
	eventually(t, 20*time.Second, func() string { // the app empties its file before it writes it
		return on(t, "compute03", "sh", "-c", "test -s /grdata/tenant/demo/visit-compute01 || echo the new node does not see the data")
	})
	on(t, "manage01", "dc-compose", "up", "-d") // rbd-lb is back there, and gets the new rules
	publish(t, "late", "late.a1b2.grapps.cn", "compute01")
	eventually(t, 20*time.Second, func() string { return rulesFault(t, "late", "manage01") })
	before = nodeState(t, "compute03")
	succeeds(t, "ha-minimal", inventory)
	wantUsers(t, users, 0)

	for _, name := range []string{"since", "late", "trio"} {
		if fault := rulesFault(t, name, "compute01", "compute02"); fault != "" {
			t.Error(fault)
		}
	}
	on(t, "compute01", "sh", "-c", "! ls "+dynamics+"/*/gone.*conf")
	wantAppOnly(t, "compute03", "compute01", "compute02")
	power(t, cluster.Node("manage01").Cut)
	eventually(t, 20*time.Second, func() string {
		return on(t, "compute03", "sh", "-c", "curl -sS --fail -m 5 -o /dev/null http://127.0.0.1:31080/strict 2>&1 || true")
	})
	power(t, cluster.Node("manage01").Join)
	wantNothingToDo(t, "ha-minimal", inventory)
	return before
}

// rulesFault is a fault until the rule is with rbd-lb of the nodes.
func rulesFault(t *testing.T, name string, nodes ...string) string {
	t.Helper()
	for _, node := range nodes {
		if got := on(t, node, "sh", "-c", "ls "+dynamics+"/*/"+name+".*conf 2>/dev/null | wc -l"); strings.TrimSpace(got) != "2" {
			return node + " does not have the rule " + name
		}
	}
	return ""
}

// wantAppOnly wants a node that uses the volume and the gateways, and is none.
func wantAppOnly(t *testing.T, node string, gateways ...string) {
	t.Helper()
	if fstype := strings.TrimSpace(on(t, node, "findmnt", "--noheadings", "--output", "FSTYPE", "/grdata")); fstype != "fuse.glusterfs" {
		t.Errorf("%s: /grdata is %q", node, fstype)
	}
	want := "DNS_SERVERS=" + addressOf(gateways[0]) + "," + addressOf(gateways[1]) + "\n"
	if got := on(t, node, "grep", "^DNS_SERVERS=", "/opt/rainbond/envs/kubelet.sh"); got != want {
		t.Errorf("%s: %q, want %q", node, got, want)
	}
	if got := on(t, node, "getent", "ahostsv4", "goodrain.me"); !strings.HasPrefix(got, cluster.VIP+" ") {
		t.Errorf("%s: goodrain.me is %q", node, got)
	}
	on(t, node, "sh", "-c", "! systemctl is-active keepalived glusterd && ! ls /opt/rainbond/compose/lb.yaml /data/glusterfs 2>/dev/null")
}

// notLost names the third node a gateway while both others are well.
func notLost(t *testing.T) {
	inventory := inventoryOf(t, "compute02", "compute03")
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventory, "-t", "preflight"), 2,
		"the volume data has a brick on compute01, which is no gateway of the inventory (compute02, compute03)",
		"run ha-minimal with -e lost=compute01, and compute03 gets its brick")
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventory, "-t", "preflight", "-e", "lost=compute01"), 2,
		"lost is compute01, but it still answers: switch it off for good first")
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventoryOf(t, "compute03", "compute02", "compute01"), "-t", "preflight"), 2,
		"compute01 was made a gateway by an earlier run, and is none in this inventory")
}

// returnedGateway loses the holder of the VIP with its disk, and takes the machine back
// under its name and address, installed anew, by a run that is cut off once. The other
// gateway is named first from now on: otherwise the VIP would go back, which costs the
// requests that are under way.
func returnedGateway(t *testing.T, users *probe.Probe, files []string) {
	lostGateway(t, users, "compute01", "compute02")
	power(t, cluster.Node("compute01").InstallAnew)
	inventory := inventoryOf(t, "compute02", "compute01", "compute03")
	succeeds(t, "rainbond-base", inventory, "-e", `{"base_systems": ["Debian 12"]}`)
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventory, "-t", "preflight"), 2,
		"compute01 should have a brick of the volume data, but /data/glusterfs is not one", "run ha-minimal with -e lost=compute01")
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventory, "-t", "preflight", "-e", "lost=compute02"), 2,
		"lost is compute02, but compute01 has no volume data with a brick on it", "run with -e lost=compute01")
	on(t, "compute01", "sh", "-c", "mkdir -p /data/glusterfs && touch /data/glusterfs/precious")
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventory, "-t", "preflight", "-e", "lost=compute01"), 2,
		"lost is compute01, but /data/glusterfs there holds /data/glusterfs/precious")
	on(t, "compute01", "rm", "-r", "/data/glusterfs")

	stop := writing(t, "compute02")
	r := begin(t, "run", "ha-minimal", "-i", inventory, "-e", "lost=compute01")
	if !r.await(`"type":"task_start"`, `"task":"Take its brick out of the volume"`) {
		t.Fatalf("the run ended before the brick was made anew:\n%s", r.end(t).faults())
	}
	if err := r.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.end(t)
	wantNoAgents(t)
	succeeds(t, "ha-minimal", inventory, "-e", "lost=compute01")
	stop()
	wantUsers(t, users, 0)
	wantGateways(t, files, "compute02", "compute01")
	wantNothingToDo(t, "ha-minimal", inventory)
}

// withArbiter are the variables of the cluster from arbiterAdded on.
var withArbiter = []string{"-e", `{"gluster_arbiter": true, "vrrp_unicast": true}`}

// arbiterAdded makes a volume of two bricks one with an arbiter while it is in use, and
// lets the gateways do without multicast.
func arbiterAdded(t *testing.T, users *probe.Probe, files []string) {
	inventory := inventoryOf(t, "compute02", "compute01", "compute03")
	// Until both keepalived are reloaded, neither hears the other, and both have the VIP.
	succeeds(t, "ha-minimal", inventory, append(withArbiter, "-t", "vip")...)
	wantUsers(t, users, 200)
	stop := writing(t, "compute02")
	succeeds(t, "ha-minimal", inventory, withArbiter...)
	stop()
	wantUsers(t, users, 0)
	wantGateways(t, files, "compute02", "compute01")
	wantArbiter(t, "compute01")
	wantNothingToDo(t, "ha-minimal", inventory, withArbiter...)
	wantFailure(t, rbdplay(t, "run", "ha-minimal", "-i", inventory, "-t", "preflight"), 2,
		"the volume data has an arbiter on manage01; set gluster_arbiter to true")
}

// wantArbiter wants the management node to have every name that a gateway's brick has,
// and no content.
func wantArbiter(t *testing.T, gateway string) {
	t.Helper()
	if info := on(t, gateway, "gluster", "--mode=script", "volume", "info", "data"); !strings.Contains(info, "1 x (2 + 1) = 3") ||
		!strings.Contains(info, ": manage01:/data/glusterfs (arbiter)") {
		t.Errorf("manage01 is no arbiter:\n%s", info)
	}
	names := func(node string) string {
		return on(t, node, "sh", "-c", `cd /data/glusterfs && find . -path ./.glusterfs -prune -o ! -path './services/worker*' ! -path './downloads/log*' ! -path './tenant/demo*' -printf '%y %p\n' | sort`)
	}
	if diff := cmp.Diff(names(gateway), names("manage01")); diff != "" {
		t.Errorf("the arbiter's names (- %s, + manage01):\n%s", gateway, diff)
	}
	if content := on(t, "manage01", "find", "/data/glusterfs", "-path", "/data/glusterfs/.glusterfs", "-prune", "-o", "-type", "f", "-size", "+0", "-print"); content != "" {
		t.Errorf("the arbiter has content:\n%s", content)
	}
}

// replacedGateway loses the holder of the VIP for good. The new one shares the VIP
// without multicast, and the arbiter stays.
func replacedGateway(t *testing.T, users *probe.Probe, files []string) {
	lostGateway(t, users, "compute02", "compute01")
	inventory := inventoryOf(t, "compute01", "compute03")
	stop := writing(t, "compute01")
	succeeds(t, "ha-minimal", inventory, append(withArbiter, "-e", "lost=compute02")...)
	stop()
	wantUsers(t, users, 0)
	wantGateways(t, files, "compute01", "compute03")
	wantArbiter(t, "compute03")
	for _, node := range []string{"manage01", "compute01", "compute03"} {
		on(t, node, "sh", "-c", "! grep -n compute02 /etc/hosts /etc/fstab")
	}
	wantNothingToDo(t, "ha-minimal", inventory, withArbiter...)
	on(t, "compute01", "systemctl", "stop", "keepalived")
	eventually(t, 20*time.Second, func() string { return vipFault(t, "compute03", "compute01") })
	on(t, "compute01", "systemctl", "start", "keepalived")
	eventually(t, 20*time.Second, func() string { return vipFault(t, "compute01", "compute03") })
}

// vipFault is a fault until the VIP is on this node, and not on the other.
func vipFault(t *testing.T, node, other string) string {
	t.Helper()
	if !hasVIP(t, node) {
		return node + " does not have the VIP"
	}
	if hasVIP(t, other) {
		return other + " has the VIP as well"
	}
	return ""
}

func hasVIP(t *testing.T, node string) bool {
	t.Helper()
	return strings.Contains(on(t, node, "ip", "-4", "-o", "address", "show"), " "+cluster.VIP+"/")
}

// lostGateway cuts a gateway's power, and waits until the other one has the VIP.
func lostGateway(t *testing.T, users *probe.Probe, node, other string) {
	t.Helper()
	power(t, cluster.Node(node).PowerOff)
	eventually(t, 20*time.Second, func() string {
		if !hasVIP(t, other) {
			return other + " does not have the VIP"
		}
		return ""
	})
	// Until the storage has given the lost node up, apps wait for it.
	on(t, other, "sh", "-c", "echo "+node+" >/grdata/tenant/lost-"+node)
	wantAnswering(t, users)
	users.Reset()
}

// writing writes one file after another on a node until the result is called, which
// wants every one of them on the volume.
func writing(t *testing.T, node string) (stop func()) {
	t.Helper()
	on(t, node, "systemd-run", "--quiet", "--unit=writing", "sh", "-c",
		`mkdir -p /grdata/tenant/during; n=0; while [ ! -e /run/enough ]; do n=$((n + 1)); echo $n >/grdata/tenant/during/$n || echo $n >>/run/failed; sleep 0.5; done; echo $n >/run/written`)
	return func() {
		t.Helper()
		written := on(t, node, "sh", "-ec", `touch /run/enough; while [ ! -e /run/written ]; do sleep 0.1; done
test ! -e /run/failed
for n in $(seq "$(cat /run/written)"); do test "$(cat /grdata/tenant/during/$n)" = $n; done
cat /run/written; rm /run/enough /run/written`)
		t.Logf("%s wrote %s files", node, strings.TrimSpace(written))
	}
}

// wantGateways wants a healed volume on both, with the same content, every file of
// before, and nobody in the pool but who has a brick.
func wantGateways(t *testing.T, files []string, gateways ...string) {
	t.Helper()
	info := on(t, gateways[0], "gluster", "--mode=script", "volume", "info", "data")
	for _, node := range gateways {
		if !strings.Contains(info, ": "+node+":/data/glusterfs") {
			t.Errorf("%s has no brick:\n%s", node, info)
		}
	}
	if pool := on(t, gateways[0], "gluster", "--mode=script", "pool", "list"); strings.Contains(pool, "Disconnected") || strings.Count(pool, "Connected") != strings.Count(info, ":/data/glusterfs") {
		t.Errorf("the pool is\n%s", pool)
	}
	wantSince(t, files)
	// The writers go on, so what they write to is compared by nobody.
	script := `cd /data/glusterfs && skip='-path ./.glusterfs -o -path ./services/worker -o -path ./downloads/log -o -path ./tenant/demo'
{ find . \( $skip \) -prune -o -printf '%y %m %U %G %n %l %p\0'
find . \( $skip \) -prune -o -type f -print0 | xargs -0 sha256sum -z --; } | sort -z | sha256sum`
	if diff := cmp.Diff(on(t, gateways[0], "sh", "-c", script), on(t, gateways[1], "sh", "-c", script)); diff != "" {
		t.Errorf("the bricks differ (- %s, + %s):\n%s", gateways[0], gateways[1], diff)
	}
}

// wantSince compares with the files of before, but for what this test wrote.
func wantSince(t *testing.T, files []string) {
	t.Helper()
	now := slices.DeleteFunc(listing(t, "/grdata"), func(line string) bool {
		return strings.Contains(line, "./tenant/during") || strings.Contains(line, "tenant/lost-") ||
			strings.HasPrefix(line, "tenant/during") || strings.HasPrefix(line, "tenant/lost-")
	})
	if diff := cmp.Diff(files, now); diff != "" {
		t.Errorf("/grdata (- before, + now):\n%s", diff)
	}
}

// drilledThird stops rbd-lb on the gateway that was no node at first.
func drilledThird(t *testing.T) {
	succeeds(t, "ha-minimal-drill", inventoryOf(t, "compute01", "compute03"),
		append(withArbiter, "-e", `{"drill_what": "rbd-lb", "drill_host": "compute03", "drill_seconds": 2}`)...)
}

// wayBackOfMore takes the cluster back. The data comes with it, the node that joined is
// as the installer left it, and the management node has no brick and no pool.
func wayBackOfMore(t *testing.T, files []string, joined string) {
	inventory := inventoryOf(t, "compute01", "compute03")
	wantFailure(t, rbdplay(t, "run", "ha-minimal-rollback", "-i", inventory), 2,
		"the volume data has an arbiter on manage01; set gluster_arbiter to true", "Nothing was changed now")
	succeeds(t, "ha-minimal-rollback", inventory, withArbiter...)
	wantSince(t, files)
	on(t, "manage01", "sh", "-ec", "test -e /grdata/tenant/during/1 && test -e /grdata/tenant/lost-compute02 && ! mountpoint -q /grdata")
	if diff := cmp.Diff(joined, nodeState(t, "compute03")); diff != "" {
		t.Errorf("compute03 (- when it joined, + now):\n%s", diff)
	}
	on(t, "manage01", "sh", "-ec", "test ! -e /data/glusterfs; ! systemctl is-active glusterd; ! systemctl is-enabled glusterd; test -z \"$(ls -A /var/lib/glusterd/peers /var/lib/glusterd/vols | grep -v :)\"")
	wantNothingToDo(t, "ha-minimal-rollback", inventory, withArbiter...)
}
