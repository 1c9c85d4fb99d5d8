package expression

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

type tokenKind int

const (
	endToken tokenKind = iota
	nameToken
	stringToken
	intToken
	floatToken
	operatorToken
)

// token is a word of an expression. start and end are byte offsets.
type token struct {
	kind       tokenKind
	text       string // names and operators as written; strings after escapes
	number     any    // int or float64
	start, end int
}

func (t token) String() string {
	switch t.kind {
	case endToken:
		return "the end of the expression"
	case stringToken:
		return "a string"
	case nameToken, intToken, floatToken, operatorToken:
	}
	return "'" + t.text + "'"
}

// syntaxError is a fault of the text, at byte offsets within it.
type syntaxError struct {
	start, end    int
	message, hint string
}

func (e *syntaxError) Error() string { return e.message }

// mostTokens bounds an expression, and with it every tree made of it.
const mostTokens = 10_000

// operators, longest first.
var operators = []string{
	"**", "//", "==", "!=", ">=", "<=",
	"+", "-", "*", "/", "%", "~", "(", ")", "[", "]", "{", "}", "<", ">", "=", ".", ":", "|", ",",
}

func lex(source string, literal bool) ([]token, error) {
	l := lexer{source: source, literal: literal}
	var tokens []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		if t.kind == endToken {
			return tokens, nil
		}
		if len(tokens) > mostTokens {
			return nil, &syntaxError{start: t.start, end: t.end, message: fmt.Sprintf("the expression has more than %d words", mostTokens)}
		}
	}
}

type lexer struct {
	source  string
	at      int
	literal bool // a backslash in a string stands for itself
}

func (l *lexer) next() (token, error) {
	for l.at < len(l.source) && strings.IndexByte(" \t\r\n\f\v", l.source[l.at]) >= 0 {
		l.at++
	}
	if l.at == len(l.source) {
		return token{kind: endToken, start: l.at, end: l.at}, nil
	}
	r, width := utf8.DecodeRuneInString(l.source[l.at:])
	switch {
	case r == '_' || unicode.IsLetter(r):
		return l.name(), nil
	case r >= '0' && r <= '9':
		return l.number()
	case r == '"' || r == '\'':
		return l.string()
	}
	for _, operator := range operators {
		if strings.HasPrefix(l.source[l.at:], operator) {
			return l.take(operatorToken, len(operator)), nil
		}
	}
	return token{}, &syntaxError{
		start: l.at, end: l.at + width,
		message: fmt.Sprintf("unexpected character %q", r), hint: operatorHint(l.source[l.at:]),
	}
}

// operatorHint names Jinja's word for an operator of other languages.
func operatorHint(text string) string {
	for foreign, ours := range map[string]string{"&&": "and", "||": "or", "!": "not", "?": "a if condition else b"} {
		if strings.HasPrefix(text, foreign) {
			return fmt.Sprintf("write %q instead of %q", ours, foreign)
		}
	}
	return ""
}

func (l *lexer) take(kind tokenKind, length int) token {
	t := token{kind: kind, text: l.source[l.at : l.at+length], start: l.at, end: l.at + length}
	l.at += length
	return t
}

func (l *lexer) name() token {
	length := strings.IndexFunc(l.source[l.at:], func(r rune) bool {
		return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if length < 0 {
		length = len(l.source) - l.at
	}
	return l.take(nameToken, length)
}

// number reads Python's numbers: 1_000, 0x1f, 0o17, 0b1, 1.5, 1e9. A dot makes
// it a float only before a digit, so that 1.foo stays an attribute.
func (l *lexer) number() (token, error) {
	rest := l.source[l.at:]
	digits := func(from int) int {
		for from < len(rest) && (rest[from] >= '0' && rest[from] <= '9' || rest[from] == '_' && from+1 < len(rest) && rest[from+1] >= '0' && rest[from+1] <= '9') {
			from++
		}
		return from
	}
	length, kind := digits(0), intToken
	if len(rest) > 2 && rest[0] == '0' && strings.IndexByte("xXoObB", rest[1]) >= 0 {
		length = 2 + strings.IndexFunc(rest[2:]+" ", func(r rune) bool {
			return r != '_' && !unicode.Is(unicode.ASCII_Hex_Digit, r)
		})
	} else {
		if length+1 < len(rest) && rest[length] == '.' && digits(length+1) > length+1 {
			length, kind = digits(length+1), floatToken
		}
		if exponent := exponentEnd(rest, length, digits); exponent > length {
			length, kind = exponent, floatToken
		}
	}
	return l.parseNumber(kind, length)
}

func exponentEnd(rest string, at int, digits func(int) int) int {
	if at >= len(rest) || rest[at] != 'e' && rest[at] != 'E' {
		return at
	}
	sign := at + 1
	if sign < len(rest) && (rest[sign] == '+' || rest[sign] == '-') {
		sign++
	}
	if end := digits(sign); end > sign {
		return end
	}
	return at
}

func (l *lexer) parseNumber(kind tokenKind, length int) (token, error) {
	t := l.take(kind, length)
	plain := strings.ReplaceAll(t.text, "_", "")
	if kind == floatToken {
		value, err := strconv.ParseFloat(plain, 64)
		t.number = value
		return t, numberError(t, err)
	}
	base := 10
	if len(plain) > 2 && plain[0] == '0' && (plain[1] < '0' || plain[1] > '9') {
		base = 0
	} else if len(plain) > 1 && plain[0] == '0' && strings.Trim(plain, "0") != "" {
		return t, &syntaxError{
			start: t.start, end: t.end,
			message: t.text + " begins with a zero", hint: fmt.Sprintf("write 0o%s for an octal number, or '%s' for text", strings.TrimLeft(plain, "0"), t.text),
		}
	}
	value, err := strconv.ParseInt(plain, base, 64)
	t.number = int(value)
	return t, numberError(t, err)
}

func numberError(t token, err error) error {
	if err == nil {
		return nil
	}
	return &syntaxError{start: t.start, end: t.end, message: t.text + " is not a number that fits here"}
}

func (l *lexer) string() (token, error) {
	quote, start := l.source[l.at], l.at
	for at := start + 1; at < len(l.source); at++ {
		switch l.source[at] {
		case '\\':
			at++
		case quote:
			t := l.take(stringToken, at+1-start)
			t.text = t.text[1 : len(t.text)-1]
			if !l.literal {
				t.text = unescape(t.text)
			}
			return t, nil
		}
	}
	return token{}, &syntaxError{start: start, end: len(l.source), message: "the string is not closed", hint: fmt.Sprintf("a %c is missing", quote)}
}

// unescape follows Python: a backslash before a character that needs none stays.
func unescape(text string) string {
	if strings.IndexByte(text, '\\') < 0 {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			i++
			continue
		}
		i += writeEscape(&b, text[i:])
	}
	return b.String()
}

var simpleEscapes = map[byte]string{
	'\n': "", '\\': `\`, '\'': "'", '"': `"`,
	'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v",
}

// writeEscape writes what the escape at the start of text stands for and says
// how long it is.
func writeEscape(b *strings.Builder, text string) int {
	if simple, ok := simpleEscapes[text[1]]; ok {
		b.WriteString(simple)
		return 2
	}
	length, base := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[1]], 16
	digits := text[2:]
	if text[1] >= '0' && text[1] <= '7' {
		digits, base, length = text[1:], 8, 1
		for length < 3 && length < len(digits) && digits[length] >= '0' && digits[length] <= '7' {
			length++
		}
	}
	if length > 0 && len(digits) >= length {
		if code, err := strconv.ParseUint(digits[:length], base, 32); err == nil && code <= unicode.MaxRune {
			b.WriteRune(rune(code))
			return len(text) - len(digits) + length
		}
	}
	b.WriteString(text[:1])
	return 1
}
