package expression

import (
	"errors"
	"fmt"
	"html"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

// text makes a filter of a function on text; other values become text first, as
// Jinja's soft_str does.
func text[T any](do func(string) T) Definition {
	return Definition{Function: func(c *Call) (any, error) { return do(Text(c.Input)), nil }}
}

var textFilters = map[string]Definition{
	"default":        {Signature: "default_value='', boolean=false", Function: defaultFilter, TakesUndefined: true},
	"d":              {Signature: "default_value='', boolean=false", Function: defaultFilter, TakesUndefined: true},
	"mandatory":      {Signature: "msg=none", Function: mandatoryFilter, TakesUndefined: true},
	"type_debug":     {Function: func(c *Call) (any, error) { return TypeName(c.Input), nil }, TakesUndefined: true},
	"ternary":        {Signature: "true_val, false_val, none_val=none", Function: ternaryFilter},
	"bool":           {Function: boolFilter},
	"int":            {Signature: "default=0, base=10", Function: intFilter},
	"float":          {Signature: "default=0.0", Function: floatFilter},
	"string":         {Function: func(c *Call) (any, error) { return c.frame.textOf(c.Input) }},
	"lower":          text(strings.ToLower),
	"upper":          text(strings.ToUpper),
	"title":          text(jinjaTitle),
	"capitalize":     text(capitalize),
	"escape":         text(html.EscapeString),
	"e":              text(html.EscapeString),
	"forceescape":    text(html.EscapeString),
	"safe":           text(func(s string) string { return s }),
	"striptags":      text(stripTags),
	"wordcount":      text(func(s string) int { return len(words().FindAllString(s, -1)) }),
	"trim":           {Signature: "chars=none", Function: trimFilter},
	"split":          {Signature: "sep=none, maxsplit=-1", Function: splitFilter},
	"replace":        {Signature: "old, new, count=none", Function: replaceFilter},
	"indent":         {Signature: "width=4, first=false, blank=false", Function: indentFilter},
	"center":         {Signature: "width=80", Function: centerFilter},
	"truncate":       {Signature: "length=255, killwords=false, end='...', leeway=5", Function: truncateFilter},
	"wordwrap":       {Signature: "width=79, break_long_words=true, wrapstring='\\n', break_on_hyphens=true", Function: wordwrapFilter},
	"format":         {Signature: "*args, **kwargs", Function: formatFilter},
	"comment":        {Signature: "style='plain', **options", Function: commentFilter},
	"quote":          {Function: quoteFilter},
	"basename":       text(basename),
	"dirname":        text(dirname),
	"expanduser":     text(expandUser),
	"expandvars":     text(func(s string) string { return os.Expand(s, environmentValue) }),
	"realpath":       {Function: realpathFilter},
	"relpath":        {Signature: "start='.'", Function: relpathFilter},
	"splitext":       text(splitext),
	"path_join":      {Function: pathJoinFilter},
	"fileglob":       {Function: fileglobFilter},
	"to_datetime":    {Signature: "format='%Y-%m-%d %H:%M:%S'", Function: toDatetimeFilter},
	"win_dirname":    text(winDirname),
	"win_splitdrive": text(winSplitDrive),
	"win_basename":   text(func(s string) string { return s[strings.LastIndexAny(s, `\/`)+1:] }),
	"abs":            {Function: absFilter},
	"round":          {Signature: "precision=0, method='common'", Function: roundFilter},
	"log":            {Signature: "base=2.718281828459045", Function: logFilter},
	"pow":            {Signature: "y", Function: powFilter},
	"root":           {Signature: "base=2", Function: rootFilter},
	"human_readable": {Signature: "isbits=false, unit=none", Function: humanReadable},
	"human_to_bytes": {Signature: "default_unit=none, isbits=false", Function: humanToBytes},
	"filesizeformat": {Signature: "binary=false", Function: filesizeFilter},
	"urlencode":      {Function: urlencodeFilter},
	"urldecode":      {Function: urldecodeFilter},
	"urlsplit":       {Signature: "query=''", Function: urlsplitFilter},
	"strftime":       {Signature: "second=none, utc=false", Function: strftimeFilter},
	"pprint":         {Function: func(c *Call) (any, error) { v, err := c.frame.whole(c.Input); return Repr(v), err }},
}

func defaultFilter(c *Call) (any, error) {
	if _, missing := c.Input.(*Undefined); missing {
		return c.Args[0], nil
	}
	if Truthy(c.Args[1]) && !Truthy(c.Input) {
		return c.Args[0], nil
	}
	return c.Input, nil
}

func mandatoryFilter(c *Call) (any, error) {
	u, missing := c.Input.(*Undefined)
	if !missing {
		return c.Input, nil
	}
	err := fmt.Errorf("the mandatory variable '%s' is not defined", u.Name)
	if c.Args[0] != nil {
		err = errors.New(Text(c.Args[0]))
	}
	return nil, &fault{start: c.site.start, end: c.site.end, err: err, hint: u.hint()}
}

func ternaryFilter(c *Call) (any, error) {
	switch {
	case c.Input == nil && c.Args[2] != nil:
		return c.Args[2], nil
	case Truthy(c.Input):
		return c.Args[0], nil
	}
	return c.Args[1], nil
}

func boolFilter(c *Call) (any, error) {
	switch v := c.Input.(type) {
	case nil, bool:
		return v, nil
	case string:
		switch strings.ToLower(v) {
		case "yes", "on", "1", "true":
			return true, nil
		}
		return false, nil
	}
	return equal(c.Input, 1), nil
}

func intFilter(c *Call) (any, error) {
	base, err := intArgument(c, 1)
	if err != nil {
		return nil, err
	}
	switch v := c.Input.(type) {
	case float64:
		if math.IsNaN(v) || math.Abs(v) >= 1<<63 {
			return c.Args[0], nil
		}
		return int(v), nil
	case string:
		if i, ok := parseInt(v, base); ok {
			return i, nil
		}
		if f, ok := parseFloat(v); ok && math.Abs(f) < 1<<63 {
			return int(f), nil
		}
		return c.Args[0], nil
	}
	if i, _, _, ok := number(c.Input); ok {
		return i, nil
	}
	return c.Args[0], nil
}

// parseInt is Python's int(text, base).
func parseInt(s string, base int) (int, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	sign := ""
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
		sign, s = s[:1], s[1:]
	}
	if prefix := map[int]string{2: "0b", 8: "0o", 16: "0x"}[base]; prefix != "" {
		s = strings.TrimPrefix(s, prefix)
	}
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") || base < 0 || base > 36 || base == 1 {
		return 0, false
	}
	i, err := strconv.ParseInt(sign+strings.ReplaceAll(s, "_", ""), base, 64)
	return int(i), err == nil
}

// parseFloat is Python's float(text): no hexadecimal, but inf and nan.
func parseFloat(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "xXpP") || strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil || math.IsInf(f, 0)
}

func floatFilter(c *Call) (any, error) {
	if s, ok := c.Input.(string); ok {
		if f, ok := parseFloat(s); ok {
			return f, nil
		}
		return c.Args[0], nil
	}
	if _, f, _, ok := number(c.Input); ok {
		return f, nil
	}
	return c.Args[0], nil
}

var (
	words     = lazy.Regexp(`[\pL\pN_]+`)
	tags      = lazy.Regexp(`(?s)<!--.*?-->|<[^>]*>`)
	wordStart = lazy.Regexp(`[-\s({\[<]+`)
)

// jinjaTitle starts a word after white space, hyphens and opening brackets only.
func jinjaTitle(s string) string {
	var b strings.Builder
	at := 0
	for _, gap := range append(wordStart().FindAllStringIndex(s, -1), []int{len(s), len(s)}) {
		b.WriteString(capitalize(s[at:gap[0]]))
		b.WriteString(s[gap[0]:gap[1]])
		at = gap[1]
	}
	return b.String()
}

func stripTags(s string) string {
	return html.UnescapeString(strings.Join(strings.Fields(tags().ReplaceAllString(s, "")), " "))
}

func trimFilter(c *Call) (any, error) {
	if c.Args[0] == nil {
		return strings.TrimSpace(Text(c.Input)), nil
	}
	return strings.Trim(Text(c.Input), Text(c.Args[0])), nil
}

func splitFilter(c *Call) (any, error) {
	if _, ok := c.Input.(string); !ok {
		return nil, fmt.Errorf("expected a string, found %s", nameWithArticle(c.Input))
	}
	return splitMethod(pythonSplit)(c)
}

func replaceFilter(c *Call) (any, error) {
	count := -1
	if c.Args[2] != nil {
		var err error
		if count, err = intArgument(c, 2); err != nil {
			return nil, err
		}
	}
	return strings.Replace(Text(c.Input), Text(c.Args[0]), Text(c.Args[1]), count), nil
}

func indentFilter(c *Call) (any, error) {
	indentation, isText := c.Args[0].(string)
	if !isText {
		width, err := intArgument(c, 0)
		if err != nil {
			return nil, err
		}
		indentation = strings.Repeat(" ", min(max(width, 0), 1000))
	}
	lines := strings.Split(Text(c.Input), "\n")
	for i, line := range lines {
		if i == 0 && !Truthy(c.Args[1]) || line == "" && !Truthy(c.Args[2]) && i > 0 {
			continue
		}
		lines[i] = indentation + line
	}
	return strings.Join(lines, "\n"), nil
}

func centerFilter(c *Call) (any, error) {
	width, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	return pad(Text(c.Input), " ", 'c', width)
}

func truncateFilter(c *Call) (any, error) {
	length, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	leeway, err := intArgument(c, 3)
	if err != nil {
		return nil, err
	}
	end, runes := Text(c.Args[2]), []rune(Text(c.Input))
	keep := length - utf8.RuneCountInString(end)
	switch {
	case keep < 0 || leeway < 0:
		return nil, errors.New("the length is smaller than that of the end")
	case len(runes) <= length+leeway:
		return string(runes), nil
	case Truthy(c.Args[1]):
		return string(runes[:keep]) + end, nil
	}
	kept := string(runes[:keep])
	if at := strings.LastIndexByte(kept, ' '); at >= 0 {
		kept = kept[:at]
	}
	return kept + end, nil
}

func wordwrapFilter(c *Call) (any, error) {
	width, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	if width < 1 {
		return nil, errors.New("the width must be at least one")
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(Text(c.Input), "\n"), "\n") {
		if strings.TrimSpace(line) == "" {
			lines = append(lines, "")
			continue
		}
		lines = append(lines, wrapLine(line, width, Truthy(c.Args[1]), Truthy(c.Args[3]))...)
	}
	return strings.Join(lines, Text(c.Args[2])), nil
}

// wrapChunk is what textwrap never breaks: white space, or a word, which may end
// with the hyphen at which it can be broken.
var wrapChunk = lazy.Regexp(`[\t\n\v\f\r ]+|[^\t\n\v\f\r ]+?[\pL\d]-|[^\t\n\v\f\r ]+`)

// wrapLine is Python's textwrap: white space is kept but at the ends of lines.
func wrapLine(line string, width int, breakWords, breakHyphens bool) []string {
	var lines []string
	var current []rune
	flush := func() {
		if kept := trimRightSpace(string(current)); kept != "" {
			lines = append(lines, kept)
		}
		current = nil
	}
	for _, text := range wrapChunks(line, breakHyphens) {
		chunk := []rune(text)
		blank := strings.TrimSpace(text) == ""
		if blank && len(current) == 0 && len(lines) > 0 {
			continue
		}
		if len(current)+len(chunk) <= width {
			current = append(current, chunk...)
			continue
		}
		for len(chunk) > width && breakWords {
			room := max(width-len(current), 0)
			current = append(current, chunk[:room]...)
			chunk = chunk[room:]
			flush()
		}
		if len(current)+len(chunk) > width {
			flush()
		}
		if !blank || len(current) > 0 {
			current = append(current, chunk...)
		}
	}
	flush()
	return lines
}

func wrapChunks(line string, breakHyphens bool) []string {
	if breakHyphens {
		return wrapChunk().FindAllString(line, -1)
	}
	return regexp.MustCompile(`\s+|\S+`).FindAllString(line, -1)
}

func formatFilter(c *Call) (any, error) {
	if len(c.Named) > 0 && len(c.Rest) > 0 {
		return nil, errors.New("positional and keyword arguments cannot be mixed")
	}
	if len(c.Named) > 0 {
		return formatPercent(Text(c.Input), c.Named)
	}
	return formatPercent(Text(c.Input), append([]any{}, c.Rest...))
}

var commentStyles = map[string]map[string]string{
	"plain":  {"decoration": "# "},
	"erlang": {"decoration": "% "},
	"c":      {"decoration": "// "},
	"cblock": {"beginning": "/*", "decoration": " * ", "end": " */"},
	"xml":    {"beginning": "<!--", "decoration": " - ", "end": "-->"},
}

func commentFilter(c *Call) (any, error) {
	style, ok := commentStyles[Text(c.Args[0])]
	if !ok {
		return nil, fmt.Errorf("there is no style %s; known are plain, erlang, c, cblock and xml", show(c.Args[0]))
	}
	decoration := style["decoration"]
	if given, ok := c.Named["decoration"]; ok {
		decoration = Text(given)
	}
	options := map[string]string{
		"newline": "\n", "beginning": "", "prefix": trimRightSpace(decoration), "prefix_count": "1",
		"decoration": "", "postfix": trimRightSpace(decoration), "postfix_count": "1", "end": "",
	}
	maps.Copy(options, style)
	for key, value := range c.Named {
		if _, known := options[key]; !known {
			return nil, &argumentError{message: fmt.Sprintf("unknown argument %q", key)}
		}
		options[key] = Text(value)
	}
	return comment(Text(c.Input), options)
}

func comment(content string, o map[string]string) (string, error) {
	before, errBefore := strconv.Atoi(o["prefix_count"])
	after, errAfter := strconv.Atoi(o["postfix_count"])
	if errBefore != nil || errAfter != nil || before > 1000 || after > 1000 {
		return "", errors.New("prefix_count and postfix_count are small integers")
	}
	newline := o["newline"]
	var b strings.Builder
	if o["beginning"] != "" {
		b.WriteString(o["beginning"] + newline)
	}
	if o["prefix"] == newline {
		b.WriteString(strings.Repeat(newline, max(before, 0)))
	} else if o["prefix"] != "" {
		b.WriteString(strings.Repeat(o["prefix"]+newline, max(before, 0)))
	}
	body := o["decoration"] + strings.ReplaceAll(content, newline, newline+o["decoration"])
	b.WriteString(strings.ReplaceAll(body, o["decoration"]+newline, trimRightSpace(o["decoration"])+newline))
	b.WriteString(strings.Repeat(newline+o["postfix"], max(after, 0)))
	if o["end"] != "" {
		b.WriteString(newline + o["end"])
	}
	return b.String(), nil
}

// safeShell are the characters that a shell leaves alone.
var safeShell = lazy.Regexp(`^[\w@%+=:,./-]+$`)

func quoteFilter(c *Call) (any, error) {
	if c.Input == nil {
		return "''", nil
	}
	return shellQuote(Text(c.Input)), nil
}

func shellQuote(s string) string {
	if safeShell().MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

func basename(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }

// dirname is Python's: what stands before the last slash, without its slashes.
func dirname(s string) string {
	head := s[:strings.LastIndexByte(s, '/')+1]
	if strings.Trim(head, "/") == "" {
		return head
	}
	return strings.TrimRight(head, "/")
}

func expandUser(s string) string {
	if s != "~" && !strings.HasPrefix(s, "~/") {
		return s
	}
	home, err := os.UserHomeDir()
	if err != nil { // as Python: without a home the path stays
		return s
	}
	return strings.TrimSuffix(home, "/") + s[1:]
}

// environmentValue leaves a variable that is not set as it was written.
func environmentValue(name string) string {
	if value, ok := os.LookupEnv(name); ok {
		return value
	}
	return "${" + name + "}"
}

func realpathFilter(c *Call) (any, error) {
	absolute, err := filepath.Abs(Text(c.Input))
	if err != nil {
		return nil, err
	}
	return resolveExisting(absolute), nil
}

// resolveExisting follows the links of the part of a path that exists.
func resolveExisting(p string) string {
	rest := ""
	for head := p; ; head = filepath.Dir(head) {
		if resolved, err := filepath.EvalSymlinks(head); err == nil {
			return filepath.Join(resolved, rest)
		}
		if head == "/" {
			return p
		}
		rest = filepath.Join(filepath.Base(head), rest)
	}
}

func relpathFilter(c *Call) (any, error) {
	from, err := filepath.Abs(Text(c.Args[0]))
	if err != nil {
		return nil, err
	}
	to, err := filepath.Abs(Text(c.Input))
	if err != nil {
		return nil, err
	}
	return filepath.Rel(from, to)
}

func splitext(s string) []any {
	name := basename(s)
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || strings.Trim(name[:dot], ".") == "" {
		return []any{s, ""}
	}
	cut := len(s) - len(name) + dot
	return []any{s[:cut], s[cut:]}
}

// winSplitDrive cuts C: or \\\\server\\share off a path of Windows.
func winSplitDrive(s string) []any {
	plain := strings.ReplaceAll(s, "/", `\`)
	cut := 0
	switch {
	case strings.HasPrefix(plain, `\\`) && !strings.HasPrefix(plain, `\\\`):
		if server := strings.IndexByte(plain[2:], '\\'); server >= 0 {
			cut = len(plain)
			if share := strings.IndexByte(plain[3+server:], '\\'); share > 0 {
				cut = 3 + server + share
			} else if share == 0 {
				cut = 0
			}
		}
	case len(plain) > 1 && plain[1] == ':':
		cut = 2
	}
	return []any{s[:cut], s[cut:]}
}

func winDirname(s string) string {
	parts := winSplitDrive(s)
	drive, rest := parts[0].(string), parts[1].(string)
	head := rest[:strings.LastIndexAny(rest, `\/`)+1]
	if trimmed := strings.TrimRight(head, `\/`); trimmed != "" {
		head = trimmed
	}
	return drive + head
}

func pathJoinFilter(c *Call) (any, error) {
	parts, ok := c.Input.([]any)
	if !ok {
		parts = []any{c.Input}
	}
	joined := ""
	for _, part := range parts {
		s, ok := part.(string)
		if !ok {
			return nil, fmt.Errorf("expected strings, found %s", nameWithArticle(part))
		}
		switch {
		case strings.HasPrefix(s, "/") || joined == "":
			joined = s
		case strings.HasSuffix(joined, "/"):
			joined += s
		default:
			joined += "/" + s
		}
	}
	return joined, nil
}

func fileglobFilter(c *Call) (any, error) {
	matches, err := filepath.Glob(Text(c.Input))
	if err != nil {
		return nil, err
	}
	files := []any{}
	for _, name := range matches {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			files = append(files, name)
		}
	}
	return files, nil
}

func (c *Call) number() (i int, f float64, whole bool, err error) {
	i, f, whole, ok := number(c.Input)
	if !ok {
		return 0, 0, false, fmt.Errorf("expected a number, found %s", nameWithArticle(c.Input))
	}
	return i, f, whole, nil
}

func absFilter(c *Call) (any, error) {
	i, f, whole, err := c.number()
	if err != nil {
		return nil, err
	}
	if !whole {
		return math.Abs(f), nil
	}
	if i < 0 {
		return arithmetic("-", 0, i)
	}
	return i, nil
}

func roundFilter(c *Call) (any, error) {
	i, f, whole, err := c.number()
	if err != nil {
		return nil, err
	}
	precision, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	scale := math.Pow(10, float64(precision))
	switch c.Args[1] {
	case "common":
		if whole && precision >= 0 {
			return i, nil
		}
		return roundHalfEven(f, precision), nil
	case "ceil":
		return math.Ceil(f*scale)/scale + 0, nil // + 0 makes -0 plain, as Python's integers do
	case "floor":
		return math.Floor(f*scale)/scale + 0, nil
	}
	return nil, fmt.Errorf("method is common, ceil or floor, found %s", show(c.Args[1]))
}

// roundHalfEven rounds the exact value, as Python's round does.
func roundHalfEven(f float64, precision int) float64 {
	if precision < 0 {
		scale := math.Pow(10, float64(-precision))
		return math.RoundToEven(f/scale) * scale
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(f, 'f', min(precision, 400), 64), 64)
	if err != nil {
		return f
	}
	return rounded
}

func logFilter(c *Call) (any, error) {
	_, f, _, err := c.number()
	if err != nil {
		return nil, err
	}
	_, base, _, ok := number(c.Args[0])
	if !ok || f <= 0 || base <= 0 || base == 1 {
		return nil, errors.New("a logarithm needs positive numbers")
	}
	switch base {
	case 10:
		return math.Log10(f), nil
	case math.E:
		return math.Log(f), nil
	}
	return math.Log(f) / math.Log(base), nil
}

func powFilter(c *Call) (any, error) {
	_, x, _, err := c.number()
	_, y, _, ok := number(c.Args[0])
	if err != nil || !ok {
		return nil, errors.New("expected two numbers")
	}
	return floats("**", x, y)
}

func rootFilter(c *Call) (any, error) {
	_, x, _, err := c.number()
	_, base, _, ok := number(c.Args[0])
	if err != nil || !ok || base == 0 {
		return nil, errors.New("expected two numbers")
	}
	if base == 2 && x >= 0 {
		return math.Sqrt(x), nil
	}
	return floats("**", x, 1/base)
}

// The units of bytes, largest first.
var sizeUnits = []struct {
	letter string
	size   float64
}{
	{"Y", 1 << 80},
	{"Z", 1 << 70},
	{"E", 1 << 60},
	{"P", 1 << 50},
	{"T", 1 << 40},
	{"G", 1 << 30},
	{"M", 1 << 20},
	{"K", 1 << 10},
	{"B", 1},
}

func humanReadable(c *Call) (any, error) {
	_, size, _, err := c.number()
	if err != nil {
		return nil, err
	}
	base := "Bytes"
	if Truthy(c.Args[0]) {
		base = "bits"
	}
	unit := strings.ToUpper(Text(c.Args[1]))
	chosen := sizeUnits[len(sizeUnits)-1]
	for _, candidate := range sizeUnits {
		if c.Args[1] == nil && size >= candidate.size || c.Args[1] != nil && unit == candidate.letter {
			chosen = candidate
			break
		}
	}
	suffix := base
	if chosen.size != 1 {
		suffix = chosen.letter + base[:1]
	}
	return fmt.Sprintf("%.2f %s", size/chosen.size, suffix), nil
}

var humanSize = lazy.Regexp(`^\s*(\d*\.?\d*)\s*([A-Za-z]+)?`)

func humanToBytes(c *Call) (any, error) {
	parts := humanSize().FindStringSubmatch(Text(c.Input))
	amount, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return nil, fmt.Errorf("%s is not a size", show(c.Input))
	}
	unit := parts[2]
	if unit == "" && c.Args[0] != nil {
		unit = Text(c.Args[0])
	}
	if unit == "" {
		return int(math.RoundToEven(amount)), nil
	}
	class, name := "B", "byte"
	if Truthy(c.Args[1]) {
		class, name = "b", "bit"
	}
	for _, candidate := range sizeUnits {
		if candidate.letter != strings.ToUpper(unit[:1]) {
			continue
		}
		if len(unit) > 1 && !strings.Contains(strings.ToLower(unit), name) && unit[1:2] != class {
			return nil, fmt.Errorf("%s is not a size here; expected %s%s or %s", show(c.Input), candidate.letter, class, candidate.letter)
		}
		bytes := math.RoundToEven(amount * candidate.size)
		if bytes >= 1<<63 {
			return nil, errLarge
		}
		return int(bytes), nil
	}
	return nil, fmt.Errorf("%s has no unit that is known", show(c.Input))
}

func filesizeFilter(c *Call) (any, error) {
	s, ok := c.Input.(string)
	_, size, _, isNumber := number(c.Input)
	if ok {
		size, isNumber = parseFloat(s)
	}
	if !isNumber {
		return nil, fmt.Errorf("expected a number, found %s", nameWithArticle(c.Input))
	}
	base, infix := 1000.0, ""
	if Truthy(c.Args[0]) {
		base, infix = 1024, "i"
	}
	switch {
	case size == 1:
		return "1 Byte", nil
	case size < base:
		return fmt.Sprintf("%d Bytes", int(size)), nil
	}
	prefixes := "kMGTPEZY"
	if infix != "" {
		prefixes = "KMGTPEZY"
	}
	unit := base
	for i := range len(prefixes) {
		if unit *= base; size < unit || i == len(prefixes)-1 {
			return fmt.Sprintf("%.1f %c%sB", base*size/unit, prefixes[i], infix), nil
		}
	}
	return nil, errLarge
}

// quoteURL escapes all but letters, digits and the given characters, in UTF-8.
func quoteURL(s, safe string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < utf8.RuneSelf && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c)) || strings.IndexByte("_.-~"+safe, c) >= 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func urlencodeFilter(c *Call) (any, error) {
	var pairs []string
	add := func(key, value any) {
		encode := func(v any) string { return strings.ReplaceAll(quoteURL(Text(v), ""), "%20", "+") }
		pairs = append(pairs, encode(key)+"="+encode(value))
	}
	switch v := c.Input.(type) {
	case []any:
		for _, item := range v {
			pair, ok := item.([]any)
			if !ok || len(pair) != 2 {
				return nil, errors.New("expected a list of pairs")
			}
			add(pair[0], pair[1])
		}
	case map[string]any, *Dict, Object:
		for key, value := range entries(c.Context(), v) {
			if value.err != nil {
				return nil, value.err
			}
			add(key, value.value)
		}
	default:
		return quoteURL(Text(v), "/"), nil
	}
	return strings.Join(pairs, "&"), nil
}

func urldecodeFilter(c *Call) (any, error) {
	decoded, err := url.QueryUnescape(Text(c.Input))
	if err != nil {
		return c.Input, nil //nolint:nilerr // Python leaves what it cannot decode
	}
	return decoded, nil
}

func urlsplitFilter(c *Call) (any, error) {
	u, err := url.Parse(Text(c.Input))
	if err != nil {
		return nil, err
	}
	parts := NewDict(9)
	optional := func(name, value string) {
		parts.Set(name, nil)
		if value != "" {
			parts.Set(name, value)
		}
	}
	password, _ := u.User.Password()
	netloc := u.Host
	if u.User != nil {
		netloc = u.User.String() + "@" + u.Host
	}
	parts.Set("fragment", u.Fragment)
	optional("hostname", strings.ToLower(u.Hostname()))
	parts.Set("netloc", netloc)
	optional("password", password)
	parts.Set("path", u.EscapedPath())
	parts.Set("port", nil)
	if port, err := strconv.Atoi(u.Port()); err == nil {
		parts.Set("port", port)
	}
	parts.Set("query", u.RawQuery)
	parts.Set("scheme", u.Scheme)
	optional("username", u.User.Username())
	if name := Text(c.Args[0]); name != "" {
		value, ok := parts.Get(name)
		if !ok {
			return nil, fmt.Errorf("a URL has no part %q; known are %s", name, strings.Join(parts.Keys(), ", "))
		}
		return value, nil
	}
	return parts, nil
}

// strftime's directives as Go's layouts; those without one are made below.
var layouts = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'c': "Mon Jan _2 15:04:05 2006",
	'd': "02", 'e': "_2", 'D': "01/02/06", 'F': "2006-01-02", 'H': "15", 'I': "03", 'm': "01", 'M': "04",
	'p': "PM", 'R': "15:04", 'S': "05", 'T': "15:04:05", 'x': "01/02/06", 'X': "15:04:05", 'y': "06",
	'Y': "2006", 'z': "-0700", 'Z': "MST", 'j': "002",
}

func strftimeFilter(c *Call) (any, error) {
	at := time.Now()
	if c.Args[0] != nil {
		seconds, ok := parseFloat(Text(c.Args[0]))
		if !ok {
			return nil, fmt.Errorf("%s is not a number of seconds", show(c.Args[0]))
		}
		whole := math.Floor(seconds)
		at = time.Unix(int64(whole), int64((seconds-whole)*1e9))
	}
	if Truthy(c.Args[1]) {
		at = at.UTC()
	}
	return strftime(Text(c.Input), at)
}

func strftime(format string, at time.Time) (string, error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		year, week := at.ISOWeek()
		switch d := format[i]; d {
		case '%':
			b.WriteByte('%')
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 's':
			fmt.Fprint(&b, at.Unix())
		case 'f':
			fmt.Fprintf(&b, "%06d", at.Nanosecond()/1000)
		case 'u':
			fmt.Fprint(&b, (int(at.Weekday())+6)%7+1)
		case 'w':
			fmt.Fprint(&b, int(at.Weekday()))
		case 'V':
			fmt.Fprintf(&b, "%02d", week)
		case 'G':
			fmt.Fprint(&b, year)
		case 'U':
			fmt.Fprintf(&b, "%02d", (at.YearDay()+6-int(at.Weekday()))/7)
		case 'W':
			fmt.Fprintf(&b, "%02d", (at.YearDay()+6-(int(at.Weekday())+6)%7)/7)
		case 'C':
			fmt.Fprintf(&b, "%02d", at.Year()/100)
		default:
			layout, ok := layouts[d]
			if !ok {
				return "", fmt.Errorf("the directive %%%c is not known", d)
			}
			b.WriteString(at.Format(layout))
		}
	}
	return b.String(), nil
}
