package engine

import (
	"context"
	"slices"

	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/modules"
)

// scope is what a task of the play sees on a host, but for its own variables.
func (p *playRun) scope(h *host) *scope.Scope {
	return p.scopes.Scope(h.name).WithLayers(h.varsFiles).WithLayers(h.within)
}

// brought are the steps that an include, or one item of its loop, brings on a
// host.
type brought struct {
	steps []play.Step
	item  string      // tells items apart
	vars  *scope.Vars // of the loop
	waits string      // what check mode would have to know to tell whether the steps run
	shows *play.Exposure
}

// bring finds out what an include brings. doubt is why it cannot be told whether
// its condition holds.
func (x *execution) bring(ctx context.Context, h *host, it *item, doubt error) {
	if doubt == nil && h.waits != "" {
		doubt = &play.UnknownError{Reason: h.waits}
	}
	reason, unknown := play.IsUnknown(doubt)
	if doubt != nil && !unknown {
		x.itemFault(it, doubt)
		return
	}
	steps, err := x.task.Include.Steps(ctx, it.scope)
	if err == nil {
		err = it.fault
	}
	if err != nil {
		x.itemFault(it, err)
		return
	}
	b := brought{steps: steps, vars: it.vars, waits: reason}
	if it.looped {
		b.item = expression.Text(it.value)
	}
	name := ""
	if x.task.Action == play.IncludeRole {
		name, _ = x.task.Include.Role.Get(ctx, it.scope) // rendered a moment ago
		b.shows = x.task.Include.Shows(name)
	}
	it.brought = []brought{b}
	if unknown {
		x.deferItem(it, reason)
		return
	}
	it.outcome = modules.Outcome{Status: modules.OK, Result: modules.Result{}}
	it.registered = map[string]any{"changed": false, "failed": false, "include_args": map[string]any{}}
	if x.task.Action == play.IncludeRole {
		it.registered["include_args"] = map[string]any{"name": name}
	} else {
		it.registered["include"], _ = x.task.Include.File.Get(ctx, it.scope)
	}
}

// weight is what the end of a task counts in the recap: as in Ansible an include
// of tasks counts each time that it brings some, one of a role never.
func (e *taskEnd) weight() int {
	if e.include == nil {
		return 1
	}
	if e.include.Role != nil {
		return 0
	}
	return len(e.brought)
}

// group are the hosts on which an include brings the same.
type group struct {
	steps []play.Step
	shows *play.Exposure
	item  string
	hosts []*host
	each  map[*host]brought
}

// include runs what an include brings. Hosts for which it is the same go
// together, in the order of the first of each.
func (p *playRun) include(ctx context.Context, t *play.Task, hosts []*host, rescued, handler bool) {
	targets, ends := p.task(ctx, t, hosts, rescued, handler)
	for _, g := range grouped(targets, ends) {
		p.expose(g.shows)
		before := make([]hostState, len(g.hosts))
		for i, h := range g.hosts {
			before[i] = hostState{h.waits, h.within, h.role}
			if h.waits == "" {
				h.waits = g.each[h].waits
			}
			if vars := g.each[h].vars; vars.Len() > 0 {
				h.within = append(slices.Clip(h.within), scope.Layer{Level: scope.IncludeParams, Vars: vars})
			}
		}
		if p.apart == nil {
			p.order.add(g.steps, nil)
		}
		p.steps(ctx, g.steps, g.hosts, rescued)
		for i, h := range g.hosts {
			h.waits, h.within = before[i].waits, before[i].within
			if t.Action == play.IncludeRole {
				h.role = before[i].role // the role that was left is this one, or within it
			}
		}
	}
}

// hostState is what an include changes of a host while its steps run.
type hostState struct {
	waits  string
	within []scope.Layer
	role   *play.Role
}

// grouped puts together what is the same on several hosts. The same twice on one
// host stays apart.
func grouped(hosts []*host, ends []*taskEnd) []*group {
	var groups []*group
	for i, h := range hosts {
		for _, b := range ends[i].brought {
			if len(b.steps) == 0 {
				continue
			}
			g := groupFor(groups, b, h)
			if g == nil {
				g = &group{steps: b.steps, shows: b.shows, item: b.item, each: map[*host]brought{}}
				groups = append(groups, g)
			}
			g.hosts = append(g.hosts, h)
			g.each[h] = b
		}
	}
	return groups
}

func groupFor(groups []*group, b brought, h *host) *group {
	for _, g := range groups {
		if g.steps[0] == b.steps[0] && g.item == b.item && g.hosts[len(g.hosts)-1] != h {
			return g
		}
	}
	return nil
}
