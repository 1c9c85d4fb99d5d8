// Package view draws a run for those who follow it: people at a terminal,
// people who read a log, and programs that read JSON lines. A view is an
// event.Sink; it holds no more of the run than it needs to draw it.
package view

import (
	"fmt"
	"io"
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
	Width     int  // columns of the terminal; 0: not known
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
	down    map[string]bool // hosts that were reported as unreachable
	status  bool            // a status line is on the screen
	check   bool
}

// task is a task that has not ended on all its hosts.
type task struct {
	start   event.TaskStart
	ends    map[string]event.TaskEnd
	failed  map[string][]event.ItemEnd // items of a loop that failed, by host
	said    map[string][]string        // texts of debug, by host
	printed bool                       // its output is on the screen
}

// NewHuman returns a view that writes to out.
func NewHuman(out io.Writer, options Options) *Human {
	return &Human{out: out, options: options, tasks: map[int]*task{}, down: map[string]bool{}}
}

// Emit implements event.Sink.
func (h *Human) Emit(e event.Event) {
	switch e := e.(type) {
	case event.RunStart:
		h.runStart(e)
	case event.PlayStart:
		h.play = printable(e.Play)
	case event.TaskStart:
		h.tasks[e.ID] = &task{start: e, ends: map[string]event.TaskEnd{}, failed: map[string][]event.ItemEnd{}, said: map[string][]string{}}
		h.drawStatus(e.Task, e.Hosts)
	case event.HostDown:
		h.hostDown(e)
	case event.HostUp:
		h.hostUp(e)
	case event.Output:
		h.output(e)
	case event.ItemEnd:
		h.itemEnd(e)
	case event.TaskEnd:
		h.taskEnd(e)
	case event.Message:
		h.message(e)
	case event.RunEnd:
		h.recap(e)
	case event.Planned, event.StepDone:
	}
}

// printf writes a line. What came from a host or a file has been through printable.
func (h *Human) printf(format string, args ...any) {
	h.eraseStatus()
	fmt.Fprintf(h.out, format+"\n", args...)
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
		fmt.Fprint(h.out, "\r\x1b[K")
		h.status = false
	}
}

func (h *Human) drawStatus(name string, hosts []string) {
	if !h.options.Terminal {
		return
	}
	h.eraseStatus()
	line := printable(fmt.Sprintf("… %s: %s  %s", h.play, name, strings.Join(hosts, " ")))
	if h.options.Width > 0 {
		line = clip(line, h.options.Width-1)
	}
	fmt.Fprint(h.out, line)
	h.status = true
}

func (h *Human) runStart(e event.RunStart) {
	h.check = e.Check
	if e.Check {
		h.printf("%s: check, nothing is changed", printable(e.Playbook))
		return
	}
	h.printf("%s", printable(e.Playbook))
}

func (h *Human) hostDown(e event.HostDown) {
	h.down[e.Host] = true
	h.heading()
	h.printf("  %s %s", h.paint(color.FgRed, "unreachable"), printable(e.Message))
	for _, line := range lines(e.Hint) {
		h.printf("    %s", line)
	}
}

func (h *Human) hostUp(e event.HostUp) {
	if h.options.Verbosity == 0 {
		return
	}
	sent := ""
	if e.Uploaded > 0 {
		sent = fmt.Sprintf(", %d kB of agent sent", (e.Uploaded+1023)/1024)
	}
	h.heading()
	h.printf("  connected %s in %s%s", printable(e.Host), e.Took.Round(time.Millisecond), sent)
}

// output shows a line as it comes, below a heading of its task.
func (h *Human) output(e event.Output) {
	t := h.tasks[e.Task]
	if h.options.Verbosity < 2 || t == nil {
		return
	}
	if !t.printed {
		h.heading()
		h.printf("  %-8s %s", "running", title(t.start))
		t.printed = true
	}
	h.printf("    %s", printable(e.Host+" "+e.Stream+": "+e.Line))
}

// message shows what debug says when its task ends, and everything else at once.
func (h *Human) message(e event.Message) {
	if t := h.tasks[e.Task]; t != nil && !e.Warning {
		t.said[e.Host] = append(t.said[e.Host], e.Text)
		return
	}
	text := strings.Join(lines(e.Text), "\n")
	if e.Host != "" {
		text = printable(e.Host) + ": " + text
	}
	if e.Warning {
		text = h.paint(color.FgYellow, "warning") + " " + text
	}
	h.printf("%s", text)
}

func (h *Human) itemEnd(e event.ItemEnd) {
	if t := h.tasks[e.Task]; t != nil && (e.Status == modules.Failed || e.Status == modules.Unreachable) {
		t.failed[e.Host] = append(t.failed[e.Host], e)
	}
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
	h.eraseStatus()
}

// task prints one task. Hosts of which the same would be printed share a line.
func (h *Human) task(t *task) {
	type group struct {
		word, details string
		hosts         []string
	}
	var groups []*group
	for _, host := range t.start.Hosts {
		e := t.ends[host]
		if !h.worthShowing(t, e) {
			continue
		}
		g := &group{word: h.word(e), details: strings.Join(h.details(t, e), "\n")}
		at := slices.IndexFunc(groups, func(other *group) bool { return other.word == g.word && other.details == g.details })
		if at < 0 {
			at, groups = len(groups), append(groups, g)
		}
		if e.Delegate != "" && e.Delegate != host {
			host += "→" + e.Delegate
		}
		groups[at].hosts = append(groups[at].hosts, host)
	}
	for _, g := range groups {
		h.heading()
		h.printf("  %s %s  [%s]", g.word, title(t.start), printable(strings.Join(g.hosts, " ")))
		if g.details != "" {
			h.printf("%s", g.details)
		}
	}
}

func title(t event.TaskStart) string {
	if t.Handler {
		return "handler: " + printable(t.Task)
	}
	return printable(t.Task)
}

// heading names the play, before the first thing that is shown of it.
func (h *Human) heading() {
	if h.shown == h.play {
		return
	}
	h.shown = h.play
	h.printf("\n%s", h.paint(color.Bold, h.play))
}

func (h *Human) worthShowing(t *task, e event.TaskEnd) bool {
	switch e.Status {
	case modules.OK, modules.Skipped:
		return h.options.Verbosity > 0 || len(t.said[e.Host]) > 0
	case modules.Unreachable:
		// The loss of the host was told when it happened.
		return !h.down[e.Host] && !h.down[e.Delegate] || h.options.Verbosity > 0
	case modules.Changed, modules.Failed, modules.Deferred:
	}
	return true
}

var statusColors = map[modules.Status]color.Attribute{
	modules.OK: color.FgGreen, modules.Changed: color.FgYellow, modules.Skipped: color.FgCyan,
	modules.Failed: color.FgRed, modules.Unreachable: color.FgRed, modules.Deferred: color.FgBlue,
}

func (h *Human) word(e event.TaskEnd) string {
	word := string(e.Status)
	switch {
	case e.Ignored:
		word = "ignored"
	case e.Rescued:
		word = "rescued"
	}
	return h.paint(statusColors[e.Status], fmt.Sprintf("%-8s", word))
}

// details are the lines below a task's own.
func (h *Human) details(t *task, e event.TaskEnd) []string {
	var out []string
	for _, text := range t.said[e.Host] {
		out = append(out, indent(lines(text))...)
	}
	for _, line := range changeLines(e.Changes, h.options.Diff || e.Diff) {
		out = append(out, "    "+h.paintDiff(line))
	}
	switch e.Status {
	case modules.Failed:
		return append(out, h.fault(t, e)...)
	case modules.OK, modules.Changed:
		if h.options.Verbosity < 2 {
			return out
		}
	case modules.Unreachable:
		if h.down[e.Host] || h.down[e.Delegate] {
			return out
		}
	case modules.Skipped, modules.Deferred:
	}
	return append(out, indent(lines(e.Message))...)
}

func (h *Human) paintDiff(line string) string {
	switch {
	case strings.HasPrefix(line, "  +"):
		return h.paint(color.FgGreen, line)
	case strings.HasPrefix(line, "  -"):
		return h.paint(color.FgRed, line)
	default:
		return line
	}
}
