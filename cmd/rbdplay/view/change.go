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
	if !diff {
		return summaryLines(byTarget(changes))
	}
	var lines []string
	for _, group := range byTarget(changes) {
		lines = append(lines, targetLine(group))
		for _, c := range group {
			if multiline(c) {
				lines = append(lines, contentDiff(c)...)
			}
		}
	}
	return lines
}

// summaryLines names what changes. Neighbours of one kind, such as the packages
// of a transaction, stand on one line.
func summaryLines(groups [][]change.Change) []string {
	var lines []string
	for i := 0; i < len(groups); {
		first := groups[i][0]
		kind, _, several := strings.Cut(first.Target, " ")
		end := i + 1
		for several && end < len(groups) && alike(groups[i], groups[end], kind) {
			end++
		}
		if end-i < 3 {
			lines = append(lines, summaryLine(groups[i]))
			i++
			continue
		}
		var names []string
		for _, group := range groups[i:end] {
			names = append(names, printable(strings.TrimPrefix(group[0].Target, kind+" ")))
		}
		lines = append(lines, fmt.Sprintf("%s %d %ss: %s", first.Action, end-i, printable(kind), strings.Join(names, " ")))
		i = end
	}
	return lines
}

// alike reports whether two groups are told in the same words but for the name.
func alike(a, b []change.Change, kind string) bool {
	return a[0].Action == b[0].Action && strings.HasPrefix(b[0].Target, kind+" ") && fieldNames(a) == fieldNames(b)
}

// summaryLine is "update /etc/hosts  content, mode"; what is made or removed is so
// as a whole.
func summaryLine(group []change.Change) string {
	line := fmt.Sprintf("%s %s", group[0].Action, printable(group[0].Target))
	if fields := fieldNames(group); fields != "" && group[0].Action != change.Create && group[0].Action != change.Remove {
		line += "  " + fields
	}
	return line
}

func fieldNames(group []change.Change) string {
	var fields []string
	for _, c := range group {
		if c.Field != "" {
			fields = append(fields, printable(c.Field))
		}
	}
	return strings.Join(fields, ", ")
}

// byTarget gathers neighbouring changes of one target and action.
func byTarget(changes []change.Change) [][]change.Change {
	var groups [][]change.Change
	for _, c := range changes {
		n := len(groups)
		if n > 0 && goesOn(groups[n-1], c) {
			continue
		}
		if n > 0 && groups[n-1][0].Target == c.Target && groups[n-1][0].Action == c.Action {
			groups[n-1] = append(groups[n-1], c)
			continue
		}
		groups = append(groups, []change.Change{c})
	}
	return groups
}

// goesOn makes one change of c and an earlier one of the same field that ended
// where c begins: the items of a loop that make and edit a file show as one edit.
func goesOn(group []change.Change, c change.Change) bool {
	if group[0].Target != c.Target || c.Event() {
		return false
	}
	for i, earlier := range group {
		same := earlier.Action == c.Action || earlier.Action == change.Create && c.Action == change.Update
		if same && earlier.Field == c.Field && earlier.After == c.Before && earlier.Before != c.After {
			group[i].After = c.After
			return true
		}
	}
	return false
}

// targetLine is "update /etc/hosts  content, mode 0644 → 0600".
func targetLine(group []change.Change) string {
	var fields []string
	for _, c := range group {
		if text := fieldText(c); text != "" {
			fields = append(fields, text)
		}
	}
	line := fmt.Sprintf("%s %s", group[0].Action, printable(group[0].Target))
	if len(fields) > 0 {
		line += "  " + strings.Join(fields, ", ")
	}
	return line
}

func fieldText(c change.Change) string {
	field := printable(c.Field)
	if multiline(c) || c.Event() {
		return field
	}
	before, after := printable(c.Before.String()), printable(c.After.String())
	switch {
	case hides(c):
		field += " (hidden)"
	case c.Before.Kind == change.KindAbsent:
		field += " " + after
	case c.After.Kind == change.KindAbsent:
		field += " was " + before
	default:
		field += " " + before + " → " + after
	}
	return strings.TrimSpace(field)
}

func hides(c change.Change) bool {
	return c.Before.Kind == change.KindHidden || c.After.Kind == change.KindHidden
}

// multiline reports whether a change is best shown as a diff of lines.
func multiline(c change.Change) bool {
	lines := func(v change.Value) bool { return v.Kind == change.KindText && strings.Contains(v.Text, "\n") }
	textOrNothing := func(v change.Value) bool { return v.Kind == change.KindText || v.Kind == change.KindAbsent }
	return (lines(c.Before) || lines(c.After)) && textOrNothing(c.Before) && textOrNothing(c.After)
}

// contentDiff is a unified diff, without the two lines of its head, which would
// repeat the target.
func contentDiff(c change.Change) []string {
	text := strings.TrimRight(udiff.Unified("", "", c.Before.Text, c.After.Text), "\n")
	all := strings.Split(text, "\n")
	all = all[min(2, len(all)):]
	for i, line := range all {
		all[i] = "  " + printable(line)
	}
	return all
}
