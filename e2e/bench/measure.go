package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

// summed makes a figure of the runs of one engine under one condition.
func summed(engine, condition string, runs []outcome) figure {
	sorted := slices.Clone(runs)
	slices.SortFunc(sorted, func(a, b outcome) int { return cmp.Compare(a.took, b.took) })
	middle := sorted[(len(sorted)-1)/2] // of two the shorter: those are a peer's
	return figure{
		Engine: engine, Condition: condition, Runs: len(runs),
		Median: middle.took, Shortest: sorted[0].took, Longest: sorted[len(sorted)-1].took,
		CPU: middle.cpu, Peak: middle.peak, Hosts: middle.hosts,
	}
}

// trial is a playbook that every engine runs, in turn.
type trial struct {
	condition string
	playbook  string
	inventory string
	args      []string
	engines   []engine
	before    func(ctx context.Context) error // puts the hosts into the state to start from; nil: nothing
	changed   int                             // that every engine must report in all; negative: whatever it is
	repeat    map[string]int                  // runs of each engine, by name; nil: 3 of each
	warm      string                          // a playbook that each engine runs first, uncounted: its connections are made
}

// measure runs the trial: engine after engine, again and again, so that what else
// happens on the machine meets all of them.
func (t trial) measure(ctx context.Context) ([]figure, error) {
	runs := map[string][]outcome{}
	most := 0
	for _, e := range t.engines {
		most = max(most, t.times(e))
	}
	if err := t.warmUp(ctx); err != nil {
		return nil, err
	}
	for round := range most {
		for _, e := range t.engines {
			if round >= t.times(e) {
				continue
			}
			o, err := t.once(ctx, e)
			if err != nil {
				return nil, err
			}
			fmt.Printf("  %s, %s: %s\n", t.condition, e.name, show(o.took))
			runs[e.name] = append(runs[e.name], o)
		}
	}
	var all []figure
	for _, e := range t.engines {
		if len(runs[e.name]) > 0 {
			all = append(all, summed(e.name, t.condition, runs[e.name]))
		}
	}
	return all, nil
}

func (t trial) warmUp(ctx context.Context) error {
	for _, e := range t.engines {
		if t.warm == "" || t.times(e) == 0 {
			continue
		}
		if _, err := e.run(ctx, t.warm, t.inventory); err != nil {
			return err
		}
	}
	return nil
}

// times are the runs of an engine: 3 when nothing was said of any.
func (t trial) times(e engine) int {
	if t.repeat == nil {
		return 3
	}
	return t.repeat[e.name]
}

func (t trial) once(ctx context.Context, e engine) (outcome, error) {
	if t.before != nil {
		if err := t.before(ctx); err != nil {
			return outcome{}, err
		}
	}
	o, err := e.run(ctx, t.playbook, t.inventory, t.args...)
	if err == nil && t.changed >= 0 && o.changed != t.changed {
		err = fmt.Errorf("%s changed %d things where all should change %d", e.name, o.changed, t.changed)
	}
	return o, err
}

// runs are how often each engine runs. The peers take their time, so they run less
// often, and in the short form not at all.
func runs(o options, ours, theirs int) map[string]int {
	if o.short {
		return map[string]int{rbdplay: min(ours, 3)}
	}
	return map[string]int{rbdplay: ours, ansible: theirs, mitogen: theirs}
}
