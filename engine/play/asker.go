package play

import (
	"context"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
)

// asker is who asks for a lookup: a task, or the playbook where task is nil.
type asker struct {
	files *fileSearch
	task  *Task
}

// Asker is who asks where the playbook evaluates something outside of its tasks:
// it finds the files beside the playbook, and changes nothing.
func (p *Playbook) Asker() lookup.Asker { return &asker{files: p.files} }

// Find implements lookup.Asker.
func (a *asker) Find(dir, name string) (lookup.File, error) {
	return a.files.find(dir, name, diag.Range{})
}

// Folders implements lookup.Asker.
func (a *asker) Folders(dir string) ([]lookup.File, error) {
	var folders []lookup.File
	var seen []string
	for _, place := range a.files.places(dir) {
		known := len(seen)
		if seen = appendNew(seen, place.display); len(seen) == known {
			continue
		}
		there, err := place.exists()
		if err != nil {
			return nil, diag.New(diag.Range{}, "%s: cannot be looked at: %s", place.display, reason(err)).WithCause(err)
		}
		if there {
			folders = append(folders, place.file())
		}
	}
	return folders, nil
}

// Dir implements lookup.Asker.
func (a *asker) Dir() string {
	if !a.files.home.disk {
		return ""
	}
	return a.files.home.variable()
}

// Writes implements lookup.Asker. What decides on check mode is evaluated as if
// the playbook asked: it may look up something itself.
func (a *asker) Writes(ctx context.Context, s expression.Scope) (bool, error) {
	if a.task == nil {
		return false, nil
	}
	checks, _, err := s.Lookup(ctx, "ansible_check_mode")
	if err != nil {
		return false, err
	}
	own, err := a.task.CheckMode.Or(ctx, unasked{s, &asker{files: a.files}}, expression.Truthy(checks))
	return !own, err
}

// Note implements lookup.Asker.
// Read implements lookup.Asker.
func (a *asker) Read(f lookup.File) ([]byte, error) { return a.files.loader.content(f) }

func (a *asker) Note(f lookup.File, text []byte) { a.files.loader.note(f, text) }

// unasked is a scope for which another one asks.
type unasked struct {
	expression.Scope
	asker lookup.Asker
}

// Asker implements expression.Asking.
func (u unasked) Asker() any { return u.asker }

// file is a location as tasks and lookups know it.
func (p location) file() lookup.File {
	f := lookup.File{FS: p.fsys, Path: p.path, Display: p.display, Name: p.path}
	if p.disk {
		f.Name = "/" + strings.TrimPrefix(p.path, ".")
	}
	return f
}
