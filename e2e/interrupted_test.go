package e2e

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestInterruptedRuns kills the controller in the middle of each stage; the next
// run finishes the job, and no file is lost.
func TestInterruptedRuns(t *testing.T) {
	reset(t)
	files := listing(t, "/grdata")
	for _, task := range []string{
		"Install the GlusterFS server", "Make the replicated volume and start it",
		"Stop the platform services that use the data", "Copy the data into the volume", "Move the old tree aside", "Mount the volume in its place",
		"Start rbd-lb and rbd-dns", "Start keepalived", "Remove its container", "TCP apps are shown with the VIP",
	} {
		t.Run(task, func(t *testing.T) {
			killAt(t, task)
			wantNoAgents(t)
		})
	}
	makeAvailable(t)
	wantFiles(t, files)
	for host, totals := range makeAvailable(t).hosts {
		if totals["changed"] != 0 {
			t.Errorf("%s: the last run still changed %d things", host, totals["changed"])
		}
	}
	t.Run("between the mount and its line in fstab", func(t *testing.T) {
		fstab := on(t, "manage01", "cat", "/etc/fstab")
		on(t, "manage01", "sed", "-i", `\, /grdata ,d`, "/etc/fstab")
		makeAvailable(t)
		if diff := cmp.Diff(fstab, on(t, "manage01", "cat", "/etc/fstab")); diff != "" {
			t.Errorf("/etc/fstab (- before, + now):\n%s", diff)
		}
	})
}

// killAt starts ha-minimal and kills it as soon as the task begins.
func killAt(t *testing.T, task string) {
	t.Helper()
	r := begin(t, haMinimal()...)
	found := r.await(`"type":"task_start"`, `"task":"`+task+`"`)
	time.Sleep(50 * time.Millisecond) // into the task
	if err := r.command.Process.Kill(); err != nil && found {
		t.Error(err)
	}
	if o := r.end(t); !found {
		t.Fatalf("the run ended with %d before the task %q:\n%s", o.code, task, o.faults())
	}
}

// running is a run of rbdplay that a test follows line by line.
type running struct {
	command *exec.Cmd
	out     *bufio.Reader
	seen    bytes.Buffer // what was read of out
	stderr  bytes.Buffer
}

// begin starts the binary with JSON lines. The test must call end.
func begin(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	t.Cleanup(cancel)
	r := &running{command: exec.CommandContext(ctx, binary(t), append(args, "-o", "jsonl")...)}
	r.command.Stderr = &r.stderr
	out, err := r.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	r.out = bufio.NewReader(io.TeeReader(out, &r.seen))
	return r
}

// await reads on until a line holds every text; false when the run ends before.
func (r *running) await(texts ...string) bool {
next:
	for {
		line, err := r.out.ReadString('\n')
		if err != nil {
			return false
		}
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		return true
	}
}

// end waits for the run and gives what it told. The last line of one that was
// killed may be half a line, and is left out.
func (r *running) end(t *testing.T) outcome {
	t.Helper()
	if _, err := io.Copy(io.Discard, r.out); err != nil {
		t.Fatal(err)
	}
	_ = r.command.Wait() // its exit code says it
	told := r.seen.Bytes()
	o := parse(t, told[:bytes.LastIndexByte(told, '\n')+1])
	o.code, o.stderr = r.command.ProcessState.ExitCode(), r.stderr.String()
	return o
}

// wantNoAgents holds that the agents end when their controller is gone.
func wantNoAgents(t *testing.T) {
	t.Helper()
	for _, n := range cluster.Nodes {
		eventually(t, 10*time.Second, func() string {
			left := on(t, n.Name, "sh", "-c", "pgrep -a rbdplay-agent || true")
			if left != "" {
				return n.Name + " still runs " + left
			}
			return ""
		})
	}
}

// eventually wants fault to find nothing within limit.
func eventually(t *testing.T, limit time.Duration, fault func() string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		text := fault()
		if text == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %s", limit, text)
		}
	}
}

// wantFiles holds /grdata against an earlier listing.
func wantFiles(t *testing.T, files []string) {
	t.Helper()
	if diff := cmp.Diff(files, listing(t, "/grdata")); diff != "" {
		t.Errorf("/grdata (- before, + now):\n%s", diff)
	}
}
