package systest

import (
	"context"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// Processes tells who uses a path: those that the field Using names.
func (h *Host) Processes() sys.ProcessReader { return processes{h} }

type processes struct{ host *Host }

func (p processes) Using(ctx context.Context, path string) ([]sys.Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return p.host.Using[path], nil
}
