package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
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

// TestDrillAndWayBack drills a cluster, and takes it back to what it was. It stands
// behind TestHAMinimal, whose cluster it goes on with.
func TestDrillAndWayBack(t *testing.T) {
	before := available(t)
	t.Run("a drill is restored when it is interrupted or lost", interruptedDrills)
	t.Run("level 1 is proved", provedLevel)
	t.Run("the VIP moves, and needs no multicast", movedVIP)
	t.Run("the way back", func(t *testing.T) { wayBack(t, before) })
}

// state is what the way back must bring back.
type state struct {
	old   oldPlace
	nodes map[string]string // names, mounts, services and settings, by node
}

// leftAvailable is the state of the nodes before ha-minimal, when the last test left
// them highly available. A reset ends that.
var leftAvailable *state

// leave lets the next test go on with the cluster that this one has made available.
func leave(t *testing.T, before state) {
	t.Helper()
	if !t.Failed() {
		leftAvailable = &before
	}
}

// available gives a test a highly available cluster, and the state of the nodes before
// that: the cluster that was left, mended by one more run, or one made anew.
func available(t *testing.T) state {
	t.Helper()
	if leftAvailable != nil {
		before := *leftAvailable
		leftAvailable = nil
		makeAvailable(t)
		// The VIP goes back to the node that had no power, which a drill waits for no longer.
		eventually(t, time.Minute, func() string { return holders(t, cluster.VIP, "compute01") })
		eventually(t, time.Minute, func() string {
			return on(t, "compute01", "sh", "-c", "gluster volume heal data info | grep -E 'entries: [^0]|Transport' || true")
		})
		return before
	}
	reset(t)
	before := installedState(t)
	makeAvailable(t)
	return before
}

func installedState(t *testing.T) state {
	t.Helper()
	s := state{
		old: oldPlace{
			files: listing(t, "/grdata"), exports: on(t, "manage01", "cat", "/etc/exports"), containers: containers(t),
		},
		nodes: map[string]string{},
	}
	for _, n := range cluster.Nodes {
		s.nodes[n.Name] = nodeState(t, n.Name)
	}
	return s
}

// nodeState shows a node's files but for the order of names and the spacing of
// lines, which have no meaning.
func nodeState(t *testing.T, node string) string {
	t.Helper()
	return on(t, node, "sh", "-c", `
awk '!/^#/ {for (i = 2; i <= NF; i++) print $i, $1}' /etc/hosts | sort
awk '!/^#/ {$1 = $1; print}' /etc/fstab
cat /opt/rainbond/envs/kubelet.sh 2>/dev/null
cd /opt/rainbond/compose && for f in $(ls -a | grep yaml); do echo "== $f"; cat "$f"; done
ls -d /opt/rainbond/etc/rbd-lb/dynamics /etc/keepalived/* /grdata* /var/lib/ha-minimal/before 2>/dev/null | grep -v sample
systemctl is-active keepalived glusterd nfs-kernel-server
systemctl is-enabled keepalived glusterd 2>/dev/null | grep -c '^enabled'
docker exec rbd-db mysql -Ne 'select region_name, tcpdomain from console.region_info' 2>/dev/null
cat /opt/rainbond/etc/kubernetes/kubecfg/public-dns 2>/dev/null
true`)
}

// wayBack cuts the rollback off in the middle of the data's move and after its
// switch, finishes it, and wants the state before, with what was written since.
func wayBack(t *testing.T, before state) {
	on(t, "compute02", "sh", "-c", "echo since >/grdata/tenant/written-since")
	args := []string{"run", "ha-minimal-rollback", "-i", cluster.Inventory}
	for _, task := range []string{"Copy the volume back", "Put the old tree in its place", "Part the storage nodes"} {
		r := begin(t, args...)
		if !r.await(`"type":"task_start"`, `"task":"`+task+`"`) {
			t.Fatalf("the run ended before %q:\n%s", task, r.end(t).faults())
		}
		if err := r.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		r.end(t)
		wantNoAgents(t)
	}
	if o := rbdplay(t, args...); o.code != 0 {
		t.Fatalf("the rollback exits with %d:\n%s", o.code, o.faults())
	}
	if got := on(t, "manage01", "cat", "/grdata/tenant/written-since"); got != "since\n" {
		t.Errorf("what was written on the volume came back as %q", got)
	}
	on(t, "manage01", "rm", "/grdata/tenant/written-since")
	before.old.wantServing(t, "compute01", "compute02")
	for node, want := range before.nodes {
		if diff := cmp.Diff(want, nodeState(t, node)); diff != "" {
			t.Errorf("%s (- before, + now):\n%s", node, diff)
		}
	}
	for host, totals := range rbdplay(t, args...).hosts {
		if totals["changed"] != 0 || totals["failed"] != 0 {
			t.Errorf("%s: a second rollback changed %d things, and %d failed", host, totals["changed"], totals["failed"])
		}
	}
}

// movedVIP runs ha-minimal with another VIP and unicast, and lets the holder go.
func movedVIP(t *testing.T) {
	for _, node := range []string{"compute01", "compute02"} {
		dropMulticast(t, node)
	}
	moved := neighbour(101)
	args := haMinimal("-e", `{"vip": "`+moved+`", "vrrp_unicast": true}`)
	if o := rbdplay(t, args...); o.code != 0 {
		t.Fatalf("exits with %d:\n%s", o.code, o.faults())
	}
	for host, totals := range rbdplay(t, args...).hosts {
		if totals["changed"] != 0 {
			t.Errorf("%s: the second run changed %d things", host, totals["changed"])
		}
	}
	eventually(t, 10*time.Second, func() string { return holders(t, moved, "compute01") })
	eventually(t, 10*time.Second, func() string { return holders(t, cluster.VIP) })
	p := probe.Start(t.Context(), probe.HTTP("http://"+moved+"/", lab.AppHost, 200), probe.Often)
	defer p.Stop()
	wantAnswering(t, p)
	on(t, "compute01", "systemctl", "stop", "keepalived")
	eventually(t, 20*time.Second, func() string { return holders(t, moved, "compute02") })
	wantAnswering(t, p)
	on(t, "compute01", "systemctl", "start", "keepalived")
	eventually(t, 20*time.Second, func() string { return holders(t, moved, "compute01") })
}

func drillArgs(more ...string) []string {
	return append([]string{"drill", "ha-minimal", "-i", cluster.Inventory, "-e", "app_host=" + lab.AppHost, "--level", "1", "--yes", "-o", "json"}, more...)
}

// provedLevel wants every step of level 1 to hold, and the report to say so.
func provedLevel(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, binary(t), drillArgs()...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var report struct {
		Steps []struct {
			What    string
			Held    bool
			Healed  bool
			URLs    []struct{ Requests int }
			Storage map[string]struct{ Uses, Failed int }
		}
		Verdicts []struct {
			Level   int
			Verdict string
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, s := range report.Steps {
		told = append(told, s.What)
		if !s.Held || !s.Healed || s.URLs[0].Requests == 0 || len(s.Storage) != 2 {
			t.Errorf("%+v", s)
		}
	}
	for _, v := range report.Verdicts {
		told = append(told, v.Verdict)
	}
	if diff := cmp.Diff([]string{"keepalived", "rbd-lb", "brick", "holds", "not proved", "not reached"}, told); diff != "" {
		t.Errorf("- want, + told:\n%s", diff)
	}
}

// interruptedDrills end a drill while something is stopped.
func interruptedDrills(t *testing.T) {
	const stopped = "stopping keepalived"
	c, told := startDrill(t)
	awaitLine(t, told, stopped)
	node := vipHolder(t)
	eventually(t, time.Minute, func() string { return stillActive(t, node, "keepalived") })
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	endDrill(t, c, told, 130)
	on(t, node, "systemctl", "is-active", "keepalived")
	on(t, node, "sh", "-c", "! systemctl is-active rbdplay-drill.timer && ! ls /grdata/.rbdplay-drill-*")

	eventually(t, time.Minute, func() string { return away(t, node) })
	c, told = startDrill(t)
	awaitLine(t, told, stopped)
	eventually(t, time.Minute, func() string { return stillActive(t, node, "keepalived") })
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	endDrill(t, c, told, -1)
	wantNoAgents(t)
	on(t, node, "systemctl", "is-active", "rbdplay-drill.timer")
	refused := exec.CommandContext(t.Context(), binary(t), drillArgs()...)
	if out, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(out), "nothing was stopped") {
		t.Errorf("a drill beside a lost one: %v: %s", err, out)
	}
	on(t, node, "systemctl", "start", "rbdplay-drill.service") // as the timer does
	eventually(t, time.Minute, func() string {
		return strings.TrimPrefix(strings.TrimSpace(on(t, node, "sh", "-c", "systemctl is-active keepalived || true")), "active")
	})
	on(t, node, "systemctl", "stop", "rbdplay-drill.timer")
	on(t, node, "sh", "-c", "! ls /grdata/.rbdplay-drill-*")
	eventually(t, time.Minute, func() string { return away(t, node) })
}

func startDrill(t *testing.T) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, binary(t), drillArgs()...)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(stderr)
}

func awaitLine(t *testing.T, told *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := told.ReadString('\n')
		if err != nil {
			t.Fatalf("the drill ended before %q: %s", text, line)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

func endDrill(t *testing.T, c *exec.Cmd, told *bufio.Reader, code int) {
	t.Helper()
	rest, err := io.ReadAll(told)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // its exit code says it
	if c.ProcessState.ExitCode() != code {
		t.Errorf("the drill exits with %d, want %d: %s", c.ProcessState.ExitCode(), code, rest)
	}
}

// stillActive is a fault while the unit runs.
func stillActive(t *testing.T, node, unit string) string {
	t.Helper()
	if state := strings.TrimSpace(on(t, node, "sh", "-c", "systemctl is-active "+unit+" || true")); state != "inactive" {
		return node + ": " + unit + " is " + state
	}
	return ""
}

// away is a fault until the VIP is back on the node, and on no other.
func away(t *testing.T, node string) string { return holders(t, cluster.VIP, node) }

// holders is a fault until exactly these nodes have the address, of those with power.
func holders(t *testing.T, address string, want ...string) string {
	t.Helper()
	var found []string
	for _, n := range cluster.Nodes {
		running, err := n.Running()
		if err != nil {
			t.Fatal(err)
		}
		if running && strings.Contains(on(t, n.Name, "ip", "-4", "-o", "address", "show"), " "+address+"/") {
			found = append(found, n.Name)
		}
	}
	if !slices.Equal(found, want) {
		return address + " is on " + strings.Join(found, ", ") + ", want " + strings.Join(want, ", ")
	}
	return ""
}
