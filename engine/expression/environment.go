package expression

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Call is one call of a filter, a test, a function or a Callable.
type Call struct {
	Name  string
	Input any            // what a filter or test is applied to; nil for functions
	Args  []any          // one for each parameter of the signature, defaults filled in
	Rest  []any          // further positional arguments, where the signature has *rest
	Named map[string]any // further keyword arguments, where it has **named

	frame *frame
	site  *site
}

// Context is the evaluation's context.
func (c *Call) Context() context.Context { return c.frame.ctx }

// Scope is the evaluation's scope.
func (c *Call) Scope() Scope { return c.frame.scope }

// Range is the place of the call in the file, for a function's own messages.
func (c *Call) Range() diag.Range { return c.frame.at.At(c.site.start, c.site.end) }

// Function is what a filter, a test or a function does. Its arguments are values
// of the language, and never Unknown or *Undefined unless the definition says
// that it takes them. It must not change them. A test's result is used for its
// truth. An error it returns is shown with the place of the call.
type Function func(c *Call) (any, error)

// Definition is a Function with its parameters.
//
// Signature is written as in Python, without the input: "default_value=”,
// boolean=false", "*rest, **named". A call that does not fit it is refused when
// the expression is compiled.
type Definition struct {
	Signature      string
	Function       Function
	TakesUndefined bool // the input and arguments may be *Undefined
	TakesUnknown   bool // the input and arguments may be Unknown

	// check looks at a call when it is compiled. Arguments that are not constants
	// are notConstant. names are those of the keyword arguments.
	check      func(e *Environment, args []any, names []string) error
	parameters *parameters
	outside    bool // see looksOutside
}

// Environment holds the filters, tests and functions that expressions may use.
// It is immutable: With… return a changed copy. Safe for concurrent use.
type Environment struct {
	filters   map[string]*Definition
	tests     map[string]*Definition
	functions map[string]*Definition
	lookups   map[string]Lookup
}

// WithFilters returns an Environment with further filters. It panics on a
// malformed signature, which is a programming error.
func (e *Environment) WithFilters(filters map[string]Definition) *Environment {
	changed := *e
	changed.filters = extend(e.filters, filters)
	return &changed
}

// WithTests returns an Environment with further tests.
func (e *Environment) WithTests(tests map[string]Definition) *Environment {
	changed := *e
	changed.tests = extend(e.tests, tests)
	return &changed
}

// WithFunctions returns an Environment with further functions, such as lookup.
func (e *Environment) WithFunctions(functions map[string]Definition) *Environment {
	changed := *e
	changed.functions = extend(e.functions, functions)
	return &changed
}

func extend(base map[string]*Definition, more map[string]Definition) map[string]*Definition {
	all := maps.Clone(base)
	if all == nil {
		all = make(map[string]*Definition, len(more))
	}
	for name, definition := range more {
		parsed, err := parseSignature(definition.Signature)
		if err != nil {
			panic(fmt.Sprintf("expression: signature of %s: %v", name, err))
		}
		definition.parameters, definition.outside = parsed, looksOutside[name]
		all[name] = &definition
	}
	return all
}

// Filters lists the names of the filters, sorted; Tests and Functions likewise.
func (e *Environment) Filters() []string { return slices.Sorted(maps.Keys(e.filters)) }

// Tests lists the names of the tests, sorted.
func (e *Environment) Tests() []string { return slices.Sorted(maps.Keys(e.tests)) }

// Lookups lists the names of the lookups, sorted.
func (e *Environment) Lookups() []string { return slices.Sorted(maps.Keys(e.lookups)) }

// Functions lists the names of the functions, sorted.
func (e *Environment) Functions() []string { return slices.Sorted(maps.Keys(e.functions)) }
