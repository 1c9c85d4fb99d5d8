// Package expression evaluates the expressions of playbooks and templates:
// Jinja2's grammar with Ansible's rules, run by the virtual machine of
// github.com/expr-lang/expr.
//
// Our parser reads the text, lowering turns it into expr's syntax tree, and
// expr compiles that. The nodes it runs are calls of the operations in this
// package, which carry Python's and Jinja's rules: what is true, what an
// undefined name does, how text is made of a value.
//
// Results are never read as templates again. What a host returned is therefore
// only ever text; a scope that wants values from YAML rendered does so before it
// hands them out.
package expression

import (
	"context"
	"slices"

	"github.com/expr-lang/expr/vm"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Scope gives names their values while an expression is evaluated.
type Scope interface {
	// Lookup finds a variable. It is called when the value is needed, at most
	// once per name and evaluation for a plain name, and may work it out then.
	// ok is false when nothing defines the name. err says that the name is
	// defined and its value could not be worked out; a diag.Diagnostic in it is
	// reported in place of the expression's own.
	Lookup(ctx context.Context, name string) (value any, ok bool, err error)
	// Names lists what Lookup would find, for "did you mean".
	Names() []string
}

// Variables is a Scope of fixed values, for tests and small uses.
type Variables map[string]any

// Lookup implements Scope.
func (v Variables) Lookup(_ context.Context, name string) (any, bool, error) {
	value, ok := v[name]
	return value, ok, nil
}

// Names implements Scope.
func (v Variables) Names() []string { return mappingKeys(map[string]any(v)) }

// Expression is a compiled expression. It is immutable and safe for concurrent
// use.
type Expression struct {
	source  string
	at      diag.Locator
	env     *Environment
	program *vm.Program
	names   []string
	root    *node
}

// Source is the text it was compiled from.
func (e *Expression) Source() string { return e.source }

// Variables lists the free names, each once, sorted: what a Scope will be asked
// for at most. Names that only a Registry function answers to are left out.
func (e *Expression) Variables() []string { return slices.Clone(e.names) }

// OutermostFilter names the filter that makes the result; "" when none does.
func (e *Expression) OutermostFilter() string {
	if e.root.kind != filterNode {
		return ""
	}
	return shortName(e.root.name)
}

// Evaluate computes the expression. The result is a value of the language; it is
// an Unknown when it depends on one, and never holds an Undefined: that is an
// error. Errors are diag.Diagnostic, with the place inside the expression and
// the values of its variables. Cancelling ctx stops lookups and filters that
// wait for something.
func (e *Expression) Evaluate(ctx context.Context, scope Scope) (any, error) {
	value, err := e.evaluate(ctx, scope)
	if err != nil {
		return nil, err
	}
	if u, ok := value.(*Undefined); ok && u.lenient {
		return "", nil
	}
	return value, e.refuseUndefined(ctx, scope, value)
}

// Value is Evaluate for what leaves the language: a time becomes its text.
func (e *Expression) Value(ctx context.Context, scope Scope) (any, error) {
	value, err := e.Evaluate(ctx, scope)
	return settled(value), err
}

// Test is Evaluate for conditions: the truth of the result. unknown is set when
// it depends on an Unknown; then holds means nothing.
func (e *Expression) Test(ctx context.Context, scope Scope) (holds bool, unknown *Unknown, err error) {
	value, err := e.Evaluate(ctx, scope)
	if err != nil {
		return false, nil, err
	}
	if u, ok := value.(Unknown); ok {
		return false, &u, nil
	}
	return Truthy(value), nil, nil
}
