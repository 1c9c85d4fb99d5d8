package play

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
)

// Condition is one compiled condition of when, until, changed_when, failed_when
// or assert.
type Condition struct {
	Text  string // as written
	Range diag.Range
	expr  *expression.Expression
}

// Test evaluates the condition. The error is a diag.Diagnostic, or an
// *UnknownError when check mode cannot know.
func (c *Condition) Test(ctx context.Context, s expression.Scope) (bool, error) {
	holds, unknown, err := c.expr.Test(ctx, s)
	if err == nil && unknown != nil {
		err = &UnknownError{Reason: unknown.Reason}
	}
	return holds, err
}

// All reports whether every condition holds, and the first that does not.
// Evaluation stops there, as in Ansible. An unknown one only counts when none of
// the others is known not to hold before it.
func All(ctx context.Context, conditions []*Condition, s expression.Scope) (holds bool, failing *Condition, err error) {
	for _, c := range conditions {
		holds, err := c.Test(ctx, s)
		if err != nil || !holds {
			return false, c, err
		}
	}
	return true, nil, nil
}

// Uses lists the variables of the condition.
func (c *Condition) Uses() []string { return c.expr.Variables() }
