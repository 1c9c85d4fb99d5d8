package modules_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// dockerDaemon answers at docker's socket what the host's containers are. Nothing
// answers for the docker program then: that would be an unexpected call.
type dockerDaemon struct {
	h      *composeHost
	images string
	asked  []string
}

func withDaemon(h *composeHost) *dockerDaemon {
	d := &dockerDaemon{h: h, images: "[]"}
	clear(h.State.Probes)
	h.State.Probes[composeFlags+"config --hash *"] = h.config
	h.WriteFile("/var/run/pid", "1", 0o644)
	if err := h.Change().Files().Mknod(h.t.Context(), "/var/run/docker.sock", sys.FileInfo{Type: sys.Socket, Mode: 0o660}); err != nil {
		h.t.Fatal(err)
	}
	server := httptest.NewServer(d)
	h.t.Cleanup(server.Close)
	h.State.Dials["unix /var/run/docker.sock"] = func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}
	return d
}

func (d *dockerDaemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.asked = append(d.asked, r.Method+" "+r.URL.String())
	switch id, one := strings.CutPrefix(strings.TrimSuffix(r.URL.Path, "/json"), "/containers/id-"); {
	case r.URL.String() == "/containers/json?all=1":
		d.list(w)
	case r.URL.String() == "/images/json?all=1":
		_, _ = w.Write([]byte(d.images))
	case one && d.h.containers[id].status != "":
		_, _ = w.Write([]byte(d.h.inspected(id)))
	case one:
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"message":"No such container: ` + id + `"}`))
	default:
		d.h.t.Errorf("docker was asked for %s", r.URL)
	}
}

func (d *dockerDaemon) list(w http.ResponseWriter) {
	var list []any
	for name, c := range d.h.containers {
		labels := map[string]string{"com.docker.compose.project": projectOf(c)}
		if projectOf(c) == "compose" {
			labels["com.docker.compose.service"], labels["com.docker.compose.config-hash"], labels["com.docker.compose.oneoff"] = c.service, c.hash, c.oneoff
		}
		list = append(list, map[string]any{"Id": "id-" + name, "Names": []string{"/other/" + name, "/" + name}, "State": c.status, "Labels": labels})
	}
	if err := json.NewEncoder(w).Encode(list); err != nil {
		d.h.t.Error(err)
	}
}

// eachDocker tries what is asked of the docker program, and of the daemon itself.
func eachDocker(t *testing.T, do func(t *testing.T, h *composeHost)) {
	t.Run("program", func(t *testing.T) { do(t, newCompose(t)) })
	t.Run("daemon", func(t *testing.T) {
		h := newCompose(t)
		withDaemon(h)
		do(t, h)
	})
}

// With nothing to do a project costs one look at the containers; with a memory one at
// the images, and no call of compose.
func TestDockerIsAskedOnce(t *testing.T) {
	h := newCompose(t)
	d := withDaemon(h)
	h.WriteFile("/usr/bin/docker-compose", "#!/usr/bin/python3\n", 0o755)
	t.Setenv("PATH", "/usr/bin")
	wantStatus(t, run(t, h, "compose", dcCompose()), modules.OK)
	if diff := cmp.Diff([]string{"GET /containers/json?all=1"}, d.asked); diff != "" {
		t.Error(diff)
	}
	ctx := sys.WithMemory(t.Context(), &sys.Memory{})
	for range 2 {
		d.asked = nil
		if out := modules.Run(ctx, decoded(t, "compose", dcCompose()), h, modules.Emit{}); out.Status != modules.OK {
			t.Fatal(out.Status, out.Message)
		}
		if diff := cmp.Diff([]string{"GET /containers/json?all=1", "GET /images/json?all=1"}, d.asked); diff != "" {
			t.Error(diff)
		}
		delete(h.State.Probes, composeFlags+"config --hash *")
	}
}

// Whatever might lead the docker program to another daemon, it is the one that is
// asked; and so it is when the socket answers nothing, for it says why.
func TestDockerProgramIsAsked(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, h *composeHost){
		"DOCKER_HOST": func(t *testing.T, _ *composeHost) { t.Setenv("DOCKER_HOST", "tcp://10.0.0.9:2375") },
		"a context": func(t *testing.T, h *composeHost) {
			t.Setenv("HOME", "/root")
			h.WriteFile("/root/.docker/config.json", `{"currentContext": "far"}`, 0o600)
		},
		"no answer": func(_ *testing.T, h *composeHost) {
			h.State.Dials["unix /var/run/docker.sock"] = func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newCompose(t)
			d := withDaemon(h)
			spoil(t, h)
			h.State.Units["docker.service"] = sys.Unit{Load: "loaded", Active: "inactive"}
			h.State.Probes[psLine] = func(systest.Call) sys.Result {
				return sys.Result{Code: 1, Stderr: []byte("Cannot connect to the Docker daemon")}
			}
			wantFailure(t, run(t, h, "compose", dcCompose()), "docker is not running on this host")
			if len(d.asked) > 0 {
				t.Errorf("asked %v", d.asked)
			}
		})
	}
}

// What the daemon refuses, or says that cannot be read, is no absence.
func TestDockerRefuses(t *testing.T) {
	for answer, want := range map[string]string{
		`{"message":"the disk is gone"}`: "docker: the disk is gone",
		`no JSON`:                        "docker: it answers 500",
	} {
		h := newCompose(t)
		withDaemon(h)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write([]byte(answer))
		}))
		t.Cleanup(server.Close)
		h.State.Dials["unix /var/run/docker.sock"] = func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
		}
		wantFailure(t, run(t, h, "compose", dcCompose()), want)
	}
	h := newCompose(t)
	d := withDaemon(h)
	d.images = "[truncated"
	h.WriteFile("/usr/bin/docker-compose", "#!/usr/bin/python3\n", 0o755)
	t.Setenv("PATH", "/usr/bin")
	ctx := sys.WithMemory(t.Context(), &sys.Memory{})
	// Without the images nothing is remembered: compose itself is asked.
	if out := modules.Run(ctx, decoded(t, "compose", dcCompose()), h, modules.Emit{}); out.Status != modules.OK {
		t.Error(out.Status, out.Message)
	}
}
