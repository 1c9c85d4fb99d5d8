package play

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/expression"
)

type loader struct{}

type surroundings struct{}

type roleFiles struct{}

// Steps gives what the include brings on the hosts whose scope s is, loading and
// checking it when its name held a template. The steps are the same for the same
// name. The error is a diag.List.
func (i *Include) Steps(ctx context.Context, s expression.Scope) ([]Step, error) { return nil, nil }

// HandlersFor finds the handlers that a name means: those that listen to it, and
// the last one of that name. The error suggests names.
func (p *Play) HandlersFor(name string) ([]*Handler, error) { return nil, nil }

// Names gives what a notification means on a host: the entry itself, or what its
// template renders to.
func (n *Notify) Names(ctx context.Context, s expression.Scope) ([]string, error) { return nil, nil }
