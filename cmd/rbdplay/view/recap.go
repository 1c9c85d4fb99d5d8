package view

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/rbdplay/rbdplay/engine/event"
)

// total is a column of the recap.
type total struct {
	word   string
	color  color.Attribute
	always bool // shown even when it is 0 everywhere
	of     func(event.Totals) int
}

func (h *Human) columns() []total {
	return []total{
		{"ok", color.FgGreen, true, func(t event.Totals) int { return t.OK }},
		{"changed", color.FgYellow, true, func(t event.Totals) int { return t.Changed }},
		{"deferred", color.FgBlue, h.check, func(t event.Totals) int { return t.Deferred }},
		{"failed", color.FgRed, true, func(t event.Totals) int { return t.Failed }},
		{"unreachable", color.FgRed, false, func(t event.Totals) int { return t.Unreachable }},
		{"skipped", color.FgCyan, false, func(t event.Totals) int { return t.Skipped }},
		{"rescued", color.FgYellow, false, func(t event.Totals) int { return t.Rescued }},
		{"ignored", color.FgYellow, false, func(t event.Totals) int { return t.Ignored }},
	}
}

// recap prints a line for each host, and the run in one line. Hosts that nothing
// was done for are left out, unless that is so of all.
func (h *Human) recap(e event.RunEnd) {
	h.printf("")
	hosts := slices.Sorted(maps.Keys(e.Hosts))
	if busy := slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return e.Hosts[host] == event.Totals{} }); len(busy) > 0 {
		hosts = busy
	}
	rows := make([]string, len(hosts))
	for i, host := range hosts {
		rows[i] = printable(host)
	}
	width := widest(rows)
	for i := range rows {
		rows[i] += strings.Repeat(" ", width-columnsOf(rows[i]))
	}
	for _, column := range h.columns() {
		h.addColumn(rows, hosts, e.Hosts, column)
	}
	for _, row := range rows {
		h.printf("%s", row)
	}
	end := "done in"
	if e.Interrupted {
		end = "interrupted after"
	}
	h.printf("%s %s", end, e.Took.Round(10*time.Millisecond))
}

// addColumn adds a number to each row, all below each other; a column that is 0
// everywhere is left out.
func (h *Human) addColumn(rows, hosts []string, totals map[string]event.Totals, column total) {
	cells := make([]string, len(hosts))
	shown := column.always
	for i, host := range hosts {
		n := column.of(totals[host])
		cells[i] = strconv.Itoa(n)
		shown = shown || n > 0
	}
	if !shown {
		return
	}
	width := widest(cells)
	for i, host := range hosts {
		cell := column.word + strings.Repeat(" ", 1+width-len(cells[i])) + cells[i]
		if column.of(totals[host]) > 0 {
			cell = h.paint(column.color, cell)
		}
		rows[i] += "  " + cell
	}
}

func widest(texts []string) int {
	width := 0
	for _, text := range texts {
		width = max(width, columnsOf(text))
	}
	return width
}
