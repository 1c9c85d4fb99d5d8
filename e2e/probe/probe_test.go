package probe

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestProbeMeasuresAGap(t *testing.T) {
	defer goleak.VerifyNone(t)
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "app.test" || broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	p := Start(t.Context(), server.URL, "app.test")
	defer p.Stop()
	time.Sleep(100 * time.Millisecond)
	if r := p.Result(); r.Lost != 0 || r.Requests == 0 || !p.Answering() {
		t.Fatalf("a healthy server: %+v, answering %v", r, p.Answering())
	}
	p.Reset()
	broken.Store(true)
	time.Sleep(700 * time.Millisecond)
	if p.Answering() {
		t.Error("a broken server counts as answering")
	}
	broken.Store(false)
	for range 100 {
		if p.Answering() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if r := p.Result(); r.Gap < 600*time.Millisecond || r.Lost < 10 {
		t.Errorf("a gap of 700 ms was measured as %+v", r)
	}
}
