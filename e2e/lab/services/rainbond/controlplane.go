package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"
)

// clusterNode is one row of grctl node list; nodes.json holds the fixed half.
type clusterNode struct {
	UID         string `json:"uid"`
	IP          string `json:"internal_ip"`
	HostName    string `json:"host_name"`
	Role        string `json:"role"`
	Mode        string `json:"mode"`
	Status      string `json:"status"`
	Alived      bool   `json:"alived"`
	Schedulable bool   `json:"schedulable"`
	Ready       bool   `json:"ready"`
}

// controlPlane stands in for etcd, the API server and rbd-node: a folder of
// keys, a health answer, and the node list.
type controlPlane struct {
	keys  string // folder: keys/<kind>/<name>.json
	nodes string // nodes.json
}

// runControlPlane serves etcd's, the API server's and rbd-node's ports.
// Options: --data=DIR, --nodes=FILE.
func runControlPlane(ctx context.Context, args []string) error {
	set := options(args)
	c := &controlPlane{keys: set["data"], nodes: set["nodes"]}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, c.etcd(), ":2379") })
	group.Go(func() error { return serve(ctx, c.apiServer(), ":6443", "127.0.0.1:8181") })
	group.Go(func() error { return serve(ctx, c.node(), ":6100") })
	return group.Wait()
}

func (c *controlPlane) etcd() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/keys/{kind}", c.list)
	mux.HandleFunc("PUT /v2/keys/{kind}/{name}", c.put)
	mux.HandleFunc("DELETE /v2/keys/{kind}/{name}", c.delete)
	return mux
}

func (c *controlPlane) path(request *http.Request) (string, error) {
	kind, name := request.PathValue("kind"), request.PathValue("name")
	if !ruleName.MatchString(kind) || name != "" && !ruleName.MatchString(name) {
		return "", fmt.Errorf("key %s/%s: want lower case letters, digits and hyphens", kind, name)
	}
	if name == "" {
		return filepath.Join(c.keys, kind), nil
	}
	return filepath.Join(c.keys, kind, name+".json"), nil
}

func (c *controlPlane) list(w http.ResponseWriter, request *http.Request) {
	dir, err := c.path(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	all := make(map[string]json.RawMessage)
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		all[name] = raw
	}
	writeJSON(w, http.StatusOK, all)
}

func (c *controlPlane) put(w http.ResponseWriter, request *http.Request) {
	path, err := c.path(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	raw, err := io.ReadAll(io.LimitReader(request.Body, 1<<16))
	if err != nil || !json.Valid(raw) {
		http.Error(w, "body is no JSON", http.StatusBadRequest)
		return
	}
	if err := replaceFile(path, raw); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (c *controlPlane) delete(w http.ResponseWriter, request *http.Request) {
	path, err := c.path(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (c *controlPlane) apiServer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.Handle("GET /{$}", presence("kube-apiserver"))
	return mux
}

func (c *controlPlane) node() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/nodes", func(w http.ResponseWriter, request *http.Request) {
		nodes, err := c.probe(request.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"list": nodes})
	})
	return mux
}

// probe fills in what a moment tells: a compute lives when its kubelet answers.
func (c *controlPlane) probe(ctx context.Context) ([]clusterNode, error) {
	raw, err := os.ReadFile(c.nodes)
	if err != nil {
		return nil, err
	}
	var nodes []clusterNode
	if err := json.Unmarshal(raw, &nodes); err != nil {
		return nil, fmt.Errorf("%s: %w", c.nodes, err)
	}
	var group errgroup.Group
	for i := range nodes {
		group.Go(func() error {
			node := &nodes[i]
			alive := node.Role == "manage" ||
				call(ctx, http.MethodGet, "http://"+node.IP+":10248/healthz", nil, nil) == nil
			node.Alived, node.Ready = alive, alive
			node.Status = map[bool]string{true: "running", false: "offline"}[alive]
			return nil
		})
	}
	return nodes, group.Wait()
}

// runGrctl is grctl: domain and node list. It prints what went wrong and
// always exits 0, as the real one does.
func runGrctl(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "domain" && args[1] == "--ip":
		grctlDomain(ctx, args[2])
	case len(args) == 2 && args[0] == "domain" && strings.HasPrefix(args[1], "--ip="):
		grctlDomain(ctx, strings.TrimPrefix(args[1], "--ip="))
	case len(args) == 2 && args[0] == "node" && args[1] == "list":
		grctlNodes(ctx)
	default:
		fmt.Println("grctl: this stand-in knows: grctl domain --ip ADDRESS, grctl node list")
	}
	return nil
}

func grctlDomain(ctx context.Context, address string) {
	out, err := exec.CommandContext(ctx, "bash", "/opt/rainbond/bin/.domain.sh", address).CombinedOutput()
	fmt.Print(string(out))
	if err != nil && len(bytes.TrimSpace(out)) == 0 {
		fmt.Println("domain change error!!!")
	}
}

func grctlNodes(ctx context.Context) {
	var answer struct {
		List []clusterNode `json:"list"`
	}
	if err := call(ctx, http.MethodGet, "http://127.0.0.1:6100/v2/nodes", nil, &answer); err != nil {
		fmt.Println(err)
		return
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "Uid\tIP\tHostName\tNodeRole\tNodeMode\tStatus\tAlived\tSchedulable\tReady")
	for _, n := range answer.List {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%t\t%t\t%t\n",
			n.UID, n.IP, n.HostName, n.Role, n.Mode, n.Status, n.Alived, n.Schedulable, n.Ready)
	}
	if err := table.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
