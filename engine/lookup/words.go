package lookup

import (
	"errors"
	"strings"
)

// named is name=value of a term such as "key file=a.ini section=b".
type named struct{ name, text string }

// words cuts the options that Ansible lets stand in a term off it: rest is what
// is none of them. Quotes hold a value with blanks together.
func words(term string) (rest string, options []named, err error) {
	var plain []string
	for term = strings.TrimLeft(term, " \t\n"); term != ""; term = strings.TrimLeft(term, " \t\n") {
		word := ""
		if word, term, err = nextWord(term); err != nil {
			return "", nil, err
		}
		name, value, ok := strings.Cut(word, "=")
		if !ok || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			plain = append(plain, word)
			continue
		}
		options = append(options, named{name, unquote(value)})
	}
	return strings.Join(plain, " "), options, nil
}

// nextWord cuts the first word off; quotes count at its start and behind a =.
func nextWord(text string) (word, rest string, err error) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\n':
			return text[:i], text[i:], nil
		case (c == '"' || c == '\'') && (i == 0 || text[i-1] == '='):
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				return "", "", errors.New("a quote is opened and not closed")
			}
			i += end + 1
		}
	}
	return text, "", nil
}

func unquote(text string) string {
	if n := len(text); n >= 2 && (text[0] == '"' || text[0] == '\'') && text[n-1] == text[0] {
		return text[1 : n-1]
	}
	return text
}
