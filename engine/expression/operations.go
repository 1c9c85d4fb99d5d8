package expression

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// frame is one evaluation. The virtual machine carries it as its environment and
// every operation gets it first.
type frame struct {
	ctx        context.Context
	scope      Scope
	at         diag.Locator
	expression *Expression
	seen       []lookedUp // what was looked up, for the values in an error
}

type lookedUp struct {
	name  string
	value any
}

// machines are reused: a new one per evaluation costs more than the evaluation.
var machines = sync.Pool{New: func() any { return new(vm.VM) }}

func (e *Expression) evaluate(ctx context.Context, scope Scope) (any, error) {
	f := &frame{ctx: ctx, scope: scope, at: e.at, expression: e}
	machine := machines.Get().(*vm.VM)
	value, err := machine.Run(e.program, f)
	machines.Put(machine)
	if err != nil {
		return nil, f.report(err)
	}
	return value, nil
}

// fault is an error with the place it happened at.
type fault struct {
	start, end int
	err        error
	hint       string
}

func (e *fault) Error() string { return e.err.Error() }
func (e *fault) Unwrap() error { return e.err }

func (s *site) fault(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault](err); ok {
		return err
	}
	hint := ""
	if wrong, ok := errors.AsType[*argumentError](err); ok {
		hint = wrong.hint
	}
	return &fault{start: s.start, end: s.end, err: err, hint: hint}
}

func (s *site) faultf(format string, args ...any) error { return s.fault(fmt.Errorf(format, args...)) }

// report makes the finding. A Diagnostic from below (a variable whose own
// template failed) already has the better place and is passed on; a cancelled
// context stays what it is.
func (f *frame) report(err error) error {
	if d, ok := errors.AsType[diag.Diagnostic](err); ok {
		return d
	}
	if f.ctx.Err() != nil && errors.Is(err, f.ctx.Err()) {
		return f.ctx.Err()
	}
	d := diag.Diagnostic{Range: f.at.At(0, len(f.expression.source)), Summary: err.Error(), Values: f.values(), Cause: err}
	if where, ok := errors.AsType[*fault](err); ok {
		d.Range = f.at.At(where.start, where.end)
		d.Summary, d.Hint, d.Cause = where.Error(), where.hint, where.err
	}
	return d
}

// mostShown is how long a value in an error may be. A longer one is described,
// never cut: half a secret would no longer be recognised as one.
const mostShown = 200

func (f *frame) values() []diag.NamedValue {
	var values []diag.NamedValue
	for _, v := range f.seen {
		switch v.value.(type) {
		case *Undefined, Callable:
			continue
		}
		text := show(v.value)
		if len(text) > mostShown {
			text = describe(v.value)
		}
		values = append(values, diag.NamedValue{Name: v.name, Value: text})
	}
	return values
}

// mostKeys is how many keys of a mapping are named.
const mostKeys = 12

// describe says what a value is without saying it.
func describe(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("a string of %d characters", utf8.RuneCountInString(v))
	case []any:
		return fmt.Sprintf("a list of %d items", len(v))
	}
	keys := mappingKeys(v)
	text := fmt.Sprintf("a mapping of %d keys: %s", len(keys), strings.Join(keys[:min(len(keys), mostKeys)], ", "))
	if len(keys) > mostKeys {
		text += ", …"
	}
	return text
}

// undefinedError is what using an undefined value gives.
func undefinedError(u *Undefined) error {
	err := fmt.Errorf("%s is undefined", "'"+u.Name+"'")
	if u.site == nil {
		return &fault{err: err, hint: u.hint()}
	}
	return &fault{start: u.site.start, end: u.site.end, err: err, hint: u.hint()}
}

func (e *Expression) refuseUndefined(ctx context.Context, scope Scope, value any) error {
	u := findUndefined(value)
	if u == nil {
		return nil
	}
	f := &frame{ctx: ctx, scope: scope, at: e.at, expression: e}
	return f.report(undefinedError(u))
}

// operationOptions teaches expr our operations. The names cannot be typed in a
// playbook, so that they never hide a variable.
var operationOptions = func() []expr.Option {
	options := []expr.Option{expr.Optimize(false)}
	add := func(name string, operation func(f *frame, s *site, operands []any) (any, error)) {
		options = append(options, expr.Function(name, func(params ...any) (any, error) {
			f, s := params[0].(*frame), params[1].(*site)
			value, err := operation(f, s, params[2:])
			if err != nil {
				return nil, s.fault(err)
			}
			return value, nil
		}))
	}
	add("·name", (*frame).name)
	add("·attribute", (*frame).attribute)
	add("·subscript", (*frame).subscript)
	add("·slice", (*frame).slice)
	add("·unary", (*frame).unary)
	add("·binary", (*frame).binary)
	add("·compare", (*frame).compare)
	add("·goesOn", (*frame).goesOn)
	add("·stops", (*frame).stops)
	add("·isUnknown", (*frame).isUnknown)
	add("·nothing", (*frame).nothing)
	add("·list", (*frame).list)
	add("·dict", (*frame).dict)
	add("·filter", (*frame).filter)
	add("·test", (*frame).test)
	add("·function", (*frame).function)
	add("·exprFunction", (*frame).exprFunction)
	add("·method", (*frame).method)
	add("·callValue", (*frame).callValue)
	return options
}()

// text is the part of the source an operation stands for, for its messages.
func (f *frame) text(s *site) string {
	return strings.TrimSpace(f.expression.source[s.start:s.end])
}

func (f *frame) name(s *site, _ []any) (any, error) {
	for _, known := range f.seen {
		if known.name == s.name {
			return known.value, nil
		}
	}
	value, ok, err := f.scope.Lookup(f.ctx, s.name)
	if err != nil {
		return nil, fmt.Errorf("the variable '%s': %w", s.name, err)
	}
	if !ok {
		return &Undefined{Name: s.name, Hint: func() string { return diag.DidYouMean(s.name, f.scope.Names()) }, site: s}, nil
	}
	value = Normalize(value)
	if f.seen == nil {
		f.seen = make([]lookedUp, 0, 4)
	}
	f.seen = append(f.seen, lookedUp{s.name, value})
	return value, nil
}

// attribute is `value.name`: an entry of a mapping. What an undefined value or
// one without entries has there is undefined again, so that
// `a.b.c is defined` asks one question.
func (f *frame) attribute(s *site, operands []any) (any, error) {
	return f.entry(s, operands[0], s.name)
}

func (f *frame) entry(s *site, from any, key string) (any, error) {
	switch from := from.(type) {
	case Unknown:
		return from, nil
	case *Undefined:
		return from, nil
	case map[string]any, *Dict, Object:
		value, ok, err := mappingGet(f.ctx, from, key)
		if err != nil || ok {
			return value, err
		}
		return &Undefined{Name: f.text(s), Hint: func() string { return diag.DidYouMean(key, mappingKeys(from)) }, site: s}, nil
	}
	if with, ok := from.(attributed); ok {
		if value, ok := with.attribute(key); ok {
			return value, nil
		}
	}
	return &Undefined{Name: f.text(s), Hint: says("its left side is " + nameWithArticle(from)), site: s}, nil
}

func (f *frame) subscript(s *site, operands []any) (any, error) {
	from, key := operands[0], operands[1]
	if u, ok := from.(*Undefined); ok {
		return u, nil
	}
	switch key := key.(type) {
	case Unknown:
		return key, nil
	case *Undefined:
		return nil, undefinedError(key)
	}
	return f.item(s, from, key)
}

func (f *frame) item(s *site, from, key any) (any, error) {
	switch from := from.(type) {
	case Unknown:
		return from, nil
	case []any:
		if index, ok := position(key, len(from)); ok {
			return Normalize(from[index]), nil
		}
		return &Undefined{Name: f.text(s), Hint: says(fmt.Sprintf("the list has %d items", len(from))), site: s}, nil
	case string:
		runes := []rune(from)
		if index, ok := position(key, len(runes)); ok {
			return string(runes[index]), nil
		}
		return &Undefined{Name: f.text(s), Hint: says(fmt.Sprintf("the text has %d characters", len(runes))), site: s}, nil
	}
	if !hashable(key) {
		return nil, s.faultf("%s cannot be a key", nameWithArticle(key))
	}
	return f.entry(s, from, keyText(key))
}

// position turns an index, which may count from the end, into an offset.
func position(key any, length int) (int, bool) {
	index, _, whole, ok := number(key)
	if text, isText := key.(string); isText {
		_, err := fmt.Sscanf(text, "%d", &index)
		whole, ok = err == nil, err == nil
	}
	if index < 0 {
		index += length
	}
	return index, ok && whole && index >= 0 && index < length
}

// slice is Python's value[from:to:step].
func (f *frame) slice(s *site, operands []any) (any, error) {
	if mark, err := marks(operands...); mark != nil || err != nil {
		return mark, err
	}
	var bounds [3]*int
	for i, operand := range operands[1:] {
		if operand == nil {
			continue
		}
		value, _, whole, ok := number(operand)
		if !ok || !whole {
			return nil, s.faultf("a slice is cut at integers, found %s", nameWithArticle(operand))
		}
		bounds[i] = &value
	}
	if bounds[2] != nil && *bounds[2] == 0 {
		return nil, s.faultf("the step of a slice cannot be zero")
	}
	switch from := operands[0].(type) {
	case string:
		return string(sliceOf([]rune(from), bounds)), nil
	case []any:
		return sliceOf(from, bounds), nil
	}
	return nil, s.faultf("%s cannot be sliced", nameWithArticle(operands[0]))
}

func sliceOf[T any](items []T, bounds [3]*int) []T {
	step := 1
	if bounds[2] != nil {
		step = *bounds[2]
	}
	low, high := 0, len(items)
	if step < 0 {
		low, high = -1, len(items)-1
	}
	clamp := func(bound *int, otherwise int) int {
		if bound == nil {
			return otherwise
		}
		index := *bound
		if index < 0 {
			index += len(items)
		}
		return min(max(index, low), high)
	}
	result := []T{}
	if step > 0 {
		for i, end := clamp(bounds[0], low), clamp(bounds[1], high); i < end; i += step {
			result = append(result, items[i])
			if step > len(items) {
				break
			}
		}
		return result
	}
	for i, end := clamp(bounds[0], high), clamp(bounds[1], low); i > end; i += step {
		result = append(result, items[i])
		if step < -len(items) {
			break
		}
	}
	return result
}

// marks gives the first Unknown among values, or the error of the first
// Undefined. Both are looked for at the top only.
func marks(values ...any) (mark any, err error) {
	for _, value := range values {
		if u, ok := value.(*Undefined); ok {
			return nil, undefinedError(u)
		}
	}
	for _, value := range values {
		if u, ok := value.(Unknown); ok {
			return u, nil
		}
	}
	return nil, nil
}

// emptied is a value, or empty text for a lenient Undefined.
func emptied(v any) any {
	if u, ok := v.(*Undefined); ok && u.lenient {
		return ""
	}
	return v
}

func (f *frame) unary(s *site, operands []any) (any, error) {
	value := emptied(operands[0])
	if mark, err := marks(value); mark != nil || err != nil {
		return mark, err
	}
	switch s.name {
	case "not":
		return !Truthy(value), nil
	case "-":
		if f, ok := value.(float64); ok {
			return -f, nil
		}
		if i, _, whole, ok := number(value); ok && whole {
			return arithmetic("-", 0, i)
		}
	default:
		if i, _, whole, ok := number(value); ok {
			if whole {
				return i, nil
			}
			return value, nil
		}
	}
	return nil, s.faultf("'%s' does not work on %s", s.name, nameWithArticle(value))
}

func (f *frame) binary(s *site, operands []any) (any, error) {
	left, right := emptied(operands[0]), emptied(operands[1])
	if mark, err := marks(left, right); mark != nil || err != nil {
		return mark, err
	}
	if s.name == "~" {
		return f.concatenate(left, right)
	}
	value, err := arithmetic(s.name, left, right)
	if err == nil {
		return value, nil
	}
	_, leftText := left.(string)
	_, rightText := right.(string)
	if s.name == "+" && (leftText || rightText) {
		return nil, &fault{start: s.start, end: s.end, err: err, hint: "use ~ to join text, or | int to count with it"}
	}
	return nil, err
}

func (f *frame) concatenate(left, right any) (any, error) {
	a, err := f.textOf(left)
	if err != nil {
		return nil, err
	}
	b, err := f.textOf(right)
	if err != nil {
		return nil, err
	}
	for _, value := range []any{a, b} {
		if u, ok := value.(Unknown); ok {
			return u, nil
		}
	}
	return a.(string) + b.(string), nil
}

// textOf is a value as text, with every Object in it read; or the Unknown that
// is in it.
func (f *frame) textOf(v any) (any, error) {
	switch v.(type) {
	case string, int, bool, float64, nil:
		return Text(v), nil
	}
	whole, err := f.whole(v)
	if err != nil {
		return nil, err
	}
	if u := findUnknown(whole); u != nil {
		return *u, nil
	}
	if u := findUndefined(whole); u != nil {
		return nil, undefinedError(u)
	}
	return Text(whole), nil
}

// whole reads the Objects in a value.
func (f *frame) whole(v any) (any, error) {
	switch v := v.(type) {
	case Object:
		d := NewDict(0)
		for key, value := range entries(f.ctx, v) {
			if value.err != nil {
				return nil, value.err
			}
			inner, err := f.whole(value.value)
			if err != nil {
				return nil, err
			}
			d.Set(key, inner)
		}
		return d, nil
	case []any:
		if !holdsObject(v) {
			return v, nil
		}
		list := make([]any, len(v))
		for i, item := range v {
			inner, err := f.whole(item)
			if err != nil {
				return nil, err
			}
			list[i] = inner
		}
		return list, nil
	}
	return v, nil
}

func holdsObject(list []any) bool {
	for _, item := range list {
		switch item := item.(type) {
		case Object:
			return true
		case []any:
			if holdsObject(item) {
				return true
			}
		}
	}
	return false
}

func (f *frame) compare(s *site, operands []any) (any, error) {
	left, right := emptied(operands[0]), emptied(operands[1])
	if mark, err := marks(left, right); mark != nil || err != nil {
		return mark, err
	}
	switch s.name {
	case "==", "!=":
		return f.compareEqual(left, right, s.name == "!=")
	case "in", "not in":
		found, err := contains(f.ctx, right, left)
		if err == nil && !found {
			if u := findUnknown(right); u != nil {
				return *u, nil
			}
		}
		return found != (s.name == "not in"), err
	}
	sign, unordered, err := order(left, right)
	if err != nil || unordered {
		return false, err
	}
	switch s.name {
	case "<":
		return sign < 0, nil
	case "<=":
		return sign <= 0, nil
	case ">":
		return sign > 0, nil
	default:
		return sign >= 0, nil
	}
}

func (f *frame) compareEqual(left, right any, negate bool) (any, error) {
	left, err := f.whole(left)
	if err != nil {
		return nil, err
	}
	if right, err = f.whole(right); err != nil {
		return nil, err
	}
	for _, value := range []any{left, right} {
		if u := findUnknown(value); u != nil {
			return *u, nil
		}
	}
	return equal(left, right) != negate, nil
}

// goesOn reports whether `and` looks at its right side.
func (f *frame) goesOn(_ *site, operands []any) (any, error) {
	if u, ok := operands[0].(*Undefined); ok && !u.lenient {
		return nil, undefinedError(u)
	}
	return Truthy(operands[0]), nil
}

// stops reports whether `or` is settled by its left side.
func (f *frame) stops(_ *site, operands []any) (any, error) {
	if _, unknown := operands[0].(Unknown); unknown {
		return true, nil
	}
	return f.goesOn(nil, operands)
}

func (f *frame) isUnknown(_ *site, operands []any) (any, error) {
	_, unknown := operands[0].(Unknown)
	return unknown, nil
}

// nothing is what `a if c` gives when c does not hold.
func (f *frame) nothing(s *site, _ []any) (any, error) {
	return &Undefined{Name: f.text(s), Hint: says("the condition does not hold and there is no else"), site: s, lenient: true}, nil
}

func (f *frame) list(_ *site, operands []any) (any, error) {
	return append(make([]any, 0, len(operands)), operands...), nil
}

func (f *frame) dict(s *site, operands []any) (any, error) {
	d := NewDict(len(operands) / 2)
	for i := 0; i < len(operands); i += 2 {
		if mark, err := marks(operands[i]); mark != nil || err != nil {
			return mark, err
		}
		if !hashable(operands[i]) {
			return nil, s.faultf("%s cannot be a key", nameWithArticle(operands[i]))
		}
		d.Set(keyText(operands[i]), operands[i+1])
	}
	return d, nil
}

func (f *frame) filter(s *site, operands []any) (any, error) {
	value, err := f.invoke(s, s.definition, operands[0], operands[1:], s.names)
	if err != nil && !isPlaced(err) {
		return nil, fmt.Errorf("the filter '%s': %w", s.name, err)
	}
	return value, err
}

func (f *frame) test(s *site, operands []any) (any, error) {
	value, err := f.invoke(s, s.definition, operands[0], operands[1:], s.names)
	if err != nil && !isPlaced(err) {
		return nil, fmt.Errorf("the test '%s': %w", s.name, err)
	}
	if _, unknown := value.(Unknown); unknown || err != nil {
		return value, err
	}
	return Truthy(value) != s.node.negated, nil
}

func (f *frame) function(s *site, operands []any) (any, error) {
	value, err := f.invoke(s, s.definition, nil, operands, s.names)
	if err != nil && !isPlaced(err) {
		return nil, fmt.Errorf("%s(): %w", s.name, err)
	}
	return value, err
}

// isPlaced reports whether an error already says where and what, or is the
// context's.
func isPlaced(err error) bool {
	if _, ok := errors.AsType[*fault](err); ok {
		return true
	}
	if _, ok := errors.AsType[diag.Diagnostic](err); ok {
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// exprFunction calls one of expr's own functions with plain Go values.
func (f *frame) exprFunction(s *site, operands []any) (any, error) {
	if mark, err := f.screen(&Definition{}, nil, operands); mark != nil || err != nil {
		return mark, err
	}
	function := exprFunction(s.name)
	args := make([]any, len(operands))
	types := make([]reflect.Type, len(operands))
	for i, operand := range operands {
		plain, err := Plain(f.ctx, operand)
		if err != nil {
			return nil, err
		}
		args[i], types[i] = plain, reflect.TypeOf(plain)
		if plain == nil {
			types[i] = reflect.TypeFor[any]()
		}
	}
	if function.Validate != nil {
		if _, err := function.Validate(types); err != nil {
			return nil, fmt.Errorf("%s(): %w", s.name, err)
		}
	}
	switch {
	case function.Fast != nil && len(args) == 1:
		return Normalize(function.Fast(args[0])), nil
	case function.Safe != nil:
		value, _, err := function.Safe(args...)
		return Normalize(value), err
	case function.Func != nil:
		value, err := function.Func(args...)
		return Normalize(value), err
	}
	return nil, fmt.Errorf("%s() cannot be called like this", s.name)
}

func (f *frame) callValue(s *site, operands []any) (any, error) {
	if mark, err := marks(operands[0]); mark != nil || err != nil {
		return mark, err
	}
	callable, ok := operands[0].(Callable)
	if !ok {
		return nil, s.faultf("%s cannot be called", nameWithArticle(operands[0]))
	}
	return f.callCallable(s, callable, operands[1:])
}

// callCallable gives the arguments to a macro or method, positional ones as
// Rest and the others as Named.
func (f *frame) callCallable(s *site, callable Callable, values []any) (any, error) {
	c := &Call{Name: s.name, frame: f, site: s}
	values, names := values, s.names
	if names != nil {
		var err error
		if values, names, err = f.spread(values, names); err != nil {
			return nil, err
		}
	}
	if err := (&parameters{rest: true, named: true}).bind(c, values, names); err != nil {
		return nil, err
	}
	if len(values) == 0 {
		c.Rest = nil
	}
	value, err := callable.Call(c)
	return Normalize(value), err
}

// method is `value.name(…)`: an entry that can be called, or else one of the
// methods that Python's types have.
func (f *frame) method(s *site, operands []any) (any, error) {
	if mark, err := marks(operands[0]); mark != nil || err != nil {
		return mark, err
	}
	if isMapping(operands[0]) {
		value, ok, err := mappingGet(f.ctx, operands[0], s.name)
		if err != nil {
			return nil, err
		}
		if callable, can := value.(Callable); ok && can {
			return f.callCallable(s, callable, operands[1:])
		}
	}
	methods := methodsOf(operands[0])
	definition, ok := methods[s.name]
	if !ok {
		return nil, &fault{
			start: s.start, end: s.end,
			err:  fmt.Errorf("%s has no method '%s'", nameWithArticle(operands[0]), s.name),
			hint: diag.DidYouMean(s.name, mapKeys(methods)),
		}
	}
	value, err := f.invoke(s, definition, operands[0], operands[1:], s.names)
	if err != nil && !isPlaced(err) {
		return nil, fmt.Errorf("%s(): %w", s.name, err)
	}
	return value, err
}

func mapKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}

// iterate lists what a for loop would walk: items, keys, characters.
func (f *frame) iterate(v any) ([]any, error) {
	switch v := Normalize(v).(type) {
	case []any:
		return v, nil
	case string:
		list := make([]any, 0, len(v))
		for _, r := range v {
			list = append(list, string(r))
		}
		return list, nil
	case map[string]any, *Dict, Object:
		return toList(mappingKeys(v)), nil
	case *Undefined:
		return nil, undefinedError(v)
	default:
		return nil, fmt.Errorf("expected a list, found %s", nameWithArticle(v))
	}
}
