package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// client bounds every request a component makes: a node that is off must
// cost a moment, not a TCP timeout.
var client = &http.Client{Timeout: 2 * time.Second}

// serve answers on all addresses until ctx ends.
func serve(ctx context.Context, handler http.Handler, addresses ...string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, address := range addresses {
		server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
		group.Go(func() error {
			err := server.ListenAndServe()
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return err
		})
		group.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
	}
	return group.Wait()
}

// serveOn is a component that only says that it is there.
func serveOn(name string, addresses ...string) component {
	return func(ctx context.Context, _ []string) error {
		return serve(ctx, presence(name), addresses...)
	}
}

// presence answers every path with the component's name.
func presence(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"component": name, "status": "health"})
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Printf("answering: %v", err)
	}
}

// runRegistry is rbd-hub: the API's version check, and the files of the
// registry volume below it.
func runRegistry(ctx context.Context, _ []string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		writeJSON(w, http.StatusOK, struct{}{})
	})
	mux.Handle("GET /v2/", http.StripPrefix("/v2", http.FileServer(http.Dir("/var/lib/registry"))))
	return serve(ctx, mux, ":5000")
}

// runRepository is rbd-repo: the files of the artifactory volume.
func runRepository(ctx context.Context, _ []string) error {
	mux := http.NewServeMux()
	mux.Handle("GET /artifactory/", http.StripPrefix("/artifactory", http.FileServer(http.Dir("/var/opt/jfrog/artifactory"))))
	mux.Handle("GET /{$}", presence("rbd-repo"))
	return serve(ctx, mux, ":8081")
}

// call sends one JSON request and decodes the answer into out unless it is nil.
func call(ctx context.Context, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = strings.NewReader(string(raw))
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // read only
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s", method, url, answer.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(out)
}

// apiServer reads the server line of the kubeconfig at path.
func apiServer(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		if server, ok := strings.CutPrefix(strings.TrimSpace(line), "server:"); ok {
			return strings.TrimSpace(server), nil
		}
	}
	return "", fmt.Errorf("%s: no server line", path)
}
