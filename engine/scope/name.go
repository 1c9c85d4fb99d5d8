package scope

import (
	"fmt"
	"slices"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

const nameHint = "a variable's name has letters, digits and underscores, begins with no digit and is no word of the language"

var namePattern = lazy.Regexp(`^[A-Za-z_][A-Za-z0-9_]*$`)

// The words that Jinja2's grammar or Python keeps to itself: a variable of such
// a name could never be read.
var reservedWords = []string{
	"and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
	"finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass",
	"raise", "return", "try", "while", "with", "yield",
	"True", "False", "None", "true", "false", "none",
}

// CheckName says what is wrong with a variable's name, "" when it is a good one.
func CheckName(name string) string {
	switch {
	case !namePattern().MatchString(name):
		return fmt.Sprintf("%q is no valid name of a variable", name)
	case slices.Contains(reservedWords, name):
		return fmt.Sprintf("%q is a word of the language and cannot name a variable", name)
	}
	return ""
}
