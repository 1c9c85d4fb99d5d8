package sys

import (
	"context"
	"sync"
)

// shadowResources remembers what Make was told. States are values: whoever makes
// or looks at one must not change it afterwards, since it is not copied.
type shadowResources struct {
	sh *Shadow

	mu   sync.Mutex
	made map[string]any
}

func newShadowResources(sh *Shadow) *shadowResources {
	return &shadowResources{sh: sh, made: map[string]any{}}
}

// Look gives what was recorded for key, else what look finds on the host beneath.
func (r *shadowResources) Look(ctx context.Context, key string, look func(ctx context.Context) (any, error)) (any, error) {
	r.mu.Lock()
	state, made := r.made[key]
	r.mu.Unlock()
	if made {
		return state, ctx.Err()
	}
	return r.sh.under.Resources().Look(ctx, key, look)
}

// Make records that key would be in the state after. It does not call do.
func (r *shadowResources) Make(ctx context.Context, key string, after any, _ func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made[key] = after
	r.sh.network.stirred("change of " + key)
	return nil
}
