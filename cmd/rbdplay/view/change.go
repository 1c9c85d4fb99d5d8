package view

import (
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"github.com/rbdplay/rbdplay/engine/change"
)

// changeLines shows changes, indented by the caller. Without diff it names what
// changes; with diff it shows before and after. The text depends on nothing but
// the changes, so that a check and the run that follows show the same.
func changeLines(changes []change.Change, diff bool) []string {
	var lines []string
	for _, group := range byTarget(changes) {
		lines = append(lines, targetLine(group, diff))
		for _, c := range group {
			if diff && multiline(c) {
				lines = append(lines, contentDiff(c)...)
			}
		}
	}
	return lines
}

// byTarget gathers neighbouring changes of one target and action.
func byTarget(changes []change.Change) [][]change.Change {
	var groups [][]change.Change
	for _, c := range changes {
		if n := len(groups); n > 0 && groups[n-1][0].Target == c.Target && groups[n-1][0].Action == c.Action {
			groups[n-1] = append(groups[n-1], c)
			continue
		}
		groups = append(groups, []change.Change{c})
	}
	return groups
}

// targetLine is "update /etc/hosts  content, mode 0644 → 0600".
func targetLine(group []change.Change, diff bool) string {
	var fields []string
	for _, c := range group {
		if text := fieldText(c, diff); text != "" {
			fields = append(fields, text)
		}
	}
	line := fmt.Sprintf("%s %s", group[0].Action, printable(group[0].Target))
	if len(fields) > 0 {
		line += "  " + strings.Join(fields, ", ")
	}
	return line
}

func fieldText(c change.Change, diff bool) string {
	if !diff || multiline(c) || c.Event() {
		return c.Field
	}
	before, after := printable(c.Before.String()), printable(c.After.String())
	switch {
	case c.Before.Kind == change.KindHidden || c.After.Kind == change.KindHidden:
		return strings.TrimSpace(c.Field + " (hidden)")
	case c.Before.Kind == change.KindAbsent:
		return strings.TrimSpace(c.Field + " " + after)
	case c.After.Kind == change.KindAbsent:
		return strings.TrimSpace(c.Field + " was " + before)
	default:
		return strings.TrimSpace(fmt.Sprintf("%s %s → %s", c.Field, before, after))
	}
}

// multiline reports whether a change is best shown as a diff of lines.
func multiline(c change.Change) bool {
	lines := func(v change.Value) bool { return v.Kind == change.KindText && strings.Contains(v.Text, "\n") }
	textOrNothing := func(v change.Value) bool { return v.Kind == change.KindText || v.Kind == change.KindAbsent }
	return (lines(c.Before) || lines(c.After)) && textOrNothing(c.Before) && textOrNothing(c.After)
}

// contentDiff is a unified diff, without the header that repeats the target.
func contentDiff(c change.Change) []string {
	text := udiff.Unified("before", "after", c.Before.Text, c.After.Text)
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "+++ ") {
			continue
		}
		lines = append(lines, "  "+printable(strings.TrimRight(line, "\n")))
	}
	return lines
}

// printable keeps control characters of a host from reaching the terminal; tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r >= ' ' && r != 0x7f && !(r >= 0x80 && r < 0xa0) {
			return r
		}
		return '\uFFFD'
	}, s)
}
