package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// series are the runs of one engine under one condition.
type series struct {
	engine    string
	condition string // "0 ms", "109 ms", "1,000 hosts"
	runs      []outcome
}

// middle is the run of median length.
func (s series) middle() outcome {
	sorted := slices.Clone(s.runs)
	slices.SortFunc(sorted, func(a, b outcome) int { return int(a.took - b.took) })
	return sorted[len(sorted)/2]
}

// spread is the shortest and the longest run.
func (s series) spread() (shortest, longest time.Duration) {
	shortest, longest = s.runs[0].took, s.runs[0].took
	for _, r := range s.runs {
		shortest, longest = min(shortest, r.took), max(longest, r.took)
	}
	return shortest, longest
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
	repeat    map[string]int                  // runs of each engine; 3 when not said
	warm      bool                            // an uncounted run of each engine first
}

// measure runs the trial: engine after engine, again and again, so that what else
// happens on the machine meets all of them.
func (t trial) measure(ctx context.Context) ([]series, error) {
	all := make([]series, len(t.engines))
	most := 0
	for i, e := range t.engines {
		all[i] = series{engine: e.name, condition: t.condition}
		most = max(most, t.times(e))
	}
	first := 0
	if t.warm {
		first = -1
	}
	for round := first; round < most; round++ {
		for i, e := range t.engines {
			if round >= t.times(e) {
				continue
			}
			o, err := t.once(ctx, e)
			if err != nil {
				return nil, err
			}
			if round >= 0 {
				all[i].runs = append(all[i].runs, o)
			}
		}
	}
	return all, nil
}

func (t trial) times(e engine) int {
	if n, ok := t.repeat[e.name]; ok {
		return n
	}
	return 3
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

// repeats are the runs of each engine: the peers take their time.
func repeats(o options) map[string]int {
	if o.short {
		return map[string]int{"rbdplay": 3, "ansible": 1, "mitogen": 1}
	}
	return map[string]int{"rbdplay": 7, "ansible": 3, "mitogen": 3}
}
