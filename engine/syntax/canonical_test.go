package syntax_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

func writeCanonical(b *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		fmt.Fprint(b, v)
	case int:
		fmt.Fprint(b, v)
	case float64:
		b.WriteString(canonicalFloat(v))
	case json.Number:
		writeNumber(b, v)
	case string:
		b.WriteString(strconv.Quote(v))
	case []any:
		b.WriteString("[")
		for _, item := range v {
			writeCanonical(b, item)
			b.WriteString(" ")
		}
		b.WriteString("]")
	case map[string]any:
		b.WriteString("{")
		for _, key := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(strconv.Quote(key) + ":")
			writeCanonical(b, v[key])
			b.WriteString(" ")
		}
		b.WriteString("}")
	default:
		fmt.Fprintf(b, "%T", v)
	}
}

func writeNumber(b *strings.Builder, n json.Number) {
	if i, err := strconv.Atoi(n.String()); err == nil {
		fmt.Fprint(b, i)
		return
	}
	f, err := n.Float64()
	if err != nil && !math.IsInf(f, 0) {
		b.WriteString(err.Error())
		return
	}
	b.WriteString(canonicalFloat(f))
}

func canonicalFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return `"inf"`
	case math.IsInf(f, -1):
		return `"-inf"`
	case math.IsNaN(f):
		return `"nan"`
	}
	return "float " + strconv.FormatFloat(f, 'g', -1, 64)
}
