package diag

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Sources keeps the text of the files that were read, so that a finding can
// show the line it speaks of even when the file has changed since. The zero
// value is ready; it is safe for concurrent use.
type Sources struct {
	mu    sync.RWMutex
	files map[string][]byte
}

// Add remembers a file's text. The bytes must not be changed afterwards.
func (s *Sources) Add(file string, text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	s.files[file] = text
}

// Line is the text of a line, counted from 1, without its end.
func (s *Sources) Line(file string, line int) (string, bool) {
	if s == nil {
		return "", false
	}
	s.mu.RLock()
	text, ok := s.files[file]
	s.mu.RUnlock()
	if !ok || line < 1 {
		return "", false
	}
	for range line - 1 {
		_, rest, more := bytes.Cut(text, []byte("\n"))
		if !more {
			return "", false
		}
		text = rest
	}
	found, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.TrimSuffix(string(found), "\r"), true
}

// The few colours used. Red for errors, yellow for warnings, bold for the
// place, cyan for the caret's gutter.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	cyan   = "\x1b[36m"
	plain  = "\x1b[0m"
)

// Format writes a finding for a person: place and summary, the source line with
// carets below the stretch meant, then detail, values and hint. A place whose
// source is not known is named without its line. The error is w's.
func Format(w io.Writer, d Diagnostic, src *Sources, color bool) error {
	p := printer{src: src, color: color}
	p.headline(d)
	p.snippet(d.Range)
	p.indented("", d.Detail)
	for _, note := range d.Related {
		fmt.Fprintf(&p.out, "  %s: %s\n", note.Range, note.Text)
		p.snippet(note.Range)
	}
	for _, v := range d.Values {
		p.indented("", v.Name+" = "+v.Value)
	}
	p.indented("hint: ", d.Hint)
	_, err := w.Write(p.out.Bytes())
	return err
}

type printer struct {
	out   bytes.Buffer
	src   *Sources
	color bool
}

func (p *printer) paint(code, text string) string {
	if !p.color {
		return text
	}
	return code + text + plain
}

func (p *printer) headline(d Diagnostic) {
	if at := d.Range.String(); at != "" {
		p.out.WriteString(p.paint(bold, at+":") + " ")
	}
	code := red
	if d.Severity == Warning {
		code = yellow
	}
	p.out.WriteString(p.paint(code, d.Severity.String()+":") + " " + d.Summary + "\n")
}

func (p *printer) indented(prefix, text string) {
	if text == "" {
		return
	}
	for line := range strings.Lines(prefix + text) {
		p.out.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
}

// snippet prints the range's first line and its carets. Tabs are kept in the
// caret line, so that it stands right whatever width the terminal gives them.
func (p *printer) snippet(at Range) {
	line, ok := p.src.Line(at.File, at.Start.Line)
	if !ok {
		return
	}
	number := fmt.Sprintf("%4d", at.Start.Line)
	fmt.Fprintf(&p.out, "%s %s\n", p.paint(cyan, number+" |"), printable(line))
	if at.Start.Column < 1 {
		return
	}
	gutter := strings.Repeat(" ", len(number)) + " |"
	fmt.Fprintf(&p.out, "%s %s\n", p.paint(cyan, gutter), caretLine(line, at, p.paint))
}

func caretLine(line string, at Range, paint func(code, text string) string) string {
	width := utf8.RuneCountInString(line)
	lead := min(at.Start.Column-1, width)
	var pad strings.Builder
	for _, r := range line {
		if lead == 0 {
			break
		}
		lead--
		pad.WriteString(blank(r))
	}
	carets := 1
	if at.End.Line == at.Start.Line {
		carets = at.End.Column - at.Start.Column
	} else if at.End.Line > at.Start.Line {
		carets = width - at.Start.Column + 1
	}
	carets = max(1, min(carets, width-at.Start.Column+1))
	return pad.String() + paint(red, strings.Repeat("^", carets))
}

// blank is what stands under a character: a tab under a tab, two spaces under
// the wide letters of East Asia, one under the rest.
func blank(r rune) string {
	switch {
	case r == '\t':
		return "\t"
	case r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 || r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd):
		return "  "
	default:
		return " "
	}
}

// printable keeps a hostile file from moving the cursor of a terminal.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && (r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0) {
			return '\uFFFD'
		}
		return r
	}, line)
}
