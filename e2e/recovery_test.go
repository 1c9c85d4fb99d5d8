package e2e

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/e2e/lab"
)

// TestFailedMoveOfTheData holds that whatever fails before the switch of /grdata
// leaves the cluster serving from the old place, that what fails after it leaves
// the other nodes serving from the volume, and that a later run finishes. The volume
// has an arbiter; TestInterruptedRuns has one without.
func TestFailedMoveOfTheData(t *testing.T) {
	reset(t)
	old := oldPlace{
		files: listing(t, "/grdata"), exports: on(t, "manage01", "cat", "/etc/exports"), containers: containers(t),
	}
	t.Run("a process holds a file open", func(t *testing.T) {
		on(t, "manage01", "systemd-run", "--quiet", "--unit=holder", "--", "tail", "-f", "/grdata/"+anyFile(t))
		o := rbdplay(t, arbitrated()...)
		wantFailure(t, o, 2, "the cluster serves from the old place", "manage01: Nobody uses the data any more", "tail (process ")
		old.wantServing(t, "compute01", "compute02")
		on(t, "manage01", "systemctl", "stop", "holder")
	})
	t.Run("a volume of that name has other bricks", func(t *testing.T) {
		before := snapshots(t)
		o := rbdplay(t, arbitrated("-e", "gluster_brick=/data/other")...)
		wantFailure(t, o, 2, "there is a volume data already, with other bricks: compute01:/data/glusterfs", "set gluster_volume_name")
		wantUntouched(t, before, snapshots(t))
	})
	t.Run("the volume cannot be mounted", func(t *testing.T) {
		refuseMount(t, "manage01", "/grdata")
		o := rbdplay(t, arbitrated()...)
		wantFailure(t, o, 2, "the cluster serves from the old place", "manage01: Mount the volume in its place")
		old.wantServing(t, "compute01", "compute02")
	})
	t.Run("a compute node loses its power", func(t *testing.T) {
		r := begin(t, arbitrated()...)
		if !r.await(`"type":"task_start"`, `"task":"Copy the data into the volume"`) {
			t.Fatalf("the run did not come to the copy:\n%s", r.end(t).faults())
		}
		power(t, cluster.Node("compute02").PowerOff)
		wantFailure(t, r.end(t), 2, "the cluster serves from the old place", "compute02: ")
		old.wantServing(t, "compute01")
		power(t, cluster.Node("compute02").PowerOn)
	})
	t.Run("the network of a compute node is cut", func(t *testing.T) {
		r := begin(t, arbitrated()...)
		if !r.await(`"type":"task_start"`, `"task":"Copy the data into the volume"`) {
			t.Fatalf("the run did not come to the copy:\n%s", r.end(t).faults())
		}
		power(t, cluster.Node("compute02").Cut)
		wantFailure(t, r.end(t), 2, "the cluster serves from the old place", "compute02: ")
		old.wantServing(t, "compute01")
		power(t, cluster.Node("compute02").Join)
	})
	t.Run("a compute node cannot mount the volume after the switch", func(t *testing.T) {
		refuseMount(t, "compute01", "/grdata")
		o := rbdplay(t, arbitrated()...)
		wantFailure(t, o, 2, "the data is on the volume, but not every node serves from it", "compute01: Mount the volume on every node")
		if diff := cmp.Diff(old.containers, containers(t)); diff != "" {
			t.Errorf("containers on manage01 (- before, + now):\n%s", diff)
		}
		on(t, "compute02", "systemctl", "is-active", "kubelet")
		on(t, "compute01", "sh", "-c", "! systemctl is-active kubelet")
		wantFiles(t, old.files)
		eventually(t, time.Minute, func() string { return appFault(t, 1) })
	})
	t.Run("a run for the storage, and one that finds it there", storageAlone)
	wantFiles(t, old.files)
	t.Run("the arbiter keeps no half waiting", arbiterAway)
}

// arbitrated is a run whose volume has an arbiter on the management node.
func arbitrated(more ...string) []string {
	return haMinimal(append([]string{"-e", `{"gluster_arbiter": true}`}, more...)...)
}

// storageAlone finishes the storage, and then makes the cluster available as one
// whose data is on something shared already.
func storageAlone(t *testing.T) {
	if o := rbdplay(t, arbitrated("-t", "names,glusterfs,storage")...); o.code != 0 {
		t.Fatalf("the storage alone: exits with %d:\n%s", o.code, o.faults())
	}
	existing := haMinimal("-e", "storage=existing")
	if o := rbdplay(t, existing...); o.code != 0 {
		t.Fatalf("with existing storage: exits with %d:\n%s", o.code, o.faults())
	}
	for _, args := range [][]string{existing, arbitrated()} {
		for host, totals := range rbdplay(t, args...).hosts {
			if totals["changed"] != 0 || totals["failed"] != 0 {
				t.Errorf("%s: %v changed %d things, and %d failed", host, args, totals["changed"], totals["failed"])
			}
		}
	}
}

// arbiterAway cuts the management node's power, and uses the volume on both sides.
func arbiterAway(t *testing.T) {
	if info := on(t, "compute01", "gluster", "--mode=script", "volume", "info", "data"); !strings.Contains(info, "1 x (2 + 1) = 3") {
		t.Errorf("the volume has no arbiter:\n%s", info)
	}
	power(t, cluster.Node("manage01").PowerOff)
	on(t, "compute01", "sh", "-c", "echo word >/grdata/tenant/word")
	if got := on(t, "compute02", "cat", "/grdata/tenant/word"); got != "word\n" {
		t.Errorf("compute02 reads %q", got)
	}
	on(t, "compute02", "rm", "/grdata/tenant/word")
	power(t, cluster.Node("manage01").PowerOn)
}

// wantFailure holds a run to its exit code, and what it tells to the texts.
func wantFailure(t *testing.T, o outcome, code int, texts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exits with %d, want %d", o.code, code)
	}
	told := o.faults()
	for _, text := range texts {
		if !strings.Contains(told, text) {
			t.Errorf("does not tell %q", text)
		}
	}
	if t.Failed() {
		t.Fatalf("it told:\n%s", told)
	}
	t.Logf("%s", told)
}

// oldPlace is how the installed cluster serves /grdata.
type oldPlace struct {
	files      []string
	exports    string
	containers []string
}

// wantServing holds that the cluster works as before, with these compute nodes.
func (old oldPlace) wantServing(t *testing.T, computes ...string) {
	t.Helper()
	if diff := cmp.Diff(old.exports, on(t, "manage01", "cat", "/etc/exports")); diff != "" {
		t.Errorf("/etc/exports (- before, + now):\n%s", diff)
	}
	if mounts := on(t, "manage01", "findmnt", "--noheadings", "--list", "--output", "TARGET,FSTYPE"); strings.Contains(mounts, "glusterfs") {
		t.Errorf("manage01 still mounts the volume:\n%s", mounts)
	}
	if diff := cmp.Diff(old.containers, containers(t)); diff != "" {
		t.Errorf("containers on manage01 (- before, + now):\n%s", diff)
	}
	for _, node := range computes {
		if fstype := strings.TrimSpace(on(t, node, "findmnt", "--noheadings", "--output", "FSTYPE", "/grdata")); fstype != "fuse.nfs" {
			t.Errorf("%s: /grdata is %q, want NFS", node, fstype)
		}
		on(t, node, "systemctl", "is-active", "kubelet")
	}
	wantFiles(t, old.files)
	eventually(t, time.Minute, func() string { return appFault(t, len(computes)) })
}

// containers are the names of those that run on the management node.
func containers(t *testing.T) []string {
	t.Helper()
	names := strings.Fields(on(t, "manage01", "docker", "ps", "--format", "{{.Names}}"))
	slices.Sort(names)
	return names
}

// appFault asks the demo app through manage01 until so many in a row work, since
// the load balancer takes turns.
func appFault(t *testing.T, times int) string {
	t.Helper()
	for range times {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+cluster.Node("manage01").IP+"/strict", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = lab.AppHost
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err.Error()
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // it was read
		if err != nil || response.StatusCode != http.StatusOK {
			return "the app answers " + response.Status + ": " + string(body)
		}
	}
	return ""
}

// anyFile is a file that the copy would take, below /grdata.
func anyFile(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(on(t, "manage01", "sh", "-c", "cd /grdata/services && find registry -type f | head -n 1 | sed s,^,services/,"))
}

// refuseMount lets mount.glusterfs of a node fail for one mount point, as it does
// when the volume has just been stopped.
func refuseMount(t *testing.T, node, target string) {
	t.Helper()
	const program = "/sbin/mount.glusterfs"
	script := `mv "$1" "$1.real" && cat >"$1" <<END && chmod 755 "$1"
#!/bin/sh
[ "\$2" = "$2" ] || exec $1.real "\$@"
echo 'Mount failed. Check the log file for more details.' >&2
exit 1
END`
	on(t, node, "sh", "-c", script, "sh", program, target)
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if _, err := cluster.Node(node).Exec(context.Background(), "mv", program+".real", program); err != nil {
			t.Error(err)
		}
	})
}
