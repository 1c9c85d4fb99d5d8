package modules

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// exclusions are the patterns of files that a tree copy leaves alone on both sides.
type exclusions []exclusion

type exclusion struct {
	pattern       *regexp.Regexp
	directoryOnly bool
}

// parseExclusions reads patterns as rsync does: * and ? stop at a slash, ** does
// not; a pattern that begins with a slash is anchored at the root of the tree,
// another matches at the end of any path; a slash at the end means directories.
func parseExclusions(patterns []string) (exclusions, error) {
	var list exclusions
	for _, p := range patterns {
		body := strings.TrimSuffix(p, "/")
		if strings.Trim(body, "/") == "" {
			return nil, fmt.Errorf("exclude: %q names no file", p)
		}
		start := "(?:^|/)"
		if strings.HasPrefix(body, "/") {
			start, body = "^", body[1:]
		}
		expression, err := globExpression(body)
		if err != nil {
			return nil, fmt.Errorf("exclude: %q: %w", p, err)
		}
		compiled, err := regexp.Compile("(?s)" + start + expression + "$")
		if err != nil {
			return nil, fmt.Errorf("exclude: %q: %w", p, err)
		}
		list = append(list, exclusion{compiled, strings.HasSuffix(p, "/")})
	}
	return list, nil
}

func globExpression(glob string) (string, error) {
	var out strings.Builder
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; {
		case strings.HasPrefix(glob[i:], "**"):
			out.WriteString(".*")
			i++
		case c == '*':
			out.WriteString("[^/]*")
		case c == '?':
			out.WriteString("[^/]")
		case c == '[':
			end := strings.IndexByte(glob[i+1:], ']')
			if end <= 0 {
				return "", errors.New("a [ is not closed")
			}
			class := glob[i+1 : i+1+end]
			if class[0] == '!' {
				class = "^" + class[1:]
			}
			out.WriteString("[" + strings.ReplaceAll(class, `\`, `\\`) + "]")
			i += end + 1
		case c == '\\' && i+1 < len(glob):
			i++
			out.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		default:
			out.WriteString(regexp.QuoteMeta(glob[i : i+1]))
		}
	}
	return out.String(), nil
}

// match tells whether the entry with this path below the root is left alone.
func (e exclusions) match(name string, directory bool) bool {
	if name == "." {
		return false
	}
	for _, x := range e {
		if (directory || !x.directoryOnly) && x.pattern.MatchString(name) {
			return true
		}
	}
	return false
}
