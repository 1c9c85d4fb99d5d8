package modules

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const pythonRegexpNote = "Expressions are Python's as far as they can be matched in linear time: look-around, back-references within the expression and possessive repeats are refused with an error that names them."

// cannotMatch are the constructs of Python's re that RE2 leaves out, because no
// automaton can match them.
var cannotMatch = []struct{ start, name string }{
	{"(?=", "the look-ahead (?=…)"},
	{"(?!", "the negative look-ahead (?!…)"},
	{"(?<=", "the look-behind (?<=…)"},
	{"(?<!", "the negative look-behind (?<!…)"},
	{"(?>", "the atomic group (?>…)"},
	{"(?P=", "the back-reference (?P=…)"},
	{"(?(", "the conditional (?(…)…)"},
	{"(?#", "the comment (?#…)"},
	{"(?x", "the verbose flag (?x)"},
}

// compilePython compiles a regular expression written as for Python's re module.
// flags are those of Go's syntax, as in "m" or "ms".
func compilePython(text, flags string) (*regexp.Regexp, error) {
	translated, err := translatePython(text)
	if err != nil {
		return nil, err
	}
	if flags != "" {
		translated = "(?" + flags + ")" + translated
	}
	compiled, err := regexp.Compile(translated)
	if err != nil {
		return nil, fmt.Errorf("the expression %q: %w", text, err)
	}
	return compiled, nil
}

// translatePython writes text in Go's flavour, or names what that cannot say.
func translatePython(text string) (string, error) {
	refuse := func(what string) (string, error) {
		return "", fmt.Errorf("the expression %q uses %s, which is not supported; write it without", text, what)
	}
	var out strings.Builder
	class := -1 // where the open character class began, or -1
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			if class < 0 && text[i] >= '1' && text[i] <= '9' {
				return refuse(`the back-reference ` + text[i-1:i+1])
			}
			out.WriteString(translateEscape(text[i-1:i+1], class >= 0))
			continue
		case class >= 0:
			first := text[class+1:i] == "" || text[class+1:i] == "^"
			if c == ']' && !first {
				class = -1
			}
			if c == '[' && i > class { // a plain character to Python, never [:name:]
				out.WriteByte('\\')
			}
		case c == '[':
			class = i
		case c == '(':
			for _, no := range cannotMatch {
				if strings.HasPrefix(text[i:], no.start) {
					return refuse(no.name)
				}
			}
		case strings.IndexByte("*+?}", c) >= 0 && i+1 < len(text) && text[i+1] == '+':
			return refuse("the possessive repeat " + string(c) + "+")
		case strings.HasPrefix(text[i:], "{,"):
			out.WriteString("{0")
			continue
		}
		out.WriteByte(c)
	}
	return out.String(), nil
}

func translateEscape(escape string, inClass bool) string {
	if escape == `\Z` && !inClass {
		return `\z`
	}
	return escape
}

// expansion is a replacement text with \1, \g<1> and \g<name>, taken apart.
type expansion []expansionPart

type expansionPart struct {
	text  string
	group int // -1: text is literal
}

// parseExpansion reads a replacement for matches of re, as Python's re.sub does.
func parseExpansion(text string, re *regexp.Regexp) (expansion, error) {
	var parts expansion
	for rest := text; rest != ""; {
		literal, behind, escaped := strings.Cut(rest, `\`)
		if literal != "" {
			parts = append(parts, expansionPart{literal, -1})
		}
		if !escaped {
			break
		}
		part, length, err := parseEscape(behind, re)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		parts = append(parts, part)
		rest = behind[length:]
	}
	return parts, nil
}

// parseEscape reads what follows a backslash, and says how many bytes that was.
func parseEscape(text string, re *regexp.Regexp) (part expansionPart, length int, err error) {
	if text == "" {
		return expansionPart{`\`, -1}, 0, nil
	}
	c := text[0]
	if plain, known := expansionEscapes[c]; known {
		return expansionPart{string(plain), -1}, 1, nil
	}
	switch {
	case strings.HasPrefix(text, "g<") && strings.Contains(text, ">"):
		name, _, _ := strings.Cut(text[2:], ">")
		group, err := groupOf(name, re)
		return expansionPart{group: group}, len(name) + 3, err
	case c >= '1' && c <= '9':
		length = 1
		if len(text) > 1 && text[1] >= '0' && text[1] <= '9' {
			length = 2
		}
		group, err := groupOf(text[:length], re)
		return expansionPart{group: group}, length, err
	case isLetter(c):
		return part, 0, fmt.Errorf(`the escape \%c means nothing here; write \\ for a backslash`, c)
	}
	return expansionPart{`\` + text[:1], -1}, 1, nil
}

var expansionEscapes = map[byte]byte{
	'0': 0, 'n': '\n', 't': '\t', 'r': '\r', '\\': '\\', 'a': '\a', 'b': '\b', 'f': '\f', 'v': '\v',
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func groupOf(name string, re *regexp.Regexp) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n < 0 || n > re.NumSubexp() {
			return 0, fmt.Errorf("the expression has %d groups, none is number %d", re.NumSubexp(), n)
		}
		return n, nil
	}
	if i := slices.Index(re.SubexpNames(), name); name != "" && i > 0 {
		return i, nil
	}
	return 0, fmt.Errorf("the expression has no group named %q", name)
}

// expand fills in the groups of one match: subject and the offsets that
// FindStringSubmatchIndex gave for it. A group that took no part is empty.
func (e expansion) expand(subject string, match []int) string {
	var out strings.Builder
	for _, part := range e {
		switch {
		case part.group < 0:
			out.WriteString(part.text)
		case match[2*part.group] >= 0:
			out.WriteString(subject[match[2*part.group]:match[2*part.group+1]])
		}
	}
	return out.String()
}
