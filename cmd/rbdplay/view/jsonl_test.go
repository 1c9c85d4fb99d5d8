package view_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/view"
	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

func TestJSONLines(t *testing.T) {
	at := diag.Range{File: "site.yml", Start: diag.Pos{Line: 3, Column: 7}}
	mode := change.Change{Target: "/x", Action: change.Update, Field: "mode", Before: change.Text("0644"), After: change.Text("0600")}
	events := []event.Event{
		event.RunStart{Playbook: "site.yml", Check: true, Started: time.Date(2024, 5, 1, 2, 3, 4, 0, time.UTC)},
		event.PlayStart{Play: "Web", Hosts: []string{"a", "b"}},
		event.TaskStart{ID: 1, Play: "Web", Task: "Mode <x>", Module: "file", Role: "r", Place: at, Tags: []string{"t"}, Hosts: []string{"a"}},
		event.HostUp{Host: "a", Took: 1500 * time.Microsecond, Uploaded: 3},
		event.HostDown{Host: "b", Message: "no", Hint: "do"},
		event.Planned{Task: 1, Host: "a", Item: "i", Changes: []change.Change{mode}},
		event.Output{Task: 1, Host: "a", Stream: "stdout", Line: "text"},
		event.StepDone{Task: 1, Host: "a", Changes: []change.Change{mode}},
		event.ItemEnd{Task: 1, Host: "a", Item: "i", Status: modules.OK},
		event.TaskEnd{
			Task: 1, Play: "Web", Name: "Mode <x>", Module: "file", Host: "a", Place: at, Status: modules.Changed, Took: 2 * time.Second,
			Changes: []change.Change{
				mode,
				{Target: "/s", Action: change.Create, Field: "content", After: change.Hidden()},
				{Target: "/b", Action: change.Update, Field: "content", Before: change.Summary("1 byte"), After: change.Unknown("why")},
			},
		},
		event.TaskEnd{Task: 2, Host: "a", Delegate: "b", Status: modules.Failed, Ignored: true, Message: "no"},
		event.TaskEnd{Task: 3, Host: "a", Status: modules.Deferred, Message: "waits for x", Deferred: "x"},
		event.Message{Host: "a", Task: 4, Text: "hello"},
		event.Message{Text: "careful", Warning: true},
		event.RunEnd{Hosts: map[string]event.Totals{"a": {OK: 1, Changed: 2, Failed: 3, Unreachable: 4, Skipped: 5, Deferred: 6, Rescued: 7, Ignored: 8}}, Took: time.Second},
	}
	want := `{"type":"run_start","version":1,"playbook":"site.yml","check":true,"time":"2024-05-01T02:03:04Z"}
{"type":"play_start","play":"Web","hosts":["a","b"]}
{"type":"task_start","id":1,"play":"Web","task":"Mode <x>","module":"file","role":"r","tags":["t"],"hosts":["a"],"file":"site.yml","line":3,"column":7}
{"type":"host_up","host":"a","took_ms":1.5,"uploaded":3}
{"type":"host_down","host":"b","msg":"no","hint":"do"}
{"type":"planned","id":1,"host":"a","item":"i","changes":[{"target":"/x","action":"update","field":"mode","before":"0644","after":"0600"}]}
{"type":"output","id":1,"host":"a","stream":"stdout","line":"text"}
{"type":"step_done","id":1,"host":"a","changes":[{"target":"/x","action":"update","field":"mode","before":"0644","after":"0600"}]}
{"type":"item_end","id":1,"host":"a","item":"i","status":"ok","changes":[],"msg":""}
{"type":"task_end","id":1,"host":"a","play":"Web","task":"Mode <x>","module":"file","status":"changed","changes":[{"target":"/x","action":"update","field":"mode","before":"0644","after":"0600"},{"target":"/s","action":"create","field":"content","before":null,"after":{"hidden":true}},{"target":"/b","action":"update","field":"content","before":{"summary":"1 byte"},"after":{"unknown":"why"}}],"took_ms":2000,"msg":"","file":"site.yml","line":3,"column":7}
{"type":"task_end","id":2,"host":"a","delegate":"b","play":"","task":"","module":"","status":"failed","ignored":true,"changes":[],"took_ms":0,"msg":"no","file":"","line":0,"column":0}
{"type":"task_end","id":3,"host":"a","play":"","task":"","module":"","status":"deferred","changes":[],"took_ms":0,"msg":"waits for x","waits_for":"x","file":"","line":0,"column":0}
{"type":"message","id":4,"host":"a","text":"hello","warning":false}
{"type":"message","text":"careful","warning":true}
{"type":"run_end","hosts":{"a":{"ok":1,"changed":2,"failed":3,"unreachable":4,"skipped":5,"deferred":6,"rescued":7,"ignored":8}},"took_ms":1000,"interrupted":false}
`
	var out bytes.Buffer
	lines := view.NewJSONLines(&out)
	for _, e := range events {
		lines.Emit(e)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	for line := range bytes.Lines(out.Bytes()) {
		if !json.Valid(line) {
			t.Errorf("no JSON: %s", line)
		}
	}
}

type brokenPipe struct{ writes int }

var errPipe = errors.New("broken pipe")

func (b *brokenPipe) Write([]byte) (int, error) {
	b.writes++
	return 0, errPipe
}

func TestJSONLinesTellTheFirstErrorAndWriteNoMore(t *testing.T) {
	var out brokenPipe
	lines := view.NewJSONLines(&out)
	for range 3 {
		lines.Emit(event.Message{})
	}
	if !errors.Is(lines.Err(), errPipe) || out.writes != 1 {
		t.Errorf("%v after %d writes", lines.Err(), out.writes)
	}
}
