package expression

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

// is makes a test of a question about the value.
func is(holds func(v any) bool) Definition {
	return Definition{Function: func(c *Call) (any, error) { return holds(c.Input), nil }}
}

func isType(names ...string) Definition {
	return is(func(v any) bool { return slices.Contains(names, TypeName(v)) })
}

func comparing(operator string) Definition {
	return Definition{Signature: "other", Function: func(c *Call) (any, error) {
		return c.frame.compare(&site{name: operator, start: c.site.start, end: c.site.end}, []any{c.Input, c.Args[0]})
	}}
}

var builtinTests = map[string]Definition{
	"defined": {TakesUndefined: true, TakesUnknown: true, Function: func(c *Call) (any, error) {
		_, missing := c.Input.(*Undefined)
		return !missing, nil
	}},
	"undefined": {TakesUndefined: true, TakesUnknown: true, Function: func(c *Call) (any, error) {
		_, missing := c.Input.(*Undefined)
		return missing, nil
	}},
	"none":     is(func(v any) bool { return v == nil }),
	"true":     is(func(v any) bool { return v == true }),
	"false":    is(func(v any) bool { return v == false }),
	"boolean":  isType("bool"),
	"integer":  isType("int"),
	"float":    isType("float"),
	"number":   isType("int", "float", "bool"),
	"string":   isType("str"),
	"mapping":  is(isMapping),
	"sequence": isType("str", "list", "dict"),
	"iterable": isType("str", "list", "dict"),
	"callable": is(func(v any) bool { _, ok := v.(Callable); return ok }),
	"escaped":  is(func(any) bool { return false }),
	"lower":    is(func(v any) bool { return isCased(Text(v), strings.ToLower) }),
	"upper":    is(func(v any) bool { return isCased(Text(v), strings.ToUpper) }),
	"even":     {Function: divisible(2, 0)},
	"odd":      {Function: divisible(2, 1)},
	"divisibleby": {Signature: "num", Function: func(c *Call) (any, error) {
		by, err := intArgument(c, 0)
		if err != nil {
			return nil, err
		}
		return divisible(by, 0)(c)
	}},
	"eq": comparing("=="), "equalto": comparing("=="), "==": comparing("=="), "sameas": {Signature: "other", Function: sameAs},
	"ne": comparing("!="), "!=": comparing("!="),
	"lt": comparing("<"), "lessthan": comparing("<"), "<": comparing("<"), "le": comparing("<="), "<=": comparing("<="),
	"gt": comparing(">"), "greaterthan": comparing(">"), ">": comparing(">"), "ge": comparing(">="), ">=": comparing(">="),
	"in": comparing("in"),
	"contains": {Signature: "value", Function: func(c *Call) (any, error) {
		return contains(c.Context(), c.Input, c.Args[0])
	}},
	"filter": {Function: func(c *Call) (any, error) {
		return c.frame.expression.env.filters[shortName(Text(c.Input))] != nil, nil
	}},
	"test": {Function: func(c *Call) (any, error) {
		return c.frame.expression.env.tests[shortName(Text(c.Input))] != nil, nil
	}},

	"truthy": {Signature: "convert_bool=false", Function: truthyTest(true)},
	"falsy":  {Signature: "convert_bool=false", Function: truthyTest(false)},
	"any":    {Function: quantified(true)},
	"all":    {Function: quantified(false)},
	"subset": {Signature: "other", Function: subset(false)}, "issubset": {Signature: "other", Function: subset(false)},
	"superset": {Signature: "other", Function: subset(true)}, "issuperset": {Signature: "other", Function: subset(true)},
	"nan": is(isNaN), "isnan": is(isNaN),

	"changed": {Function: unknownKeys(changedTest), TakesUnknown: true}, "change": {Function: unknownKeys(changedTest), TakesUnknown: true},
	"failed": resultTest("failed", true), "failure": resultTest("failed", true),
	"succeeded": resultTest("failed", false), "success": resultTest("failed", false), "successful": resultTest("failed", false),
	"skipped": resultTest("skipped", true), "skip": resultTest("skipped", true),
	"unreachable": resultTest("unreachable", true), "reachable": resultTest("unreachable", false),
	"started": asyncTest("started"), "finished": asyncTest("finished"),

	"match": regexTest("", "match"), "search": regexTest("", "search"),
	"regex":   regexTest(", match_type='search'", "search"),
	"version": {Signature: "version, operator='eq', strict=none, version_type=none", Function: versionTest},
	"version_compare": {
		Signature: "version, operator='eq', strict=none, version_type=none", Function: versionTest,
	},

	"file": fileTest(os.Stat, isRegular), "is_file": fileTest(os.Stat, isRegular),
	"directory": fileTest(os.Stat, os.FileInfo.IsDir), "is_dir": fileTest(os.Stat, os.FileInfo.IsDir),
	"link": fileTest(os.Lstat, isLink), "is_link": fileTest(os.Lstat, isLink),
	"exists": fileTest(os.Stat, exists), "link_exists": fileTest(os.Lstat, exists),
	"abs":    is(func(v any) bool { return strings.HasPrefix(Text(v), "/") }),
	"is_abs": is(func(v any) bool { return strings.HasPrefix(Text(v), "/") }),
	"mount":  {Function: mountTest}, "is_mount": {Function: mountTest},
	"same_file": {Signature: "other", Function: sameFileTest}, "is_same_file": {Signature: "other", Function: sameFileTest},
	"uri": {Signature: "schemes=none", Function: uriTest}, "url": {Signature: "schemes=none", Function: uriTest},
	"urn": is(func(v any) bool { return strings.HasPrefix(Text(v), "urn:") }),
}

func isCased(s string, convert func(string) string) bool {
	return s == convert(s) && strings.ToLower(s) != strings.ToUpper(s)
}

func isNaN(v any) bool {
	f, ok := v.(float64)
	return ok && math.IsNaN(f)
}

func divisible(by, rest int) Function {
	return func(c *Call) (any, error) {
		value, err := arithmetic("%", c.Input, by)
		if err != nil {
			return nil, err
		}
		return equal(value, rest), nil
	}
}

// sameAs is Python's `is`: the same type and value here, since values have no
// identity.
func sameAs(c *Call) (any, error) {
	return TypeName(c.Input) == TypeName(c.Args[0]) && equal(c.Input, c.Args[0]), nil
}

func truthyTest(want bool) Function {
	return func(c *Call) (any, error) {
		value := c.Input
		if Truthy(c.Args[0]) {
			switch strings.ToLower(Text(value)) {
			case "y", "yes", "on", "1", "true", "t", "1.0":
				value = true
			case "n", "no", "off", "0", "false", "f", "0.0":
				value = false
			}
		}
		return Truthy(value) == want, nil
	}
}

// quantified is Python's any and all.
func quantified(want bool) Function {
	return func(c *Call) (any, error) {
		items, err := c.items()
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			if Truthy(item) == want {
				return want, nil
			}
		}
		return !want, nil
	}
}

func subset(reversed bool) Function {
	return func(c *Call) (any, error) {
		small, err := c.items()
		if err != nil {
			return nil, err
		}
		large, err := c.frame.iterate(c.Args[0])
		if err != nil {
			return nil, err
		}
		if reversed {
			small, large = large, small
		}
		return len(within(small, large, false)) == 0, nil
	}
}

// result reads a key of a registered result.
func (c *Call) result(key string) (value any, there bool, err error) {
	if !isMapping(c.Input) {
		return nil, false, fmt.Errorf("expected the result of a task, found %s", nameWithArticle(c.Input))
	}
	return mappingGet(c.Context(), c.Input, key)
}

func resultTest(key string, want bool) Definition {
	return Definition{Function: unknownKeys(func(c *Call) (any, error) {
		value, _, err := c.result(key)
		if u, ok := value.(Unknown); ok {
			return u, err
		}
		return Truthy(value) == want, err
	}), TakesUnknown: true}
}

// unknownKeys lets a test look at a result of which other keys are unknown.
func unknownKeys(test Function) Function {
	return func(c *Call) (any, error) {
		if u, ok := c.Input.(Unknown); ok {
			return u, nil
		}
		return test(c)
	}
}

// changedTest asks the items of a loop when the result as a whole does not say.
func changedTest(c *Call) (any, error) {
	value, there, err := c.result("changed")
	if u, ok := value.(Unknown); ok {
		return u, err
	}
	if err != nil || there {
		return Truthy(value), err
	}
	results, _, err := c.result("results")
	if err != nil {
		return nil, err
	}
	items, _ := results.([]any)
	for _, item := range items {
		if !isMapping(item) {
			continue
		}
		changed, _, err := mappingGet(c.Context(), item, "changed")
		if err != nil || Truthy(changed) {
			return true, err
		}
	}
	return false, nil
}

func asyncTest(key string) Definition {
	return Definition{Function: func(c *Call) (any, error) {
		value, there, err := c.result(key)
		return !there || equal(value, 1), err
	}}
}

func isRegular(info os.FileInfo) bool { return info.Mode().IsRegular() }
func isLink(info os.FileInfo) bool    { return info.Mode()&os.ModeSymlink != 0 }
func exists(os.FileInfo) bool         { return true }

// fileTest looks at the controller's files. "Could not look" is an error; only
// what is certainly not there is false.
func fileTest(look func(string) (os.FileInfo, error), holds func(os.FileInfo) bool) Definition {
	return Definition{Function: func(c *Call) (any, error) {
		info, err := look(Text(c.Input))
		switch {
		case err == nil:
			return holds(info), nil
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return false, nil
		}
		return nil, err
	}}
}

// mountTest compares a folder's device with its parent's, as os.path.ismount.
func mountTest(c *Call) (any, error) {
	p := Text(c.Input)
	info, err := os.Lstat(p)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return false, nil
	}
	parent, err := os.Lstat(filepath.Join(p, ".."))
	if err != nil {
		return nil, err
	}
	here, hereOK := info.Sys().(*syscall.Stat_t)
	above, aboveOK := parent.Sys().(*syscall.Stat_t)
	if !hereOK || !aboveOK {
		return nil, errors.New("this system does not tell devices apart")
	}
	return here.Dev != above.Dev || here.Ino == above.Ino, nil
}

func sameFileTest(c *Call) (any, error) {
	a, err := os.Stat(Text(c.Input))
	if err != nil {
		return nil, err
	}
	b, err := os.Stat(Text(c.Args[0]))
	if err != nil {
		return nil, err
	}
	return os.SameFile(a, b), nil
}

func uriTest(c *Call) (any, error) {
	u, err := url.Parse(Text(c.Input))
	if err != nil {
		return false, nil //nolint:nilerr // that it cannot be read is the answer
	}
	if c.Args[0] != nil {
		schemes, err := c.frame.iterate(c.Args[0])
		if err != nil {
			return nil, err
		}
		if len(within([]any{u.Scheme}, schemes, true)) == 0 {
			return false, nil
		}
	}
	return c.Name == "uri" || u.Host != "" || u.Scheme == "file", nil
}

var versionOperators = map[string]string{
	"==": "==", "=": "==", "eq": "==", "!=": "!=", "<>": "!=", "ne": "!=",
	"<": "<", "lt": "<", "<=": "<=", "le": "<=", ">": ">", "gt": ">", ">=": ">=", "ge": ">=",
}

func versionTest(c *Call) (any, error) {
	operator, ok := versionOperators[Text(c.Args[1])]
	if !ok {
		return nil, fmt.Errorf("%s is not an operator; known are ==, !=, <, <=, > and >=", show(c.Args[1]))
	}
	if !Truthy(c.Input) || !Truthy(c.Args[0]) {
		return nil, errors.New("a version is empty")
	}
	kind := Text(c.Args[3])
	if Truthy(c.Args[2]) {
		kind = "strict"
	}
	sign, err := compareVersions(kind, Text(c.Input), Text(c.Args[0]))
	if err != nil {
		return nil, err
	}
	return map[string]bool{"==": sign == 0, "!=": sign != 0, "<": sign < 0, "<=": sign <= 0, ">": sign > 0, ">=": sign >= 0}[operator], nil
}

func compareVersions(kind, a, b string) (int, error) {
	switch kind {
	case "None", "loose":
		return compareLoose(a, b)
	case "strict":
		return compareParsed(a, b, strictVersion, strictPattern())
	case "semver", "semantic":
		return compareParsed(a, b, semanticVersion, semanticPattern())
	case "pep440":
		return compareParsed(a, b, pythonVersion, pythonPattern())
	}
	return 0, fmt.Errorf("version_type is loose, strict, semver or pep440, found '%s'", kind)
}

var (
	loosePart       = lazy.Regexp(`\d+|[a-z]+|\.`)
	strictPattern   = lazy.Regexp(`^(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?$`)
	semanticPattern = lazy.Regexp(`^(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$`)
	pythonPattern   = lazy.Regexp(`^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|preview)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(?:post|rev|r)[-_.]?(\d*))?(?:([-_.]?dev)[-_.]?(\d*))?(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?$`)
)

// looseParts splits as distutils' LooseVersion: numbers, words, and whatever
// stands between them.
func looseParts(s string) []any {
	var parts []any
	add := func(text string) {
		if text == "" || text == "." {
			return
		}
		if i, err := strconv.Atoi(text); err == nil {
			parts = append(parts, i)
		} else {
			parts = append(parts, text)
		}
	}
	at := 0
	for _, place := range loosePart().FindAllStringIndex(s, -1) {
		add(s[at:place[0]])
		add(s[place[0]:place[1]])
		at = place[1]
	}
	add(s[at:])
	return parts
}

func compareLoose(a, b string) (int, error) {
	sign, _, err := order(looseParts(a), looseParts(b))
	if err != nil {
		return 0, fmt.Errorf("the versions '%s' and '%s' do not compare: a number meets a word", a, b)
	}
	return sign, nil
}

func compareParsed(a, b string, key func([]string) []any, shape *regexp.Regexp) (int, error) {
	var keys [2][]any
	for i, s := range []string{a, b} {
		parts := shape.FindStringSubmatch(strings.ToLower(strings.TrimSpace(s)))
		if shape == semanticPattern() {
			parts = shape.FindStringSubmatch(s)
		}
		if parts == nil {
			return 0, fmt.Errorf("'%s' is not a version of this type", s)
		}
		keys[i] = key(parts)
	}
	sign, _, err := order(keys[0], keys[1])
	return sign, err
}

func numbers(texts ...string) []any {
	list := make([]any, len(texts))
	for i, text := range texts {
		value, _ := strconv.Atoi(text) // an empty part counts as zero
		list[i] = value
	}
	return list
}

func strictVersion(parts []string) []any {
	key := numbers(parts[1], parts[2], parts[3])
	if parts[4] == "" {
		return append(key, "z", 0)
	}
	return append(key, parts[4], numbers(parts[5])[0])
}

// semanticVersion puts a pre-release before its release; numbers in it come
// before words.
func semanticVersion(parts []string) []any {
	key := numbers(parts[1], parts[2], parts[3])
	if parts[4] == "" {
		return append(key, 1)
	}
	key = append(key, 0)
	for part := range strings.SplitSeq(parts[4], ".") {
		if value, err := strconv.Atoi(part); err == nil {
			key = append(key, []any{0, value})
		} else {
			key = append(key, []any{1, part})
		}
	}
	return key
}

// pythonVersion is PEP 440's order: dev, a, b, rc, final, post.
func pythonVersion(parts []string) []any {
	release := numbers(strings.Split(parts[2], ".")...)
	for len(release) > 1 && release[len(release)-1] == 0 {
		release = release[:len(release)-1]
	}
	stage := 3
	switch {
	case strings.HasPrefix(parts[3], "a"):
		stage = 0
	case strings.HasPrefix(parts[3], "b"):
		stage = 1
	case parts[3] != "":
		stage = 2
	}
	dev := parts[7] != ""
	post := -1
	if strings.Contains(parts[0], "post") || strings.Contains(parts[0], "rev") || parts[5] != "" {
		post = numbers(parts[5] + parts[6])[0].(int)
	}
	if dev && stage == 3 && post < 0 {
		stage = -1
	}
	final := 1
	if dev {
		final = 0
	}
	return []any{numbers(parts[1])[0], release, stage, numbers(parts[4])[0], post, final, numbers(parts[8])[0]}
}
