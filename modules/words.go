package modules

import (
	"errors"
	"strings"
)

// SplitWords splits a command line as a POSIX shell (and Ansible, through
// Python's shlex) would, without expanding anything.
func SplitWords(line string) ([]string, error) {
	var s wordSplitter
	for _, r := range line {
		s.take(r)
	}
	return s.end()
}

// wordSplitter is the state between two characters of a command line.
type wordSplitter struct {
	words   []string
	word    strings.Builder
	inWord  bool
	quote   rune // ' or " while inside, else 0
	escaped bool
}

func (s *wordSplitter) take(r rune) {
	switch {
	case s.escaped:
		if s.quote == '"' && r != '"' && r != '\\' {
			s.word.WriteRune('\\') // inside "…" a backslash protects only these two
		}
		s.word.WriteRune(r)
		s.escaped = false
	case r == '\\' && s.quote != '\'':
		s.escaped, s.inWord = true, true
	case s.quote != 0 && r == s.quote:
		s.quote = 0
	case s.quote == 0 && (r == '\'' || r == '"'):
		s.quote, s.inWord = r, true
	case s.quote == 0 && strings.ContainsRune(" \t\r\n", r):
		s.cut()
	default:
		s.word.WriteRune(r)
		s.inWord = true
	}
}

func (s *wordSplitter) cut() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
		s.word.Reset()
		s.inWord = false
	}
}

func (s *wordSplitter) end() ([]string, error) {
	if s.quote != 0 {
		return nil, errors.New("a quotation is not closed")
	}
	if s.escaped {
		return nil, errors.New("nothing follows the last backslash")
	}
	s.cut()
	return s.words, nil
}

// quoteWords writes words so that SplitWords, and a reader, can tell them apart.
func quoteWords(words []string) string {
	quoted := make([]string, 0, len(words))
	for _, word := range words {
		if word == "" || strings.ContainsAny(word, " \t\r\n'\"\\$&|;<>()*?[]#~`!{}") {
			word = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
		quoted = append(quoted, word)
	}
	return strings.Join(quoted, " ")
}
