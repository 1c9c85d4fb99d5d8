package modules

import (
	"context"
	"fmt"
	"slices"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// This file is a whole module, as a model for the others: the arguments, the
// spec, and Plan. How a file is looked at is in found.go, how it is written in
// step_write.go; both are shared. There is no code for check mode anywhere.

// LineinfileArgs are the arguments of lineinfile. The tags are the only place
// where an option is declared: decoding, load-time checks and `rbdplay doc` all
// come from them.
type LineinfileArgs struct {
	Path         string `arg:"path,required" alias:"dest,destfile,name" type:"path" doc:"The file to edit. A symlink is followed."`
	State        string `arg:"state" default:"present" choices:"present,absent" doc:"Whether the line should be there."`
	Line         string `arg:"line" alias:"value" doc:"The line to have in the file, without its end. Required for present."`
	Regexp       string `arg:"regexp" alias:"regex" doc:"Which line to replace (the last that matches), or with absent which lines to remove. It should match the line before and after it is replaced."`
	SearchString string `arg:"search_string" doc:"Like regexp, but a plain text that is part of the line."`
	Backrefs     bool   `arg:"backrefs" default:"no" doc:"Fill \\1, \\g<name> in line from the groups of regexp; nothing is added when regexp matches nowhere."`
	InsertAfter  string `arg:"insertafter" doc:"Where a new line goes: behind the last line that matches this expression, or EOF (the default). Used only when regexp matches nowhere."`
	InsertBefore string `arg:"insertbefore" doc:"Where a new line goes: before the last line that matches this expression, or BOF. Used only when regexp matches nowhere."`
	FirstMatch   bool   `arg:"firstmatch" default:"no" doc:"Let regexp, insertafter and insertbefore mean the first line that matches, not the last."`
	Create       bool   `arg:"create" default:"no" doc:"Make the file when it does not exist."`
	TextOptions         // backup, validate, mode, owner, group
}

// lineinfileSpec is what the registry knows of the module; fileModules lists it.
func lineinfileSpec() Spec {
	return Spec{
		Name:      "lineinfile",
		Summary:   "Ensure that a line is in a text file, or is not",
		Place:     OnHost,
		EditsFile: true,
		New:       func() Module { return &LineinfileArgs{} },
		Notes: []string{
			"The edit is repeated until it changes nothing, so that one run leaves what any number of runs would leave. One that never settles is an error, and the file stays as it was.",
			pythonRegexpNote,
		},
		Returns: slices.Concat([]Return{
			{Name: "rc", Type: "int", Doc: "Only when the file is not there: 257."},
			{Name: "msg", Type: "string", Doc: "What was done: line added, line replaced, N line(s) removed."},
			{Name: "found", Type: "int", Doc: "With absent: how many lines were removed."},
		}, textReturns),
		Examples: []Example{
			{"Set an option", `
lineinfile:
  path: /etc/selinux/config
  regexp: ^SELINUX=
  line: SELINUX=permissive`},
			{"Change part of a line", `
lineinfile:
  path: /opt/rainbond/envs/kubelet.sh
  regexp: ^(export )?DNS_SERVERS=
  line: \1DNS_SERVERS=10.77.0.12,10.77.0.13
  backrefs: yes`},
			{"Remove the lines of an old file server", `
lineinfile:
  path: /etc/fstab
  regexp: \s/grdata\s+nfs\s
  state: absent
  backup: yes`},
		},
	}
}

// Validate holds the rules that involve more than one option. It is called at
// load time too, when no host is known yet.
func (a *LineinfileArgs) Validate() error {
	_, err := a.editor()
	return err
}

// Plan reads the file, edits its text, and says how to get from the one to the
// other. It is called again after the steps and must then find nothing to do.
func (a *LineinfileArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	editor, err := a.editor()
	if err != nil {
		return Plan{}, err
	}
	file, err := openText(ctx, host, a.Path)
	if err != nil {
		return Plan{}, err
	}
	if !file.exists && a.State == "absent" {
		return file.absent(), nil
	}
	if !file.exists && !a.Create {
		return Plan{Result: Result{"rc": 257}}, fmt.Errorf("%s does not exist; create: yes would make it", a.Path)
	}
	text, message, err := editor.settle(file.text)
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", a.Path, err)
	}
	plan, err := file.become(ctx, host, text, a.TextOptions)
	if err != nil {
		return Plan{}, err
	}
	plan.Once["msg"] = message
	if a.State == "absent" {
		plan.Once["found"] = editor.removed
	}
	return plan, nil
}
