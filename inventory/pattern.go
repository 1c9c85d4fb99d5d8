package inventory

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/lazy"
)

// Pattern is a parsed pattern of hosts: "web:&prod:!web1", "~db\d+", "all[0:2]".
// It is immutable.
type Pattern struct {
	source string
	terms  []term
}

// term is one part of a pattern.
type term struct {
	sign    byte // 0, '&' or '!'
	name    string
	matches *regexp.Regexp // of a glob or ~regex; nil for a plain name
	isRegex bool
	slice   *slice
	at      diag.Range
}

// slice is a subscript; both ends belong to it, negative ones count from the end.
type slice struct {
	start, end int
	single     bool
}

// String is the pattern as it was written.
func (p *Pattern) String() string { return p.source }

// ParsePattern reads a pattern. at finds the place of its parts. The error is a
// diag.List with every fault.
func ParsePattern(text string, at diag.Locator) (*Pattern, error) {
	p := &Pattern{source: text}
	var found diag.List
	for _, part := range splitPattern(text) {
		if t, err := parseTerm(part.text, at.Shift(part.from)); err != nil {
			found.AddError(at.At(part.from, part.to), err)
		} else {
			p.terms = append(p.terms, t)
		}
	}
	if len(p.terms) == 0 && len(found) == 0 {
		found.Add(diag.New(at.At(0, len(text)), "the pattern of hosts is empty").
			WithHint(`write "all" for every host`))
	}
	return p, found.ErrorOrNil()
}

// splitPattern cuts at commas and colons, but not within brackets or braces (a
// range, a class of characters, a regular expression's counts) nor within an IPv6
// address.
func splitPattern(text string) []word {
	var parts []word
	depth, from := 0, 0
	flush := func(to int) {
		trimmed := strings.TrimSpace(text[from:to])
		if trimmed != "" {
			start := from + strings.Index(text[from:to], trimmed)
			parts = append(parts, word{trimmed, start, start + len(trimmed)})
		}
		from = to + 1
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '[' || c == '(' || c == '{':
			depth++
		case c == ']' || c == ')' || c == '}':
			depth = max(0, depth-1)
		case c == ',' && depth == 0:
			flush(i)
		case c == ':' && depth == 0:
			if !insideAddress(text, from) {
				flush(i)
			}
		}
	}
	flush(len(text))
	return parts
}

// insideAddress reports whether the part that begins at from, up to the next
// comma, is an IPv6 address.
func insideAddress(text string, from int) bool {
	part, _, _ := strings.Cut(text[from:], ",")
	_, err := netip.ParseAddr(strings.TrimLeft(strings.TrimSpace(part), "!&"))
	return err == nil
}

var subscriptPattern = lazy.Regexp(`^(.+)\[(?:(-?[0-9]{1,9})|(-?[0-9]{0,9})[:-](-?[0-9]{0,9}))\]$`)

func parseTerm(text string, at diag.Locator) (term, error) {
	t := term{at: at.At(0, len(text))}
	if text[0] == '!' || text[0] == '&' {
		t.sign = text[0]
		trimmed := strings.TrimLeft(text[1:], " \t")
		at = at.Shift(len(text) - len(trimmed))
		text = trimmed
	}
	t.name = text
	switch {
	case text == "":
		return t, diag.New(t.at, "a name is missing behind %q", string(t.sign))
	case text[0] == '@':
		return t, diag.New(t.at, "a pattern from a file (%s) is for --limit only", text)
	case text[0] == '~':
		return t.regex(text[1:], at)
	}
	if m := subscriptPattern().FindStringSubmatch(text); m != nil {
		t.name, t.slice = m[1], parseSlice(m[2], m[3], m[4])
	}
	if !strings.ContainsAny(t.name, "*?[]") {
		return t, nil
	}
	glob, err := globToRegexp(t.name)
	if err != nil {
		return t, diag.New(t.at, "%q is no pattern: a [ is not closed", t.name)
	}
	t.matches = glob
	return t, nil
}

func (t term) regex(text string, at diag.Locator) (term, error) {
	compiled, err := regexp.Compile("^(?:" + text + ")")
	if err != nil {
		return t, diag.New(at.At(0, 1+len(text)), "not a regular expression: %v", err).
			WithHint("behind ~ the pattern is a regular expression of Go (RE2), matched from the beginning of the name")
	}
	t.matches, t.isRegex = compiled, true
	return t, nil
}

func parseSlice(index, start, end string) *slice {
	if index != "" {
		n, _ := strconv.Atoi(index) // the pattern lets only digits through
		return &slice{start: n, end: n, single: true}
	}
	s := &slice{start: 0, end: -1}
	if n, err := strconv.Atoi(start); err == nil {
		s.start = n
	}
	if n, err := strconv.Atoi(end); err == nil {
		s.end = n
	}
	return s
}

// globToRegexp turns a shell pattern into an anchored regular expression.
func globToRegexp(glob string) (*regexp.Regexp, error) {
	var out strings.Builder
	out.WriteString("^")
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			out.WriteString(".*")
		case '?':
			out.WriteString(".")
		case '[':
			end := strings.IndexByte(glob[i+1:], ']')
			if end <= 0 {
				return nil, strconv.ErrSyntax
			}
			class := glob[i+1 : i+1+end]
			not, isNot := strings.CutPrefix(class, "!")
			if isNot {
				class = "^" + not
			}
			out.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i += end + 1
		default:
			_, width := utf8.DecodeRuneInString(glob[i:])
			out.WriteString(regexp.QuoteMeta(glob[i : i+width]))
			i += width - 1
		}
	}
	return regexp.Compile(out.String() + "$")
}

// Select gives the hosts that the pattern chooses, in the order in which its
// parts name them, and within a group in the order of the inventory; each once.
// As in Ansible all plain parts are joined first, then every & narrows, then
// every ! takes away. A name that is neither host nor group is an error, with a
// suggestion, even behind a !, where a slip would let a host through; a glob or
// regular expression that matches nothing is a warning. A pattern that chooses
// nobody is neither.
func (inv *Inventory) Select(p *Pattern) ([]*Host, diag.List) {
	var found diag.List
	chosen := []*Host{}
	plain := false
	for _, t := range p.terms {
		if t.sign == 0 {
			plain = true
			chosen = union(chosen, inv.match(t, &found))
		}
	}
	if !plain {
		chosen = slices.Clone(inv.hosts)
	}
	for _, sign := range []byte{'&', '!'} {
		for _, t := range p.terms {
			if t.sign != sign {
				continue
			}
			named := inv.match(t, &found)
			chosen = slices.DeleteFunc(chosen, func(h *Host) bool {
				return slices.Contains(named, h) == (sign == '!')
			})
		}
	}
	return chosen, found
}

func union(all, more []*Host) []*Host {
	seen := make(map[*Host]bool, len(all))
	for _, h := range all {
		seen[h] = true
	}
	for _, h := range more {
		if !seen[h] {
			seen[h] = true
			all = append(all, h)
		}
	}
	return all
}

// match gives the hosts of one part of a pattern.
func (inv *Inventory) match(t term, found *diag.List) []*Host {
	var hosts []*Host
	var known bool
	if t.matches == nil {
		hosts, known = inv.named(t.name)
	} else {
		hosts, known = inv.matching(t)
	}
	if !known {
		found.Add(inv.unknown(t))
	}
	return t.slice.of(hosts)
}

func (inv *Inventory) named(name string) ([]*Host, bool) {
	if g, ok := inv.groupName[name]; ok {
		return g.members(), true
	}
	if h, ok := inv.Host(name); ok {
		return []*Host{h}, true
	}
	return nil, false
}

func (inv *Inventory) matching(t term) (hosts []*Host, known bool) {
	if t.name == "*" {
		return slices.Clone(inv.hosts), true
	}
	for _, g := range inv.groups {
		if t.matches.MatchString(g.Name) {
			known = true
			hosts = union(hosts, g.members())
		}
	}
	var single []*Host
	for _, h := range inv.hosts {
		if t.matches.MatchString(h.Name) {
			single = append(single, h)
		}
	}
	return union(hosts, single), known || len(single) > 0
}

func (inv *Inventory) unknown(t term) diag.Diagnostic {
	if t.matches != nil {
		d := diag.New(t.at, "no host and no group matches %s", t.name)
		d.Severity = diag.Warning
		return d
	}
	names := slices.AppendSeq(slices.Collect(mapKeys(inv.byName)), mapKeys(inv.groupName))
	d := diag.New(t.at, "the inventory has no host and no group %s", t.name)
	if hint := diag.DidYouMean(t.name, names); hint != "" {
		return d.WithHint(hint)
	}
	if len(inv.hosts) == 0 {
		return d.WithHint("the inventory is empty; give one with -i")
	}
	return d.WithHint("it has the groups " + strings.Join(inv.ownGroups(), ", "))
}

func (inv *Inventory) ownGroups() []string {
	var names []string
	for _, g := range inv.groups {
		names = append(names, g.Name)
	}
	return names
}

// of cuts hosts as the subscript says; beyond the end there is nobody.
func (s *slice) of(hosts []*Host) []*Host {
	if s == nil {
		return hosts
	}
	start, end := s.start, s.end
	if start < 0 {
		start += len(hosts)
	}
	if end < 0 {
		end += len(hosts)
	}
	end = min(end, len(hosts)-1)
	if start < 0 && s.single || start > end {
		return nil
	}
	return slices.Clone(hosts[max(start, 0) : end+1])
}
