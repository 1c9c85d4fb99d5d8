package expression

import (
	"context"
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/diag"
)

var errUnfinished = errors.New("expressions are not built yet")

type site struct{ start, end int }

type frame struct {
	ctx   context.Context
	scope Scope
	at    diag.Locator
}

type parameters struct{}

func parseSignature(string) (*parameters, error) { return &parameters{}, nil }

func (e *Expression) evaluate(context.Context, Scope) (any, error) { return nil, errUnfinished }

func (e *Expression) refuseUndefined(context.Context, Scope, any) error { return nil }

// Text is a value as Python's str() shows it.
func Text(v any) string { return fmt.Sprint(v) }

// Truthy is a value's truth, as Python's bool() has it.
func Truthy(v any) bool { return v == true }

// Builtins is the Environment with the filters, tests and functions of Jinja2
// and ansible.builtin that need no controller.
func Builtins() *Environment { return &Environment{} }

// Compile reads an expression, without its braces. at finds the place of a part
// of source in its file. The error is a diag.Diagnostic.
func (e *Environment) Compile(source string, at diag.Locator) (*Expression, error) {
	return nil, errUnfinished
}
