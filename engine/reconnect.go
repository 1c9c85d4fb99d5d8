package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

// patience is how a host is waited for.
type patience struct {
	life                   context.Context //nolint:containedctx // of the connection that is made in the end
	target                 Target
	whole, single, between float64 // seconds: for all tries, for one, between two
}

// waitForConnection waits until the host's agent answers.
func (x *execution) waitForConnection(ctx context.Context, h *host, it *item, args map[string]any) (modules.Outcome, error) {
	a, err := decode[*modules.WaitForConnectionArgs](x, args)
	if err != nil {
		return modules.Outcome{}, err
	}
	target, err := x.target(ctx, x.doer(h, it), it.scope)
	if err != nil {
		return modules.Outcome{}, err
	}
	ping := func(ctx context.Context, runner agent.Runner) error {
		out, err := x.onHost(ctx, runner, it, "ping", map[string]any{})
		if err == nil && out.Status != modules.OK {
			err = errors.New(out.Message)
		}
		return err
	}
	if it.check { // the connection that there is holds the shadow
		runner, err := x.links.get(it.life, target)
		if err == nil {
			err = ping(ctx, runner)
		}
		if err != nil && ctx.Err() == nil {
			return modules.Outcome{}, &play.UnknownError{Reason: "whether " + target.Host + " can be reached by then"}
		}
		return modules.Outcome{Status: modules.OK, Result: modules.Result{"elapsed": 0}}, err
	}
	began := time.Now()
	if err := rest(ctx, a.Delay); err != nil {
		return modules.Outcome{}, err
	}
	if err := x.reach(ctx, patience{it.life, target, a.Timeout, a.ConnectTimeout, a.Sleep}, ping); err != nil {
		return failedWith(modules.Result{"elapsed": since(began)}, "timed out waiting for the connection: %v", err), ctx.Err()
	}
	return modules.Outcome{Status: modules.OK, Result: modules.Result{"elapsed": since(began)}}, nil
}

func since(began time.Time) int { return int(time.Since(began).Seconds()) }

// reach makes new connections until try succeeds on one, or the time is over.
func (x *execution) reach(ctx context.Context, p patience, try func(context.Context, agent.Runner) error) error {
	whole, cancel := context.WithTimeout(ctx, time.Duration(p.whole*float64(time.Second)))
	defer cancel()
	for {
		err := x.reachOnce(whole, p, try)
		if err == nil {
			return nil
		}
		if rest(whole, p.between) != nil {
			return fmt.Errorf("%s was not ready within %g seconds: %w", p.target.Host, p.whole, err)
		}
	}
}

func (x *execution) reachOnce(ctx context.Context, p patience, try func(context.Context, agent.Runner) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.single*float64(time.Second)))
	defer cancel()
	runner, err := x.links.renew(ctx, p.life, p.target)
	if err != nil {
		return err
	}
	return try(ctx, runner)
}

// renew gives up what connections there are to target's host and makes a new one.
// Unlike get, one that fails may be tried again. ctx ends the trying; the
// connection lives as long as life.
func (l *links) renew(ctx, life context.Context, target Target) (agent.Runner, error) {
	l.touched()
	l.connector.Forget(target) // first: an agent behind a dead connection cannot be told to end
	mine := l.link(target)
	for _, one := range l.ofHost(target.Host) {
		select {
		case one.busy <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if one.runner != nil {
			_ = one.runner.Close() // its connection has been closed
		}
		if one.giveUp != nil {
			one.giveUp()
		}
		one.runner, one.err, one.giveUp = nil, nil, nil
		<-one.busy
	}
	select {
	case mine.busy <- struct{}{}:
		defer func() { <-mine.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	whole, giveUp := context.WithCancel(life)
	stop := context.AfterFunc(ctx, giveUp)
	runner, _, err := l.connector.Connect(whole, target, l.contents)
	if err != nil || !stop() { // given up while it was made
		giveUp()
		if err == nil {
			_ = runner.Close() // nobody waits for it any more
			err = ctx.Err()
		}
		return nil, err
	}
	mine.runner, mine.giveUp = runner, giveUp
	return runner, nil
}

func (l *links) ofHost(name string) []*link {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []*link
	for key, one := range l.all {
		if key.host == name {
			all = append(all, one)
		}
	}
	return all
}

// reboot reboots the host and waits until it is back.
func (x *execution) reboot(ctx context.Context, h *host, it *item, args map[string]any) (modules.Outcome, error) {
	a, err := decode[*modules.RebootArgs](x, args)
	if err != nil {
		return modules.Outcome{}, err
	}
	target, err := x.target(ctx, x.doer(h, it), it.scope)
	if err != nil {
		return modules.Outcome{}, err
	}
	if target.Connection.Kind == inventory.Local {
		return modules.Outcome{}, diag.New(x.task.Range, "%s is the machine that rbdplay runs on; it is not rebooted", target.Host)
	}
	runner, err := x.links.get(it.life, target)
	if err != nil {
		return modules.Outcome{}, err
	}
	event := change.Change{Target: "reboot of " + target.Host, Action: change.Run}
	if it.check {
		x.announce(h, it, event)
		// The shadow has to know that something will have run.
		out, err := x.rebootCommand(ctx, runner, it, a)
		if err != nil || out.Status == modules.Failed {
			return out, err
		}
		return modules.Outcome{Status: modules.Changed, Changes: it.begun, Result: modules.Result{}, Unknown: "what the host is like after its reboot"}, nil
	}
	return x.rebootNow(ctx, h, it, a, rebooting{target, runner, event})
}

type rebooting struct {
	target Target
	runner agent.Runner
	event  change.Change
}

func (x *execution) rebootNow(ctx context.Context, h *host, it *item, a *modules.RebootArgs, r rebooting) (modules.Outcome, error) {
	began := time.Now()
	boot, err := x.said(ctx, r.runner, it, a.BootTimeCommand)
	if err != nil {
		return failedWith(nil, "boot_time_command: %v; nothing was rebooted", err), ctx.Err()
	}
	if err := rest(ctx, a.PreRebootDelay); err != nil {
		return modules.Outcome{}, err
	}
	x.announce(h, it, r.event)
	out, err := x.rebootCommand(ctx, r.runner, it, a)
	if err == nil && out.Status == modules.Failed && !signalled(out) {
		return failedWith(modules.Result{"rebooted": false}, "reboot_command: %s", out.Message), ctx.Err()
	}
	result := func(rebooted bool) modules.Result {
		return modules.Result{"rebooted": rebooted, "elapsed": since(began)}
	}
	err = x.reach(ctx, patience{it.life, r.target, a.RebootTimeout, a.ConnectTimeout, 1}, func(ctx context.Context, runner agent.Runner) error {
		now, err := x.said(ctx, runner, it, a.BootTimeCommand)
		if err == nil && now == boot {
			err = errors.New("it has not gone down yet")
		}
		return err
	})
	if err != nil {
		return failedWith(result(false), "timed out waiting for the reboot: %v", err), ctx.Err()
	}
	if err := rest(ctx, a.PostRebootDelay); err != nil {
		return modules.Outcome{}, err
	}
	err = x.reach(ctx, patience{it.life, r.target, a.RebootTimeout, a.ConnectTimeout, 1}, func(ctx context.Context, runner agent.Runner) error {
		_, err := x.said(ctx, runner, it, a.TestCommand)
		return err
	})
	if err != nil {
		return failedWith(result(true), "the host is back, and test_command fails: %v", err), ctx.Err()
	}
	return x.announced(h, it, result(true)), nil
}

// rebootCommand runs what reboots. That the host is lost over it is as it should be.
func (x *execution) rebootCommand(ctx context.Context, runner agent.Runner, it *item, a *modules.RebootArgs) (modules.Outcome, error) {
	words, err := modules.SplitWords(a.RebootCommand)
	if err != nil {
		return modules.Outcome{}, err
	}
	if a.RebootCommand == "shutdown -r now" {
		words = append(words, a.Msg)
	}
	out, err := x.onHost(ctx, runner, it, "command", map[string]any{"argv": anyList(words)})
	if it.check || ctx.Err() != nil {
		return out, err
	}
	if out.Status == modules.Unreachable {
		out.Status = modules.Changed
	}
	return out, nil
}

// signalled tells that the command was ended by the going down itself.
func signalled(out modules.Outcome) bool {
	switch rc := out.Result["rc"].(type) {
	case int:
		return rc > 128
	case int64:
		return rc > 128
	case uint64:
		return rc > 128
	}
	return false
}

// said is the output of a command that must succeed.
func (x *execution) said(ctx context.Context, runner agent.Runner, it *item, command string) (string, error) {
	words, err := modules.SplitWords(command)
	if err != nil {
		return "", err
	}
	out, err := x.onHost(ctx, runner, it, "command", map[string]any{"argv": anyList(words)})
	if err != nil {
		return "", err
	}
	if out.Status != modules.Changed {
		return "", errors.New(out.Message)
	}
	text, _ := out.Result["stdout"].(string)
	return text, nil
}

func anyList(words []string) []any {
	list := make([]any, len(words))
	for i, w := range words {
		list[i] = w
	}
	return list
}
