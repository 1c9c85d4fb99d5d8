package sys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// realFiles is the machine's own file systems.
type realFiles struct{}

func newRealFiles() *realFiles { return &realFiles{} }

func (*realFiles) Lstat(ctx context.Context, path string) (FileInfo, error) {
	return withoutHanging(ctx, "lstat", path, func(path string) (FileInfo, error) { return infoOf(os.Lstat(path)) })
}

func (*realFiles) Stat(ctx context.Context, path string) (FileInfo, error) {
	return withoutHanging(ctx, "stat", path, func(path string) (FileInfo, error) { return infoOf(os.Stat(path)) })
}

func (*realFiles) Readlink(ctx context.Context, path string) (string, error) {
	return withoutHanging(ctx, "readlink", path, os.Readlink)
}

func (*realFiles) ReadDir(ctx context.Context, path string) ([]string, error) {
	return withoutHanging(ctx, "readdir", path, func(path string) ([]string, error) {
		d, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		names, err := d.Readdirnames(-1)
		slices.Sort(names)
		return names, errors.Join(err, d.Close())
	})
}

func (*realFiles) Xattrs(ctx context.Context, path string) (map[string][]byte, error) {
	return withoutHanging(ctx, "listxattr", path, xattrsOf)
}

func (*realFiles) Space(ctx context.Context, path string) (Space, error) {
	return withoutHanging(ctx, "statfs", path, func(path string) (Space, error) {
		var st unix.Statfs_t
		if err := again(func() error { return unix.Statfs(path, &st) }); err != nil {
			return Space{}, err
		}
		block := uint64(cmp.Or(st.Frsize, st.Bsize)) // never negative
		return Space{Free: st.Bavail * block, Total: st.Blocks * block, FreeInodes: st.Ffree, Inodes: st.Files, Block: block}, nil
	})
}

// Open opens regular files only: to open a device or a fifo can have effects, or
// wait for ever.
func (f *realFiles) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	file, err := f.open(ctx, path)
	if err != nil {
		return nil, err
	}
	return &openFile{ctx: ctx, file: file}, nil
}

func (*realFiles) open(ctx context.Context, path string) (*os.File, error) {
	return withoutHangingKeep(ctx, "open", path, func(path string) (*os.File, error) {
		info, err := infoOf(os.Stat(path))
		if err == nil {
			err = noContent(info.Type)
		}
		if err != nil {
			return nil, err
		}
		// O_NONBLOCK counts only should a fifo have taken the file's place just now.
		return os.OpenFile(path, unix.O_NONBLOCK, 0)
	}, func(late *os.File) { _ = late.Close() })
}

// openFile reads a file until its context ends.
type openFile struct {
	ctx  context.Context //nolint:containedctx // an io.Reader is given none
	file *os.File
}

func (f *openFile) Read(p []byte) (int, error) {
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	return f.file.Read(p)
}

func (f *openFile) Close() error { return f.file.Close() }

func (f *realFiles) Content(ctx context.Context, path string) (Content, error) {
	info, err := f.Stat(ctx, path)
	if err == nil {
		err = noContent(info.Type)
	}
	if err != nil {
		return nil, wrapPath("open", path, err)
	}
	return &fileContent{files: f, path: path, info: info}, nil
}

// fileContent is the content that a file had when info was taken.
type fileContent struct {
	files *realFiles
	path  string
	info  FileInfo
}

func (c *fileContent) Size() int64    { return c.info.Size }
func (c *fileContent) SHA256() string { return "" }

func (c *fileContent) Open(ctx context.Context) (io.ReadCloser, error) {
	file, err := c.files.open(ctx, c.path)
	if err != nil {
		return nil, err
	}
	r := &unchangedFile{openFile{ctx, file}, c}
	if err := r.check(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// unchangedFile looks again at the end, since the file may be written to while
// it is read.
type unchangedFile struct {
	openFile

	was *fileContent
}

func (f *unchangedFile) Read(p []byte) (int, error) {
	n, err := f.openFile.Read(p)
	if errors.Is(err, io.EOF) {
		if changed := f.check(); changed != nil {
			err = changed
		}
	}
	return n, err
}

func (f *unchangedFile) check() error {
	now, err := infoOf(f.file.Stat())
	if err != nil {
		return err
	}
	was := f.was.info
	if now.Dev != was.Dev || now.Inode != was.Inode || now.Size != was.Size || !now.ModTime.Equal(was.ModTime) {
		return fmt.Errorf("%s was changed by something else since it was looked at; run the task again", f.was.path)
	}
	return nil
}

// noContent says why a file of the type cannot be read as a file.
func noContent(t FileType) error {
	switch t {
	case Regular:
		return nil
	case Directory:
		return unix.EISDIR
	case Symlink, Fifo, Socket, CharDevice, BlockDevice:
	}
	return fmt.Errorf("is a %s, which has no content of its own: %w", t, unix.EINVAL)
}

var fileTypes = map[uint32]FileType{
	unix.S_IFREG: Regular, unix.S_IFDIR: Directory, unix.S_IFLNK: Symlink, unix.S_IFIFO: Fifo,
	unix.S_IFSOCK: Socket, unix.S_IFCHR: CharDevice, unix.S_IFBLK: BlockDevice,
}

func infoOf(info fs.FileInfo, err error) (FileInfo, error) {
	if err != nil {
		return FileInfo{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return FileInfo{}, fmt.Errorf("%s: the system gave no stat", info.Name())
	}
	return FileInfo{
		Type: fileTypes[st.Mode&unix.S_IFMT], Mode: st.Mode & 0o7777,
		UID: int(st.Uid), GID: int(st.Gid),
		Size: st.Size, Blocks: st.Blocks, BlockSize: int64(st.Blksize), //nolint:unconvert // 32 bits on arm64
		ModTime: timeOf(st.Mtim), AccessTime: timeOf(st.Atim), ChangeTime: timeOf(st.Ctim),
		Links: uint64(st.Nlink), //nolint:unconvert // 32 bits on arm64
		Inode: st.Ino, Dev: st.Dev, Rdev: st.Rdev,
	}, nil
}

func timeOf(t syscall.Timespec) time.Time { return time.Unix(t.Unix()) }

// xattrsOf reads the extended attributes of path itself. A file system that has
// none is no error.
func xattrsOf(path string) (map[string][]byte, error) {
	list, err := sized(func(b []byte) (int, error) { return unix.Llistxattr(path, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, err
	}
	attributes := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value, err := sized(func(b []byte) (int, error) { return unix.Lgetxattr(path, name, b) })
		if errors.Is(err, unix.ENODATA) { // removed since it was listed
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading extended attribute %s: %w", name, err)
		}
		attributes[name] = value
	}
	return attributes, nil
}

// usual has room for most lists and values of extended attributes.
const usual = 256

// sized calls a function that fills what it is given, or tells ERANGE, and the size
// of its answer when it is given no room. A network file system answers slowly, so
// it is asked once where that is enough.
func sized(get func([]byte) (int, error)) ([]byte, error) {
	b := make([]byte, usual)
	for {
		n, err := get(b)
		if err == nil {
			return b[:n], nil
		}
		if errors.Is(err, unix.ERANGE) {
			if n, err = get(nil); err == nil {
				b = make([]byte, max(n, 1)) // with none it would be asked for the size
				continue
			}
		}
		if !errors.Is(err, unix.EINTR) {
			return nil, err
		}
	}
}

// again repeats a system call that a signal broke off.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// withoutHanging asks the kernel on a goroutine of its own: a network file system whose
// server is dead hangs that goroutine, and the caller is still free to give up.
// The goroutine ends with the system call.
func withoutHanging[T any](ctx context.Context, op, path string, ask func(path string) (T, error)) (T, error) {
	return withoutHangingKeep(ctx, op, path, ask, func(T) {})
}

// withoutHangingKeep is withoutHanging for an answer that must be put away when it comes too late.
func withoutHangingKeep[T any](ctx context.Context, op, path string, ask func(path string) (T, error), late func(T)) (T, error) {
	var none T
	path, err := checkPath(path)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return none, wrapPath(op, path, err)
	}
	type answer struct {
		value T
		err   error
	}
	answers, gone := make(chan answer), make(chan struct{})
	defer close(gone)
	go func() {
		value, err := ask(path)
		select {
		case answers <- answer{value, err}:
		case <-gone:
			if err == nil {
				late(value)
			}
		}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return none, wrapPath(op, path, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		return none, wrapPath(op, path, ctx.Err())
	}
}

// checkPath refuses what no path of this interface is. Slashes at the end mean
// nothing here: /a/link/ is the link.
func checkPath(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return path, fmt.Errorf("the path is not absolute: %w", unix.EINVAL)
	}
	if strings.ContainsRune(path, 0) {
		return path, fmt.Errorf("the path holds a NUL byte: %w", unix.EINVAL)
	}
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		return trimmed, nil
	}
	return "/", nil
}

// splitPath is checkPath for a path at which something is to be changed.
func splitPath(path string) (dir, base string, err error) {
	path, err = checkPath(path)
	if err != nil {
		return "", "", err
	}
	dir, base = filepath.Split(path)
	switch base {
	case "":
		return "", "", fmt.Errorf("the root of all files cannot be changed so: %w", unix.EBUSY)
	case ".", "..":
		return "", "", fmt.Errorf("a path to change must end in a name: %w", unix.EINVAL)
	}
	return dir, base, nil
}

// wrapPath gives err the form that package os gives errors, whatever path it
// came with: the caller knows the path that it asked for.
func wrapPath(op, path string, err error) error {
	if _, unknown := Unknown(err); unknown || err == nil {
		return err
	}
	if outermost, ok := err.(*fs.PathError); ok { //nolint:errorlint // what is wrapped further in belongs to the message
		err = outermost.Err
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
