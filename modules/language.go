package modules

import (
	"context"
	"errors"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// onController is embedded in the arguments of modules that the engine carries
// out itself, so that they fit the contract of a module.
type onController struct{}

// Plan is never called: the engine does the work before a host is asked.
func (onController) Plan(context.Context, sys.Reader) (Plan, error) {
	return Plan{}, errors.New("this module is carried out by the controller, not on a host")
}

// DebugArgs are the arguments of debug.
type DebugArgs struct {
	onController
	Msg       any    `arg:"msg" doc:"What to show: a text, a list or a mapping. Without msg and var it is Hello world!"`
	Var       string `arg:"var" doc:"A variable or expression to show instead of msg, without braces."`
	Verbosity int    `arg:"verbosity" default:"0" doc:"Shown only with at least this many -v; skipped otherwise."`
}

// Validate refuses two things to show.
func (a *DebugArgs) Validate() error {
	if a.Msg != nil && a.Var != "" {
		return errors.New("debug: msg and var exclude each other; give one of them")
	}
	if a.Verbosity < 0 {
		return errors.New("debug: verbosity: wants 0 or more")
	}
	return nil
}

func debugSpec() Spec {
	return Spec{
		Name:    "debug",
		Summary: "Show a message or the value of an expression",
		Place:   OnController,
		New:     func() Module { return &DebugArgs{} },
		Returns: []Return{{Name: "msg", Type: "raw", Doc: "What was shown, for msg. With var the key is the expression itself."}},
		Examples: []Example{
			{"A message", `
debug:
  msg: "The VIP is {{ vip }}"`},
			{"A registered result, with -vv only", `
debug:
  var: result.stdout_lines
  verbosity: 2`},
		},
	}
}

// AssertArgs are the arguments of assert.
type AssertArgs struct {
	onController
	That       any    `arg:"that,required" doc:"An expression, or a list of them, without braces. All must hold."`
	FailMsg    string `arg:"fail_msg" alias:"msg" doc:"The message when one does not hold. Without it the message names the expression."`
	SuccessMsg string `arg:"success_msg" doc:"The message when all hold."`
	Quiet      bool   `arg:"quiet" default:"no" doc:"Without effect: results are always as short as Ansible makes them with quiet, and name only what does not hold."`
}

func assertSpec() Spec {
	return Spec{
		Name:    "assert",
		Summary: "Fail unless conditions hold",
		Place:   OnController,
		New:     func() Module { return &AssertArgs{} },
		Returns: []Return{
			{Name: "msg", Type: "string", Doc: "All assertions passed, success_msg, or why it failed."},
			{Name: "assertion", Type: "string", Doc: "The expression that did not hold."},
			{Name: "evaluated_to", Type: "bool", Doc: "What that expression came to."},
		},
		Examples: []Example{{"Two compute nodes, no more and no fewer", `
assert:
  that:
    - groups.compute | length == 2
    - vip is defined
  fail_msg: ha-minimal needs exactly two compute nodes and a VIP`}},
	}
}

// SetFactArgs are the arguments of set_fact; all others are the facts.
type SetFactArgs struct {
	onController
	Cacheable bool `arg:"cacheable" default:"no" doc:"Keep the facts as if setup had gathered them, so that they have the precedence of facts."`
}

func setFactSpec() Spec {
	return Spec{
		Name:    "set_fact",
		Summary: "Set variables of a host for the rest of the run",
		Notes:   []string{"Every argument besides cacheable is a variable. A value keeps its type: a lone expression that yields a list sets a list."},
		Place:   OnController,
		New:     func() Module { return &SetFactArgs{} },
		AnyArgs: true,
		Returns: []Return{{Name: "ansible_facts", Type: "dict", Doc: "The variables that were set."}},
		Examples: []Example{{"The other compute node", `
set_fact:
  peer: "{{ (groups.compute | difference([inventory_hostname])) | first }}"`}},
	}
}

// FailArgs are the arguments of fail.
type FailArgs struct {
	onController
	Msg string `arg:"msg" default:"Failed as requested from task" doc:"Why."`
}

func failSpec() Spec {
	return Spec{
		Name:    "fail",
		Summary: "Fail with a message",
		Place:   OnController,
		New:     func() Module { return &FailArgs{} },
		Returns: []Return{{Name: "msg", Type: "string", Doc: "The message."}},
		Examples: []Example{{"Refuse a system that is not supported", `
fail:
  msg: "{{ ansible_distribution }} is not supported"
when: ansible_os_family not in ['Debian', 'RedHat']`}},
	}
}

// MetaArgs are the arguments of meta.
type MetaArgs struct {
	onController
	Action string `arg:"free_form,required" choices:"flush_handlers,noop,end_play,end_batch,end_host,end_role,clear_host_errors,clear_facts,refresh_inventory,reset_connection" doc:"What the engine is to do: run the notified handlers now; nothing; end the play for all hosts, or those of the batch; end it, or the role, for this host; take failed hosts back in; forget facts; read the inventory anew; end the connections of the host, so that the next task makes new ones."`
}

func metaSpec() Spec {
	return Spec{
		Name:     "meta",
		Summary:  "Tell the engine to do something",
		Place:    OnController,
		New:      func() Module { return &MetaArgs{} },
		FreeForm: "free_form",
		Examples: []Example{{"Restart what was changed before going on", `
meta: flush_handlers`}},
	}
}
