package expression

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dlclark/regexp2"
)

// Regular expressions are Python's. Go's own engine has no look-around and no
// backreferences, and reads $ and \w differently; regexp2 backtracks as Python
// does. A time limit keeps a hostile pattern from hanging the run.
const longestMatch = 5 * time.Second

// pattern is a compiled expression. Groups are numbered as Python does, from
// left to right, named or not.
type pattern struct {
	re     *regexp2.Regexp
	groups int
	names  map[string]int
}

type patternKey struct {
	source                string
	ignoreCase, multiline bool
	anchor                string // "match" at the start, "fullmatch" the whole text
}

// compiled patterns, kept since a loop uses the same one again and again.
var patterns struct {
	sync.Mutex
	known map[patternKey]*pattern
}

// mostPatterns bounds the cache; patterns that are made from data could fill it.
const mostPatterns = 500

func compilePattern(key patternKey) (*pattern, error) {
	patterns.Lock()
	defer patterns.Unlock()
	if p := patterns.known[key]; p != nil {
		return p, nil
	}
	p, err := newPattern(key)
	if err != nil {
		return nil, fmt.Errorf("the regular expression '%s': %w", key.source, err)
	}
	if patterns.known == nil || len(patterns.known) >= mostPatterns {
		patterns.known = map[patternKey]*pattern{}
	}
	patterns.known[key] = p
	return p, nil
}

func newPattern(key patternKey) (*pattern, error) {
	t := patternTranslator{source: key.source, names: map[string]int{}}
	if err := t.run(); err != nil {
		return nil, err
	}
	options := regexp2.None
	if key.ignoreCase {
		options |= regexp2.IgnoreCase
	}
	if key.multiline {
		options |= regexp2.Multiline
	}
	re, err := regexp2.Compile(anchored(t.out.String(), key.anchor), options)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	re.MatchTimeout = longestMatch
	return &pattern{re: re, groups: t.groups, names: t.names}, nil
}

func anchored(translated, anchor string) string {
	switch anchor {
	case "match":
		return `\A(?:` + translated + `)`
	case "fullmatch":
		return `\A(?:` + translated + `)\z`
	}
	return translated
}

// patternTranslator rewrites what the two dialects spell differently: named
// groups become numbered ones, \Z is the very end.
type patternTranslator struct {
	source string
	out    strings.Builder
	groups int
	names  map[string]int
}

func (t *patternTranslator) run() error {
	inClass := false
	for i := 0; i < len(t.source); {
		rest := t.source[i:]
		used, err := 1, error(nil)
		switch {
		case rest[0] == '\\':
			used = t.escape(rest)
		case inClass:
			inClass = rest[0] != ']'
			if rest[0] == '[' { // .NET would subtract a class here
				t.out.WriteByte('\\')
			}
			t.out.WriteByte(rest[0])
		case rest[0] == '[':
			inClass = true
			used = t.class(rest)
		case rest[0] == '(':
			used, err = t.group(rest)
		default:
			t.out.WriteByte(rest[0])
		}
		if err != nil {
			return err
		}
		i += used
	}
	return nil
}

func (t *patternTranslator) escape(rest string) int {
	switch {
	case len(rest) < 2:
		t.out.WriteString(rest)
		return len(rest)
	case rest[1] == 'Z':
		t.out.WriteString(`\z`)
	default:
		t.out.WriteString(rest[:2])
	}
	return 2
}

// class opens a [ class, in which a first ] is a plain one.
func (t *patternTranslator) class(rest string) int {
	used := 1
	t.out.WriteByte('[')
	if strings.HasPrefix(rest[used:], "^") {
		t.out.WriteByte('^')
		used++
	}
	if strings.HasPrefix(rest[used:], "]") {
		t.out.WriteString(`\]`)
		used++
	}
	return used
}

func (t *patternTranslator) group(rest string) (int, error) {
	switch {
	case !strings.HasPrefix(rest, "(?"):
		t.groups++
		t.out.WriteByte('(')
		return 1, nil
	case strings.HasPrefix(rest, "(?P<"):
		name, _, found := strings.Cut(rest[4:], ">")
		if !found || name == "" {
			return 0, errors.New("a group's name is not closed with '>'")
		}
		t.groups++
		t.names[name] = t.groups
		t.out.WriteByte('(')
		return 5 + len(name), nil
	case strings.HasPrefix(rest, "(?P="):
		name, _, found := strings.Cut(rest[4:], ")")
		if number, ok := t.names[name]; found && ok {
			fmt.Fprintf(&t.out, `(?:\%d)`, number)
			return 5 + len(name), nil
		}
		return 0, fmt.Errorf("there is no group %q before its use", name)
	case strings.HasPrefix(rest, "(?("):
		return 0, errors.New("groups that depend on others, (?(…)…), are not supported")
	}
	t.out.WriteString("(?")
	return 2, nil
}

// match is one place where a pattern fits. Offsets are in characters.
type match struct {
	text       string
	start, end int
	groups     []string
	matched    []bool
}

func newMatch(m *regexp2.Match) *match {
	found := &match{text: m.String(), start: m.Index, end: m.Index + m.Length}
	for _, group := range m.Groups() {
		found.groups = append(found.groups, group.String())
		found.matched = append(found.matched, len(group.Captures) > 0)
	}
	return found
}

func (p *pattern) find(text string) (*match, error) {
	m, err := p.re.FindStringMatch(text)
	if err != nil {
		return nil, matchError(err)
	}
	if m == nil {
		return nil, nil
	}
	return newMatch(m), nil
}

func (p *pattern) findAll(text string) ([]*match, error) {
	var all []*match
	m, err := p.re.FindStringMatch(text)
	for m != nil && err == nil {
		all = append(all, newMatch(m))
		m, err = p.re.FindNextMatch(m)
	}
	return all, matchError(err)
}

func matchError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the regular expression did not come to an end within %s", longestMatch)
}

// group is a match's group by number or name.
func (p *pattern) group(m *match, name string) (any, error) {
	number, err := strconv.Atoi(name)
	if err != nil {
		var ok bool
		if number, ok = p.names[name]; !ok {
			return nil, fmt.Errorf("the regular expression has no group %q", name)
		}
	}
	if number < 0 || number >= len(m.groups) {
		return nil, fmt.Errorf("the regular expression has no group %d", number)
	}
	if !m.matched[number] {
		return nil, nil
	}
	return m.groups[number], nil
}

// replace is Python's re.sub; limit 0 means all.
func (p *pattern) replace(text, replacement string, limit int) (string, error) {
	if err := p.checkReferences(replacement); err != nil {
		return "", err
	}
	matches, err := p.findAll(text)
	if err != nil {
		return "", err
	}
	runes := []rune(text)
	var b strings.Builder
	at := 0
	for i, m := range matches {
		if limit > 0 && i == limit {
			break
		}
		b.WriteString(string(runes[at:m.start]))
		if err := p.expand(&b, m, replacement); err != nil {
			return "", err
		}
		at = m.end
	}
	b.WriteString(string(runes[at:]))
	return b.String(), nil
}

// checkReferences refuses a replacement that names a group which is not there,
// whether or not the pattern fits anywhere.
func (p *pattern) checkReferences(replacement string) error {
	every := &match{groups: make([]string, p.groups+1), matched: make([]bool, p.groups+1)}
	return p.expand(new(strings.Builder), every, replacement)
}

// expand writes a replacement with its \1, \g<1> and \g<name>.
func (p *pattern) expand(b *strings.Builder, m *match, replacement string) error {
	for i := 0; i < len(replacement); {
		if replacement[i] != '\\' || i+1 == len(replacement) {
			b.WriteByte(replacement[i])
			i++
			continue
		}
		name, used := reference(replacement[i:])
		if name == "" {
			used = p.plainEscape(b, replacement[i:])
		} else {
			value, err := p.group(m, name)
			if err != nil {
				return err
			}
			if value != nil {
				b.WriteString(Text(value))
			}
		}
		i += used
	}
	return nil
}

func (p *pattern) plainEscape(b *strings.Builder, text string) int {
	if simple, ok := simpleEscapes[text[1]]; ok && text[1] != '\n' && text[1] != '\'' && text[1] != '"' {
		b.WriteString(simple)
		return 2
	}
	b.WriteByte('\\')
	return 1
}

// reference reads \1, \12 or \g<name> at the start of text.
func reference(text string) (name string, used int) {
	if rest, ok := strings.CutPrefix(text, `\g<`); ok {
		if name, _, found := strings.Cut(rest, ">"); found {
			return name, len(name) + 4
		}
	}
	end := 1
	for end < len(text) && end < 3 && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	return text[1:end], end
}

var regexFilters = map[string]Definition{
	"regex_search":  {Signature: "regex, *groups, ignorecase=false, multiline=false", Function: regexSearch, check: checkPattern},
	"regex_findall": {Signature: "regex, multiline=false, ignorecase=false", Function: regexFindall, check: checkPattern},
	"regex_replace": {Signature: "pattern='', replacement='', ignorecase=false, multiline=false, count=0", Function: regexReplace, check: checkPattern},
	"regex_escape":  {Signature: "re_type='python'", Function: regexEscape},
}

// checkPattern compiles a pattern that is written out, before anything runs.
func checkPattern(_ *Environment, args []any, _ []string) error {
	if len(args) == 0 {
		return nil
	}
	source, ok := args[0].(string)
	if !ok {
		return nil
	}
	if _, err := compilePattern(patternKey{source: source}); err != nil {
		return &argumentError{message: err.Error()}
	}
	return nil
}

func (c *Call) pattern(source, ignoreCase, multiline any) (*pattern, error) {
	text, ok := source.(string)
	if !ok {
		return nil, fmt.Errorf("a regular expression is text, found %s", nameWithArticle(source))
	}
	return compilePattern(patternKey{source: text, ignoreCase: Truthy(ignoreCase), multiline: Truthy(multiline)})
}

// SearchPattern reports whether a regular expression as Python writes it is found
// in text. The error says what is wrong with it.
func SearchPattern(source, text string) (bool, error) {
	p, err := compilePattern(patternKey{source: source})
	if err != nil {
		return false, err
	}
	m, err := p.find(text)
	return m != nil, err
}

func regexSearch(c *Call) (any, error) {
	p, err := c.pattern(c.Args[0], c.Args[1], c.Args[2])
	if err != nil {
		return nil, err
	}
	m, err := p.find(Text(c.Input))
	if err != nil || m == nil {
		return nil, err
	}
	if len(c.Rest) == 0 {
		return m.text, nil
	}
	groups := make([]any, len(c.Rest))
	for i, wanted := range c.Rest {
		name, used := "", 0
		if text, ok := wanted.(string); ok && len(text) > 1 && text[0] == '\\' {
			name, used = reference(text)
		}
		if name == "" || used != len(wanted.(string)) {
			return nil, fmt.Errorf(`a group is asked for as '\\1' or '\\g<name>', found %s`, show(wanted))
		}
		if groups[i], err = p.group(m, name); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

func regexFindall(c *Call) (any, error) {
	p, err := c.pattern(c.Args[0], c.Args[2], c.Args[1])
	if err != nil {
		return nil, err
	}
	matches, err := p.findAll(Text(c.Input))
	if err != nil {
		return nil, err
	}
	found := make([]any, len(matches))
	for i, m := range matches {
		switch p.groups {
		case 0:
			found[i] = m.text
		case 1:
			found[i] = m.groups[1]
		default:
			found[i] = toList(m.groups[1:])
		}
	}
	return found, nil
}

func regexReplace(c *Call) (any, error) {
	p, err := c.pattern(c.Args[0], c.Args[2], c.Args[3])
	if err != nil {
		return nil, err
	}
	limit, err := intArgument(c, 4)
	if err != nil {
		return nil, err
	}
	return p.replace(Text(c.Input), Text(c.Args[1]), limit)
}

func regexEscape(c *Call) (any, error) {
	special := "()[]{}?*+-|^$\\.&~# \t\n\r\v\f"
	switch c.Args[0] {
	case "python":
	case "posix_basic":
		special = "].[^$*\\"
	default:
		return nil, fmt.Errorf("re_type is python or posix_basic, found %s", show(c.Args[0]))
	}
	var b strings.Builder
	for _, r := range Text(c.Input) {
		if strings.ContainsRune(special, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

// regexTest is the tests match (at the start), search (anywhere) and regex.
func regexTest(signature, kind string) Definition {
	return Definition{Signature: "pattern='', ignorecase=false, multiline=false" + signature, check: checkPattern, Function: func(c *Call) (any, error) {
		text, ok := c.Input.(string)
		source, patternOK := c.Args[0].(string)
		if !ok || !patternOK {
			return nil, fmt.Errorf("expected a string and a pattern, found %s and %s", nameWithArticle(c.Input), nameWithArticle(c.Args[0]))
		}
		anchor := kind
		if len(c.Args) > 3 {
			anchor = Text(c.Args[3])
		}
		p, err := compilePattern(patternKey{source: source, ignoreCase: Truthy(c.Args[1]), multiline: Truthy(c.Args[2]), anchor: anchor})
		if err != nil {
			return nil, err
		}
		m, err := p.find(text)
		return m != nil, err
	}}
}

// Matches reports whether a regular expression of Python's matches somewhere in
// text.
func Matches(pattern, text string) (bool, error) {
	p, err := compilePattern(patternKey{source: pattern})
	if err != nil {
		return false, err
	}
	return p.re.MatchString(text)
}
