package sys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func (*realFiles) Remove(ctx context.Context, path string) error {
	dir, base, err := splitPath(path)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = again(func() error { return unix.Unlink(dir + base) })
	}
	if errors.Is(err, unix.EISDIR) {
		err = again(func() error { return unix.Rmdir(dir + base) })
	}
	return wrapPath("remove", path, err)
}

// RemoveAll removes path and all below it. When a mount point lies there, nothing
// is removed; when it is cancelled or something cannot be removed, a part is gone.
func (*realFiles) RemoveAll(ctx context.Context, path string) (err error) {
	folder, base, err := openFolder(ctx, path)
	if err != nil {
		return wrapPath("remove all", path, err)
	}
	defer closing(folder, &err)
	info, err := infoOf(folder.Stat())
	if err != nil {
		return wrapPath("remove all", path, err)
	}
	if err := noMounts(folder, base); err != nil {
		return wrapPath("remove all", path, err)
	}
	return wrapPath("remove all", path, folder.removeAll(ctx, base, info.Dev))
}

// noMounts looks for mount points at and below base before anything is removed.
func noMounts(f *folder, base string) error {
	dir, err := os.Readlink(descriptor(f.fd()))
	if err != nil {
		return fmt.Errorf("finding where the folder lies: %w", err)
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(filepath.Join(dir, base)))
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	if len(mounts) > 0 {
		return mountWithin(mounts[0].Mountpoint)
	}
	return nil
}

func mountWithin(target string) error {
	return fmt.Errorf("nothing may be removed across the mount point %s; unmount it first: %w", target, unix.EBUSY)
}

// batch is how many names are read at once from a directory that is emptied.
const batch = 1024

// removeAll removes base from the folder. It goes by open directories and never
// by paths, so that a directory that somebody swaps for a link meanwhile leads
// nowhere.
func (f *folder) removeAll(ctx context.Context, base string, dev uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	path := filepath.Join(f.path, base)
	err := again(func() error { return unix.Unlinkat(f.fd(), base, 0) })
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return named(path, err)
	}
	var fd int
	notDir := again(func() (err error) {
		fd, err = unix.Openat(f.fd(), base, unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		return err
	})
	if errors.Is(notDir, unix.ENOTDIR) {
		return named(path, err) // what unlink said: the file is protected
	}
	if notDir != nil {
		return named(path, notDir)
	}
	dir := &folder{os.NewFile(uintptr(fd), path), path}
	err = dir.empty(ctx, dev)
	closing(dir, &err)
	if err != nil {
		return err
	}
	return named(path, again(func() error { return unix.Unlinkat(f.fd(), base, unix.AT_REMOVEDIR) }))
}

// empty removes everything in the directory. Names are read afresh after each
// batch: some file systems lose track when a directory shrinks as it is read.
func (f *folder) empty(ctx context.Context, dev uint64) error {
	info, err := infoOf(f.Stat())
	if err != nil {
		return err
	}
	if info.Dev != dev {
		return mountWithin(f.path)
	}
	for {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		names, err := f.Readdirnames(batch)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, name := range names {
			err := f.removeAll(ctx, name, dev)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody else removed it
				return err
			}
		}
	}
}

func named(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("removing %s: %w", path, err)
}
