package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
	"github.com/rbdplay/rbdplay/playbooks"
)

// drillFlags are the flags of drill. Those of run that it has no flag for keep
// their zero values.
type drillFlags struct {
	runFlags
	level             int
	yes               bool
	urls              []string
	hostHeader        string
	rate              int
	maxGap            time.Duration
	powerOff, powerOn string
	format            string // of the report
}

func newDrill(s *streams) *cobra.Command {
	f := &drillFlags{}
	c := &cobra.Command{
		Use:   "drill PLAYBOOK",
		Short: "Prove a cluster: stop its parts one at a time, and measure what users see",
		Long: `Stops parts of the cluster that PLAYBOOK made, one at a time, while it asks URLs as
users do, and tells for each how long nobody was answered, how many requests were
lost or wrong, whether the storage could be used, names were resolved, and the
cluster healed. What was stopped is started again: at the end of its step, when
the drill fails or is interrupted, and by a timer on the node itself when the
drill is lost.

Level 1 stops keepalived, rbd-lb and a brick on the gateway that holds the VIP.
Level 2 (the default) stops the management services too: of several management nodes
first those of the one that has manage_vip, whose place another must take, then all. With --power-off and
--power-on whole nodes go, each of that level: the commands run here, by sh, with
the node's name and address as RBDPLAY_HOST and RBDPLAY_ADDRESS. A node without
power cannot start itself: when the drill is lost then, that is yours to do.

It ends with a verdict for each level. Without --url the app of app_host is asked
through the VIP, or where there is none the load balancer's own health.

Exit codes:
  0    every level that was tried holds
  1    the playbook, the inventory or the arguments are wrong; nothing was contacted
  2    a level does not hold, or the drill could not be done
  4    a host was unreachable before anything was stopped
  130  interrupted; what was stopped was started again`,
		Example: `  rbdplay drill ha-minimal -i cluster.yml
  rbdplay drill ha-minimal -i cluster.yml --level 1 --yes --url https://shop.example.com/
  rbdplay drill ha-minimal -i cluster.yml --power-off 'ipmi "$RBDPLAY_HOST" off' --power-on 'ipmi "$RBDPLAY_HOST" on'`,
		Args: wants("PLAYBOOK"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return drillable(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error { return f.drill(c.Context(), s, args[0]) },
	}
	flags := c.Flags()
	flags.StringArrayVarP(&f.inventories, "inventory", "i", nil, "inventory `file`, folder or list a,b, (may be given again)")
	flags.StringArrayVarP(&f.extraVars, "extra-vars", "e", nil, "variables: key=value, @file, or a mapping in YAML or JSON (may be given again)")
	flags.IntVar(&f.level, "level", 2, "the level to prove: 1 or 2")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.StringArrayVar(&f.urls, "url", nil, "ask this `URL` (may be given again)")
	flags.StringVar(&f.hostHeader, "host-header", "", "ask the URLs for this `host`, whatever name is in them")
	flags.IntVar(&f.rate, "rate", 50, "requests per second to each URL, 1 to 100")
	flags.DurationVar(&f.maxGap, "max-gap", 30*time.Second, "the longest gap that a level may have")
	flags.StringVar(&f.powerOff, "power-off", "", "a `command` that cuts the power of a node")
	flags.StringVar(&f.powerOn, "power-on", "", "a `command` that gives it back")
	flags.StringVarP(&f.format, "output", "o", "human", "human or json")
	f.addConnection(c)
	return c
}

// drillable lists the embedded playbooks that have a drill.
func drillable() []string {
	var names []string
	for _, name := range playbooks.Names() {
		if base, ok := strings.CutSuffix(name, "-drill"); ok {
			names = append(names, base)
		}
	}
	return names
}

// faults are what is wrong with the flags.
func (f *drillFlags) faults(name string) diag.List {
	var found diag.List
	refuse := func(flag, format string, args ...any) {
		found.Add(diag.New(diag.Range{File: "--" + flag}, format, args...))
	}
	if _, err := playbooks.Open(name + "-drill"); err != nil {
		found.Add(diag.New(diag.Range{}, "there is no drill for %s", name).WithHint("there is one for " + strings.Join(drillable(), ", ")))
	}
	switch {
	case f.level == 3:
		refuse("level", "level 3 is not reached by %s, so there is nothing to prove: rbd-db is single", name)
	case f.level < 1 || f.level > 3:
		refuse("level", "wants 1 or 2, not %d", f.level)
	}
	for _, text := range f.urls {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			refuse("url", "%q is no URL of http or https", text)
		}
	}
	if f.hostHeader != "" && len(f.urls) == 0 {
		refuse("host-header", "goes with --url")
	}
	if f.rate < 1 || f.rate > 100 {
		refuse("rate", "wants 1 to 100 requests per second, not %d", f.rate)
	}
	if f.maxGap <= 0 {
		refuse("max-gap", "wants a time, as in 30s")
	}
	if (f.powerOff == "") != (f.powerOn == "") {
		refuse("power-off", "goes with --power-on, as what is cut off must come back")
	}
	if f.format != "human" && f.format != "json" {
		refuse("output", "wants human or json, not %q", f.format)
	}
	return found
}

func (f *drillFlags) drill(ctx context.Context, s *streams, name string) error {
	if err := report(s, f.faults(name), nil); err != nil {
		return err
	}
	if _, ok := s.terminal(); !f.yes && !ok {
		return errors.New("the drill breaks things and asks before it does: say --yes, as standard input is no terminal")
	}
	l, err := f.load(ctx, s, name+"-drill")
	if err != nil {
		return err
	}
	if err := f.askPasswords(ctx, s); err != nil {
		return err
	}
	f.connection.environment, f.connection.passphrase = ssh.Environ(), newPassphrases(s, l.vault)
	d := &drill{drillFlags: f, streams: s, loaded: l}
	if err := d.look(ctx); err != nil {
		return err
	}
	plan := d.plan()
	if err := d.agree(plan); err != nil {
		return err
	}
	return d.run(ctx, name, plan)
}

// agree says what will be broken, and asks.
func (d *drill) agree(plan []drillStep) error {
	out := d.streams.err
	urls, _ := d.targets()
	fmt.Fprintln(out, "The drill stops, one after another, each for 10 to 30 seconds:")
	for _, step := range plan {
		fmt.Fprintf(out, "  level %d  %s\n", step.level, step.title())
	}
	fmt.Fprintf(out, "and asks %s meanwhile, %d times a second.\n", strings.Join(urls, " and "), d.rate)
	if d.yes {
		return nil
	}
	fmt.Fprint(out, "Go on? Type yes: ")
	answer, err := bufio.NewReader(d.streams.in).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was stopped")
	}
	return nil
}
