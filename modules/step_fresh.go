package modules

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// fewFiles is the most new files of a tree that are made durable one by one.
const fewFiles = 8

// writeFresh is the step that writes many files below root which replace nothing.
// They are made durable together, in a hundredth of the time: when the power fails
// before that no old content is lost, and another run writes what is not whole.
type writeFresh struct {
	root  string
	files []*writeFile
}

func (s *writeFresh) Changes() []change.Change {
	var all []change.Change
	for _, f := range s.files {
		all = append(all, f.changes...)
	}
	return all
}

func (s *writeFresh) Do(ctx context.Context, host sys.Host, _ Result) error {
	var done atomic.Int64
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(treeWriters)
	for _, f := range s.files {
		group.Go(func() error {
			if err := f.file.unchanged(together, host); err != nil {
				return err
			}
			if err := host.Change().Files().WriteCopy(together, f.file.path, f.content, f.attributes, false); err != nil {
				return fmt.Errorf("writing %s: %w", f.file.path, err)
			}
			done.Add(1)
			return nil
		})
	}
	err := group.Wait()
	// What was written is made durable even when the rest failed.
	if done.Load() > 0 {
		if syncErr := host.Change().Files().Sync(context.WithoutCancel(ctx), s.root); syncErr != nil {
			err = errors.Join(err, fmt.Errorf("making %s durable: %w", s.root, syncErr))
		}
	}
	if err != nil {
		return fmt.Errorf("%d of %d new files below %s are written, running again goes on from there: %w", done.Load(), len(s.files), s.root, err)
	}
	return nil
}
