package sys

import "context"

// realResources hands everything on: the machine itself is the state.
type realResources struct{}

func newRealResources() *realResources { return &realResources{} }

// Look calls look.
func (*realResources) Look(ctx context.Context, _ string, look func(ctx context.Context) (any, error)) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return look(ctx)
}

// Make calls do.
func (*realResources) Make(ctx context.Context, _ string, _ any, do func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return do(ctx)
}
