package modules

import (
	"slices"
	"strings"
)

// iniText is an INI file by its lines, which keep all that is not edited.
type iniText struct {
	lines []string // with their ends
	end   string   // of lines that are written
	args  *IniFileArgs
}

// edit gives the text as the arguments want it, and says what was done to it.
func (a *IniFileArgs) edit(text string) (edited, message string) {
	f := iniText{end: "\n", args: a}
	if strings.Contains(text, "\r\n") {
		f.end = "\r\n"
	}
	f.lines = slices.Collect(strings.Lines(text))
	if last := len(f.lines) - 1; last >= 0 && !strings.HasSuffix(text, "\n") {
		f.lines[last] += f.end
	}
	message = f.apply()
	if message == "OK" {
		return text, message
	}
	return strings.Join(f.lines, ""), message
}

func (f *iniText) apply() string {
	start, stop, there := f.section()
	absent := f.args.State == "absent"
	switch {
	case absent && !there:
		return "OK"
	case absent && f.args.Option == "":
		for ; there; start, stop, there = f.section() {
			f.lines = slices.Delete(f.lines, start-1, stop)
		}
		return "section removed"
	case absent:
		return f.remove(start, stop)
	case !there:
		f.lines = append(f.lines, "["+f.args.Section+"]"+f.end)
		if f.args.Option == "" {
			return "only section added"
		}
		f.set(len(f.lines), len(f.lines))
		return "section and option added"
	case f.args.Option == "":
		return "OK"
	}
	return f.set(start, stop)
}

// section finds the lines of the section: from behind its heading up to the next.
func (f *iniText) section() (start, stop int, there bool) {
	if there = f.args.Section == ""; !there {
		for start < len(f.lines) && !there {
			name, heading := headingOf(f.lines[start])
			there = heading && name == strings.TrimSpace(f.args.Section)
			start++
		}
	}
	for stop = start; stop < len(f.lines); stop++ {
		if _, heading := headingOf(f.lines[stop]); heading {
			break
		}
	}
	return start, stop, there
}

// headingOf reads a line such as [name]; what follows the bracket does not count.
func headingOf(line string) (name string, heading bool) {
	rest, opens := strings.CutPrefix(line, "[")
	name, _, closes := strings.Cut(rest, "]")
	return strings.TrimSpace(name), opens && closes
}

// iniLine is a line that sets an option, or would if it were no comment.
type iniLine struct {
	value    string
	hasValue bool
	active   bool
}

// read takes a line apart when it is about the option.
func (f *iniText) read(line string) (iniLine, bool) {
	text := strings.TrimSpace(line)
	active := !strings.HasPrefix(text, "#") && !strings.HasPrefix(text, ";")
	if !active {
		text = strings.TrimLeft(text[1:], " \t")
	}
	name, value, hasValue := strings.Cut(text, "=")
	if strings.TrimRight(name, " \t") != f.args.Option {
		return iniLine{}, false
	}
	return iniLine{value: strings.TrimSpace(value), hasValue: hasValue, active: active}, true
}

// iniWish is one line that should be there.
type iniWish struct {
	value    string
	hasValue bool
}

func (f *iniText) wishes() []iniWish {
	values := f.args.wanted()
	if f.args.AllowNoValue && (len(values) == 0 || len(values) == 1 && values[0] == "") {
		return []iniWish{{}}
	}
	wishes := make([]iniWish, len(values))
	for i, v := range values {
		wishes[i] = iniWish{v, true}
	}
	return wishes
}

func (f *iniText) write(w iniWish) string {
	sign := " = "
	switch {
	case !w.hasValue:
		sign = ""
	case f.args.NoExtraSpaces:
		sign = "="
	}
	return strings.TrimRight(f.args.Option+sign+w.value, " ") + f.end
}

// set brings the wishes about within the section: in lines that have the value
// already, then in other lines of the option, then in new ones.
func (f *iniText) set(start, stop int) string {
	before := slices.Clone(f.lines)
	open := f.wishes()
	used := map[int]bool{}
	f.reuse(start, stop, &open, used, true, true)
	if f.args.ModifyInactiveOption {
		f.reuse(start, stop, &open, used, true, false)
	}
	if f.args.Exclusive {
		f.reuse(start, stop, &open, used, false, true)
		if f.args.ModifyInactiveOption {
			f.reuse(start, stop, &open, used, false, false)
		}
	}
	if len(open) > 0 { // then no line is left that exclusive would remove
		for _, w := range open {
			f.lines = slices.Insert(f.lines, f.lastSetting(start, stop), f.write(w))
			stop++
		}
		return "option added"
	}
	if f.args.Exclusive {
		f.drop(start, stop, func(at int, _ iniLine) bool { return !used[at] })
	}
	if slices.Equal(before, f.lines) {
		return "OK"
	}
	return "option changed"
}

// reuse writes open wishes into lines of the option that are not used yet: those
// that have the value when same is set, else any, in order.
func (f *iniText) reuse(start, stop int, open *[]iniWish, used map[int]bool, same, active bool) {
	for at := start; at < stop; at++ {
		line, ours := f.read(f.lines[at])
		if !ours || used[at] || line.active != active || len(*open) == 0 {
			continue
		}
		pick := 0
		if same {
			pick = slices.Index(*open, iniWish{line.value, line.hasValue})
		}
		if pick < 0 {
			continue
		}
		if wish := (*open)[pick]; !(same && active && f.args.IgnoreSpaces) {
			f.rewrite(at, wish)
		}
		used[at] = true
		*open = slices.Delete(slices.Clone(*open), pick, pick+1)
	}
}

// rewrite puts a wish into a line; one that says it already keeps its end.
func (f *iniText) rewrite(at int, w iniWish) {
	line := f.write(w)
	if strings.TrimRight(line, "\r\n") != strings.TrimRight(f.lines[at], "\r\n") {
		f.lines[at] = line
	}
}

// lastSetting is the place behind the last line of the section that says something.
func (f *iniText) lastSetting(start, stop int) int {
	for at := stop; at > start; at-- {
		text := strings.TrimSpace(f.lines[at-1])
		if text != "" && text[0] != '#' && text[0] != ';' {
			return at
		}
	}
	return start
}

// drop removes the active lines of the option that gone names.
func (f *iniText) drop(start, stop int, gone func(at int, line iniLine) bool) bool {
	dropped := false
	for at := stop - 1; at >= start; at-- {
		if line, ours := f.read(f.lines[at]); ours && line.active && gone(at, line) {
			f.lines = slices.Delete(f.lines, at, at+1)
			dropped = true
		}
	}
	return dropped
}

func (f *iniText) remove(start, stop int) string {
	wishes := f.wishes()
	dropped := f.drop(start, stop, func(_ int, line iniLine) bool {
		return f.args.Exclusive || slices.Contains(wishes, iniWish{line.value, line.hasValue})
	})
	if !dropped {
		return "OK"
	}
	return "option changed"
}
