// Command bench measures rbdplay beside Ansible and Ansible with mitogen: the same
// playbooks on the same hosts, in turn, in one run. It boots the lab, installs the
// two peers from Debian's packages, prints what it measures as it goes and writes
// docs/benchmarks.md. `make bench` runs it, `make bench-short` its form for every
// day.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	short bool
	only  string // letters of the parts to run; "" is all
	out   string // the page to write; "" writes none
	serve int    // be this many hosts of the part scale, for another bench
}

func main() {
	var o options
	flag.BoolVar(&o.short, "short", false, "fewer parts, each measured less often; writes no page")
	flag.StringVar(&o.only, "only", "", "only these parts, by their letters: abc")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "the `file` to write")
	flag.IntVar(&o.serve, "serve-hosts", 0, "for bench itself: serve this `number` of hosts until standard input ends")
	flag.Parse()
	if o.short || o.only != "" {
		o.out = ""
	}
	if err := untilSignal(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func untilSignal(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.serve > 0 {
		return serveHosts(ctx, o.serve, os.Stdin, os.Stdout)
	}
	ctx, cancel := context.WithTimeout(ctx, 90*time.Minute)
	defer cancel()
	return bench(ctx, o)
}

// part is one thing that is measured.
type part struct {
	letter, title string
	short         bool // belongs to the short form
	measure       func(ctx context.Context, s *site, o options) (section, error)
}

// parts in the order in which they run: the last one that needs the lab as it was
// installed comes first.
func parts() []part {
	return []part{
		{"g", "First contact, with an empty cache", true, firstContact},
		{"a", "A loop of 100 lines on three hosts", true, loop100},
		{"b", "60 mixed tasks on three hosts", true, mixed60},
		{"c", "36 small shell executions on one host", true, shell36},
		{"d", "Files to three hosts", false, files},
		{"f", "Many hosts", true, scale},
		{"e", "ha-minimal when nothing is left to do", false, haMinimal},
	}
}

func bench(ctx context.Context, o options) (err error) {
	s, err := openSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	page := report{machine: describeMachine(ctx), began: time.Now()}
	for _, e := range s.peers {
		page.versions = append(page.versions, e.version)
	}
	var faults []error
	for _, p := range parts() {
		if o.short && !p.short || o.only != "" && !strings.Contains(o.only, p.letter) {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		say("(%s) %s", p.letter, p.title)
		began := time.Now()
		sec, err := p.measure(ctx, s, o)
		if err != nil { // the other parts are worth their time all the same
			err = fmt.Errorf("(%s) %s: %w", p.letter, p.title, err)
			faults = append(faults, err)
			fmt.Fprintln(os.Stderr, "bench:", err)
			sec.note = "Not measured to the end: " + firstLine(err.Error()) + "."
		}
		sec.letter, sec.title, sec.took = p.letter, p.title, time.Since(began)
		say("(%s) took %s", p.letter, show(sec.took))
		page.sections = append(page.sections, sec)
		fmt.Print(sec.text())
	}
	slices.SortFunc(page.sections, func(a, b section) int { return strings.Compare(a.letter, b.letter) })
	if o.out != "" && ctx.Err() == nil {
		faults = append(faults, page.write(o.out))
	}
	return errors.Join(append(faults, ctx.Err())...)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// say tells what comes next.
func say(format string, args ...any) { fmt.Printf("\n▸ "+format+"\n", args...) }
