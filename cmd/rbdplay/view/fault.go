package view

import (
	"fmt"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// shownOutput is how many of the last lines that a failed command printed are
// shown; -vv shows all.
const shownOutput = 20

// fault says what failed, item by item, what a command printed, and where the
// task stands. Nothing is said twice.
func (h *Human) fault(t *task, e event.TaskEnd) []string {
	d := e.Diagnostic
	var out []string
	items := t.failed[e.Host]
	for _, item := range items {
		label := printable(item.Item)
		if label == "" {
			label = "an item"
		}
		if d != nil && item.Message == d.Summary {
			out = append(out, "    "+label+":")
			out = append(out, h.diagnostic(*d)...)
			d = nil
			continue
		}
		message := lines(item.Message)
		if len(message) == 0 {
			message = []string{"failed"}
		}
		message[0] = label + ": " + message[0]
		out = append(out, indent(message)...)
		out = append(out, h.printedBy(t, item.Message, item.Result)...)
	}
	if len(items) == 0 {
		if d == nil || e.Message != d.Summary {
			out = append(out, indent(lines(e.Message))...)
		}
		out = append(out, h.printedBy(t, e.Message, e.Result)...)
	}
	if d != nil {
		out = append(out, h.diagnostic(*d)...)
	}
	if at := e.Place; at.File != "" && (e.Diagnostic == nil || e.Diagnostic.Range.IsZero()) {
		out = append(out, "    at "+printable(at.String()))
	}
	return out
}

// diagnostic shows a fault of the playbook with its line.
func (h *Human) diagnostic(d diag.Diagnostic) []string {
	var text strings.Builder
	_ = diag.Format(&text, sanitized(d), h.options.Sources, h.options.Color) // a Builder never fails
	return indent(strings.Split(strings.TrimRight(text.String(), "\n"), "\n"))
}

// sanitized is d without control characters: its texts may quote a host.
func sanitized(d diag.Diagnostic) diag.Diagnostic {
	keepLines := func(text string) string { return strings.Join(lines(text), "\n") }
	d.Summary, d.Detail, d.Hint = printable(d.Summary), keepLines(d.Detail), keepLines(d.Hint)
	d.Range.File = printable(d.Range.File)
	related := make([]diag.Note, len(d.Related))
	for i, note := range d.Related {
		note.Text, note.Range.File = printable(note.Text), printable(note.Range.File)
		related[i] = note
	}
	d.Related = related
	values := make([]diag.NamedValue, len(d.Values))
	for i, v := range d.Values {
		values[i] = diag.NamedValue{Name: printable(v.Name), Value: keepLines(v.Value)}
	}
	d.Values = values
	return d
}

// printedBy shows the end of what a failed command printed, unless it is on the
// screen already or the message quotes it.
func (h *Human) printedBy(t *task, message string, result modules.Result) []string {
	if t.printed {
		return nil
	}
	var out []string
	for _, stream := range []string{"stderr", "stdout"} {
		text, _ := result[stream].(string)
		if text = strings.TrimSpace(text); text == "" || strings.Contains(message, text) {
			continue
		}
		all := lines(text)
		if left := len(all) - shownOutput; left > 0 {
			all = append([]string{fmt.Sprintf("(%d lines left out; -vv shows them)", left)}, all[left:]...)
		}
		for _, line := range all {
			out = append(out, "    "+stream+": "+line)
		}
	}
	return out
}
