package modules

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// planned is a module whose plans are given one after another.
type planned struct {
	plans []func() (Plan, error)
	asked int
}

func (p *planned) Plan(context.Context, sys.Reader) (Plan, error) {
	p.asked++
	return p.plans[p.asked-1]()
}

func plans(list ...any) *planned {
	p := &planned{}
	for _, item := range list {
		p.plans = append(p.plans, func() (Plan, error) {
			if err, bad := item.(error); bad {
				return Plan{}, err
			}
			return item.(Plan), nil
		})
	}
	return p
}

func aStep(target string, err error) Step {
	return act{[]change.Change{update(target, "content", "a", "b")}, func(context.Context, sys.Host, Result) error { return err }}
}

func TestRunOutcomes(t *testing.T) {
	broken, unknown := errors.New("broken"), &sys.UnknownError{What: "x", Because: "y"}
	event := func(err error) Step {
		return happening("service", "restart", func(context.Context, sys.Host, Result) error { return err })
	}
	tests := map[string]struct {
		module  *planned
		status  Status
		message string
		changes int
		result  Result
		unknown string
	}{
		"nothing to do":         {module: plans(Plan{Result: Result{"a": 1}}), status: OK, result: Result{"a": 1}},
		"skipped":               {module: plans(Plan{Skipped: "it exists"}), status: Skipped, message: "it exists"},
		"no plan":               {module: plans(broken), status: Failed, message: "broken"},
		"plan unknown":          {module: plans(unknown), status: Deferred, message: "not known"},
		"the second plan tells": {module: plans(Plan{Steps: []Step{aStep("f", nil)}, Result: Result{"a": 1}, Once: Result{"msg": "m"}}, Plan{Result: Result{"a": 2}, Once: Result{"msg": ""}}), status: Changed, changes: 1, result: Result{"a": 2, "msg": "m"}},
		"still different":       {module: plans(Plan{Steps: []Step{aStep("f", nil)}}, Plan{Steps: []Step{aStep("f", nil)}}), status: Failed, message: "still sees a difference: update f content", changes: 1},
		"second plan fails":     {module: plans(Plan{Steps: []Step{aStep("f", nil)}}, broken), status: Failed, message: "looking again", changes: 1},
		"half-way":              {module: plans(Plan{Steps: []Step{aStep("f", nil), aStep("g", broken), aStep("h", nil)}}), status: Failed, message: "broken; already done: update f content", changes: 1},
		"step unknown":          {module: plans(Plan{Steps: []Step{aStep("f", unknown)}}), status: Deferred, message: "not known"},
		"an event":              {module: plans(Plan{Steps: []Step{event(nil)}}), status: Changed, changes: 1},
		"an unknown event":      {module: plans(Plan{Steps: []Step{event(unknown)}}), status: Changed, changes: 1, unknown: "y"},
		"event left over":       {module: plans(Plan{Steps: []Step{aStep("f", nil)}}, Plan{Steps: []Step{event(nil)}}), status: Changed, changes: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out := Run(t.Context(), test.module, sys.NewReal(), Emit{})
			if out.Status != test.status || !strings.Contains(out.Message, test.message) || len(out.Changes) != test.changes || out.Unknown != test.unknown {
				t.Errorf("got %+v", out)
			}
			if diff := cmp.Diff(test.result, out.Result); test.result != nil && diff != "" {
				t.Error(diff)
			}
			if test.module.asked != len(test.module.plans) {
				t.Errorf("planned %d times, want %d", test.module.asked, len(test.module.plans))
			}
		})
	}
}

func TestRunEmitsInOrder(t *testing.T) {
	var seen []string
	note := func(kind string) func([]change.Change) {
		return func(changes []change.Change) { seen = append(seen, kind+" "+changes[0].Target) }
	}
	echo := happening("echo", "command", func(ctx context.Context, host sys.Host, _ Result) error {
		_, err := host.Change().Run(ctx, sys.Command{Args: []string{"echo", "hello"}})
		return err
	})
	out := Run(t.Context(), plans(Plan{Steps: []Step{echo, aStep("f", nil)}}, Plan{}), sys.NewReal(), Emit{
		Planned: note("planned"), Done: note("done"),
		Output: func(stream string, line []byte) { seen = append(seen, stream+" "+strings.TrimSpace(string(line))) },
	})
	want := []string{"planned echo", "stdout hello", "done echo", "planned f", "done f"}
	if diff := cmp.Diff(want, seen); diff != "" || out.Status != Changed {
		t.Errorf("%+v %s", out, diff)
	}
}

// A plan is given nothing to write with, whatever it asks for.
func TestPlansCannotWrite(t *testing.T) {
	looks := 0
	m := plansWith(func(host sys.Reader) {
		looks++
		if _, can := host.(sys.Host); can {
			t.Error("the plan got a host that can be changed")
		}
	})
	Run(t.Context(), m, sys.NewReal(), Emit{})
	if looks != 1 {
		t.Errorf("planned %d times", looks)
	}
}

type plansWith func(host sys.Reader)

func (p plansWith) Plan(_ context.Context, host sys.Reader) (Plan, error) {
	p(host)
	return Plan{}, nil
}
