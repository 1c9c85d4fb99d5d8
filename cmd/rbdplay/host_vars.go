package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/inventory"
)

// varsFlags are the flags of vars.
type varsFlags struct {
	runFlags
	playbook    string
	showSecrets bool
}

func newVars(s *streams) *cobra.Command {
	f := &varsFlags{}
	c := &cobra.Command{
		Use:   "vars HOST [NAME]",
		Short: "Show a host's variables, and where each comes from",
		Long: `Shows the variables of a host with their values, the level of precedence and the
place each comes from; with -v also the places in the inventory that it hides. With
-p the vars, vars_files and group_vars of a playbook count as well, those of the
first play that has the host. Roles, facts and tasks add theirs only when they run.
What was encrypted is hidden, unless --show-secrets is given.
` + exitCodes,
		Example: "  rbdplay vars web1 -i hosts.ini\n  rbdplay vars web1 http_port -i hosts.ini -p site.yml -v",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return wants("HOST")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			f.isSet = c.Flags().Changed
			return f.show(c.Context(), s, args)
		},
	}
	flags := c.Flags()
	f.addCommon(c)
	flags.StringVarP(&f.playbook, "playbook", "p", "", "`playbook` whose variables count as well")
	flags.StringVarP(&f.output, "output", "o", "human", "human or json")
	flags.CountVarP(&f.verbosity, "verbose", "v", "also show what each variable hides")
	flags.BoolVar(&f.showSecrets, "show-secrets", false, "show what was encrypted too")
	return c
}

// shownVar is one variable as it is shown.
type shownVar struct {
	Name  string   `json:"name"`
	Value any      `json:"value"`
	Level string   `json:"level"`
	Place string   `json:"place"`
	Hides []string `json:"hides,omitempty"`
	Fault string   `json:"error,omitempty"` // why the value cannot be worked out before a run
}

func (f *varsFlags) show(ctx context.Context, s *streams, args []string) error {
	if f.output != "human" && f.output != "json" {
		return fmt.Errorf("--output wants human or json, not %q", f.output)
	}
	format := f.output
	f.output = "" // the run's own has other words
	l, err := f.load(ctx, s, f.playbook)
	if err != nil {
		return err
	}
	host, ok := l.inventory.Host(args[0])
	if !ok {
		var names []string
		for _, h := range l.inventory.Hosts() {
			names = append(names, h.Name)
		}
		return fmt.Errorf("there is no host %s in the inventory; %s", args[0], diag.DidYouMean(args[0], names))
	}
	from, err := f.scope(ctx, s, l, host)
	if err != nil {
		return err
	}
	var shown []shownVar
	for _, name := range from.Names() {
		level, _, _ := from.Where(name)
		if wanted := len(args) == 1 && level != scope.Magic; wanted || slices.Contains(args[1:], name) {
			shown = append(shown, f.one(ctx, from, host, name))
		}
	}
	if len(args) == 2 && len(shown) == 0 {
		return fmt.Errorf("%s has no variable %s; %s", host.Name, args[1], diag.DidYouMean(args[1], from.Names()))
	}
	return f.print(s, l, format, shown)
}

// scope has the host's variables, and those of the first play that has the host.
func (f *varsFlags) scope(ctx context.Context, s *streams, l *loaded, host *inventory.Host) (*scope.Scope, error) {
	extra, found := scope.FromText(l.environment, l.extra, inExtraVars)
	o := scope.Options{Extra: extra}
	if l.playbook != nil {
		o.PlaybookDir, o.Asker = l.playbook.Dir, l.playbook.Asker()
	}
	run, faults := scope.NewRun(l.environment, l.inventory, o)
	if found = append(found, faults...); found.HasErrors() {
		return nil, report(s, found, l.sources)
	}
	known, _ := run.Host(host.Name)
	from := known.Scope()
	if l.playbook == nil {
		return from, nil
	}
	plays, err := engine.Hosts(ctx, f.options(s, l))
	if err != nil {
		return nil, reportErrors(s, l.sources, err)
	}
	for i, p := range l.playbook.Plays {
		if slices.Contains(plays[i], host.Name) {
			return from.WithLayers(p.Layers), nil
		}
	}
	return from, nil
}

func (f *varsFlags) one(ctx context.Context, from *scope.Scope, host *inventory.Host, name string) shownVar {
	level, at, _ := from.Where(name)
	v := shownVar{Name: name, Level: level.String(), Place: at.String()}
	value, _, err := from.Lookup(ctx, name)
	if err == nil {
		v.Value, err = expression.Plain(ctx, value)
	}
	if err != nil {
		v.Value, v.Fault = nil, err.Error()
	}
	if f.verbosity > 0 {
		for _, other := range host.Written(name) {
			if other.Range != at {
				v.Hides = append(v.Hides, fmt.Sprintf("%s (%s)", other.Range, scope.Level(other.Layer)))
			}
		}
	}
	return v
}

func (f *varsFlags) print(s *streams, l *loaded, format string, shown []shownVar) error {
	var out strings.Builder
	if format == "json" {
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(shown); err != nil {
			return err
		}
	} else {
		for _, v := range shown {
			if err := v.write(&out); err != nil {
				return err
			}
		}
	}
	text := out.String()
	if !f.showSecrets {
		text = engine.Hide(l.vault, text)
	}
	_, err := fmt.Fprint(s.out, text)
	return err
}

func (v shownVar) write(out *strings.Builder) error {
	value := "cannot be told before a run: " + v.Fault
	if v.Fault == "" {
		text, err := json.Marshal(v.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		value = string(text)
	}
	place := v.Level
	if v.Place != "" {
		place += ", " + v.Place
	}
	fmt.Fprintf(out, "%s: %s\n    %s\n", v.Name, value, place)
	for _, other := range v.Hides {
		fmt.Fprintf(out, "    hides %s\n", other)
	}
	return nil
}
