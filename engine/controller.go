package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/modules"
)

// control does the work of a module that needs no host.
func (x *execution) control(ctx context.Context, h *host, it *item) error {
	args, err := x.task.Args.Render(ctx, it.scope)
	if err != nil {
		return err
	}
	if do := x.reached(x.task.Spec.Name); do != nil {
		return x.controlReached(ctx, h, it, args, do)
	}
	it.registered = map[string]any{"changed": false, "failed": false}
	it.outcome = modules.Outcome{Status: modules.OK, Result: modules.Result{}}
	switch x.task.Spec.Name {
	case "debug":
		err = x.debug(ctx, h, it, args)
	case "assert":
		err = x.assert(ctx, it, args)
	case "set_fact":
		err = x.setFact(ctx, h, it, args)
	case "fail":
		err = x.fail(it, args)
	case "include_vars":
		err = x.includeVars(ctx, h, it, args)
	case "add_host":
		err = x.addHost(ctx, it, args)
	case "group_by":
		err = x.groupBy(h, it, args)
	default:
		err = fmt.Errorf("the engine does not know how to do %s", x.task.Spec.Name)
	}
	if err != nil {
		return err
	}
	maps.Copy(it.registered, it.outcome.Result)
	if it.outcome.Status == modules.OK || it.outcome.Status == modules.Failed {
		x.conditions(ctx, it)
	}
	return nil
}

// decode fills the argument struct of a module that the engine does itself.
func decode[T modules.Module](x *execution, args map[string]any) (T, error) {
	m, problems := x.task.Spec.Decode(args, nil)
	if len(problems) > 0 {
		var none T
		p := problems[0]
		return none, diag.New(x.task.Args.Where(p.Argument), "%s", p.Summary).WithHint(p.Hint)
	}
	return m.(T), nil //nolint:forcetypeassert // the spec of that name makes it
}

func (x *execution) debug(ctx context.Context, h *host, it *item, args map[string]any) error {
	a, err := decode[*modules.DebugArgs](x, args)
	if err != nil {
		return err
	}
	if a.Verbosity > x.Verbosity {
		it.outcome.Status, it.outcome.Message = modules.Skipped, fmt.Sprintf("shown with -v given %d times", a.Verbosity)
		it.registered["skipped"] = true
		return nil
	}
	key, value := "msg", a.Msg
	if x.task.Var != nil {
		key = x.task.Var.Source()
		if value, err = x.task.Var.Evaluate(ctx, it.scope); err != nil {
			return err
		}
		if unknown, ok := value.(expression.Unknown); ok {
			return &play.UnknownError{Reason: unknown.Reason}
		}
	} else if value == nil {
		value = "Hello world!"
	}
	if value, err = expression.Plain(ctx, value); err != nil {
		return err
	}
	it.outcome.Result[key] = value
	noLog, err := x.task.NoLog.Get(ctx, it.scope)
	if err != nil {
		return err
	}
	if noLog {
		value = noLogText
	}
	x.emit(event.Message{Task: x.id, Host: h.name, Text: showValue(key, value)})
	return nil
}

// showValue is how debug shows a value.
func showValue(key string, value any) string {
	text, ok := value.(string)
	if !ok {
		text = expression.Text(value)
	}
	if key == "msg" {
		return text
	}
	return key + " = " + text
}

// assert tests every condition and names all that do not hold.
func (x *execution) assert(ctx context.Context, it *item, args map[string]any) error {
	var failing []*play.Condition
	for _, c := range x.task.That {
		holds, err := c.Test(ctx, it.scope)
		if err != nil {
			return err
		}
		if !holds {
			failing = append(failing, c)
		}
	}
	if len(failing) == 0 {
		message := "All assertions passed"
		if text, ok := args["success_msg"]; ok {
			message = expression.Text(text)
		}
		it.outcome.Result["msg"] = message
		return nil
	}
	message := "Assertion failed: " + texts(failing)
	for _, name := range []string{"fail_msg", "msg"} {
		if text, ok := args[name]; ok {
			message = expression.Text(text)
		}
	}
	it.outcome.Result["assertion"], it.outcome.Result["evaluated_to"] = failing[0].Text, false
	x.failItem(it, message)
	return nil
}

func (x *execution) failItem(it *item, message string) {
	it.outcome.Status, it.outcome.Message = modules.Failed, message
	if it.registered == nil {
		it.registered = map[string]any{"changed": false}
	}
	it.registered["failed"], it.registered["msg"] = true, message
}

func (x *execution) fail(it *item, args map[string]any) error {
	a, err := decode[*modules.FailArgs](x, args)
	if err == nil {
		x.failItem(it, a.Msg)
	}
	return err
}

func (x *execution) setFact(ctx context.Context, h *host, it *item, args map[string]any) error {
	cacheable := truth(args["cacheable"])
	delete(args, "cacheable")
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if problem := scope.CheckName(name); problem != "" {
			return diag.New(x.task.Args.Where(name), "%s", problem)
		}
	}
	it.outcome.Result["ansible_facts"] = args
	x.keepFacts(ctx, h, it, func(owner *scope.Host) {
		for name, value := range args {
			owner.SetFact(name, value, cacheable, x.task.Args.Where(name))
		}
	})
	return nil
}

// validateArgs holds a role's arguments against its specification.
func (x *execution) validateArgs(ctx context.Context, it *item) error {
	spec := x.task.ArgumentSpec
	found := spec.Check(ctx, it.scope)
	if err := found.ErrorOrNil(); err != nil {
		x.itemFault(it, err)
		errors := make([]any, len(found))
		for i, d := range found {
			errors[i] = d.Summary
		}
		it.registered["argument_errors"] = errors
		it.registered["validate_args_context"] = map[string]any{
			"type": "role", "name": spec.Role, "argument_spec_name": spec.Entry, "path": x.task.Role.Dir,
		}
		return nil
	}
	it.outcome = modules.Outcome{Status: modules.OK, Result: modules.Result{}}
	it.registered = map[string]any{"changed": false, "failed": false}
	return nil
}
