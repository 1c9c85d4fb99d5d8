package modules_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// decoded decodes the arguments of a module, which must fit.
func decoded(t *testing.T, name string, args map[string]any) modules.Module {
	t.Helper()
	spec, ok := registry(t).Find(name)
	if !ok {
		t.Fatalf("there is no module %s", name)
	}
	m, problems := spec.Decode(args, nil)
	if len(problems) > 0 {
		t.Fatalf("%s: %v", name, problems)
	}
	return m
}

// refused gives the first problem of arguments that must not fit.
func refused(t *testing.T, name string, args map[string]any) string {
	t.Helper()
	spec, ok := registry(t).Find(name)
	if !ok {
		t.Fatalf("there is no module %s", name)
	}
	_, problems := spec.Decode(args, nil)
	if len(problems) == 0 {
		t.Fatalf("%s: %v was taken", name, args)
	}
	return problems[0].Summary
}

// run runs a module on the host alone.
func run(t *testing.T, host sys.Host, name string, args map[string]any) modules.Outcome {
	t.Helper()
	return modules.Run(t.Context(), decoded(t, name, args), host, modules.Emit{})
}

// predicted runs a module on a shadow and on the host, which must agree.
func predicted(t *testing.T, host *systest.Host, name string, args map[string]any) modules.Outcome {
	t.Helper()
	return modulestest.Predicted(t, decoded(t, name, args), host, "/")
}

// shown writes changes one a line.
func shown(changes []change.Change) string {
	var out strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&out, "%s %s %s: %s -> %s\n", c.Action, c.Target, c.Field, c.Before, c.After)
	}
	return out.String()
}

func wantChanges(t *testing.T, out modules.Outcome, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.TrimSpace(shown(out.Changes))); diff != "" {
		t.Errorf("changes (-want +got):\n%s\n%s %s", diff, out.Status, out.Message)
	}
}

func wantFailure(t *testing.T, out modules.Outcome, text string) {
	t.Helper()
	if out.Status != modules.Failed || !strings.Contains(out.Message, text) {
		t.Errorf("ended %s %q, want a failure with %q", out.Status, out.Message, text)
	}
}

func wantStatus(t *testing.T, out modules.Outcome, status modules.Status) {
	t.Helper()
	if out.Status != status {
		t.Errorf("ended %s %q, want %s", out.Status, out.Message, status)
	}
}

func TestCommandReports(t *testing.T) {
	host := systest.NewHostInMemory(t)
	began := time.Date(2018, 6, 1, 9, 0, 0, 0, time.UTC)
	host.State.Runs["sed -n p"] = func(c systest.Call) sys.Result {
		return sys.Result{Stdout: []byte(c.Stdin + "two\r\n\n"), Stderr: []byte("\xffwarn\n"), Start: began, End: began.Add(61*time.Second + 5*time.Microsecond)}
	}
	out := run(t, host, "command", map[string]any{"cmd": "sed -n 'p'", "stdin": "one", "chdir": "/srv"})
	wantStatus(t, out, modules.Changed)
	wantChanges(t, out, "run command sed -n p : (absent) -> (absent)")
	want := modules.Result{
		"cmd": []string{"sed", "-n", "p"}, "rc": 0, "stdout": "one\ntwo", "stderr": "\ufffdwarn",
		"stdout_lines": []string{"one", "two"}, "stderr_lines": []string{"\ufffdwarn"},
		"start": "2018-06-01 09:00:00.000000", "end": "2018-06-01 09:01:01.000005", "delta": "0:01:01.000005", "msg": "",
	}
	if diff := cmp.Diff(want, out.Result); diff != "" {
		t.Error(diff)
	}
	if call := host.Calls()[0]; call.Dir != "/srv" || call.Probe {
		t.Errorf("ran as %+v", call)
	}
}

func TestCommandFailsWithItsResult(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.State.Runs["/bin/bash -c exit 3"] = systest.Says(3, "partly\n")
	out := run(t, host, "shell", map[string]any{"cmd": "exit 3", "executable": "/bin/bash"})
	wantFailure(t, out, "non-zero return code")
	if out.Result["rc"] != 3 || out.Result["stdout"] != "partly" || out.Result["msg"] != "non-zero return code" {
		t.Errorf("result %v", out.Result)
	}
}

func TestCommandOnlyWhenNeeded(t *testing.T) {
	host := systest.NewHostInMemory(t)
	host.WriteFile("/etc/app/one.conf", "", 0o644)
	host.WriteFile("/etc/.hidden", "", 0o644)
	host.State.Runs["touch x"] = systest.Says(0, "")
	tests := []struct {
		args map[string]any
		runs bool
	}{
		{map[string]any{"creates": "/etc/app/one.conf"}, false},
		{map[string]any{"creates": "/etc/app/*.conf"}, false},
		{map[string]any{"creates": "/etc/*/one.*"}, false},
		{map[string]any{"creates": "app/one.conf", "chdir": "/etc"}, false},
		{map[string]any{"creates": "/etc/*hidden"}, true},
		{map[string]any{"creates": "/etc/app/one.conf/below"}, true},
		{map[string]any{"creates": "/nowhere/*"}, true},
		{map[string]any{"removes": "/etc/app/*.conf"}, true},
		{map[string]any{"removes": "/etc/app/*.txt"}, false},
	}
	for _, test := range tests {
		test.args["argv"] = []any{"touch", "x"}
		out := run(t, host, "command", test.args)
		if ran := out.Status == modules.Changed; ran != test.runs {
			t.Errorf("%v: ended %s %s", test.args, out.Status, out.Message)
		}
		if !test.runs && (out.Status != modules.OK || !strings.HasPrefix(out.Result["stdout"].(string), "skipped, since ")) {
			t.Errorf("%v: ended %s %s", test.args, out.Status, out.Message)
		}
	}
}

func TestCommandIsNotRunInCheckMode(t *testing.T) {
	host := systest.NewHostInMemory(t) // fails on any command
	out := run(t, sys.NewShadow(host), "shell", map[string]any{"cmd": "rm -rf /srv"})
	wantStatus(t, out, modules.Changed)
	if _, known := out.Result["rc"]; known || out.Unknown == "" {
		t.Errorf("result %v, unknown %q", out.Result, out.Unknown)
	}
}

func TestCommandRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"needs cmd":              {},
		"and not both":           {"cmd": "ls", "argv": []any{"ls"}},
		"not closed":             {"cmd": "echo 'a"},
		"no command":             {"cmd": "   "},
		"wants an absolute path": {"cmd": "ls", "chdir": "tmp"},
		"give chdir":             {"cmd": "ls", "creates": "x"},
		"valid pattern":          {"cmd": "ls", "removes": "/[a"},
	} {
		if got := refused(t, "command", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}

func TestWaitForFile(t *testing.T) {
	host := systest.NewHostInMemory(t)
	args := map[string]any{"path": "/run/ready", "search_regex": `state=(?P<state>\w+)`}
	wantStatus(t, run(t, sys.NewShadow(host), "wait_for", args), modules.Deferred)
	waits := 0
	host.State.Pause = func(d time.Duration) {
		waits++
		if d != time.Second {
			t.Errorf("waits %s", d)
		}
		host.WriteFile("/run/ready", strings.Repeat("state=up\n", waits-1), 0o644)
	}
	out := run(t, host, "wait_for", args)
	wantStatus(t, out, modules.OK)
	if waits != 2 {
		t.Errorf("waited %d times", waits)
	}
	if diff := cmp.Diff(map[string]any{"state": "up"}, out.Result["match_groupdict"]); diff != "" {
		t.Error(diff)
	}
	wantStatus(t, run(t, sys.NewShadow(host), "wait_for", args), modules.OK)
	host.State.Pause = func(time.Duration) {}
	wantFailure(t, run(t, host, "wait_for", map[string]any{"path": "/run/ready", "state": "absent", "timeout": 0}), "still there")
	wantFailure(t, run(t, host, "wait_for", map[string]any{"path": "/run/no", "timeout": 0, "msg": "not today"}), "not today")
}

func TestWaitForPort(t *testing.T) {
	host := systest.NewHostInMemory(t)
	refusing := func(context.Context) (net.Conn, error) { return nil, &net.OpError{Op: "dial", Err: net.ErrClosed} }
	speaking := func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			far.Write([]byte("220 mail\r\n"))
			far.Close()
		}()
		return near, nil
	}
	host.State.Dials["tcp 127.0.0.1:25"] = refusing
	host.State.Pause = func(time.Duration) { host.State.Dials["tcp 127.0.0.1:25"] = speaking }
	wantStatus(t, run(t, host, "wait_for", map[string]any{"port": 25, "search_regex": "^220 mail"}), modules.OK)
	host.State.Pause = func(time.Duration) { host.State.Dials["tcp 127.0.0.1:25"] = refusing }
	wantStatus(t, run(t, host, "wait_for", map[string]any{"port": 25, "state": "stopped"}), modules.OK)
	host.State.Pause = func(time.Duration) {}
	wantFailure(t, run(t, host, "wait_for", map[string]any{"port": 25, "timeout": 0}), "127.0.0.1:25 is not started")
}

func TestWaitForIsCancelled(t *testing.T) {
	host := systest.NewHostInMemory(t)
	ctx, cancel := context.WithCancel(t.Context())
	host.State.Pause = func(time.Duration) { cancel() }
	out := modules.Run(ctx, decoded(t, "wait_for", map[string]any{"path": "/run/no"}), host, modules.Emit{})
	wantFailure(t, out, "context canceled")
}

// served lets a host reach a real server on the loopback.
func served(t *testing.T, handler http.HandlerFunc) (*systest.Host, string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	host := systest.NewHostInMemory(t)
	address := strings.TrimPrefix(server.URL, "http://")
	host.State.Dials["tcp 10.0.0.1:80"] = func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", address)
	}
	return host, "http://app.example.org/"
}

func TestUriReads(t *testing.T) {
	host, url := served(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ops" || password != "geheim" || r.Host != "app.example.org" || r.Header.Get("X-A") != "b" {
			t.Errorf("asked with %v for %s", r.Header, r.Host)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(http.StatusNoContent)
	})
	args := map[string]any{"url": url, "resolve": "10.0.0.1", "status_code": []any{204, 205}, "user": "ops", "password": "geheim", "headers": map[string]any{"X-A": "b"}}
	for name, where := range map[string]sys.Host{"host": host, "shadow": sys.NewShadow(host)} {
		out := run(t, where, "uri", args)
		if out.Status != modules.OK || out.Result["status"] != 204 || out.Result["content_type"] != "application/json; charset=utf-8" {
			t.Errorf("%s: %s %s %v", name, out.Status, out.Message, out.Result)
		}
	}
}

func TestUriJSONAndFailure(t *testing.T) {
	host, url := served(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/json", http.StatusFound)
		case "/json":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"a": [1, "x"]}`)
		default:
			http.Error(w, "down", http.StatusServiceUnavailable)
		}
	})
	base := map[string]any{"resolve": "10.0.0.1", "return_content": true}
	ask := func(path string, more map[string]any) modules.Outcome {
		args := map[string]any{"url": url + path}
		for _, m := range []map[string]any{base, more} {
			for k, v := range m {
				args[k] = v
			}
		}
		return run(t, host, "uri", args)
	}
	out := ask("moved", nil)
	wantStatus(t, out, modules.OK)
	if diff := cmp.Diff(map[string]any{"a": []any{1.0, "x"}}, out.Result["json"]); diff != "" || out.Result["redirected"] != true || out.Result["url"] != url+"json" {
		t.Errorf("%v %s", out.Result, diff)
	}
	wantStatus(t, ask("moved", map[string]any{"follow_redirects": "none", "status_code": 302}), modules.OK)
	out = ask("no", nil)
	wantFailure(t, out, "Status code was 503 and not [200]")
	if out.Result["status"] != 503 || out.Result["content"] != "down\n" {
		t.Errorf("result %v", out.Result)
	}
	host.State.Dials["tcp 10.0.0.1:80"] = func(context.Context) (net.Conn, error) { return nil, net.ErrClosed }
	out = ask("json", nil)
	wantFailure(t, out, "Status code was -1")
	if out.Result["status"] != -1 {
		t.Errorf("result %v", out.Result)
	}
}

func TestUriDoesNotSendInCheckMode(t *testing.T) {
	posts := 0
	host, url := served(t, func(w http.ResponseWriter, r *http.Request) {
		posts++
		if err := r.ParseForm(); err != nil || r.PostForm.Encode() != "a=1&b=x&b=y" {
			t.Errorf("form %v %v", r.PostForm, err)
		}
		w.WriteHeader(http.StatusCreated)
	})
	args := map[string]any{
		"url": url, "resolve": "10.0.0.1", "method": "POST", "status_code": 201, "body_format": "form-urlencoded",
		"body": map[string]any{"a": 1, "b": []any{"x", "y"}},
	}
	out := run(t, sys.NewShadow(host), "uri", args)
	if out.Status != modules.Changed || out.Unknown == "" || posts != 0 {
		t.Errorf("%s %s, unknown %q, %d sent", out.Status, out.Message, out.Unknown, posts)
	}
	out = run(t, host, "uri", args)
	if out.Status != modules.Changed || posts != 1 || out.Result["status"] != 201 {
		t.Errorf("%s %s, %d sent", out.Status, out.Message, posts)
	}
	wantChanges(t, out, "run http://app.example.org/ POST: (absent) -> (absent)")
}

func TestUriIsDeferredAfterARestart(t *testing.T) {
	host, url := served(t, func(http.ResponseWriter, *http.Request) {})
	host.State.Units["app.service"] = sys.Unit{Load: "loaded", Active: "active", Sub: "running", File: "enabled"}
	shadow := sys.NewShadow(host)
	wantStatus(t, run(t, shadow, "systemd", map[string]any{"name": "app", "state": "restarted"}), modules.Changed)
	wantStatus(t, run(t, shadow, "uri", map[string]any{"url": url, "resolve": "10.0.0.1"}), modules.Deferred)
}

func TestUriRefuses(t *testing.T) {
	for want, args := range map[string]map[string]any{
		"no http":       {"url": "ftp://x/"},
		"in capitals":   {"url": "http://x/", "method": "get"},
		"no IP address": {"url": "http://x/", "resolve": "vip"},
		"body_format":   {"url": "http://x/", "body": map[string]any{"a": 1}},
	} {
		if got := refused(t, "uri", args); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}

func TestPing(t *testing.T) {
	host := systest.NewHostInMemory(t)
	if out := predicted(t, host, "ping", nil); out.Result["ping"] != "pong" {
		t.Errorf("result %v", out.Result)
	}
	wantFailure(t, run(t, host, "ping", map[string]any{"data": "crash"}), "boom")
}

func TestProgramThatIsNotThereIsNoChange(t *testing.T) {
	out := modules.Run(t.Context(), decoded(t, "command", map[string]any{"argv": []any{"/no/such/program", "a b"}}), sys.NewReal(), modules.Emit{})
	wantStatus(t, out, modules.Failed)
	if !out.Idle || out.Result["rc"] != 2 || out.Result["cmd"] != "/no/such/program 'a b'" {
		t.Errorf("got %+v", out)
	}
}
