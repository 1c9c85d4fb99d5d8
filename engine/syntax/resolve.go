package syntax

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

// PyYAML's resolver, which is what Ansible users have: YAML 1.1 without the
// letters y and n, with octal 0644 and base 60. (1.2's 0o644 is text.)
var (
	intPattern   = lazy.Regexp(`^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$`)
	floatPattern = lazy.Regexp(`^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$`)
)

// resolve gives the value a plain scalar stands for.
func resolve(text string) any {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return nil
	case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return true
	case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return false
	}
	switch {
	case !strings.ContainsRune("+-.0123456789", rune(text[0])):
		return text
	case intPattern().MatchString(text):
		return resolveInt(text)
	case floatPattern().MatchString(text):
		return resolveFloat(text)
	default:
		return text
	}
}

func resolveInt(text string) any {
	digits, negative := strings.ReplaceAll(text, "_", ""), false
	switch digits[0] {
	case '-':
		negative, digits = true, digits[1:]
	case '+':
		digits = digits[1:]
	}
	number, ok := new(big.Int), true
	switch {
	case strings.HasPrefix(digits, "0b"):
		number, ok = number.SetString(digits[2:], 2)
	case strings.HasPrefix(digits, "0x"):
		number, ok = number.SetString(digits[2:], 16)
	case strings.Contains(digits, ":"):
		for part := range strings.SplitSeq(digits, ":") {
			value, good := new(big.Int).SetString(part, 10)
			ok = ok && good
			number.Add(number.Mul(number, big.NewInt(60)), value)
		}
	case len(digits) > 1 && digits[0] == '0':
		number, ok = number.SetString(digits[1:], 8)
	default:
		number, ok = number.SetString(digits, 10)
	}
	if !ok { // "0x_" and the like: shaped as a number, but without a digit
		return text
	}
	if negative {
		number.Neg(number)
	}
	if number.IsInt64() {
		return int(number.Int64())
	}
	approximate, _ := new(big.Float).SetInt(number).Float64()
	return approximate
}

func resolveFloat(text string) any {
	digits, sign := strings.ToLower(strings.ReplaceAll(text, "_", "")), 1.0
	switch digits[0] {
	case '-':
		sign, digits = -1, digits[1:]
	case '+':
		digits = digits[1:]
	}
	switch {
	case digits == ".inf":
		return sign * math.Inf(1)
	case digits == ".nan":
		return math.NaN()
	case strings.Contains(digits, ":"):
		total := 0.0
		for part := range strings.SplitSeq(digits, ":") {
			value, err := strconv.ParseFloat(part, 64)
			if err != nil {
				return text
			}
			total = total*60 + value
		}
		return sign * total
	}
	value, err := strconv.ParseFloat(digits, 64)
	if err != nil && !math.IsInf(value, 0) {
		return text
	}
	return sign * value
}

// ParseBool reads the words that Ansible takes for a boolean, in any case.
func ParseBool(text string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "y", "yes", "on", "1", "true", "t", "1.0":
		return true, true
	case "n", "no", "off", "0", "false", "f", "0.0":
		return false, true
	}
	return false, false
}

func kindOf(value any) Kind {
	switch value.(type) {
	case nil:
		return Null
	case bool:
		return Bool
	case int:
		return Int
	case float64:
		return Float
	default:
		return String
	}
}

// IsResolved reports whether a plain scalar of this text would be read as
// something else than the text: a number, a boolean, nothing, a date.
func IsResolved(text string) bool {
	return kindOf(resolve(text)) != String || timestampPattern().MatchString(text)
}

// timestampPattern is PyYAML's. We read such text as text, and write it in
// quotes, so that PyYAML does too.
var timestampPattern = lazy.Regexp(`^(?:\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?)$`)
