package expression

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// methodsOf gives the methods that Python's type for a value has.
func methodsOf(v any) map[string]*Definition {
	switch v.(type) {
	case string:
		return stringMethods
	case []any:
		return listMethods
	case map[string]any, *Dict, Object:
		return mappingMethods
	case int, float64, bool:
		return numberMethods
	case moment:
		return momentMethods
	case span:
		return spanMethods
	}
	return nil
}

func methods(definitions map[string]Definition) map[string]*Definition {
	return extend(nil, definitions)
}

// onText makes a method of a function on text without arguments.
func onText[T any](do func(string) T) Definition {
	return Definition{Function: func(c *Call) (any, error) { return do(c.Input.(string)), nil }}
}

// everyRune is a method such as isdigit: not empty, and all characters fit.
func everyRune(fits func(rune) bool) Definition {
	return onText(func(s string) bool {
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return !fits(r) }) < 0
	})
}

var stringMethods = methods(map[string]Definition{
	"lower": onText(strings.ToLower), "upper": onText(strings.ToUpper), "casefold": onText(strings.ToLower),
	"title": onText(pythonTitle), "capitalize": onText(capitalize), "swapcase": onText(swapCase),
	"strip": stripMethod(strings.TrimSpace, strings.Trim), "lstrip": stripMethod(trimLeftSpace, strings.TrimLeft),
	"rstrip":  stripMethod(trimRightSpace, strings.TrimRight),
	"isdigit": everyRune(unicode.IsDigit), "isdecimal": everyRune(unicode.IsDigit), "isnumeric": everyRune(unicode.IsNumber),
	"isalpha": everyRune(unicode.IsLetter), "isspace": everyRune(unicode.IsSpace),
	"isalnum": everyRune(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	"isascii": onText(func(s string) bool {
		return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
	}),
	"isupper":    onText(func(s string) bool { return s == strings.ToUpper(s) && s != strings.ToLower(s) }),
	"islower":    onText(func(s string) bool { return s == strings.ToLower(s) && s != strings.ToUpper(s) }),
	"split":      {Signature: "sep=none, maxsplit=-1", Function: splitMethod(pythonSplit)},
	"rsplit":     {Signature: "sep=none, maxsplit=-1", Function: splitMethod(pythonRsplit)},
	"splitlines": {Signature: "keepends=false", Function: splitLinesMethod},
	"partition":  {Signature: "sep", Function: partitionMethod(strings.Index)},
	"rpartition": {Signature: "sep", Function: partitionMethod(strings.LastIndex)},
	"startswith": {Signature: "prefix", Function: affixMethod(strings.HasPrefix)},
	"endswith":   {Signature: "suffix", Function: affixMethod(strings.HasSuffix)},
	"removeprefix": {Signature: "prefix", Function: twoTexts(func(s, prefix string) any {
		return strings.TrimPrefix(s, prefix)
	})},
	"removesuffix": {Signature: "suffix", Function: twoTexts(func(s, suffix string) any {
		return strings.TrimSuffix(s, suffix)
	})},
	"count": {Signature: "sub", Function: twoTexts(func(s, sub string) any { return strings.Count(s, sub) })},
	"find":  {Signature: "sub", Function: twoTexts(func(s, sub string) any { return runeIndex(s, strings.Index(s, sub)) })},
	"rfind": {Signature: "sub", Function: twoTexts(func(s, sub string) any { return runeIndex(s, strings.LastIndex(s, sub)) })},
	"index": {Signature: "sub", Function: func(c *Call) (any, error) {
		sub, err := textArgument(c, 0)
		if err != nil {
			return nil, err
		}
		if at := strings.Index(c.Input.(string), sub); at >= 0 {
			return runeIndex(c.Input.(string), at), nil
		}
		return nil, errors.New("the text is not there")
	}},
	"replace": {Signature: "old, new, count=-1", Function: replaceMethod},
	"join":    {Signature: "iterable", Function: joinMethod},
	"format":  {Signature: "*args, **kwargs", Function: formatMethod},
	"ljust":   {Signature: "width, fillchar=' '", Function: justifyMethod('<')},
	"rjust":   {Signature: "width, fillchar=' '", Function: justifyMethod('>')},
	"center":  {Signature: "width, fillchar=' '", Function: justifyMethod('c')},
	"zfill":   {Signature: "width", Function: zfillMethod},
	"expandtabs": {Signature: "tabsize=8", Function: func(c *Call) (any, error) {
		size, err := intArgument(c, 0)
		return expandTabs(c.Input.(string), size), err
	}},
	"encode": {Signature: "encoding='utf-8'", Function: func(c *Call) (any, error) { return c.Input, nil }},
})

var listMethods = methods(map[string]Definition{
	"index": {Signature: "value", Function: func(c *Call) (any, error) {
		for i, item := range c.Input.([]any) {
			if equal(item, c.Args[0]) {
				return i, nil
			}
		}
		return nil, fmt.Errorf("%s is not in the list", show(c.Args[0]))
	}},
	"count": {Signature: "value", Function: func(c *Call) (any, error) {
		n := 0
		for _, item := range c.Input.([]any) {
			if equal(item, c.Args[0]) {
				n++
			}
		}
		return n, nil
	}},
	"copy":   {Function: func(c *Call) (any, error) { return append([]any{}, c.Input.([]any)...), nil }},
	"append": {Signature: "value", Function: immutable("list + [value]")},
	"extend": {Signature: "values", Function: immutable("list + values")},
	"insert": {Signature: "index, value", Function: immutable("list[:index] + [value] + list[index:]")},
	"remove": {Signature: "value", Function: immutable("list | reject('equalto', value)")},
	"pop":    {Signature: "index=-1", Function: immutable("list[:-1]")},
	"sort":   {Function: immutable("list | sort")},
	"clear":  {Function: immutable("[]")},
})

var mappingMethods = methods(map[string]Definition{
	"keys":   {Function: func(c *Call) (any, error) { return toList(mappingKeys(c.Input)), nil }},
	"values": {Function: mappingValues},
	"items":  {Function: mappingItems},
	"get": {Signature: "key, default=none", Function: func(c *Call) (any, error) {
		value, ok, err := mappingGet(c.frame.ctx, c.Input, keyText(c.Args[0]))
		if !ok {
			value = c.Args[1]
		}
		return value, err
	}},
	"copy":       {Function: func(c *Call) (any, error) { return c.Input, nil }},
	"update":     {Signature: "*args, **kwargs", Function: immutable("mapping | combine(other)")},
	"pop":        {Signature: "key, default=none", Function: immutable("mapping | dict2items | rejectattr('key', 'equalto', key) | items2dict")},
	"setdefault": {Signature: "key, default=none", Function: immutable("{key: value} | combine(mapping)")},
	"clear":      {Function: immutable("{}")},
})

var numberMethods = methods(map[string]Definition{
	"is_integer": {Function: func(c *Call) (any, error) {
		_, f, whole, _ := number(c.Input)
		return whole || f == float64(int(f)), nil
	}},
	"bit_length": {Function: func(c *Call) (any, error) {
		i, _, _, _ := number(c.Input)
		return len(fmt.Sprintf("%b", magnitude(i))) - map[bool]int{true: 1, false: 0}[i == 0], nil
	}},
})

// immutable refuses the methods that change their value: a variable may be used
// by many hosts at once.
func immutable(instead string) Function {
	return func(c *Call) (any, error) {
		return nil, &fault{
			start: c.site.start, end: c.site.end,
			err:  fmt.Errorf("'%s' would change a value, and values do not change here", c.Name),
			hint: "use " + instead,
		}
	}
}

func mappingValues(c *Call) (any, error) {
	values := []any{}
	for _, value := range entries(c.frame.ctx, c.Input) {
		if value.err != nil {
			return nil, value.err
		}
		values = append(values, value.value)
	}
	return values, nil
}

func mappingItems(c *Call) (any, error) {
	items := []any{}
	for key, value := range entries(c.frame.ctx, c.Input) {
		if value.err != nil {
			return nil, value.err
		}
		items = append(items, []any{key, value.value})
	}
	return items, nil
}

func textArgument(c *Call, i int) (string, error) {
	text, ok := c.Args[i].(string)
	if !ok {
		return "", fmt.Errorf("expected a string, found %s", nameWithArticle(c.Args[i]))
	}
	return text, nil
}

func intArgument(c *Call, i int) (int, error) {
	value, f, whole, ok := number(c.Args[i])
	if ok && !whole && f == float64(int(f)) {
		return int(f), nil
	}
	if !ok || !whole {
		return 0, fmt.Errorf("expected an integer, found %s", nameWithArticle(c.Args[i]))
	}
	return value, nil
}

func twoTexts(do func(s, argument string) any) Function {
	return func(c *Call) (any, error) {
		argument, err := textArgument(c, 0)
		if err != nil {
			return nil, err
		}
		return do(c.Input.(string), argument), nil
	}
}

func runeIndex(s string, at int) int {
	if at < 0 {
		return -1
	}
	return utf8.RuneCountInString(s[:at])
}

func trimLeftSpace(s string) string  { return strings.TrimLeftFunc(s, unicode.IsSpace) }
func trimRightSpace(s string) string { return strings.TrimRightFunc(s, unicode.IsSpace) }

func stripMethod(space func(string) string, cut func(s, set string) string) Definition {
	return Definition{Signature: "chars=none", Function: func(c *Call) (any, error) {
		if c.Args[0] == nil {
			return space(c.Input.(string)), nil
		}
		chars, err := textArgument(c, 0)
		return cut(c.Input.(string), chars), err
	}}
}

func splitMethod(split func(s string, sep *string, most int) []string) Function {
	return func(c *Call) (any, error) {
		most, err := intArgument(c, 1)
		if err != nil {
			return nil, err
		}
		if c.Args[0] == nil {
			return toList(split(c.Input.(string), nil, most)), nil
		}
		sep, err := textArgument(c, 0)
		if err != nil {
			return nil, err
		}
		if sep == "" {
			return nil, errors.New("the separator is empty")
		}
		return toList(split(c.Input.(string), &sep, most)), nil
	}
}

// pythonSplit splits at sep, or at runs of white space when sep is nil, at most
// so many times; negative means always.
func pythonSplit(s string, sep *string, most int) []string {
	if sep != nil {
		if most < 0 {
			return strings.Split(s, *sep)
		}
		return strings.SplitN(s, *sep, most+1)
	}
	var parts []string
	for s = trimLeftSpace(s); s != ""; s = trimLeftSpace(s) {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if most >= 0 && len(parts) == most {
			return append(parts, trimRightSpace(s))
		}
		if end < 0 {
			return append(parts, s)
		}
		parts, s = append(parts, s[:end]), s[end:]
	}
	return parts
}

func pythonRsplit(s string, sep *string, most int) []string {
	var parts []string
	for most < 0 || len(parts) < most {
		at, width := -1, 1
		if sep != nil {
			at, width = strings.LastIndex(s, *sep), len(*sep)
		} else if s = trimRightSpace(s); s != "" {
			at = strings.LastIndexFunc(s, unicode.IsSpace)
			if at >= 0 {
				_, width = utf8.DecodeRuneInString(s[at:])
			}
		}
		if at < 0 {
			break
		}
		parts, s = append(parts, s[at+width:]), s[:at]
	}
	if sep == nil {
		s = trimRightSpace(s)
		if most < 0 {
			s = strings.TrimSpace(s)
		}
	}
	if sep != nil || trimLeftSpace(s) != "" {
		parts = append(parts, s)
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return parts
}

func splitLinesMethod(c *Call) (any, error) {
	lines := []any{}
	for line := range strings.Lines(strings.ReplaceAll(c.Input.(string), "\r\n", "\n")) {
		if !Truthy(c.Args[0]) {
			line = strings.TrimSuffix(line, "\n")
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func partitionMethod(index func(s, sep string) int) Function {
	return func(c *Call) (any, error) {
		sep, err := textArgument(c, 0)
		if err != nil {
			return nil, err
		}
		s := c.Input.(string)
		at := index(s, sep)
		switch {
		case sep == "":
			return nil, errors.New("the separator is empty")
		case at >= 0:
			return []any{s[:at], sep, s[at+len(sep):]}, nil
		case c.Name == "rpartition":
			return []any{"", "", s}, nil
		}
		return []any{s, "", ""}, nil
	}
}

func affixMethod(has func(s, affix string) bool) Function {
	return func(c *Call) (any, error) {
		affixes, ok := c.Args[0].([]any)
		if !ok {
			affixes = []any{c.Args[0]}
		}
		for _, affix := range affixes {
			text, ok := affix.(string)
			if !ok {
				return nil, fmt.Errorf("expected a string, found %s", nameWithArticle(affix))
			}
			if has(c.Input.(string), text) {
				return true, nil
			}
		}
		return false, nil
	}
}

func replaceMethod(c *Call) (any, error) {
	old, err := textArgument(c, 0)
	if err != nil {
		return nil, err
	}
	replacement, err := textArgument(c, 1)
	if err != nil {
		return nil, err
	}
	count, err := intArgument(c, 2)
	return strings.Replace(c.Input.(string), old, replacement, count), err
}

func joinMethod(c *Call) (any, error) {
	items, err := c.frame.iterate(c.Args[0])
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(items))
	for i, item := range items {
		text, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("item %d is %s, not a string", i, nameWithArticle(item))
		}
		texts[i] = text
	}
	return strings.Join(texts, c.Input.(string)), nil
}

func justifyMethod(align byte) Function {
	return func(c *Call) (any, error) {
		width, err := intArgument(c, 0)
		if err != nil {
			return nil, err
		}
		fill, err := textArgument(c, 1)
		if err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(fill) != 1 {
			return nil, errors.New("the fill must be one character")
		}
		return pad(c.Input.(string), fill, align, width)
	}
}

// pad brings text to a width. '^' is the centre as format() has it, with the odd
// blank on the right; 'c' as str.center, which puts it now here, now there.
func pad(s, fill string, align byte, width int) (string, error) {
	if width > mostRepeated {
		return "", errLarge
	}
	missing := width - utf8.RuneCountInString(s)
	if missing <= 0 {
		return s, nil
	}
	switch align {
	case '<':
		return s + strings.Repeat(fill, missing), nil
	case '>':
		return strings.Repeat(fill, missing) + s, nil
	}
	left := missing / 2
	if align == 'c' {
		left += missing & width & 1
	}
	return strings.Repeat(fill, left) + s + strings.Repeat(fill, missing-left), nil
}

func zfillMethod(c *Call) (any, error) {
	width, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	s, sign := c.Input.(string), ""
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, s = s[:1], s[1:]
	}
	padded, err := pad(s, "0", '>', width-len(sign))
	return sign + padded, err
}

func expandTabs(s string, size int) string {
	var b strings.Builder
	column := 0
	for _, r := range s {
		switch {
		case r == '\t' && size > 0:
			spaces := size - column%size
			b.WriteString(strings.Repeat(" ", spaces))
			column += spaces
		case r == '\t':
		case r == '\n':
			b.WriteRune(r)
			column = 0
		default:
			b.WriteRune(r)
			column++
		}
	}
	return b.String()
}

// pythonTitle is str.title: a letter after anything that is no letter is large.
func pythonTitle(s string) string {
	after := false
	return strings.Map(func(r rune) rune {
		was := after
		after = unicode.IsLetter(r)
		if was {
			return unicode.ToLower(r)
		}
		return unicode.ToTitle(r)
	}, s)
}

func capitalize(s string) string {
	r, width := utf8.DecodeRuneInString(s)
	if width == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + strings.ToLower(s[width:])
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}
