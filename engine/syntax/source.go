package syntax

import (
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// source is a file's text with the offsets of its lines.
type source struct {
	file  string
	text  []byte
	lines []int // byte offset at which each line begins
}

func newSource(file string, text []byte) *source {
	s := &source{file: file, text: text, lines: []int{0}}
	for i, b := range text {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	return s
}

// point is an empty range at a line and column, both brought inside the file.
func (s *source) point(line, column int) diag.Range {
	offset := s.offset(line, column)
	return s.between(offset, offset)
}

// offset is where a line and column (in characters) lie in the text.
func (s *source) offset(line, column int) int {
	line = min(max(line, 1), len(s.lines))
	offset := s.lines[line-1]
	for range column - 1 {
		if offset >= len(s.text) || s.text[offset] == '\n' {
			break
		}
		_, width := utf8.DecodeRune(s.text[offset:])
		offset += width
	}
	return offset
}

func (s *source) pos(offset int) diag.Pos {
	offset = min(max(offset, 0), len(s.text))
	line := sort.SearchInts(s.lines, offset+1)
	begin := s.lines[line-1]
	return diag.Pos{Line: line, Column: 1 + utf8.RuneCount(s.text[begin:offset])}
}

func (s *source) between(from, to int) diag.Range {
	return diag.Range{File: s.file, Start: s.pos(from), End: s.pos(to)}
}

// line is the text of a line counted from 1, without its end.
func (s *source) line(number int) string {
	if number < 1 || number > len(s.lines) {
		return ""
	}
	text := string(s.text[s.lines[number-1]:])
	text, _, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(text, "\r")
}

type scalarStyle int

const (
	plainStyle scalarStyle = iota
	singleStyle
	doubleStyle
	blockStyle // | and >
)

func styleOf(style yaml.Style) scalarStyle {
	switch {
	case style&yaml.SingleQuotedStyle != 0:
		return singleStyle
	case style&yaml.DoubleQuotedStyle != 0:
		return doubleStyle
	case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return blockStyle
	default:
		return plainStyle
	}
}

// place finds where a scalar's text begins, behind its tag, anchor, quote or
// block header, and how far the scalar goes.
func (s *source) place(n *Node) {
	at := s.skipProperties(s.offset(n.Range.Start.Line, n.Range.Start.Column))
	n.content = at
	switch n.style {
	case plainStyle:
	case singleStyle, doubleStyle:
		n.content = min(at+1, len(s.text))
	case blockStyle:
		for n.content < len(s.text) && s.text[n.content] != '\n' {
			n.content++
		}
		n.content = min(n.content+1, len(s.text))
	}
	end := n.content
	if text := strings.TrimRight(n.Text, " \n"); n.style == blockStyle && text != "" {
		end = s.align(n, len(text)-1) + 1
	} else if n.style != blockStyle && n.Text != "" {
		end = s.align(n, len(n.Text))
	}
	if n.style == singleStyle || n.style == doubleStyle {
		end = min(end+1, len(s.text))
	}
	n.Range = s.between(at, max(at, end))
}

// skipProperties steps over `!tag` and `&anchor` to the value itself.
func (s *source) skipProperties(at int) int {
	for at < len(s.text) && (s.text[at] == '!' || s.text[at] == '&') {
		for at < len(s.text) && !isBlank(s.text[at]) {
			at++
		}
		for at < len(s.text) && isBlank(s.text[at]) {
			at++
		}
	}
	return at
}

func isBlank(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

// Locator finds where a part of a scalar's Text stands in the file. It is exact
// but for white space that YAML folded away.
func (n *Node) Locator() diag.Locator {
	return func(from, to int) diag.Range {
		if !n.IsScalar() || n.Text == "" || n.source == nil { // made, not read
			return n.Range
		}
		from = min(max(from, 0), len(n.Text))
		start := n.source.align(n, from)
		end := start
		if to > from {
			end = n.source.align(n, min(to, len(n.Text))-1) + 1
		}
		return n.source.between(start, max(start, end))
	}
}

// align walks the scalar's text and its source side by side and gives the
// source offset of the text's byte at want. White space in the one need not
// match white space in the other: that is all that folding and indentation do.
func (s *source) align(n *Node, want int) int {
	at := n.content
	for i := 0; i < want; {
		if isBlank(n.Text[i]) && !(n.style == doubleStyle && at < len(s.text) && s.text[at] == '\\') {
			if at < len(s.text) && isBlank(s.text[at]) {
				at++
			}
			i++
			continue
		}
		at = s.skipBlank(n, at)
		width, used := s.character(n.style, at, n.Text[i:])
		i, at = i+width, at+used
	}
	if want < len(n.Text) && !isBlank(n.Text[want]) {
		at = s.skipBlank(n, at)
	}
	return min(at, len(s.text))
}

func (s *source) skipBlank(n *Node, at int) int {
	for at < len(s.text) {
		switch {
		case isBlank(s.text[at]):
			at++
		case n.style == doubleStyle && s.text[at] == '\\' && at+1 < len(s.text) && (s.text[at+1] == '\n' || s.text[at+1] == '\r'):
			at += 2 // an escaped line break is nothing
		default:
			return at
		}
	}
	return at
}

// character says how many bytes of text the next source character makes, and
// how many bytes of source it takes.
func (s *source) character(style scalarStyle, at int, text string) (width, used int) {
	_, width = utf8.DecodeRuneInString(text)
	if at >= len(s.text) {
		return width, 0
	}
	switch {
	case style == singleStyle && s.text[at] == '\'':
		return width, 2
	case style == doubleStyle && s.text[at] == '\\' && at+1 < len(s.text):
		length := map[byte]int{'x': 4, 'u': 6, 'U': 10}[s.text[at+1]]
		return width, max(length, 2)
	}
	_, used = utf8.DecodeRune(s.text[at:])
	return width, used
}
