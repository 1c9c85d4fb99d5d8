package modulestest

import (
	"context"
	"io"
	"sync/atomic"
	"syscall"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// interfered is a host on which something happens at one call on its files: the
// call fails as a broken disk does, or the task is cancelled.
type interfered struct {
	sys.Host
	calls  *atomic.Int64
	at     int64  // which call, counted from 1
	happen func() // what happens then, besides failing
	fail   bool   // that call fails with EIO
	writes bool   // calls that write are counted too
}

func (h interfered) Files() sys.FileReader { return interferedFiles{h.Host.Files(), h} }
func (h interfered) Change() sys.Writer    { return interferedWriter{h.Host.Change(), h} }

// call counts, and says how the call ends when it is not to be made.
func (h interfered) call() error {
	if h.calls.Add(1) != h.at {
		return nil
	}
	if h.happen != nil {
		h.happen()
	}
	if h.fail {
		return syscall.EIO
	}
	return nil
}

type interferedFiles struct {
	sys.FileReader
	host interfered
}

func (f interferedFiles) Lstat(ctx context.Context, path string) (sys.FileInfo, error) {
	if err := f.host.call(); err != nil {
		return sys.FileInfo{}, err
	}
	return f.FileReader.Lstat(ctx, path)
}

func (f interferedFiles) Stat(ctx context.Context, path string) (sys.FileInfo, error) {
	if err := f.host.call(); err != nil {
		return sys.FileInfo{}, err
	}
	return f.FileReader.Stat(ctx, path)
}

func (f interferedFiles) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	if err := f.host.call(); err != nil {
		return nil, err
	}
	return f.FileReader.Open(ctx, path)
}

func (f interferedFiles) Readlink(ctx context.Context, path string) (string, error) {
	if err := f.host.call(); err != nil {
		return "", err
	}
	return f.FileReader.Readlink(ctx, path)
}

func (f interferedFiles) ReadDir(ctx context.Context, path string) ([]string, error) {
	if err := f.host.call(); err != nil {
		return nil, err
	}
	return f.FileReader.ReadDir(ctx, path)
}

func (f interferedFiles) Xattrs(ctx context.Context, path string) (map[string][]byte, error) {
	if err := f.host.call(); err != nil {
		return nil, err
	}
	return f.FileReader.Xattrs(ctx, path)
}

func (f interferedFiles) Content(ctx context.Context, path string) (sys.Content, error) {
	if err := f.host.call(); err != nil {
		return nil, err
	}
	return f.FileReader.Content(ctx, path)
}

type interferedWriter struct {
	sys.Writer
	host interfered
}

func (w interferedWriter) Files() sys.FileWriter {
	if !w.host.writes {
		return w.Writer.Files()
	}
	return interferedWrites{w.Writer.Files(), w.host}
}

type interferedWrites struct {
	sys.FileWriter
	host interfered
}

func (f interferedWrites) Write(ctx context.Context, path string, content sys.Content, a sys.Attributes) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.Write(ctx, path, content, a)
}

func (f interferedWrites) WriteCopy(ctx context.Context, path string, content sys.Content, a sys.Attributes, sparse bool) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.WriteCopy(ctx, path, content, a, sparse)
}

func (f interferedWrites) Mkdir(ctx context.Context, path string, a sys.Attributes) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.Mkdir(ctx, path, a)
}

func (f interferedWrites) Symlink(ctx context.Context, target, path string) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.Symlink(ctx, target, path)
}

func (f interferedWrites) Link(ctx context.Context, existing, path string) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.Link(ctx, existing, path)
}

func (f interferedWrites) Rename(ctx context.Context, from, to string) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.Rename(ctx, from, to)
}

func (f interferedWrites) Remove(ctx context.Context, path string) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.Remove(ctx, path)
}

func (f interferedWrites) RemoveAll(ctx context.Context, path string) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.RemoveAll(ctx, path)
}

func (f interferedWrites) SetAttributes(ctx context.Context, path string, a sys.Attributes) error {
	if err := f.host.call(); err != nil {
		return err
	}
	return f.FileWriter.SetAttributes(ctx, path, a)
}
