package modules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// lineEditor is what lineinfile does to a text, with its expressions compiled.
type lineEditor struct {
	args          *LineinfileArgs
	line          string
	pattern       *regexp.Regexp // nil without regexp
	expansion     expansion      // of line, with backrefs
	place         *regexp.Regexp // of insertafter or insertbefore; nil without
	removed       int            // lines that were removed
	before, after string         // insertbefore and insertafter, when used
}

// editor checks the arguments that go together.
func (a *LineinfileArgs) editor() (*lineEditor, error) {
	e := &lineEditor{args: a, line: strings.TrimSuffix(a.Line, "\n"), before: a.InsertBefore, after: a.InsertAfter}
	switch {
	case a.Regexp != "" && a.SearchString != "":
		return nil, errors.New("regexp and search_string exclude each other")
	case a.InsertAfter != "" && a.InsertBefore != "":
		return nil, errors.New("insertafter and insertbefore exclude each other")
	case a.Backrefs && a.Regexp == "":
		return nil, errors.New("backrefs needs regexp")
	case strings.Contains(e.line, "\n"):
		return nil, errors.New("line holds more than one line; blockinfile is the module for that")
	case a.State == "absent" && a.Regexp == "" && a.SearchString == "" && a.Line == "":
		return nil, errors.New("state: absent needs line, search_string or regexp, to know what to remove")
	case a.State == "present" && a.Line == "":
		return nil, errors.New("state: present needs line")
	}
	if err := a.noPreserve(); err != nil {
		return nil, err
	}
	return e, e.compile()
}

func (e *lineEditor) compile() (err error) {
	if e.args.Regexp != "" {
		if e.pattern, err = compilePython(e.args.Regexp, ""); err != nil {
			return fmt.Errorf("regexp: %w", err)
		}
	}
	if e.args.Backrefs {
		if e.expansion, err = parseExpansion(e.line, e.pattern); err != nil {
			return fmt.Errorf("line: %w", err)
		}
	}
	if place := e.before + e.after; place != "" && place != "BOF" && place != "EOF" {
		if e.place, err = compilePython(place, ""); err != nil {
			return fmt.Errorf("insertafter or insertbefore: %w", err)
		}
	}
	return nil
}

// settle edits text until a further edit changes nothing, and says what was done.
// Each edit that replaces a line leaves one line less to replace, so a text that
// settles at all does so within as many edits as it has lines.
func (e *lineEditor) settle(text string) (settled, message string, err error) {
	if e.args.State == "absent" {
		settled = e.remove(text)
		if e.removed > 0 {
			message = fmt.Sprintf("%d line(s) removed", e.removed)
		}
		return settled, message, nil
	}
	lines := splitLines(text)
	for range len(lines) + 2 {
		next, did := e.present(lines)
		if slices.Equal(next, lines) {
			return strings.Join(lines, ""), message, nil
		}
		if message == "" {
			message = did
		}
		lines = next
	}
	return "", "", fmt.Errorf("line %q would be changed again by every run, since regexp matches what it makes; choose a regexp that leaves the new line alone", e.line)
}

// splitLines cuts text behind each newline; the last line may lack one.
func splitLines(text string) []string {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

func bare(line string) string { return strings.TrimRight(line, "\r\n") }

func (e *lineEditor) remove(text string) string {
	lines := splitLines(text)
	kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		if e.selects() {
			return e.selected(line) != nil
		}
		return bare(line) == e.line
	})
	e.removed = len(lines) - len(kept)
	return strings.Join(kept, "")
}

func (e *lineEditor) selects() bool { return e.pattern != nil || e.args.SearchString != "" }

// selected gives the match of regexp or search_string in line, nil without one.
func (e *lineEditor) selected(line string) []int {
	line = strings.TrimSuffix(line, "\n")
	if e.pattern != nil {
		return e.pattern.FindStringSubmatchIndex(line)
	}
	if at := strings.Index(line, e.args.SearchString); at >= 0 {
		return []int{at, at + len(e.args.SearchString)}
	}
	return nil
}

// present makes one edit: it replaces the line that is selected, else leaves one
// that is there already, else inserts it.
func (e *lineEditor) present(lines []string) (edited []string, did string) {
	if e.selects() {
		if at := e.search(lines, func(line string) bool { return e.selected(line) != nil }); at >= 0 {
			return replaceLine(lines, at, e.replacement(lines[at]))
		}
	}
	at, exact := e.insertionPoint(lines)
	switch {
	case exact >= 0:
		return replaceLine(lines, exact, e.line+"\n")
	case e.args.Backrefs:
		return lines, ""
	case e.before == "BOF" || e.after == "BOF":
		return e.insert(lines, 0)
	case at < 0:
		return e.insert(lines, len(lines))
	case e.after != "" && at < len(lines) && bare(lines[at]) == e.line,
		e.before != "" && at > 0 && bare(lines[at-1]) == e.line:
		return lines, "" // with firstmatch: it stands at its place
	}
	return e.insert(lines, at)
}

// replacement is what a selected line becomes.
func (e *lineEditor) replacement(old string) string {
	if e.args.Backrefs {
		old = strings.TrimSuffix(old, "\n")
		return e.expansion.expand(old, e.pattern.FindStringSubmatchIndex(old)) + "\n"
	}
	return e.line + "\n"
}

// search gives the index of the line that counts: the last that fits, or the first
// with firstmatch.
func (e *lineEditor) search(lines []string, fits func(string) bool) int {
	found := -1
	for i, line := range lines {
		if fits(line) {
			found = i
			if e.args.FirstMatch {
				break
			}
		}
	}
	return found
}

// insertionPoint finds where insertafter or insertbefore put the line, and where
// the very line is already; -1 for neither. With firstmatch the first of both ends
// the search.
func (e *lineEditor) insertionPoint(lines []string) (at, exact int) {
	at, exact = -1, -1
	for i, line := range lines {
		switch {
		case bare(line) == e.line:
			exact = i
			continue
		case e.place == nil || !e.place.MatchString(strings.TrimSuffix(line, "\n")):
			continue
		}
		at = i
		if e.after != "" {
			at++
		}
		if e.args.FirstMatch {
			break
		}
	}
	return at, exact
}

func replaceLine(lines []string, at int, line string) ([]string, string) {
	edited := slices.Clone(lines)
	edited[at] = line
	return edited, "line replaced"
}

// insert puts the line at index at; a last line without an end gets one first.
func (e *lineEditor) insert(lines []string, at int) ([]string, string) {
	edited := slices.Clone(lines)
	if n := len(edited); at == n && n > 0 && !strings.HasSuffix(edited[n-1], "\n") {
		edited[n-1] += "\n"
	}
	return slices.Insert(edited, at, e.line+"\n"), "line added"
}
