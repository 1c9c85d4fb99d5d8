package sys

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Writes are not abandoned when a system call hangs, as looks are: a rename that
// takes effect after the caller has gone on would be worse than waiting.

func (*realFiles) Write(ctx context.Context, path string, content Content, attributes Attributes) error {
	return writeFile(ctx, path, content, attributes, copying{durable: true})
}

func (*realFiles) WriteCopy(ctx context.Context, path string, content Content, attributes Attributes, sparse bool) error {
	return writeFile(ctx, path, content, attributes, copying{sparse: sparse})
}

// copying says how content is put on the disk. Without sparse every byte takes
// room, as a swap file or a database's own file needs it.
type copying struct{ durable, sparse bool }

func writeFile(ctx context.Context, path string, content Content, attributes Attributes, how copying) (err error) {
	folder, base, err := openFolder(ctx, path)
	if err != nil {
		return wrapPath("write", path, err)
	}
	defer closing(folder, &err)
	old, err := folder.replaceable(base)
	if err != nil {
		return wrapPath("write", path, err)
	}
	var made written
	err = folder.throughTemporary(base, func(temporary string) error {
		made, err = folder.fill(ctx, temporary, content, attributes.over(old), old, how)
		return err
	})
	if err == nil && how.durable {
		err = folder.sync()
	}
	if err == nil {
		made.remember(ctx, folder.child(base))
	}
	return wrapPath("write", path, err)
}

// over completes the attributes with those of the file that is replaced. Times
// are not among them: a file that is written is new.
func (a Attributes) over(old *oldFile) Attributes {
	if old == nil || old.info.Type != Regular {
		return a
	}
	if a.Mode == nil {
		a.Mode = &old.info.Mode
	}
	if a.UID == nil {
		a.UID = &old.info.UID
	}
	if a.GID == nil {
		a.GID = &old.info.GID
	}
	return a
}

// folder is an open directory in which something is to be changed. Working by
// its descriptor keeps all of one change in the same directory, whatever happens
// to the path meanwhile.
type folder struct {
	*os.File

	path string
}

func openFolder(ctx context.Context, path string) (*folder, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	dir, base, err := splitPath(path)
	if err != nil {
		return nil, "", err
	}
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("opening the folder %s: %w", dir, errors.Unwrap(err))
	}
	return &folder{f, dir}, base, nil
}

func (f *folder) fd() int { return int(f.Fd()) }

// child is the path of base that does not depend on what the folder is called.
func (f *folder) child(base string) string {
	return descriptor(f.fd()) + "/" + base
}

// oldFile is what a write replaces.
type oldFile struct {
	info   FileInfo
	xattrs map[string][]byte
}

// replaceable looks at what a new file or link would replace: nil when there is
// nothing. Directories and special files are not replaced.
func (f *folder) replaceable(base string) (*oldFile, error) {
	info, err := infoOf(os.Lstat(f.child(base)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing is there, as the comment says
	}
	if err == nil {
		err = inTheWay(info.Type)
	}
	if err != nil {
		return nil, err
	}
	old := &oldFile{info: info}
	if info.Type == Regular {
		old.xattrs, err = xattrsOf(f.child(base))
	}
	return old, err
}

// inTheWay says why a file of the type is not replaced by a file or link.
func inTheWay(t FileType) error {
	switch t {
	case Regular, Symlink:
		return nil
	case Directory:
		return unix.EISDIR
	case Fifo, Socket, CharDevice, BlockDevice:
	}
	return fmt.Errorf("a %s is there, which is not replaced; remove it first: %w", t, unix.EEXIST)
}

// throughTemporary lets something be made under a temporary name and then gives
// it the name base. After an error nothing of it is left.
func (f *folder) throughTemporary(base string, build func(temporary string) error) error {
	temporary := temporaryName()
	err := build(temporary)
	if err == nil {
		err = again(func() error { return unix.Renameat(f.fd(), temporary, f.fd(), base) })
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) {
			err = errMountPoint(err)
		}
	}
	if err == nil {
		return nil
	}
	left := again(func() error { return unix.Unlinkat(f.fd(), temporary, 0) })
	if left != nil && !errors.Is(left, unix.ENOENT) {
		err = errors.Join(err, fmt.Errorf("removing the temporary file %s: %w", filepath.Join(f.path, temporary), left))
	}
	return err
}

func errMountPoint(err error) error {
	return fmt.Errorf("is a mount point itself, as /etc/hosts is inside a container, and so cannot be replaced; change what is mounted there: %w", err)
}

// fill makes the file name with the content and attributes, durable if wanted.
func (f *folder) fill(ctx context.Context, name string, content Content, a Attributes, old *oldFile, how copying) (made written, err error) {
	file, err := f.create(name, a)
	if err != nil {
		return made, err
	}
	defer closing(file, &err)
	if made.sums, err = pour(ctx, file, content, how); err != nil {
		return made, err
	}
	if err := dress(file, f.child(name), a, old); err != nil {
		return made, err
	}
	if how.durable {
		if err := file.Sync(); err != nil {
			return made, fmt.Errorf("making the content durable: %w", errors.Unwrap(err))
		}
	}
	if made.sums != (Digests{}) {
		if made.info, err = infoOf(file.Stat()); err != nil {
			return made, err
		}
	}
	return made, ctx.Err()
}

// create makes an empty file that nobody else can read before it gets its mode.
func (f *folder) create(name string, a Attributes) (*os.File, error) {
	mode := uint32(0o600)
	if a.Mode == nil {
		mode = 0o666 // which umask and the folder's default ACL turn into what a new file is to have
	}
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Openat(f.fd(), name, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_WRONLY|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making a temporary file in %s: %w", f.path, err)
	}
	return os.NewFile(uintptr(fd), filepath.Join(f.path, name)), nil
}

const (
	chunk    = 128 << 10 // read, hashed and written at once; ctx counts between two
	holeSize = 4 << 10   // a block of zeros of this size becomes a hole; divides chunk
)

// flushEach is how much of a durable file is written before the disk is told to begin
// with it, in bytes, so that little is left to wait for at its end.
const flushEach = 8 << 20

// pour copies the content into file and checks that it is what it claims to be. It
// gives its digests when they are worth remembering.
func pour(ctx context.Context, file *os.File, content Content, how copying) (sums Digests, err error) {
	r, err := content.Open(ctx)
	if err != nil {
		return sums, fmt.Errorf("opening the new content: %w", err)
	}
	defer closing(r, &err)
	var from io.Reader = r
	if c, ok := r.(SelfChecking); ok && content.SHA256() != "" {
		from = c.Unchecked() // the digester does it
	}
	p := &pouring{ctx: ctx, file: file, how: how, sum: newDigester(ctx, content, how), content: content}
	if err := p.readFrom(from); err != nil {
		return sums, err
	}
	if err := errors.Join(isContent(content, p.size, p.sum.ofSHA256()), p.sum.check()); err != nil {
		return sums, err
	}
	return p.sum.digests(), cut(file, p.size)
}

// pouring is a file that content is written into, piece by piece.
type pouring struct {
	ctx     context.Context //nolint:containedctx // it lives for one content
	file    *os.File
	content Content
	how     copying
	sum     *digester
	size    int64 // so far
	begun   int64 // that the disk was told to begin with
	failed  error // what Write said
}

// readFrom takes in what from yields.
func (p *pouring) readFrom(from io.Reader) error {
	if whole, ok := from.(io.WriterTo); ok && !p.how.sparse { // which wants whole blocks
		_, err := whole.WriteTo(p)
		if err != nil && p.failed == nil {
			return fmt.Errorf("reading the new content: %w", err)
		}
		return err
	}
	buffer := make([]byte, min(chunk, p.content.Size()+1))
	for {
		n, err := io.ReadFull(from, buffer)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return fmt.Errorf("reading the new content: %w", err)
		}
		if _, err := p.Write(buffer[:n]); err != nil || ended {
			return err
		}
	}
}

// Write implements io.Writer.
func (p *pouring) Write(data []byte) (int, error) {
	p.failed = p.write(data)
	if p.failed != nil {
		return 0, p.failed
	}
	return len(data), nil
}

func (p *pouring) write(data []byte) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	at := p.size
	p.size += int64(len(data))
	if p.size > p.content.Size() {
		return isContent(p.content, p.size, nil)
	}
	p.sum.write(data)
	if err := writeAt(p.file, data, at, p.how.sparse); err != nil {
		return err
	}
	if p.how.durable && p.size-p.begun >= flushEach {
		// Only a hint: what goes wrong, Sync says.
		_ = unix.SyncFileRange(int(p.file.Fd()), p.begun, p.size-p.begun, unix.SYNC_FILE_RANGE_WRITE)
		p.begun = p.size
	}
	return nil
}

// cut gives the file its size: a hole at the end is no part of it yet, and it may have
// been longer before. It looks first, which costs less on a network file system.
func cut(file *os.File, size int64) error {
	info, err := file.Stat()
	if err != nil || info.Size() == size {
		return err
	}
	return file.Truncate(size)
}

// isContent compares what was read with what the content claims to be. A sum of nil was
// not made.
func isContent(content Content, size int64, sum []byte) error {
	if size != content.Size() {
		return fmt.Errorf("the new content should have %d bytes and has %d or more", content.Size(), size)
	}
	if want := content.SHA256(); sum != nil && want != "" && !strings.EqualFold(want, hex.EncodeToString(sum)) {
		return fmt.Errorf("the new content should have the sha256 %s and has %x", want, sum)
	}
	return nil
}

// writeAt writes data at offset, which is a multiple of chunk.
func writeAt(file *os.File, data []byte, offset int64, sparse bool) error {
	for len(data) > 0 {
		n, hole := len(data), false
		if sparse {
			n, hole = sameBlocks(data)
		}
		if !hole {
			if _, err := file.WriteAt(data[:n], offset); err != nil {
				return fmt.Errorf("writing the new content: %w", errors.Unwrap(err))
			}
		}
		data, offset = data[n:], offset+int64(n)
	}
	return nil
}

var zeros [holeSize]byte

// sameBlocks gives the length of the blocks at the start of data that are all holes or
// all none.
func sameBlocks(data []byte) (n int, hole bool) {
	isHole := func(at int) bool {
		return len(data)-at >= holeSize && bytes.Equal(data[at:at+holeSize], zeros[:])
	}
	hole = isHole(0)
	for n < len(data) && isHole(n) == hole {
		n += min(holeSize, len(data)-n)
	}
	return n, hole
}

// dress gives the new file its attributes. The owner comes first, since changing
// it clears setuid and capabilities; an ACL before the mode, which is part of it.
func dress(file *os.File, path string, a Attributes, old *oldFile) error {
	info, err := infoOf(file.Stat())
	if err != nil {
		return err
	}
	if err := own(int(file.Fd()), info, a); err != nil {
		return err
	}
	if old != nil && old.xattrs != nil {
		if err := keepXattrs(path, old.xattrs); err != nil {
			return err
		}
	}
	if a.Mode != nil {
		if err := again(func() error { return unix.Fchmod(int(file.Fd()), *a.Mode) }); err != nil {
			return fmt.Errorf("setting mode %#o: %w", *a.Mode, err)
		}
	}
	return setTimes(int(file.Fd()), a)
}

// descriptor is a path that leads to what fd has open, be it a link, and never
// further. It is how the older kernels change what is open with O_PATH.
func descriptor(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// own sets owner and group where they differ, so that what is right already asks
// for no privilege.
func own(fd int, info FileInfo, a Attributes) error {
	uid, gid := -1, -1
	if a.UID != nil && *a.UID != info.UID {
		uid = *a.UID
	}
	if a.GID != nil && *a.GID != info.GID {
		gid = *a.GID
	}
	if uid < 0 && gid < 0 {
		return nil
	}
	err := again(func() error { return unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH) })
	if err != nil {
		return fmt.Errorf("setting owner and group to %d:%d: %w", orNow(uid, info.UID), orNow(gid, info.GID), err)
	}
	return nil
}

func orNow(id, now int) int {
	if id < 0 {
		return now
	}
	return id
}

// boundToContent are attributes that hold a signature of the content, and so
// cannot be kept when it changes.
var boundToContent = map[string]bool{"security.ima": true, "security.evm": true}

// keepXattrs makes the extended attributes of path those of the old file.
func keepXattrs(path string, old map[string][]byte) error {
	have, err := xattrsOf(path)
	if err != nil {
		return err
	}
	for name := range have { // an ACL that the folder gave
		if _, keep := old[name]; !keep && !boundToContent[name] && name != "security.selinux" {
			if err := again(func() error { return unix.Lremovexattr(path, name) }); err != nil {
				return fmt.Errorf("removing the extended attribute %s: %w", name, err)
			}
		}
	}
	for name, value := range old {
		if now, ok := have[name]; boundToContent[name] || ok && bytes.Equal(now, value) {
			continue
		}
		if err := again(func() error { return unix.Lsetxattr(path, name, value, 0) }); err != nil {
			return fmt.Errorf("keeping the extended attribute %s of the old file: %w", name, err)
		}
	}
	return nil
}

func setTimes(fd int, a Attributes) error {
	if a.ModTime == nil && a.AccessTime == nil {
		return nil
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
	for i, t := range []*time.Time{a.AccessTime, a.ModTime} {
		if t == nil {
			continue
		}
		var err error
		if times[i], err = unix.TimeToTimespec(*t); err != nil {
			return fmt.Errorf("setting the time %s: %w", t, err)
		}
	}
	err := again(func() error {
		return unix.UtimesNanoAt(unix.AT_FDCWD, descriptor(fd), times, 0)
	})
	if err != nil {
		return fmt.Errorf("setting times: %w", err)
	}
	return nil
}

// sync makes the names in the folder durable. Some network file systems cannot
// do that for a folder and say EINVAL; there is nothing better to do then.
func (f *folder) sync() error {
	err := f.Sync()
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return fmt.Errorf("making the new name durable: %w", errors.Unwrap(err))
}

func (*realFiles) Sync(ctx context.Context, path string) (err error) {
	if err := ctx.Err(); err != nil {
		return wrapPath("syncfs", path, err)
	}
	path, err = checkPath(path)
	if err != nil {
		return wrapPath("syncfs", path, err)
	}
	file, err := os.OpenFile(path, unix.O_NONBLOCK, 0)
	if err != nil {
		return wrapPath("syncfs", path, err)
	}
	defer closing(file, &err)
	return wrapPath("syncfs", path, again(func() error { return unix.Syncfs(int(file.Fd())) }))
}

// closing closes c and reports what that says, unless there is an error already.
func closing(c io.Closer, err *error) {
	if closed := c.Close(); closed != nil && *err == nil {
		*err = closed
	}
}
