package sys

import (
	"context"
	"io"
	"maps"
	"strings"

	"golang.org/x/sys/unix"
)

// ask finds what lies at path and puts a question to it.
func ask[T any](ctx context.Context, f *shadowFiles, op, path string, follow bool, question func(*place) (T, error)) (T, error) {
	var none T
	if err := f.enter(ctx); err != nil {
		return none, wrapPath(op, path, err)
	}
	defer f.leave()
	at, err := f.walk(ctx, path, follow)
	if err == nil {
		err = at.known()
	}
	if err != nil {
		return none, wrapPath(op, path, err)
	}
	answer, err := question(at)
	if err != nil {
		return none, wrapPath(op, path, err)
	}
	return answer, nil
}

func infoAt(p *place) (FileInfo, error) { return p.info, nil }

// ofKernel tells whether path lies in /proc. Its magic links (/proc/PID/root) lead
// where no name does, so that it is looked at beneath, by the kernel.
func ofKernel(path string) bool { return strings.HasPrefix(path, "/proc/") }

func (f *shadowFiles) Lstat(ctx context.Context, path string) (FileInfo, error) {
	if ofKernel(path) {
		return f.under().Lstat(ctx, path)
	}
	return ask(ctx, f, "lstat", path, false, infoAt)
}

func (f *shadowFiles) Stat(ctx context.Context, path string) (FileInfo, error) {
	if ofKernel(path) {
		return f.under().Stat(ctx, path)
	}
	return ask(ctx, f, "stat", path, true, infoAt)
}

func (f *shadowFiles) Readlink(ctx context.Context, path string) (string, error) {
	if ofKernel(path) {
		return f.under().Readlink(ctx, path)
	}
	return ask(ctx, f, "readlink", path, false, func(p *place) (string, error) {
		if p.info.Type != Symlink {
			return "", unix.EINVAL
		}
		return f.readlink(ctx, p.node)
	})
}

// ReadDir is unknown where files may have appeared: a list that lacks some would
// be wrong for whoever works through it.
func (f *shadowFiles) ReadDir(ctx context.Context, path string) ([]string, error) {
	return ask(ctx, f, "readdir", path, true, func(p *place) ([]string, error) {
		if err := p.directory(); err != nil {
			return nil, err
		}
		names, err := f.names(ctx, p)
		if err != nil {
			return nil, err
		}
		return names, f.complete(p, names)
	})
}

func (f *shadowFiles) Xattrs(ctx context.Context, path string) (map[string][]byte, error) {
	return ask(ctx, f, "listxattr", path, false, func(p *place) (map[string][]byte, error) {
		xattrs, err := f.xattrs(ctx, p.node)
		return maps.Clone(xattrs), err
	})
}

func (f *shadowFiles) Open(ctx context.Context, path string) (io.ReadCloser, error) {
	open, err := ask(ctx, f, "open", path, true, func(p *place) (func() (io.ReadCloser, error), error) {
		if err := noContent(p.info.Type); err != nil {
			return nil, err
		}
		if c := p.node.content; c != nil {
			return func() (io.ReadCloser, error) { return c.Open(ctx) }, nil
		}
		origin := p.node.origin
		return func() (io.ReadCloser, error) { return f.under().Open(ctx, origin) }, nil
	})
	if err != nil {
		return nil, err
	}
	r, err := open() // not within ask: content may have to be fetched
	return r, wrapPath("open", path, err)
}

func (f *shadowFiles) Content(ctx context.Context, path string) (Content, error) {
	return ask(ctx, f, "open", path, true, func(p *place) (Content, error) {
		if err := noContent(p.info.Type); err != nil {
			return nil, err
		}
		return f.contentOf(ctx, p.node)
	})
}

// Space is that of the host beneath less what was written. The host beneath is asked
// without the tree held: a dead mount, which answers only when ctx ends, must not keep
// others waiting.
func (f *shadowFiles) Space(ctx context.Context, path string) (Space, error) {
	type question struct {
		origin string
		spent  usage
	}
	q, err := ask(ctx, f, "statfs", path, true, func(p *place) (question, error) {
		dev := p.info.Dev
		for p.node.origin == "" {
			if p.mount != nil {
				return question{}, &UnknownError{What: "the space at " + path, Because: "a file system would be mounted at " + p.path()}
			}
			p = p.up
		}
		return question{p.node.origin, f.spent[dev]}, nil
	})
	if err != nil {
		return Space{}, err
	}
	space, err := f.under().Space(ctx, q.origin)
	space.Free = less(space.Free, q.spent.bytes, space.Total)
	space.FreeInodes = less(space.FreeInodes, q.spent.inodes, 1<<63)
	return space, wrapPath("statfs", path, err)
}

// less takes spent, which may be negative, from free.
func less(free uint64, spent int64, most uint64) uint64 {
	if spent < 0 {
		return min(free+uint64(-spent), most)
	}
	return free - min(free, uint64(spent))
}
