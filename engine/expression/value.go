package expression

import (
	"context"
	"iter"
	"maps"
	"slices"
)

// The values of the language are nil, bool, int, float64, string, []any,
// mappings (*Dict, which keeps the order its keys were written in, or a plain
// map[string]any, which is walked in the order of its sorted keys), Object,
// Callable, and the two marks Unknown and *Undefined. What comes from outside
// passes Normalize first.

// Dict is a mapping that keeps the order of its keys, as Python's does. The
// language never changes a Dict once others can see it.
type Dict struct {
	keys   []string
	values map[string]any
}

// NewDict makes an empty Dict with room for size entries.
func NewDict(size int) *Dict {
	return &Dict{keys: make([]string, 0, size), values: make(map[string]any, size)}
}

// Set adds or replaces an entry; a key keeps its first place.
func (d *Dict) Set(key string, value any) {
	if _, there := d.values[key]; !there {
		d.keys = append(d.keys, key)
	}
	d.values[key] = value
}

// Get is the entry of a key.
func (d *Dict) Get(key string) (any, bool) {
	value, ok := d.values[key]
	return value, ok
}

// Len counts the entries.
func (d *Dict) Len() int { return len(d.keys) }

// Keys lists the keys in order. The caller must not change the slice.
func (d *Dict) Keys() []string { return d.keys }

// All walks the entries in order.
func (d *Dict) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for _, key := range d.keys {
			if !yield(key, d.values[key]) {
				return
			}
		}
	}
}

// Object is a value whose entries are found when they are asked for: hostvars,
// loop, a namespace. Implementations are safe for concurrent use if the values
// of their scope are.
type Object interface {
	// Get is one entry. ok is false where there is none; err says that the entry
	// is there and could not be worked out.
	Get(ctx context.Context, key string) (value any, ok bool, err error)
	// Keys lists the entries in the order in which they are walked.
	Keys() []string
}

// Callable is a value that can be called in an expression: a macro, a method.
type Callable interface {
	Call(c *Call) (any, error)
}

// Unknown stands for what check mode cannot know. Every operation on it gives
// an Unknown again, except `is defined` and branches that are not taken.
type Unknown struct {
	Reason string // what would make it known: "the result of task “…”"
}

// Undefined is the value of a name that nothing defines. It may be passed on,
// tested with `is defined` and given a default; any other use is an error.
type Undefined struct {
	Name string // what was asked for: "foo", "foo.bar"
	// Hint says "did you mean …", nil when there is nothing to say. It is asked only
	// when the value is told as an error: most are just tested, and to compare a name
	// with all that there are costs more than the rest of the expression.
	Hint func() string
	site *site

	// lenient is set on what `a if c` gives without an else: Jinja lets that pass
	// as empty text.
	lenient bool
}

// says is the hint text.
func says(text string) func() string { return func() string { return text } }

func (u *Undefined) hint() string {
	if u.Hint == nil {
		return ""
	}
	return u.Hint()
}

// Plain turns a value into Go's plain ones: every mapping becomes a
// map[string]any and every Object is read whole. It is for those who hand values
// on to modules. Unknown and *Undefined are left as they are.
func Plain(ctx context.Context, v any) (any, error) {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			plain, err := Plain(ctx, item)
			if err != nil {
				return nil, err
			}
			list[i] = plain
		}
		return list, nil
	case map[string]any, *Dict, Object:
		mapping := map[string]any{}
		for key, value := range entries(ctx, v) {
			if value.err != nil {
				return nil, value.err
			}
			plain, err := Plain(ctx, value.value)
			if err != nil {
				return nil, err
			}
			mapping[key] = plain
		}
		return mapping, nil
	default:
		return settled(v), nil
	}
}

type entry struct {
	value any
	err   error
}

// entries walks any mapping in its order. It gives nothing for other values.
func entries(ctx context.Context, v any) iter.Seq2[string, entry] {
	return func(yield func(string, entry) bool) {
		for _, key := range mappingKeys(v) {
			value, _, err := mappingGet(ctx, v, key)
			if !yield(key, entry{value, err}) {
				return
			}
		}
	}
}

func isMapping(v any) bool {
	switch v.(type) {
	case map[string]any, *Dict, Object:
		return true
	}
	return false
}

func mappingKeys(v any) []string {
	switch v := v.(type) {
	case *Dict:
		return v.keys
	case map[string]any:
		return slices.Sorted(maps.Keys(v))
	case Object:
		return v.Keys()
	}
	return nil
}

func mappingGet(ctx context.Context, v any, key string) (any, bool, error) {
	switch v := v.(type) {
	case *Dict:
		value, ok := v.values[key]
		return Normalize(value), ok, nil
	case map[string]any:
		value, ok := v[key]
		return Normalize(value), ok, nil
	case Object:
		value, ok, err := v.Get(ctx, key)
		return Normalize(value), ok, err
	}
	return nil, false, nil
}

func mappingLen(v any) int {
	switch v := v.(type) {
	case *Dict:
		return len(v.keys)
	case map[string]any:
		return len(v)
	case Object:
		return len(v.Keys())
	}
	return 0
}

// Normalize turns Go's other numbers, lists and maps of text into the values of
// the language, at the top only: what lies deeper is turned when it is reached.
func Normalize(v any) any {
	switch v := v.(type) {
	case nil, bool, int, float64, string, []any, *Dict, map[string]any:
		return v
	case int64:
		return int(v)
	case int32:
		return int(v)
	case uint64:
		if v > 1<<63-1 {
			return float64(v)
		}
		return int(v)
	case uint32:
		return int(v)
	case uint:
		return Normalize(uint64(v))
	case float32:
		return float64(v)
	case []byte:
		return string(v)
	case []string:
		return toList(v)
	case []int:
		return toList(v)
	case []map[string]any:
		return toList(v)
	case map[string]string:
		return toMap(v)
	case map[any]any:
		d := make(map[string]any, len(v))
		for key, value := range v {
			d[Text(key)] = value
		}
		return d
	}
	return v
}

func toList[T any](items []T) []any {
	list := make([]any, len(items))
	for i, item := range items {
		list[i] = item
	}
	return list
}

func toMap[T any](from map[string]T) map[string]any {
	mapping := make(map[string]any, len(from))
	for key, value := range from {
		mapping[key] = value
	}
	return mapping
}

// Omitted is the value of the variable `omit`: a mapping's entry or a list's item
// that renders to it is left out.
type Omitted struct{}

// Equal is the language's ==.
func Equal(a, b any) bool { return equal(a, b) }
