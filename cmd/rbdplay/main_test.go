package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

// The first garbage collection waits; those behind it come as they always do.
func TestCollectLater(t *testing.T) {
	t.Setenv("GOGC", "")
	percent := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	usual := percent()
	collectLater()
	if got := percent(); got != 800 {
		t.Errorf("before the first collection it is %d", got)
	}
	runtime.GC()
	for deadline := time.Now().Add(time.Minute); percent() != usual; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("after the first collection it is %d, and was %d", percent(), usual)
		}
	}
}
