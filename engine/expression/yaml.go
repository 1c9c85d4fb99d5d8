package expression

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/rbdplay/rbdplay/engine/syntax"
)

func fromYAMLFilter(c *Call) (any, error) {
	s, ok := c.Input.(string)
	if !ok {
		return c.Input, nil
	}
	node, err := syntax.Parse("the text", []byte(s))
	if err != nil {
		return nil, errors.New(err.Error()) // its place is in the text, not in the file
	}
	return FromYAML(node)
}

// fromYAMLAllFilter reads every document of the text.
func fromYAMLAllFilter(c *Call) (any, error) {
	s, ok := c.Input.(string)
	if !ok {
		return c.Input, nil
	}
	documents := []any{}
	for _, text := range splitDocuments(s) {
		node, err := syntax.Parse("the text", []byte(text))
		if err != nil {
			return nil, errors.New(err.Error()) // its place is in the text, not in the file
		}
		value, err := FromYAML(node)
		if err != nil {
			return nil, err
		}
		documents = append(documents, value)
	}
	return documents, nil
}

// splitDocuments cuts at the lines "---". Such a line cannot stand within a
// document: in a block of text it would be indented.
func splitDocuments(text string) []string {
	var documents []string
	var current strings.Builder
	began := false
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, " \t\r\n")
		if bare == "---" || strings.HasPrefix(line, "--- ") {
			if began || strings.TrimSpace(current.String()) != "" {
				documents = append(documents, current.String())
			}
			current.Reset()
			began = true
			line = strings.TrimPrefix(line, "---")
		}
		if bare == "..." {
			continue
		}
		current.WriteString(line)
	}
	if began || strings.TrimSpace(current.String()) != "" {
		documents = append(documents, current.String())
	}
	return documents
}

// FromYAML is a node's value; mappings keep the order of the file. Text in it is
// not rendered.
func FromYAML(n *syntax.Node) (any, error) {
	switch n.Kind {
	case syntax.Sequence:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			value, err := FromYAML(item)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case syntax.Mapping:
		d := NewDict(len(n.Entries))
		for _, entry := range n.Entries {
			value, err := FromYAML(entry.Value)
			if err != nil {
				return nil, err
			}
			d.Set(entry.Name, value)
		}
		return d, nil
	default:
		return n.Decode()
	}
}

// yamlWriter writes YAML as PyYAML's dump does, down to where it breaks a long
// line: a file made by either must not differ.
type yamlWriter struct {
	out      strings.Builder
	ctx      context.Context
	indent   int
	width    int
	flow     any // true, false, or nil: collections of scalars on one line
	sortKeys bool
	column   int
}

func yamlFilter(c *Call) (any, error) {
	w := yamlWriter{ctx: c.Context(), indent: 2, width: 80, flow: c.Args[1], sortKeys: Truthy(c.Args[2])}
	if c.Args[0] != nil {
		indent, err := intArgument(c, 0)
		if err != nil {
			return nil, err
		}
		if indent > 1 && indent < 10 { // PyYAML ignores any other
			w.indent = indent
		}
	}
	width, err := intArgument(c, 3)
	if err != nil {
		return nil, err
	}
	if width > w.indent*2 {
		w.width = width
	}
	if !Truthy(c.Args[6]) {
		return nil, errors.New("allow_unicode=false is not supported")
	}
	whole, err := c.frame.whole(c.Input)
	if err != nil {
		return nil, err
	}
	if err := w.document(whole, Truthy(c.Args[4]), Truthy(c.Args[5])); err != nil {
		return nil, err
	}
	return w.out.String(), nil
}

func (w *yamlWriter) document(v any, start, end bool) error {
	if start {
		w.put("---")
		if !isCollection(v) || w.isFlow(v) || collectionLen(v) == 0 {
			w.put(" ")
		} else {
			w.line(0)
		}
	}
	if err := w.value(v, -w.indent, false, false); err != nil {
		return err
	}
	if w.column > 0 {
		w.line(0)
	}
	if end {
		w.put("...")
		w.line(0)
	}
	return nil
}

func (w *yamlWriter) put(text string) {
	w.out.WriteString(text)
	w.column += len([]rune(text))
}

// line breaks the line and indents the next.
func (w *yamlWriter) line(indent int) {
	w.out.WriteString("\n" + strings.Repeat(" ", max(indent, 0)))
	w.column = max(indent, 0)
}

func isCollection(v any) bool {
	_, list := v.([]any)
	return list || isMapping(v)
}

func collectionLen(v any) int {
	if list, ok := v.([]any); ok {
		return len(list)
	}
	return mappingLen(v)
}

// isFlow reports whether a collection is written on one line, in brackets.
func (w *yamlWriter) isFlow(v any) bool {
	if collectionLen(v) == 0 || w.flow == true {
		return true
	}
	if w.flow != nil {
		return false
	}
	if list, ok := v.([]any); ok {
		return !slices.ContainsFunc(list, func(item any) bool { return !plainScalar(Normalize(item)) })
	}
	for _, entry := range entries(w.ctx, v) {
		if !plainScalar(entry.value) {
			return false
		}
	}
	return true
}

// plainScalar is what PyYAML's representer counts as simple: a scalar without a
// style of its own.
func plainScalar(v any) bool { return !isCollection(v) }

// value writes a value whose parent stands at indent. Within a flow collection
// everything is flow. inSequence and inMapping say what a block collection
// hangs below.
func (w *yamlWriter) value(v any, indent int, flow, inMapping bool) error {
	v = Normalize(v)
	inner := max(indent, 0) + w.indent // of what continues on the next line
	switch v := v.(type) {
	case *Undefined:
		return undefinedError(v)
	case []any:
		if flow || w.isFlow(v) {
			return w.flowList(v, inner)
		}
		if inMapping { // PyYAML writes a list under a key without indenting it
			return w.blockList(v, indent)
		}
		return w.blockList(v, indent+w.indent)
	case map[string]any, *Dict:
		if flow || w.isFlow(v) {
			return w.flowMapping(v, inner)
		}
		return w.blockMapping(v, indent+w.indent)
	}
	if _, callable := v.(Callable); callable {
		return fmt.Errorf("%s cannot be written as YAML", nameWithArticle(v))
	}
	w.scalar(v, inner, flow, false)
	return nil
}

// breakFor begins an item of a block collection on a line of its own, unless
// the line is already at its place.
func (w *yamlWriter) breakFor(indent int, first bool) {
	if !first || w.column != indent {
		w.line(indent)
	}
}

func (w *yamlWriter) blockList(items []any, indent int) error {
	for i, item := range items {
		w.breakFor(indent, i == 0)
		w.put("-" + strings.Repeat(" ", max(w.gap(item), 1)))
		if err := w.value(item, indent, false, false); err != nil {
			return err
		}
	}
	return nil
}

// gap is the space behind a dash: a collection that follows on the same line
// stands at its own indentation.
func (w *yamlWriter) gap(item any) int {
	item = Normalize(item)
	if isCollection(item) && !w.isFlow(item) {
		return w.indent - 1
	}
	return 1
}

func (w *yamlWriter) blockMapping(v any, indent int) error {
	for i, key := range w.keys(v) {
		w.breakFor(indent, i == 0)
		w.scalar(key, indent+w.indent, false, true)
		w.put(":")
		value, _, err := mappingGet(w.ctx, v, key)
		if err != nil {
			return err
		}
		if isCollection(value) && !w.isFlow(value) {
			w.line(w.below(value, indent))
		} else {
			w.put(" ")
		}
		if err := w.value(value, indent, false, true); err != nil {
			return err
		}
	}
	return nil
}

// below is where a block collection under a key begins.
func (w *yamlWriter) below(v any, indent int) int {
	if _, list := v.([]any); list {
		return indent
	}
	return indent + w.indent
}

func (w *yamlWriter) keys(v any) []string {
	if w.sortKeys {
		return slices.Sorted(slices.Values(mappingKeys(v)))
	}
	return mappingKeys(v)
}

func (w *yamlWriter) flowList(items []any, indent int) error {
	w.put("[")
	for i, item := range items {
		w.flowBreak(i, indent)
		if err := w.value(item, indent, true, false); err != nil {
			return err
		}
	}
	w.put("]")
	return nil
}

// flowBreak separates the items of a flow collection, on a new line when the
// current one is full.
func (w *yamlWriter) flowBreak(i, indent int) {
	if i > 0 {
		w.put(",")
	}
	if w.column > w.width {
		w.line(indent)
	} else if i > 0 {
		w.put(" ")
	}
}

func (w *yamlWriter) flowMapping(v any, indent int) error {
	w.put("{")
	for i, key := range w.keys(v) {
		w.flowBreak(i, indent)
		w.scalar(key, indent, true, true)
		w.put(": ")
		value, _, err := mappingGet(w.ctx, v, key)
		if err == nil {
			err = w.value(value, indent, true, false)
		}
		if err != nil {
			return err
		}
	}
	w.put("}")
	return nil
}

func (w *yamlWriter) scalar(v any, indent int, flow, key bool) {
	text, ok := v.(string)
	switch {
	case !ok:
		w.put(yamlScalar(v))
	case !w.needsQuotes(text, flow) && (!key || len(text) < 128):
		w.folded(text, indent, !key, "", func(s string) string { return s })
	case needsEscapes(text) || key && strings.Contains(text, "\n"):
		w.doubleQuoted(text, indent, !key)
	default:
		w.singleQuoted(text, indent, !key)
	}
}

func yamlScalar(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return map[bool]string{true: "true", false: "false"}[v]
	case float64:
		switch text := floatText(v); text {
		case "inf", "-inf", "nan":
			return strings.Replace(strings.Replace(text, "inf", ".inf", 1), "nan", ".nan", 1)
		default:
			if mantissa, exponent, found := strings.Cut(text, "e"); found && !strings.Contains(mantissa, ".") {
				return mantissa + ".0e" + exponent
			}
			return text
		}
	}
	return Text(v)
}

// needsQuotes is PyYAML's analysis of a text: may it stand bare?
func (w *yamlWriter) needsQuotes(s string, flow bool) bool {
	if s == "" || syntax.IsResolved(s) || s == "=" || s == "<<" || strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") {
		return true
	}
	if needsEscapes(s) || strings.Contains(s, "\n") || strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") {
		return true
	}
	if strings.ContainsRune("#,[]{}&*!|>'\"%@`", rune(s[0])) {
		return true
	}
	if strings.ContainsRune("?:-", rune(s[0])) && (len(s) == 1 || strings.ContainsRune(" \t", rune(s[1])) || flow && s[0] != '-') {
		return true
	}
	if strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") || strings.Contains(s, ":\t") {
		return true
	}
	return flow && strings.ContainsAny(s, ",?[]{}:")
}

// needsEscapes reports whether a text holds what only double quotes can carry:
// control characters, and blanks on either side of a line break.
func needsEscapes(s string) bool {
	previous := rune(0)
	for _, r := range s {
		special := r != '\n' && (r < 0x20 || r == 0x7f || r == 0xfeff || r >= 0x80 && r < 0xa0 && r != 0x85 || !unicode.IsPrint(r) && r > 0xa0 && r != 0x2028 && r != 0x2029)
		if special || r == '\n' && previous == ' ' || r == ' ' && previous == '\n' {
			return true
		}
		previous = r
	}
	return strings.Contains(s, "\n") && strings.HasSuffix(s, " ")
}

// folded writes text and breaks it at single spaces when the line is full.
func (w *yamlWriter) folded(text string, indent int, mayBreak bool, quote string, escape func(string) string) {
	w.put(quote)
	runes := []rune(text)
	for start, i := 0, 0; i <= len(runes); i++ {
		if i < len(runes) && runes[i] != ' ' {
			continue
		}
		w.put(escape(string(runes[start:i])))
		if i == len(runes) {
			break
		}
		end := i
		for end < len(runes) && runes[end] == ' ' {
			end++
		}
		inside := quote == "" || i > 0 && end < len(runes)
		if mayBreak && end == i+1 && w.column > w.width && inside {
			w.line(indent)
		} else {
			w.put(strings.Repeat(" ", end-i))
		}
		start, i = end, end-1
	}
	w.put(quote)
}

// singleQuoted doubles each line break, as YAML folds one away.
func (w *yamlWriter) singleQuoted(text string, indent int, mayBreak bool) {
	escape := func(s string) string { return strings.ReplaceAll(s, "'", "''") }
	if !strings.Contains(text, "\n") {
		w.folded(text, indent, mayBreak, "'", escape)
		return
	}
	w.put("'")
	for text != "" {
		at := strings.IndexByte(text, '\n')
		if at < 0 {
			at = len(text)
		}
		w.foldedInner(text[:at], indent, mayBreak, escape)
		breaks := 0
		for text = text[at:]; strings.HasPrefix(text, "\n"); text = text[1:] {
			breaks++
		}
		if breaks > 0 {
			w.out.WriteString(strings.Repeat("\n", breaks))
			w.line(indent)
		}
	}
	w.put("'")
}

func (w *yamlWriter) foldedInner(text string, indent int, mayBreak bool, escape func(string) string) {
	w.folded(text, indent, mayBreak, "", escape)
}

// doubleQuoted escapes, and breaks long lines behind a backslash.
func (w *yamlWriter) doubleQuoted(text string, indent int, mayBreak bool) {
	w.put(`"`)
	runes := []rune(text)
	start, end := 0, 0
	for end <= len(runes) {
		escaped := end < len(runes) && isEscaped(runes[end])
		if end == len(runes) || escaped {
			if start < end {
				w.put(string(runes[start:end]))
				start = end
			}
			if end < len(runes) {
				w.put(yamlEscape(runes[end]))
				start = end + 1
			}
		}
		if end > 0 && end < len(runes)-1 && (runes[end] == ' ' || start >= end) && w.column+(end-start) > w.width && mayBreak {
			if start < end {
				w.put(string(runes[start:end]))
				start = end
			}
			w.put(`\`)
			w.line(indent)
			if runes[start] == ' ' {
				w.put(`\`)
			}
		}
		end++
	}
	w.put(`"`)
}

func isEscaped(r rune) bool {
	return r == '"' || r == '\\' || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff || r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || !unicode.IsPrint(r) && r != ' '
}

func yamlEscape(r rune) string {
	if short, ok := map[rune]string{
		0: "0", 7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 0x1b: "e",
		'"': `"`, '\\': `\`, 0x85: "N", 0xa0: "_", 0x2028: "L", 0x2029: "P",
	}[r]; ok {
		return `\` + short
	}
	switch {
	case r <= 0xff:
		return fmt.Sprintf(`\x%02X`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04X`, r)
	}
	return fmt.Sprintf(`\U%08X`, r)
}
