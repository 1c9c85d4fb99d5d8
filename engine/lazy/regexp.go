// Package lazy makes what a package needs when it is first needed, and not when the
// program starts: an agent is started for each run and host, and uses little of what
// it could.
package lazy

import (
	"regexp"
	"sync"
)

// Regexp gives a function that compiles the expression at its first call, and gives
// the same one ever after. It panics when the expression is wrong, as
// regexp.MustCompile does; a test looks for all calls of it in our source and compiles
// what they say. It may be called by any number of goroutines.
func Regexp(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
