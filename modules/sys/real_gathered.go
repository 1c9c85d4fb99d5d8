package sys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Gathered is the machine during a loop whose items edit one file: each item reads
// what the one before has written, and the file is put in place, durably, once.
// Until then it lies beside the old one under a temporary name, and everybody else
// sees the old one. Anything but reading and writing that file commits it first. A
// Gathered serves one goroutine.
type Gathered struct {
	*Real
	committed func(error)
	pending   *pendingFile
}

// pendingFile is a file that was written and is not in place.
type pendingFile struct {
	path, base string
	folder     *folder
	replaces   *FileInfo      // nil: nothing
	now        *temporaryFile // nil: nothing was written yet
	// spare is what was written before now, to be written over: to make a file and
	// remove one costs more than all else that a small edit does.
	spare *temporaryFile
}

// temporaryFile is open, so that what is written reaches it whatever its name has
// come to mean.
type temporaryFile struct {
	*os.File

	name string
}

// Gather begins to gather. committed is called whenever what was gathered has been
// put in place, or could not be: the error then undoes all writes since the last
// call. The caller commits at the end, whatever happened.
func (r *Real) Gather(committed func(error)) *Gathered {
	return &Gathered{Real: r, committed: committed}
}

// Commit puts what was gathered in place. After an error the old file is there.
func (g *Gathered) Commit(ctx context.Context) error {
	p := g.pending
	if p == nil {
		return nil
	}
	g.pending = nil
	err := p.commit(ctx)
	g.committed(err)
	return err
}

func (p *pendingFile) commit(ctx context.Context) (err error) {
	defer closing(p.folder, &err)
	err = errors.Join(ctx.Err(), p.discard(p.spare))
	if err == nil {
		err = p.place()
	}
	if err != nil {
		err = errors.Join(err, p.discard(p.now))
	} else {
		err = p.now.Close()
	}
	return wrapPath("write", p.path, err)
}

func (p *pendingFile) place() error {
	if err := p.now.Sync(); err != nil {
		return fmt.Errorf("making the content durable: %w", errors.Unwrap(err))
	}
	now, err := p.folder.infoOf(p.base)
	if err != nil {
		return err
	}
	if !untouched(now, p.replaces) {
		return errors.New("was changed by something else in the meantime; it stays as that left it, run the task again")
	}
	if err := again(func() error { return unix.Renameat(p.folder.fd(), p.now.name, p.folder.fd(), p.base) }); err != nil {
		if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EXDEV) {
			return errMountPoint(err)
		}
		return err
	}
	return p.folder.sync()
}

// discard closes and removes a temporary file, if it is still there.
func (p *pendingFile) discard(t *temporaryFile) error {
	if t == nil {
		return nil
	}
	closed := t.Close()
	err := again(func() error { return unix.Unlinkat(p.folder.fd(), t.name, 0) })
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return errors.Join(closed, fmt.Errorf("removing the temporary file %s: %w", filepath.Join(p.folder.path, t.name), err))
	}
	return closed
}

// infoOf is lstat of a name in the folder, nil when nothing is there.
func (f *folder) infoOf(base string) (*FileInfo, error) {
	info, err := infoOf(os.Lstat(f.child(base)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing is there, as the comment says
	}
	return &info, err
}

func untouched(a, b *FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Inode == b.Inode && a.Dev == b.Dev && a.Size == b.Size && a.ModTime.Equal(b.ModTime) && a.ChangeTime.Equal(b.ChangeTime)
}

// write puts the content beside the file; the last content that was written there
// gives way to it.
func (g *Gathered) write(ctx context.Context, path string, content Content, a Attributes) (err error) {
	if g.pending != nil && g.pending.path != path {
		if err := g.Commit(ctx); err != nil {
			return err
		}
	}
	if g.pending == nil {
		if err := g.begin(ctx, path); err != nil {
			return wrapPath("write", path, err)
		}
	}
	p := g.pending
	from := p.base
	if p.now != nil {
		from = p.now.name
	}
	err = p.rewrite(ctx, from, content, a)
	if err != nil && p.now == nil {
		g.pending = nil
		err = errors.Join(err, p.folder.Close())
	}
	return wrapPath("write", path, err)
}

func (g *Gathered) begin(ctx context.Context, path string) error {
	folder, base, err := openFolder(ctx, path)
	if err != nil {
		return err
	}
	info, err := folder.infoOf(base)
	if err != nil {
		return errors.Join(err, folder.Close())
	}
	g.pending = &pendingFile{path: path, base: base, folder: folder, replaces: info}
	return nil
}

// rewrite fills a temporary file that takes over the attributes of from.
func (p *pendingFile) rewrite(ctx context.Context, from string, content Content, a Attributes) error {
	old, err := p.folder.replaceable(from)
	if err != nil {
		return err
	}
	a = a.over(old)
	next, err := p.empty(a)
	if err != nil {
		return err
	}
	_, err = pour(ctx, next.File, content, copying{})
	if err == nil {
		err = dress(next.File, p.folder.child(next.name), a, old)
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return errors.Join(err, p.discard(next))
	}
	p.now, p.spare = next, p.now
	return nil
}

// empty gives a temporary file to be written: the spare one, where those who may
// read it may read the new content too, or a new one.
func (p *pendingFile) empty(a Attributes) (*temporaryFile, error) {
	spare := p.spare
	p.spare = nil
	if spare != nil {
		info, err := infoOf(spare.Stat())
		if err == nil && has(info, a) {
			return spare, nil
		}
		if err := errors.Join(err, p.discard(spare)); err != nil {
			return nil, err
		}
	}
	name := temporaryName()
	file, err := p.folder.create(name, a)
	return &temporaryFile{file, name}, err
}

// has reports whether a file has all of the mode and the owners that are wanted. What
// is not said differs: the name that they were to be taken from may be anything by now.
func has(info FileInfo, a Attributes) bool {
	return a.Mode != nil && info.Mode == *a.Mode && a.UID != nil && info.UID == *a.UID && a.GID != nil && info.GID == *a.GID
}

func temporaryName() string { return ".rbdplay-" + rand.Text() }

// at is where the file of path lies now.
func (g *Gathered) at(path string) string { return g.places()(path) }

// places tells where the file of a path lies now, whatever is written later.
func (g *Gathered) places() func(path string) string {
	if g.pending == nil {
		return func(path string) string { return path }
	}
	pending, now := g.pending.path, filepath.Join(g.pending.folder.path, g.pending.now.name)
	return func(path string) string {
		if path == pending {
			return now
		}
		return path
	}
}

// Files implements Host.
func (g *Gathered) Files() FileReader { return gatheredFiles{g.files, g} }

// Change implements Host.
func (g *Gathered) Change() Writer { return gatheredWriter{g.Real.Change(), g} }

// Probe commits first: the program may look at the file.
func (g *Gathered) Probe(ctx context.Context, c Command) (Result, error) {
	if err := g.Commit(ctx); err != nil {
		return Result{}, err
	}
	return g.Real.Probe(ctx, c)
}

// gatheredFiles names every method, so that a new one cannot pass by unseen.
type gatheredFiles struct {
	real FileReader
	g    *Gathered
}

func (f gatheredFiles) Space(ctx context.Context, path string) (Space, error) {
	return f.real.Space(ctx, path)
}

func (f gatheredFiles) Lstat(ctx context.Context, path string) (FileInfo, error) {
	return f.real.Lstat(ctx, f.g.at(path))
}

func (f gatheredFiles) resolve(ctx context.Context, path string) (Resolved, error) {
	return resolveReal(ctx, path, f.g.places())
}

func (f gatheredFiles) Stat(ctx context.Context, path string) (FileInfo, error) {
	return f.real.Stat(ctx, f.g.at(path))
}

func (f gatheredFiles) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	return f.real.Open(ctx, f.g.at(path))
}

func (f gatheredFiles) Readlink(ctx context.Context, path string) (string, error) {
	return f.real.Readlink(ctx, f.g.at(path))
}

func (f gatheredFiles) Xattrs(ctx context.Context, path string) (map[string][]byte, error) {
	return f.real.Xattrs(ctx, f.g.at(path))
}

// Content commits first: what it stands for must stay where it is.
func (f gatheredFiles) Content(ctx context.Context, path string) (Content, error) {
	if err := f.g.Commit(ctx); err != nil {
		return nil, err
	}
	return f.real.Content(ctx, path)
}

func (f gatheredFiles) ReadDir(ctx context.Context, path string) ([]string, error) {
	if err := f.g.Commit(ctx); err != nil {
		return nil, err
	}
	return f.real.ReadDir(ctx, path)
}

type gatheredWriter struct {
	Writer
	g *Gathered
}

func (w gatheredWriter) Files() FileWriter { return gatheredFileWriter{w.Writer.Files(), w.g} }

func (w gatheredWriter) Run(ctx context.Context, c Command) (Result, error) {
	if err := w.g.Commit(ctx); err != nil {
		return Result{}, err
	}
	return w.Writer.Run(ctx, c)
}

// gatheredFileWriter names every method too.
type gatheredFileWriter struct {
	real FileWriter
	g    *Gathered
}

func (w gatheredFileWriter) Write(ctx context.Context, path string, content Content, a Attributes) error {
	return w.g.write(ctx, path, content, a)
}

// after commits before anything else is done to files.
func (w gatheredFileWriter) after(ctx context.Context, do func() error) error {
	if err := w.g.Commit(ctx); err != nil {
		return err
	}
	return do()
}

func (w gatheredFileWriter) WriteCopy(ctx context.Context, path string, content Content, a Attributes, sparse bool) error {
	return w.after(ctx, func() error { return w.real.WriteCopy(ctx, path, content, a, sparse) })
}

func (w gatheredFileWriter) Sync(ctx context.Context, path string) error {
	return w.after(ctx, func() error { return w.real.Sync(ctx, path) })
}

func (w gatheredFileWriter) Mkdir(ctx context.Context, path string, a Attributes) error {
	return w.after(ctx, func() error { return w.real.Mkdir(ctx, path, a) })
}

func (w gatheredFileWriter) Symlink(ctx context.Context, target, path string) error {
	return w.after(ctx, func() error { return w.real.Symlink(ctx, target, path) })
}

func (w gatheredFileWriter) Link(ctx context.Context, existing, path string) error {
	return w.after(ctx, func() error { return w.real.Link(ctx, existing, path) })
}

func (w gatheredFileWriter) Mknod(ctx context.Context, path string, info FileInfo) error {
	return w.after(ctx, func() error { return w.real.Mknod(ctx, path, info) })
}

func (w gatheredFileWriter) Rename(ctx context.Context, from, to string) error {
	return w.after(ctx, func() error { return w.real.Rename(ctx, from, to) })
}

func (w gatheredFileWriter) Remove(ctx context.Context, path string) error {
	return w.after(ctx, func() error { return w.real.Remove(ctx, path) })
}

func (w gatheredFileWriter) RemoveAll(ctx context.Context, path string) error {
	return w.after(ctx, func() error { return w.real.RemoveAll(ctx, path) })
}

func (w gatheredFileWriter) SetAttributes(ctx context.Context, path string, a Attributes) error {
	return w.after(ctx, func() error { return w.real.SetAttributes(ctx, path, a) })
}

func (w gatheredFileWriter) SetXattr(ctx context.Context, path, name string, value []byte) error {
	return w.after(ctx, func() error { return w.real.SetXattr(ctx, path, name, value) })
}
