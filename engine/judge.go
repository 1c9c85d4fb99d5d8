package engine

import (
	"context"
	"maps"

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
	if o.Message != "" {
		it.registered["msg"] = o.Message
	}
	x.loopKeys(it)
	it.mark()
	if o.Status == modules.Deferred {
		it.waits = o.Message
		return
	}
	if o.Status == modules.Skipped || o.Status == modules.Unreachable {
		return
	}
	x.conditions(ctx, it)
	if facts, ok := o.Result["ansible_facts"].(map[string]any); ok && o.Status != modules.Failed {
		x.keepFacts(ctx, h, it, facts)
	}
}

// mark sets the keys that tell the status.
func (it *item) mark() {
	status := it.outcome.Status
	it.registered["changed"] = status == modules.Changed || status == modules.Failed && len(it.outcome.Changes) > 0
	it.registered["failed"] = status == modules.Failed || status == modules.Unreachable
	if status == modules.Unreachable {
		it.registered["unreachable"] = true
	}
	if status == modules.Skipped {
		it.registered["skipped"] = true
	}
}

// loopKeys adds what a result of a loop says of its item.
func (x *execution) loopKeys(it *item) {
	if it.looped {
		it.registered[x.task.LoopControl.Var] = it.value
		it.registered["ansible_loop_var"] = x.task.LoopControl.Var
	}
}

// conditions applies changed_when and failed_when; each sees the result under
// the name of register.
func (x *execution) conditions(ctx context.Context, it *item) {
	if x.task.ChangedWhen != nil && it.outcome.Status != modules.Failed {
		changed, _, err := play.All(ctx, x.task.ChangedWhen, x.resultScope(it))
		if err != nil {
			x.itemFault(it, err)
			return
		}
		it.outcome.Status = modules.OK
		if changed {
			it.outcome.Status = modules.Changed
		}
		it.mark()
	}
	if x.task.FailedWhen == nil {
		return
	}
	failed, _, err := play.All(ctx, x.task.FailedWhen, x.resultScope(it))
	if err != nil {
		x.itemFault(it, err)
		return
	}
	switch {
	case failed:
		it.outcome.Status = modules.Failed
		if it.outcome.Message == "" {
			it.outcome.Message = "failed_when holds: " + texts(x.task.FailedWhen)
		}
		it.registered["failed_when_result"] = true
	case it.outcome.Status == modules.Failed:
		it.outcome.Status = modules.OK
		if changed, _ := it.registered["changed"].(bool); changed {
			it.outcome.Status = modules.Changed
		}
		it.registered["failed_when_result"] = false
	}
	it.mark()
}

func texts(conditions []*play.Condition) string {
	text := ""
	for i, c := range conditions {
		if i > 0 {
			text += " and "
		}
		text += c.Text
	}
	return text
}

// resultScope is the item's scope with its own result.
func (x *execution) resultScope(it *item) *scope.Scope {
	if x.task.Register == "" {
		return it.scope
	}
	return it.scope.With(scope.LoopVars, scope.Plain(map[string]any{x.task.Register: it.registered}, x.task.Range))
}

// keepFacts stores facts for the host, or with delegate_facts for the one that
// the task was delegated to.
func (x *execution) keepFacts(ctx context.Context, h *host, it *item, facts map[string]any) {
	owner := h.vars
	if it.delegate != "" {
		theirs, err := x.task.DelegateFacts.Get(ctx, it.scope)
		if err != nil {
			x.itemFault(it, err)
			return
		}
		if other, ok := x.vars.Host(it.delegate); ok && theirs {
			owner = other
		}
	}
	owner.SetFacts(facts, x.task.Range)
}
