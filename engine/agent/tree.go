package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// treeBatch is how many entries go into one message.
const treeBatch = 256

// lister lists a directory tree of a host.
type lister struct {
	host   sys.Reader
	root   string
	send   func([]modules.TreeEntry) error
	batch  []modules.TreeEntry
	linked map[[2]uint64]string // dev and inode of a file with several names: its first
	users  map[int]string
	groups map[int]string
}

// list sends the entries of the directory root: names in byte order, parents
// before children. A link at root is followed, links below it are not.
func list(ctx context.Context, host sys.Reader, root string, send func([]modules.TreeEntry) error) error {
	l := &lister{
		host: host, root: root, send: send,
		linked: map[[2]uint64]string{}, users: map[int]string{}, groups: map[int]string{},
	}
	info, err := host.Files().Stat(ctx, root)
	if err != nil {
		return fmt.Errorf("listing %s: %w", root, err)
	}
	if info.Type != sys.Directory {
		return fmt.Errorf("listing %s: it is a %s, not a directory", root, info.Type)
	}
	if err := l.add(ctx, ".", info); err != nil {
		return err
	}
	return l.flush()
}

func (l *lister) flush() error {
	if len(l.batch) == 0 {
		return nil
	}
	err := l.send(l.batch)
	l.batch = nil
	return err
}

// add lists one file, and what is below it.
func (l *lister) add(ctx context.Context, name string, info sys.FileInfo) error {
	full := path.Join(l.root, name)
	e, err := l.entry(ctx, name, full, info)
	if err != nil {
		return fmt.Errorf("listing %s: %w", full, err)
	}
	l.batch = append(l.batch, e)
	if len(l.batch) == treeBatch {
		if err := l.flush(); err != nil {
			return err
		}
	}
	if info.Type != sys.Directory {
		return nil
	}
	names, err := l.host.Files().ReadDir(ctx, full)
	if err != nil {
		return fmt.Errorf("listing %s: %w", full, err)
	}
	for _, child := range names {
		below := path.Join(name, child)
		info, err := l.host.Files().Lstat(ctx, path.Join(l.root, below))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since ReadDir
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", path.Join(l.root, below), err)
		}
		if err := l.add(ctx, below, info); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) entry(ctx context.Context, name, full string, info sys.FileInfo) (modules.TreeEntry, error) {
	e := modules.TreeEntry{Path: name, Info: info}
	var err error
	if e.Owner, err = l.owner(ctx, info.UID); err != nil {
		return e, err
	}
	if e.Group, err = l.group(ctx, info.GID); err != nil {
		return e, err
	}
	if info.Type == sys.Symlink {
		e.Target, err = l.host.Files().Readlink(ctx, full)
		return e, err
	}
	if e.Xattrs, err = l.host.Files().Xattrs(ctx, full); err != nil {
		return e, err
	}
	if info.Type != sys.Regular {
		return e, nil
	}
	if info.Links > 1 {
		file := [2]uint64{info.Dev, info.Inode}
		if e.LinkTo = l.linked[file]; e.LinkTo != "" {
			return e, nil
		}
		l.linked[file] = name
	}
	e.Content, err = l.digest(ctx, name, full, info)
	return e, err
}

func (l *lister) digest(ctx context.Context, name, full string, info sys.FileInfo) (*modules.ContentRef, error) {
	f, err := l.host.Files().Open(ctx, full)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	digest := sha256.New()
	n, err := io.Copy(digest, f)
	if err != nil {
		return nil, err
	}
	return &modules.ContentRef{
		SHA256: hex.EncodeToString(digest.Sum(nil)), Length: n, Mode: info.Mode, Name: path.Base(name),
	}, nil
}

// owner is the name of a user, "" when the host knows none by that number.
func (l *lister) owner(ctx context.Context, uid int) (string, error) {
	return named(l.users, uid, "user", func() (string, error) {
		u, err := l.host.Users().UserByID(ctx, uid)
		return u.Name, err
	})
}

func (l *lister) group(ctx context.Context, gid int) (string, error) {
	return named(l.groups, gid, "group", func() (string, error) {
		g, err := l.host.Users().GroupByID(ctx, gid)
		return g.Name, err
	})
}

func named(known map[int]string, id int, kind string, look func() (string, error)) (string, error) {
	if name, ok := known[id]; ok {
		return name, nil
	}
	name, err := look()
	if errors.Is(err, fs.ErrNotExist) {
		name, err = "", nil
	}
	if err != nil {
		return "", fmt.Errorf("name of %s %s: %w", kind, strconv.Itoa(id), err)
	}
	known[id] = name
	return name, nil
}
