// Command rainbond plays any one component of a Rainbond 3.6 cluster in the
// lab: each container image starts it with the component's name, and on the
// nodes it is linked under the name of the program it stands in for. The
// components answer on their real ports and keep their real habits as far as
// ha-minimal can notice them; the lab's README lists what stands in.
package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// component runs until ctx ends (a clean stop, nil) or it cannot go on.
type component func(ctx context.Context, args []string) error

var components = map[string]component{
	"rbd-dns":      runDNS,
	"rbd-lb":       runLoadBalancer,
	"rbd-entrance": runEntrance,
	"rbd-db":       runDatabase,
	"rbd-api":      serveOn("rbd-api", ":8888", ":6060"),
	"rbd-chaos":    serveOn("rbd-chaos", ":3228"),
	"rbd-mq":       serveOn("rbd-mq", ":6300"),
	"rbd-webcli":   serveOn("rbd-webcli", ":7171"),
	"rbd-monitor":  serveOn("rbd-monitor", ":9999"),
	"rbd-app-ui":   serveOn("rbd-app-ui", ":7070"),
	"rbd-worker":   runWorker,
	"rbd-eventlog": runEventLog,
	"rbd-hub":      runRegistry,
	"rbd-repo":     runRepository,
	"demo-app":     runDemoApp,
	"kubelet":      runKubelet,
	"controlplane": runControlPlane,
	"grctl":        runGrctl,
	"nfs-server":   runNFSServer,
}

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "rainbond" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	log.SetPrefix(name + ": ")
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	run, ok := components[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "rainbond: no component %q; there are %s\n", name,
			strings.Join(slices.Sorted(maps.Keys(components)), ", "))
		os.Exit(64)
	}
	if err := untilSignal(run, args); err != nil {
		log.Print(err)
		os.Exit(1)
	}
}

// untilSignal runs a component; what it says after a signal is no failure.
func untilSignal(run func(context.Context, []string) error, args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, args); ctx.Err() == nil {
		return err
	}
	return nil
}

// options reads the --name=value arguments of the real components. They have
// many that mean nothing here, so unknown ones are kept and not refused.
func options(args []string) map[string]string {
	found := make(map[string]string)
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(strings.TrimSpace(arg), "-"), "=")
		found[name] = strings.Trim(value, `"`)
	}
	return found
}
