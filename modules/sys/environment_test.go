package sys

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEnvironmentOfInnerContextWins(t *testing.T) {
	outer := WithEnvironment(t.Context(), map[string]string{"LANG": "C", "HTTP_PROXY": "a"})
	inner := WithEnvironment(outer, map[string]string{"LANG": "C.UTF-8"})
	if diff := cmp.Diff([]string{"HTTP_PROXY=a", "LANG=C.UTF-8"}, Environment(inner)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"HTTP_PROXY=a", "LANG=C"}, Environment(outer)); diff != "" {
		t.Error("the outer context was changed:", diff)
	}
	if got := Environment(t.Context()); len(got) != 0 {
		t.Errorf("a bare context has %v", got)
	}
}

func TestPause(t *testing.T) {
	shadow := &Shadow{}
	for name, host := range map[string]Reader{"shadow": shadow, "read-only shadow": ReadOnly(shadow)} {
		if _, ok := Unknown(host.Pause(t.Context(), time.Hour)); !ok {
			t.Errorf("%s: time passed", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Real{}).Pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	if err := ReadOnly(&Real{}).Pause(t.Context(), time.Millisecond); err != nil {
		t.Errorf("real: got %v", err)
	}
}
