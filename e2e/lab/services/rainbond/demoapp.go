package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// report is what the demo app answers: who it is, and whether what it needs
// works at this moment.
type report struct {
	Node    string   `json:"node"`
	Storage string   `json:"storage"` // "ok", or what went wrong
	DNS     string   `json:"dns"`     // "ok", or what went wrong
	Address []string `json:"goodrain.me"`
}

func (r report) healthy() bool { return r.Storage == "ok" && r.DNS == "ok" }

// runDemoApp is the user's app. "/" answers 200 with a report as long as the
// app lives; "/strict" answers 503 when storage or names do not work; "/live"
// touches neither.
func runDemoApp(ctx context.Context, _ []string) error {
	app := &demoApp{node: os.Getenv("NODE"), folder: "/grdata/tenant/demo", patience: 1500 * time.Millisecond}
	return serve(ctx, app.handler(), ":8080")
}

type demoApp struct {
	node, folder string
	patience     time.Duration // for storage and for names, each
	visits       sync.Mutex
}

func (a *demoApp) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"node": a.node})
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, request *http.Request) {
		writeJSON(w, http.StatusOK, a.report(request.Context()))
	})
	mux.HandleFunc("GET /strict", func(w http.ResponseWriter, request *http.Request) {
		found := a.report(request.Context())
		status := http.StatusOK
		if !found.healthy() {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, found)
	})
	return mux
}

// report looks at storage and names at the same time. The storage half may
// hang in the kernel when its server is gone; it is then left to itself and
// ends when the storage answers again.
func (a *demoApp) report(ctx context.Context) report {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	storage := make(chan error, 1)
	go func() { storage <- a.touchStorage() }()
	found := report{Node: a.node, DNS: "ok", Storage: "ok"}
	addresses, err := net.DefaultResolver.LookupHost(ctx, "goodrain.me")
	if err != nil {
		found.DNS = err.Error()
	}
	found.Address = addresses
	select {
	case err := <-storage:
		if err != nil {
			found.Storage = err.Error()
		}
	case <-ctx.Done():
		found.Storage = fmt.Sprintf("no answer within %s", a.patience)
	}
	return found
}

// touchStorage writes a line and reads it back, one visit at a time.
func (a *demoApp) touchStorage() error {
	a.visits.Lock()
	defer a.visits.Unlock()
	if err := os.MkdirAll(a.folder, 0o755); err != nil {
		return err
	}
	path := filepath.Join(a.folder, "visit-"+a.node)
	want := time.Now().UTC().Format(time.RFC3339Nano)
	if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
		return err
	}
	got, err := os.ReadFile(path)
	if err == nil && string(got) != want {
		err = fmt.Errorf("%s: read %q after writing %q", path, got, want)
	}
	return err
}
