// Package diag describes findings: what is wrong, where, and what would be
// right. Every layer that reads what a person wrote reports with it, so that
// all faults look alike and each has a file, a line and a column.
package diag

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a finding stops the run.
type Severity int

// The severities. The zero value is Error, so that a forgotten severity stops.
const (
	Error Severity = iota
	Warning
)

// String is the word shown to a person.
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Pos is a place in a file. Line and Column count from 1; Column counts
// characters, not bytes. The zero Pos is "no place known".
type Pos struct{ Line, Column int }

// IsZero reports whether the place is unknown.
func (p Pos) IsZero() bool { return p == Pos{} }

// Before reports whether p comes before q in a file.
func (p Pos) Before(q Pos) bool {
	return p.Line < q.Line || p.Line == q.Line && p.Column < q.Column
}

// Range is a stretch of one file. End is the place just behind the last
// character; it equals Start where only a point is known.
type Range struct {
	File       string
	Start, End Pos
}

// IsZero reports whether the range says nothing.
func (r Range) IsZero() bool { return r == Range{} }

// String is "file:line:column", as compilers write it; parts that are not
// known are left out.
func (r Range) String() string {
	switch {
	case r.Start.IsZero():
		return r.File
	case r.Start.Column == 0:
		return fmt.Sprintf("%s:%d", r.File, r.Start.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", r.File, r.Start.Line, r.Start.Column)
	}
}

// NamedValue is the value a variable had when an expression failed. Value is
// already text fit to be shown; the sink hides the secrets in it.
type NamedValue struct{ Name, Value string }

// Diagnostic is one finding. It is an error; errors.As finds it through %w.
type Diagnostic struct {
	Severity Severity
	Summary  string // one line: what is wrong, naming the thing
	Detail   string // more lines, where one is not enough
	Range    Range
	Related  []Note // other places that matter, such as the first of two equal keys
	Hint     string // what to do; "did you mean …"
	Values   []NamedValue
	Cause    error // what lay underneath, for errors.Is and errors.As
}

// Note points at a second place.
type Note struct {
	Text  string
	Range Range
}

// New is an error finding at a place. Format and args make the summary.
func New(at Range, format string, args ...any) Diagnostic {
	return Diagnostic{Range: at, Summary: fmt.Sprintf(format, args...)}
}

// WithHint returns d with a hint; an empty hint leaves d as it is.
func (d Diagnostic) WithHint(hint string) Diagnostic {
	if hint != "" {
		d.Hint = hint
	}
	return d
}

// WithDetail returns d with the longer text.
func (d Diagnostic) WithDetail(detail string) Diagnostic {
	d.Detail = detail
	return d
}

// WithCause returns d with the error it came from.
func (d Diagnostic) WithCause(err error) Diagnostic {
	d.Cause = err
	return d
}

// Error is the finding in one line: place, summary, hint.
func (d Diagnostic) Error() string {
	var b strings.Builder
	if at := d.Range.String(); at != "" {
		b.WriteString(at + ": ")
	}
	b.WriteString(d.Summary)
	if d.Hint != "" {
		b.WriteString(" (" + d.Hint + ")")
	}
	return b.String()
}

// Unwrap gives the cause, if any.
func (d Diagnostic) Unwrap() error { return d.Cause }

// List is a set of findings. As an error it names the first and counts the rest.
type List []Diagnostic

// Add appends a finding.
func (l *List) Add(d Diagnostic) { *l = append(*l, d) }

// AddError appends what err carries: a List whole, a Diagnostic as it is, and
// any other error as a finding at the given place. A nil err adds nothing.
func (l *List) AddError(at Range, err error) {
	if err == nil {
		return
	}
	if many, ok := errors.AsType[List](err); ok {
		*l = append(*l, many...)
		return
	}
	if one, ok := errors.AsType[Diagnostic](err); ok {
		*l = append(*l, one)
		return
	}
	l.Add(Diagnostic{Range: at, Summary: err.Error(), Cause: err})
}

// HasErrors reports whether any finding is more than a warning.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// ErrorOrNil is nil unless the list has errors; warnings alone are no failure.
// The error it returns is a List, sorted by place.
func (l List) ErrorOrNil() error {
	if !l.HasErrors() {
		return nil
	}
	l.Sort()
	return l
}

// Sort orders by file, line and column. Findings at one place keep their order.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Range.File, b.Range.File),
			cmp.Compare(a.Range.Start.Line, b.Range.Start.Line),
			cmp.Compare(a.Range.Start.Column, b.Range.Start.Column),
		)
	})
}

// Error names the first error and says how many more there are.
func (l List) Error() string {
	if len(l) == 0 {
		return "no findings"
	}
	first := l[max(0, slices.IndexFunc(l, func(d Diagnostic) bool { return d.Severity == Error }))]
	if len(l) == 1 {
		return first.Error()
	}
	return fmt.Sprintf("%s (and %d more)", first.Error(), len(l)-1)
}

// Unwrap lets errors.As reach each finding.
func (l List) Unwrap() []error {
	errs := make([]error, len(l))
	for i, d := range l {
		errs[i] = d
	}
	return errs
}
