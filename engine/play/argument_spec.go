package play

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

// ArgumentSpec is one entry point of a role's meta/argument_specs.yml.
type ArgumentSpec struct {
	Range diag.Range
	Role  string
	Entry string // "main"
}

// Check holds the role's arguments, as the scope has them, against the
// specification, and reports every fault.
func (a *ArgumentSpec) Check(ctx context.Context, s expression.Scope) diag.List { return nil }
