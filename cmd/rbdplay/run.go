package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/view"
	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/engine/transport/ssh"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/playbooks"
)

// runFlags are the flags of run; validate has some of them.
type runFlags struct {
	inventories, extraVars, tags, skipTags []string
	limit, output, startAt                 string
	check, diff, detailedExitCode          bool
	forks, verbosity                       int
	askPassword, askBecomePassword         bool
	connection                             connectionFlags
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
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeEmbedded,
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), s, args[0])
		},
	}
	f.addCommon(c)
	flags := c.Flags()
	flags.StringVarP(&f.limit, "limit", "l", "", "only hosts that this `pattern` chooses too")
	flags.BoolVarP(&f.check, "check", "C", false, "show what would happen; change nothing")
	flags.BoolVarP(&f.diff, "diff", "D", false, "show before and after")
	flags.IntVarP(&f.forks, "forks", "f", 50, "hosts to work for at a time")
	flags.CountVarP(&f.verbosity, "verbose", "v", "more: -v tasks that change nothing, -vv what commands print")
	flags.StringVarP(&f.output, "output", "o", "human", "human or jsonl (one JSON object for each event)")
	flags.StringVar(&f.startAt, "start-at-task", "", "begin at the task of this `name`")
	flags.BoolVar(&f.detailedExitCode, "detailed-exitcode", false, "exit with 3 when a check finds changes")
	flags.StringVarP(&f.connection.user, "user", "u", "", "log in as this `user` where no variable says otherwise")
	flags.StringVar(&f.connection.privateKey, "private-key", "", "log in with the key in this `file`")
	flags.StringVar(&f.connection.commonArgs, "ssh-common-args", "", "options of ssh, such as '-o ProxyJump=gate'")
	flags.StringVar(&f.connection.hostKeys, "host-key-checking", "", "yes, or accept-new: note the keys of hosts seen for the first time")
	flags.BoolVarP(&f.askPassword, "ask-pass", "k", false, "ask for the password to log in with")
	flags.BoolVarP(&f.askBecomePassword, "ask-become-pass", "K", false, "ask for the password that sudo wants")
	return c
}

// addCommon adds the flags that run and validate share.
func (f *runFlags) addCommon(c *cobra.Command) {
	flags := c.Flags()
	flags.StringArrayVarP(&f.inventories, "inventory", "i", nil, "inventory `file`, folder or list a,b, (may be given again)")
	flags.StringArrayVarP(&f.extraVars, "extra-vars", "e", nil, "variables: key=value, @file or JSON (may be given again)")
	flags.StringSliceVarP(&f.tags, "tags", "t", nil, "only tasks with one of these tags")
	flags.StringSliceVar(&f.skipTags, "skip-tags", nil, "no task with one of these tags")
}

func newValidate(s *streams) *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use:   "validate PLAYBOOK",
		Short: "Check a playbook and its inventory without contacting anybody",
		Long: `Checks a playbook with its roles, files and templates, and with -i its inventory.
All faults are shown at once. No host is contacted.
` + exitCodes,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeEmbedded,
		RunE: func(c *cobra.Command, args []string) error {
			_, err := f.load(c.Context(), s, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out, "%s is fine\n", args[0])
			return err
		},
	}
	f.addCommon(c)
	return c
}

// loaded is all that a run needs from files.
type loaded struct {
	playbook  *play.Playbook
	inventory *inventory.Inventory
	registry  *modules.Registry
	sources   *diag.Sources
	extra     map[string]any
}

// load reads and checks everything; faults are printed, all of them.
func (f *runFlags) load(ctx context.Context, s *streams, name string) (*loaded, error) {
	l := &loaded{sources: &diag.Sources{}}
	var err error
	if l.registry, err = modules.All(); err != nil {
		return nil, err
	}
	if l.extra, err = parseExtraVars(f.extraVars); err != nil {
		return nil, err
	}
	source, folder, err := findPlaybook(name)
	if err != nil {
		return nil, err
	}
	var found, faults diag.List
	l.playbook, _, found = play.Load(ctx, source, l.registry, play.Options{Disk: os.DirFS("/"), Sources: l.sources})
	l.inventory, faults = inventory.Load(ctx, f.inventories, inventory.Options{Playbook: folder, PlaybookName: path.Dir(source.Display), Sources: l.sources})
	found = append(found, faults...)
	return l, report(s, found, l.sources)
}

// report prints findings and fails when one is an error.
func report(s *streams, found diag.List, sources *diag.Sources) error {
	found.Sort()
	for _, d := range found {
		if err := diag.Format(s.err, d, sources, isColored(s.err)); err != nil {
			return err
		}
	}
	if found.HasErrors() {
		return &exitError{code: exitWrong}
	}
	return nil
}

// findPlaybook finds a file, or an embedded playbook by its name. folder is where
// its group_vars and host_vars are looked for.
func findPlaybook(name string) (source play.Source, folder fs.FS, err error) {
	if _, err := os.Stat(name); err == nil {
		file, err := filepath.Abs(name)
		if err != nil {
			return source, nil, err
		}
		source = play.OnDisk(os.DirFS("/"), file, name)
		return source, os.DirFS(filepath.Dir(file)), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return source, nil, err
	}
	if strings.ContainsAny(name, "/.") {
		return source, nil, fmt.Errorf("no playbook %s; rbdplay list names the embedded ones", name)
	}
	if folder, err = openEmbedded(name); err != nil {
		return source, nil, err
	}
	return play.Source{FS: folder, Path: playbooks.Entry, Display: name + "/" + playbooks.Entry}, folder, nil
}

func (f *runFlags) run(ctx context.Context, s *streams, name string) error {
	if f.output != "human" && f.output != "jsonl" {
		return fmt.Errorf("--output %s: wants human or jsonl", f.output)
	}
	l, err := f.load(ctx, s, name)
	if err != nil {
		return err
	}
	o := engine.Options{
		Playbook: l.playbook, Inventory: l.inventory, Registry: l.registry, Check: f.check, Diff: f.diff,
		Forks: f.forks, Verbosity: f.verbosity, Limit: f.limit, ExtraVars: l.extra,
		Selection: play.Selection{Tags: f.tags, Skip: f.skipTags},
	}
	if f.startAt != "" {
		if o.StartAt, err = l.playbook.FindTask(f.startAt); err != nil {
			return err
		}
	}
	if err := f.askPasswords(s); err != nil {
		return err
	}
	f.connection.environment = ssh.Environ()
	connector := newConnector(l.registry, f.connection)
	defer connector.Close()
	o.Connector = connector
	var lines *view.JSONLines
	o.Sink, lines = f.sink(s, l.sources)
	summary, err := engine.Run(ctx, o)
	if lines != nil && lines.Err() != nil {
		return lines.Err()
	}
	return f.exit(s, l, summary, err)
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
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// exit turns what a run came to into the exit code.
func (f *runFlags) exit(s *streams, l *loaded, summary engine.Summary, err error) error {
	var found diag.List
	var single diag.Diagnostic
	switch {
	case errors.As(err, &found):
		return report(s, found, l.sources)
	case errors.As(err, &single):
		return report(s, diag.List{single}, l.sources)
	case err != nil:
		return err
	case summary.Interrupted:
		return &exitError{code: exitInterrupted}
	case summary.Failed() && !summary.Contacted:
		return &exitError{code: exitWrong, err: errors.New("the inventory or the arguments are wrong; no host was contacted")}
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
func (f *runFlags) askPasswords(s *streams) error {
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
		file, ok := s.in.(*os.File)
		if !ok || !term.IsTerminal(int(file.Fd())) {
			return errors.New("a password was to be asked for, but standard input is no terminal")
		}
		fmt.Fprint(s.err, ask.prompt) //nolint:errcheck // nobody is left to tell
		text, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(s.err) //nolint:errcheck // nobody is left to tell
		if err != nil {
			return err
		}
		*ask.into = transport.NewSecret(string(text))
	}
	return nil
}

// parseExtraVars reads -e: key=value words, @file with YAML, or JSON.
func parseExtraVars(given []string) (map[string]any, error) {
	all := map[string]any{}
	for _, text := range given {
		if err := addExtraVars(all, text); err != nil {
			return nil, fmt.Errorf("--extra-vars %s: %w", text, err)
		}
	}
	return all, nil
}

func addExtraVars(all map[string]any, text string) error {
	if file, ok := strings.CutPrefix(text, "@"); ok {
		return addVarsFile(all, file)
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		return json.Unmarshal([]byte(text), &all)
	}
	values, err := play.KeyValues(text)
	for name, value := range values {
		all[name] = value
	}
	return err
}
