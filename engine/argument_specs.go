package engine

import (
	"context"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
)

// writtenArguments holds the arguments of the roles that describe theirs against
// the description, as far as they are written down and the role is sure to be
// used, before anybody is contacted. plays has the hosts of each play. The rest is
// for the task that checks them all, right before the role.
func (r *run) writtenArguments(ctx context.Context, plays [][]string) diag.List {
	var found diag.List
	for i, p := range r.Playbook.Plays {
		if i >= len(plays) || len(plays[i]) == 0 || p.Hosts == nil {
			continue
		}
		scopes, err := r.vars.Play(scope.PlayOptions{Name: p.Name, Hosts: plays[i], Layers: p.Layers})
		if err != nil {
			found.AddError(p.Range, err)
			continue
		}
		for _, t := range certainSpecs(p) {
			if !r.Selection.Selects(t.Tags) {
				continue
			}
			for _, name := range plays[i] {
				found = append(found, t.ArgumentSpec.CheckWritten(ctx, t.Scope(scopes.Scope(name)), r.Playbook.SetsLater)...)
			}
		}
	}
	return once(found)
}

// certainSpecs are the checks of arguments of a play that nothing can skip.
func certainSpecs(p *play.Play) []*play.Task {
	var certain []*play.Task
	var visit func(steps []play.Step)
	visit = func(steps []play.Step) {
		for _, step := range steps {
			switch step := step.(type) {
			case *play.Block:
				visit(step.Steps)
				visit(step.Always)
			case *play.Task:
				if step.Action == play.ValidateArgs && len(step.When) == 0 {
					certain = append(certain, step)
				}
			}
		}
	}
	for _, stage := range p.Stages {
		visit(stage.Steps)
	}
	return certain
}
