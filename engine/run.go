package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/inventory"
)

// run is one run of a playbook.
type run struct {
	Options
	vars     *scope.Run
	limit    map[string]bool // nil: everybody
	hosts    map[string]*host
	order    []string
	links    *links
	contents *contents
	secrets  *redactor
	answers  map[*play.Play]*scope.Vars // of vars_prompt
	asking   sync.Mutex                 // held while a person is asked
	lastID   int

	growth    sync.Mutex           // of Inventory, grown and additions, which tasks of several hosts may change
	unasked   bool                 // Step was told to ask no more
	grown     bool                 // the inventory is not the one from before the run
	additions []inventory.Addition // by tasks, for refresh
	late      map[*play.Play]bool  // whose pattern may mean what tasks add
	started   bool                 // the task of StartAt was reached
	stopped   bool                 // any_errors_fatal, or all hosts of a batch lost: no more plays
}

// Run runs the playbook. An error is a diag.List of what is wrong with it or its
// inventory, and nothing was contacted. What goes wrong later is told by events
// and the Summary. Cancelling ctx ends the running tasks on the hosts and then
// the run; the Summary says so.
func Run(ctx context.Context, o Options) (Summary, error) {
	r, plays, err := prepare(ctx, o, true)
	if err != nil {
		return Summary{}, err
	}
	defer r.links.close()
	ctx = expression.WithWarnings(ctx, func(text string) { r.emit(event.Message{Text: text, Warning: true}) })
	began := time.Now()
	r.emit(event.RunStart{Playbook: o.Playbook.Name, Check: o.Check, Diff: o.Diff, Started: began})
	for i, p := range o.Playbook.Plays {
		if r.stopped || ctx.Err() != nil {
			break
		}
		r.play(ctx, p, r.namesFor(ctx, p, plays[i]))
	}
	summary := r.summary(ctx)
	r.emit(event.RunEnd{Hosts: summary.Hosts, Took: time.Since(began), Interrupted: summary.Interrupted})
	return summary, nil
}

// Hosts gives the hosts of each play of the playbook, in inventory order, without
// contacting any. Its error is that of Run.
func Hosts(ctx context.Context, o Options) ([][]string, error) {
	_, plays, err := prepare(ctx, o, false)
	return plays, err
}

// prepare finds out everything that can be wrong before a host is contacted, and
// the hosts of each play. asking says that the playbook is going to run, so that
// people are asked for what it wants to know.
func prepare(ctx context.Context, o Options, asking bool) (*run, [][]string, error) {
	if o.Environment == nil {
		o.Environment = lookup.Environment(nil)
	}
	r := &run{Options: o, hosts: map[string]*host{}, contents: newContents(o.Vault), answers: map[*play.Play]*scope.Vars{}, late: map[*play.Play]bool{}, secrets: &redactor{sink: o.Sink}}
	r.links = newLinks(o.Connector, r.contents, r.emit)
	r.started = o.StartAt == nil
	found := o.Playbook.CheckSelection(o.Selection)
	extra, faults := scope.FromText(o.Environment, o.ExtraVars, diag.Range{File: "--extra-vars"})
	found = append(found, faults...)
	r.vars, faults = scope.NewRun(o.Environment, o.Inventory, scope.Options{
		Extra: extra, Check: o.Check, Diff: o.Diff, PlaybookDir: o.Playbook.Dir, Asker: o.Playbook.Asker(),
		Magic: magicOf(o, map[string]any{"ansible_run_tags": runTags(o.Selection.Tags), "ansible_skip_tags": anys(o.Selection.Skip)}),
	})
	found = append(found, faults...)
	broken := faults.HasErrors()
	r.limit, faults = r.limited()
	found = append(found, faults...)
	if o.StartAt != nil && !slices.ContainsFunc(o.Playbook.Plays, func(p *play.Play) bool { return anyTask(p, r.startsAt) }) {
		found.Add(diag.New(diag.Range{File: "--start-at-task"}, "the task %s comes with an include, which the run would pass by", o.StartAt.Name).
			WithHint("start at the include itself, or import the tasks"))
	}
	if broken {
		return nil, nil, found.ErrorOrNil()
	}
	r.learnSecrets(ctx)
	if asking && !found.HasErrors() {
		if faults := r.ask(ctx, extra); faults.HasErrors() {
			return nil, nil, append(found, faults...).ErrorOrNil()
		}
	}
	plays, faults := r.hostsOfPlays(ctx)
	found = append(found, faults...)
	found = append(found, r.writtenArguments(ctx, plays)...)
	if len(r.order) == 0 && !found.HasErrors() {
		found.Add(r.nobody())
	}
	for _, d := range found {
		if d.Severity != diag.Error {
			r.emit(event.Message{Text: d.Error(), Warning: true})
		}
	}
	return r, plays, found.ErrorOrNil()
}

// learnSecrets makes the redactor know every password to connect with, before
// anything can show one. A variable that cannot be rendered yet is learnt when it
// is used.
func (r *run) learnSecrets(ctx context.Context) {
	for _, secret := range r.Secrets {
		r.secrets.add(secret)
	}
	r.Vault.Listen(r.secrets.add)
	for _, h := range r.Inventory.Hosts() {
		vars, _ := r.vars.Host(h.Name)
		for _, name := range inventory.PasswordVariables() {
			if value, ok, err := vars.Scope().Lookup(ctx, name); ok && err == nil {
				r.secrets.add(expression.Text(value))
			}
		}
	}
}

// limited resolves --limit.
func (r *run) limited() (map[string]bool, diag.List) {
	if r.Limit == "" {
		return nil, nil
	}
	pattern, err := inventory.ParsePattern(r.Limit, diag.InText("--limit", r.Limit))
	if err != nil {
		var found diag.List
		found.AddError(diag.Range{File: "--limit"}, err)
		return nil, found
	}
	chosen, found := r.Inventory.Select(pattern)
	if len(chosen) == 0 && !found.HasErrors() {
		found.Add(diag.New(diag.Range{File: "--limit"}, "--limit %s chooses no host", r.Limit))
	}
	limit := map[string]bool{}
	for _, h := range chosen {
		limit[h.Name] = true
	}
	return limit, found
}

// nobody says why no play has any host.
func (r *run) nobody() diag.Diagnostic {
	d := diag.New(diag.Range{File: r.Playbook.Name}, "no play has a host to run on")
	switch {
	case len(r.Inventory.Sources()) == 0:
		return d.WithHint("give an inventory with -i")
	case len(r.Inventory.Hosts()) == 0:
		return d.WithHint("the inventory " + strings.Join(r.Inventory.Sources(), ", ") + " has no hosts")
	case r.Limit != "":
		return d.WithHint("--limit " + r.Limit + " leaves none")
	default:
		return d.WithHint("their patterns choose none of the inventory's hosts")
	}
}

// hostsOfPlays resolves the pattern of every play, so that a wrong one is known
// before the first play runs.
func (r *run) hostsOfPlays(ctx context.Context) ([][]string, diag.List) {
	var found diag.List
	plays := make([][]string, len(r.Playbook.Plays))
	growing := false
	for i, p := range r.Playbook.Plays {
		names, faults := r.hostsOfPlay(ctx, p)
		if plays[i] = names; growing && len(faults) > 0 {
			r.late[p] = true // it may be right when its turn comes
		} else {
			found = append(found, faults...)
		}
		growing = growing || p.Grows()
	}
	return plays, once(found)
}

func (r *run) hostsOfPlay(ctx context.Context, p *play.Play) ([]string, diag.List) {
	pattern, err := p.Hosts.Pattern(ctx, r.vars.Scope().WithLayers(r.layersOf(p)))
	if err != nil {
		var found diag.List
		found.AddError(p.Hosts.Range, err)
		return nil, found
	}
	chosen, found := r.Inventory.Select(pattern)
	var names []string
	for _, h := range chosen {
		if r.limit != nil && !r.limit[h.Name] {
			continue
		}
		names = append(names, h.Name)
		if r.hosts[h.Name] == nil {
			vars, _ := r.vars.Host(h.Name)
			r.hosts[h.Name] = &host{name: h.Name, vars: vars}
			r.order = append(r.order, h.Name)
		}
	}
	return names, found
}

// once keeps the first of equal findings: an unknown group that every play names
// is one fault.
func once(found diag.List) diag.List {
	var kept diag.List
	more := map[string]int{}
	for _, d := range found {
		if more[d.Summary]++; more[d.Summary] == 1 {
			kept.Add(d)
		}
	}
	for i, d := range kept {
		if n := more[d.Summary] - 1; n > 0 {
			places := "one more place"
			if n > 1 {
				places = fmt.Sprintf("%d more places", n)
			}
			kept[i].Detail = strings.TrimSpace(d.Detail + "\nthe same in " + places)
		}
	}
	return kept
}

func (r *run) emit(e event.Event) { r.secrets.Emit(e) }

func (r *run) nextID() int {
	r.lastID++
	return r.lastID
}

// summary has every host of every play, also those that nothing was done for.
func (r *run) summary(ctx context.Context) Summary {
	s := Summary{Hosts: map[string]event.Totals{}, Interrupted: ctx.Err() != nil, Contacted: r.links.contacted}
	for _, name := range r.order {
		s.Hosts[name] = r.hosts[name].totals
	}
	return s
}

// languageVersion is the version of ansible-core whose language this is.
var languageVersion = map[string]any{"full": "2.14.18", "string": "2.14.18", "major": 2, "minor": 14, "revision": 18}

// magicOf adds the magic variables that tell how rbdplay was called.
func magicOf(o Options, magic map[string]any) map[string]any {
	magic["ansible_version"] = languageVersion
	magic["ansible_forks"], magic["ansible_verbosity"] = o.Forks, o.Verbosity
	magic["ansible_inventory_sources"] = anys(o.Inventory.Sources())
	if o.Limit != "" {
		magic["ansible_limit"] = o.Limit
	}
	return magic
}

func runTags(tags []string) []any {
	if len(tags) == 0 {
		return []any{"all"}
	}
	return anys(tags)
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// selected reports whether the task is to run: by its tags, and by the task that
// the run starts at. started is set when that is reached.
func (r *run) selected(t *play.Task, started *bool) bool {
	if !*started {
		if t.ID != r.StartAt.ID {
			return false
		}
		*started = true
	}
	return r.Selection.Selects(t.Tags)
}
