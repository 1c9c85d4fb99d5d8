// Command bench measures rbdplay beside Ansible and Ansible with mitogen: the same
// playbooks on the same hosts, in turn, in one run. It boots the lab, installs the
// two peers from Debian's packages and prints what it measures as it goes. Each part's
// figures take the place of its older ones in docs/benchmarks.json, from which it
// draws docs/benchmarks.md. `make bench` runs it, `make bench PARTS=ad` some parts of
// it, and `make bench-short` a form for every day that knows only rbdplay and scp and
// writes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	short bool
	only  string // letters of the parts to run; "" is all
	out   string // the page to write, with a file of figures beside it; "" writes none
	draw  bool   // only draw the page
	serve int    // be this many hosts of the part scale, for another bench
}

// figures is the file of the page's figures.
func (o options) figures() string { return strings.TrimSuffix(o.out, ".md") + ".json" }

func main() {
	var o options
	flag.BoolVar(&o.short, "short", false, "rbdplay and scp only, fewer parts and runs; writes no page")
	flag.StringVar(&o.only, "only", "", "only these parts, by their letters: abc")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "the page to write; its figures go into a `file` .json beside it")
	flag.IntVar(&o.serve, "serve-hosts", 0, "for bench itself: serve this `number` of hosts until standard input ends")
	flag.BoolVar(&o.draw, "draw", false, "measure nothing: draw the page from its figures")
	flag.Parse()
	if o.short {
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
	switch {
	case o.serve > 0:
		return serveHosts(ctx, o.serve, os.Stdin, os.Stdout)
	case o.draw:
		return draw(o)
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
		{"d", "Files to three hosts", true, files},
		{"f", "Many hosts", true, scale},
		{"e", "ha-minimal when nothing is left to do", false, haMinimal},
		{"h", "The agent", true, agentSizes},
	}
}

// chosen are the parts that the options ask for.
func chosen(o options) ([]part, error) {
	var some []part
	for _, p := range parts() {
		if strings.Contains(o.only, p.letter) || o.only == "" && (p.short || !o.short) {
			some = append(some, p)
		}
	}
	if len(some) < len(o.only) {
		return nil, fmt.Errorf("-only %s: the parts are a to h", o.only)
	}
	return some, nil
}

func draw(o options) error {
	figures := o.figures()
	known, err := readResults(figures)
	if err != nil {
		return err
	}
	return known.write(figures, o.out)
}

func bench(ctx context.Context, o options) (err error) {
	some, err := chosen(o)
	if err != nil {
		return err
	}
	b := bencher{options: o}
	if o.out != "" {
		if b.known, err = readResults(o.figures()); err != nil {
			return err
		}
	}
	began := time.Now()
	if b.site, err = openSite(ctx, o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.site.close()) }()
	say("the lab is up after %s", show(time.Since(began)))
	b.measured.Machine = describeMachine(ctx)
	b.measured.Commit = b.site.peers[0].version
	for _, e := range b.site.peers[1:] {
		b.measured.Peers = append(b.measured.Peers, e.version)
	}
	faults := b.all(ctx, some)
	say("all of it took %s", show(time.Since(began)))
	fmt.Print("\n" + targetTable(only(b.now.judge(targets()), letters(some))))
	return errors.Join(append(faults, ctx.Err())...)
}

func letters(some []part) string {
	var all strings.Builder
	for _, p := range some {
		all.WriteString(p.letter)
	}
	return all.String()
}

// bencher measures parts and keeps what they found.
type bencher struct {
	options  options
	site     *site
	measured measured
	known    results // of the page, from this and from earlier runs
	now      results // of this run
}

// all measures the parts. One that fails leaves what the page has of it; the others
// are worth their time all the same.
func (b *bencher) all(ctx context.Context, some []part) (faults []error) {
	for _, p := range some {
		if ctx.Err() != nil {
			break
		}
		if err := b.part(ctx, p); err != nil {
			err = fmt.Errorf("(%s) %s: %w", p.letter, p.title, err)
			faults = append(faults, err)
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	return faults
}

func (b *bencher) part(ctx context.Context, p part) error {
	say("(%s) %s", p.letter, p.title)
	began := time.Now()
	sec, err := p.measure(ctx, b.site, b.options)
	sec.Letter, sec.Title, sec.Measured = p.letter, p.title, b.measured
	sec.Measured.On, sec.Measured.Took = began, time.Since(began)
	fmt.Print(sec.text())
	if err != nil {
		return err
	}
	b.now.put(sec)
	if b.options.out == "" {
		return nil
	}
	b.known.put(sec)
	return b.known.write(b.options.figures(), b.options.out)
}

// say tells what comes next.
func say(format string, args ...any) { fmt.Printf("\n▸ "+format+"\n", args...) }
