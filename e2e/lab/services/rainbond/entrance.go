package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// entrance pushes rules to load balancers. Like the real one it pushes a key
// once, when it is new, and remembers that in etcd: a restart or another URL
// refills nobody.
type entrance struct {
	etcd string   // base URL
	urls []string // load balancers, from --plugin-opts=urls=A-B
}

// pluginURLs splits --plugin-opts=urls=A-B on the hyphen, as the real one
// does, so a host name with a hyphen breaks here as it would there.
func pluginURLs(options string) ([]string, error) {
	list, ok := strings.CutPrefix(options, "urls=")
	if !ok || list == "" {
		return nil, fmt.Errorf("--plugin-opts=%q: want urls=URL-URL", options)
	}
	urls := strings.Split(list, "-")
	for i, url := range urls {
		if !strings.HasPrefix(url, "http://") {
			return nil, fmt.Errorf("--plugin-opts: %q is no http URL", url)
		}
		urls[i] = strings.TrimRight(url, "/")
	}
	return urls, nil
}

func runEntrance(ctx context.Context, args []string) error {
	set := options(args)
	urls, err := pluginURLs(set["plugin-opts"])
	if err != nil {
		return err
	}
	e := &entrance{etcd: set["etcd-endpoints"], urls: urls}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, presence("rbd-entrance"), ":6200") })
	group.Go(func() error { return e.watch(ctx, 500*time.Millisecond) })
	return group.Wait()
}

func (e *entrance) watch(ctx context.Context, every time.Duration) error {
	for {
		if err := e.sync(ctx); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

// sync pushes every rule that has not been pushed to all load balancers.
// A key counts as pushed only when all of them took it.
func (e *entrance) sync(ctx context.Context) error {
	rules, pushed := map[string]rule{}, map[string]rule{}
	if err := call(ctx, http.MethodGet, e.etcd+"/v2/keys/rules", nil, &rules); err != nil {
		return err
	}
	if err := call(ctx, http.MethodGet, e.etcd+"/v2/keys/pushed", nil, &pushed); err != nil {
		return err
	}
	for name, r := range rules {
		if _, known := pushed[name]; known {
			continue
		}
		for _, url := range e.urls {
			if err := call(ctx, http.MethodPut, url+"/rules/"+name, r, nil); err != nil {
				return fmt.Errorf("rule %s: %w", name, err)
			}
		}
		if err := call(ctx, http.MethodPut, e.etcd+"/v2/keys/pushed/"+name, r, nil); err != nil {
			return err
		}
		log.Printf("pushed %s to %s", name, strings.Join(e.urls, ", "))
	}
	return nil
}
