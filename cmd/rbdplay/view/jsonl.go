package view

import (
	"encoding/json"
	"io"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// jsonVersion is the version of the lines: raised when a key changes its meaning
// or goes away, not when one is added.
const jsonVersion = 1

// JSONLines writes one JSON object for each event. Err tells the first error of
// writing.
type JSONLines struct {
	encoder *json.Encoder
	err     error
}

// NewJSONLines returns a view that writes to out.
func NewJSONLines(out io.Writer) *JSONLines {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return &JSONLines{encoder: encoder}
}

// Err is the first error of writing, or nil.
func (j *JSONLines) Err() error { return j.err }

// Emit implements event.Sink.
func (j *JSONLines) Emit(e event.Event) {
	if j.err == nil {
		j.err = j.encoder.Encode(lineOf(e))
	}
}

// The lines. The id of a task is the same in all that tells of it.
type (
	runStart struct {
		Type     string `json:"type"`
		Version  int    `json:"version"`
		Playbook string `json:"playbook"`
		Check    bool   `json:"check"`
		Time     string `json:"time"` // RFC 3339, UTC
	}
	playStart struct {
		Type  string   `json:"type"`
		Play  string   `json:"play"`
		Hosts []string `json:"hosts"`
	}
	taskStart struct {
		Type    string   `json:"type"`
		ID      int      `json:"id"`
		Play    string   `json:"play"`
		Task    string   `json:"task"`
		Module  string   `json:"module"`
		Role    string   `json:"role,omitempty"`
		Handler bool     `json:"handler,omitempty"`
		Tags    []string `json:"tags"`
		Hosts   []string `json:"hosts"`
		place
	}
	hostUp struct {
		Type     string  `json:"type"`
		Host     string  `json:"host"`
		TookMS   float64 `json:"took_ms"`
		Uploaded int64   `json:"uploaded"` // bytes of the agent
	}
	hostDown struct {
		Type string `json:"type"`
		Host string `json:"host"`
		Msg  string `json:"msg"`
		Hint string `json:"hint,omitempty"`
	}
	// steps is a line of "planned" and of "step_done".
	steps struct {
		Type    string          `json:"type"`
		ID      int             `json:"id"`
		Host    string          `json:"host"`
		Item    string          `json:"item,omitempty"`
		Changes []change.Change `json:"changes"`
	}
	output struct {
		Type   string `json:"type"`
		ID     int    `json:"id"`
		Host   string `json:"host"`
		Item   string `json:"item,omitempty"`
		Stream string `json:"stream"`
		Line   string `json:"line"`
	}
	itemEnd struct {
		Type    string          `json:"type"`
		ID      int             `json:"id"`
		Host    string          `json:"host"`
		Item    string          `json:"item"`
		Status  modules.Status  `json:"status"`
		Changes []change.Change `json:"changes"`
		Msg     string          `json:"msg"`
	}
	taskEnd struct {
		Type     string          `json:"type"`
		ID       int             `json:"id"`
		Host     string          `json:"host"`
		Delegate string          `json:"delegate,omitempty"`
		Play     string          `json:"play"`
		Task     string          `json:"task"`
		Module   string          `json:"module"`
		Status   modules.Status  `json:"status"`
		Ignored  bool            `json:"ignored,omitempty"`
		Rescued  bool            `json:"rescued,omitempty"`
		Changes  []change.Change `json:"changes"`
		TookMS   float64         `json:"took_ms"`
		Msg      string          `json:"msg"`
		WaitsFor string          `json:"waits_for,omitempty"`
		place
	}
	message struct {
		Type    string `json:"type"`
		ID      int    `json:"id,omitempty"`
		Host    string `json:"host,omitempty"`
		Text    string `json:"text"`
		Warning bool   `json:"warning"`
	}
	runEnd struct {
		Type        string            `json:"type"`
		Hosts       map[string]totals `json:"hosts"`
		TookMS      float64           `json:"took_ms"`
		Interrupted bool              `json:"interrupted"`
	}
	place struct {
		File   string `json:"file"`
		Line   int    `json:"line"`
		Column int    `json:"column"`
	}
	totals struct {
		OK          int `json:"ok"`
		Changed     int `json:"changed"`
		Failed      int `json:"failed"`
		Unreachable int `json:"unreachable"`
		Skipped     int `json:"skipped"`
		Deferred    int `json:"deferred"`
		Rescued     int `json:"rescued"`
		Ignored     int `json:"ignored"`
	}
)

// lineOf is the JSON form of an event.
func lineOf(e event.Event) any {
	switch e := e.(type) {
	case event.RunStart:
		return runStart{"run_start", jsonVersion, e.Playbook, e.Check, e.Started.UTC().Format(time.RFC3339Nano)}
	case event.PlayStart:
		return playStart{"play_start", e.Play, list(e.Hosts)}
	case event.TaskStart:
		return taskStart{
			Type: "task_start", ID: e.ID, Play: e.Play, Task: e.Task, Module: e.Module, Role: e.Role,
			Handler: e.Handler, Tags: list(e.Tags), Hosts: list(e.Hosts),
			place: place{e.Place.File, e.Place.Start.Line, e.Place.Start.Column},
		}
	case event.HostUp:
		return hostUp{"host_up", e.Host, milliseconds(e.Took), e.Uploaded}
	case event.HostDown:
		return hostDown{"host_down", e.Host, e.Message, e.Hint}
	case event.Planned:
		return steps{"planned", e.Task, e.Host, e.Item, list(e.Changes)}
	case event.StepDone:
		return steps{"step_done", e.Task, e.Host, e.Item, list(e.Changes)}
	case event.Output:
		return output{"output", e.Task, e.Host, e.Item, e.Stream, e.Line}
	case event.ItemEnd:
		return itemEnd{"item_end", e.Task, e.Host, e.Item, e.Status, list(e.Changes), e.Message}
	case event.TaskEnd:
		return taskEnd{
			Type: "task_end", ID: e.Task, Host: e.Host, Delegate: e.Delegate, Play: e.Play, Task: e.Name, Module: e.Module,
			Status: e.Status, Ignored: e.Ignored, Rescued: e.Rescued, Changes: list(e.Changes),
			TookMS: milliseconds(e.Took), Msg: e.Message, WaitsFor: e.Deferred,
			place: place{e.Place.File, e.Place.Start.Line, e.Place.Start.Column},
		}
	case event.Message:
		return message{"message", e.Task, e.Host, e.Text, e.Warning}
	case event.RunEnd:
		hosts := make(map[string]totals, len(e.Hosts))
		for host, t := range e.Hosts {
			hosts[host] = totals{t.OK, t.Changed, t.Failed, t.Unreachable, t.Skipped, t.Deferred, t.Rescued, t.Ignored}
		}
		return runEnd{"run_end", hosts, milliseconds(e.Took), e.Interrupted}
	default:
		panic("view: an event without a JSON form") // the list of events is closed
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// list makes an empty slice of nil, so that a program always finds an array.
func list[T string | change.Change](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
