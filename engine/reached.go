package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// reached are the modules that the controller carries out with a host: their
// outcome is judged like a host's own. An error is a fault of the controller's
// side, or that the host cannot be reached.
func (x *execution) reached(name string) func(context.Context, *host, *item, map[string]any) (modules.Outcome, error) {
	switch name {
	case "fetch":
		return x.fetch
	case "raw":
		return x.raw
	case "pause":
		return x.pauseRun
	case "wait_for_connection":
		return x.waitForConnection
	case "reboot":
		return x.reboot
	}
	return nil
}

// controlReached carries out such a module under the task's timeout.
func (x *execution) controlReached(ctx context.Context, h *host, it *item, args map[string]any, do func(context.Context, *host, *item, map[string]any) (modules.Outcome, error)) error {
	limited, cancel, err := x.limited(ctx, it)
	if err != nil {
		return err
	}
	defer cancel()
	it.begun, it.life = nil, ctx
	if it.outcome, err = do(limited, h, it, args); err != nil && limited.Err() != nil {
		it.outcome, err = modules.Outcome{Status: modules.Failed, Message: interruption(limited)}, nil
	}
	if err == nil {
		x.judge(ctx, h, it)
	}
	return err
}

// announce shows what is about to be done on the controller or to the host.
func (x *execution) announce(h *host, it *item, c change.Change) {
	it.begun = []change.Change{c}
	x.emit(event.Planned{Task: x.id, Host: h.name, Item: it.show.text(it.label), Changes: it.show.changes(it.begun)})
}

// announced is the outcome of what was announced and has been done.
func (x *execution) announced(h *host, it *item, result modules.Result) modules.Outcome {
	done := it.begun
	it.begun = nil
	x.emit(event.StepDone{Task: x.id, Host: h.name, Item: it.show.text(it.label), Changes: it.show.changes(done)})
	return modules.Outcome{Status: modules.Changed, Changes: done, Result: result}
}

func failedWith(result modules.Result, format string, args ...any) modules.Outcome {
	return modules.Outcome{Status: modules.Failed, Message: fmt.Sprintf(format, args...), Result: result}
}

// onHost runs a module on the host for one that the controller carries out.
func (x *execution) onHost(ctx context.Context, runner agent.Runner, it *item, module string, args map[string]any) (modules.Outcome, error) {
	outcomes, err := runner.Run(ctx, agent.Task{
		Module: module, Items: []map[string]any{args}, Check: it.check, Fresh: it.check && !x.Check,
	}, func(agent.Event) {})
	if err != nil || len(outcomes) == 0 {
		return lost(ctx, err), err
	}
	return outcomes[0], nil
}

// rest sleeps, and says when ctx ended meanwhile.
func rest(ctx context.Context, seconds float64) error {
	sleep(ctx, time.Duration(seconds*float64(time.Second)))
	return ctx.Err()
}
