package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/event"
)

type discard struct{}

func (discard) Emit(event.Event) {}

// One play with 61 small tasks on three hosts, where nothing is left to change:
// what the engine and the agents cost without a network.
func BenchmarkRunUnchanged(b *testing.B) {
	const tasks = 61
	var text strings.Builder
	text.WriteString("- hosts: all\n  gather_facts: false\n  vars: {folder: /etc/app}\n  tasks:\n")
	for i := range tasks {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&text, "    - copy: {content: \"{{ inventory_hostname }} %d\", dest: \"{{ folder }}/%d\"}\n", i, i)
		case 1:
			fmt.Fprintf(&text, "    - lineinfile: {path: /etc/lines, line: \"line %d\", create: true}\n      register: r%d\n", i, i)
		case 2:
			fmt.Fprintf(&text, "    - file: {path: \"{{ folder }}/%d\", mode: \"0644\"}\n      when: inventory_hostname in groups.all\n", i-2)
		default:
			fmt.Fprintf(&text, "    - stat: {path: \"{{ folder }}\"}\n      register: r%d\n", i)
		}
	}
	l := newLab(b, "a,b,c,")
	for _, h := range []string{"a", "b", "c"} {
		l.hosts[h].Mkdir("/etc/app")
	}
	if s, got := l.run(text.String(), nil); s.Failed() {
		b.Fatal(got)
	}
	o := engine.Options{Playbook: l.load(text.String(), nil), Inventory: l.inv, Registry: l.registry, Connector: l, Sink: discard{}}
	b.ReportAllocs()
	for b.Loop() {
		s, err := engine.Run(b.Context(), o)
		if err != nil || s.Failed() || s.Changed() {
			b.Fatal(err, s)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*tasks), "µs/task")
}
