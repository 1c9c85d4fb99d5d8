package modules

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// act is a step made of its changes and the function that brings them about.
type act struct {
	changes []change.Change
	do      func(ctx context.Context, host sys.Host, result Result) error
}

func (a act) Changes() []change.Change { return a.changes }

func (a act) Do(ctx context.Context, host sys.Host, result Result) error {
	return a.do(ctx, host, result)
}

// happening is an act that leaves no state by which it could be seen again.
func happening(target, field string, do func(ctx context.Context, host sys.Host, result Result) error) Step {
	return act{
		changes: []change.Change{{Target: target, Action: change.Run, Field: field}},
		do:      do,
	}
}

// update is one field that goes from before to after.
func update(target, field, before, after string) change.Change {
	return change.Change{
		Target: target, Action: change.Update, Field: field,
		Before: change.Text(before), After: change.Text(after),
	}
}

// reallyDo calls do on a real host and answers in a shadow that the outcome,
// called what, is not known: for effects by other means than a command.
func reallyDo(ctx context.Context, host sys.Host, what string, do func(ctx context.Context) error) error {
	done := false
	err := host.Change().Resources().Make(ctx, "event "+what, nil, func(ctx context.Context) error {
		done = true
		return do(ctx)
	})
	if err == nil && !done {
		return &sys.UnknownError{What: what, Because: "it is only known once it has happened"}
	}
	return err
}
