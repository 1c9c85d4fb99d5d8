package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// A store is one btrfs image file, mounted at dir: images/ and one folder per
// instance lie in it. btrfs gives docker a real file system in every node and
// makes a reset a snapshot. Everything that an overlay joins lies in the one
// top subvolume: inode numbers of different subvolumes may be equal, and an
// overlay over two of them would show two files as one.
type store struct{ dir string }

const storeSize = 64 << 30 // bytes; the file is sparse

func (s store) imageFile() string { return s.dir + ".img" }

// mount makes the store if need be and mounts it; the caller holds the lock.
func (s store) mount(ctx context.Context) error {
	if mounted, err := mountinfo.Mounted(s.dir); err == nil && mounted {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(s.imageFile()); err == nil {
		err := s.attach(ctx)
		if err == nil {
			return nil
		}
		// A machine that crashed may leave it unreadable. Nothing in it
		// cannot be built again.
		fmt.Fprintf(os.Stderr, "lab: %s cannot be mounted and is made anew: %v\n", s.imageFile(), err)
		if err := os.Remove(s.imageFile()); err != nil {
			return err
		}
	}
	if err := s.format(ctx); err != nil {
		return err
	}
	return s.attach(ctx)
}

func (s store) attach(ctx context.Context) error {
	_, err := run(ctx, time.Minute, "mount", "-t", "btrfs", "-o", "loop,noatime,nobarrier,discard=async", s.imageFile(), s.dir)
	return err
}

func (s store) format(ctx context.Context) error {
	file, err := os.OpenFile(s.imageFile(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(storeSize), file.Close()); err != nil {
		return err
	}
	_, err = run(ctx, time.Minute, "mkfs.btrfs", "-q", "-L", "rbdplay-lab", s.imageFile())
	return err
}

// unmount takes the store away when no instance lies in it any more.
func (s store) unmount(ctx context.Context) error {
	mounted, err := mountinfo.Mounted(s.dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	if !mounted {
		return removeIfEmpty(s.dir)
	}
	inUse, err := s.inUse()
	if err != nil || inUse {
		return err
	}
	err = waitFor(ctx, "the store to be free", 20*time.Second, 300*time.Millisecond, func(ctx context.Context) error {
		_, err := run(ctx, 20*time.Second, "umount", s.dir)
		return err
	})
	if err != nil {
		return err
	}
	return removeIfEmpty(s.dir)
}

func removeIfEmpty(dir string) error {
	err := os.Remove(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}

// inUse tells whether an instance has nodes in the store.
func (s store) inUse() (bool, error) {
	found, err := filepath.Glob(filepath.Join(s.dir, "*", "nodes", "*"))
	return len(found) > 0, err
}

// mountsBelow lists mount points at or below dir, deepest first.
func mountsBelow(dir string) ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	var points []string
	for _, info := range slices.Backward(infos) {
		points = append(points, info.Mountpoint)
	}
	return points, nil
}

// unmountBelow unmounts everything below dir, as a crash may have left it.
func unmountBelow(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, point := range points {
		err := unix.Unmount(point, 0)
		if errors.Is(err, unix.EBUSY) {
			err = unix.Unmount(point, unix.MNT_DETACH)
		}
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmounting %s: %w", point, err)
		}
	}
	return nil
}

func snapshot(ctx context.Context, from, to string) error {
	_, err := run(ctx, time.Minute, "btrfs", "-q", "subvolume", "snapshot", from, to)
	return err
}

func createSubvolume(ctx context.Context, path string) error {
	_, err := run(ctx, time.Minute, "btrfs", "-q", "subvolume", "create", path)
	return err
}

// btrfs gives the root of every subvolume this inode number.
const subvolumeInode = 256

// removeTree removes dir with the subvolumes directly in it or below it that
// the lab makes (named docker).
func removeTree(ctx context.Context, dir string) error {
	for _, pattern := range []string{"docker", "*/docker", "*/*/docker"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			var stat unix.Stat_t
			if unix.Lstat(path, &stat) != nil || stat.Ino != subvolumeInode || strings.Contains(path, "/upper/") {
				continue
			}
			if _, err := run(ctx, time.Minute, "btrfs", "-q", "subvolume", "delete", path); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}
