package syntax

import (
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/lazy"
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
	return s.explain(d, failure)
}

// explain adds what to do. Where the library notices a fault later than it was
// made, the finding is moved to where it was made.
func (s *source) explain(d diag.Diagnostic, failure *yaml.LoadError) diag.Diagnostic {
	line := d.Range.Start.Line
	switch message := failure.Message; {
	case strings.Contains(message, "end of stream") && strings.Contains(failure.ContextMsg, "quoted"):
		d.Range, d.Related = d.Related[0].Range, nil
		d.Summary = "this is not YAML: the quote that opens here is never closed"
		return d
	case strings.Contains(message, "cannot start any token"):
		return d.WithHint("a value that begins with %, @ or ` must be in quotes")
	case strings.Contains(message, "escape"):
		return d.WithHint("within double quotes a backslash begins an escape; use single quotes, or write two backslashes")
	case strings.Contains(message, "unknown anchor"):
		return d.WithHint("a value that begins with * must be in quotes, unless it is an alias")
	case strings.Contains(message, "expected ',' or"):
		return d.WithHint("a comma, or the closing bracket, is missing before this")
	}
	if above := s.line(line - 1); noSpaceAfter().MatchString(above) && !noSpaceAfter().MatchString(s.line(line)) {
		colon := strings.IndexByte(above, ':')
		d.Range = s.point(line-1, utf8.RuneCountInString(above[:colon])+1)
		return d.WithHint("a space is missing after the colon")
	}
	return d.WithHint(s.hint(line))
}

var (
	startsWithBraces = lazy.Regexp(`^\s*(?:- +)*(?:[^'"#]*?: +)?\{\{`)
	noSpaceAfter     = lazy.Regexp(`^\s*(?:- +)?[A-Za-z_][\w.]*:[^\s:/]`)
	twoColons        = lazy.Regexp(`^\s*(?:- +)?[^'"#:]+: +[^'"\[{|>&*!#][^#]*:(?: |$)`)
	textAfterQuote   = lazy.Regexp(`^\s*(?:- +)?(?:[^'"#]+: +)?(?:"[^"]*"|'[^']*')\s*[^\s#,\]}:]`)
)

// hint looks at the line for the mistakes that are made again and again.
func (s *source) hint(line int) string {
	text := s.line(line)
	switch {
	case strings.Contains(leading(text), "\t"):
		return "YAML is indented with spaces, never with tabs"
	case startsWithBraces().MatchString(text):
		return `a value that begins with {{ must be in quotes: "{{ … }}"`
	case textAfterQuote().MatchString(text):
		return "a value that begins with a quote ends with it; put the whole value in the other kind of quotes"
	case twoColons().MatchString(text):
		return "a value that contains ': ' must be in quotes"
	case noSpaceAfter().MatchString(text):
		return "a space is missing after the colon"
	}
	return "check the indentation of this line and of those above"
}

func leading(text string) string {
	return text[:len(text)-len(strings.TrimLeft(text, " \t"))]
}
