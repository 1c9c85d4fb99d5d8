package engine

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/modules"
)

// judge turns a module's outcome into the result that the task registers, and
// lets changed_when and failed_when have their say.
func (x *execution) judge(ctx context.Context, h *host, it *item) {
	o := &it.outcome
	it.registered = map[string]any{}
	maps.Copy(it.registered, o.Result)
	if o.Unknown != "" {
		for _, r := range x.task.Spec.Returns {
			if r.Run {
				it.registered[r.Name] = expression.Unknown{Reason: x.unknown().Reason}
			}
		}
	}
	if it.async != nil && it.check { // a shadow has no jobs
		for _, key := range []string{"ansible_job_id", "started", "finished", "results_file"} {
			it.registered[key] = expression.Unknown{Reason: x.unknown().Reason}
		}
	}
	if o.Message != "" {
		it.registered["msg"] = o.Message
	}
	it.mark(o.Status == modules.Changed || o.Status == modules.Failed && len(it.effects()) > 0)
	switch o.Status {
	case modules.Deferred:
		it.waits = o.Message
		return
	case modules.Skipped, modules.Unreachable:
		return
	case modules.OK, modules.Changed, modules.Failed:
	}
	x.conditions(ctx, it)
	if o.Unknown != "" && x.task.IgnoreErrors != nil && o.Status != modules.Deferred {
		// The play goes on either way, so that its going on does not tell.
		it.registered["failed"] = x.unknown()
	}
	if facts, ok := o.Result["ansible_facts"].(map[string]any); ok && (o.Status == modules.OK || o.Status == modules.Changed) {
		x.keepFacts(ctx, h, it, func(owner *scope.Host) { owner.SetFacts(facts, x.task.Range) })
	}
}

// effects are the changes that the item made. A command that ends with a failure
// has run all the same, though its step was never done.
func (it *item) effects() []change.Change {
	all := it.outcome.Changes
	if it.outcome.Idle {
		return all
	}
	for _, c := range it.begun {
		if c.Event() {
			all = append(slices.Clip(all), c)
		}
	}
	return all
}

// mark sets the keys that tell the status.
func (it *item) mark(changed bool) {
	status := it.outcome.Status
	it.registered["changed"] = changed
	it.registered["failed"] = status == modules.Failed || status == modules.Unreachable
	if status == modules.Unreachable {
		it.registered["unreachable"] = true
	}
	if status == modules.Skipped {
		it.registered["skipped"] = true
	}
}

// conditions applies changed_when and failed_when, in this order and whatever
// the module says; each sees the result under the name of register.
func (x *execution) conditions(ctx context.Context, it *item) {
	if x.task.ChangedWhen != nil {
		changed, _, err := play.All(ctx, x.task.ChangedWhen, x.resultScope(it))
		if err != nil {
			x.conditionFault(it, err)
			return
		}
		it.registered["changed"] = changed
	}
	failed := it.outcome.Status == modules.Failed
	if x.task.FailedWhen != nil {
		holds, _, err := play.All(ctx, x.task.FailedWhen, x.resultScope(it))
		switch _, unknown := play.IsUnknown(err); {
		case unknown:
			// As without failed_when: check mode takes it that a command succeeds.
		case err != nil:
			x.itemFault(it, err)
			return
		default:
			x.applyFailedWhen(it, holds)
			failed = holds
		}
	}
	if !failed {
		it.outcome.Status = modules.OK
		if changed, _ := it.registered["changed"].(bool); changed {
			it.outcome.Status = modules.Changed
		}
	}
}

// conditionFault ends an item whose changed_when cannot be told. What it did is
// known all the same.
func (x *execution) conditionFault(it *item, err error) {
	changes := it.effects()
	x.itemFault(it, err)
	it.outcome.Changes = changes
}

func (x *execution) applyFailedWhen(it *item, failed bool) {
	o := &it.outcome
	it.registered["failed"], it.registered["failed_when_result"] = failed, failed
	switch {
	case failed:
		o.Status = modules.Failed
		if o.Message == "" {
			o.Message = "failed_when holds: " + texts(x.task.FailedWhen)
		}
	case o.Status == modules.Failed:
		o.Changes = it.effects()
	}
}

func texts(conditions []*play.Condition) string {
	all := make([]string, len(conditions))
	for i, c := range conditions {
		all[i] = c.Text
	}
	return strings.Join(all, " and ")
}

// resultScope is the item's scope with its own result.
func (x *execution) resultScope(it *item) *scope.Scope {
	if x.task.Register == "" {
		return it.scope
	}
	return it.scope.With(scope.LoopVars, scope.Plain(map[string]any{x.task.Register: it.registered}, x.task.Range))
}

// keepFacts tells facts to the host, or with delegate_facts to the one that the
// task was delegated to. The host's own are there for others to share.
func (x *execution) keepFacts(ctx context.Context, h *host, it *item, tell func(owner *scope.Host)) {
	if it.delegate != "" {
		theirs, err := x.task.DelegateFacts.Get(ctx, it.scope)
		if err != nil {
			x.itemFault(it, err)
			return
		}
		if other, ok := x.vars.Host(it.delegate); ok && theirs {
			tell(other)
			return
		}
	}
	tell(h.vars)
	it.facts = append(it.facts, tell)
}
