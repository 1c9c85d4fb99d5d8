package sys

import (
	"context"
	"errors"
	"testing"
)

// deadSpace is a host whose statfs never answers, as on a dead mount.
type deadSpace struct {
	Host
	asked chan struct{}
}

func (d deadSpace) Files() FileReader { return deadSpaceFiles{d.Host.Files(), d.asked} }

type deadSpaceFiles struct {
	FileReader
	asked chan struct{}
}

func (f deadSpaceFiles) Space(ctx context.Context, _ string) (Space, error) {
	close(f.asked)
	<-ctx.Done()
	return Space{}, ctx.Err()
}

// TestSpaceOfADeadMount: who waits for the space of a dead mount keeps nobody else
// from the shadow's files, and waits no longer than its context.
func TestSpaceOfADeadMount(t *testing.T) {
	dir := t.TempDir()
	host := deadSpace{NewReal(), make(chan struct{})}
	shadow := NewShadow(host)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := shadow.Files().Space(ctx, dir)
		ended <- err
	}()
	<-host.asked
	if _, err := shadow.Files().Stat(t.Context(), dir); err != nil { // would wait for ever
		t.Error(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
