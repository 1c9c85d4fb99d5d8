package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const demoContainer = "k8s_demo-app"

// runKubelet stands in for kubelet: it keeps one demo app container running
// whose resolvers are those of --cluster-dns (a comma list).
func runKubelet(ctx context.Context, args []string) error {
	set := options(args)
	pod := pod{node: set["node-name"], dns: set["cluster-dns"], port: set["app-port"], image: set["app-image"]}
	group, ctx := errgroup.WithContext(ctx)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	group.Go(func() error { return serve(ctx, mux, ":10248", ":10250") })
	group.Go(func() error { return pod.keep(ctx, 2*time.Second) })
	return group.Wait()
}

// pod is the demo app as it should run on this node.
type pod struct {
	node, dns, port, image string
}

// keep starts the pod whenever it does not run; the first round also replaces
// one that was made with other values.
func (p pod) keep(ctx context.Context, every time.Duration) error {
	for {
		if err := p.sync(ctx); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (p pod) sync(ctx context.Context) error {
	state, err := docker(ctx, "inspect", "-f", `{{.State.Running}} {{index .Config.Labels "lab.spec"}}`, demoContainer)
	if err != nil && !strings.Contains(err.Error(), "No such object") {
		return err
	}
	running, spec, _ := strings.Cut(state, " ")
	switch {
	case err == nil && spec == p.spec() && running == "true":
		return nil
	case err == nil && spec == p.spec():
		_, err := docker(ctx, "start", demoContainer)
		return err
	case err == nil:
		if _, err := docker(ctx, "rm", "-f", demoContainer); err != nil {
			return err
		}
	}
	log.Printf("starting the app with resolvers %s", p.dns)
	_, err = docker(ctx, p.runArguments()...)
	return err
}

// spec is what makes a running container the wanted one.
func (p pod) spec() string { return p.image + "|" + p.dns + "|" + p.port }

func (p pod) runArguments() []string {
	args := []string{
		"run", "-d", "--name", demoContainer, "--label", "lab.spec=" + p.spec(),
		"-e", "NODE=" + p.node, "-p", p.port + ":8080", "-v", "/grdata:/grdata",
	}
	for server := range strings.SplitSeq(p.dns, ",") {
		args = append(args, "--dns", strings.TrimSpace(server))
	}
	return append(args, "--dns-opt", "timeout:1", "--dns-opt", "attempts:1", p.image)
}

func docker(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var stderr bytes.Buffer
	command := exec.CommandContext(ctx, "docker", args...)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
