package play

import (
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// Invariant is one entry of `invariant:`: what must hold before and after each
// batch of a play's hosts, or before and after a block.
type Invariant struct {
	Name  string
	Range diag.Range
	// Steps are the tasks that find out what the conditions ask for, and last the
	// assertion of these, once for all hosts. They run whatever tags are chosen.
	Steps []Step
}

// invariants reads `invariant:` of a play or block.
func (l *loader) invariants(f *syntax.Fields, around surroundings) []*Invariant {
	node, ok := f.Get("invariant")
	if !ok {
		return nil
	}
	items, err := node.AsList()
	if err != nil {
		l.addError(node.Range, err)
		return nil
	}
	if around.handlers {
		l.add(node.Errorf("handlers have no invariant"))
	}
	around.notify = nil
	around.inherited.Tags = append(slices.Clone(around.inherited.Tags), tagAlways)
	var all []*Invariant
	for _, item := range items {
		inner, err := item.Fields()
		if err != nil {
			l.addError(item.Range, err)
			continue
		}
		if one := l.invariant(inner, around); one != nil {
			all = append(all, one)
		}
	}
	return all
}

func (l *loader) invariant(f *syntax.Fields, around surroundings) *Invariant {
	l.checkKeywords(f, "an invariant", []string{"name", "that", "tasks"}, nil)
	name, err := f.Require("name")
	if err != nil {
		l.add(f.Node.Errorf("the invariant has no name").WithHint("the run says it when the invariant breaks"))
		return nil
	}
	that, err := f.Require("that")
	if err != nil {
		l.add(f.Node.Errorf("the invariant says nothing that must hold").WithHint("write a condition, or a list, under \"that:\""))
		return nil
	}
	one := &Invariant{Range: start(f.Node.Range)}
	one.Name, _ = l.literalText(name, "the name of an invariant")
	one.Steps = l.stepsOf(f, "tasks", around)
	walkSteps(around.play, one.Steps, func(_ *Play, t *Task) {
		if len(t.Notify) > 0 {
			l.add(diag.New(t.Notify[0].Range, "a task of an invariant only looks, and notifies nobody"))
		}
	})
	one.Steps = append(one.Steps, l.assertion(one.Name, that, around))
	return one
}

// assertion is the task that holds the conditions, on the first host and for all.
func (l *loader) assertion(name string, that *syntax.Node, around surroundings) *Task {
	spec, ok := l.registry.Find("assert")
	if !ok {
		l.add(that.Errorf("there is no module assert, which an invariant needs"))
	}
	l.lastID++
	t := &Task{
		ID: l.lastID, Name: "Invariant: " + name, Module: "assert", Range: that.Range, Role: around.role,
		Action: RunModule, Spec: spec, Args: &Arguments{Range: that.Range}, That: l.conditions("that", that),
		Layers: around.layers, Inherited: around.inherited,
		files: &fileSearch{loader: l, role: around.role, dir: around.dir, home: around.home},
	}
	t.LoopControl.Var = "item"
	t.RunOnce = &Setting[bool]{Range: that.Range, name: "run_once", value: true}
	t.AnyErrorsFatal = &Setting[bool]{Range: that.Range, name: "any_errors_fatal", value: true}
	t.IgnoreErrors = nil
	return t
}

// stepsOfAll are the steps of invariants, in their order.
func stepsOfAll(invariants []*Invariant) []Step {
	var steps []Step
	for _, one := range invariants {
		steps = append(steps, one.Steps...)
	}
	return steps
}
