package modules

import (
	"context"
	"fmt"
	"slices"

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

// together makes one step of two: once the first is done the second is done as well,
// also when ctx ends between them. For two effects of which the first alone would lead
// a later run elsewhere.
func together(first, second Step) Step {
	return act{
		changes: slices.Concat(first.Changes(), second.Changes()),
		do: func(ctx context.Context, host sys.Host, result Result) error {
			if err := first.Do(ctx, host, result); err != nil {
				return err
			}
			if err := second.Do(context.WithoutCancel(ctx), host, result); err != nil {
				c := first.Changes()[0]
				return fmt.Errorf("%w; already done: %s %s %s", err, c.Action, c.Target, c.Field)
			}
			return nil
		},
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
