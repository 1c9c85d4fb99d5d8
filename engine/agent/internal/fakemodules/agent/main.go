//go:build linux

// Agent is rbdplay-agent with the fake modules, for tests.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
	if len(os.Args) == 2 && os.Args[1] == agent.JobArgument {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		return agent.RunJob(ctx, os.Stdin, registry, sys.NewReal())
	}
	build, err := agent.Build()
	if err != nil {
		return err
	}
	in, out, err := stdio.Take()
	if err != nil {
		return err
	}
	return agent.Serve(context.Background(), in, out, agent.ServeOptions{
		Registry: registry, Host: athome{sys.NewReal()}, Build: build, Jobs: agent.Detached{Program: "/proc/self/exe"},
		Shadow: func(under sys.Host) sys.Host { return sys.NewShadow(under) },
	})
}

// athome lets the user live where the test's host has its home folder.
type athome struct{ sys.Host }

func (h athome) Users() sys.UserReader { return users{h.Host.Users()} }

type users struct{ sys.UserReader }

func (u users) UserByID(ctx context.Context, uid int) (sys.User, error) {
	user, err := u.UserReader.UserByID(ctx, uid)
	user.Home = os.Getenv("HOME")
	return user, err
}
