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
	line := lineOf(e)
	if line == nil || j.err != nil {
		return
	}
	j.err = j.encoder.Encode(line)
}

type object = map[string]any

// lineOf is the JSON form of an event.
func lineOf(e event.Event) object {
	switch e := e.(type) {
	case event.RunStart:
		return object{"type": "run_start", "version": jsonVersion, "playbook": e.Playbook, "check": e.Check, "time": e.Started.UTC().Format(time.RFC3339Nano)}
	case event.PlayStart:
		return object{"type": "play_start", "play": e.Play, "hosts": list(e.Hosts)}
	case event.TaskStart:
		return object{
			"type": "task_start", "id": e.ID, "play": e.Play, "task": e.Task, "module": e.Module, "handler": e.Handler,
			"file": e.Place.File, "line": e.Place.Start.Line, "tags": list(e.Tags), "hosts": list(e.Hosts),
		}
	case event.HostUp:
		return object{"type": "host_up", "host": e.Host, "took_ms": milliseconds(e.Took), "uploaded": e.Uploaded}
	case event.HostDown:
		return object{"type": "host_down", "host": e.Host, "msg": e.Message, "hint": e.Hint}
	case event.Planned:
		return object{"type": "planned", "id": e.Task, "host": e.Host, "item": e.Item, "changes": list(e.Changes)}
	case event.StepDone:
		return object{"type": "step_done", "id": e.Task, "host": e.Host, "item": e.Item, "changes": list(e.Changes)}
	case event.Output:
		return object{"type": "output", "id": e.Task, "host": e.Host, "item": e.Item, "stream": e.Stream, "line": e.Line}
	case event.ItemEnd:
		return object{"type": "item_end", "id": e.Task, "host": e.Host, "item": e.Item, "status": e.Status, "changes": list(e.Changes), "msg": e.Message}
	case event.TaskEnd:
		return taskLine(e)
	case event.Message:
		return object{"type": "message", "host": e.Host, "text": e.Text, "warning": e.Warning}
	case event.RunEnd:
		return runLine(e)
	}
	return nil
}

func taskLine(e event.TaskEnd) object {
	line := object{
		"type": "task_end", "id": e.Task, "host": e.Host, "play": e.Play, "task": e.Name, "module": e.Module,
		"status": e.Status, "changes": list(e.Changes), "took_ms": milliseconds(e.Took), "msg": e.Message,
		"file": e.Place.File, "line": e.Place.Start.Line, "column": e.Place.Start.Column,
	}
	if e.Delegate != "" {
		line["delegate"] = e.Delegate
	}
	if e.Ignored {
		line["ignored"] = true
	}
	if e.Rescued {
		line["rescued"] = true
	}
	if e.Status == modules.Deferred {
		line["waits_for"] = e.Deferred
	}
	return line
}

func runLine(e event.RunEnd) object {
	hosts := object{}
	for host, t := range e.Hosts {
		hosts[host] = object{
			"ok": t.OK, "changed": t.Changed, "failed": t.Failed, "unreachable": t.Unreachable,
			"skipped": t.Skipped, "deferred": t.Deferred, "rescued": t.Rescued, "ignored": t.Ignored,
		}
	}
	return object{"type": "run_end", "hosts": hosts, "took_ms": milliseconds(e.Took), "interrupted": e.Interrupted}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// list makes an empty slice of nil, so that a program always finds an array.
func list[T string | change.Change](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
