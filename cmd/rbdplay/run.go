package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/config"
	"github.com/rbdplay/rbdplay/cmd/rbdplay/view"
	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
	"github.com/rbdplay/rbdplay/inventory"
)

// runFlags are the flags of run; validate has some of them.
type runFlags struct {
	inventories, extraVars, tags, skipTags []string
	limit, output, startAt                 string
	check, diff, detailedExitCode          bool
	forks, verbosity                       int
	askPassword, askBecomePassword         bool
	step, forceHandlers, flushCache        bool
	syntaxCheck                            bool
	listing                                listing
	connection                             connectionFlags
	vault                                  vaultFlags
	become                                 engine.Defaults
	connectionKind                         string

	settings *config.Config
	isSet    func(flag string) bool // reports whether the command line has the flag
}

func newRun(s *streams) *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use:   "run PLAYBOOK",
		Short: "Run a playbook: an embedded one by its name, or a file",
		Long: `Runs a playbook: an embedded one by its name (rbdplay list), or a file.

The playbook, its inventory and its arguments are checked before any host is
contacted, and all faults are shown at once. With --check everything runs on a
shadow of each host: the same code, and nothing is changed.
` + exitCodes,
		Example: `  rbdplay run ha-minimal -i cluster.yml --check --diff
  rbdplay run ha-minimal -i cluster.yml -t preflight
  rbdplay run site.yml -i hosts.ini -l web -e version=2`,
		Args:              wants("PLAYBOOK"),
		ValidArgsFunction: completeEmbedded,
		RunE: func(c *cobra.Command, args []string) error {
			f.isSet = c.Flags().Changed
			return f.run(c.Context(), s, args[0])
		},
	}
	f.addCommon(c)
	flags := c.Flags()
	flags.StringVarP(&f.limit, "limit", "l", "", "only hosts that this `pattern` chooses too")
	flags.BoolVarP(&f.check, "check", "C", false, "show what would happen; change nothing")
	flags.BoolVarP(&f.diff, "diff", "D", false, "show before and after")
	flags.IntVarP(&f.forks, "forks", "f", 100, "hosts to work for at a time, 0 for all; a host costs a connection here and no process, so the default is far above Ansible's 5")
	flags.CountVarP(&f.verbosity, "verbose", "v", "more: -v tasks that change nothing, -vv what commands print")
	flags.StringVarP(&f.output, "output", "o", "human", "human or jsonl (one JSON object for each event)")
	flags.StringVar(&f.startAt, "start-at-task", "", "begin at the task of this `name`")
	flags.BoolVar(&f.detailedExitCode, "detailed-exitcode", false, "exit with 3 when a check finds changes")
	flags.BoolVar(&f.step, "step", false, "ask before each task")
	flags.BoolVar(&f.forceHandlers, "force-handlers", false, "run notified handlers of failed hosts too, where a play does not say")
	flags.BoolVar(&f.flushCache, "flush-cache", false, "accepted from habit: facts are never kept from one run to the next")
	flags.BoolVar(&f.syntaxCheck, "syntax-check", false, "only check, as validate does")
	flags.BoolVar(&f.listing.hosts, "list-hosts", false, "only list the hosts of each play")
	flags.BoolVar(&f.listing.tasks, "list-tasks", false, "only list the tasks of each play, with their tags")
	flags.BoolVar(&f.listing.tags, "list-tags", false, "only list the tags of each play")
	f.addConnection(c)
	return c
}

// addConnection adds the flags of how to reach hosts.
func (f *runFlags) addConnection(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVarP(&f.become.Become, "become", "b", false, "become another user where no variable or keyword says otherwise")
	flags.StringVar(&f.become.BecomeUser, "become-user", "", "the `user` to become (root)")
	flags.StringVar(&f.become.BecomeMethod, "become-method", "", "how to become that user (sudo)")
	flags.StringVarP(&f.connectionKind, "connection", "c", "", "ssh or local, where no variable or keyword says otherwise")
	flags.IntVarP(&f.connection.timeout, "timeout", "T", 0, "`seconds` to wait for a connection")
	flags.StringVarP(&f.connection.user, "user", "u", "", "log in as this `user` where no variable says otherwise")
	flags.StringVar(&f.connection.privateKey, "private-key", "", "log in with the key in this `file`")
	flags.StringVar(&f.connection.commonArgs, "ssh-common-args", "", "options of ssh, such as '-o ProxyJump=gate'")
	flags.StringVar(&f.connection.hostKeys, "host-key-checking", "", "yes, or accept-new: note the keys of hosts seen for the first time")
	flags.BoolVarP(&f.askPassword, "ask-pass", "k", false, "ask for the password to log in with")
	flags.BoolVarP(&f.askBecomePassword, "ask-become-pass", "K", false, "ask for the password that sudo wants")
}

// addCommon adds the flags that run and validate share.
func (f *runFlags) addCommon(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVarP(&f.inventories, "inventory", "i", nil, "inventory `file`, folder or list a,b, (may be given again)")
	flags.StringArrayVarP(&f.extraVars, "extra-vars", "e", nil, "variables: key=value, @file, or a mapping in YAML or JSON (may be given again)")
	f.vault.add(c)
	flags.StringSliceVarP(&f.tags, "tags", "t", nil, "only tasks with one of these tags")
	flags.StringSliceVar(&f.skipTags, "skip-tags", nil, "no task with one of these tags")
}

func (f *runFlags) run(ctx context.Context, s *streams, name string) error {
	if f.syntaxCheck {
		return f.validate(ctx, s, name)
	}
	l, err := f.load(ctx, s, name)
	if err != nil {
		return err
	}
	if f.listing.wanted() {
		return f.list(ctx, s, l)
	}
	o := f.options(s, l)
	if f.startAt != "" {
		if o.StartAt, err = l.playbook.FindTask(f.startAt); err != nil {
			_, other := engine.Hosts(ctx, o)
			return reportErrors(s, l.sources, err, other)
		}
	}
	if err := f.askPasswords(ctx, s); err != nil {
		return err
	}
	if f.step {
		if o.Step, err = stepper(s); err != nil {
			return &exitError{code: exitWrong, err: err}
		}
	}
	o.Secrets = f.connection.secrets()
	f.connection.environment, f.connection.passphrase = ssh.Environ(), newPassphrases(s, l.vault)
	connector := newConnector(l.registry, f.connection)
	defer connector.Close()
	o.Connector = connector
	var lines *view.JSONLines
	o.Sink, lines = f.sink(s, l.sources)
	summary, err := engine.Run(ctx, o)
	if lines != nil && lines.Err() != nil {
		return &exitError{code: exitFailed, err: fmt.Errorf("the run came to its end, but could not be told of: %w", lines.Err())}
	}
	if err != nil {
		return reportErrors(s, l.sources, err)
	}
	return f.exit(summary)
}

// options are what the engine is told by the flags, but for how to connect.
// Warnings that come before a run go to standard error.
func (f *runFlags) options(s *streams, l *loaded) engine.Options {
	return engine.Options{
		Playbook: l.playbook, Inventory: l.inventory, Registry: l.registry, Environment: l.environment, Check: f.check, Diff: f.diff,
		Forks: f.forks, Verbosity: f.verbosity, Limit: f.limit, Reload: l.reload, ForceHandlers: f.forceHandlers, ExtraVars: l.extra, Vault: l.vault, Defaults: f.become, Selection: f.selection(),
		Prompt: s.prompt,
		Sink:   view.NewHuman(s.err, view.Options{Color: isColored(s.err)}),
	}
}

func (f *runFlags) selection() play.Selection { return play.Selection{Tags: f.tags, Skip: f.skipTags} }

// faults are what is wrong with the flags themselves.
func (f *runFlags) faults() diag.List {
	var found diag.List
	refuse := func(flag, format string, args ...any) {
		found.Add(diag.New(diag.Range{File: "--" + flag}, format, args...))
	}
	if f.output != "" && f.output != "human" && f.output != "jsonl" {
		refuse("output", "wants human or jsonl, not %q", f.output)
	}
	if f.connectionKind != "" {
		kind, err := inventory.ParseKind(f.connectionKind)
		found.AddError(diag.Range{File: "--connection"}, err)
		f.become.Connection = kind
	}
	if f.connection.timeout < 0 {
		refuse("timeout", "wants seconds, not %d", f.connection.timeout)
	}
	if f.forks < 0 {
		refuse("forks", "wants a number of hosts, or 0 for all at once, not %d", f.forks)
	}
	if how := ssh.HostKeyChecking(f.connection.hostKeys); how != "" && how != ssh.Strict && how != ssh.AcceptNew {
		refuse("host-key-checking", "wants yes or accept-new, not %q", how)
	}
	if key := f.connection.privateKey; key != "" {
		_, err := os.Stat(expandHome(key, os.Getenv("HOME")))
		found.AddError(diag.Range{File: "--private-key"}, err)
	}
	found.AddError(diag.Range{File: "--ssh-common-args"}, new(ssh.Config).ApplyArgs(f.connection.commonArgs))
	return found
}

func (f *runFlags) sink(s *streams, sources *diag.Sources) (event.Sink, *view.JSONLines) {
	if f.output == "jsonl" {
		lines := view.NewJSONLines(s.out)
		return lines, lines
	}
	o := view.Options{Diff: f.diff, Verbosity: f.verbosity, Sources: sources, Color: isColored(s.out)}
	if file, ok := s.out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		o.Terminal = true
		o.Width, _, _ = term.GetSize(int(file.Fd())) // 0 is an unknown width
	}
	return view.NewHuman(s.out, o), nil
}

// isColored reports whether out is a terminal that wants colours (no-color.org).
func isColored(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// exit turns what a run came to into the exit code.
func (f *runFlags) exit(summary engine.Summary) error {
	switch {
	case summary.Interrupted:
		return &exitError{code: exitInterrupted}
	case summary.Failed() && !summary.Contacted:
		return &exitError{code: exitWrong, err: errors.New("the playbook, the inventory or the arguments are wrong; nothing was contacted")}
	case summary.Failed():
		return &exitError{code: exitFailed}
	case summary.Unreachable():
		return &exitError{code: exitUnreachable}
	case f.detailedExitCode && f.check && summary.Changed():
		return &exitError{code: exitChanges}
	}
	return nil
}

// askPasswords reads passwords from the terminal, without showing them.
func (f *runFlags) askPasswords(ctx context.Context, s *streams) error {
	for _, ask := range []struct {
		wanted bool
		prompt string
		into   *transport.Secret
	}{
		{f.askPassword, "SSH password: ", &f.connection.password},
		{f.askBecomePassword, "sudo password: ", &f.connection.becomePassword},
	} {
		if !ask.wanted {
			continue
		}
		text, err := s.askSecret(ctx, ask.prompt)
		if err != nil {
			return err
		}
		*ask.into = transport.NewSecret(text)
	}
	return nil
}
