package systest

import (
	"context"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// readingFiles are a Host's files to read. What leads to Root may be looked at,
// as a shadow does on its way; nothing else outside of it.
type readingFiles struct{ h *Host }

func (f readingFiles) allow(ctx context.Context, operation, path string, onTheWay bool) error {
	err := f.h.enter(ctx, "files."+operation)
	f.h.leave()
	if err != nil {
		return &fs.PathError{Op: strings.ToLower(operation), Path: path, Err: err}
	}
	path = filepath.Clean(path)
	if isWithin(path, f.h.Root) || onTheWay && isWithin(f.h.Root, path) {
		return nil
	}
	return f.h.unexpected("%s of %s, outside of %s", operation, path, f.h.Root)
}

func isWithin(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// reading asks f for a look at a path.
func reading[T any](ctx context.Context, f readingFiles, operation, path string, onTheWay bool, look func(context.Context, string) (T, error)) (T, error) {
	if err := f.allow(ctx, operation, path, onTheWay); err != nil {
		var none T
		return none, err
	}
	return look(ctx, path)
}

func (f readingFiles) Lstat(ctx context.Context, path string) (sys.FileInfo, error) {
	return reading(ctx, f, "Lstat", path, true, f.h.files.Lstat)
}

func (f readingFiles) Stat(ctx context.Context, path string) (sys.FileInfo, error) {
	return reading(ctx, f, "Stat", path, true, f.h.files.Stat)
}

func (f readingFiles) Readlink(ctx context.Context, path string) (string, error) {
	return reading(ctx, f, "Readlink", path, true, f.h.files.Readlink)
}

func (f readingFiles) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	return reading(ctx, f, "Open", path, false, f.h.files.Open)
}

func (f readingFiles) Content(ctx context.Context, path string) (sys.Content, error) {
	return reading(ctx, f, "Content", path, false, f.h.files.Content)
}

func (f readingFiles) ReadDir(ctx context.Context, path string) ([]string, error) {
	return reading(ctx, f, "ReadDir", path, false, f.h.files.ReadDir)
}

func (f readingFiles) Xattrs(ctx context.Context, path string) (map[string][]byte, error) {
	return reading(ctx, f, "Xattrs", path, false, f.h.files.Xattrs)
}

func (f readingFiles) Space(ctx context.Context, path string) (sys.Space, error) {
	return reading(ctx, f, "Space", path, true, f.h.files.Space)
}

// writingFiles are a Host's files to write.
type writingFiles struct{ h *Host }

func (f writingFiles) allow(ctx context.Context, operation string, paths ...string) error {
	for _, path := range paths {
		if err := readingFiles(f).allow(ctx, operation, path, false); err != nil {
			return err
		}
	}
	return nil
}

func (f writingFiles) Write(ctx context.Context, path string, content sys.Content, a sys.Attributes) error {
	if err := f.allow(ctx, "Write", path); err != nil {
		return err
	}
	return f.h.write.Write(ctx, path, content, a)
}

func (f writingFiles) WriteCopy(ctx context.Context, path string, content sys.Content, a sys.Attributes, sparse bool) error {
	if err := f.allow(ctx, "WriteCopy", path); err != nil {
		return err
	}
	return f.h.write.WriteCopy(ctx, path, content, a, sparse)
}

func (f writingFiles) Sync(ctx context.Context, path string) error {
	if err := f.allow(ctx, "Sync", path); err != nil {
		return err
	}
	return f.h.write.Sync(ctx, path)
}

func (f writingFiles) Mkdir(ctx context.Context, path string, a sys.Attributes) error {
	if err := f.allow(ctx, "Mkdir", path); err != nil {
		return err
	}
	return f.h.write.Mkdir(ctx, path, a)
}

func (f writingFiles) Symlink(ctx context.Context, target, path string) error {
	if err := f.allow(ctx, "Symlink", path); err != nil {
		return err
	}
	return f.h.write.Symlink(ctx, target, path)
}

func (f writingFiles) Link(ctx context.Context, existing, path string) error {
	if err := f.allow(ctx, "Link", existing, path); err != nil {
		return err
	}
	return f.h.write.Link(ctx, existing, path)
}

func (f writingFiles) Mknod(ctx context.Context, path string, info sys.FileInfo) error {
	if err := f.allow(ctx, "Mknod", path); err != nil {
		return err
	}
	return f.h.write.Mknod(ctx, path, info)
}

func (f writingFiles) Rename(ctx context.Context, from, to string) error {
	if err := f.allow(ctx, "Rename", from, to); err != nil {
		return err
	}
	return f.h.write.Rename(ctx, from, to)
}

func (f writingFiles) Remove(ctx context.Context, path string) error {
	if err := f.allow(ctx, "Remove", path); err != nil {
		return err
	}
	return f.h.write.Remove(ctx, path)
}

func (f writingFiles) RemoveAll(ctx context.Context, path string) error {
	if err := f.allow(ctx, "RemoveAll", path); err != nil {
		return err
	}
	return f.h.write.RemoveAll(ctx, path)
}

func (f writingFiles) SetAttributes(ctx context.Context, path string, a sys.Attributes) error {
	if err := f.allow(ctx, "SetAttributes", path); err != nil {
		return err
	}
	return f.h.write.SetAttributes(ctx, path, a)
}

func (f writingFiles) SetXattr(ctx context.Context, path, name string, value []byte) error {
	if err := f.allow(ctx, "SetXattr", path); err != nil {
		return err
	}
	return f.h.write.SetXattr(ctx, path, name, value)
}

// bare is what lies beneath the files of a host in memory: "/" and nothing in it.
type bare struct{ *Host }

func (b bare) Files() sys.FileReader { return emptyRoot{} }

// Mounts has none: what the host has mounted does not change what its files are.
func (b bare) Mounts() sys.MountReader { return noMounts{} }

type noMounts struct{}

func (noMounts) List(context.Context) ([]sys.Mount, error) { return nil, nil }

type emptyRoot struct{}

func (emptyRoot) Lstat(ctx context.Context, path string) (sys.FileInfo, error) {
	if path != "/" {
		return sys.FileInfo{}, notThere("file", path)
	}
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return sys.FileInfo{Type: sys.Directory, Mode: 0o755, Links: 2, Inode: 2, Dev: 1, ModTime: began, AccessTime: began}, ctx.Err()
}

func (r emptyRoot) Stat(ctx context.Context, path string) (sys.FileInfo, error) {
	return r.Lstat(ctx, path)
}

func (emptyRoot) Open(_ context.Context, path string) (io.ReadCloser, error) {
	return nil, notThere("file", path)
}

func (emptyRoot) Content(_ context.Context, path string) (sys.Content, error) {
	return nil, notThere("file", path)
}

func (emptyRoot) Readlink(_ context.Context, path string) (string, error) {
	return "", notThere("file", path)
}

func (r emptyRoot) ReadDir(ctx context.Context, path string) ([]string, error) {
	_, err := r.Lstat(ctx, path)
	return nil, err
}

func (r emptyRoot) Xattrs(ctx context.Context, path string) (map[string][]byte, error) {
	_, err := r.Lstat(ctx, path)
	return map[string][]byte{}, err
}

func (emptyRoot) Space(ctx context.Context, path string) (sys.Space, error) {
	if path != "/" {
		return sys.Space{}, unix.ENOENT
	}
	return sys.Space{Free: 8 << 30, Total: 16 << 30, FreeInodes: 1 << 20, Inodes: 1 << 21, Block: 4096}, ctx.Err()
}
