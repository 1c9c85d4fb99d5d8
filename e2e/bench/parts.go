package main

import (
	"context"
	"fmt"
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
	playbook, err := s.playbook("first", "- hosts: all\n  gather_facts: false\n  tasks: [{ping: {}}]\n")
	if err != nil {
		return section{}, err
	}
	all, err := trial{
		condition: "0 ms", playbook: playbook, inventory: inventory, engines: s.peers, repeat: repeats(o),
		before: func(ctx context.Context) error {
			if err := s.forgetConnections(ctx); err != nil {
				return err
			}
			return s.onAll(ctx, "rm -rf /root/.cache/rbdplay /root/.ansible")
		},
	}.measure(ctx)
	return section{series: all, note: "One task on three hosts that have nothing of ours; rbdplay sends its agent to each."}, err
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
	all, err := trial{
		condition: "0 ms", playbook: playbook, inventory: inventory, engines: s.peers, repeat: repeats(o), changed: 3, warm: true,
		before: func(ctx context.Context) error { return s.onAll(ctx, "rm -rf /root/bench; mkdir /root/bench") },
	}.measure(ctx)
	return section{series: all, note: "`lineinfile` adds 100 lines, one by one, to a file that is not there yet."}, err
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
	sec := section{note: "12 times file, copy, template, lineinfile, and 6 each of stat and systemd. *first*: everything is made; *again*: nothing is left to do. The floor is 7 round trips to dial and one for each task."}
	clean := func(ctx context.Context) error { return s.onAll(ctx, "rm -rf /root/bench; mkdir /root/bench") }
	for _, roundTrip := range trips(o) {
		inventory, err := s.inventory(3, roundTrip)
		if err != nil {
			return sec, err
		}
		t := trial{playbook: playbook, inventory: inventory, engines: s.peers, repeat: repeats(o)}
		switch { // the peers take minutes there
		case roundTrip > 25*time.Millisecond:
			t.repeat = map[string]int{"rbdplay": 3, "ansible": 1, "mitogen": 1}
		case roundTrip > 0:
			t.engines, t.repeat = s.peers[:1], map[string]int{"rbdplay": 3}
		case !o.short:
			t.repeat = map[string]int{"rbdplay": 7, "ansible": 2, "mitogen": 2}
		}
		for _, again := range []bool{false, true} {
			t.condition, t.before, t.changed = trip(roundTrip)+", first", clean, 3*48
			if again {
				t.condition, t.before, t.changed = trip(roundTrip)+", again", nil, 0
			}
			all, err := t.measure(ctx)
			if err != nil {
				return sec, err
			}
			sec.series = append(sec.series, all...)
			sec.floor(t.condition, floor(60, roundTrip))
		}
	}
	return sec, nil
}

// text writes a file beside the playbooks.
func (s *site) text(name, content string) (string, error) {
	file, err := s.playbook(strings.TrimSuffix(name, ".yml"), content)
	if err != nil || strings.HasSuffix(name, ".yml") {
		return file, err
	}
	return file, rename(file, strings.TrimSuffix(file, ".yml"))
}

// trips are the round-trip times that are measured.
func trips(o options) []time.Duration {
	if o.short {
		return []time.Duration{0}
	}
	return []time.Duration{0, 25 * time.Millisecond, 109 * time.Millisecond}
}

func trip(roundTrip time.Duration) string { return fmt.Sprintf("%d ms", roundTrip.Milliseconds()) }

func shell36(ctx context.Context, s *site, o options) (section, error) {
	playbook, err := s.playbook("shell", "- hosts: all\n  gather_facts: false\n  tasks:\n"+
		strings.Repeat("    - shell: echo done\n      changed_when: false\n", 36))
	if err != nil {
		return section{}, err
	}
	sec := section{note: "36 tasks `shell: echo done`, as in the comparison published for other engines at 109 ms (Ansible 102 s, mitogen 16.9 s, the best agent-based engine 6.4 s; not measured here)."}
	for _, roundTrip := range trips(options{}) {
		if o.short && roundTrip != 109*time.Millisecond {
			continue
		}
		inventory, err := s.inventory(1, roundTrip)
		if err != nil {
			return sec, err
		}
		t := trial{condition: trip(roundTrip), playbook: playbook, inventory: inventory, engines: s.peers, repeat: repeats(o), warm: !o.short}
		if roundTrip > 0 {
			t.repeat, t.warm = map[string]int{"rbdplay": 5, "ansible": 1, "mitogen": 1}, false
		}
		if o.short {
			t.engines = s.peers[:1]
		}
		all, err := t.measure(ctx)
		if err != nil {
			return sec, err
		}
		sec.series = append(sec.series, all...)
		sec.floor(t.condition, floor(36, roundTrip))
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
		condition: "0 ms", playbook: "ha-minimal", inventory: s.lab.Inventory, engines: s.peers[:1], repeat: repeats(o),
	}.measure(ctx)
	return section{series: all, note: "The embedded playbook on a cluster that is highly available already. It has no peer: Ansible has none of these modules."}, err
}
