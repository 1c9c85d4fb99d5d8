package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// node is one file of the shadow. What it does not hold itself is as origin, a
// path of the host beneath, has it; so a whole directory moves by its origin.
type node struct {
	origin   string // "" for what the shadow made
	info     *FileInfo
	xattrs   map[string][]byte
	content  Content          // of a regular file; never changes
	target   string           // of a link that the shadow made
	children map[string]*node // of a directory: the names that are not as in origin
	// asOf is how many doubts there were when the shadow made or removed the file:
	// those before cannot concern it.
	asOf int

	// At most one of removed, unknown and mount is set, and then nothing above but asOf.
	removed bool
	unknown string // why it cannot be known
	folder  bool   // with unknown: it is a directory all the same
	mount   *mountPoint
}

// mountPoint is a mount made in the shadow.
type mountPoint struct{ root, covered *node }

func (n *node) put(name string, child *node) {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	n.children[name] = child
}

// place is a file by the names that led to it. A directory can have several
// places (a bind mount) and ".." depends on the place, so nodes know no parent.
type place struct {
	up    *place // nil for the root
	name  string
	node  *node
	info  FileInfo    // of node, unless that is unknown
	mount *mountPoint // when node is the root of a mount made in the shadow
}

// path is where the place lies, without links.
func (p *place) path() string {
	if p.up == nil {
		return "/"
	}
	return filepath.Join(p.up.path(), p.name)
}

// known fails when nothing is known of what lies at the place.
func (p *place) known() error {
	if p.node.unknown == "" {
		return nil
	}
	unknown := &UnknownError{What: p.path(), Because: p.node.unknown}
	if p.node.folder {
		unknown.Type = Directory
	}
	return unknown
}

func (p *place) directory() error {
	if err := p.known(); err != nil {
		return err
	}
	if p.info.Type != Directory {
		return unix.ENOTDIR
	}
	return nil
}

// attach gives the place's node, and those of the folders above, a lasting place
// in the tree, so that they can be changed.
func (p *place) attach() {
	if p.up == nil {
		return
	}
	p.up.attach()
	n := p.up.node.children[p.name]
	switch {
	case n == nil || n.removed:
		p.up.node.put(p.name, p.node)
	case n.mount != nil:
		p.node = n.mount.root
	default:
		p.node = n // another walk of the same operation was first
	}
}

// own makes the place's node hold its attributes itself, to be changed.
func (f *shadowFiles) own(p *place) *FileInfo {
	p.attach()
	n := p.node
	if n.info == nil {
		info := p.info
		n.info = &info
		if hasTwins(info) {
			f.linked[fileID{info.Dev, info.Inode}] = n
		}
	}
	return n.info
}

// hasTwins tells whether a file may be reached by other names.
func hasTwins(info FileInfo) bool { return info.Type != Directory && info.Links > 1 }

// walk finds the file at path, link by link through the shadow's own tree. A
// link at the end is followed only if wanted. What it finds may be unknown; an
// unknown folder on the way is an error. Nothing there is ENOENT.
func (f *shadowFiles) walk(ctx context.Context, path string, follow bool) (*place, error) {
	path, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	if len(path) >= unix.PathMax {
		return nil, unix.ENAMETOOLONG
	}
	at, err := f.top(ctx)
	if err != nil {
		return nil, err
	}
	links := 0
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		next, err := f.step(ctx, at, name)
		if err != nil {
			return nil, err
		}
		if next.node.unknown != "" || next.info.Type != Symlink || len(rest) == 0 && !follow {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return nil, unix.ELOOP
		}
		target, err := f.readlink(ctx, next.node)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(target, "/") {
			for at.up != nil {
				at = at.up
			}
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	return at, nil
}

// maxLinks is how many links Linux follows in one path.
const maxLinks = 40

func (f *shadowFiles) top(ctx context.Context) (*place, error) {
	p := &place{node: f.root}
	if m := f.root.mount; m != nil {
		p.node, p.mount = m.root, m
	}
	return p, f.fillIn(ctx, p)
}

// step goes from a folder to one of its names.
func (f *shadowFiles) step(ctx context.Context, at *place, name string) (*place, error) {
	if err := at.directory(); err != nil {
		return nil, err
	}
	switch name {
	case "", ".":
		return at, nil
	case "..":
		if at.up != nil {
			return at.up, nil
		}
		return at, nil
	}
	return f.child(ctx, at, name)
}

// child finds a name in a folder, itself, be it a link.
func (f *shadowFiles) child(ctx context.Context, dir *place, name string) (*place, error) {
	if len(name) > unix.NAME_MAX {
		return nil, unix.ENAMETOOLONG
	}
	n := dir.node.children[name]
	if n == nil {
		return f.beneath(ctx, dir, name)
	}
	if n.removed {
		return nil, f.absent(dir, name, n.asOf)
	}
	p := &place{up: dir, name: name, node: n}
	if n.mount != nil {
		p.node, p.mount = n.mount.root, n.mount
	}
	return p, f.fillIn(ctx, p)
}

// beneath finds a name that the shadow has not touched.
func (f *shadowFiles) beneath(ctx context.Context, dir *place, name string) (*place, error) {
	if dir.node.origin == "" {
		return nil, f.absent(dir, name, dir.node.asOf)
	}
	p := &place{up: dir, name: name, node: &node{origin: filepath.Join(dir.node.origin, name)}}
	err := f.fillIn(ctx, p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.absent(dir, name, 0)
	}
	if err != nil {
		return nil, err
	}
	if hasTwins(p.info) {
		if n := f.linked[fileID{p.info.Dev, p.info.Inode}]; n != nil {
			p.node, p.info = n, *n.info
		}
	}
	return p, nil
}

func (f *shadowFiles) fillIn(ctx context.Context, p *place) (err error) {
	switch {
	case p.node.unknown != "":
	case p.node.info != nil:
		p.info = *p.node.info
	default:
		p.info, err = f.under().Lstat(ctx, p.node.origin)
	}
	return err
}

// absent is the error for a name that is not in a folder: ENOENT, or unknown
// when something that would have happened since may have brought it.
func (f *shadowFiles) absent(dir *place, name string, asOf int) error {
	path := filepath.Join(dir.path(), name)
	for _, d := range f.doubts[asOf:] {
		if d.covers(path) {
			return &UnknownError{What: "whether " + path + " is there", Because: d.reason}
		}
	}
	return unix.ENOENT
}

// names lists a folder, sorted by byte.
func (f *shadowFiles) names(ctx context.Context, dir *place) ([]string, error) {
	all := map[string]bool{}
	if dir.node.origin != "" {
		names, err := f.under().ReadDir(ctx, dir.node.origin)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			all[name] = true
		}
	}
	for name, n := range dir.node.children {
		all[name] = !n.removed
	}
	maps.DeleteFunc(all, func(_ string, there bool) bool { return !there })
	return slices.Sorted(maps.Keys(all)), nil
}

// complete fails when more names may be in the folder than are listed.
func (f *shadowFiles) complete(dir *place, names []string) error {
	path, since := dir.path(), 0
	if dir.node.origin == "" {
		since = dir.node.asOf
	}
	for i, d := range f.doubts[since:] {
		inFolder := func(folder string) bool { return isWithin(path, folder) }
		missing := func(p string) bool {
			if p == path || !isWithin(p, path) {
				return false
			}
			name, _, _ := strings.Cut(strings.TrimPrefix(p[len(path):], "/"), "/")
			n := dir.node.children[name]
			_, listed := slices.BinarySearch(names, name)
			return !listed && (n == nil || n.asOf <= since+i)
		}
		if slices.ContainsFunc(d.below, inFolder) || slices.ContainsFunc(d.paths, missing) {
			return &UnknownError{What: "what is in " + path, Because: d.reason}
		}
	}
	return nil
}

func (f *shadowFiles) readlink(ctx context.Context, n *node) (string, error) {
	if n.origin == "" {
		return n.target, nil
	}
	return f.under().Readlink(ctx, n.origin)
}

func (f *shadowFiles) xattrs(ctx context.Context, n *node) (map[string][]byte, error) {
	if n.xattrs != nil {
		return n.xattrs, nil
	}
	return f.under().Xattrs(ctx, n.origin)
}

// contentOf gives the content of a regular file as it is now.
func (f *shadowFiles) contentOf(ctx context.Context, n *node) (Content, error) {
	if n.content != nil {
		return n.content, nil
	}
	content, err := f.under().Content(ctx, n.origin)
	if err != nil {
		return nil, fmt.Errorf("reading what lies beneath: %w", err)
	}
	return content, nil
}
