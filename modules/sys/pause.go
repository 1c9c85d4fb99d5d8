package sys

import (
	"context"
	"time"
)

// Pause lets d pass on the host, for a module that waits for something. In a
// shadow time changes nothing, so that its answer is an *UnknownError at once: a
// wait whose condition does not hold yet is deferred there, not sat out.
// Cancelling ctx ends it with ctx's error.
func Pause(ctx context.Context, host Reader, d time.Duration) error {
	if h, ok := host.(interface {
		Pause(ctx context.Context, d time.Duration) error
	}); ok {
		return h.Pause(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Pause never passes any time.
func (sh *Shadow) Pause(ctx context.Context, _ time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return &UnknownError{What: "what comes with time", Because: "nothing happens on the host meanwhile"}
}

// Pause is handed on, since embedding the interface hides it.
func (r readOnly) Pause(ctx context.Context, d time.Duration) error {
	return Pause(ctx, r.Reader, d)
}
