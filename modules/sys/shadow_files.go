package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shadowFiles is a copy-on-write tree over another host's files. Only what was
// written, and the directories on the way there, has a node in memory; all else
// is looked up beneath at each question. Permissions are not simulated: the
// errors foretold are those that the tree itself gives (ENOENT, ENOTEMPTY, …).
type shadowFiles struct {
	sh *Shadow
	// busy is full while the tree is used. A channel, since waiting for it must
	// end with a context: whoever uses the tree may hang in a dead file system.
	busy chan struct{}
	root *node
	// linked finds the node of a file that has several names beneath, whichever
	// name it is reached by.
	linked map[fileID]*node
	doubts []doubt
	// spent is what was written to a file system, less what was removed, by Dev.
	spent map[uint64]usage
}

type fileID struct{ dev, inode uint64 }

type usage struct{ bytes, inodes int64 }

func newShadowFiles(sh *Shadow) *shadowFiles {
	return &shadowFiles{
		sh: sh, busy: make(chan struct{}, 1), root: &node{origin: "/"},
		linked: map[fileID]*node{}, spent: map[uint64]usage{},
	}
}

func (f *shadowFiles) under() FileReader { return f.sh.under.Files() }

func (f *shadowFiles) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case f.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *shadowFiles) leave() { <-f.busy }

// doubt is something that would have happened and may have brought files.
type doubt struct {
	reason string
	below  []string // folders in which it may have brought anything
	paths  []string // what it is known to bring, with all below
}

// filledBySystem are the folders that packages and their scripts fill. That one
// would bring a file elsewhere is so rare that absence there is believed.
var filledBySystem = []string{"/etc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/var/lib", "/var/log", "/run"}

// brings tells that files would appear for reason ("package foo would be
// installed"): what is not there now may be there then.
func (f *shadowFiles) brings(reason string) {
	f.doubt(doubt{reason: reason, below: filledBySystem})
}

// ran tells that something ran whose effects cannot be predicted. It would bring
// the paths creates; when it does not say which, it may have brought what a
// package may. That it changes files that are there is not assumed.
func (f *shadowFiles) ran(reason string, creates ...string) {
	if len(creates) == 0 {
		f.brings(reason)
		return
	}
	paths := make([]string, len(creates))
	for i, path := range creates {
		paths[i] = filepath.Clean(path)
	}
	f.doubt(doubt{reason: reason, paths: paths})
}

// overwritten tells that a program would write those of the files that are there,
// in a way that is not modelled.
func (f *shadowFiles) overwritten(ctx context.Context, reason string, paths ...string) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	defer f.leave()
	for _, path := range paths {
		at, err := f.walk(ctx, path, true)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, unknown := Unknown(err); unknown {
			continue
		}
		if err != nil {
			return wrapPath("look at", path, err)
		}
		at.up.attach()
		f.replaceEntry(at, &node{unknown: reason})
	}
	return nil
}

func (f *shadowFiles) doubt(d doubt) {
	f.busy <- struct{}{}
	defer f.leave()
	f.doubts = append(f.doubts, d)
}

// covers tells whether the doubt is about a path that is not there.
func (d doubt) covers(path string) bool {
	within := func(dir string) bool { return isWithin(path, dir) }
	return slices.ContainsFunc(d.below, within) || slices.ContainsFunc(d.paths, func(p string) bool {
		return within(p) || isWithin(p, path) // a folder is made for what lies in it
	})
}

// isWithin tells whether path is dir or lies below it.
func isWithin(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// mounted tells that m would be mounted. A bind mount (options) shows its source,
// tmpfs and ramfs are empty; the content of anything else is unknown. m.Target
// must be there, else the error is what mount(8) would say.
func (f *shadowFiles) mounted(ctx context.Context, m Mount) error {
	options := strings.Split(m.Options, ",")
	if slices.Contains(options, "remount") {
		return nil
	}
	// Not the shadow's own table: the mounts facility holds it while it calls here.
	table, err := targetsOf(f.sh.under.Mounts().List(ctx))
	if err != nil {
		return err
	}
	if err := f.enter(ctx); err != nil {
		return err
	}
	defer f.leave()
	target, err := f.walk(ctx, m.Target, true)
	if err != nil {
		return wrapPath("mount", m.Target, err)
	}
	root, err := f.rootOf(ctx, m, options, table)
	if err != nil {
		return wrapPath("mount", m.Source, err)
	}
	target.attach()
	f.replaceEntry(target, &node{mount: &mountPoint{root: root, covered: f.entry(target)}})
	return nil
}

// rootOf makes the root of what would be mounted.
func (f *shadowFiles) rootOf(ctx context.Context, m Mount, options, table []string) (*node, error) {
	recursive := slices.Contains(options, "rbind")
	switch {
	case recursive || slices.Contains(options, "bind"):
		source, err := f.walk(ctx, m.Source, true)
		if err != nil {
			return nil, err
		}
		below := func(t string) bool { return t != source.path() && isWithin(t, source.path()) }
		if !recursive && slices.ContainsFunc(table, below) {
			return &node{unknown: m.Source + " would be shown at " + m.Target + " without what is mounted below it"}, nil
		}
		source.attach()
		return source.node, nil
	case m.Type == "tmpfs" || m.Type == "ramfs":
		return f.emptyRoot(options), nil
	}
	return &node{unknown: m.Source + " would be mounted at " + m.Target}, nil
}

// emptyRoot is the root of a new file system in memory.
func (f *shadowFiles) emptyRoot(options []string) *node {
	now := moment()
	info := &FileInfo{
		Type: Directory, Mode: 0o1777, ModTime: now, AccessTime: now,
		Links: 2, Inode: 1, Dev: madeUp(),
	}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		number, err := strconv.ParseUint(value, 0, 31)
		if name == "mode" {
			number, err = strconv.ParseUint(value, 8, 12)
		}
		switch {
		case err != nil:
		case name == "mode":
			info.Mode = uint32(number)
		case name == "uid":
			info.UID = int(number)
		case name == "gid":
			info.GID = int(number)
		}
	}
	return &node{asOf: len(f.doubts), xattrs: map[string][]byte{}, info: info}
}

// unmounted tells that the topmost mount at target would be gone. What a mount
// of the host beneath hides cannot be looked at and is unknown.
func (f *shadowFiles) unmounted(ctx context.Context, target string) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	defer f.leave()
	at, err := f.walk(ctx, target, true)
	if err != nil {
		return wrapPath("unmount", target, err)
	}
	if at.mount != nil {
		f.replaceEntry(at, at.mount.covered)
		return nil
	}
	if at.up == nil {
		return wrapPath("unmount", target, unix.EBUSY)
	}
	at.up.attach()
	f.replaceEntry(at, &node{folder: at.info.Type == Directory, unknown: "what the mount at " + target + " hides shows only when it is gone"})
	return nil
}

// entry is what the folder of p, which is attached, holds under p's name.
func (f *shadowFiles) entry(p *place) *node {
	if p.up == nil {
		return f.root
	}
	return p.up.node.children[p.name]
}

func (f *shadowFiles) replaceEntry(p *place, n *node) {
	if p.up == nil {
		f.root = n
		return
	}
	p.up.node.put(p.name, n)
}

// mountTargets lists the mount points as they would be. It must be called before
// enter: the mounts facility may be waiting for the files itself.
func (f *shadowFiles) mountTargets(ctx context.Context) ([]string, error) {
	return targetsOf(f.sh.mounts.List(ctx))
}

func targetsOf(mounts []Mount, err error) ([]string, error) {
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	targets := make([]string, len(mounts))
	for i, m := range mounts {
		targets[i] = filepath.Clean(m.Target)
	}
	return targets, nil
}
