package syntax

import (
	"errors"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// syntaxError turns the library's error into a finding with a place, and adds
// what a person most likely did. The library's wording is kept as the summary.
func (s *source) syntaxError(err error) diag.Diagnostic {
	var failure *yaml.LoadError
	if !errors.As(err, &failure) {
		return diag.Diagnostic{Range: diag.Range{File: s.file}, Summary: "this is not YAML: " + err.Error(), Cause: err}
	}
	mark := failure.Mark
	if mark.Line == 0 {
		mark = failure.ContextMark
	}
	d := diag.New(s.point(mark.Line, mark.Column), "this is not YAML: %s", failure.Message)
	d.Cause = err
	if failure.ContextMsg != "" && failure.ContextMark.Line > 0 {
		d.Related = append(d.Related, diag.Note{
			Text:  failure.ContextMsg,
			Range: s.point(failure.ContextMark.Line, failure.ContextMark.Column),
		})
	}
	return d.WithHint(s.hint(mark.Line))
}

var (
	startsWithBraces = regexp.MustCompile(`^\s*(?:- +)*(?:[^'"#]*?: +)?\{\{`)
	noSpaceAfter     = regexp.MustCompile(`^\s*(?:- +)?[A-Za-z_][\w.]*:[^\s:/]`)
	twoColons        = regexp.MustCompile(`^\s*(?:- +)?[^'"#:]+: +[^'"\[{|>&*!#][^#]*:(?: |$)`)
	textAfterQuote   = regexp.MustCompile(`^\s*(?:- +)?(?:[^'"#]+: +)?(?:"[^"]*"|'[^']*')\s*[^\s#,\]}:]`)
)

// hint looks at the line and its predecessor for the mistakes that are made
// again and again.
func (s *source) hint(line int) string {
	for _, number := range []int{line, line - 1} {
		text := s.line(number)
		switch {
		case strings.Contains(leading(text), "\t"):
			return "YAML is indented with spaces, never with tabs"
		case startsWithBraces.MatchString(text):
			return `a value that begins with {{ must be in quotes: "{{ … }}"`
		case textAfterQuote.MatchString(text):
			return "a value that begins with a quote ends with it; put the whole value in the other kind of quotes"
		case twoColons.MatchString(text):
			return "a value that contains ': ' must be in quotes"
		case noSpaceAfter.MatchString(text):
			return "a space is missing after the colon"
		case strings.Count(text, `"`)%2 == 1 || strings.Count(text, "'")%2 == 1:
			return "a quote is opened and not closed"
		}
	}
	return "check the indentation of this line and of the one above"
}

func leading(text string) string {
	return text[:len(text)-len(strings.TrimLeft(text, " \t"))]
}
