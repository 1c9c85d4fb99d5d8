package view

import "strings"

// printable keeps what comes from hosts from steering the terminal: control
// characters, and the marks that turn the direction of text around. Tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x2028, r == 0x2029:
			return '\uFFFD'
		}
		return r
	}, s)
}

// lines cuts a text into printable lines; an empty text has none.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(strings.TrimRight(text, "\r\n")) {
		out = append(out, printable(strings.TrimRight(line, "\r\n")))
	}
	return out
}

// indent moves lines below their task.
func indent(lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = "    " + line
	}
	return out
}

// columnsOf is how many columns of a terminal a text takes, at most.
func columnsOf(text string) int {
	n := 0
	for _, r := range text {
		n += columnsOfRune(r)
	}
	return n
}

// columnsOfRune counts everything from East Asia's letters on as wide.
func columnsOfRune(r rune) int {
	switch {
	case r == '\t':
		return 8
	case r >= 0x1100 && r != '…' && r != '→' && r != '“' && r != '”':
		return 2
	}
	return 1
}

// clip cuts a text to a number of columns.
func clip(text string, width int) string {
	for i, r := range text {
		if width -= columnsOfRune(r); width < 0 {
			return text[:i]
		}
	}
	return text
}
