package expression

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
)

var listFilters = map[string]Definition{
	"list":                 {Function: func(c *Call) (any, error) { return c.items() }},
	"length":               {Function: lengthFilter},
	"count":                {Function: lengthFilter},
	"first":                {Function: firstFilter},
	"last":                 {Function: lastFilter},
	"min":                  {Signature: "case_sensitive=false, attribute=none", Function: extremeFilter(-1)},
	"max":                  {Signature: "case_sensitive=false, attribute=none", Function: extremeFilter(1)},
	"sum":                  {Signature: "attribute=none, start=0", Function: sumFilter},
	"unique":               {Signature: "case_sensitive=none, attribute=none", Function: uniqueFilter},
	"union":                {Signature: "other", Function: setFilter(union)},
	"intersect":            {Signature: "other", Function: setFilter(intersect)},
	"difference":           {Signature: "other", Function: setFilter(difference)},
	"symmetric_difference": {Signature: "other", Function: setFilter(symmetricDifference)},
	"sort":                 {Signature: "reverse=false, case_sensitive=false, attribute=none", Function: sortFilter},
	"reverse":              {Function: reverseFilter},
	"shuffle":              {Signature: "seed=none", Function: shuffleFilter},
	"random":               {Signature: "start=none, step=none, seed=none", Function: randomFilter},
	"map":                  {Signature: "*args, **kwargs", Function: mapFilter, TakesUndefined: true, check: checkMap},
	"select":               {Signature: "*args, **kwargs", Function: selectFilter(false, true), TakesUndefined: true, check: checkTest(0)},
	"reject":               {Signature: "*args, **kwargs", Function: selectFilter(false, false), TakesUndefined: true, check: checkTest(0)},
	"selectattr":           {Signature: "attribute, *args, **kwargs", Function: selectFilter(true, true), check: checkTest(1)},
	"rejectattr":           {Signature: "attribute, *args, **kwargs", Function: selectFilter(true, false), check: checkTest(1)},
	"groupby":              {Signature: "attribute, default=none, case_sensitive=false", Function: groupbyFilter},
	"batch":                {Signature: "linecount, fill_with=none", Function: batchFilter},
	"slice":                {Signature: "slices, fill_with=none", Function: sliceFilter},
	"zip":                  {Signature: "*others, strict=false", Function: zipFilter(false)},
	"zip_longest":          {Signature: "*others, fillvalue=none", Function: zipFilter(true)},
	"product":              {Signature: "*others, repeat=1", Function: productFilter},
	"permutations":         {Signature: "r=none", Function: permutationsFilter},
	"combinations":         {Signature: "r", Function: combinationsFilter},
	"flatten":              {Signature: "levels=none, skip_nulls=true", Function: flattenFilter},
	"subelements":          {Signature: "subelements, skip_missing=false", Function: subelementsFilter},
	"extract":              {Signature: "container, morekeys=none", Function: extractFilter},
	"join":                 {Signature: "d='', attribute=none", Function: joinFilter},
}

// items lists the input as a for loop would.
func (c *Call) items() ([]any, error) { return c.frame.iterate(c.Input) }

func lengthFilter(c *Call) (any, error) {
	switch v := c.Input.(type) {
	case string:
		return len([]rune(v)), nil
	case []any:
		return len(v), nil
	case map[string]any, *Dict, Object:
		return mappingLen(v), nil
	}
	return nil, fmt.Errorf("%s has no length", nameWithArticle(c.Input))
}

func (c *Call) undefined(what string) *Undefined {
	return &Undefined{Name: c.frame.text(c.site), Hint: says(what), site: c.site}
}

func firstFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil || len(items) > 0 {
		return firstOf(items), err
	}
	return c.undefined("the list is empty"), nil
}

func firstOf(items []any) any {
	if len(items) == 0 {
		return nil
	}
	return items[0]
}

func lastFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return c.undefined("the list is empty"), nil
	}
	return items[len(items)-1], nil
}

// attributeOf follows Jinja's attribute arguments: "a.b", "0" or a number.
func (c *Call) attributeOf(item, attribute any) (any, error) {
	if attribute == nil {
		return item, nil
	}
	for part := range strings.SplitSeq(Text(attribute), ".") {
		if u, ok := item.(*Undefined); ok {
			return u, nil
		}
		next, err := c.frame.item(c.site, Normalize(item), part)
		if err != nil {
			return nil, err
		}
		if u, ok := next.(*Undefined); ok {
			return &Undefined{Name: Text(attribute), Hint: u.Hint, site: c.site}, nil
		}
		item = next
	}
	return item, nil
}

// foldCase is the key under which texts that differ only in case are the same.
func foldCase(v any) any {
	if s, ok := v.(string); ok {
		return strings.ToLower(s)
	}
	return v
}

// keys gives each item's key: its attribute, in lower case unless case counts.
func (c *Call) keys(items []any, attribute, caseSensitive any) ([]any, error) {
	keys := make([]any, len(items))
	for i, item := range items {
		key, err := c.attributeOf(item, attribute)
		if err != nil {
			return nil, err
		}
		if u, ok := key.(*Undefined); ok {
			return nil, undefinedError(u)
		}
		if !Truthy(caseSensitive) {
			key = foldCase(key)
		}
		keys[i] = key
	}
	return keys, nil
}

func extremeFilter(want int) Function {
	return func(c *Call) (any, error) {
		items, err := c.items()
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return c.undefined("the list is empty"), nil
		}
		keys, err := c.keys(items, c.Args[1], c.Args[0])
		if err != nil {
			return nil, err
		}
		best := 0
		for i := range keys {
			sign, _, err := order(keys[i], keys[best])
			if err != nil {
				return nil, err
			}
			if sign == want {
				best = i
			}
		}
		return items[best], nil
	}
}

func sumFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	total := c.Args[1]
	for _, item := range items {
		value, err := c.attributeOf(item, c.Args[0])
		if err != nil {
			return nil, err
		}
		if u, ok := value.(*Undefined); ok {
			return nil, undefinedError(u)
		}
		if _, isText := value.(string); isText {
			return nil, fmt.Errorf("'+' does not work on %s and a string", nameWithArticle(total))
		}
		if total, err = arithmetic("+", total, value); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// seen is a set of values; those that can be keys are found at once.
type seen struct {
	texts   map[string]bool
	numbers map[float64]bool
	others  []any
}

// add reports whether the value is new.
func (s *seen) add(v any) bool {
	if s.texts == nil {
		s.texts, s.numbers = map[string]bool{}, map[float64]bool{}
	}
	if text, ok := v.(string); ok {
		known := s.texts[text]
		s.texts[text] = true
		return !known
	}
	if _, f, _, ok := number(v); ok && math.Abs(f) < 1<<53 {
		known := s.numbers[f]
		s.numbers[f] = true
		return !known
	}
	if slices.ContainsFunc(s.others, func(other any) bool { return equal(other, v) }) {
		return false
	}
	s.others = append(s.others, v)
	return true
}

func uniqueFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	caseSensitive := c.Args[0]
	keys, err := c.keys(items, c.Args[1], caseSensitive)
	if err != nil {
		return nil, err
	}
	var known seen
	result := []any{}
	for i, item := range items {
		if known.add(keys[i]) {
			result = append(result, item)
		}
	}
	return result, nil
}

func distinct(items []any) []any {
	var known seen
	result := []any{}
	for _, item := range items {
		if known.add(item) {
			result = append(result, item)
		}
	}
	return result
}

func setFilter(combine func(a, b []any) []any) Function {
	return func(c *Call) (any, error) {
		a, err := c.items()
		if err != nil {
			return nil, err
		}
		b, err := c.frame.iterate(c.Args[0])
		if err != nil {
			return nil, err
		}
		return combine(a, b), nil
	}
}

func union(a, b []any) []any { return distinct(slices.Concat(a, b)) }

func intersect(a, b []any) []any { return distinct(within(a, b, true)) }

func difference(a, b []any) []any { return distinct(within(a, b, false)) }

// within keeps the items of a that are (or are not) in b.
func within(a, b []any, want bool) []any {
	var known seen
	for _, item := range b {
		known.add(item)
	}
	kept := []any{}
	for _, item := range a {
		if known.has(item) == want {
			kept = append(kept, item)
		}
	}
	return kept
}

func (s *seen) has(v any) bool {
	if text, ok := v.(string); ok {
		return s.texts[text]
	}
	if _, f, _, ok := number(v); ok && math.Abs(f) < 1<<53 {
		return s.numbers[f]
	}
	return slices.ContainsFunc(s.others, func(other any) bool { return equal(other, v) })
}

func symmetricDifference(a, b []any) []any {
	return within(union(a, b), intersect(a, b), false)
}

func sortFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	attributes := []any{nil}
	if text, ok := c.Args[2].(string); ok {
		attributes = toList(strings.Split(text, ","))
	} else if c.Args[2] != nil {
		attributes = []any{c.Args[2]}
	}
	columns := make([][]any, len(attributes))
	for i, attribute := range attributes {
		if columns[i], err = c.keys(items, attribute, c.Args[1]); err != nil {
			return nil, err
		}
	}
	return sortBy(items, columns, Truthy(c.Args[0]))
}

// sortBy sorts stably by columns of keys. Reversed, equal items keep their order
// too, as in Python.
func sortBy(items []any, columns [][]any, reversed bool) ([]any, error) {
	places := make([]int, len(items))
	for i := range places {
		places[i] = i
	}
	var failed error
	sort.SliceStable(places, func(i, j int) bool {
		for _, keys := range columns {
			a, b := keys[places[i]], keys[places[j]]
			if reversed {
				a, b = b, a
			}
			sign, _, err := order(a, b)
			if err != nil && failed == nil {
				failed = err
			}
			if sign != 0 {
				return sign < 0
			}
		}
		return false
	})
	sorted := make([]any, len(items))
	for i, place := range places {
		sorted[i] = items[place]
	}
	return sorted, failed
}

func reverseFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	reversed := slices.Clone(items)
	slices.Reverse(reversed)
	if _, isText := c.Input.(string); isText {
		var b strings.Builder
		for _, character := range reversed {
			b.WriteString(Text(character))
		}
		return b.String(), nil
	}
	return reversed, nil
}

func shuffleFilter(c *Call) (any, error) {
	random, err := NewRandom(c.Args[0])
	if err != nil {
		return nil, err
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	shuffled := slices.Clone(items)
	for i := len(shuffled) - 1; i > 0; i-- { // in Python's order
		j := random.Below(i + 1)
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	}
	return shuffled, nil
}

func randomFilter(c *Call) (any, error) {
	random, err := NewRandom(c.Args[2])
	if err != nil {
		return nil, err
	}
	end, _, whole, ok := number(c.Input)
	if !ok || !whole {
		items, err := c.items()
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return nil, errors.New("there is nothing to choose from")
		}
		return items[random.Below(len(items))], nil
	}
	start, step := 0, 1
	for i, into := range []*int{&start, &step} {
		if Truthy(c.Args[i]) {
			value, err := intArgument(c, i)
			if err != nil {
				return nil, err
			}
			*into = value
		}
	}
	if step < 1 || start >= end {
		return nil, errors.New("the range is empty")
	}
	return start + step*random.Below((end-start+step-1)/step), nil
}

// checkMap refuses map('no such filter') when the expression is compiled.
func checkMap(e *Environment, args []any, _ []string) error {
	if len(args) == 0 {
		return nil
	}
	return e.knows("filter", e.filters, args[0])
}

func checkTest(position int) func(*Environment, []any, []string) error {
	return func(e *Environment, args []any, _ []string) error {
		if len(args) <= position {
			return nil
		}
		return e.knows("test", e.tests, args[position])
	}
}

// notConstant stands for an argument that is only known when it is evaluated.
type notConstant struct{}

func (e *Environment) knows(what string, known map[string]*Definition, name any) error {
	text, ok := name.(string)
	if !ok || known[shortName(text)] != nil || known[text] != nil {
		return nil
	}
	if why, refused := later[what][shortName(text)]; refused {
		return &argumentError{message: fmt.Sprintf("the %s %q is not supported yet", what, text), hint: why}
	}
	return &argumentError{
		message: fmt.Sprintf("there is no %s %q", what, text),
		hint:    diag.DidYouMean(shortName(text), mapKeys(known)),
	}
}

// apply calls a filter or test by its name, as map and select do.
func (c *Call) apply(what string, known map[string]*Definition, name, input any, rest []any, named map[string]any) (any, error) {
	text, ok := name.(string)
	if !ok {
		return nil, fmt.Errorf("expected the name of a %s, found %s", what, nameWithArticle(name))
	}
	definition := known[shortName(text)]
	if definition == nil {
		definition = known[text]
	}
	if definition == nil {
		return nil, c.frame.expression.env.knows(what, known, name)
	}
	values, names := rest, []string(nil)
	if len(named) > 0 {
		names = make([]string, len(rest))
		values = slices.Clone(rest)
		for _, key := range mappingKeys(named) {
			values, names = append(values, named[key]), append(names, key) //nolint:makezero // the first are positional: they have no names
		}
	}
	value, err := c.frame.invoke(c.site, definition, Normalize(input), values, names)
	if err != nil && !isPlaced(err) {
		return nil, fmt.Errorf("the %s '%s': %w", what, text, err)
	}
	return value, err
}

func mapFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	attribute, byAttribute := c.Named["attribute"]
	if len(c.Rest) == 0 && !byAttribute {
		return nil, &argumentError{message: "map needs the name of a filter, or attribute='…'"}
	}
	mapped := make([]any, len(items))
	for i, item := range items {
		if byAttribute {
			mapped[i], err = c.mapAttribute(item, attribute)
		} else {
			mapped[i], err = c.apply("filter", c.frame.expression.env.filters, c.Rest[0], item, c.Rest[1:], c.Named)
		}
		if err != nil {
			return nil, err
		}
	}
	return mapped, nil
}

func (c *Call) mapAttribute(item, attribute any) (any, error) {
	for name := range c.Named {
		if name != "attribute" && name != "default" {
			return nil, &argumentError{message: fmt.Sprintf("unknown argument %q", name)}
		}
	}
	value, err := c.attributeOf(Normalize(item), attribute)
	if err != nil {
		return nil, err
	}
	if fallback, given := c.Named["default"]; given {
		if _, missing := value.(*Undefined); missing {
			return fallback, nil
		}
	}
	return value, nil
}

func selectFilter(byAttribute, want bool) Function {
	return func(c *Call) (any, error) {
		items, err := c.items()
		if err != nil {
			return nil, err
		}
		kept := []any{}
		for _, item := range items {
			item = Normalize(item)
			value := item
			if byAttribute {
				if value, err = c.attributeOf(item, c.Args[0]); err != nil {
					return nil, err
				}
			}
			holds, err := c.holds(value)
			if err != nil {
				return nil, err
			}
			if u, ok := holds.(Unknown); ok {
				return u, nil
			}
			if Truthy(holds) == want {
				kept = append(kept, item)
			}
		}
		return kept, nil
	}
}

// holds applies the test named by the arguments, or asks for truth without one.
func (c *Call) holds(value any) (any, error) {
	if len(c.Rest) > 0 {
		return c.apply("test", c.frame.expression.env.tests, c.Rest[0], value, c.Rest[1:], c.Named)
	}
	if u, ok := value.(*Undefined); ok {
		return nil, undefinedError(u)
	}
	return Truthy(value), nil
}

func groupbyFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	values := make([]any, len(items))
	for i, item := range items {
		value, err := c.attributeOf(Normalize(item), c.Args[0])
		if err != nil {
			return nil, err
		}
		if u, missing := value.(*Undefined); missing {
			if c.Args[1] == nil {
				return nil, undefinedError(u)
			}
			value = c.Args[1]
		}
		values[i] = value
	}
	return group(items, values, Truthy(c.Args[2]))
}

// group sorts by key and gives [key, items] for each run of equal keys. The key
// shown is the first one's own.
func group(items, values []any, caseSensitive bool) ([]any, error) {
	keys := slices.Clone(values)
	if !caseSensitive {
		for i, key := range keys {
			keys[i] = foldCase(key)
		}
	}
	pairs := make([]any, len(items))
	for i := range items {
		pairs[i] = []any{keys[i], values[i], items[i]}
	}
	sorted, err := sortBy(pairs, [][]any{keys}, false)
	if err != nil {
		return nil, err
	}
	groups := []any{}
	var last any
	for i, pair := range sorted {
		parts := pair.([]any)
		if i == 0 || !equal(parts[0], last) {
			groups = append(groups, []any{parts[1], []any{}})
			last = parts[0]
		}
		current := groups[len(groups)-1].([]any)
		current[1] = append(current[1].([]any), parts[2])
	}
	return groups, nil
}

func batchFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	size, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	if size < 1 || size > mostRepeated/16 {
		return nil, errors.New("a batch needs a size of at least one")
	}
	batches := []any{}
	for chunk := range slices.Chunk(items, size) {
		batch := slices.Clone(chunk)
		for c.Args[1] != nil && len(batch) < size {
			batch = append(batch, c.Args[1])
		}
		batches = append(batches, batch)
	}
	return batches, nil
}

func sliceFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	count, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	if count < 1 || count > mostRepeated/16 {
		return nil, errors.New("there must be at least one slice")
	}
	size, longer := len(items)/count, len(items)%count
	slices := make([]any, 0, count)
	offset := 0
	for i := range count {
		end := offset + size
		if i < longer {
			end++
		}
		part := append([]any{}, items[offset:end]...)
		if c.Args[1] != nil && i >= longer {
			part = append(part, c.Args[1])
		}
		slices, offset = append(slices, part), end
	}
	return slices, nil
}

// lists gives the input and all further arguments as lists.
func (c *Call) lists() ([][]any, error) {
	first, err := c.items()
	if err != nil {
		return nil, err
	}
	lists := [][]any{first}
	for _, other := range c.Rest {
		list, err := c.frame.iterate(other)
		if err != nil {
			return nil, err
		}
		lists = append(lists, list)
	}
	return lists, nil
}

func zipFilter(longest bool) Function {
	return func(c *Call) (any, error) {
		lists, err := c.lists()
		if err != nil {
			return nil, err
		}
		length := len(lists[0])
		for _, list := range lists {
			if longest {
				length = max(length, len(list))
				continue
			}
			if Truthy(c.Args[0]) && len(list) != len(lists[0]) {
				return nil, errors.New("the lists have different lengths")
			}
			length = min(length, len(list))
		}
		zipped := make([]any, length)
		for i := range zipped {
			row := make([]any, len(lists))
			for j, list := range lists {
				row[j] = c.Args[0]
				if i < len(list) {
					row[j] = list[i]
				}
			}
			zipped[i] = row
		}
		return zipped, nil
	}
}

// mostMade bounds the lists that product and its kin make.
const mostMade = 1_000_000

func productFilter(c *Call) (any, error) {
	lists, err := c.lists()
	if err != nil {
		return nil, err
	}
	times, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	var factors [][]any
	for range min(max(times, 0), 64) {
		factors = append(factors, lists...)
	}
	rows := []any{[]any{}}
	for _, factor := range factors {
		if len(rows)*len(factor) > mostMade {
			return nil, errLarge
		}
		next := make([]any, 0, len(rows)*len(factor))
		for _, row := range rows {
			for _, item := range factor {
				next = append(next, append(slices.Clone(row.([]any)), item))
			}
		}
		rows = next
	}
	return rows, nil
}

func permutationsFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	size := len(items)
	if c.Args[0] != nil {
		if size, err = intArgument(c, 0); err != nil {
			return nil, err
		}
	}
	return arrange(items, size, false)
}

func combinationsFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	size, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	return arrange(items, size, true)
}

// arrange picks size of the items in every way; with ascending, each set once.
func arrange(items []any, size int, ascending bool) ([]any, error) {
	rows := []any{}
	if size < 0 || size > len(items) {
		return rows, nil
	}
	used := make([]bool, len(items))
	row := make([]any, 0, size)
	var pick func(from int) error
	pick = func(from int) error {
		if len(row) == size {
			if len(rows) == mostMade {
				return errLarge
			}
			rows = append(rows, slices.Clone(row))
			return nil
		}
		for i := range items {
			if used[i] || ascending && i < from {
				continue
			}
			used[i], row = true, append(row, items[i])
			err := pick(i + 1)
			used[i], row = false, row[:len(row)-1]
			if err != nil {
				return err
			}
		}
		return nil
	}
	return rows, pick(0)
}

func flattenFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	levels := -1
	if c.Args[0] != nil {
		if levels, err = intArgument(c, 0); err != nil {
			return nil, err
		}
	}
	return flatten(nil, items, levels, Truthy(c.Args[1])), nil
}

func flatten(into, items []any, levels int, skipNulls bool) []any {
	if into == nil {
		into = []any{}
	}
	for _, item := range items {
		item = Normalize(item)
		if skipNulls && (item == nil || item == "None" || item == "null") {
			continue
		}
		if list, ok := item.([]any); ok && levels != 0 {
			into = flatten(into, list, levels-1, skipNulls)
			continue
		}
		into = append(into, item)
	}
	return into
}

func subelementsFilter(c *Call) (any, error) {
	var elements []any
	switch {
	case isMapping(c.Input):
		for _, value := range entries(c.Context(), c.Input) {
			if value.err != nil {
				return nil, value.err
			}
			elements = append(elements, value.value)
		}
	default:
		list, ok := c.Input.([]any)
		if !ok {
			return nil, fmt.Errorf("expected a list of mappings or a mapping of mappings, found %s", nameWithArticle(c.Input))
		}
		elements = list
	}
	path, ok := c.Args[0].([]any)
	if !ok {
		path = toList(strings.Split(Text(c.Args[0]), "."))
	}
	rows := []any{}
	for _, element := range elements {
		inner, err := c.subelement(element, path)
		if err != nil {
			return nil, err
		}
		for _, item := range inner {
			rows = append(rows, []any{element, item})
		}
	}
	return rows, nil
}

func (c *Call) subelement(element any, path []any) ([]any, error) {
	value := element
	for _, key := range path {
		if !isMapping(value) {
			return nil, fmt.Errorf("the key %q is looked for in %s", Text(key), nameWithArticle(value))
		}
		inner, there, err := mappingGet(c.Context(), value, keyText(key))
		if err != nil {
			return nil, err
		}
		if !there {
			if Truthy(c.Args[1]) {
				return nil, nil
			}
			return nil, fmt.Errorf("there is no key %q in %s", Text(key), show(value))
		}
		value = inner
	}
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf("the key %q holds %s, not a list", Text(path[len(path)-1]), nameWithArticle(value))
	}
	return list, nil
}

func extractFilter(c *Call) (any, error) {
	keys := []any{c.Input}
	if more, ok := c.Args[1].([]any); ok {
		keys = append(keys, more...)
	} else if c.Args[1] != nil {
		keys = append(keys, c.Args[1])
	}
	value := c.Args[0]
	for _, key := range keys {
		if u, missing := value.(*Undefined); missing {
			return u, nil
		}
		next, err := c.frame.item(c.site, value, key)
		if err != nil {
			return nil, err
		}
		if u, missing := next.(*Undefined); missing {
			return &Undefined{Name: Text(key), Hint: u.Hint, site: c.site}, nil
		}
		value = next
	}
	return value, nil
}

func joinFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i, item := range items {
		if item, err = c.attributeOf(Normalize(item), c.Args[1]); err != nil {
			return nil, err
		}
		text, err := c.frame.textOf(item)
		if u, ok := item.(*Undefined); ok {
			err = undefinedError(u)
		}
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteString(Text(c.Args[0]))
		}
		b.WriteString(Text(text))
	}
	return b.String(), nil
}
