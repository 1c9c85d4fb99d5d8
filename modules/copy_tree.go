package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// planTree copies a directory: each file as copy would copy it alone. What is in
// dest besides stays.
func (a *CopyArgs) planTree(ctx context.Context, host sys.Reader, source Tree) (Plan, error) {
	if a.Checksum != "" || a.ValidateWith != "" {
		return Plan{}, fmt.Errorf("src %s is a directory; checksum and validate are about one file", source.Origin)
	}
	nodes, err := source.nodes(ctx, host, treeKeeps{}, nil)
	if err != nil {
		return Plan{}, err
	}
	root, err := a.treeRoot(ctx, host, source)
	if err != nil {
		return Plan{}, err
	}
	if err := apart(ctx, host, source, root.path, nodes); err != nil {
		return Plan{}, err
	}
	copying := treeCopy{args: a, root: root.path}
	if copying.steps, err = copying.parents(ctx, host, root); err != nil {
		return Plan{}, err
	}
	for _, n := range nodes {
		if err := copying.node(ctx, host, n); err != nil {
			return Plan{}, err
		}
	}
	if err := copying.contents(ctx, host, source); err != nil {
		return Plan{}, err
	}
	result, err := root.result(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	result["dest"] = root.path
	if source.Origin != "" {
		result["src"] = source.Origin
	}
	return Plan{Steps: copying.all(), Result: result}, nil
}

// apart refuses a copy that would write into its own source.
func apart(ctx context.Context, host sys.Reader, source Tree, root string, nodes []*treeNode) error {
	if source.Path == "" {
		return nil
	}
	root, err := realestPath(ctx, host, root)
	if err != nil {
		return err
	}
	into := strings.HasPrefix(root+"/", source.Path+"/")
	for _, n := range nodes {
		into = into || path.Join(root, n.path) == source.Path
	}
	if into {
		return fmt.Errorf("src %s cannot be copied to %s, which lies within it", source.Origin, root)
	}
	return nil
}

// realestPath resolves the links in as much of p as exists.
func realestPath(ctx context.Context, host sys.Reader, p string) (string, error) {
	resolved, err := realpath(ctx, host.Files(), p)
	if !errors.Is(err, fs.ErrNotExist) {
		return resolved, err
	}
	folder, err := realestPath(ctx, host, path.Dir(p))
	return path.Join(folder, path.Base(p)), err
}

// treeRoot is the directory on the host that stands for that of the source.
func (a *CopyArgs) treeRoot(ctx context.Context, host sys.Reader, source Tree) (found, error) {
	dest := path.Join(a.Dest, source.Name)
	at, err := look(ctx, host, dest)
	if err == nil && at.is(sys.Symlink) {
		at, err = lookThrough(ctx, host, dest)
	}
	if err == nil && at.exists && at.info.Type != sys.Directory {
		err = fmt.Errorf("dest %s is %s, not a directory", dest, at.typeOf())
	}
	return at, err
}

// treeCopy gathers the steps of a directory's copy.
type treeCopy struct {
	args  *CopyArgs
	root  string
	steps []Step
	files []treeFile   // that differ
	fresh []*writeFile // that replace nothing; they come after steps
}

// treeFile is a file of the tree whose content or attributes may have to change.
type treeFile struct {
	fileCopy

	at  found
	old digests
	ref *ContentRef
}

// parents makes the directories that are missing above the root.
func (t *treeCopy) parents(ctx context.Context, host sys.Reader, root found) ([]Step, error) {
	if root.exists {
		return nil, nil
	}
	missing, err := missingFrom(ctx, host, root)
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, at := range missing[:len(missing)-1] {
		step, err := t.directoryAttributes().makeDirectory(ctx, host, at)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func (t *treeCopy) directoryAttributes() FileAttributes {
	return FileAttributes{Mode: t.args.DirectoryMode, Owner: t.args.Owner, Group: t.args.Group}
}

func (t *treeCopy) node(ctx context.Context, host sys.Reader, n *treeNode) error {
	at, err := look(ctx, host, path.Join(t.root, n.path))
	if err != nil {
		return err
	}
	switch n.info.Type {
	case sys.Directory:
		return t.directory(ctx, host, at)
	case sys.Symlink:
		return t.link(ctx, host, at, n.target)
	case sys.Regular:
		return t.file(ctx, host, at, n)
	case sys.Fifo, sys.Socket, sys.CharDevice, sys.BlockDevice:
	}
	return fmt.Errorf("%s is a %s, which copy does not copy; synchronize does", n.path, n.info.Type)
}

// directory makes one, or gives one that is there its owner.
func (t *treeCopy) directory(ctx context.Context, host sys.Reader, at found) error {
	if !at.exists {
		step, err := t.directoryAttributes().makeDirectory(ctx, host, at)
		t.steps = append(t.steps, step)
		return err
	}
	if at.is(sys.Symlink) {
		leads, err := lookThrough(ctx, host, at.path)
		if err != nil {
			return err
		}
		at = leads
	}
	if !at.is(sys.Directory) {
		return fmt.Errorf("%s is %s where src has a directory", at.path, at.typeOf())
	}
	steps, err := FileAttributes{Owner: t.args.Owner, Group: t.args.Group}.attributeSteps(ctx, host, at)
	t.steps = append(t.steps, steps...)
	return err
}

func (t *treeCopy) link(ctx context.Context, host sys.Reader, at found, target string) error {
	old := ""
	if at.is(sys.Symlink) {
		var err error
		if old, err = host.Files().Readlink(ctx, at.path); err != nil {
			return fmt.Errorf("reading the link %s: %w", at.path, err)
		}
	}
	switch {
	case old == target, at.exists && !t.args.Force:
		return nil
	case at.is(sys.Directory):
		return fmt.Errorf("%s is a directory where src has a link", at.path)
	}
	before := change.Text(old)
	if at.exists && old == "" {
		before = change.Text("(" + at.typeOf() + ")")
	}
	t.steps = append(t.steps, makeLink(at, before, target))
	return nil
}

func (t *treeCopy) file(ctx context.Context, host sys.Reader, at found, n *treeNode) error {
	content, err := n.content(ctx)
	if err != nil {
		return fmt.Errorf("reading %s of src: %w", n.path, err)
	}
	one := fileCopy{source: &Content{Content: content, Mode: n.info.Mode, Name: path.Base(n.path)}, force: t.args.Force, options: t.args.WriteOptions}
	one.options.Mode = one.modeFrom(n.info.Mode)
	if at.exists && !at.is(sys.Regular) && !at.is(sys.Symlink) {
		return fmt.Errorf("%s is %s where src has a file", at.path, at.typeOf())
	}
	if at.exists && !one.force {
		return nil
	}
	file := treeFile{fileCopy: one, at: at, ref: n.ref}
	if at.is(sys.Regular) {
		if _, file.old, err = one.report(ctx, host, at); err != nil {
			return err
		}
	}
	t.files = append(t.files, file)
	return nil
}

// contents plans the files. What they lack is fetched together, since a change shows
// the content of a small file.
func (t *treeCopy) contents(ctx context.Context, host sys.Reader, source Tree) error {
	var lacking []ContentRef
	for _, f := range t.files {
		if f.ref != nil && f.ref.SHA256 != f.old.sha256 {
			lacking = append(lacking, *f.ref)
		}
	}
	if err := source.bring(ctx, lacking); err != nil {
		return err
	}
	for _, f := range t.files {
		wish, err := f.wish(ctx, host, f.at, f.old)
		if err != nil {
			return err
		}
		steps, _, err := wish.steps(ctx, host)
		if err != nil {
			return err
		}
		t.add(f, steps)
	}
	return nil
}

func (t *treeCopy) add(f treeFile, steps []Step) {
	if len(steps) == 1 && !f.at.exists {
		if write, ok := steps[0].(*writeFile); ok {
			t.fresh = append(t.fresh, write)
			return
		}
	}
	t.steps = append(t.steps, steps...)
}

// all are the steps, folders before what is in them.
func (t *treeCopy) all() []Step {
	entries := len(t.steps) + len(t.fresh)
	if len(t.fresh) <= fewFiles {
		for _, write := range t.fresh {
			t.steps = append(t.steps, write)
		}
	} else {
		t.steps = append(t.steps, &writeFresh{root: t.root, files: t.fresh})
	}
	return orSummary(t.root, t.steps, entries)
}
