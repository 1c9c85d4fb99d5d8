package diag

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// DidYouMean is a hint such as `did you mean "owner"?`, or "" when no known
// word is near. Near means: at most a third of the letters wrong, or the same
// but for case, hyphens and underscores.
func DidYouMean(word string, known []string) string {
	if best := Nearest(word, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// Nearest is the known word closest to the given one, or "". Among equals the
// first in alphabetical order wins, so that messages are stable.
func Nearest(word string, known []string) string {
	best, bestDistance := "", len(word)/3+1
	if len(word) > 64 { // no name is that long; keep the comparison cheap
		return ""
	}
	plain := normalize(word)
	for _, candidate := range slices.Sorted(slices.Values(known)) {
		if candidate == word {
			continue
		}
		if normalize(candidate) == plain {
			return candidate
		}
		if d := levenshtein.ComputeDistance(plain, normalize(candidate)); d < bestDistance || d == bestDistance && best == "" && d < len(word) && len(word) > 2 {
			best, bestDistance = candidate, d
		}
	}
	return best
}

var separators = strings.NewReplacer("-", "", "_", "")

func normalize(word string) string { return separators.Replace(strings.ToLower(word)) }
