package sys

import (
	"context"
	"time"
)

// Pause lets d pass.
func (r *Real) Pause(ctx context.Context, d time.Duration) error {
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
