package play

import (
	"context"
	"io/fs"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/template"
)

// File is a file or folder of the controller that a task uses.
type File struct {
	FS      fs.FS
	Path    string // within FS
	Display string // for messages
}

type location struct {
	fsys    fs.FS
	path    string
	display string
}

// FindFile finds a source of the task as Ansible does: in the folder dir
// ("files", "templates", "vars") of its role, of the roles that depend on it, and
// beside the playbook; then in those places themselves. An absolute name is
// taken from the disk. The error is a diag.Diagnostic at the argument's place
// that lists where it looked.
func (t *Task) FindFile(dir, name string, at diag.Range) (File, error) { return File{}, nil }

// Template compiles a template file that FindFile found, or gives the one that
// loading compiled.
func (t *Task) Template(ctx context.Context, name string, at diag.Range) (*template.Template, File, error) {
	return nil, File{}, nil
}

// ReadVars reads a file of variables for include_vars.
func (t *Task) ReadVars(name string, at diag.Range) (*scope.Vars, error) { return nil, nil }
