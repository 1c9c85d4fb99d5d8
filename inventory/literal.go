package inventory

import (
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

// literal reads a value of an INI file as Ansible does, which asks Python: a
// number, True, False, None, a string in quotes, a list or a mapping of these;
// anything else is the text itself. "yes" and "0644" stay text.
func literal(text string) any {
	p := literalParser{text: text}
	value, ok := p.value(0)
	if !ok {
		return text
	}
	p.blank()
	if p.at < len(p.text) && p.text[p.at] != '#' {
		return text
	}
	return value
}

type literalParser struct {
	text string
	at   int
}

func (p *literalParser) blank() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

func (p *literalParser) take(c byte) bool {
	p.blank()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

const mostLiteralDepth = 50

func (p *literalParser) value(depth int) (any, bool) {
	p.blank()
	if p.at >= len(p.text) || depth > mostLiteralDepth {
		return nil, false
	}
	switch p.text[p.at] {
	case '[':
		p.at++
		return p.list(']', depth)
	case '(':
		p.at++
		return p.list(')', depth)
	case '{':
		p.at++
		return p.mapping(depth)
	case '\'', '"':
		return p.quoted()
	}
	return p.bare()
}

func (p *literalParser) list(end byte, depth int) (any, bool) {
	list, commas := []any{}, 0
	for {
		if p.take(end) {
			// (1) is a number in brackets, (1,) a tuple of one.
			if end == ')' && len(list) == 1 && commas == 0 {
				return list[0], true
			}
			return list, true
		}
		if len(list) > commas {
			return nil, false
		}
		item, ok := p.value(depth + 1)
		if !ok {
			return nil, false
		}
		list = append(list, item)
		if p.take(',') {
			commas++
		}
	}
}

func (p *literalParser) mapping(depth int) (any, bool) {
	mapping := map[string]any{}
	for !p.take('}') {
		key, ok := p.value(depth + 1)
		name, text := key.(string)
		if !ok || !text || !p.take(':') {
			return nil, false
		}
		if mapping[name], ok = p.value(depth + 1); !ok {
			return nil, false
		}
		if !p.take(',') {
			return mapping, p.take('}')
		}
	}
	return mapping, true
}

var (
	numberPattern = lazy.Regexp(`^[-+]?(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|[1-9][0-9_]*|0+)$`)
	floatPattern  = lazy.Regexp(`^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$`)
)

// bare reads a word: a number or one of Python's three constants.
func (p *literalParser) bare() (any, bool) {
	end := p.at
	for end < len(p.text) && !strings.ContainsRune(" \t,]})#:", rune(p.text[end])) {
		end++
	}
	word := p.text[p.at:end]
	p.at = end
	switch word {
	case "True":
		return true, true
	case "False":
		return false, true
	case "None":
		return nil, true
	}
	if numberPattern().MatchString(word) {
		n, err := strconv.ParseInt(strings.TrimPrefix(word, "+"), 0, 64)
		return int(n), err == nil
	}
	if floatPattern().MatchString(word) && strings.ContainsAny(word, ".eE") {
		f, err := strconv.ParseFloat(word, 64)
		return f, err == nil
	}
	return nil, false
}

// quoted reads a string in quotes with the escapes that are common.
func (p *literalParser) quoted() (any, bool) {
	quote := p.text[p.at]
	var out strings.Builder
	for i := p.at + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == quote:
			p.at = i + 1
			return out.String(), true
		case c == '\\' && i+1 < len(p.text):
			i++
			if plain, ok := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '\\': '\\', '\'': '\'', '"': '"'}[p.text[i]]; ok {
				out.WriteByte(plain)
				continue
			}
			out.WriteByte('\\')
			out.WriteByte(p.text[i])
		default:
			out.WriteByte(c)
		}
	}
	return nil, false
}
