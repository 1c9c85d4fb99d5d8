package modules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// treeWriters is how many files of a tree are written at once: enough to hide the
// latency of a network file system, few enough to leave the host its breath.
const treeWriters = 8

// writeTree is the step that brings the differing entries of a tree about. It is
// not whole or nothing, only each entry is: after an error a second run goes on
// where this one ended.
type writeTree struct {
	root        string
	keeps       treeKeeps
	differences []treeDifference
	directories []*treeNode // wanted directories, whose times are set last
	writers     int         // how many files are written at once; 0 is treeWriters
	changes     []change.Change
}

func (s *writeTree) Changes() []change.Change { return s.changes }

func (s *writeTree) Do(ctx context.Context, host sys.Host, _ Result) error {
	var done atomic.Int64
	err := s.write(ctx, host, &done)
	// What was written is made durable even when the rest failed.
	if syncErr := host.Change().Files().Sync(context.WithoutCancel(ctx), existing(ctx, host, s.root)); err == nil && syncErr != nil {
		err = fmt.Errorf("making %s durable: %w", s.root, syncErr)
	}
	if err != nil {
		return fmt.Errorf("%d of %d entries of %s are done, running again goes on from there: %w", done.Load(), len(s.differences), s.root, err)
	}
	return nil
}

// existing is p, or where that could not be made the folder above it.
func existing(ctx context.Context, host sys.Reader, p string) string {
	if _, err := host.Files().Lstat(context.WithoutCancel(ctx), p); errors.Is(err, fs.ErrNotExist) {
		return path.Dir(p)
	}
	return p
}

func (s *writeTree) write(ctx context.Context, host sys.Host, done *atomic.Int64) error {
	if err := s.clear(ctx, host, done); err != nil {
		return err
	}
	touched := map[string]bool{}
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(cmp.Or(s.writers, treeWriters))
	var links []treeDifference
	for _, d := range s.differences {
		if d.want == nil {
			touched[path.Dir(d.have.path)] = true
			continue
		}
		touched[path.Dir(d.want.path)] = true
		switch {
		case d.want.linkTo != "" && (d.content || d.link):
			links = append(links, d)
		case d.want.info.Type == sys.Regular:
			group.Go(func() error { return s.counted(d, done, s.file(together, host, d)) })
		case d.want.info.Type == sys.Directory:
			touched[d.want.path] = true
			if err := s.directory(ctx, host, d); err != nil {
				return errors.Join(s.counted(d, done, err), group.Wait())
			}
			done.Add(1)
		default:
			group.Go(func() error { return s.counted(d, done, s.other(together, host, d)) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, d := range links {
		if err := s.counted(d, done, host.Change().Files().Link(ctx, s.at(d.want.linkTo), s.at(d.want.path))); err != nil {
			return err
		}
	}
	return s.finish(ctx, host, touched)
}

func (s *writeTree) at(name string) string { return path.Join(s.root, name) }

func (s *writeTree) counted(d treeDifference, done *atomic.Int64, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", s.at(d.want.path), err)
	}
	done.Add(1)
	return nil
}

// clear removes what is extraneous, and what stands where something of another
// type is to be.
func (s *writeTree) clear(ctx context.Context, host sys.Host, done *atomic.Int64) error {
	files := host.Change().Files()
	for _, d := range slices.Backward(s.differences) {
		if d.want != nil && !d.retype {
			continue
		}
		remove := files.Remove
		if d.have.info.Type == sys.Directory {
			remove = files.RemoveAll
		}
		if err := remove(ctx, s.at(d.have.path)); err != nil {
			return fmt.Errorf("removing %s: %w", s.at(d.have.path), err)
		}
		if d.want == nil {
			done.Add(1)
		}
	}
	return nil
}

// directory makes a directory, for the time of the copy with the right to write
// into it.
func (s *writeTree) directory(ctx context.Context, host sys.Host, d treeDifference) error {
	if d.have == nil || d.retype {
		attributes := s.attributes(d.want)
		mode := d.want.info.Mode | 0o700
		if !s.keeps.perms {
			mode = newDirectoryMode
		}
		attributes.Mode, attributes.ModTime = &mode, nil
		if err := host.Change().Files().Mkdir(ctx, s.at(d.want.path), attributes); err != nil {
			return err
		}
	}
	return s.xattrs(ctx, host, d)
}

func (s *writeTree) file(ctx context.Context, host sys.Host, d treeDifference) error {
	if d.content {
		content, err := d.want.content(ctx)
		if err != nil {
			return err
		}
		sparse := d.want.info.Blocks*512 < d.want.info.Size
		if err := host.Change().Files().WriteCopy(ctx, s.at(d.want.path), content, s.attributes(d.want), sparse); err != nil {
			return err
		}
		return s.xattrs(ctx, host, d)
	}
	if err := s.xattrs(ctx, host, d); err != nil {
		return err
	}
	return host.Change().Files().SetAttributes(ctx, s.at(d.want.path), s.attributes(d.want))
}

// other makes links, fifos, sockets and devices.
func (s *writeTree) other(ctx context.Context, host sys.Host, d treeDifference) error {
	files := host.Change().Files()
	at := s.at(d.want.path)
	if d.content {
		if err := s.makeOther(ctx, files, d); err != nil {
			return err
		}
	}
	if d.want.info.Type != sys.Symlink {
		if err := s.xattrs(ctx, host, d); err != nil {
			return err
		}
	}
	return files.SetAttributes(ctx, at, s.attributes(d.want))
}

// makeOther puts a link in place of what is there; for the rest that must go first.
func (s *writeTree) makeOther(ctx context.Context, files sys.FileWriter, d treeDifference) error {
	at := s.at(d.want.path)
	if d.want.info.Type == sys.Symlink {
		return files.Symlink(ctx, d.want.target, at)
	}
	if d.have != nil && !d.retype {
		if err := files.Remove(ctx, at); err != nil {
			return err
		}
	}
	return files.Mknod(ctx, at, d.want.info)
}

// attributes are those that the copy keeps.
func (s *writeTree) attributes(n *treeNode) sys.Attributes {
	var a sys.Attributes
	if s.keeps.perms && n.info.Type != sys.Symlink {
		a.Mode = &n.info.Mode
	}
	if s.keeps.owner {
		a.UID = &n.info.UID
	}
	if s.keeps.group {
		a.GID = &n.info.GID
	}
	if s.keeps.times {
		a.ModTime = &n.info.ModTime
	}
	return a
}

// xattrs sets those that differ and removes those that are not wanted.
func (s *writeTree) xattrs(ctx context.Context, host sys.Host, d treeDifference) error {
	if !s.keeps.more {
		return nil
	}
	files := host.Change().Files()
	at := s.at(d.want.path)
	old := map[string][]byte{}
	if d.have != nil && !d.retype {
		old = d.have.xattrs
	}
	for name := range old {
		if _, wanted := d.want.xattrs[name]; !wanted {
			if err := files.SetXattr(ctx, at, name, nil); err != nil {
				return fmt.Errorf("removing the attribute %s: %w", name, err)
			}
		}
	}
	for name, value := range d.want.xattrs {
		if err := files.SetXattr(ctx, at, name, value); err != nil {
			return fmt.Errorf("setting the attribute %s: %w", name, err)
		}
	}
	return nil
}

// finish sets modes and times of the directories in which something was done,
// deepest first, since each write below one moves its time.
func (s *writeTree) finish(ctx context.Context, host sys.Host, touched map[string]bool) error {
	for _, n := range slices.Backward(s.directories) {
		if !touched[n.path] {
			continue
		}
		if err := host.Change().Files().SetAttributes(ctx, s.at(n.path), s.attributes(n)); err != nil {
			return fmt.Errorf("setting the attributes of %s: %w", s.at(n.path), err)
		}
	}
	return nil
}

// treeChanges shows differences one by one, or, when there are many, as one
// summary of each kind.
func treeChanges(root string, differences []treeDifference) []change.Change {
	var changes []change.Change
	for _, d := range differences {
		changes = append(changes, d.change(root))
	}
	if len(changes) <= shownSingly {
		return changes
	}
	return summarise(root, changes, len(changes), treeBytes(differences))
}
