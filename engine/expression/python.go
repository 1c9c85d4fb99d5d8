package expression

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unicode"
)

// Truthy is a value's truth, as Python's bool() has it: nothing, zero and empty
// are false. It must not be asked of Unknown or *Undefined, and says false.
func Truthy(v any) bool {
	switch v := Normalize(v).(type) {
	case nil, Unknown, *Undefined:
		return false
	case bool:
		return v
	case int:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any, *Dict, Object:
		return mappingLen(v) > 0
	default:
		return true
	}
}

// TypeName is Python's name for a value's type.
func TypeName(v any) string {
	switch v := Normalize(v).(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case []any:
		return "list"
	case map[string]any, *Dict, Object:
		return "dict"
	case Unknown:
		return "unknown"
	case *Undefined:
		return "AnsibleUndefined"
	case Callable:
		return "function"
	case moment:
		return "datetime"
	case span:
		return "timedelta"
	default:
		return fmt.Sprintf("%T", v)
	}
}

// Text is a value as Python's str() shows it: True, None, [1, 'a'].
func Text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	var b strings.Builder
	writeRepr(&b, v, quoteRepr)
	return b.String()
}

// Repr is a value as Python's repr() shows it: text in quotes, with escapes.
func Repr(v any) string {
	var b strings.Builder
	writeRepr(&b, v, quoteRepr)
	return b.String()
}

// show is a value for messages, on one line. Text is quoted without escapes, so
// that a secret in it is still found by its value and hidden; text of several
// lines has Go's escapes, which are looked for as well.
func show(v any) string {
	var b strings.Builder
	writeRepr(&b, v, func(s string) string {
		if strings.ContainsAny(s, "\n\r") {
			return strconv.Quote(s)
		}
		return "'" + s + "'"
	})
	return b.String()
}

func writeRepr(b *strings.Builder, v any, quote func(string) string) {
	switch v := Normalize(v).(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case int:
		b.WriteString(strconv.Itoa(v))
	case float64:
		b.WriteString(floatText(v))
	case string:
		b.WriteString(quote(v))
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRepr(b, item, quote)
		}
		b.WriteByte(']')
	case map[string]any, *Dict:
		writeMappingRepr(b, v, quote)
	case Unknown:
		b.WriteString("(not known yet)")
	case *Undefined: // what is not lenient was refused before
		b.WriteString("Undefined")
	case Object:
		fmt.Fprintf(b, "{… %d entries}", mappingLen(v))
	default:
		fmt.Fprint(b, v)
	}
}

func writeMappingRepr(b *strings.Builder, v any, quote func(string) string) {
	b.WriteByte('{')
	first := true
	for key, value := range entries(context.Background(), v) { // plain mappings never wait
		if !first {
			b.WriteString(", ")
		}
		first = false
		b.WriteString(quote(key) + ": ")
		writeRepr(b, value.value, quote)
	}
	b.WriteByte('}')
}

func floatText(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f):
		return "nan"
	}
	exact := strconv.FormatFloat(f, 'e', -1, 64)
	exponent, _ := strconv.Atoi(exact[strings.IndexByte(exact, 'e')+1:])
	if f != 0 && (exponent < -4 || exponent >= 16) {
		return exact
	}
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func quoteRepr(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r >= 0x7f && r < 0xa1 || r == 0xad:
			fmt.Fprintf(&b, `\x%02x`, r)
		case !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte(quote)
	return b.String()
}

// number gives a bool, int or float as a number. whole says that it has no part
// behind the point; then i is the number, and otherwise f is.
func number(v any) (i int, f float64, whole, ok bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, 1, true, true
		}
		return 0, 0, true, true
	case int:
		return v, float64(v), true, true
	case float64:
		return 0, v, false, true
	}
	return 0, 0, false, false
}

// equal is Python's ==. Numbers compare across their types; a value is never
// equal to one of another kind.
func equal(a, b any) bool {
	a, b = Normalize(a), Normalize(b)
	if ai, af, aw, ok := number(a); ok {
		bi, bf, bw, ok := number(b)
		if aw && bw {
			return ok && ai == bi
		}
		return ok && af == bf
	}
	switch a := a.(type) {
	case nil:
		return b == nil
	case string:
		text, ok := b.(string)
		return ok && a == text
	case []any:
		list, ok := b.([]any)
		return ok && equalLists(a, list)
	case map[string]any, *Dict, Object:
		return isMapping(b) && equalMappings(a, b)
	case moment, span:
		sign, ok := datetimeOrder(a, b)
		return ok && sign == 0
	case Callable:
		return sameCallable(a, b)
	}
	return false
}

func sameCallable(a Callable, b any) bool {
	other, ok := b.(Callable)
	return ok && fmt.Sprintf("%p", a) == fmt.Sprintf("%p", other)
}

func equalLists(a, b []any) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func equalMappings(a, b any) bool {
	if mappingLen(a) != mappingLen(b) {
		return false
	}
	ctx := context.Background() // Objects were read whole before
	for key, left := range entries(ctx, a) {
		right, there, err := mappingGet(ctx, b, key)
		if !there || err != nil || left.err != nil || !equal(left.value, right) {
			return false
		}
	}
	return true
}

// order is Python's < on two values: negative, zero or positive. unordered is
// set for NaN; the error says that the types do not compare.
func order(a, b any) (sign int, unordered bool, err error) {
	a, b = Normalize(a), Normalize(b)
	ai, af, aw, aok := number(a)
	bi, bf, bw, bok := number(b)
	if aok && bok {
		if aw && bw {
			return compareOrdered(ai, bi), false, nil
		}
		return compareOrdered(af, bf), math.IsNaN(af) || math.IsNaN(bf), nil
	}
	if sign, ok := datetimeOrder(a, b); ok {
		return sign, false, nil
	}
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), false, nil
		}
	case []any:
		if b, ok := b.([]any); ok {
			return orderLists(a, b)
		}
	}
	return 0, false, fmt.Errorf("%s and %s cannot be ordered", nameWithArticle(a), nameWithArticle(b))
}

func orderLists(a, b []any) (int, bool, error) {
	for i := range min(len(a), len(b)) {
		if !equal(a[i], b[i]) {
			return order(a[i], b[i])
		}
	}
	return compareOrdered(len(a), len(b)), false, nil
}

func compareOrdered[T int | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// nameWithArticle names a value's type for a message.
func nameWithArticle(v any) string {
	switch TypeName(v) {
	case "NoneType":
		return "none"
	case "bool":
		return "a boolean"
	case "int":
		return "an integer"
	case "float":
		return "a float"
	case "str":
		return "a string"
	case "list":
		return "a list"
	case "dict":
		return "a mapping"
	}
	return "a " + TypeName(v)
}

var (
	errZero  = errors.New("division by zero")
	errLarge = errors.New("the result is too large")
)

// mostRepeated bounds what `'x' * n` may make.
const mostRepeated = 64 << 20

// arithmetic is Python's + - * / // % and **.
func arithmetic(operator string, a, b any) (any, error) {
	if value, ok, err := datetimeArithmetic(operator, a, b); ok || err != nil {
		return value, err
	}
	ai, af, aw, aok := number(a)
	bi, bf, bw, bok := number(b)
	switch {
	case aok && bok && aw && bw && operator != "/":
		return integers(operator, ai, bi)
	case aok && bok:
		return floats(operator, af, bf)
	case operator == "*" && bok && bw:
		return repeat(a, b, bi)
	case operator == "*" && aok && aw:
		return repeat(b, a, ai)
	}
	switch left := a.(type) {
	case string:
		if right, ok := b.(string); ok && operator == "+" {
			return left + right, nil
		}
		if operator == "%" {
			return formatPercent(left, b)
		}
	case []any:
		if right, ok := b.([]any); ok && operator == "+" {
			joined := make([]any, 0, len(left)+len(right))
			return append(append(joined, left...), right...), nil
		}
	}
	return nil, operandError(operator, a, b)
}

func operandError(operator string, a, b any) error {
	return fmt.Errorf("'%s' does not work on %s and %s", operator, nameWithArticle(a), nameWithArticle(b))
}

func repeat(v, count any, times int) (any, error) {
	times = max(times, 0)
	switch v := v.(type) {
	case string:
		if len(v)*min(times, mostRepeated+1) > mostRepeated {
			return nil, errLarge
		}
		return strings.Repeat(v, times), nil
	case []any:
		if len(v)*min(times, mostRepeated+1) > mostRepeated/16 {
			return nil, errLarge
		}
		list := make([]any, 0, len(v)*times)
		for range times {
			list = append(list, v...)
		}
		return list, nil
	}
	return nil, operandError("*", v, count)
}

// integers keeps to 64 bits and says so where Python would go on.
func integers(operator string, a, b int) (any, error) {
	switch operator {
	case "+":
		sum := a + b
		if (sum > a) != (b > 0) && b != 0 {
			return nil, errLarge
		}
		return sum, nil
	case "-":
		difference := a - b
		if (difference < a) != (b > 0) && b != 0 {
			return nil, errLarge
		}
		return difference, nil
	case "*":
		return multiply(a, b)
	case "//", "%":
		if b == 0 {
			return nil, errZero
		}
		if b == -1 { // the smallest integer has no opposite
			if operator == "%" {
				return 0, nil
			}
			return multiply(a, -1)
		}
		quotient, rest := a/b, a%b
		if rest != 0 && (rest < 0) != (b < 0) {
			quotient, rest = quotient-1, rest+b
		}
		if operator == "//" {
			return quotient, nil
		}
		return rest, nil
	default:
		return power(a, b)
	}
}

func multiply(a, b int) (any, error) {
	high, low := bits.Mul64(magnitude(a), magnitude(b))
	negative := (a < 0) != (b < 0)
	if high != 0 || low > math.MaxInt64 && !(negative && low == 1<<63) {
		return nil, errLarge
	}
	if negative {
		return int(-low), nil
	}
	return int(low), nil
}

func magnitude(i int) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

func power(base, exponent int) (any, error) {
	if exponent < 0 {
		return floats("**", float64(base), float64(exponent))
	}
	result := any(1)
	for ; exponent > 0; exponent-- {
		if base == 0 || base == 1 {
			return base, nil
		}
		if base == -1 {
			return 1 - 2*(exponent%2), nil
		}
		var err error
		if result, err = multiply(result.(int), base); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func floats(operator string, a, b float64) (any, error) {
	switch operator {
	case "+":
		return a + b, nil
	case "-":
		return a - b, nil
	case "*":
		return a * b, nil
	case "**":
		if a == 0 && b < 0 {
			return nil, errZero
		}
		result := math.Pow(a, b)
		if math.IsInf(result, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
			return nil, errLarge
		}
		if math.IsNaN(result) && !math.IsNaN(a) && !math.IsNaN(b) {
			return nil, errors.New("the root of a negative number is no real number")
		}
		return result, nil
	}
	if b == 0 {
		return nil, errZero
	}
	switch operator {
	case "/":
		return a / b, nil
	case "//":
		quotient, _ := floorDivide(a, b)
		return quotient, nil
	default:
		_, rest := floorDivide(a, b)
		return rest, nil
	}
}

// floorDivide is Python's divmod on floats.
func floorDivide(a, b float64) (quotient, rest float64) {
	rest = math.Mod(a, b)
	quotient = (a - rest) / b
	if rest != 0 && (rest < 0) != (b < 0) {
		rest += b
		quotient--
	}
	if rest == 0 {
		rest = math.Copysign(0, b)
	}
	if quotient == 0 {
		return math.Copysign(0, a/b), rest
	}
	if floor := math.Floor(quotient); quotient-floor > 0.5 {
		return floor + 1, rest
	}
	return math.Floor(quotient), rest
}

// contains is Python's `item in container`.
func contains(ctx context.Context, container, item any) (bool, error) {
	switch container := container.(type) {
	case string:
		text, ok := item.(string)
		if !ok {
			return false, fmt.Errorf("'in' looks for a string in a string, not for %s", nameWithArticle(item))
		}
		return strings.Contains(container, text), nil
	case []any:
		for _, candidate := range container {
			if u, ok := candidate.(*Undefined); ok {
				return false, undefinedError(u)
			}
			if equal(candidate, item) {
				return true, nil
			}
		}
		return false, nil
	case map[string]any, *Dict, Object:
		if !hashable(item) {
			return false, fmt.Errorf("%s cannot be a key", nameWithArticle(item))
		}
		_, there, err := mappingGet(ctx, container, keyText(item))
		return there && err == nil, err
	}
	return false, fmt.Errorf("'in' needs a list, a mapping or a string on its right, found %s", nameWithArticle(container))
}

func hashable(v any) bool {
	switch v.(type) {
	case nil, bool, int, float64, string:
		return true
	}
	return false
}

// keyText is the text under which a mapping keeps a key.
func keyText(key any) string { return Text(key) }
