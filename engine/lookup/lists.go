package lookup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/expression"
)

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

func list(c *call) ([]any, error) { return c.terms, nil }

func items(c *call) ([]any, error) { return flattenOnce(c.terms), nil }

func flattened(c *call) ([]any, error) { return flatten(c.terms), nil }

// flattenOnce opens the lists among the items.
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

// Pairs walks a mapping in its order. The error says that value is none, or that
// an entry cannot be worked out.
func Pairs(ctx context.Context, value any, each func(key string, value any)) error {
	switch v := expression.Normalize(value).(type) {
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

func dict(c *call) ([]any, error) {
	var items []any
	for _, term := range c.terms {
		err := Pairs(c.ctx, term, func(key string, one any) {
			item := expression.NewDict(2)
			item.Set("key", key)
			item.Set("value", one)
			items = append(items, item)
		})
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

func indexedItems(c *call) ([]any, error) {
	var items []any
	for i, item := range flattenOnce(c.terms) {
		items = append(items, []any{i, item})
	}
	return items, nil
}

func (c *call) lists() ([][]any, error) {
	if len(c.terms) == 0 {
		return nil, errors.New("needs at least one list")
	}
	lists := make([][]any, len(c.terms))
	for i, one := range c.terms {
		lists[i] = asList(one)
	}
	return lists, nil
}

func together(c *call) ([]any, error) {
	lists, err := c.lists()
	if err != nil {
		return nil, err
	}
	longest := 0
	for _, list := range lists {
		longest = max(longest, len(list))
	}
	items := make([]any, longest)
	for i := range items {
		var row []any
		for _, list := range lists {
			var one any
			if i < len(list) {
				one = list[i]
			}
			row = append(row, one)
		}
		items[i] = flattenOnce(row)
	}
	return items, nil
}

// mostItems bounds what a lookup may multiply to.
const mostItems = 1_000_000

// nested gives every combination. Where an item is a list itself, it is opened, as
// in Ansible once with every further list and once more at the end.
func nested(c *call) ([]any, error) {
	return c.combine(flattenOnce)
}

// cartesian gives every combination; items that are lists are opened once.
func cartesian(c *call) ([]any, error) {
	return c.combine(func(row []any) []any { return row })
}

func (c *call) combine(open func(row []any) []any) ([]any, error) {
	lists, err := c.lists()
	if err != nil {
		return nil, err
	}
	rows := [][]any{{}}
	for i, list := range lists {
		if len(rows)*len(list) > mostItems {
			return nil, fmt.Errorf("has more than %d items", mostItems)
		}
		var next [][]any
		for _, head := range rows {
			for _, one := range list {
				row := append(slices.Clip(head), one)
				if i > 0 {
					row = open(row)
				}
				next = append(next, row)
			}
		}
		rows = next
	}
	items := make([]any, len(rows))
	for i, row := range rows {
		items[i] = flattenOnce(row)
	}
	return items, nil
}

func randomChoice(c *call) ([]any, error) {
	if len(c.terms) == 0 {
		return nil, nil
	}
	return []any{c.terms[rand.IntN(len(c.terms))]}, nil //nolint:gosec // a choice, not a secret
}

func subelements(c *call) ([]any, error) {
	if len(c.terms) < 2 || len(c.terms) > 3 {
		return nil, errors.New("wants a list of mappings, the name of a key and perhaps {skip_missing: true}")
	}
	key, ok := c.terms[1].(string)
	if !ok {
		return nil, fmt.Errorf("wants the name of a key as its second part, not %s", shown(c.terms[1]))
	}
	s := subelement{ctx: c.ctx, keys: strings.Split(key, ".")}
	if len(c.terms) == 3 {
		if err := s.flags(c.terms[2]); err != nil {
			return nil, err
		}
	}
	elements, isList := expression.Normalize(c.terms[0]).([]any)
	if !isList {
		skipped, _, err := dig(c.ctx, c.terms[0], []string{"skipped"})
		if err != nil || expression.Truthy(skipped) {
			return nil, err
		}
		if err := Pairs(c.ctx, c.terms[0], func(_ string, v any) { elements = append(elements, v) }); err != nil {
			return nil, err
		}
	}
	return s.of(elements)
}

// subelement finds the lists under a key of mappings.
type subelement struct {
	ctx  context.Context //nolint:containedctx // of one call
	keys []string
	skip bool // elements without the key
}

func (s *subelement) flags(value any) error {
	unknown := ""
	err := Pairs(s.ctx, value, func(name string, v any) {
		if name != "skip_missing" {
			unknown = name
		}
		s.skip = s.skip || expression.Truthy(v)
	})
	if err == nil && unknown != "" {
		err = fmt.Errorf("knows no flag %s, only skip_missing", unknown)
	}
	return err
}

func (s *subelement) of(elements []any) ([]any, error) {
	var items []any
	for _, element := range elements {
		skipped, _, err := dig(s.ctx, element, []string{"skipped"})
		if err != nil {
			return nil, err
		}
		if expression.Truthy(skipped) { // the result of a task that did not run
			continue
		}
		inner, missing, err := dig(s.ctx, element, s.keys)
		if err != nil {
			return nil, err
		}
		list, isList := expression.Normalize(inner).([]any)
		switch {
		case missing && s.skip:
			continue
		case missing:
			return nil, fmt.Errorf("finds no key %s in %s", strings.Join(s.keys, "."), expression.Text(element))
		case !isList:
			return nil, fmt.Errorf("wants a list under %s, found %s", strings.Join(s.keys, "."), shown(inner))
		}
		element = without(s.ctx, element, s.keys)
		for _, one := range list {
			items = append(items, []any{element, one})
		}
	}
	return items, nil
}

// without is a mapping without what is under the keys, as Ansible hands out the
// elements.
func without(ctx context.Context, mapping any, keys []string) any {
	rest := expression.NewDict(0)
	_ = Pairs(ctx, mapping, func(name string, v any) { // it was read before
		switch {
		case name != keys[0]:
			rest.Set(name, v)
		case len(keys) > 1:
			rest.Set(name, without(ctx, v, keys[1:]))
		}
	})
	return rest
}

func dig(ctx context.Context, value any, keys []string) (found any, missing bool, err error) {
	for _, key := range keys {
		var next any
		there := false
		err := Pairs(ctx, value, func(name string, v any) {
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
