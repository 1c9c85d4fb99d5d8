package sys

import "context"

// shadowProcesses looks at the processes that run: a shadow starts and stops
// none. A caller that waits for one to end learns from Pause that this cannot be
// known.
type shadowProcesses struct{ sh *Shadow }

func (p *shadowProcesses) Using(ctx context.Context, path string) ([]Process, error) {
	return p.sh.under.Processes().Using(ctx, path)
}
