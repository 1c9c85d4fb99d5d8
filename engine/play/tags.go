package play

import "github.com/rbdplay/rbdplay/engine/diag"

// Selection is what --tags and --skip-tags choose.
type Selection struct{ Tags, Skip []string }

// Selects reports whether a task with these tags is to run. A handler is always
// to run.
func (s Selection) Selects(tags []string) bool { return true }

// CheckSelection reports the tags of a selection that no task has.
func (p *Playbook) CheckSelection(s Selection) diag.List { return nil }

// FindTask finds the task that --start-at-task names: by its name, "role : name",
// or a glob of either. The error is a diag.Diagnostic that suggests names.
func (p *Playbook) FindTask(name string) (*Task, error) { return nil, nil }
