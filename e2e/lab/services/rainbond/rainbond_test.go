package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// query builds a DNS question the way a resolver does.
func query(name string, kind uint16) []byte {
	out := []byte{0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(name, ".") {
		out = append(append(out, byte(len(label))), label...)
	}
	out = append(out, 0)
	out = binary.BigEndian.AppendUint16(out, kind)
	return binary.BigEndian.AppendUint16(out, classIN)
}

// FuzzParseQuestion holds that no message panics the answerer, and that what
// it answers is an answer to that very question.
func FuzzParseQuestion(f *testing.F) {
	f.Add(query("goodrain.me", typeA))
	f.Add(query("a.b.goodrain.me", typeAAAA))
	f.Add([]byte{})
	f.Add([]byte{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1})
	f.Add(bytes.Repeat([]byte{63}, 400))
	recoders, err := parseRecoders("goodrain.me=10.77.0.1,*.goodrain.me=10.77.0.2")
	if err != nil {
		f.Fatal(err)
	}
	r := &resolver{recoders: recoders, public: filepath.Join(f.TempDir(), "none")}
	r.ready.Store(true)
	f.Fuzz(func(t *testing.T, message []byte) {
		reply := r.answer(message)
		q, err := parseQuestion(message)
		if (err == nil) != (reply != nil) {
			t.Fatalf("parse error %v, reply of %d bytes", err, len(reply))
		}
		if err != nil {
			return
		}
		if !bytes.Equal(reply[:2], message[:2]) || reply[2]&0x80 == 0 || !bytes.HasPrefix(reply[headerLength:], q.raw) {
			t.Fatalf("reply %x is none to %x", reply, message)
		}
	})
}

func TestResolverAnswers(t *testing.T) {
	public := filepath.Join(t.TempDir(), "public-dns")
	if err := os.WriteFile(public, []byte("*.a1b2.grapps.cn=10.77.0.100\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	recoders, err := parseRecoders("goodrain.me=10.77.0.1,lang.goodrain.me=10.77.0.3,*.goodrain.me=10.77.0.2")
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{recoders: recoders, public: public}
	if rcode := r.answer(query("goodrain.me", typeA))[3] & 0xf; rcode != rcodeServFail {
		t.Errorf("before it is ready: rcode %d, want SERVFAIL", rcode)
	}
	r.ready.Store(true)
	for _, test := range []struct {
		name  string
		kind  uint16
		rcode byte
		want  string
	}{
		{"goodrain.me", typeA, rcodeOK, "10.77.0.1"},
		{"GoodRain.me", typeA, rcodeOK, "10.77.0.1"},
		{"lang.goodrain.me", typeA, rcodeOK, "10.77.0.3"},
		{"deep.lang.goodrain.me", typeA, rcodeOK, "10.77.0.2"},
		{"x.goodrain.me", typeA, rcodeOK, "10.77.0.2"},
		{"goodrain.me", typeAAAA, rcodeOK, ""},
		{"app.a1b2.grapps.cn", typeA, rcodeOK, "10.77.0.100"},
		{"elsewhere.example", typeA, rcodeServFail, ""},
		{"me", typeA, rcodeServFail, ""},
	} {
		reply := r.answer(query(test.name, test.kind))
		got := ""
		if binary.BigEndian.Uint16(reply[6:]) == 1 {
			got = netip.AddrFrom4([4]byte(reply[len(reply)-4:])).String()
		}
		if reply[3]&0xf != test.rcode || got != test.want {
			t.Errorf("%s type %d: rcode %d, address %q; want %d, %q", test.name, test.kind, reply[3]&0xf, got, test.rcode, test.want)
		}
	}
}

func TestParseRecodersRefuses(t *testing.T) {
	for _, list := range []string{"goodrain.me", "=10.0.0.1", "a=b", "a=::1", "a=10.0.0.1,b"} {
		if got, err := parseRecoders(list); err == nil {
			t.Errorf("%q gave %v, want an error", list, got)
		}
	}
}

func TestResolverGivesUpWithoutAPIServer(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	r := &resolver{}
	if err := r.waitForAPIServer(t.Context(), gone.URL, time.Millisecond); err == nil || r.ready.Load() {
		t.Errorf("got %v, ready %t; want an error", err, r.ready.Load())
	}
}

func TestPluginURLs(t *testing.T) {
	for options, want := range map[string][]string{
		"urls=http://127.0.0.1:10002":                    {"http://127.0.0.1:10002"},
		"urls=http://10.0.0.1:10002-http://10.0.0.2:102": {"http://10.0.0.1:10002", "http://10.0.0.2:102"},
		"urls=http://compute-01:10002":                   nil, // the hyphen splits it, as in the real one
		"urls=":                                          nil,
		"http://127.0.0.1:10002":                         nil,
	} {
		got, err := pluginURLs(options)
		if (err == nil) != (want != nil) {
			t.Errorf("%s: %v", options, err)
		}
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", options, diff)
		}
	}
}

func TestOptions(t *testing.T) {
	got := options([]string{"--a=1", "--mysql=\"w:p@tcp(x)/y\"", "--flag", "--retention=7d "})
	want := map[string]string{"a": "1", "mysql": "w:p@tcp(x)/y", "flag": "", "retention": "7d"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// fakeBalancer counts what is pushed to it, and refuses while broken is set.
type fakeBalancer struct {
	pushed []string
	broken bool
}

func (f *fakeBalancer) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if f.broken || request.Method != http.MethodPut {
		http.Error(w, "no", http.StatusInternalServerError)
		return
	}
	f.pushed = append(f.pushed, request.URL.Path)
}

func startServer(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		client.CloseIdleConnections()
		server.Close()
	})
	return server.URL
}

func TestEntrancePushesNewKeysOnly(t *testing.T) {
	etcd := startServer(t, (&controlPlane{keys: t.TempDir()}).etcd())
	one, two, late := &fakeBalancer{}, &fakeBalancer{broken: true}, &fakeBalancer{}
	e := &entrance{etcd: etcd, urls: []string{startServer(t, one), startServer(t, two)}}
	demo := rule{Host: "demo.example", Upstreams: []string{"10.0.0.1:80"}}
	if err := call(t.Context(), http.MethodPut, etcd+"/v2/keys/rules/demo", demo, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.sync(t.Context()); err == nil {
		t.Error("a broken load balancer went unnoticed")
	}
	two.broken = false
	for range 3 {
		if err := e.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"/rules/demo"}, two.pushed); diff != "" {
		t.Errorf("second balancer (-want +got):\n%s", diff)
	}
	if got := len(one.pushed); got != 2 {
		t.Errorf("the first balancer got %d pushes, want 2: one of the failed try", got)
	}
	restarted := &entrance{etcd: etcd, urls: []string{startServer(t, late)}}
	if err := restarted.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if late.pushed != nil {
		t.Errorf("a new balancer was refilled with %v; the real entrance does not", late.pushed)
	}
}

func TestLoadBalancerWritesRules(t *testing.T) {
	reloads := 0
	l := &loadBalancer{dynamics: t.TempDir(), reload: func(context.Context) error { reloads++; return nil }}
	url := startServer(t, l.handler())
	put := func(name string, r rule) error {
		return call(t.Context(), http.MethodPut, url+"/rules/"+name, r, nil)
	}
	good := rule{Host: "demo.example", Upstreams: []string{"10.0.0.1:80", "10.0.0.2:80"}}
	if err := put("demo", good); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]rule{
		"demo":    {Host: "a;b", Upstreams: good.Upstreams},
		"..%2Fup": good,
		"none":    {Host: "demo.example"},
		"name":    {Host: "demo.example", Upstreams: []string{"host:80"}},
	} {
		if err := put(name, bad); err == nil {
			t.Errorf("rule %s %+v was taken", name, bad)
		}
	}
	upstream, err := os.ReadFile(filepath.Join(l.dynamics, "dynamic_upstreams/demo.conf"))
	if err != nil {
		t.Fatal(err)
	}
	want := "upstream demo {\n    server 10.0.0.1:80 max_fails=1 fail_timeout=3s;\n    server 10.0.0.2:80 max_fails=1 fail_timeout=3s;\n}\n"
	if diff := cmp.Diff(want, string(upstream)); diff != "" {
		t.Errorf("upstream (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(l.dynamics, "dynamic_servers/demo.http.conf")); err != nil || reloads != 1 {
		t.Errorf("server file: %v; %d reloads, want 1", err, reloads)
	}
}

func TestHealthIsNginxsHealth(t *testing.T) {
	l := &loadBalancer{}
	for alive, want := range map[bool]int{true: http.StatusResetContent, false: http.StatusServiceUnavailable} {
		l.alive.Store(alive)
		answer := httptest.NewRecorder()
		l.handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/health", nil))
		if answer.Code != want {
			t.Errorf("alive %t: %d, want %d", alive, answer.Code, want)
		}
	}
}

func TestNodeListTellsWhoIsThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "nodes.json")
	raw := `[{"uid": "a", "internal_ip": "127.0.0.1", "host_name": "m", "role": "manage", "schedulable": false},
		{"uid": "b", "internal_ip": "", "host_name": "c", "role": "compute", "schedulable": true}]`
	if err := os.WriteFile(path, []byte(raw), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no node is asked in earnest: a cancelled request is "not there"
	nodes, err := (&controlPlane{nodes: path}).probe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !nodes[0].Ready || nodes[1].Ready || nodes[1].Status != "offline" {
		t.Errorf("nodes: %+v", nodes)
	}
}

func TestJournalCountsOn(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		if err := writeEntry(dir); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := lastNumber(filepath.Join(dir, "journal")); got != 3 || err != nil {
		t.Errorf("last number %d, %v; want 3", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal"), []byte("torn"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeEntry(dir); err == nil {
		t.Error("a torn journal went unnoticed")
	}
}

func TestPodArguments(t *testing.T) {
	got := strings.Join(pod{node: "compute01", dns: "10.0.0.1, 10.0.0.2", port: "31080", image: "demo:1"}.runArguments(), " ")
	for _, want := range []string{"--dns 10.0.0.1 --dns 10.0.0.2", "-p 31080:8080", "-v /grdata:/grdata", "NODE=compute01"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s: no %q", got, want)
		}
	}
}

func TestDemoAppSaysWhatFails(t *testing.T) {
	// A file where the folder should be is storage that fails at once.
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	app := &demoApp{node: "n", folder: filepath.Join(blocked, "demo"), patience: 50 * time.Millisecond}
	for path, want := range map[string]int{"/": 200, "/live": 200, "/strict": 503} {
		answer := httptest.NewRecorder()
		app.handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		if answer.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, answer.Code, want, answer.Body)
		}
		var found report
		if err := json.Unmarshal(answer.Body.Bytes(), &found); err != nil || found.Node != "n" {
			t.Errorf("%s: %v: %s", path, err, answer.Body)
		}
	}
	if err := (&demoApp{node: "n", folder: t.TempDir()}).touchStorage(); err != nil {
		t.Errorf("good storage: %v", err)
	}
}

func TestAPIServerLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, []byte("clusters:\n- cluster:\n    server: http://10.0.0.1:6443\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := apiServer(path); got != "http://10.0.0.1:6443" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := apiServer(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for no file", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return serve(ctx, presence("x"), "127.0.0.1:0", "127.0.0.1:0") })
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	recorder := httptest.NewRecorder()
	presence("x").ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	if body, err := io.ReadAll(recorder.Body); err != nil || !strings.Contains(string(body), `"component":"x"`) {
		t.Errorf("body %s, %v", body, err)
	}
}
