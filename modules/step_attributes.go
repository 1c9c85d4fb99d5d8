package modules

import (
	"context"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// setAttributes is the step that sets mode, owner, group or times of a file.
type setAttributes struct {
	path       string
	attributes sys.Attributes
	changes    []change.Change
}

func (s *setAttributes) Changes() []change.Change { return s.changes }

func (s *setAttributes) Do(ctx context.Context, host sys.Host, _ Result) error {
	if err := host.Change().Files().SetAttributes(ctx, s.path, s.attributes); err != nil {
		return fmt.Errorf("setting the attributes of %s: %w", s.path, err)
	}
	return nil
}
