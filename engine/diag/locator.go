package diag

import (
	"strings"
	"unicode/utf8"
)

// Locator turns byte offsets within a piece of text (an expression, a template,
// a scalar) into the place it has in its file. From may equal to. A nil Locator
// knows no place.
type Locator func(from, to int) Range

// At is l(from, to), and no place at all for a nil Locator.
func (l Locator) At(from, to int) Range {
	if l == nil {
		return Range{}
	}
	return l(from, to)
}

// Shift gives the Locator of the text that starts offset bytes into l's text.
func (l Locator) Shift(offset int) Locator {
	if l == nil || offset == 0 {
		return l
	}
	return func(from, to int) Range { return l(from+offset, to+offset) }
}

// Fixed locates everything at one range. It serves text whose parts cannot be
// traced, such as a value given on the command line.
func Fixed(at Range) Locator { return func(int, int) Range { return at } }

// InText locates within the whole text of a file.
func InText(file, text string) Locator {
	return func(from, to int) Range {
		return Range{File: file, Start: posAt(text, from), End: posAt(text, to)}
	}
}

func posAt(text string, offset int) Pos {
	head := text[:min(max(offset, 0), len(text))]
	lineStart := strings.LastIndexByte(head, '\n') + 1
	return Pos{
		Line:   1 + strings.Count(head, "\n"),
		Column: 1 + utf8.RuneCountInString(head[lineStart:]),
	}
}
