// Package view draws a run for those who follow it: people at a terminal,
// people who read a log, and programs that read JSON lines. A view is an
// event.Sink; it holds no more of the run than it needs to draw it.
package view

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// Options of the human view.
type Options struct {
	Diff      bool
	Verbosity int  // 1: tasks that changed nothing too, 2: results and output
	Terminal  bool // a status line is drawn and erased
	Width     int  // columns of the terminal
	Color     bool
	Sources   *diag.Sources // for snippets of faults
}

// Human draws a run for a person. It shows what changed, what failed and what
// could not be known; on a terminal also what is running now.
type Human struct {
	out     io.Writer
	options Options
	play    string
	shown   string // the play whose heading was printed last
	tasks   map[int]*task
	order   []string // hosts, in the order of the play
	status  bool     // a status line is on the screen
	check   bool
}

type task struct {
	start event.TaskStart
	ends  map[string]event.TaskEnd
	lines []string // output that came while it ran
}

// NewHuman returns a view that writes to out.
func NewHuman(out io.Writer, options Options) *Human {
	return &Human{out: out, options: options, tasks: map[int]*task{}}
}

// Emit implements event.Sink.
func (h *Human) Emit(e event.Event) {
	h.eraseStatus()
	switch e := e.(type) {
	case event.RunStart:
		h.check = e.Check
		if e.Check {
			h.print("%s: check, nothing is changed", e.Playbook)
		} else {
			h.print("%s", e.Playbook)
		}
	case event.PlayStart:
		h.play, h.order = e.Play, e.Hosts
	case event.TaskStart:
		h.tasks[e.ID] = &task{start: e, ends: map[string]event.TaskEnd{}}
		h.drawStatus(e.Task, e.Hosts)
	case event.HostDown:
		h.print("%s %s", h.paint(color.FgRed, "unreachable"), printable(e.Message))
		if e.Hint != "" {
			h.print("  %s", e.Hint)
		}
	case event.HostUp:
		if h.options.Verbosity > 0 {
			h.print("connected %s in %s, %d bytes of agent sent", e.Host, e.Took.Round(time.Millisecond), e.Uploaded)
		}
	case event.Output:
		h.output(e)
	case event.TaskEnd:
		h.taskEnd(e)
	case event.Message:
		h.message(e)
	case event.RunEnd:
		h.recap(e)
	case event.Planned, event.StepDone, event.ItemEnd:
	}
}

func (h *Human) print(format string, args ...any) {
	fmt.Fprintf(h.out, format+"\n", args...) //nolint:errcheck // nobody is left to tell
}

func (h *Human) paint(attribute color.Attribute, text string) string {
	if !h.options.Color {
		return text
	}
	c := color.New(attribute)
	c.EnableColor()
	return c.Sprint(text)
}

func (h *Human) eraseStatus() {
	if h.status {
		fmt.Fprint(h.out, "\r\x1b[K") //nolint:errcheck // nobody is left to tell
		h.status = false
	}
}

func (h *Human) drawStatus(name string, hosts []string) {
	if !h.options.Terminal {
		return
	}
	line := []rune(fmt.Sprintf("… %s: %s  %s", h.play, name, strings.Join(hosts, " ")))
	if width := max(h.options.Width, 20); len(line) >= width {
		line = line[:width-1]
	}
	fmt.Fprint(h.out, string(line)) //nolint:errcheck // nobody is left to tell
	h.status = true
}

func (h *Human) output(e event.Output) {
	if h.options.Verbosity < 2 {
		return
	}
	h.print("    %s %s: %s", e.Host, e.Stream, printable(e.Line))
}

func (h *Human) message(e event.Message) {
	text := printable(e.Text)
	if e.Warning {
		text = h.paint(color.FgYellow, "warning ") + text
	}
	if e.Host != "" {
		text = e.Host + ": " + text
	}
	h.print("%s", text)
}

// taskEnd shows a task once all its hosts have ended.
func (h *Human) taskEnd(e event.TaskEnd) {
	t := h.tasks[e.Task]
	if t == nil {
		return
	}
	t.ends[e.Host] = e
	if len(t.ends) < len(t.start.Hosts) {
		waiting := slices.DeleteFunc(slices.Clone(t.start.Hosts), func(host string) bool { _, ended := t.ends[host]; return ended })
		h.drawStatus(t.start.Task, waiting)
		return
	}
	delete(h.tasks, e.Task)
	h.task(t)
}

// task prints one task: hosts that ended alike stand on one line.
func (h *Human) task(t *task) {
	for _, group := range h.alike(t) {
		first := group[0]
		if !h.worthShowing(first) {
			continue
		}
		h.heading()
		name := t.start.Task
		if t.start.Handler {
			name = "handler: " + name
		}
		h.print("  %s %s  [%s]", h.word(first), name, strings.Join(hostsOf(group), " "))
		h.details(t, first)
	}
}

func (h *Human) heading() {
	if h.shown == h.play {
		return
	}
	h.shown = h.play
	h.print("\n%s", h.paint(color.Bold, h.play))
}

func (h *Human) worthShowing(e event.TaskEnd) bool {
	switch e.Status {
	case modules.OK, modules.Skipped:
		return h.options.Verbosity > 0
	case modules.Changed, modules.Failed, modules.Unreachable, modules.Deferred:
	}
	return true
}

// alike groups the ends of a task by all that would be printed of them, in the
// order of the hosts.
func (h *Human) alike(t *task) [][]event.TaskEnd {
	var keys []string
	groups := map[string][]event.TaskEnd{}
	for _, host := range t.start.Hosts {
		e, ended := t.ends[host]
		if !ended {
			continue
		}
		key := fmt.Sprint(e.Status, e.Ignored, e.Rescued, e.Message, e.Deferred, changeLines(e.Changes, true))
		if _, there := groups[key]; !there {
			keys = append(keys, key)
		}
		groups[key] = append(groups[key], e)
	}
	var list [][]event.TaskEnd
	for _, key := range keys {
		list = append(list, groups[key])
	}
	return list
}

func hostsOf(ends []event.TaskEnd) []string {
	var hosts []string
	for _, e := range ends {
		name := e.Host
		if e.Delegate != "" {
			name += "→" + e.Delegate
		}
		hosts = append(hosts, name)
	}
	return hosts
}

func (h *Human) word(e event.TaskEnd) string {
	colors := map[modules.Status]color.Attribute{
		modules.OK: color.FgGreen, modules.Changed: color.FgYellow, modules.Skipped: color.FgCyan,
		modules.Failed: color.FgRed, modules.Unreachable: color.FgRed, modules.Deferred: color.FgBlue,
	}
	word := fmt.Sprintf("%-8s", e.Status)
	switch {
	case e.Ignored:
		word = "ignored "
	case e.Rescued:
		word = "rescued "
	}
	return h.paint(colors[e.Status], word)
}

func (h *Human) details(t *task, e event.TaskEnd) {
	for _, line := range changeLines(e.Changes, h.options.Diff) {
		h.print("    %s", h.paintDiff(line))
	}
	if e.Message != "" && (e.Status != modules.OK && e.Status != modules.Changed || h.options.Verbosity > 1) {
		for line := range strings.Lines(strings.TrimRight(e.Message, "\n")) {
			h.print("    %s", printable(strings.TrimRight(line, "\n")))
		}
	}
	if e.Status == modules.Failed {
		h.fault(t, e)
	}
}

// fault says where a failed task stands, and what a command printed.
func (h *Human) fault(t *task, e event.TaskEnd) {
	if e.Diagnostic != nil {
		_ = diag.Format(h.out, *e.Diagnostic, h.options.Sources, h.options.Color)
	}
	for _, key := range []string{"stderr", "stdout"} {
		text, _ := e.Result[key].(string)
		for line := range strings.Lines(text) {
			h.print("    %s: %s", key, printable(strings.TrimRight(line, "\n")))
		}
	}
	if at := t.start.Place; at.File != "" {
		h.print("    at %s:%d:%d", at.File, at.Start.Line, at.Start.Column)
	}
}

func (h *Human) paintDiff(line string) string {
	trimmed := strings.TrimLeft(line, " ")
	switch {
	case strings.HasPrefix(line, "  +") && strings.HasPrefix(trimmed, "+"):
		return h.paint(color.FgGreen, line)
	case strings.HasPrefix(line, "  -") && strings.HasPrefix(trimmed, "-"):
		return h.paint(color.FgRed, line)
	default:
		return line
	}
}

// recap prints a line for each host, and the run in one line.
func (h *Human) recap(e event.RunEnd) {
	h.print("")
	hosts := slices.Sorted(maps.Keys(e.Hosts))
	width := 0
	for _, host := range hosts {
		width = max(width, len(host))
	}
	for _, host := range hosts {
		h.print("%-*s  %s", width, host, h.totals(e.Hosts[host]))
	}
	end := "done in"
	if e.Interrupted {
		end = "interrupted after"
	}
	h.print("%s %s", end, e.Took.Round(10*time.Millisecond))
}

func (h *Human) totals(t event.Totals) string {
	var parts []string
	add := func(n int, word string, attribute color.Attribute, always bool) {
		if n > 0 || always {
			text := fmt.Sprintf("%s %d", word, n)
			if n > 0 {
				text = h.paint(attribute, text)
			}
			parts = append(parts, text)
		}
	}
	add(t.OK, "ok", color.FgGreen, true)
	add(t.Changed, "changed", color.FgYellow, true)
	add(t.Deferred, "deferred", color.FgBlue, h.check)
	add(t.Failed, "failed", color.FgRed, true)
	add(t.Unreachable, "unreachable", color.FgRed, false)
	add(t.Skipped, "skipped", color.FgCyan, false)
	add(t.Rescued, "rescued", color.FgYellow, false)
	add(t.Ignored, "ignored", color.FgYellow, false)
	return strings.Join(parts, "  ")
}
