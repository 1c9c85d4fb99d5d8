//go:build linux

// Rbdplay-agent is the half of rbdplay that runs on a host. rbdplay sends it
// there, starts it over SSH and talks to it on standard input and output; it ends
// when rbdplay does. Nobody starts it by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/agent/stdio"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "rbdplay-agent:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	build, err := agent.Build()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "--version":
		_, err := fmt.Println("rbdplay-agent", build)
		return err
	case len(args) == 1 && args[0] == agent.JobArgument:
		return job()
	case len(args) > 0:
		return errors.New("takes no arguments but --version; it is started by rbdplay")
	}
	folder, err := agent.Folder()
	if err != nil {
		return err
	}
	registry, err := modules.All()
	if err != nil {
		return err
	}
	in, out, err := stdio.Take()
	if err != nil {
		return fmt.Errorf("taking over standard input and output: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return agent.Serve(ctx, in, out, agent.ServeOptions{
		Registry: registry,
		Host:     sys.NewReal(),
		Shadow:   func(under sys.Host) sys.Host { return sys.NewShadow(under) },
		Build:    build,
		Jobs:     agent.Detached{Program: "/proc/self/exe"},
		Keep:     folder,
	})
}

// job does one task with async, which an agent hands over on standard input. It
// heeds no hangup: the session that it was started in may end.
func job() error {
	registry, err := modules.All()
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return agent.RunJob(ctx, os.Stdin, registry, sys.NewReal())
}
