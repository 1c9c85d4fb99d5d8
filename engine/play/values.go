package play

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
	"github.com/rbdplay/rbdplay/inventory"
)

// readSetting reads a keyword's value; what holds no template is checked now. A
// fault is noted and gives nil.
func readSetting[T any](l *loader, name string, n *syntax.Node, read func(any) (T, error)) *Setting[T] {
	value := l.compile(n)
	if value == nil {
		return nil
	}
	s := &Setting[T]{Range: n.Range, name: name, read: read}
	if !value.IsConstant() {
		s.later = value
		return s
	}
	plain, err := value.RenderPlain(context.Background(), expression.Variables{})
	if err == nil {
		s.value, err = read(plain)
	}
	if err != nil {
		l.add(n.Errorf("%s %v", name, err))
		return nil
	}
	return s
}

// compile compiles the templates of a value; nil when there is a fault in it.
func (l *loader) compile(n *syntax.Node) *template.Value {
	value, err := template.CompileValue(l.env, n)
	if err != nil {
		l.addError(n.Range, err)
		return nil
	}
	return value
}

func asBool(value any) (bool, error) {
	switch v := value.(type) {
	case bool:
		return v, nil
	case int:
		if v == 0 || v == 1 {
			return v == 1, nil
		}
	case string:
		if b, ok := syntax.ParseBool(v); ok {
			return b, nil
		}
	}
	return false, fmt.Errorf("must be yes or no, not %s", shown(value))
}

func asText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case int, bool, float64:
		return expression.Text(v), nil
	}
	return "", fmt.Errorf("must be text, not %s", shown(value))
}

func asInt(value any) (int, error) {
	switch v := value.(type) {
	case int:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v), nil
		}
	case string:
		if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("must be a whole number, not %s", shown(value))
}

func asCount(value any) (int, error) {
	n, err := asInt(value)
	if err == nil && n < 0 {
		err = fmt.Errorf("must not be negative, is %d", n)
	}
	return n, err
}

func asPort(value any) (int, error) {
	n, err := asInt(value)
	if err == nil && (n < 1 || n > 65535) {
		err = fmt.Errorf("must be from 1 to 65535, not %d", n)
	}
	return n, err
}

func asNumber(value any) (float64, error) {
	switch v := value.(type) {
	case int:
		return float64(v), nil
	case float64:
		return v, nil
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, nil
		}
	}
	return 0, fmt.Errorf("must be a number, not %s", shown(value))
}

func asPercent(value any) (float64, error) {
	if text, ok := value.(string); ok {
		value = strings.TrimSuffix(strings.TrimSpace(text), "%")
	}
	f, err := asNumber(value)
	if err == nil && (f < 0 || f > 100) {
		err = fmt.Errorf("must be from 0 to 100, not %s", shown(value))
	}
	return f, err
}

func asSeconds(value any) (time.Duration, error) {
	f, err := asNumber(value)
	if err != nil {
		return 0, fmt.Errorf("must be a number of seconds, not %s", shown(value))
	}
	if f < 0 || f > 1e8 {
		return 0, fmt.Errorf("must be a number of seconds from 0 on, not %s", shown(value))
	}
	return time.Duration(f * float64(time.Second)), nil
}

func asConnection(value any) (string, error) {
	text, err := asText(value)
	if err != nil {
		return "", err
	}
	kind, err := inventory.ParseKind(text)
	if err != nil {
		return "", err
	}
	return string(kind), nil
}

func asBecomeMethod(value any) (string, error) {
	text, err := asText(value)
	method := strings.TrimPrefix(text, "ansible.builtin.")
	if err == nil && method != "sudo" && method != "su" {
		err = fmt.Errorf("is not supported yet: %s; only sudo and su are", text)
	}
	return method, err
}

// shown is a value for a message.
func shown(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(v)
	case []any:
		return "a list"
	case map[string]any, *expression.Dict:
		return "a mapping"
	}
	return expression.Text(value)
}

// inheritedReaders read the keywords that are the same everywhere.
var inheritedReaders = map[string]func(l *loader, n *syntax.Node, to *Inherited){
	"become":      func(l *loader, n *syntax.Node, to *Inherited) { set(&to.Become, l, "become", n, asBool) },
	"become_user": func(l *loader, n *syntax.Node, to *Inherited) { set(&to.BecomeUser, l, "become_user", n, asText) },
	"become_method": func(l *loader, n *syntax.Node, to *Inherited) {
		set(&to.BecomeMethod, l, "become_method", n, asBecomeMethod)
	},
	"become_exe":    func(l *loader, n *syntax.Node, to *Inherited) { set(&to.BecomeExe, l, "become_exe", n, asText) },
	"become_flags":  func(l *loader, n *syntax.Node, to *Inherited) { set(&to.BecomeFlags, l, "become_flags", n, asText) },
	"connection":    func(l *loader, n *syntax.Node, to *Inherited) { set(&to.Connection, l, "connection", n, asConnection) },
	"remote_user":   func(l *loader, n *syntax.Node, to *Inherited) { set(&to.RemoteUser, l, "remote_user", n, asText) },
	"port":          func(l *loader, n *syntax.Node, to *Inherited) { set(&to.Port, l, "port", n, asPort) },
	"check_mode":    func(l *loader, n *syntax.Node, to *Inherited) { set(&to.CheckMode, l, "check_mode", n, asBool) },
	"diff":          func(l *loader, n *syntax.Node, to *Inherited) { set(&to.Diff, l, "diff", n, asBool) },
	"no_log":        func(l *loader, n *syntax.Node, to *Inherited) { set(&to.NoLog, l, "no_log", n, asBool) },
	"run_once":      func(l *loader, n *syntax.Node, to *Inherited) { set(&to.RunOnce, l, "run_once", n, asBool) },
	"ignore_errors": func(l *loader, n *syntax.Node, to *Inherited) { set(&to.IgnoreErrors, l, "ignore_errors", n, asBool) },
	"ignore_unreachable": func(l *loader, n *syntax.Node, to *Inherited) {
		set(&to.IgnoreUnreachable, l, "ignore_unreachable", n, asBool)
	},
	"any_errors_fatal": func(l *loader, n *syntax.Node, to *Inherited) {
		set(&to.AnyErrorsFatal, l, "any_errors_fatal", n, asBool)
	},
	"throttle":       func(l *loader, n *syntax.Node, to *Inherited) { set(&to.Throttle, l, "throttle", n, asCount) },
	"timeout":        func(l *loader, n *syntax.Node, to *Inherited) { set(&to.Timeout, l, "timeout", n, asSeconds) },
	"delegate_to":    func(l *loader, n *syntax.Node, to *Inherited) { set(&to.DelegateTo, l, "delegate_to", n, asText) },
	"delegate_facts": func(l *loader, n *syntax.Node, to *Inherited) { set(&to.DelegateFacts, l, "delegate_facts", n, asBool) },
	"environment":    (*loader).readEnvironment,
	"collections":    (*loader).readCollections,
	"tags":           (*loader).readTags,
	"when": func(l *loader, n *syntax.Node, to *Inherited) {
		to.When = slices.Concat(to.When, l.conditions("when", n))
	},
}

func set[T any](to **Setting[T], l *loader, name string, n *syntax.Node, read func(any) (T, error)) {
	if s := readSetting(l, name, n, read); s != nil {
		*to = s
	}
}

// inherit gives what holds inside of a mapping: what it says itself over what
// held around it. Tags, conditions and the environment add up.
func (l *loader) inherit(f *syntax.Fields, outer Inherited) Inherited {
	inner := outer
	for _, entry := range f.Node.Entries {
		if read, ok := inheritedReaders[entry.Name]; ok {
			read(l, entry.Value, &inner)
		}
	}
	return inner
}

func (l *loader) readEnvironment(n *syntax.Node, to *Inherited) {
	nodes := []*syntax.Node{n}
	if n.Kind == syntax.Sequence {
		nodes = n.Items
	}
	for _, one := range nodes {
		if one.Kind != syntax.Mapping && !(one.Kind == syntax.String && strings.Contains(one.Text, "{{")) {
			l.add(one.Errorf("environment must be a mapping of names and values, found %s", one.Kind))
			continue
		}
		if value := l.compile(one); value != nil {
			to.Environment = slices.Concat(to.Environment, []*template.Value{value})
		}
	}
}

// Env renders the environment variables for a task; inner ones win. The error is
// a diag.Diagnostic or an *UnknownError.
func (i *Inherited) Env(ctx context.Context, s expression.Scope) (map[string]string, error) {
	if len(i.Environment) == 0 {
		return nil, nil //nolint:nilnil // no environment is no map
	}
	env := map[string]string{}
	for _, value := range i.Environment {
		rendered, err := value.RenderPlain(ctx, s)
		if err != nil {
			return nil, err
		}
		if reason, ok := unknownIn(rendered); ok {
			return nil, &UnknownError{Reason: reason}
		}
		mapping, ok := rendered.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("environment must be a mapping of names and values, not %s", shown(rendered))
		}
		for name, one := range mapping {
			env[name] = expression.Text(one)
		}
	}
	return env, nil
}

// readCollections accepts the collections whose modules are found anyway.
func (l *loader) readCollections(n *syntax.Node, _ *Inherited) {
	if n.Kind == syntax.Null {
		return
	}
	names, err := n.AsStrings()
	l.addError(n.Range, err)
	for _, name := range names {
		if name != "ansible.builtin" && name != "ansible.legacy" {
			l.add(n.Errorf("the collection %s is not supported: all modules are built in", name).
				WithHint("rbdplay doc lists them; only ansible.builtin and ansible.legacy may stand here"))
		}
	}
}

func (l *loader) readTags(n *syntax.Node, to *Inherited) {
	words, ok := l.tagWords(n)
	if !ok {
		return
	}
	all := slices.Clone(to.Tags)
	for _, text := range words {
		for tag := range strings.SplitSeq(text, ",") {
			if tag = strings.TrimSpace(tag); tag != "" && !slices.Contains(all, tag) {
				all = append(all, tag)
			}
		}
	}
	to.Tags = all
}

// tagWords gives the tags; those that are templates as they are before anything
// runs.
func (l *loader) tagWords(n *syntax.Node) ([]string, bool) {
	nodes := []*syntax.Node{n}
	if n.Kind == syntax.Sequence {
		nodes = n.Items
	}
	var words []string
	for _, one := range nodes {
		if !strings.Contains(one.Text, "{{") && !strings.Contains(one.Text, "{%") {
			text, err := one.AsString()
			if err != nil {
				l.addError(one.Range, err)
				return nil, false
			}
			words = append(words, text)
			continue
		}
		value, ok := l.knownValue(one, "a tag", nil)
		if !ok {
			return nil, false
		}
		for _, item := range asList(value) {
			text, err := asText(item)
			if err != nil {
				l.add(one.Errorf("a tag %v", err))
				return nil, false
			}
			words = append(words, text)
		}
	}
	return words, true
}

// conditions reads one condition or a list of them.
func (l *loader) conditions(keyword string, n *syntax.Node) []*Condition {
	nodes := []*syntax.Node{n}
	if n.Kind == syntax.Sequence {
		nodes = n.Items
	}
	var all []*Condition
	for _, one := range nodes {
		if c := l.condition(keyword, one); c != nil {
			all = append(all, c)
		}
	}
	return all
}

const conditionHint = "a condition is an expression already: write it without {{ }}"

func (l *loader) condition(keyword string, n *syntax.Node) *Condition {
	c := &Condition{Text: n.Text, Range: n.Range}
	text, at := n.Text, n.Locator()
	switch {
	case n.Kind == syntax.Null:
		l.add(n.Errorf("%s is empty", keyword))
		return nil
	case n.Kind == syntax.Bool:
		b, err := n.AsBool()
		l.addError(n.Range, err)
		text = strconv.FormatBool(b)
	case !n.IsScalar():
		l.add(n.Errorf("%s must be an expression or a list of expressions, found %s", keyword, n.Kind))
		return nil
	}
	if inner, offset, ok := bracedWhole(text); ok {
		d := n.Errorf("%s is written with {{ }}", keyword).WithHint(conditionHint)
		d.Severity = diag.Warning
		l.add(d)
		text, at = inner, at.Shift(offset)
	}
	compiled, err := l.env.Compile(text, at)
	if err != nil {
		l.addCondition(n, err)
		return nil
	}
	c.expr = compiled
	return c
}

// addCondition notes a fault of a condition, with the hint that helps when it
// holds braces.
func (l *loader) addCondition(n *syntax.Node, err error) {
	var found diag.List
	found.AddError(n.Range, err)
	for _, d := range found {
		if strings.Contains(n.Text, "{{") || strings.Contains(n.Text, "{%") {
			d = d.WithHint(conditionHint)
		}
		l.add(d)
	}
}

// bracedWhole takes the braces off a text that is one {{ … }} from end to end.
func bracedWhole(text string) (inner string, offset int, ok bool) {
	trimmed := strings.TrimSpace(text)
	if !strings.HasPrefix(trimmed, "{{") || !strings.HasSuffix(trimmed, "}}") || strings.Count(trimmed, "{{") != 1 {
		return "", 0, false
	}
	inner = strings.TrimSuffix(strings.TrimPrefix(trimmed, "{{"), "}}")
	return inner, strings.Index(text, "{{") + 2, true
}
