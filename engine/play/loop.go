package play

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/template"
)

// Loop is the value of `loop:` or of a with_….
type Loop struct {
	Range   diag.Range
	Keyword string // "loop", "with_items", …
	value   *template.Value
}

// Items gives the loop's items for a host. The error is a diag.Diagnostic or an
// *UnknownError.
func (l *Loop) Items(ctx context.Context, s expression.Scope) ([]any, error) { return nil, nil }
