package template

import (
	"fmt"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
)

type partKind int

const (
	textPart partKind = iota
	outputPart
	statementPart
)

// part is a piece of a template. start and end are the byte offsets of text in
// the template; for text they are where it came from, white space included.
type part struct {
	kind       partKind
	text       string
	start, end int
}

// delimiters are the marks around the parts.
type delimiters struct {
	outputStart, outputEnd       string
	statementStart, statementEnd string
	commentStart, commentEnd     string
}

var standard = delimiters{"{{", "}}", "{%", "%}", "{#", "#}"}

// lexer cuts a template into parts and obeys the white space marks.
type lexer struct {
	source  string
	marks   delimiters
	options Options
	at      diag.Locator
	parts   []part
	pos     int
	strip   bool // the last tag ended with -, so white space behind it goes
	newline bool // the last tag takes the line break behind it
}

func (l *lexer) fail(start, end int, format string, args ...any) diag.Diagnostic {
	return diag.New(l.at.At(start, end), format, args...)
}

func (l *lexer) run() error {
	for l.pos < len(l.source) {
		start, mark := l.nextMark()
		if mark == "" {
			l.text(l.pos, len(l.source), false)
			return nil
		}
		body := start + len(mark)
		control := byte(0)
		if body < len(l.source) && (l.source[body] == '-' || l.source[body] == '+') {
			control = l.source[body]
			body++
		}
		l.text(l.pos, l.before(start, mark, control), control == '-')
		if err := l.tag(mark, start, body); err != nil {
			return err
		}
	}
	return nil
}

// nextMark finds the next opening mark. Where several begin at one place, the
// longest is meant.
func (l *lexer) nextMark() (int, string) {
	best, mark := -1, ""
	for _, candidate := range []string{l.marks.outputStart, l.marks.statementStart, l.marks.commentStart} {
		at := strings.Index(l.source[l.pos:], candidate)
		if at >= 0 && (best < 0 || at < best || at == best && len(candidate) > len(mark)) {
			best, mark = at, candidate
		}
	}
	return l.pos + max(best, 0), mark
}

// before is where the text before a tag ends: lstrip_blocks takes the blanks
// with which its line begins.
func (l *lexer) before(start int, mark string, control byte) int {
	if !l.options.LstripBlocks || control == '+' || mark == l.marks.outputStart {
		return start
	}
	text := l.source[l.pos:start]
	line := strings.LastIndexByte(text, '\n') + 1
	if strings.Trim(text[line:], " \t") != "" || line == 0 && l.pos > 0 && l.source[l.pos-1] != '\n' {
		return start
	}
	return l.pos + line
}

func (l *lexer) text(from, to int, stripEnd bool) {
	text := l.source[from:to]
	if l.strip {
		text = strings.TrimLeft(text, " \t\r\n\f\v")
	} else if l.newline {
		text = strings.TrimPrefix(strings.TrimPrefix(text, "\r"), "\n")
	}
	start := to - len(text)
	l.strip, l.newline = false, false
	if stripEnd {
		text = strings.TrimRight(text, " \t\r\n\f\v")
	}
	if text != "" {
		l.parts = append(l.parts, part{kind: textPart, text: strings.ReplaceAll(text, "\r\n", "\n"), start: start, end: start + len(text)})
	}
}

// tag reads the tag whose inside begins at body.
func (l *lexer) tag(mark string, start, body int) error {
	if mark == l.marks.commentStart {
		end := strings.Index(l.source[body:], l.marks.commentEnd)
		if end < 0 {
			return l.fail(start, start+len(mark), "the comment is not closed").WithHint("'" + l.marks.commentEnd + "' is missing")
		}
		end += body
		l.close(end, len(l.marks.commentEnd), end > body && l.source[end-1] == '-', true)
		return nil
	}
	closing, kind := l.marks.outputEnd, outputPart
	if mark == l.marks.statementStart {
		closing, kind = l.marks.statementEnd, statementPart
	}
	end, err := l.tagEnd(start, body, mark, closing)
	if err != nil {
		return err
	}
	inner := end
	control := byte(0)
	if inner > body && (l.source[inner-1] == '-' || kind == statementPart && l.source[inner-1] == '+') {
		inner--
		control = l.source[inner]
	}
	l.close(end, len(closing), control == '-', kind == statementPart && control != '+')
	if kind == statementPart && strings.TrimSpace(l.source[body:inner]) == "raw" {
		l.newline = false // Jinja trims behind endraw, not behind raw
		return l.raw(start)
	}
	l.parts = append(l.parts, part{kind: kind, text: l.source[body:inner], start: body, end: inner})
	return nil
}

func (l *lexer) close(end, length int, strip, block bool) {
	l.pos = end + length
	l.strip = strip
	l.newline = block && l.options.TrimBlocks
}

// tagEnd finds the closing mark, which counts neither in a string nor within
// brackets.
func (l *lexer) tagEnd(start, body int, mark, closing string) (int, error) {
	depth := 0
	for i := body; i < len(l.source); i++ {
		if depth == 0 && strings.HasPrefix(l.source[i:], closing) {
			return i, nil
		}
		switch c := l.source[i]; c {
		case '\'', '"':
			end := stringEnd(l.source, i)
			if end < 0 {
				return 0, l.fail(i, i+1, "the string is not closed").WithHint(fmt.Sprintf("a %c is missing", c))
			}
			i = end
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return 0, l.fail(start, start+len(mark), "'%s' is not closed", mark).WithHint("'" + closing + "' is missing")
}

func stringEnd(source string, start int) int {
	for i := start + 1; i < len(source); i++ {
		switch source[i] {
		case '\\':
			i++
		case source[start]:
			return i
		}
	}
	return -1
}

// raw takes everything up to {% endraw %} as text.
func (l *lexer) raw(start int) error {
	from := l.pos
	for at := from; ; {
		offset := strings.Index(l.source[at:], l.marks.statementStart)
		if offset < 0 {
			return l.fail(start, start+len(l.marks.statementStart), "'raw' is not closed").WithHint("{% endraw %} is missing")
		}
		open := at + offset
		at = open + len(l.marks.statementStart)
		end := strings.Index(l.source[at:], l.marks.statementEnd)
		if end < 0 {
			continue
		}
		inside := l.source[at : at+end]
		if strings.TrimSpace(strings.Trim(inside, "-+")) != "endraw" {
			continue
		}
		control := byte(0)
		if inside[0] == '-' || inside[0] == '+' {
			control = inside[0]
		}
		l.text(from, l.before(open, l.marks.statementStart, control), control == '-')
		l.close(at+end, len(l.marks.statementEnd), strings.HasSuffix(inside, "-"), !strings.HasSuffix(inside, "+"))
		return nil
	}
}
