package inventory

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/lazy"
)

// iniReader reads a file of sections: [group] with hosts, [group:vars] with
// variables, [group:children] with groups. Hosts before any section are in no
// group.
type iniReader struct {
	l       *loader
	file    string
	group   *Group
	kind    string // "hosts", "vars" or "children"
	number  int
	text    string // the line
	broken  bool   // the section's head was wrong: its lines are passed over
	defined map[string]bool
	waiting []waiting
}

// waiting is a name of a group that the file must define somewhere.
type waiting struct {
	name string
	at   diag.Range
}

func (l *loader) ini(file string, text []byte) {
	if !utf8.Valid(text) {
		l.found.Add(diag.New(diag.Range{File: file}, "the file is not UTF-8 text"))
		return
	}
	r := &iniReader{l: l, file: file, group: l.ungrouped, kind: "hosts", defined: map[string]bool{}}
	for name := range l.groups { // other sources may have defined them
		r.defined[name] = true
	}
	for line := range strings.Lines(strings.TrimPrefix(string(text), "\ufeff")) {
		r.number++
		r.text = strings.TrimRight(line, "\r\n")
		r.line()
	}
	for _, w := range r.waiting {
		if r.defined[w.name] {
			continue
		}
		l.found.Add(diag.New(w.at, "the group %s has no section [%s]", w.name, w.name).
			WithHint(diag.DidYouMean(w.name, r.definedNames())))
	}
}

func (r *iniReader) definedNames() []string {
	return slices.Collect(maps.Keys(r.defined))
}

// at is a stretch of the present line, by bytes.
func (r *iniReader) at(from, to int) diag.Range {
	column := func(offset int) diag.Pos {
		return diag.Pos{Line: r.number, Column: 1 + utf8.RuneCountInString(r.text[:min(max(offset, 0), len(r.text))])}
	}
	return diag.Range{File: r.file, Start: column(from), End: column(to)}
}

func (r *iniReader) fail(from, to int, format string, args ...any) *diag.Diagnostic {
	r.l.found.Add(diag.New(r.at(from, to), format, args...))
	return &r.l.found[len(r.l.found)-1]
}

func (r *iniReader) line() {
	trimmed := strings.TrimSpace(r.text)
	start := strings.Index(r.text, trimmed)
	switch {
	case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
	case trimmed[0] == '[' && r.section(trimmed, start):
	case r.broken:
	case r.kind == "vars":
		r.variable(start)
	case r.kind == "children":
		r.child(trimmed, start)
	default:
		r.hostLine(start)
	}
}

var sectionPattern = lazy.Regexp(`^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:[#;].*)?$`)

// section reads a head such as [web:vars]. It reports false for a line that is
// none: a host in brackets ("[2001:db8::1]:22").
func (r *iniReader) section(text string, start int) bool {
	m := sectionPattern().FindStringSubmatch(text)
	if m == nil {
		if r.kind == "hosts" && strings.Count(text, ":") > 1 {
			return false
		}
		r.broken = true
		r.fail(start, start+len(text), "this is no section").Hint = "a section is [group], [group:vars] or [group:children]"
		return true
	}
	name, kind := m[1], m[2]
	at := r.at(start+1, start+1+len(name))
	r.broken = false
	switch kind {
	case "", "hosts":
		r.kind = "hosts"
		r.defined[name] = true
	case "children":
		r.kind = kind
		r.defined[name] = true
	case "vars":
		r.kind = kind
		r.waiting = append(r.waiting, waiting{name, at})
	default:
		r.broken = true
		from := start + 2 + len(name)
		r.fail(from, from+len(kind), "unknown kind of section %q", kind).Hint = diag.DidYouMean(kind, []string{"vars", "children", "hosts"})
		return true
	}
	r.group = r.l.group(name, at)
	return true
}

func (r *iniReader) variable(start int) {
	name, value, ok := strings.Cut(r.text[start:], "=")
	if !ok {
		r.fail(start, len(r.text), "expected name=value in the section [%s:vars]", r.group.Name)
		return
	}
	key := strings.TrimSpace(name)
	if key == "" {
		r.fail(start, start+1, "a name is missing before =")
		return
	}
	r.l.addGroupVar(r.group, &Variable{
		Name: key, Value: literal(strings.TrimSpace(value)),
		Range: r.at(start, start+len(key)), Layer: GroupInFile,
	})
}

func (r *iniReader) child(text string, start int) {
	name, _, _ := strings.Cut(text, "#")
	name = strings.TrimSpace(name)
	at := r.at(start, start+len(name))
	if strings.ContainsAny(name, " \t=") {
		r.fail(start, start+len(name), "expected the name of a group alone in the section [%s:children]", r.group.Name)
		return
	}
	r.waiting = append(r.waiting, waiting{name, at})
	r.group.adopt(r.l.group(name, at))
}

// hostLine reads "name[01:03] key=value …".
func (r *iniReader) hostLine(start int) {
	words, err := splitWords(r.text, start)
	if err != nil {
		r.fail(start, len(r.text), "%v", err)
		return
	}
	at := func(from, to int) diag.Range { return r.at(words[0].from+from, words[0].from+to) }
	if name, _, isVar := strings.Cut(words[0].text, "="); isVar {
		r.fail(words[0].from, words[0].to, "expected the name of a host, found the variable %s", name).Hint =
			"variables of a group stand in a section [" + r.group.Name + ":vars]"
		return
	}
	hosts := r.l.hostPattern(words[0].text, at)
	for _, h := range hosts {
		r.group.add(h)
	}
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w.text, "=")
		if !ok || key == "" {
			r.fail(w.from, w.to, "expected name=value behind the host's name, found %q", w.text).Hint = "each host stands on a line of its own; a value with spaces goes in quotes"
			continue
		}
		for _, h := range hosts {
			r.l.addHostVar(h, &Variable{Name: key, Value: literal(value), Range: r.at(w.from, w.to), Layer: HostInFile})
		}
	}
}

// word is a part of a line with the bytes it was written in.
type word struct {
	text     string
	from, to int
}

// splitWords splits as a shell would: quotes hold together and go away, a
// backslash takes the next character as it is, # begins a comment.
func splitWords(line string, start int) ([]word, error) {
	var words []word
	i := start
	for i < len(line) {
		switch line[i] {
		case ' ', '\t':
			i++
		case '#':
			return words, nil
		default:
			w, err := nextWord(line, i)
			if err != nil {
				return nil, err
			}
			words = append(words, w)
			i = w.to
		}
	}
	return words, nil
}

func nextWord(line string, from int) (word, error) {
	var text strings.Builder
	i := from
	for i < len(line) && line[i] != ' ' && line[i] != '\t' {
		switch c := line[i]; {
		case c == '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return word{}, errors.New("a quote ' is opened and not closed")
			}
			text.WriteString(line[i+1 : i+1+end])
			i += end + 2
		case c == '"':
			end, err := doubleQuoted(line, i+1, &text)
			if err != nil {
				return word{}, err
			}
			i = end
		case c == '\\' && i+1 < len(line):
			text.WriteByte(line[i+1])
			i += 2
		case c == '#':
			return word{text.String(), from, i}, nil
		default:
			text.WriteByte(c)
			i++
		}
	}
	return word{text.String(), from, i}, nil
}

func doubleQuoted(line string, i int, text *strings.Builder) (end int, err error) {
	for i < len(line) {
		switch {
		case line[i] == '"':
			return i + 1, nil
		case line[i] == '\\' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\'):
			text.WriteByte(line[i+1])
			i += 2
		default:
			text.WriteByte(line[i])
			i++
		}
	}
	return 0, errors.New("a quote \" is opened and not closed")
}
