package agent_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

func job(module string, seconds int, wait bool, items ...map[string]any) agent.Task {
	return agent.Task{Module: module, Items: items, Async: &agent.Async{Seconds: seconds, Wait: wait}}
}

// finished waits for a job's record to say that it has ended.
func finished(t *testing.T, file string) modules.JobRecord {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		record, err := modules.ReadJob(t.Context(), sys.NewReal(), file)
		if err != nil {
			t.Fatal(err)
		}
		if record.Finished {
			return record
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not finish", file)
		}
	}
}

func records(t *testing.T, h *host) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(h.Home, ".rbdplay_async"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A job goes on when its agent and the connection have ended, and its arguments
// lie in no file.
func TestJobOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	gate := filepath.Join(t.TempDir(), "gate")
	command := `while ! test -e ` + gate + `; do sleep 0.01; done; echo hunter2 | tr 2 3`
	got := run(t, c, job("run", 60, false, map[string]any{"command": command}))
	file, _ := got.Result["results_file"].(string)
	if got.Status != modules.Changed || got.Result["finished"] != int64(0) || got.Result["started"] != int64(1) || !strings.HasPrefix(file, h.Home) {
		t.Fatalf("%+v", got)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.conn.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(text), "hunter2") || len(records(t, h)) != 1 {
		t.Errorf("%s, %v", text, err)
	}
	for path, mode := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	record := finished(t, file)
	if o := record.Outcome; o.Status != modules.Changed || o.Result["stdout"] != "hunter3\n" || o.Result["rc"] != int64(0) {
		t.Errorf("%+v", record)
	}
}

func TestJobEndsAtItsTime(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	mark := filepath.Join(t.TempDir(), "mark")
	got := run(t, c, job("hang", 1, false, map[string]any{"mark": mark}))
	record := finished(t, got.Result["results_file"].(string))
	if o := record.Outcome; o.Status != modules.Failed || !strings.Contains(o.Message, "time limit of 1s") {
		t.Errorf("%+v", record)
	}
	if text, err := os.ReadFile(mark); err != nil || string(text) != "ended" {
		t.Errorf("%s, %v", text, err)
	}
	got = run(t, c, job("hang", 1, true, map[string]any{"mark": mark}))
	if got.Status != modules.Failed || !strings.Contains(got.Message, "time limit of 1s") {
		t.Errorf("%+v", got)
	}
}

// One that is waited for costs one turn of the wire, and leaves no record.
func TestJobThatIsWaitedFor(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	var events []agent.Event
	outcomes, err := c.Run(t.Context(), job("run", 60, true, map[string]any{"command": "echo $$"}, map[string]any{"command": "exit 3"}),
		func(e agent.Event) { events = append(events, e) })
	if err != nil || len(outcomes) != 2 || outcomes[0].Status != modules.Changed || outcomes[1].Result["rc"] != int64(3) {
		t.Errorf("%+v, %v", outcomes, err)
	}
	if len(events) != 6 || events[0].Planned == nil || events[1].Done == nil || events[2].Outcome == nil {
		t.Errorf("%+v", events)
	}
	if left := records(t, h); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// An interrupted run ends the job that it waits for.
func TestInterruptedJob(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	mark := filepath.Join(t.TempDir(), "mark")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Run(ctx, job("hang", 600, true, map[string]any{"mark": mark}), nil)
		ended <- err
	}()
	for text := ""; text != "begun"; time.Sleep(5 * time.Millisecond) {
		content, err := os.ReadFile(mark)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		text = string(content)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the task ended well")
	}
	if text, err := os.ReadFile(mark); err != nil || string(text) != "ended" {
		t.Errorf("the job goes on: %s, %v", text, err)
	}
}

// A folder that others can get at is no place for records.
func TestJobFolderMustBeOurs(t *testing.T) {
	t.Parallel()
	h := newHost(t, transporttest.SSHOptions{})
	if err := os.Mkdir(filepath.Join(h.Home, ".rbdplay_async"), 0o755); err != nil {
		t.Fatal(err)
	}
	c, _ := start(t, h, agent.Options{})
	if got := run(t, c, job("echo", 5, false, say("x"))); got.Status != modules.Failed || !strings.Contains(got.Message, "mode 0700") {
		t.Errorf("%+v", got)
	}
}
