package sys

import "context"

// shadowSystem describes the machine beneath: a run does not make it another.
type shadowSystem struct{ sh *Shadow }

func newShadowSystem(sh *Shadow) *shadowSystem { return &shadowSystem{sh: sh} }

// System describes the machine.
func (s *shadowSystem) System(ctx context.Context) (System, error) { return s.sh.under.System(ctx) }
