package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// dialTrips are the round trips that it takes to reach a cached agent: TCP, the
// banners, the key exchange, the service, the key, the channel, the command. That
// and one for each task that waits for the one before is the floor.
const dialTrips = 7

func floor(tasks int, roundTrip time.Duration) time.Duration {
	return time.Duration(dialTrips+tasks) * roundTrip
}

func firstContact(ctx context.Context, s *site, o options) (section, error) {
	inventory, err := s.inventory(3, 0)
	if err != nil {
		return section{}, err
	}
	playbook, err := s.ping()
	if err != nil {
		return section{}, err
	}
	all, err := trial{
		condition: "0 ms", playbook: playbook, inventory: inventory, engines: s.peers, repeat: runs(o, 7, 3),
		before: func(ctx context.Context) error {
			if err := s.forgetConnections(ctx); err != nil {
				return err
			}
			return s.onAll(ctx, "rm -rf /root/.cache/rbdplay /root/.ansible")
		},
	}.measure(ctx)
	return section{Figures: all, Note: "One task on three hosts that have nothing of ours; rbdplay sends its agent to each."}, err
}

// ping is a playbook that only reaches the hosts.
func (s *site) ping() (string, error) {
	return s.playbook("ping", "- hosts: all\n  gather_facts: false\n  tasks: [{ping: {}}]\n")
}

// forgetConnections ends the connections that ansible keeps.
func (s *site) forgetConnections(ctx context.Context) error {
	return s.onAll(ctx, `for p in $(pgrep -x sshd); do case "$(tr '\0' ' ' </proc/$p/cmdline)" in *root@notty*) kill $p ;; esac; done; true`)
}

func loop100(ctx context.Context, s *site, o options) (section, error) {
	inventory, err := s.inventory(3, 0)
	if err != nil {
		return section{}, err
	}
	playbook, err := s.playbook("loop", `- hosts: all
  gather_facts: false
  tasks:
    - lineinfile: {path: /root/bench/loop.conf, line: "option{{ item }} = {{ item }}", create: true}
      loop: "{{ range(100) | list }}"
`)
	if err != nil {
		return section{}, err
	}
	ping, err := s.ping()
	if err != nil {
		return section{}, err
	}
	all, err := trial{
		condition: "0 ms", playbook: playbook, inventory: inventory, engines: s.peers, repeat: runs(o, 7, 2), changed: 3, warm: ping,
		before: func(ctx context.Context) error { return s.onAll(ctx, "rm -rf /root/bench; mkdir /root/bench") },
	}.measure(ctx)
	return section{Figures: all, Note: "`lineinfile` adds 100 lines, one by one, to a file that is not there yet."}, err
}

// mixedTasks is a playbook of 60 tasks of six modules.
func mixedTasks() string {
	var b strings.Builder
	b.WriteString("- hosts: all\n  gather_facts: false\n  vars: {folder: /root/bench}\n  tasks:\n")
	for i := range 12 {
		fmt.Fprintf(&b, "    - file: {path: \"{{ folder }}/d%d\", state: directory, mode: \"0750\"}\n", i)
		fmt.Fprintf(&b, "    - copy: {content: \"{{ inventory_hostname }} %d\\n\", dest: \"{{ folder }}/d%d/copied\"}\n", i, i)
		fmt.Fprintf(&b, "    - template: {src: bench.j2, dest: \"{{ folder }}/d%d/rendered\"}\n", i)
		fmt.Fprintf(&b, "    - lineinfile: {path: \"{{ folder }}/d%d/lines\", line: \"line %d\", create: true}\n", i, i)
		if i%2 == 0 {
			fmt.Fprintf(&b, "    - stat: {path: \"{{ folder }}/d%d/copied\"}\n      register: s%d\n", i, i)
		} else {
			b.WriteString("    - systemd: {name: ssh, state: started, enabled: true}\n")
		}
	}
	return b.String()
}

func mixed60(ctx context.Context, s *site, o options) (section, error) {
	playbook, err := s.playbook("mixed", mixedTasks())
	if err != nil {
		return section{}, err
	}
	if _, err := s.text("bench.j2", "# of {{ inventory_hostname }}\n{% for n in range(20) %}\nvalue{{ n }} = {{ n * 2 }}\n{% endfor %}\n"); err != nil {
		return section{}, err
	}
	ping, err := s.ping()
	if err != nil {
		return section{}, err
	}
	sec := section{Note: "12 times file, copy, template, lineinfile, and 6 each of stat and systemd. *first*: everything is made; *again*: nothing is left to do. The floor is 7 round trips to dial and one for each task."}
	clean := func(ctx context.Context) error { return s.onAll(ctx, "rm -rf /root/bench; mkdir /root/bench") }
	for _, at := range mixedRuns(o) {
		inventory, err := s.inventory(3, at.roundTrip)
		if err != nil {
			return sec, err
		}
		t := trial{playbook: playbook, inventory: inventory, engines: s.peers, warm: ping}
		t.condition, t.before, t.changed, t.repeat = trip(at.roundTrip)+", first", clean, 3*48, at.first
		if err := sec.add(ctx, t, floor(60, at.roundTrip)); err != nil {
			return sec, err
		}
		t.condition, t.before, t.changed, t.repeat = trip(at.roundTrip)+", again", nil, 0, at.again
		if err := sec.add(ctx, t, floor(60, at.roundTrip)); err != nil {
			return sec, err
		}
	}
	return sec, nil
}

// mixedRun says how often the engines run at a distance.
type mixedRun struct {
	roundTrip    time.Duration
	first, again map[string]int
}

// mixedRuns: the peers take minutes far away.
func mixedRuns(o options) []mixedRun {
	near := mixedRun{0, runs(o, 7, 1), runs(o, 7, 2)}
	if o.short {
		return []mixedRun{near}
	}
	return []mixedRun{
		near,
		{25 * time.Millisecond, runs(o, 3, 0), runs(o, 3, 0)},
		{109 * time.Millisecond, runs(o, 3, 0), runs(o, 3, 1)},
	}
}

// add measures a trial, with the least time that the round trips allow.
func (s *section) add(ctx context.Context, t trial, least time.Duration) error {
	all, err := t.measure(ctx)
	s.Figures = append(s.Figures, all...)
	s.floor(t.condition, least)
	return err
}

// text writes a file beside the playbooks.
func (s *site) text(name, content string) (string, error) {
	file, err := s.playbook(strings.TrimSuffix(name, ".yml"), content)
	if err != nil || strings.HasSuffix(name, ".yml") {
		return file, err
	}
	return file, rename(file, strings.TrimSuffix(file, ".yml"))
}

func trip(roundTrip time.Duration) string { return fmt.Sprintf("%d ms", roundTrip.Milliseconds()) }

func shell36(ctx context.Context, s *site, o options) (section, error) {
	playbook, err := s.playbook("shell", "- hosts: all\n  gather_facts: false\n  tasks:\n"+
		strings.Repeat("    - shell: echo done\n      changed_when: false\n", 36))
	if err != nil {
		return section{}, err
	}
	ping, err := s.ping()
	if err != nil {
		return section{}, err
	}
	sec := section{Note: "36 tasks `shell: echo done`, as in the comparison published for other engines at 109 ms (Ansible 102 s, mitogen 16.9 s, the best agent-based engine 6.4 s; not measured here)."}
	for _, at := range []struct {
		roundTrip    time.Duration
		ours, theirs int
	}{{0, 7, 2}, {25 * time.Millisecond, 5, 0}, {109 * time.Millisecond, 5, 1}} {
		if o.short && at.roundTrip != 109*time.Millisecond {
			continue
		}
		inventory, err := s.inventory(1, at.roundTrip)
		if err != nil {
			return sec, err
		}
		t := trial{condition: trip(at.roundTrip), playbook: playbook, inventory: inventory, engines: s.peers, repeat: runs(o, at.ours, at.theirs), warm: ping}
		if err := sec.add(ctx, t, floor(36, at.roundTrip)); err != nil {
			return sec, err
		}
	}
	return sec, nil
}

func haMinimal(ctx context.Context, s *site, o options) (section, error) {
	if err := s.lab.Reset(ctx); err != nil {
		return section{}, err
	}
	say("the first run of ha-minimal")
	if _, err := s.peers[0].run(ctx, "ha-minimal", s.lab.Inventory); err != nil {
		return section{}, err
	}
	all, err := trial{
		condition: "0 ms", playbook: "ha-minimal", inventory: s.lab.Inventory, engines: s.peers[:1], repeat: runs(o, 7, 0),
	}.measure(ctx)
	return section{Figures: all, Note: "The embedded playbook on a cluster that is highly available already. It has no peer: Ansible has none of these modules."}, err
}

// The rows of the part about the agent.
const (
	agentSent   = "sent to a host (amd64, xz)"
	agentOnDisk = "on the host's disk (amd64)"
)

// agentSizes looks at what bin/rbdplay carries for hosts.
func agentSizes(_ context.Context, _ *site, _ options) (section, error) {
	const program = "engine/agent/binaries/rbdplay-agent-linux-amd64"
	sec := section{Note: "What rbdplay puts on a host once."}
	sent, err := os.Stat(program + ".xz")
	if err != nil {
		return sec, fmt.Errorf("the agent as it is sent: %w", err)
	}
	packed, err := os.Open(program + ".gz")
	if err != nil {
		return sec, err
	}
	defer packed.Close() //nolint:errcheck // only read from
	whole, err := gzip.NewReader(packed)
	if err != nil {
		return sec, fmt.Errorf("%s.gz: %w", program, err)
	}
	bytes, err := io.Copy(io.Discard, whole)
	if err != nil {
		return sec, fmt.Errorf("%s.gz: %w", program, err)
	}
	sec.Sizes = []size{{agentSent, sent.Size()}, {agentOnDisk, bytes}}
	return sec, nil
}
