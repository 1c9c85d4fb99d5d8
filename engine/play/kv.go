package play

import (
	"errors"
	"strings"
)

// piece is a part of a task's text with the bytes it stands in.
type piece struct {
	text     string
	from, to int
}

// splitPieces cuts text at white space, but not within quotes or {{ }} and {% %}.
// Quotes stay.
func splitPieces(text string) ([]piece, error) {
	var pieces []piece
	from, braces := -1, 0
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		blank := c == ' ' || c == '\t' || c == '\n' || c == '\r'
		if blank && quote == 0 && braces == 0 {
			if from >= 0 {
				pieces = append(pieces, piece{text[from:i], from, i})
			}
			from = -1
			continue
		}
		if from < 0 {
			from = i
		}
		switch {
		case c == '\\' && quote != 0 && i+1 < len(text):
			i++
		case braces > 0 && closes(text[i:]):
			braces--
			i++
		case braces == 0 && quote != 0 && c == quote:
			quote = 0
		case opens(text[i:]):
			braces++
			i++
		case braces == 0 && quote == 0 && (c == '"' || c == '\'') && (i == from || text[i-1] == '='):
			quote = c
		}
	}
	switch {
	case quote != 0:
		return nil, errors.New("a quote is opened and not closed")
	case braces > 0:
		return nil, errors.New("{{ is opened and not closed")
	}
	if from >= 0 {
		pieces = append(pieces, piece{text[from:], from, len(text)})
	}
	return pieces, nil
}

func opens(text string) bool { return strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "{%") }

func closes(text string) bool { return strings.HasPrefix(text, "}}") || strings.HasPrefix(text, "%}") }

// keyValue cuts "name=value"; ok is false for anything else.
func (p piece) keyValue() (key string, value piece, ok bool) {
	key, text, found := strings.Cut(p.text, "=")
	if !found || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		return "", piece{}, false
	}
	return key, piece{text, p.from + len(key) + 1, p.to}, true
}

// unquote takes away the quotes around a value and reads the escapes that
// Ansible reads in such text.
func (p piece) unquote() piece {
	n := len(p.text)
	if n >= 2 && (p.text[0] == '"' || p.text[0] == '\'') && p.text[n-1] == p.text[0] && p.text[n-2] != '\\' {
		p = piece{p.text[1 : n-1], p.from + 1, p.to - 1}
	}
	if strings.Contains(p.text, `\`) {
		p.text = escapes.Replace(p.text)
	}
	return p
}

var escapes = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t", `\r`, "\r", `\"`, `"`, `\'`, `'`)
