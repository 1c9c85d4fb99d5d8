package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"syscall"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// FileArgs are the arguments of file.
type FileArgs struct {
	Path    string `arg:"path,required" alias:"dest,name" type:"path" doc:"The file, directory or link."`
	State   string `arg:"state" choices:"absent,directory,file,hard,link,touch" doc:"What it should be. file changes attributes only and never makes one; touch makes an empty file or sets the times; absent removes, directories with all that is in them. Not given, it is what is there (or a directory, with recurse)."`
	Src     string `arg:"src" doc:"What a link leads to: any path for link, an absolute one for hard."`
	Recurse bool   `arg:"recurse" default:"no" doc:"Set the attributes of everything in the directory too. X in a symbolic mode tells directories and programs from other files."`
	Follow  bool   `arg:"follow" default:"yes" doc:"When path is a link, work on what it leads to; with state link, set attributes there."`
	Force   bool   `arg:"force" default:"no" doc:"With link: replace a file or an empty directory, and link to what does not exist. With hard: replace a file."`
	FileAttributes
	FileTimes
}

func fileSpec() Spec {
	return Spec{
		Name:    "file",
		Summary: "Set the attributes of a file, make a directory or a link, or remove any of them",
		Place:   OnHost,
		New:     func() Module { return &FileArgs{} },
		Notes: []string{
			"Links that recurse meets below the directory are not followed, so that it never leaves it: their own owner and group are set, what they lead to is not touched.",
		},
		Returns: slices.Concat(attributeReturns, []Return{
			{Name: "dest", Type: "string", Doc: "The same as path."},
			{Name: "src", Type: "string", Doc: "What a link leads to."},
		}),
		Examples: []Example{
			{"A folder for the bricks", `
file:
  path: /data/glusterfs
  state: directory
  mode: '0755'`},
			{"A link", `
file:
  src: /etc/nginx/sites-available/app
  dest: /etc/nginx/sites-enabled/app
  state: link
  force: yes`},
			{"Close a tree of keys", `
file:
  path: /etc/ssl/private
  recurse: yes
  mode: u=rwX,g=,o=`},
			{"Remove a folder", `
file:
  path: /var/lib/old
  state: absent`},
		},
	}
}

// Validate checks what belongs together.
func (a *FileArgs) Validate() error {
	switch {
	case a.State == "hard" && !path.IsAbs(a.Src):
		return fmt.Errorf("state: hard needs an absolute src, not %q", a.Src)
	case a.Src != "" && a.State != "link" && a.State != "hard":
		return errors.New("src needs state: link or hard")
	case a.Recurse && a.State != "" && a.State != "directory":
		return fmt.Errorf("recurse needs state: directory, not %s", a.State)
	}
	if _, err := a.times(a.State); err != nil {
		return err
	}
	return a.noPreserve()
}

// Plan compares what is there with what should be.
func (a *FileArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if err := a.Validate(); err != nil {
		return Plan{}, err
	}
	at, err := a.look(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	var steps []Step
	switch a.stateFor(at) {
	case "absent":
		steps, err = planAbsent(ctx, host, at)
	case "directory":
		steps, err = a.planDirectory(ctx, host, at)
	case "link":
		steps, err = a.planLink(ctx, host, at)
	case "hard":
		steps, err = a.planHardLink(ctx, host, at)
	case "touch":
		steps, err = a.planTouch(ctx, host, at)
	default:
		steps, err = a.planAttributes(ctx, host, at)
	}
	if err != nil {
		return Plan{}, err
	}
	result, err := a.report(ctx, host, at)
	return Plan{Steps: steps, Result: result}, err
}

// look sees the file that the task is about: behind a link, where that is asked
// for and where the link is not itself the matter.
func (a *FileArgs) look(ctx context.Context, host sys.Reader) (found, error) {
	at, err := look(ctx, host, a.Path)
	about := a.State == "absent" || a.State == "link" || a.State == "hard"
	if err != nil || about || !a.Follow || !at.is(sys.Symlink) {
		return at, err
	}
	return lookThrough(ctx, host, a.Path)
}

// stateFor is the state asked for, or the one that Ansible takes instead.
func (a *FileArgs) stateFor(at found) string {
	switch {
	case a.State != "":
		return a.State
	case a.Recurse, at.is(sys.Directory):
		return "directory"
	}
	return "file"
}

func (a *FileArgs) report(ctx context.Context, host sys.Reader, at found) (Result, error) {
	result, err := at.result(ctx, host)
	if err != nil {
		return nil, err
	}
	result["dest"] = result["path"]
	if a.Src != "" {
		result["src"] = a.Src
	}
	return result, nil
}

func planAbsent(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	if !at.exists {
		return nil, nil
	}
	before := string(at.info.Type)
	if at.info.Type == sys.Directory {
		entries, err := countBelow(ctx, host, at.path)
		if err != nil {
			return nil, err
		}
		before = fmt.Sprintf("directory with %d entries", entries)
	}
	return []Step{remove(at, before)}, nil
}

func countBelow(ctx context.Context, host sys.Reader, root string) (int, error) {
	count := -1 // the root itself
	err := walk(ctx, host, root, func(string, sys.FileInfo) error {
		count++
		return nil
	})
	return count, err
}

// planDirectory makes the directory with its missing parents, all with the given
// attributes, or sets the attributes of one that is there.
func (a *FileArgs) planDirectory(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	if at.exists && at.info.Type != sys.Directory {
		return nil, fmt.Errorf("%s is %s, not a directory; it is left as it is", a.Path, at.typeOf())
	}
	if !at.exists {
		return a.makeParents(ctx, host, at)
	}
	steps, err := a.planAttributes(ctx, host, at)
	if err != nil || !a.Recurse {
		return steps, err
	}
	return a.recurse(ctx, host, at, steps)
}

func (a *FileArgs) makeParents(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	missing, err := missingFrom(ctx, host, at)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, directory := range missing {
		step, err := a.makeDirectory(ctx, host, directory)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return append(steps, a.timeSteps(at)...), nil
}

// makeDirectory plans one new directory with the attributes asked for.
func (a FileAttributes) makeDirectory(ctx context.Context, host sys.Reader, at found) (Step, error) {
	attributes, changes, err := a.difference(ctx, host, at, newDirectoryMode, true)
	if err != nil {
		return nil, err
	}
	return makeDirectory(at.path, attributes, changes), nil
}

// missingFrom lists at, which does not exist, and its missing parents, topmost
// first.
func missingFrom(ctx context.Context, host sys.Reader, at found) ([]found, error) {
	missing := []found{at}
	for {
		p := path.Dir(missing[0].path)
		parent, err := look(ctx, host, p)
		if err == nil && parent.is(sys.Symlink) {
			parent, err = lookThrough(ctx, host, p)
		}
		switch {
		case err != nil:
			return nil, err
		case parent.is(sys.Directory):
			return missing, nil
		case parent.exists:
			return nil, fmt.Errorf("%s cannot be made, since %s is %s", at.path, p, parent.typeOf())
		}
		missing = slices.Insert(missing, 0, parent)
	}
}

// needsFolder refuses to make a file, which makes no folders, where there is none.
func needsFolder(ctx context.Context, host sys.Reader, at found) error {
	if at.exists {
		return nil
	}
	missing, err := missingFrom(ctx, host, at)
	if err == nil && len(missing) > 1 {
		err = fmt.Errorf("%s cannot be made: there is no directory %s", at.path, path.Dir(at.path))
	}
	return err
}

// planAttributes sets the attributes of what is there.
func (a *FileArgs) planAttributes(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	switch {
	case !at.exists:
		return nil, fmt.Errorf("%s does not exist; state: file makes none, touch or the module copy would", a.Path)
	case a.State == "file" && (at.info.Type == sys.Directory || at.info.Type == sys.Symlink):
		return nil, fmt.Errorf("%s is %s, not a file", a.Path, at.typeOf())
	}
	steps, err := a.attributeSteps(ctx, host, at)
	return append(steps, a.timeSteps(at)...), err
}

// attributeSteps sets mode, owner and group; a link has no mode of its own.
func (a FileAttributes) attributeSteps(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	if at.is(sys.Symlink) {
		a.Mode = nil
	}
	attributes, changes, err := a.difference(ctx, host, at, 0, at.is(sys.Directory))
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	return []Step{&setAttributes{path: at.path, attributes: attributes, changes: changes}}, nil
}

// recurse adds the attributes of everything below the directory.
func (a *FileArgs) recurse(ctx context.Context, host sys.Reader, at found, steps []Step) ([]Step, error) {
	err := walk(ctx, host, at.path, func(p string, info sys.FileInfo) error {
		if p == at.path {
			return nil
		}
		more, err := a.attributeSteps(ctx, host, found{path: p, info: info, exists: true})
		steps = append(steps, more...)
		return err
	})
	return orSummary(at.path, steps, len(steps)), err
}

// planLink makes or turns a symlink.
func (a *FileArgs) planLink(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	old := ""
	if at.is(sys.Symlink) {
		var err error
		if old, err = host.Files().Readlink(ctx, at.path); err != nil {
			return nil, fmt.Errorf("reading the link %s: %w", at.path, err)
		}
	}
	target := a.Src
	if target == "" {
		if target = old; target == "" {
			return nil, fmt.Errorf("state: link needs src: %s is no link yet", a.Path)
		}
	}
	leads, err := a.linkTarget(ctx, host, at, target)
	if err != nil {
		return nil, err
	}
	if err := needsFolder(ctx, host, at); err != nil {
		return nil, err
	}
	var steps []Step
	if old != target {
		if steps, err = a.replaceByLink(ctx, host, at, old, target); err != nil {
			return nil, err
		}
	}
	switch {
	case !a.Follow && old != target:
		leads = found{path: at.path}
		more, err := a.ownNewLink(ctx, host, leads)
		return append(steps, more...), err
	case !a.Follow:
		leads = at
	case !leads.exists:
		return steps, nil
	}
	more, err := a.attributeSteps(ctx, host, leads)
	return append(steps, more...), err
}

// ownNewLink sets owner and group of a link that a step before makes.
func (a FileAttributes) ownNewLink(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	attributes, changes, err := a.difference(ctx, host, at, 0, false)
	if err != nil || len(changes) == 1 { // that of the mode, which a link has not
		return nil, err
	}
	attributes.Mode = nil
	return []Step{&setAttributes{path: at.path, attributes: attributes, changes: changes[1:]}}, nil
}

// linkTarget sees what the link would lead to. Without force it must exist.
func (a *FileArgs) linkTarget(ctx context.Context, host sys.Reader, at found, target string) (found, error) {
	full := target
	if !path.IsAbs(full) {
		full = path.Dir(at.path) + "/" + target
	}
	leads, err := lookThrough(ctx, host, full)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ELOOP) {
		leads, err = found{path: full}, nil // it leads nowhere
	}
	if err == nil && path.Clean(leads.path) == at.path {
		return leads, fmt.Errorf("%s is what the link would lead to; a link to itself leads nowhere", a.Path)
	}
	if err == nil && !leads.exists && !a.Force {
		return leads, fmt.Errorf("%s does not exist; force: yes would make the link all the same", full)
	}
	return leads, err
}

func (a *FileArgs) replaceByLink(ctx context.Context, host sys.Reader, at found, old, target string) ([]Step, error) {
	before := change.Text(old)
	if at.exists && old == "" {
		if !a.Force {
			return nil, fmt.Errorf("%s is %s; force: yes would put the link in its place", a.Path, at.typeOf())
		}
		before = change.Text("(" + at.typeOf() + ")")
	}
	if !at.is(sys.Directory) {
		return []Step{makeLink(at, before, target)}, nil
	}
	entries, err := countBelow(ctx, host, at.path)
	if err != nil {
		return nil, err
	}
	if entries > 0 {
		return nil, fmt.Errorf("%s is a directory that is not empty; no link is put in its place", a.Path)
	}
	return []Step{remove(at, "directory with 0 entries"), makeLink(found{path: at.path}, change.Absent(), target)}, nil
}

// planHardLink gives the file src a further name.
func (a *FileArgs) planHardLink(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	source, err := lookThrough(ctx, host, a.Src)
	if err != nil {
		return nil, err
	}
	switch {
	case !source.exists:
		return nil, fmt.Errorf("%s does not exist; a hard link needs a file", a.Src)
	case source.info.Type == sys.Directory:
		return nil, fmt.Errorf("%s is a directory; hard links to those cannot be made", a.Src)
	}
	if err := needsFolder(ctx, host, at); err != nil {
		return nil, err
	}
	same := at.exists && at.info.Inode == source.info.Inode && at.info.Dev == source.info.Dev
	var steps []Step
	if !same {
		if at.is(sys.Directory) || (at.exists && !a.Force) {
			return nil, fmt.Errorf("%s is %s other than %s; force: yes would put the hard link in the place of a file", a.Path, at.typeOf(), a.Src)
		}
		steps = append(steps, makeHardLink(at, change.Text("("+at.typeOf()+")"), source.path))
	}
	more, err := a.attributeSteps(ctx, host, found{path: at.path, info: source.info, exists: true})
	return append(steps, more...), err
}

// planTouch makes an empty file, or sets the times of what is there.
func (a *FileArgs) planTouch(ctx context.Context, host sys.Reader, at found) ([]Step, error) {
	if at.exists {
		return a.planAttributes(ctx, host, at)
	}
	if err := needsFolder(ctx, host, at); err != nil {
		return nil, err
	}
	wish := put{file: at, content: textContent(""), after: change.Text(""), fresh: newFileMode, options: WriteOptions{FileAttributes: a.FileAttributes}}
	steps, _, err := wish.steps(ctx, host)
	return append(steps, a.stampSteps(at)...), err
}
