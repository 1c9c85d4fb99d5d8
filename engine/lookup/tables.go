package lookup

import (
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/expression"
)

// inTerm lets a term such as "key file=a.ini" say options, as Ansible still
// accepts; it gives the call with them.
func (c *call) inTerm(term string, known ...string) (key string, inner *call, err error) {
	key, given, err := words(term)
	if err != nil {
		return "", nil, err
	}
	inner = &call{lookups: c.lookups, ctx: c.ctx, scope: c.scope, options: map[string]any{}}
	maps.Copy(inner.options, c.options)
	for _, one := range given {
		found := false
		for _, name := range known {
			found = found || name == one.name
		}
		if !found {
			return "", nil, fmt.Errorf("has no option %s", one.name)
		}
		inner.options[one.name] = one.text
	}
	return key, inner, nil
}

// utf8Only refuses other encodings, rather than ignore them.
func (c *call) utf8Only() error {
	switch name := strings.ToLower(c.text("encoding", "utf-8")); name {
	case "utf-8", "utf8", "ascii":
		return nil
	default:
		return fmt.Errorf("the encoding %s is not supported, only utf-8", name)
	}
}

// ini reads values of an INI file or of Java properties.
func ini(c *call) ([]any, error) {
	terms, err := c.texts("keys")
	if err != nil {
		return nil, err
	}
	values := []any{}
	for _, term := range terms {
		key, inner, err := c.inTerm(term, "file", "section", "type", "re", "default", "encoding", "case_sensitive")
		if err != nil {
			return nil, err
		}
		found, err := inner.iniValues(key)
		if err != nil {
			return nil, err
		}
		values = append(values, found...)
	}
	return values, nil
}

func (c *call) iniValues(key string) ([]any, error) {
	flags := map[string]bool{"re": false, "case_sensitive": false, "allow_no_value": false, "allow_none": false}
	for name := range flags {
		var err error
		if flags[name], err = c.flag(name, false); err != nil {
			return nil, err
		}
	}
	if err := c.utf8Only(); err != nil {
		return nil, err
	}
	text, f, err := c.read("files", c.text("file", "ansible.ini"))
	if err != nil {
		return nil, err
	}
	p := iniParser{name: f.Display, fold: !flags["case_sensitive"], valueless: flags["allow_no_value"] || flags["allow_none"], sections: map[string]*expression.Dict{}}
	section := c.text("section", "global")
	switch kind := c.text("type", "ini"); kind {
	case "ini":
	case "properties":
		section = "java_properties"
		p.open(section)
	default:
		return nil, fmt.Errorf("wants ini or properties for type, not %q", kind)
	}
	if err := p.parse(text); err != nil {
		return nil, err
	}
	entries, ok := p.sections[section]
	if !ok {
		return nil, fmt.Errorf("%s has no section %s", f.Display, section)
	}
	if flags["re"] {
		return p.matching(entries, key)
	}
	return p.single(entries, key, c.text("default", ""))
}

// iniParser reads what Python's ConfigParser reads.
type iniParser struct {
	name      string
	fold      bool // names of keys count in lower case
	valueless bool // a key may stand alone
	sections  map[string]*expression.Dict
	current   *expression.Dict
	last      string // the key whose value may go on
}

const iniDefault = "DEFAULT"

func (p *iniParser) open(section string) {
	if p.sections[section] == nil {
		p.sections[section] = expression.NewDict(8)
	}
	p.current, p.last = p.sections[section], ""
}

func (p *iniParser) parse(text string) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case p.last != "" && strings.TrimLeft(line, " \t") != line:
			before, _ := p.current.Get(p.last)
			p.current.Set(p.last, expression.Text(before)+"\n"+trimmed)
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]"):
			p.open(trimmed[1 : len(trimmed)-1])
		default:
			if err := p.entry(trimmed); err != nil {
				return fmt.Errorf("%s:%d: %w", p.name, number, err)
			}
		}
	}
	return nil
}

func (p *iniParser) entry(line string) error {
	if p.current == nil {
		return fmt.Errorf("no section begins before %q", line)
	}
	key, value := line, any(nil)
	if at := strings.IndexAny(line, "=:"); at >= 0 {
		key, value = strings.TrimRight(line[:at], " \t"), strings.TrimSpace(line[at+1:])
	} else if !p.valueless {
		return fmt.Errorf("%q is no key = value", line)
	}
	if p.fold {
		key = strings.ToLower(key)
	}
	if _, twice := p.current.Get(key); twice {
		return fmt.Errorf("the key %s comes twice", key)
	}
	p.current.Set(key, value)
	p.last = key
	return nil
}

// value fills in the %(other)s in a value, as ConfigParser does.
func (p *iniParser) value(entries *expression.Dict, value any, depth int) (any, error) {
	text, ok := value.(string)
	if !ok || !strings.Contains(text, "%") {
		return value, nil
	}
	if depth > 10 {
		return nil, fmt.Errorf("the values of %s refer to each other without an end", p.name)
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if strings.HasPrefix(rest, "%") {
			b.WriteByte('%')
			text = rest[1:]
			continue
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")s")
		if !strings.HasPrefix(rest, "(") || !closed {
			return nil, fmt.Errorf("%s: a %% in a value must be written %%%% or be %%(key)s", p.name)
		}
		other, ok := p.get(entries, name)
		if !ok {
			return nil, fmt.Errorf("%s: a value refers to the key %s, which is not there", p.name, name)
		}
		filled, err := p.value(entries, other, depth+1)
		if err != nil {
			return nil, err
		}
		b.WriteString(expression.Text(filled))
		text = after
	}
}

func (p *iniParser) get(entries *expression.Dict, key string) (any, bool) {
	if p.fold {
		key = strings.ToLower(key)
	}
	if value, ok := entries.Get(key); ok {
		return value, true
	}
	if common := p.sections[iniDefault]; common != nil {
		return common.Get(key)
	}
	return nil, false
}

func (p *iniParser) single(entries *expression.Dict, key, otherwise string) ([]any, error) {
	value, ok := p.get(entries, key)
	if !ok {
		return []any{otherwise}, nil
	}
	value, err := p.value(entries, value, 0)
	if err != nil || value == nil {
		return nil, err
	}
	return []any{value}, nil
}

// matching gives the values of all keys that a regular expression matches from
// their start on.
func (p *iniParser) matching(entries *expression.Dict, pattern string) ([]any, error) {
	keys := entries.Keys()
	if common := p.sections[iniDefault]; common != nil {
		keys = append(append([]string{}, common.Keys()...), keys...)
	}
	values, seen := []any{}, map[string]bool{}
	for _, key := range keys {
		matches, err := expression.Matches(`\A(?:`+pattern+`)`, key)
		if err != nil {
			return nil, err
		}
		if !matches || seen[key] {
			continue
		}
		seen[key] = true
		value, _ := p.get(entries, key)
		if value, err = p.value(entries, value, 0); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// csvfile finds the row whose first column is the term.
func csvfile(c *call) ([]any, error) {
	terms, err := c.texts("keys")
	if err != nil {
		return nil, err
	}
	values := []any{}
	for _, term := range terms {
		key, inner, err := c.inTerm(term, "file", "col", "default", "delimiter", "encoding")
		if err != nil {
			return nil, err
		}
		value, err := inner.csvValue(unquote(key))
		if err != nil {
			return nil, err
		}
		if value != nil {
			values = append(values, value)
		}
	}
	return values, nil
}

func (c *call) csvValue(key string) (any, error) {
	if err := c.utf8Only(); err != nil {
		return nil, err
	}
	column, err := strconv.Atoi(c.text("col", "1"))
	if err != nil || column < 0 {
		return nil, fmt.Errorf("wants the number of a column for col, not %s", shown(c.options["col"]))
	}
	text, f, err := c.read("files", c.text("file", "ansible.csv"))
	if err != nil {
		return nil, err
	}
	reader := csv.NewReader(strings.NewReader(text))
	reader.FieldsPerRecord, reader.LazyQuotes = -1, true
	delimiter := []rune(strings.NewReplacer("TAB", "\t", `\t`, "\t").Replace(c.text("delimiter", "\t")))
	if len(delimiter) != 1 {
		return nil, fmt.Errorf("wants one character for delimiter, not %s", shown(c.options["delimiter"]))
	}
	reader.Comma = delimiter[0]
	for {
		row, err := reader.Read()
		switch {
		case err == io.EOF:
			if otherwise, given := c.options["default"]; given {
				return otherwise, nil
			}
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", f.Display, err)
		case row[0] != key:
		case column >= len(row):
			return nil, fmt.Errorf("%s has no column %d in the row of %s", f.Display, column, key)
		default:
			return row[column], nil
		}
	}
}
