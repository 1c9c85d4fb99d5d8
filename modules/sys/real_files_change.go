package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Mkdir removes the directory again when it cannot have its attributes.
func (*realFiles) Mkdir(ctx context.Context, path string, attributes Attributes) (err error) {
	folder, base, err := openFolder(ctx, path)
	if err != nil {
		return wrapPath("mkdir", path, err)
	}
	defer closing(folder, &err)
	mode := uint32(0o777) // which umask and a default ACL make smaller
	if attributes.Mode != nil {
		mode = 0o700
	}
	if err := again(func() error { return unix.Mkdirat(folder.fd(), base, mode) }); err != nil {
		return wrapPath("mkdir", path, err)
	}
	err = setAttributes(folder.child(base), attributes)
	if err != nil {
		err = errors.Join(err, unix.Unlinkat(folder.fd(), base, unix.AT_REMOVEDIR))
	}
	return wrapPath("mkdir", path, err)
}

func (*realFiles) SetAttributes(ctx context.Context, path string, a Attributes) error {
	trimmed, err := checkPath(path)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = setAttributes(trimmed, a)
	}
	return wrapPath("set attributes", path, err)
}

// setAttributes works on what path itself is, which may be a link. When one of
// several attributes cannot be set, the error names it; those before it, in the
// order owner, mode, times, are set.
func setAttributes(path string, a Attributes) (err error) {
	file, err := os.OpenFile(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer closing(file, &err)
	fd := int(file.Fd())
	info, err := infoOf(file.Stat())
	if err != nil {
		return err
	}
	if err := own(fd, info, a); err != nil {
		return err
	}
	mode := info.Mode
	if a.Mode != nil {
		mode = *a.Mode
	}
	// The kernel drops setuid and setgid when the owner changes.
	dropped := (a.UID != nil || a.GID != nil) && mode&(unix.S_ISUID|unix.S_ISGID) != 0
	if (mode != info.Mode || dropped) && info.Type != Symlink {
		if err := again(func() error { return unix.Chmod(descriptor(fd), mode) }); err != nil {
			return fmt.Errorf("setting mode %#o: %w", mode, err)
		}
	}
	return setTimes(fd, a)
}

func (*realFiles) SetXattr(ctx context.Context, path, name string, value []byte) error {
	trimmed, err := checkPath(path)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return wrapPath("setxattr", path, err)
	}
	err = again(func() error {
		if value == nil {
			return unix.Lremovexattr(trimmed, name)
		}
		return unix.Lsetxattr(trimmed, name, value, 0)
	})
	if value == nil && errors.Is(err, unix.ENODATA) {
		return nil // it is not there, as wanted
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return wrapPath("setxattr", path, err)
}

func (*realFiles) Symlink(ctx context.Context, target, path string) (err error) {
	folder, base, err := openFolder(ctx, path)
	if err != nil {
		return wrapPath("symlink", path, err)
	}
	defer closing(folder, &err)
	if _, err := folder.replaceable(base); err != nil {
		return wrapPath("symlink", path, err)
	}
	err = folder.throughTemporary(base, func(temporary string) error {
		return again(func() error { return unix.Symlinkat(target, folder.fd(), temporary) })
	})
	return wrapPath("symlink", path, err)
}

func (*realFiles) Link(ctx context.Context, existing, path string) (err error) {
	folder, base, err := openFolder(ctx, path)
	if err != nil {
		return wrapLink("link", existing, path, err)
	}
	defer closing(folder, &err)
	old, err := folder.replaceable(base)
	if err != nil {
		return wrapLink("link", existing, path, err)
	}
	from, err := checkPath(existing)
	if err != nil {
		return wrapLink("link", existing, path, err)
	}
	info, err := infoOf(os.Lstat(from))
	if err != nil {
		return wrapLink("link", existing, path, err)
	}
	if old != nil && old.info.Inode == info.Inode && old.info.Dev == info.Dev {
		return nil // rename(2) would do nothing either, and leave the temporary name
	}
	err = folder.throughTemporary(base, func(temporary string) error {
		return again(func() error { return unix.Linkat(unix.AT_FDCWD, from, folder.fd(), temporary, 0) })
	})
	return wrapLink("link", existing, path, err)
}

// Mknod takes type, mode and device number from info; who owns the file is left
// to SetAttributes. It replaces nothing.
func (*realFiles) Mknod(ctx context.Context, path string, info FileInfo) (err error) {
	folder, base, err := openFolder(ctx, path)
	if err != nil {
		return wrapPath("mknod", path, err)
	}
	defer closing(folder, &err)
	bits, err := special(info.Type)
	if err != nil {
		return wrapPath("mknod", path, err)
	}
	err = again(func() error {
		return unix.Mknodat(folder.fd(), base, bits|info.Mode, int(info.Rdev)) // a device number has 32 bits here
	})
	if err != nil {
		return wrapPath("mknod", path, err)
	}
	err = setAttributes(folder.child(base), Attributes{Mode: &info.Mode}) // what umask took
	if err != nil {
		err = errors.Join(err, unix.Unlinkat(folder.fd(), base, 0))
	}
	return wrapPath("mknod", path, err)
}

// special gives the mode bits of a type that Mknod makes.
func special(t FileType) (uint32, error) {
	for bits, name := range fileTypes {
		if name == t && t != Regular && t != Directory && t != Symlink {
			return bits, nil
		}
	}
	return 0, fmt.Errorf("a %s is not made so: %w", t, unix.EINVAL)
}

func (*realFiles) Rename(ctx context.Context, from, to string) error {
	fromDir, fromBase, err := splitPath(from)
	if err != nil {
		return wrapLink("rename", from, to, err)
	}
	toDir, toBase, err := splitPath(to)
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = again(func() error { return unix.Rename(fromDir+fromBase, toDir+toBase) })
	}
	return wrapLink("rename", from, to, err)
}

// wrapLink is wrapPath for what concerns two paths.
func wrapLink(op, from, to string, err error) error {
	if _, unknown := Unknown(err); unknown || err == nil {
		return err
	}
	if outermost, ok := err.(*fs.PathError); ok { //nolint:errorlint // what is wrapped further in belongs to the message
		err = outermost.Err
	}
	return &os.LinkError{Op: op, Old: from, New: to, Err: err}
}
