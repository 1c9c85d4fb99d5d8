package expression

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// moment is Python's datetime: what to_datetime gives. It is one only within an
// expression or a template; what leaves them is its text.
type moment struct {
	time  time.Time
	aware bool // it has a zone
}

// span is Python's timedelta: what lies between two moments.
type span time.Duration

// String is the moment as Python prints it.
func (m moment) String() string { return m.format(" ") }

func (m moment) format(separator string) string {
	layout := "2006-01-02" + separator + "15:04:05"
	if m.time.Nanosecond() != 0 {
		layout += ".000000"
	}
	if m.aware {
		layout += "-07:00"
	}
	return m.time.Format(layout)
}

const day = 24 * time.Hour

// parts are days, seconds and microseconds; only the days may be negative.
func (s span) parts() (days, seconds, micros int) {
	whole, rest := int64(s)/int64(day), time.Duration(s)%day
	if rest < 0 {
		whole, rest = whole-1, rest+day
	}
	return int(whole), int(rest / time.Second), int(rest % time.Second / time.Microsecond)
}

// String is the span as Python prints it.
func (s span) String() string {
	days, seconds, micros := s.parts()
	text := fmt.Sprintf("%d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if micros != 0 {
		text += fmt.Sprintf(".%06d", micros)
	}
	switch days {
	case 0:
		return text
	case 1, -1:
		return fmt.Sprintf("%d day, %s", days, text)
	}
	return fmt.Sprintf("%d days, %s", days, text)
}

// attributed is a value with attributes that is no mapping.
type attributed interface {
	attribute(name string) (any, bool)
}

func (m moment) attribute(name string) (any, bool) {
	value, ok := map[string]any{
		"year": m.time.Year(), "month": int(m.time.Month()), "day": m.time.Day(), "hour": m.time.Hour(),
		"minute": m.time.Minute(), "second": m.time.Second(), "microsecond": m.time.Nanosecond() / 1000,
	}[name]
	return value, ok
}

func (s span) attribute(name string) (any, bool) {
	days, seconds, micros := s.parts()
	value, ok := map[string]any{"days": days, "seconds": seconds, "microseconds": micros}[name]
	return value, ok
}

var momentMethods = methods(map[string]Definition{
	"strftime":   {Signature: "format", Function: func(c *Call) (any, error) { return strftime(Text(c.Args[0]), c.Input.(moment).time) }},
	"isoformat":  {Signature: "sep='T'", Function: func(c *Call) (any, error) { return c.Input.(moment).format(Text(c.Args[0])), nil }},
	"timestamp":  {Function: func(c *Call) (any, error) { return float64(c.Input.(moment).time.UnixMicro()) / 1e6, nil }},
	"weekday":    {Function: func(c *Call) (any, error) { return (int(c.Input.(moment).time.Weekday()) + 6) % 7, nil }},
	"isoweekday": {Function: func(c *Call) (any, error) { return (int(c.Input.(moment).time.Weekday())+6)%7 + 1, nil }},
})

var spanMethods = methods(map[string]Definition{
	"total_seconds": {Function: func(c *Call) (any, error) { return time.Duration(c.Input.(span)).Seconds(), nil }},
})

var errZones = errors.New("a time with a zone and one without do not go together")

// datetimeArithmetic is + and - on moments and spans; ok is false when neither
// operand is one.
func datetimeArithmetic(operator string, a, b any) (value any, ok bool, err error) {
	am, aMoment := a.(moment)
	as, aSpan := a.(span)
	bm, bMoment := b.(moment)
	bs, bSpan := b.(span)
	switch {
	case !aMoment && !aSpan && !bMoment && !bSpan:
		return nil, false, nil
	case aMoment && bMoment && operator == "-":
		if am.aware != bm.aware {
			return nil, true, errZones
		}
		return span(am.time.Sub(bm.time)), true, nil
	case aMoment && bSpan && operator == "-":
		return moment{am.time.Add(-time.Duration(bs)), am.aware}, true, nil
	case aMoment && bSpan && operator == "+":
		return moment{am.time.Add(time.Duration(bs)), am.aware}, true, nil
	case aSpan && bMoment && operator == "+":
		return moment{bm.time.Add(time.Duration(as)), bm.aware}, true, nil
	case aSpan && bSpan && operator == "+":
		return as + bs, true, nil
	case aSpan && bSpan && operator == "-":
		return as - bs, true, nil
	}
	return nil, true, operandError(operator, a, b)
}

// datetimeOrder compares two moments or two spans.
func datetimeOrder(a, b any) (sign int, ok bool) {
	if am, isMoment := a.(moment); isMoment {
		bm, ok := b.(moment)
		return am.time.Compare(bm.time), ok && am.aware == bm.aware
	}
	as, isSpan := a.(span)
	bs, ok := b.(span)
	return compareOrdered(int(as), int(bs)), isSpan && ok
}

// directives are the parts of a format and the layouts they are read with.
var directives = map[byte]struct{ pattern, layout string }{
	'Y': {`\d{4}`, "2006"}, 'y': {`\d{2}`, "06"}, 'm': {`\d{1,2}`, "1"}, 'd': {`\d{1,2}`, "2"}, 'H': {`\d{1,2}`, "15"},
	'I': {`\d{1,2}`, "3"}, 'M': {`\d{1,2}`, "4"}, 'S': {`\d{1,2}`, "5"}, 'p': {`[AaPp][Mm]`, "PM"}, 'b': {`[A-Za-z]{3}`, "Jan"},
	'B': {`[A-Za-z]+`, "January"}, 'a': {`[A-Za-z]{3}`, "Mon"}, 'A': {`[A-Za-z]+`, "Monday"}, 'j': {`\d{1,3}`, "__2"},
	'z': {`Z|[+-]\d{2}:?\d{2}`, "-0700"}, 'f': {`\d{1,6}`, ".000000"},
}

// strptime reads a time as Python's datetime.strptime.
func strptime(text, format string) (moment, error) {
	var pattern strings.Builder
	var layouts []string
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			if format[i] == ' ' {
				pattern.WriteString(`\s+`)
			} else {
				pattern.WriteString(regexp.QuoteMeta(format[i : i+1]))
			}
			continue
		}
		if i++; i == len(format) {
			return moment{}, errors.New("the format ends within a directive")
		}
		if format[i] == '%' {
			pattern.WriteByte('%')
			continue
		}
		known, ok := directives[format[i]]
		if !ok {
			return moment{}, fmt.Errorf("the directive %%%c is not supported", format[i])
		}
		pattern.WriteString("(" + known.pattern + ")")
		layouts = append(layouts, known.layout)
	}
	re, err := regexp.Compile(`\A` + pattern.String() + `\z`)
	if err != nil {
		return moment{}, err
	}
	parts := re.FindStringSubmatch(text)
	if parts == nil {
		return moment{}, fmt.Errorf("the time %s does not look like '%s'", show(text), format)
	}
	return readMoment(parts[1:], layouts)
}

// readMoment reads the parts, each with its layout. What is missing is that of
// 1900-01-01 00:00:00.
func readMoment(parts, layouts []string) (moment, error) {
	layout, text := "", ""
	add := func(l, t string) { layout, text = layout+" "+l, text+" "+t }
	aware, year := false, false
	for i, part := range parts {
		switch layouts[i] {
		case ".000000": // it may only follow seconds
			layout, text = layout+" 05.000000", text+" 00."+part+strings.Repeat("0", 6-len(part))
			continue
		case "-0700":
			aware = true
			part = strings.Replace(strings.ReplaceAll(part, ":", ""), "Z", "+0000", 1)
		case "PM":
			part = strings.ToUpper(part)
		case "Jan", "January", "Mon", "Monday":
			part = strings.ToUpper(part[:1]) + strings.ToLower(part[1:])
		case "__2":
			n, err := strconv.Atoi(part)
			if err != nil {
				return moment{}, err
			}
			part = fmt.Sprintf("%3d", n)
		case "2006", "06":
			year = true
		}
		add(layouts[i], part)
	}
	if !year {
		add("2006", "1900")
	}
	return parseMoment(layout, text, aware)
}

func parseMoment(layout, text string, aware bool) (moment, error) {
	// Fractions come as a second of their own; they are added to the whole.
	whole, fraction := text, time.Duration(0)
	if at := strings.Index(layout, " 05.000000"); at >= 0 {
		start := strings.Index(text, " 00.")
		micros, err := strconv.Atoi(text[start+4 : start+10])
		if err != nil {
			return moment{}, err
		}
		fraction = time.Duration(micros) * time.Microsecond
		whole = text[:start] + text[start+10:]
		layout = strings.Replace(layout, " 05.000000", "", 1)
	}
	parsed, err := time.Parse(layout, whole)
	if err != nil {
		return moment{}, fmt.Errorf("%s is no time: a part is out of range", show(strings.TrimSpace(whole)))
	}
	return moment{parsed.Add(fraction), aware}, nil
}

func toDatetimeFilter(c *Call) (any, error) {
	return strptime(Text(c.Input), Text(c.Args[0]))
}

// settled is what a moment or span is outside of expressions: its text.
func settled(v any) any {
	switch v := v.(type) {
	case moment:
		return v.String()
	case span:
		return v.String()
	}
	return v
}
