package modules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// Run plans m against host, does the steps, and plans again to see that nothing
// is left. It is the only way a module is run, in every mode: for check mode the
// caller passes a shadow. Cancelling ctx ends it between or within steps; the
// outcome then names what was done.
func Run(ctx context.Context, m Module, host sys.Host, emit Emit) Outcome {
	plan, err := m.Plan(ctx, sys.ReadOnly(NamesOnce(host)))
	out := Outcome{Status: OK, Result: Result{}}
	maps.Copy(out.Result, plan.Result)
	if err != nil { // a plan may say what it found before it failed: uri's status
		return ended(err, out)
	}
	maps.Copy(out.Result, plan.Once)
	if plan.Skipped != "" {
		out.Status, out.Message = Skipped, plan.Skipped
		return out
	}
	if len(plan.Steps) == 0 {
		return out
	}
	acting := host
	if emit.Output != nil {
		acting = output{host, emit.Output}
	}
	for _, step := range plan.Steps {
		if err := do(ctx, step, acting, emit, &out); err != nil {
			return ended(err, out)
		}
	}
	out.Status = Changed
	if allEvents(plan.Steps) {
		return out
	}
	return verify(ctx, m, host, out)
}

// output gives what commands with effects print to emit, unless the step wants it.
type output struct {
	sys.Host
	to func(stream string, line []byte)
}

func (o output) Change() sys.Writer { return outputWriter{o.Host.Change(), o.to} }

type outputWriter struct {
	sys.Writer
	to func(stream string, line []byte)
}

func (w outputWriter) Run(ctx context.Context, c sys.Command) (sys.Result, error) {
	if c.Output == nil {
		c.Output = w.to
	}
	return w.Writer.Run(ctx, c)
}

// do shows one step's changes, does it, and records it in out.
func do(ctx context.Context, step Step, host sys.Host, emit Emit, out *Outcome) error {
	changes := step.Changes()
	if len(changes) == 0 {
		return nil
	}
	if emit.Planned != nil {
		emit.Planned(changes)
	}
	err := step.Do(ctx, host, out.Result)
	if unknown, ok := sys.Unknown(err); ok && events(changes) {
		out.Unknown = unknown.Because
		err = nil
	}
	if err != nil {
		return err
	}
	out.Changes = append(out.Changes, changes...)
	if emit.Done != nil {
		emit.Done(changes)
	}
	return nil
}

// verify plans again: what still differs after doing is a fault of the module.
func verify(ctx context.Context, m Module, host sys.Host, out Outcome) Outcome {
	rest, err := m.Plan(ctx, sys.ReadOnly(NamesOnce(host)))
	if err != nil {
		return ended(fmt.Errorf("looking again after the changes: %w", err), out)
	}
	var left []string
	for _, step := range rest.Steps {
		for _, c := range step.Changes() {
			if !c.Event() {
				left = append(left, fmt.Sprintf("%s %s %s", c.Action, c.Target, c.Field))
			}
		}
	}
	if len(left) > 0 {
		out.Status = Failed
		out.Message = "the module did its steps and still sees a difference: " + strings.Join(left, "; ") +
			"; something else changes it at the same time, or the module is wrong"
		return out
	}
	maps.Copy(out.Result, rest.Result)
	return out
}

// ended turns an error into the outcome it means, keeping what was done so far.
func ended(err error, out Outcome) Outcome {
	if unknown, ok := sys.Unknown(err); ok {
		out.Status, out.Message = Deferred, unknown.Error()
		return out
	}
	out.Status, out.Message = Failed, err.Error()
	_, out.Idle = errors.AsType[*nothingDoneError](err)
	if len(out.Changes) > 0 {
		var done []string
		for _, c := range out.Changes {
			done = append(done, fmt.Sprintf("%s %s %s", c.Action, c.Target, c.Field))
		}
		out.Message += "; already done: " + strings.Join(done, "; ")
	}
	return out
}

// nothingDoneError is the failure of a step that had no effect.
type nothingDoneError struct{ error }

func (e *nothingDoneError) Unwrap() error { return e.error }

func allEvents(steps []Step) bool {
	for _, step := range steps {
		if !events(step.Changes()) {
			return false
		}
	}
	return true
}

func events(changes []change.Change) bool {
	for _, c := range changes {
		if !c.Event() {
			return false
		}
	}
	return true
}
