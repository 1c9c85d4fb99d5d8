package modules

import (
	"fmt"
	"slices"
	"strings"
)

// fstab is the text of a mount table, kept line by line so that what is not
// edited stays as it was written.
type fstab struct{ lines []string }

// fstabEntry is one line of it, with the escapes of its fields undone.
type fstabEntry struct {
	source, target, fstype, options string
	dump, passno                    string // "0" when left out
	rest                            string // what stands behind the six fields
}

func parseFstab(text string) fstab {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return fstab{}
	}
	return fstab{lines: strings.Split(text, "\n")}
}

func (f fstab) String() string {
	if len(f.lines) == 0 {
		return ""
	}
	return strings.Join(f.lines, "\n") + "\n"
}

// parseFstabLine reads an entry; a comment, an empty line and a line with fewer
// than three fields is none.
func parseFstabLine(line string) (fstabEntry, bool) {
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
		return fstabEntry{}, false
	}
	entry := fstabEntry{options: "defaults", dump: "0", passno: "0"}
	into := []*string{&entry.source, &entry.target, &entry.fstype, &entry.options, &entry.dump, &entry.passno}
	for i, field := range fields {
		if i == len(into) {
			entry.rest = strings.Join(fields[i:], " ")
			break
		}
		*into[i] = unescapeFstab(field)
	}
	return entry, true
}

func (e fstabEntry) String() string {
	fields := []string{e.source, e.target, e.fstype, e.options, e.dump, e.passno}
	for i := range fields {
		fields[i] = fstabEscapes.Replace(fields[i])
	}
	if e.rest != "" {
		fields = append(fields, e.rest)
	}
	return strings.Join(fields, " ")
}

// A leading # would make the line a comment, blanks would split the field.
var fstabEscapes = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, "#", `\043`, `\`, `\134`)

// unescapeFstab undoes \ooo, the only escapes that getmntent(3) knows.
func unescapeFstab(field string) string {
	var out strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) && octalDigits(field[i+1:i+4]) {
			out.WriteByte((field[i+1]-'0')<<6 | (field[i+2]-'0')<<3 | (field[i+3] - '0'))
			i += 3
			continue
		}
		out.WriteByte(field[i])
	}
	return out.String()
}

func octalDigits(s string) bool {
	return s[0] <= '3' && strings.Trim(s, "01234567") == ""
}

// at lists the numbers of the lines for the same mount point as e; swap has none,
// so that its source stands for it.
func (f fstab) at(e fstabEntry) []int {
	var found []int
	for i, line := range f.lines {
		old, ok := parseFstabLine(line)
		if !ok || trimSlash(old.target) != trimSlash(e.target) {
			continue
		}
		if e.fstype == "swap" && old.source != e.source {
			continue
		}
		found = append(found, i)
	}
	return found
}

// with returns the table with e in it, and whether it differs from f. A line that
// means the same is left as it is written.
func (f fstab) with(e fstabEntry) (fstab, bool, error) {
	found := f.at(e)
	if len(found) > 1 {
		return f, false, fmt.Errorf("lines %d and %d both mount something at %s; remove one of them (state: absent removes both)", found[0]+1, found[1]+1, e.target)
	}
	changed := fstab{lines: slices.Clone(f.lines)}
	if len(found) == 0 {
		changed.lines = append(changed.lines, e.String())
		return changed, true, nil
	}
	old, _ := parseFstabLine(f.lines[found[0]])
	if old.means(e) {
		return f, false, nil
	}
	e.rest = old.rest
	changed.lines[found[0]] = e.String()
	return changed, true, nil
}

// without returns the table with no line for the mount point of e.
func (f fstab) without(e fstabEntry) (fstab, bool) {
	found := f.at(e)
	changed := fstab{}
	for i, line := range f.lines {
		if !slices.Contains(found, i) {
			changed.lines = append(changed.lines, line)
		}
	}
	return changed, len(found) > 0
}

func (e fstabEntry) means(other fstabEntry) bool {
	return e.source == other.source && trimSlash(e.target) == trimSlash(other.target) && e.fstype == other.fstype &&
		sameOptions(e.options, other.options) && e.dump == other.dump && e.passno == other.passno
}

// sameOptions compares two option strings. Their order says nothing, unless one
// of them gives an option twice or takes it back: there the last one wins.
func sameOptions(a, b string) bool {
	if a == b {
		return true
	}
	as, bs := strings.Split(a, ","), strings.Split(b, ",")
	if ordered(as) || ordered(bs) {
		return false
	}
	slices.Sort(as)
	slices.Sort(bs)
	return slices.Equal(as, bs)
}

func ordered(options []string) bool {
	seen := map[string]bool{}
	for _, o := range options {
		name, _, _ := strings.Cut(o, "=")
		if name == "ro" {
			name = "rw"
		}
		name = strings.TrimPrefix(name, "no")
		if seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}

func trimSlash(p string) string {
	if trimmed := strings.TrimRight(p, "/"); trimmed != "" {
		return trimmed
	}
	return p
}
