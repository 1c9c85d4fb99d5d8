package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/probe"
	"github.com/rbdplay/rbdplay/e2e/lab"
)

// TestHAMinimal is the main job: check, run, run again, and lose nodes.
func TestHAMinimal(t *testing.T) {
	reset(t)
	installed := installedState(t)
	before := snapshots(t)

	check := rbdplay(t, haMinimal("--check", "--diff")...)
	if check.code != 0 {
		t.Fatalf("the check exits with %d:\n%s", check.code, check.faults())
	}
	wantUntouched(t, before, snapshots(t))

	run := makeAvailable(t)
	wantPredicted(t, check, run)
	t.Run("every file has arrived", func(t *testing.T) {
		wantFiles(t, installed.old.files)
	})

	t.Run("the second run changes nothing", func(t *testing.T) {
		before := snapshots(t)
		again := makeAvailable(t)
		for host, totals := range again.hosts {
			if totals["changed"] != 0 {
				t.Errorf("%s: %d changed", host, totals["changed"])
			}
		}
		wantUntouched(t, before, snapshots(t))
	})

	t.Run("the app outlives the nodes", outlives)
	leave(t, installed)
}

// outlives cuts the power of the management node, and of the holder of the VIP.
func outlives(t *testing.T) {
	p := probe.Start(t.Context(), probe.HTTP("http://"+cluster.VIP+"/", lab.AppHost, 200), probe.Often)
	defer p.Stop()
	wantAnswering(t, p)

	lose(t, p, "manage01", 5*time.Second)
	power(t, cluster.Node("manage01").PowerOn)

	holder := vipHolder(t)
	lose(t, p, holder, 15*time.Second)
	power(t, cluster.Node(holder).PowerOn)
	wantAnswering(t, p)
}

// lose cuts a node's power and wants the app to answer again within limit.
func lose(t *testing.T, p *probe.Probe, node string, limit time.Duration) {
	t.Helper()
	p.Reset()
	power(t, cluster.Node(node).PowerOff)
	time.Sleep(limit)
	wantAnswering(t, p)
	r := p.Result()
	t.Logf("%s without power: %d requests, %d lost, longest gap %d ms", node, r.Requests, r.Lost, r.Gap.Milliseconds())
	if r.Gap > limit {
		t.Errorf("%s: the app was away for %s, more than %s", node, r.Gap, limit)
	}
}

func power(t *testing.T, change func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := change(ctx); err != nil {
		t.Fatal(err)
	}
}

func wantAnswering(t *testing.T, p *probe.Probe) {
	t.Helper()
	for range 200 {
		if p.Answering() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the app does not answer through the VIP")
}

func vipHolder(t *testing.T) string {
	t.Helper()
	for _, node := range []string{"compute01", "compute02"} {
		if strings.Contains(on(t, node, "ip", "-4", "-o", "address", "show"), " "+cluster.VIP+"/") {
			return node
		}
	}
	t.Fatal("no compute node has the VIP")
	return ""
}

// listing describes every file below root on manage01: type, mode, owner, size,
// time, number of links, target and content; of those that have such also ACL,
// attributes and holes. What the writers append to is left out; the times of folders
// too, which these change.
func listing(t *testing.T, root string) []string {
	t.Helper()
	script := `cd "$1" && export LC_ALL=C
skip='-path ./services/worker -o -path ./downloads/log -o -path ./tenant/demo -o -path ./.trashcan'
{ find . \( $skip \) -prune -o -type d -printf '%P d %m %U %G\0'
  find . \( $skip \) -prune -o ! -type d -printf '%P %y %m %U %G %s %T@ %n %l\0'
  find . \( $skip \) -prune -o -type f -print0 | xargs -0 sha256sum -z --
  python3 -c '
import os
for name in ["tenant/attributes", "tenant/acl", "tenant/sparse", "services/registry/big.layer"]:
    info = os.stat(name)
    kept = sorted((n, os.getxattr(name, n).hex()) for n in os.listxattr(name) if n.startswith(("user.", "system.posix_acl")))
    print(name, kept, "sparse" if info.st_blocks * 512 < info.st_size // 2 else "full", end="\0")
'
} | sort -z`
	out := on(t, "manage01", "sh", "-c", script, "sh", root)
	files := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	if len(files) < 1200 {
		t.Fatalf("%s lists only %d lines", root, len(files))
	}
	return files
}
