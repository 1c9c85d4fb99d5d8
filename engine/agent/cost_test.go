package agent_test

import (
	"runtime"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
)

// What a task costs on the wire must not creep up: one round trip, and few bytes
// besides what it says. The bytes are those of SSH, both ways.
func TestBytesOfATask(t *testing.T) {
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	run(t, c, task("echo", say("warm")))
	text := strings.Repeat("x", 20)
	items := make([]map[string]any, 100)
	for i := range items {
		items[i] = say(text)
	}
	for _, tt := range []struct {
		name  string
		task  agent.Task
		bytes int64
	}{
		{"one item", task("echo", say(text)), 500},
		{"a loop of 100", task("echo", items...), 32_000},
	} {
		used, turns := leastCost(t, h, c, tt.task)
		t.Logf("%s: %d bytes, %d round trips", tt.name, used, turns)
		// The loop's replies take a window adjustment or two beside them.
		if used > tt.bytes || turns > 3 {
			t.Errorf("%s: %d bytes and %d round trips, at most %d and 3 are right", tt.name, used, turns, tt.bytes)
		}
	}
}

// Tasks that are sent behind each other cost no round trip each.
func TestRoundTripsOfTasksSentAhead(t *testing.T) {
	h := newHost(t, transporttest.SSHOptions{})
	c, _ := start(t, h, agent.Options{})
	run(t, c, task("echo", say("warm")))
	before := h.Counts()
	var last *agent.Sent
	var all []*agent.Sent
	for range 36 {
		var err error
		if last, err = c.Begin(t.Context(), task("echo", say("x")), last); err != nil {
			t.Fatal(err)
		}
		all = append(all, last)
	}
	for _, sent := range all {
		if outcomes, err := sent.Wait(t.Context(), nil); err != nil || len(outcomes) != 1 {
			t.Fatal(outcomes, err)
		}
	}
	after := h.Counts()
	const most = 12_500
	used := after.In + after.Out - before.In - before.Out
	t.Logf("%d bytes, %d turns", used, after.Turns-before.Turns) // replies may come while tasks still go out
	if used > most {
		t.Errorf("%d bytes, at most %d are right", used, most)
	}
}

// leastCost runs a task some times, and takes what the cheapest took: on a loaded
// machine the adjustment of a window, or the end of the exchange before, falls into
// the time of a task that it is no part of.
func leastCost(t *testing.T, h *host, c *agent.Client, task agent.Task) (bytes, turns int64) {
	t.Helper()
	for i := range 5 {
		before := h.Counts()
		run(t, c, task)
		after := h.Counts()
		used := after.In + after.Out - before.In - before.Out
		if i == 0 || used < bytes {
			bytes, turns = used, after.Turns-before.Turns
		}
	}
	return bytes, turns
}

// An idle host costs the controller its connection and its client. This counts
// both ends, as the server is in this process too, with an end of SSH and a command
// of its own: half of it is the controller's, which is to stay below 300 KiB.
func TestMemoryOfAnIdleHost(t *testing.T) {
	const hosts, most = 16, 450 << 10
	key, file := transporttest.NewKey(t)
	s := transporttest.NewSSHServer(t, transporttest.SSHOptions{Keys: []xssh.PublicKey{key.PublicKey()}})
	address, port := s.HostPort()
	config := ssh.Config{
		Host: "node1", Address: address, Port: port, User: "tester", ConfigFile: "none", KeyFiles: []string{file},
		KnownHostsFiles: []string{s.KnownHosts()}, Environment: ssh.Environment{Home: t.TempDir()},
	}
	all := programs()
	begin := func() {
		conn, err := ssh.New(config).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		c, _, err := agent.Connect(t.Context(), conn, agent.Options{Programs: all})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		run(t, c, task("echo", say("x")))
	}
	begin() // what is held once for all
	before := inUse()
	for range hosts {
		begin()
	}
	each := (int64(inUse()) - int64(before)) / hosts
	t.Logf("%d KiB for each idle host, both ends", each>>10)
	if each > most {
		t.Errorf("%d KiB for each idle host, at most %d are right", each>>10, most>>10)
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
