package expression

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// jsonWriter writes JSON as Python's json.dumps does, to the byte: a file made
// by either must not differ.
type jsonWriter struct {
	out      strings.Builder
	ctx      context.Context
	indent   string
	pretty   bool
	sortKeys bool
	ascii    bool
	comma    string
	colon    string
}

func jsonFilter(c *Call) (any, error) {
	w := jsonWriter{ctx: c.Context(), sortKeys: Truthy(c.Args[1]), ascii: Truthy(c.Args[2]), comma: ", ", colon: ": "}
	if c.Args[0] != nil {
		if err := w.setIndent(c); err != nil {
			return nil, err
		}
	}
	if separators, ok := c.Args[3].([]any); ok && len(separators) == 2 {
		w.comma, w.colon = Text(separators[0]), Text(separators[1])
	} else if c.Args[3] != nil {
		return nil, errors.New("separators are two texts")
	}
	err := w.write(c.Input, 0)
	return w.out.String(), err
}

// JSON is a value as to_json writes it. It fails on what JSON does not have.
func JSON(ctx context.Context, v any) (string, error) {
	w := jsonWriter{ctx: ctx, ascii: true, comma: ", ", colon: ": "}
	err := w.write(v, 0)
	return w.out.String(), err
}

func (w *jsonWriter) setIndent(c *Call) error {
	w.pretty, w.comma = true, ","
	if text, ok := c.Args[0].(string); ok {
		w.indent = text
		return nil
	}
	width, err := intArgument(c, 0)
	w.indent = strings.Repeat(" ", min(max(width, 0), 100))
	return err
}

// tojsonFilter is Jinja's own, which is safe within HTML.
func tojsonFilter(c *Call) (any, error) {
	w := jsonWriter{ctx: c.Context(), sortKeys: true, ascii: true, comma: ", ", colon: ": "}
	if c.Args[0] != nil {
		if err := w.setIndent(c); err != nil {
			return nil, err
		}
	}
	err := w.write(c.Input, 0)
	escaped := strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`, "'", `\u0027`).Replace(w.out.String())
	return escaped, err
}

func (w *jsonWriter) write(v any, depth int) error {
	switch v := Normalize(v).(type) {
	case nil:
		w.out.WriteString("null")
	case bool:
		w.out.WriteString(strconv.FormatBool(v))
	case int:
		w.out.WriteString(strconv.Itoa(v))
	case float64:
		w.float(v)
	case string:
		w.text(v)
	case []any:
		return w.list(v, depth)
	case map[string]any, *Dict, Object:
		return w.mapping(v, depth)
	case *Undefined:
		return undefinedError(v)
	default:
		return fmt.Errorf("%s cannot be written as JSON", nameWithArticle(v))
	}
	return nil
}

func (w *jsonWriter) float(f float64) {
	switch {
	case math.IsNaN(f):
		w.out.WriteString("NaN")
	case math.IsInf(f, 1):
		w.out.WriteString("Infinity")
	case math.IsInf(f, -1):
		w.out.WriteString("-Infinity")
	default:
		w.out.WriteString(floatText(f))
	}
}

func (w *jsonWriter) text(s string) {
	w.out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.out.WriteByte('\\')
			w.out.WriteRune(r)
		case r == '\n':
			w.out.WriteString(`\n`)
		case r == '\r':
			w.out.WriteString(`\r`)
		case r == '\t':
			w.out.WriteString(`\t`)
		case r == '\b':
			w.out.WriteString(`\b`)
		case r == '\f':
			w.out.WriteString(`\f`)
		case r < 0x20 || r >= 0x7f && w.ascii && r <= 0xffff && r != 0x7f:
			fmt.Fprintf(&w.out, `\u%04x`, r)
		case r > 0xffff && w.ascii:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&w.out, `\u%04x\u%04x`, high, low)
		default:
			w.out.WriteRune(r)
		}
	}
	w.out.WriteByte('"')
}

func (w *jsonWriter) list(items []any, depth int) error {
	w.out.WriteByte('[')
	for i, item := range items {
		w.separate(i, depth+1)
		if err := w.write(item, depth+1); err != nil {
			return err
		}
	}
	w.close(']', len(items), depth)
	return nil
}

func (w *jsonWriter) mapping(v any, depth int) error {
	keys := mappingKeys(v)
	if w.sortKeys {
		keys = slices.Sorted(slices.Values(keys))
	}
	w.out.WriteByte('{')
	for i, key := range keys {
		w.separate(i, depth+1)
		w.text(key)
		w.out.WriteString(w.colon)
		value, _, err := mappingGet(w.ctx, v, key)
		if err == nil {
			err = w.write(value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	w.close('}', len(keys), depth)
	return nil
}

func (w *jsonWriter) separate(i, depth int) {
	if i > 0 {
		w.out.WriteString(w.comma)
	}
	if w.pretty {
		w.out.WriteString("\n" + strings.Repeat(w.indent, depth))
	}
}

func (w *jsonWriter) close(bracket byte, count, depth int) {
	if w.pretty && count > 0 {
		w.out.WriteString("\n" + strings.Repeat(w.indent, depth))
	}
	w.out.WriteByte(bracket)
}

func fromJSONFilter(c *Call) (any, error) {
	s, ok := c.Input.(string)
	if !ok {
		return nil, fmt.Errorf("expected a string, found %s", nameWithArticle(c.Input))
	}
	return ParseJSON(s)
}

// ParseJSON reads one JSON value; mappings keep the order of their keys.
func ParseJSON(s string) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(s)))
	decoder.UseNumber()
	value, err := readJSON(decoder, 0)
	if err != nil {
		return nil, jsonError(s, decoder, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the text goes on behind the JSON value (at byte %d)", decoder.InputOffset())
	}
	return value, nil
}

func jsonError(s string, decoder *json.Decoder, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if strings.TrimSpace(s) == "" {
			return errors.New("the text is empty, not JSON")
		}
		return errors.New("the JSON ends too early")
	}
	return fmt.Errorf("the text is not JSON (at byte %d): %w", decoder.InputOffset(), err)
}

// deepestJSON bounds recursion on text that came from elsewhere.
const deepestJSON = 1000

func readJSON(decoder *json.Decoder, depth int) (any, error) {
	if depth > deepestJSON {
		return nil, fmt.Errorf("nested more than %d levels deep", deepestJSON)
	}
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Number:
		return jsonNumber(token)
	case json.Delim:
		if token == '[' {
			return readJSONList(decoder, depth)
		}
		return readJSONMapping(decoder, depth)
	}
	return token, nil
}

func jsonNumber(n json.Number) (any, error) {
	if i, err := strconv.Atoi(n.String()); err == nil {
		return i, nil
	}
	f, err := n.Float64()
	if err != nil && !math.IsInf(f, 0) {
		return nil, err
	}
	return f, nil
}

func readJSONList(decoder *json.Decoder, depth int) (any, error) {
	list := []any{}
	for decoder.More() {
		item, err := readJSON(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	_, err := decoder.Token()
	return list, err
}

func readJSONMapping(decoder *json.Decoder, depth int) (any, error) {
	mapping := NewDict(0)
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		value, err := readJSON(decoder, depth+1)
		if err != nil {
			return nil, err
		}
		mapping.Set(Text(key), value)
	}
	_, err := decoder.Token()
	return mapping, err
}
