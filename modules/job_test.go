package modules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// A record keeps all that a job came to.
func TestJobRecord(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.State.System.UID = 0
	file, err := modules.JobFile(t.Context(), host, "j000000000001.7")
	if err != nil || file != "/root/.rbdplay_async/j000000000001.7" {
		t.Fatal(file, err)
	}
	if err := modules.MakeJobFolder(t.Context(), host, file); err != nil {
		t.Fatal(err)
	}
	want := modules.JobRecord{
		ID: "j000000000001.7", Module: "command", Until: time.Unix(1_700_000_000, 0).UTC(), Finished: true,
		Outcome: modules.Outcome{
			Status: modules.Failed, Message: "no", Result: modules.Result{"rc": int64(3), "ratio": 0.5, "list": []any{"a", map[string]any{"n": int64(1)}}, "none": nil},
			Changes: []change.Change{{Target: "/x", Field: "content", Action: change.Update, Before: change.Hidden(), After: change.Unknown("why")}},
		},
		Begun: []change.Change{{Target: "run", Action: change.Run}},
	}
	if err := modules.WriteJob(t.Context(), host, file, want); err != nil {
		t.Fatal(err)
	}
	got, err := modules.ReadJob(t.Context(), host, file)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

// A job that was killed, or whose host was restarted, is not waited for for ever.
func TestLostJob(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.State.System.UID = 0
	spec, _ := registry(t).Find("async_status")
	const id = "j000000000001.7"
	file, err := modules.JobFile(t.Context(), host, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := modules.MakeJobFolder(t.Context(), host, file); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		until  time.Duration
		status modules.Status
		word   string
	}{{time.Hour, modules.OK, ""}, {-time.Hour, modules.Failed, "gone without a result"}} {
		if err := modules.WriteJob(t.Context(), host, file, modules.JobRecord{ID: id, Until: time.Now().Add(tt.until)}); err != nil {
			t.Fatal(err)
		}
		m, problems := spec.Decode(map[string]any{"jid": id}, nil)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		if o := modules.Run(t.Context(), m, host, modules.Emit{}); o.Status != tt.status || !strings.Contains(o.Message, tt.word) {
			t.Errorf("%s: %+v", tt.until, o)
		}
	}
}

func TestNoJob(t *testing.T) {
	host := systest.NewHostInMemory(t)
	for _, id := range []string{"", "x", "../../../etc/passwd", "j1.1", "j000000000001.7/../x"} {
		if file, err := modules.JobFile(t.Context(), host, id); err == nil {
			t.Errorf("%q is the job %s", id, file)
		}
	}
}
