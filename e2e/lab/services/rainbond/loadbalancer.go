package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	openresty = "/usr/local/openresty/nginx"
	dynamics  = openresty + "/conf/dynamics"
)

// rule sends a host name to addresses; rbd-entrance pushes it as JSON.
type rule struct {
	Host      string   `json:"host"`
	Upstreams []string `json:"upstreams"` // IP:port
}

// Names and hosts go into file names and nginx configuration, so nothing but
// these letters may pass.
var (
	ruleName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	ruleHost = regexp.MustCompile(`^[a-z0-9*][a-z0-9.-]{0,252}$`)
)

func (r rule) check(name string) error {
	if !ruleName.MatchString(name) {
		return fmt.Errorf("rule name %q: want lower case letters, digits and hyphens", name)
	}
	if !ruleHost.MatchString(r.Host) {
		return fmt.Errorf("rule %s: host %q is no host name", name, r.Host)
	}
	if len(r.Upstreams) == 0 {
		return fmt.Errorf("rule %s: no upstreams", name)
	}
	for _, upstream := range r.Upstreams {
		if _, err := netip.ParseAddrPort(upstream); err != nil {
			return fmt.Errorf("rule %s: upstream: %w", name, err)
		}
	}
	return nil
}

var upstreamConf = template.Must(template.New("upstream").Parse(`upstream {{.Name}} {
{{- range .Rule.Upstreams}}
    server {{.}} max_fails=1 fail_timeout=3s;
{{- end}}
}
`))

var serverConf = template.Must(template.New("server").Parse(`server {
    listen 80;
    server_name {{.Rule.Host}};
    location / {
        proxy_pass http://{{.Name}};
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_connect_timeout 500ms;
        proxy_read_timeout 5s;
        proxy_next_upstream error timeout http_502 http_503;
    }
}
`))

var nginxConf = `user root;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log ` + openresty + `/logs/error.log;
events { worker_connections 512; }
http {
    types { text/html html; }
    default_type application/octet-stream;
    access_log ` + openresty + `/logs/access.log;
    server_names_hash_bucket_size 128;
    proxy_temp_path /run/nginx-proxy;
    client_body_temp_path /run/nginx-body;
    fastcgi_temp_path /run/nginx-fastcgi;
    uwsgi_temp_path /run/nginx-uwsgi;
    scgi_temp_path /run/nginx-scgi;
    include ` + dynamics + `/dynamic_upstreams/*.conf;
    include ` + dynamics + `/dynamic_servers/*.conf;
    server {
        listen 80 default_server;
        return 404;
    }
}
`

const nginxConfPath = "/run/nginx.conf"

// loadBalancer writes rules into a dynamics folder; reload makes them hold.
type loadBalancer struct {
	dynamics string
	reload   func(context.Context) error
	alive    atomic.Bool
}

// put writes the two files of a rule and reloads.
func (l *loadBalancer) put(ctx context.Context, name string, r rule) error {
	if err := r.check(name); err != nil {
		return err
	}
	values := struct {
		Name string
		Rule rule
	}{name, r}
	for path, body := range map[string]*template.Template{
		filepath.Join("dynamic_upstreams", name+".conf"):    upstreamConf,
		filepath.Join("dynamic_servers", name+".http.conf"): serverConf,
	} {
		var text bytes.Buffer
		if err := body.Execute(&text, values); err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(l.dynamics, path), text.Bytes()); err != nil {
			return err
		}
	}
	return l.reload(ctx)
}

// replaceFile writes path so that nginx never includes half of it.
func replaceFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// handler is port 10002: health for keepalived, rules for rbd-entrance.
func (l *loadBalancer) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		if !l.alive.Load() {
			http.Error(w, "nginx is not running", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusResetContent)
	})
	mux.HandleFunc("PUT /rules/{name}", func(w http.ResponseWriter, request *http.Request) {
		var r rule
		if err := json.NewDecoder(io.LimitReader(request.Body, 1<<16)).Decode(&r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := l.put(request.Context(), request.PathValue("name"), r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, http.StatusOK, r)
	})
	return mux
}

// runLoadBalancer is rbd-lb: real nginx over the dynamics folder, and the
// side port. It ends with nginx, so that docker restarts both.
func runLoadBalancer(ctx context.Context, _ []string) error {
	for _, dir := range []string{"dynamic_servers", "dynamic_upstreams", "dynamic_certs"} {
		if err := os.MkdirAll(filepath.Join(dynamics, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/run", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(nginxConfPath, []byte(nginxConf), 0o644); err != nil {
		return err
	}
	balancer := &loadBalancer{dynamics: dynamics, reload: reloadNginx}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return balancer.runNginx(ctx) })
	group.Go(func() error { return serve(ctx, balancer.handler(), ":10002", ":10003") })
	return group.Wait()
}

func (l *loadBalancer) runNginx(ctx context.Context) error {
	nginx := exec.CommandContext(ctx, "nginx", "-c", nginxConfPath)
	nginx.Stdout, nginx.Stderr = os.Stdout, os.Stderr
	nginx.Cancel = func() error { return nginx.Process.Signal(syscall.SIGTERM) }
	nginx.WaitDelay = 2 * time.Second
	if err := nginx.Start(); err != nil {
		return err
	}
	l.alive.Store(true)
	err := nginx.Wait()
	l.alive.Store(false)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // it was told to end
	}
	return errors.Join(errors.New("nginx ended"), err)
}

// reloadNginx tests the configuration first: a bad file someone copied must
// be heard of by the one who pushes.
func reloadNginx(ctx context.Context) error {
	for _, args := range [][]string{{"-t", "-q"}, {"-s", "reload"}} {
		out, err := exec.CommandContext(ctx, "nginx", append(args, "-c", nginxConfPath)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("nginx %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	log.Print("reloaded")
	return nil
}
