package expression

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// formatPercent is Python's `text % values`.
func formatPercent(format string, values any) (string, error) {
	f := percentFormatter{values: values}
	if list, ok := values.([]any); ok {
		f.list = list
	} else {
		f.list = []any{values}
	}
	for format != "" {
		literal, rest, found := strings.Cut(format, "%")
		f.out.WriteString(literal)
		if !found {
			break
		}
		used, err := f.directive(rest)
		if err != nil {
			return "", err
		}
		format = rest[used:]
	}
	if f.next < len(f.list) && !isMapping(values) {
		return "", errors.New("not all values were used by the format")
	}
	return f.out.String(), nil
}

type percentFormatter struct {
	out    strings.Builder
	values any
	list   []any
	next   int
}

// directive writes one % directive, whose text begins behind the %, and says how
// long it is.
func (f *percentFormatter) directive(text string) (int, error) {
	at, spec := 0, formatSpec{fill: " ", precision: -1}
	var value any
	named := false
	if strings.HasPrefix(text, "(") {
		end := strings.IndexByte(text, ')')
		if end < 0 || !isMapping(f.values) {
			return 0, errors.New("%(name)s needs a mapping on the right of %")
		}
		entry, ok, err := mappingGet(context.Background(), f.values, text[1:end])
		if err != nil || !ok {
			return 0, fmt.Errorf("the mapping has no key %q", text[1:end])
		}
		value, named, at = entry, true, end+1
	}
	for ; at < len(text) && strings.IndexByte("-+ #0", text[at]) >= 0; at++ {
		spec.flag(text[at])
	}
	at += spec.readWidth(text[at:])
	if at >= len(text) {
		return 0, errors.New("the format ends within a % directive")
	}
	verb := text[at]
	if verb == '%' {
		f.out.WriteByte('%')
		return at + 1, nil
	}
	if !named {
		if f.next >= len(f.list) {
			return 0, errors.New("there are fewer values than % directives")
		}
		value = f.list[f.next]
		f.next++
	}
	formatted, err := spec.percent(verb, value)
	f.out.WriteString(formatted)
	return at + 1, err
}

// formatSpec is the part of a directive that says how wide and how exact.
type formatSpec struct {
	fill      string
	align     byte // '<', '>', '^', '=' or 0 for the type's own
	sign      byte
	alternate bool
	comma     byte
	width     int
	precision int
	verb      byte
}

func (s *formatSpec) flag(b byte) {
	switch b {
	case '-':
		s.align = '<'
	case '0':
		if s.align == 0 {
			s.fill, s.align = "0", '='
		}
	case '#':
		s.alternate = true
	default:
		s.sign = b
	}
}

// readWidth reads `width.precision` and says how long it is.
func (s *formatSpec) readWidth(text string) int {
	read := func(from int) (int, int) {
		value, at := 0, from
		for ; at < len(text) && text[at] >= '0' && text[at] <= '9'; at++ {
			value = min(value*10+int(text[at]-'0'), mostRepeated)
		}
		return value, at
	}
	at := 0
	s.width, at = read(at)
	if at < len(text) && (text[at] == ',' || text[at] == '_') {
		s.comma = text[at]
		at++
	}
	if at < len(text) && text[at] == '.' {
		s.precision, at = read(at + 1)
		s.precision = min(s.precision, 1000)
	}
	return at
}

func (s *formatSpec) percent(verb byte, value any) (string, error) {
	if s.align == 0 {
		s.align = '>'
	}
	s.verb = verb
	switch verb {
	case 's':
		return s.text(Text(value))
	case 'r':
		return s.text(Repr(value))
	case 'c':
		if text, ok := value.(string); ok && utf8.RuneCountInString(text) == 1 {
			return s.text(text)
		}
	}
	if strings.IndexByte("diufFeEgGxXoc", verb) < 0 {
		return "", fmt.Errorf("%%%c is not a format that is known", verb)
	}
	if strings.IndexByte("diu", verb) >= 0 {
		s.verb = 'd'
		if f, ok := value.(float64); ok {
			value = int(f)
		}
	}
	if _, _, _, ok := number(value); !ok {
		return "", fmt.Errorf("%%%c needs a number, found %s", verb, nameWithArticle(value))
	}
	return s.number(value)
}

func (s *formatSpec) text(text string) (string, error) {
	if s.precision >= 0 {
		runes := []rune(text)
		text = string(runes[:min(len(runes), s.precision)])
	}
	align := s.align
	if align == 0 || align == '=' {
		align = '<'
	}
	return pad(text, s.fill, align, s.width)
}

func (s *formatSpec) number(value any) (string, error) {
	digits, err := s.digits(value)
	if err != nil {
		return "", err
	}
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	} else if s.sign == '+' || s.sign == ' ' {
		sign = string(s.sign)
	}
	if s.comma != 0 {
		digits = groupDigits(digits, s.comma)
	}
	if s.alternate {
		sign += map[byte]string{'x': "0x", 'X': "0X", 'o': "0o", 'b': "0b"}[s.verb]
	}
	switch s.align {
	case '=':
		padded, err := pad(digits, s.fill, '>', s.width-len(sign))
		return sign + padded, err
	case 0:
		return pad(sign+digits, s.fill, '>', s.width)
	}
	return pad(sign+digits, s.fill, s.align, s.width)
}

func (s *formatSpec) digits(value any) (string, error) {
	i, f, whole, _ := number(value)
	switch s.verb {
	case 'd', 'x', 'X', 'o', 'b', 'c':
		if !whole {
			return "", fmt.Errorf("the format '%c' needs an integer, found %s", s.verb, nameWithArticle(value))
		}
		if s.verb == 'c' {
			return string(rune(i)), nil
		}
		base := map[byte]int{'d': 10, 'x': 16, 'X': 16, 'o': 8, 'b': 2}[s.verb]
		digits := strconv.FormatInt(int64(i), base)
		if s.verb == 'X' {
			digits = strings.ToUpper(digits)
		}
		return digits, nil
	case 'e', 'E', 'f', 'F', 'g', 'G', '%', 'n':
		return s.float(f), nil
	case 0:
		if whole {
			return strconv.Itoa(i), nil
		}
		if s.precision < 0 {
			return floatText(f), nil
		}
		return trimFloat(strconv.FormatFloat(f, 'g', max(s.precision, 1), 64)), nil
	}
	return "", fmt.Errorf("the format '%c' is not known for numbers", s.verb)
}

func (s *formatSpec) float(f float64) string {
	precision := s.precision
	if precision < 0 {
		precision = 6
	}
	switch s.verb {
	case '%':
		return strconv.FormatFloat(f*100, 'f', precision, 64) + "%"
	case 'g', 'G', 'n':
		return formatGeneral(f, max(precision, 1), s.verb == 'G')
	}
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return floatText(f)
	}
	verb := s.verb
	if verb == 'F' {
		verb = 'f'
	}
	return strconv.FormatFloat(f, verb, precision, 64)
}

// formatGeneral is C's %g.
func formatGeneral(f float64, precision int, upper bool) string {
	exact := strconv.FormatFloat(f, 'e', precision-1, 64)
	exponent, err := strconv.Atoi(exact[strings.LastIndexByte(exact, 'e')+1:])
	text := exact
	if err == nil && exponent >= -4 && exponent < precision {
		text = strconv.FormatFloat(f, 'f', precision-1-exponent, 64)
	}
	if mantissa, rest, found := strings.Cut(text, "e"); found {
		text = trimZeros(mantissa) + "e" + rest
	} else {
		text = trimZeros(text)
	}
	if upper {
		return strings.ToUpper(text)
	}
	return text
}

func trimZeros(text string) string {
	if !strings.Contains(text, ".") {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func trimFloat(text string) string {
	if !strings.ContainsAny(text, ".e") {
		return text + ".0"
	}
	return text
}

func groupDigits(digits string, separator byte) string {
	whole, rest, _ := strings.Cut(digits, ".")
	if rest != "" {
		rest = "." + rest
	}
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + string(separator) + whole[at:]
	}
	return whole + rest
}

// formatMethod is Python's text.format(…).
func formatMethod(c *Call) (any, error) {
	f := braceFormatter{call: c}
	if err := f.write(c.Input.(string), 0); err != nil {
		return nil, err
	}
	return f.out.String(), nil
}

type braceFormatter struct {
	out  strings.Builder
	call *Call
	next int
}

func (f *braceFormatter) write(format string, depth int) error {
	if depth > 1 {
		return errors.New("fields within fields within fields are too deep")
	}
	for i := 0; i < len(format); {
		at := strings.IndexAny(format[i:], "{}")
		if at < 0 {
			f.out.WriteString(format[i:])
			return nil
		}
		f.out.WriteString(format[i : i+at])
		i += at
		if strings.HasPrefix(format[i:], "{{") || strings.HasPrefix(format[i:], "}}") {
			f.out.WriteByte(format[i])
			i += 2
			continue
		}
		end := closingBrace(format[i:])
		if format[i] == '}' || end < 0 {
			return errors.New("a brace in the format stands alone; write {{ or }} for a plain one")
		}
		if err := f.field(format[i+1:i+end], depth); err != nil {
			return err
		}
		i += end + 1
	}
	return nil
}

func closingBrace(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// field writes `name!conversion:spec`.
func (f *braceFormatter) field(text string, depth int) error {
	name, specText, _ := strings.Cut(text, ":")
	name, conversion, _ := strings.Cut(name, "!")
	value, err := f.lookup(name)
	if err != nil {
		return err
	}
	switch conversion {
	case "r":
		value = Repr(value)
	case "s":
		value = Text(value)
	}
	if strings.Contains(specText, "{") {
		inner := braceFormatter{call: f.call, next: f.next}
		if err := inner.write(specText, depth+1); err != nil {
			return err
		}
		specText, f.next = inner.out.String(), inner.next
	}
	formatted, err := formatValue(value, specText)
	f.out.WriteString(formatted)
	return err
}

func (f *braceFormatter) lookup(name string) (any, error) {
	head := name
	if at := strings.IndexAny(name, ".["); at >= 0 {
		head = name[:at]
	}
	var value any
	index, err := strconv.Atoi(head)
	switch {
	case head == "":
		index = f.next
		f.next++
		fallthrough
	case err == nil:
		if index < 0 || index >= len(f.call.Rest) {
			return nil, fmt.Errorf("the format wants value %d, and there are %d", index, len(f.call.Rest))
		}
		value = f.call.Rest[index]
	default:
		var ok bool
		if value, ok = f.call.Named[head]; !ok {
			return nil, fmt.Errorf("the format wants %q, which is not given", head)
		}
	}
	return f.walk(value, name[len(head):])
}

// walk follows `.name` and `[key]`.
func (f *braceFormatter) walk(value any, path string) (any, error) {
	for path != "" {
		var key string
		if path[0] == '[' {
			inner, rest, found := strings.Cut(path[1:], "]")
			if !found {
				return nil, errors.New("a ] is missing in the format")
			}
			key, path = inner, rest
		} else {
			path = path[1:]
			end := strings.IndexAny(path+".", ".[")
			key, path = path[:end], path[end:]
		}
		item, err := f.call.frame.item(f.call.site, Normalize(value), key)
		if err != nil {
			return nil, err
		}
		if _, missing := item.(*Undefined); missing {
			return nil, fmt.Errorf("the format wants %q, which is not there", key)
		}
		value = item
	}
	return value, nil
}

// formatValue is Python's format(value, spec).
func formatValue(value any, text string) (string, error) {
	if text == "" {
		return Text(value), nil
	}
	spec := formatSpec{fill: " ", precision: -1}
	runes := []rune(text)
	switch {
	case len(runes) > 1 && strings.ContainsRune("<>^=", runes[1]):
		spec.fill, spec.align = string(runes[0]), byte(runes[1])
		text = string(runes[2:])
	case strings.ContainsRune("<>^=", runes[0]):
		spec.align = byte(runes[0])
		text = text[1:]
	}
	for text != "" && strings.IndexByte("+- #0", text[0]) >= 0 {
		if text[0] != '-' {
			spec.flag(text[0])
		}
		text = text[1:]
	}
	text = text[spec.readWidth(text):]
	if len(text) > 1 {
		return "", fmt.Errorf("the format %q is not known", text)
	}
	if text != "" {
		spec.verb = text[0]
	}
	return spec.value(value)
}

func (s *formatSpec) value(value any) (string, error) {
	if _, isBool := value.(bool); isBool && s.verb == 0 {
		value = Text(value)
	}
	if _, _, _, ok := number(value); ok && s.verb != 's' {
		return s.number(value)
	}
	if s.verb != 0 && s.verb != 's' {
		return "", fmt.Errorf("the format '%c' needs a number, found %s", s.verb, nameWithArticle(value))
	}
	return s.text(Text(value))
}
