package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// The clock of regexp2 ends by itself, a moment after the last match.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

// lab is an inventory of hosts in memory, each with a real agent in this process,
// and all that happened to them.
type lab struct {
	t        testing.TB
	registry *modules.Registry
	inv      *inventory.Inventory

	// before is asked at each exchange; an error is the loss of the host. nil: no.
	before func(ctx context.Context, host string, task agent.Task) error
	// scripts answers an exchange in the agent's stead. nil: none.
	scripts func(host string, task agent.Task) (modules.Outcome, bool)
	// forgotten is told of hosts whose connections are given up, with mu held.
	forgotten func(host string)
	// ahead lets hosts take tasks before those in front have ended; before and
	// scripts are not asked then.
	ahead  bool
	behind int           // tasks that were sent behind others
	client *agent.Client // of the last host
	// down are hosts that cannot be reached.
	down map[string]bool

	mu       sync.Mutex
	hosts    map[string]*systest.Host
	targets  []engine.Target
	calls    []string // "host module", "host module check", in order
	tasks    []agent.Task
	now, top int // exchanges at the same time, and the most of them
	trees    []string
	events   []event.Event
}

// newLab makes the hosts that hosts names: "a,b,", or an inventory in YAML.
func newLab(t testing.TB, hosts string) *lab {
	t.Helper()
	registry, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(hosts, "\n") {
		file := filepath.Join(t.TempDir(), "inventory.yml")
		if err := os.WriteFile(file, []byte(hosts), 0o600); err != nil {
			t.Fatal(err)
		}
		hosts = file
	}
	inv, found := inventory.Load(t.Context(), []string{hosts}, inventory.Options{})
	if err := found.ErrorOrNil(); err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, registry: registry, inv: inv, hosts: map[string]*systest.Host{}, down: map[string]bool{}}
	for _, h := range append(inv.Hosts(), &inventory.Host{Name: "localhost"}) {
		l.hosts[h.Name] = newHost(t)
	}
	return l
}

// newHost makes a host on which a few commands run.
func newHost(t testing.TB) *systest.Host {
	h := systest.NewHostInMemory(t)
	for _, program := range []string{"good", "bad", "say"} {
		h.WriteFile("/usr/bin/"+program, "", 0o755)
	}
	h.State.Runs["good"] = systest.Says(0, "")
	h.State.Runs["bad"] = systest.Says(1, "")
	h.State.Runs["say yes"] = systest.Says(0, "yes\n")
	return h
}

// onDisk gives the hosts real files, each in a directory of its own, which the
// variable root names by host. What hosts in memory hold of large files ends with
// their agents.
func (l *lab) onDisk() (roots map[string]any) {
	roots = map[string]any{}
	for name := range l.hosts {
		l.hosts[name] = systest.NewHost(l.t)
		roots[name] = l.hosts[name].Root
	}
	return roots
}

// Emit implements event.Sink.
func (l *lab) Emit(e event.Event) { l.events = append(l.events, e) }

// Connect implements engine.Connector.
func (l *lab) Connect(_ context.Context, target engine.Target, contents agent.Source) (agent.Runner, engine.Stats, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.targets = append(l.targets, target)
	if l.down[target.Host] {
		return nil, engine.Stats{}, &transport.UnreachableError{Host: target.Host, Address: target.Host, Summary: "no route to host"}
	}
	host := l.hosts[target.Host]
	if host == nil {
		return nil, engine.Stats{}, fmt.Errorf("the test has no host %s", target.Host)
	}
	client, err := agent.NewLocalWith(agent.ServeOptions{
		Registry: l.registry, Host: host, Shadow: func(under sys.Host) sys.Host { return sys.NewShadow(under) }, Jobs: jobs{l, host},
	}, contents)
	if err != nil {
		return nil, engine.Stats{}, err
	}
	w := &watched{Runner: client, lab: l, host: target.Host}
	if l.client = client; l.ahead {
		return sender{client, w}, engine.Stats{}, nil
	}
	return w, engine.Stats{}, nil
}

// Shell implements engine.Connector: it says what it was given.
func (l *lab) Shell(_ context.Context, target engine.Target, text string) (engine.ShellResult, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, target.Host+" shell "+text)
	if l.down[target.Host] {
		return engine.ShellResult{}, &transport.UnreachableError{Host: target.Host, Address: target.Host, Summary: "no route to host"}
	}
	if strings.Contains(text, "exit 3") {
		return engine.ShellResult{Code: 3, Stderr: "no\n"}, nil
	}
	return engine.ShellResult{Stdout: "said\n"}, nil
}

// Forget implements engine.Connector.
func (l *lab) Forget(target engine.Target) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, target.Host+" forget")
	if l.forgotten != nil {
		l.forgotten(target.Host)
	}
}

// watched is an agent whose exchanges are counted. It takes one after another.
type watched struct {
	agent.Runner
	lab  *lab
	host string
}

// sender is a watched agent that takes tasks ahead; what it is sent is noted.
type sender struct {
	*agent.Client
	*watched
}

func (s sender) Begin(ctx context.Context, t agent.Task, behind *agent.Sent) (*agent.Sent, error) {
	s.lab.mu.Lock()
	s.lab.tasks = append(s.lab.tasks, t)
	if behind != nil {
		s.lab.behind++
	}
	s.lab.mu.Unlock()
	return s.Client.Begin(ctx, t, behind)
}

func (s sender) Run(ctx context.Context, t agent.Task, on func(agent.Event)) ([]modules.Outcome, error) {
	return s.watched.Run(ctx, t, on)
}

func (s sender) Tree(ctx context.Context, path string, check bool) (modules.TreeRef, error) {
	return s.watched.Tree(ctx, path, check)
}

func (s sender) Open(ctx context.Context, path string, check bool) (io.ReadCloser, error) {
	return s.Client.Open(ctx, path, check)
}

func (s sender) Close() error { return s.Client.Close() }

func (w *watched) Run(ctx context.Context, t agent.Task, on func(agent.Event)) ([]modules.Outcome, error) {
	call := w.host + " " + t.Module
	if t.Check {
		call += " check"
	}
	l := w.lab
	l.mu.Lock()
	l.calls, l.tasks = append(l.calls, call), append(l.tasks, t)
	l.now++
	l.top = max(l.top, l.now)
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.now--
	}()
	if l.before != nil {
		if err := l.before(ctx, w.host, t); err != nil {
			return nil, err
		}
	}
	if l.scripts != nil {
		if outcome, ok := l.scripts(w.host, t); ok {
			return []modules.Outcome{outcome}, nil
		}
	}
	return w.Runner.Run(ctx, t, on)
}

func (w *watched) Tree(ctx context.Context, path string, check bool) (modules.TreeRef, error) {
	w.lab.mu.Lock()
	w.lab.trees = append(w.lab.trees, fmt.Sprintf("%s %s %t", w.host, path, check))
	w.lab.mu.Unlock()
	return w.Runner.Tree(ctx, path, check)
}

// load reads a playbook; files are further files beside it.
func (l *lab) load(text string, files map[string]string) *play.Playbook {
	l.t.Helper()
	fsys := fstest.MapFS{"site.yml": {Data: []byte(text)}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	playbook, _, found := play.Load(l.t.Context(), play.Source{FS: fsys, Path: "site.yml"}, l.registry, play.Options{})
	if err := found.ErrorOrNil(); err != nil {
		l.t.Fatal(err)
	}
	return playbook
}

// run runs a playbook and gives its trace.
func (l *lab) run(text string, files map[string]string, change ...func(*engine.Options)) (engine.Summary, string) {
	l.t.Helper()
	return l.runContext(l.t.Context(), text, files, change...)
}

func (l *lab) runContext(ctx context.Context, text string, files map[string]string, change ...func(*engine.Options)) (engine.Summary, string) {
	l.t.Helper()
	o := engine.Options{Playbook: l.load(text, files), Inventory: l.inv, Registry: l.registry, Connector: l, Sink: l}
	for _, c := range change {
		c(&o)
	}
	l.events, l.calls, l.tasks, l.targets, l.top = nil, nil, nil, nil, 0
	summary, err := engine.Run(ctx, o)
	if err != nil {
		l.t.Fatal(err)
	}
	return summary, trace(l.events)
}

func check(o *engine.Options) { o.Check = true }

// trace tells in a line for each task how it ended where, and for each host the
// recap.
func trace(events []event.Event) string {
	var out strings.Builder
	var starts []event.TaskStart
	ends := map[int][]string{}
	for _, e := range events {
		switch e := e.(type) {
		case event.TaskStart:
			starts = append(starts, e)
		case event.TaskEnd:
			ends[e.Task] = append(ends[e.Task], e.Host+" "+endText(e))
		}
	}
	for _, s := range starts {
		kind := ""
		if s.Handler {
			kind = "handler "
		}
		slices.Sort(ends[s.ID])
		fmt.Fprintf(&out, "%s%s: %s\n", kind, s.Task, strings.Join(ends[s.ID], ", "))
	}
	if end, ok := events[len(events)-1].(event.RunEnd); ok {
		var hosts []string
		for host, t := range end.Hosts {
			hosts = append(hosts, host+totalsText(t))
		}
		slices.Sort(hosts)
		fmt.Fprintf(&out, "= %s\n", strings.Join(hosts, "; "))
	}
	return out.String()
}

func endText(e event.TaskEnd) string {
	text := string(e.Status)
	if e.Ignored {
		text += " ignored"
	}
	if e.Rescued {
		text += " rescued"
	}
	if e.Delegate != "" {
		text += " by " + e.Delegate
	}
	return text
}

func totalsText(t event.Totals) string {
	text := ""
	for _, one := range []struct {
		name string
		n    int
	}{
		{"ok", t.OK},
		{"changed", t.Changed},
		{"failed", t.Failed},
		{"unreachable", t.Unreachable},
		{"skipped", t.Skipped},
		{"deferred", t.Deferred},
		{"rescued", t.Rescued},
		{"ignored", t.Ignored},
	} {
		if one.n > 0 {
			text += fmt.Sprintf(" %s=%d", one.name, one.n)
		}
	}
	return text
}

// messages are the texts of debug and warnings, with their hosts.
func (l *lab) messages() []string {
	var texts []string
	for _, e := range l.events {
		if m, ok := e.(event.Message); ok {
			texts = append(texts, strings.TrimPrefix(m.Host+": "+m.Text, ": "))
		}
	}
	return texts
}

// end is the end of a task on a host.
func (l *lab) end(task, host string) event.TaskEnd {
	l.t.Helper()
	for _, e := range l.events {
		if e, ok := e.(event.TaskEnd); ok && e.Name == task && e.Host == host {
			return e
		}
	}
	l.t.Fatalf("the task %s did not end on %s", task, host)
	return event.TaskEnd{}
}

// compare holds a trace against the one that is wanted, both without space at
// the ends.
func compare(t *testing.T, want, got string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

var errGone = errors.New("the connection broke")

// wait waits a moment, so that others get their turn.
func wait(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Millisecond):
	}
}
