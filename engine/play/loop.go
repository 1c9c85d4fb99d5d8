package play

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
)

// Loop is the value of `loop:` or of a with_….
type Loop struct {
	Range   diag.Range
	Keyword string // "loop", "with_items", …
	value   *template.Value
	task    *Task
}

// loopKinds make the items of each kind of loop from its rendered value. The
// values are the language's; every error names what was found.
var loopKinds = map[string]func(ctx context.Context, l *Loop, value any) ([]any, error){
	"loop":               plainLoop,
	"with_list":          plainLoop,
	"with_items":         func(_ context.Context, _ *Loop, v any) ([]any, error) { return flattenOnce(asList(v)), nil },
	"with_flattened":     func(_ context.Context, _ *Loop, v any) ([]any, error) { return flatten(asList(v)), nil },
	"with_dict":          dictLoop,
	"with_indexed_items": indexedLoop,
	"with_together":      togetherLoop,
	"with_nested":        nestedLoop,
	"with_sequence":      sequenceLoop,
	"with_subelements":   subelementsLoop,
	"with_random_choice": randomLoop,
	"with_file":          fileLoop,
}

func (l *loader) loop(entry syntax.Entry, t *Task) {
	if t.Loop != nil {
		d := entry.Key.Errorf("the task has two loops, %s and %s", t.Loop.Keyword, entry.Name)
		d.Related = []diag.Note{{Text: "the first is here", Range: t.Loop.Range}}
		l.add(d)
		return
	}
	n := entry.Value
	if entry.Name == "loop" && n.IsScalar() && (n.Kind != syntax.String || !strings.Contains(n.Text, "{{")) {
		d := n.Errorf("loop must be a list, found %s", n.Kind)
		if n.Kind == syntax.String {
			d = d.WithHint(fmt.Sprintf("for a variable write \"{{ %s }}\"", n.Text))
		}
		l.add(d)
		return
	}
	if value := l.compile(n); value != nil {
		t.Loop = &Loop{Range: n.Range, Keyword: entry.Name, value: value, task: t}
	}
}

var loopControlKeys = []string{"loop_var", "index_var", "label", "pause", "extended", "break_when"}

func (l *loader) loopControl(n *syntax.Node, t *Task) {
	f, err := n.Fields()
	if err != nil {
		l.addError(n.Range, err)
		return
	}
	l.checkKeywords(f, "loop_control", loopControlKeys, []string{"extended_allitems"})
	for _, entry := range f.Node.Entries {
		n := entry.Value
		switch entry.Name {
		case "loop_var":
			if name := l.variableName(n, "loop_var"); name != "" {
				t.LoopControl.Var = name
			}
		case "index_var":
			t.LoopControl.IndexVar = l.variableName(n, "index_var")
		case "label":
			t.LoopControl.Label = l.compile(n)
		case "pause":
			t.LoopControl.Pause = readSetting(l, "pause", n, asSeconds)
		case "extended":
			t.LoopControl.Extended = readSetting(l, "extended", n, asBool)
		case "break_when":
			t.LoopControl.BreakWhen = l.conditions("break_when", n)
		}
	}
}

// Items gives the loop's items for a host. The error is a diag.Diagnostic or an
// *UnknownError.
func (l *Loop) Items(ctx context.Context, s expression.Scope) ([]any, error) {
	value, err := l.value.Render(ctx, s)
	if err != nil {
		return nil, err
	}
	if unknown, ok := value.(expression.Unknown); ok {
		return nil, &UnknownError{Reason: unknown.Reason}
	}
	items, err := loopKinds[l.Keyword](ctx, l, expression.Normalize(value))
	if err != nil {
		if _, unknown := IsUnknown(err); unknown {
			return nil, err
		}
		if d, ok := errors.AsType[diag.Diagnostic](err); ok {
			return nil, d
		}
		return nil, diag.New(l.Range, "%s %v", l.Keyword, err)
	}
	return items, nil
}

func asList(value any) []any {
	switch v := expression.Normalize(value).(type) {
	case []any:
		return v
	case nil:
		return nil
	default:
		return []any{v}
	}
}

func plainLoop(_ context.Context, _ *Loop, value any) ([]any, error) {
	switch v := value.(type) {
	case []any:
		return v, nil
	case nil:
		return nil, nil // an empty value in the file
	case map[string]any, *expression.Dict, expression.Object:
		return nil, errors.New("must be a list, not a mapping; write \"{{ … | dict2items }}\"")
	}
	return nil, fmt.Errorf("must be a list, not %s", shown(value))
}

// flattenOnce opens the lists among the items, as with_items does.
func flattenOnce(items []any) []any {
	var all []any
	for _, item := range items {
		if inner, ok := expression.Normalize(item).([]any); ok {
			all = append(all, inner...)
		} else {
			all = append(all, item)
		}
	}
	return all
}

func flatten(items []any) []any {
	var all []any
	for _, item := range items {
		if inner, ok := expression.Normalize(item).([]any); ok {
			all = append(all, flatten(inner)...)
		} else if item != nil {
			all = append(all, item)
		}
	}
	return all
}

// pairs walks a mapping in its order.
func pairs(ctx context.Context, value any, each func(key string, value any)) error {
	switch v := value.(type) {
	case *expression.Dict:
		for key, one := range v.All() {
			each(key, one)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			each(key, v[key])
		}
	case expression.Object:
		for _, key := range v.Keys() {
			one, _, err := v.Get(ctx, key)
			if err != nil {
				return err
			}
			each(key, one)
		}
	default:
		return fmt.Errorf("must be a mapping, not %s", shown(value))
	}
	return nil
}

func dictLoop(ctx context.Context, _ *Loop, value any) ([]any, error) {
	if list, ok := value.([]any); ok && len(list) == 1 {
		value = expression.Normalize(list[0])
	}
	var items []any
	err := pairs(ctx, value, func(key string, one any) {
		item := expression.NewDict(2)
		item.Set("key", key)
		item.Set("value", one)
		items = append(items, item)
	})
	return items, err
}

func indexedLoop(_ context.Context, _ *Loop, value any) ([]any, error) {
	var items []any
	for i, item := range flattenOnce(asList(value)) {
		items = append(items, []any{i, item})
	}
	return items, nil
}

func listsIn(value any) ([][]any, error) {
	outer := asList(value)
	if len(outer) == 0 {
		return nil, errors.New("needs at least one list")
	}
	lists := make([][]any, len(outer))
	for i, one := range outer {
		lists[i] = asList(one)
	}
	return lists, nil
}

func togetherLoop(_ context.Context, _ *Loop, value any) ([]any, error) {
	lists, err := listsIn(value)
	if err != nil {
		return nil, err
	}
	longest := 0
	for _, list := range lists {
		longest = max(longest, len(list))
	}
	items := make([]any, longest)
	for i := range items {
		row := make([]any, len(lists))
		for j, list := range lists {
			if i < len(list) {
				row[j] = list[i]
			}
		}
		items[i] = row
	}
	return items, nil
}

// mostItems bounds what a loop may multiply to.
const mostItems = 1_000_000

func nestedLoop(_ context.Context, _ *Loop, value any) ([]any, error) {
	lists, err := listsIn(value)
	if err != nil {
		return nil, err
	}
	items := []any{[]any{}}
	for _, list := range lists {
		if len(items)*len(list) > mostItems {
			return nil, fmt.Errorf("has more than %d items", mostItems)
		}
		var next []any
		for _, head := range items {
			for _, one := range list {
				next = append(next, append(slices.Clip(head.([]any)), one)) //nolint:forcetypeassert // made above
			}
		}
		items = next
	}
	return items, nil
}

func randomLoop(_ context.Context, _ *Loop, value any) ([]any, error) {
	list := asList(value)
	if len(list) == 0 {
		return nil, nil
	}
	return []any{list[rand.IntN(len(list))]}, nil //nolint:gosec // a choice, not a secret
}

// sequenceLoop reads "start=1 end=5 stride=2 format=web%02d" or the same as a
// mapping, or "5", "2-8/2:host%02d".
func sequenceLoop(ctx context.Context, _ *Loop, value any) ([]any, error) {
	var all []any
	for _, one := range asList(value) {
		s := sequence{start: 1, stride: 1, format: "%d"}
		if err := s.read(ctx, one); err != nil {
			return nil, err
		}
		items, err := s.items()
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	return all, nil
}

func subelementsLoop(ctx context.Context, _ *Loop, value any) ([]any, error) {
	parts := asList(value)
	if len(parts) < 2 || len(parts) > 3 {
		return nil, errors.New("wants a list of mappings, the name of a key and perhaps {skip_missing: true}")
	}
	key, ok := parts[1].(string)
	if !ok {
		return nil, fmt.Errorf("wants the name of a key as its second part, not %s", shown(parts[1]))
	}
	skip := false
	if len(parts) == 3 {
		if err := pairs(ctx, parts[2], func(name string, v any) { skip = skip || name == "skip_missing" && expression.Truthy(v) }); err != nil {
			return nil, err
		}
	}
	elements, isList := expression.Normalize(parts[0]).([]any)
	if !isList {
		if err := pairs(ctx, parts[0], func(_ string, v any) { elements = append(elements, v) }); err != nil {
			return nil, err
		}
	}
	return subelements(ctx, elements, strings.Split(key, "."), skip)
}

func subelements(ctx context.Context, elements []any, keys []string, skip bool) ([]any, error) {
	var items []any
	for _, element := range elements {
		inner, missing, err := dig(ctx, element, keys)
		if err != nil {
			return nil, err
		}
		list, isList := expression.Normalize(inner).([]any)
		switch {
		case missing && skip:
			continue
		case missing:
			return nil, fmt.Errorf("finds no key %s in %s", strings.Join(keys, "."), expression.Text(element))
		case !isList:
			return nil, fmt.Errorf("wants a list under %s, found %s", strings.Join(keys, "."), shown(inner))
		}
		for _, one := range list {
			items = append(items, []any{element, one})
		}
	}
	return items, nil
}

func dig(ctx context.Context, value any, keys []string) (found any, missing bool, err error) {
	for _, key := range keys {
		var next any
		there := false
		err := pairs(ctx, value, func(name string, v any) {
			if name == key {
				next, there = v, true
			}
		})
		if err != nil || !there {
			return nil, !there, err
		}
		value = next
	}
	return value, false, nil
}

func fileLoop(_ context.Context, l *Loop, value any) ([]any, error) {
	var items []any
	for _, one := range asList(value) {
		name, ok := one.(string)
		if !ok {
			return nil, fmt.Errorf("wants names of files, not %s", shown(one))
		}
		file, err := l.task.FindFile("files", name, l.Range)
		if err != nil {
			return nil, err
		}
		text, err := fs.ReadFile(file.FS, file.Path)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %s", file.Display, reason(err))
		}
		items = append(items, strings.TrimRight(string(text), "\n"))
	}
	return items, nil
}
