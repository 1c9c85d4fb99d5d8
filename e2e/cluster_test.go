// Package e2e tests the built binary, bin/rbdplay, on the lab's three real hosts.
// `make e2e` builds it, boots the lab and runs these tests in the order in which
// they stand; they share one lab.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/e2e/lab"
)

// cluster is the lab, up, and locked for this test binary.
var cluster *lab.Lab

func TestMain(m *testing.M) {
	code, err := runOnLab(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runOnLab(m *testing.M) (code int, err error) {
	if os.Getenv("RBDPLAY_E2E") == "" {
		fmt.Println("left out: the tests on three real hosts; make e2e runs them")
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if cluster, err = lab.Open(ctx, lab.Config{Progress: os.Stdout}); err != nil {
		return 1, err
	}
	unlock, err := cluster.Lock(ctx)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := cluster.Up(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// reset brings the lab back to the installed cluster.
func reset(t *testing.T) {
	t.Helper()
	leftAvailable = nil
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := cluster.Reset(ctx); err != nil {
		t.Fatal(err)
	}
}

// on runs a command on a node and gives its output.
func on(t *testing.T, node string, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := cluster.Node(node).Exec(ctx, argv...)
	if err != nil {
		t.Fatalf("%s: %v", node, err)
	}
	return out
}

// changeLine is one change, as JSON lines show it.
type changeLine struct {
	Target, Action, Field string
	Before, After         any
}

// taskLine is a task_end.
type taskLine struct {
	Type, Host, Play, Task, Module, Status, Msg string
	Changes                                     []changeLine
	WaitsFor                                    string `json:"waits_for"`
}

// key tells the ends of a run's tasks apart: the nth of that name on the host.
type key struct {
	host, play, task string
	n                int
}

// outcome is what a run of rbdplay told.
type outcome struct {
	code   int
	stderr string
	lines  []json.RawMessage
	tasks  map[key]taskLine
	order  []key
	hosts  map[string]map[string]int
}

// rbdplay runs the binary with JSON lines.
func rbdplay(t *testing.T, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // a shared machine may take long
	defer cancel()
	c := exec.CommandContext(ctx, binary(t), append(args, "-o", "jsonl")...)
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, &stderr
	err := c.Run()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	o := parse(t, out.Bytes())
	o.code, o.stderr = c.ProcessState.ExitCode(), stderr.String()
	return o
}

// binary is the program under test: bin/rbdplay, or what RBDPLAY_BINARY names.
func binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("RBDPLAY_BINARY"); path != "" {
		return path
	}
	path, err := filepath.Abs("../bin/rbdplay")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func parse(t *testing.T, out []byte) outcome {
	t.Helper()
	o := outcome{tasks: map[key]taskLine{}}
	scanner := bufio.NewScanner(bytes.NewReader(out))
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		line := slices.Clone(scanner.Bytes())
		o.lines = append(o.lines, line)
		var task taskLine
		if err := json.Unmarshal(line, &task); err != nil {
			t.Fatalf("not JSON: %s: %v", line, err)
		}
		switch task.Type {
		case "task_end":
			k := key{task.Host, task.Play, task.Task, 0}
			for o.tasks[k].Type != "" {
				k.n++
			}
			o.tasks[k] = task
			o.order = append(o.order, k)
		case "run_end":
			var end struct{ Hosts map[string]map[string]int }
			if err := json.Unmarshal(line, &end); err != nil {
				t.Fatal(err)
			}
			o.hosts = end.Hosts
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return o
}

// faults lists what failed, for messages.
func (o outcome) faults() string {
	var text strings.Builder
	for _, k := range o.order {
		if task := o.tasks[k]; task.Status == "failed" || task.Status == "unreachable" {
			fmt.Fprintf(&text, "%s: %s: %s: %s\n", task.Host, task.Play, task.Task, task.Msg)
		}
	}
	return text.String() + o.stderr
}

// haMinimal are the arguments of the main job.
func haMinimal(more ...string) []string {
	return append([]string{"run", "ha-minimal", "-i", cluster.Inventory, "-e", "app_host=" + lab.AppHost}, more...)
}

// make runs ha-minimal and wants it to succeed.
func makeAvailable(t *testing.T) outcome {
	t.Helper()
	o := rbdplay(t, haMinimal()...)
	if o.code != 0 {
		t.Fatalf("ha-minimal exits with %d:\n%s", o.code, o.faults())
	}
	return o
}

// snapshots records what differs on each node's disk.
func snapshots(t *testing.T) map[string]lab.Snapshot {
	t.Helper()
	all := map[string]lab.Snapshot{}
	for _, n := range cluster.Nodes {
		snapshot, err := n.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		all[n.Name] = snapshot
	}
	return all
}

// restless are the places that change on an idle node: logs, the agent's own
// cache, the state of running daemons, and what the platform's writers write.
var restless = []string{
	"/root/.cache", "/home/guest/.cache", "/var/log", "/var/lib/docker", "/var/lib/containerd", "/var/lib/systemd", "/var/tmp", "/tmp", "/run",
	"/opt/rainbond/logs", "/opt/rainbond/data", "/grdata/services/worker", "/grdata/downloads/log", "/grdata/tenant/demo",
	"/var/lib/glusterd", "/data/glusterfs",
}

// isRestless tells paths that may differ. /root itself is one: it is where the
// agent's cache is made.
func isRestless(path string) bool {
	return path == "/root" || slices.ContainsFunc(restless, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

// wantUntouched compares two sets of snapshots but for the restless places.
func wantUntouched(t *testing.T, before, after map[string]lab.Snapshot) {
	t.Helper()
	for name := range before {
		for _, c := range before[name].Diff(after[name]) {
			if !isRestless(c.Path) {
				t.Errorf("%s: %s", name, c)
			}
		}
	}
}

// deferred are the tasks that a check of ha-minimal on a fresh cluster cannot
// predict. One of them changes something: the copy, into a volume that is not
// there yet. The others only look, at what a real run must first make or start.
var deferred = []string{
	"DNS of the apps: Invariant: Nothing waits to be healed",
	"DNS of the apps: Invariant: The VIP is on exactly one compute node",
	"DNS of the apps: Invariant: rbd-lb is healthy on both compute nodes",
	"DNS of the apps: Look what waits to be healed",
	"DNS of the apps: Look whether rbd-lb is healthy",
	"DNS of the apps: The kubelet is healthy",
	"Entrance: rbd-lb is healthy on both compute nodes",
	"Load balancers and DNS on the compute nodes: rbd-dns is ready",
	"Load balancers and DNS on the compute nodes: rbd-lb is healthy",
	"Storage: Compare both sides, file by file",
	"Storage: Copy the data into the volume",
	"Storage: Nobody uses the data any more",
	"Storage: The volume holds nothing of anybody else's",
	"VIP: The VIP answers",
	"Verify: An app answers through the VIP",
	"Verify: Nothing waits to be healed",
	"Verify: The VIP is on exactly one compute node",
	"Verify: rbd-dns is ready on both compute nodes",
	"Verify: rbd-lb is healthy on both compute nodes",
}

// wantPredicted holds a check against the run that followed: the same ends, host
// by host and task by task, with the same changes before and after. more are tasks
// that it cannot predict beside those of every fresh cluster.
func wantPredicted(t *testing.T, check, run outcome, more ...string) {
	t.Helper()
	want := slices.Sorted(slices.Values(append(slices.Clone(deferred), more...)))
	var waiting []string
	for _, k := range run.order {
		actual, predicted := run.tasks[k], check.tasks[k]
		if predicted.Type == "" {
			t.Errorf("%v: the check did not show this task", k)
			continue
		}
		if predicted.Status == "deferred" {
			if name := k.play + ": " + k.task; !slices.Contains(waiting, name) {
				waiting = append(waiting, name)
			}
			continue
		}
		if predicted.Status != actual.Status {
			t.Errorf("%v: predicted %s, was %s (%s)", k, predicted.Status, actual.Status, actual.Msg)
		}
		if diff := cmp.Diff(predicted.Changes, actual.Changes); diff != "" {
			t.Errorf("%v: the changes differ (- predicted, + actual):\n%s", k, diff)
		}
	}
	if len(check.order) != len(run.order) {
		t.Errorf("the check showed %d ends of tasks, the run %d", len(check.order), len(run.order))
	}
	slices.Sort(waiting)
	if diff := cmp.Diff(want, waiting); diff != "" {
		t.Errorf("deferred tasks (- listed in this test, + in the check):\n%s", diff)
	}
}
