//go:build linux

// Agent is rbdplay-agent with the fake modules, for tests.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/agent/internal/fakemodules"
	"github.com/rbdplay/rbdplay/engine/agent/stdio"
	"github.com/rbdplay/rbdplay/modules/sys"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
}

func run() error {
	registry, err := fakemodules.Registry()
	if err != nil {
		return err
	}
	build, err := agent.Digest("/proc/self/exe")
	if err != nil {
		return err
	}
	in, out, err := stdio.Take()
	if err != nil {
		return err
	}
	return agent.Serve(context.Background(), in, out, agent.ServeOptions{
		Registry: registry, Host: sys.NewReal(), Build: build,
		Shadow: func(under sys.Host) sys.Host { return sys.NewShadow(under) },
	})
}
