package play

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/modules"
)

// IncludedVars is what include_vars reads.
type IncludedVars struct {
	Vars  *scope.Vars
	Files []string
}

// ReadVars reads the files that include_vars asks for. The error is a diag.List or
// a diag.Diagnostic.
func (t *Task) ReadVars(a *modules.IncludeVarsArgs) (IncludedVars, error) {
	var included IncludedVars
	err := t.files.loader.later(func(l *loader) {
		r := varsReader{loader: l, args: a, at: t.Args.Where("file"), all: &syntax.Node{Kind: syntax.Mapping, Range: t.Args.Range}}
		if a.Dir != "" {
			r.at = t.Args.Where("dir")
			l.addError(r.at, r.dir(t.files))
		} else {
			l.addError(r.at, r.file(t.files))
		}
		if l.found.HasErrors() {
			return
		}
		if a.Name != "" {
			key := &syntax.Node{Kind: syntax.String, Text: a.Name, Range: t.Args.Where("name")}
			r.all = &syntax.Node{Kind: syntax.Mapping, Range: r.all.Range, Entries: []syntax.Entry{{Name: a.Name, Key: key, Value: r.all}}}
		}
		vars, found := scope.Compile(l.env, r.all)
		*l.found = append(*l.found, found...)
		included = IncludedVars{Vars: vars, Files: r.files}
	})
	return included, err
}

// varsReader gathers the variables of one include_vars.
type varsReader struct {
	*loader
	args  *modules.IncludeVarsArgs
	at    diag.Range
	all   *syntax.Node
	files []string
}

func (r *varsReader) file(search *fileSearch) error {
	file, err := search.find("vars", r.args.File, r.at)
	if err == nil {
		r.add(location{fsys: file.FS, path: file.Path, display: file.Display})
	}
	return err
}

// add adds a file's variables; later ones win.
func (r *varsReader) add(p location) {
	delete(r.loader.files, p.display) // a task may have written it since
	root, ok := r.varsNode(p, r.at)
	if !ok {
		return
	}
	r.files = append(r.files, p.display)
	if root.Kind == syntax.Null {
		return
	}
	f, err := root.Fields()
	if err != nil {
		r.addError(root.Range, err)
		return
	}
	for _, entry := range f.Node.Entries {
		r.all.Entries = slices.DeleteFunc(r.all.Entries, func(e syntax.Entry) bool { return e.Name == entry.Name })
		r.all.Entries = append(r.all.Entries, entry)
	}
}

// dir finds the folder: in a role's vars/, otherwise beside the file that the task
// stands in.
func (r *varsReader) dir(search *fileSearch) error {
	base := search.dir
	if search.role != nil {
		base = search.role.folder
		if first, _, _ := strings.Cut(r.args.Dir, "/"); first != "vars" {
			base = base.join("vars")
		}
	}
	p, err := r.seenFrom(base, r.args.Dir)
	if err != nil {
		return diag.New(r.at, "%v", err)
	}
	info, err := p.stat()
	switch {
	case err != nil:
		return diag.New(r.at, "%s: cannot be looked at: %s", p.display, reason(err)).WithCause(err)
	case !info.IsDir():
		return diag.New(r.at, "%s is no folder", p.display)
	}
	return r.walk(p, 1)
}

// walk reads a folder's files by name, and then the folders in it.
func (r *varsReader) walk(p location, depth int) error {
	entries, err := fs.ReadDir(p.fsys, p.path)
	if err != nil {
		return diag.New(r.at, "%s: cannot be read: %s", p.display, reason(err)).WithCause(err)
	}
	var folders []location
	for _, entry := range entries {
		inside := p.join(entry.Name())
		info, err := inside.stat() // of what a link leads to
		if err != nil {
			return diag.New(r.at, "%s: cannot be looked at: %s", inside.display, reason(err)).WithCause(err)
		}
		if info.IsDir() {
			folders = append(folders, inside)
			continue
		}
		wanted, err := r.wants(entry.Name())
		if err != nil {
			return err
		}
		if wanted {
			r.add(inside)
		}
	}
	if r.args.Depth > 0 && depth >= r.args.Depth {
		return nil
	}
	for _, folder := range folders {
		if err := r.walk(folder, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// wants applies files_matching, ignore_files and extensions.
func (r *varsReader) wants(name string) (bool, error) {
	if r.args.FilesMatching != "" {
		found, err := expression.SearchPattern(r.args.FilesMatching, name)
		if err != nil || !found {
			return false, at(diagnostic(err), r.at)
		}
	}
	for _, ignored := range r.args.IgnoreFiles {
		found, err := expression.SearchPattern(ignored+"$", name)
		if err != nil || found {
			return false, at(diagnostic(err), r.at)
		}
	}
	if extension := strings.TrimPrefix(path.Ext(name), "."); slices.Contains(r.args.Extensions, extension) && extension != "" {
		return true, nil
	}
	if r.args.IgnoreExtensions {
		return false, nil
	}
	return false, diag.New(r.at, "%s has none of the extensions %s", name, strings.Join(r.args.Extensions, ", ")).
		WithHint("leave such files out with ignore_files, files_matching or ignore_unknown_extensions")
}

// diagnostic makes a finding without a place of an error.
func diagnostic(err error) error {
	if err == nil {
		return nil
	}
	return diag.Diagnostic{Summary: err.Error(), Cause: err}
}
