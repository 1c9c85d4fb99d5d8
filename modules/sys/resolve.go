package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Resolved is where a path leads when every link in it is followed.
type Resolved struct {
	Path    string
	Info    FileInfo
	Exists  bool  // without it nothing is there, but its folder is
	Unknown error // says why nothing else is known of it than that it is a directory; see UnknownError
}

// Resolve follows every link in p. Only the last part may be missing.
func Resolve(ctx context.Context, files FileReader, p string) (Resolved, error) {
	if own, ok := files.(resolver); ok {
		return own.resolve(ctx, p)
	}
	return looks{
		lstat:    func(p string) (FileInfo, error) { return files.Lstat(ctx, p) },
		readlink: func(p string) (string, error) { return files.Readlink(ctx, p) },
	}.resolve(p)
}

// resolver are files that look at all parts of a path at once.
type resolver interface {
	resolve(ctx context.Context, p string) (Resolved, error)
}

func (*realFiles) resolve(ctx context.Context, p string) (Resolved, error) {
	return resolveReal(ctx, p, func(p string) string { return p })
}

// resolveReal asks the kernel, on one goroutine. What has a name is looked at where lies says.
func resolveReal(ctx context.Context, p string, lies func(p string) string) (Resolved, error) {
	type resolved struct {
		at  Resolved
		err error // says what it is about
	}
	r, err := withoutHanging(ctx, "lstat", path.Join("/", p), func(string) (r resolved, _ error) {
		r.at, r.err = looks{
			lstat:    func(p string) (FileInfo, error) { return infoOf(os.Lstat(lies(p))) },
			readlink: func(p string) (string, error) { return os.Readlink(lies(p)) },
		}.resolve(p)
		return r, nil
	})
	if err != nil {
		return Resolved{}, err
	}
	return r.at, r.err
}

// looks are the questions by which a path is resolved.
type looks struct {
	lstat    func(p string) (FileInfo, error)
	readlink func(p string) (string, error)
}

func (r looks) resolve(p string) (Resolved, error) {
	at, rest := Resolved{Path: "/"}, strings.Split(p, "/")
	seen := false // at tells of its path
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at, seen = Resolved{Path: path.Dir(at.Path)}, false
			continue
		}
		next, err := r.look(path.Join(at.Path, part))
		switch {
		case err != nil:
			return Resolved{}, err
		case !next.Exists && strings.Trim(strings.Join(rest, ""), ".") == "":
			return next, nil
		case !next.Exists:
			return Resolved{}, fmt.Errorf("%s: there is no directory %s: %w", p, next.Path, fs.ErrNotExist)
		case next.Info.Type != Symlink:
			at, seen = next, true
			continue
		}
		if links++; links > maxLinks {
			return Resolved{}, fmt.Errorf("%s: more than %d links lead round in it: %w", p, maxLinks, unix.ELOOP)
		}
		target, err := r.readlink(next.Path)
		if err != nil {
			return Resolved{}, fmt.Errorf("reading the link %s: %w", next.Path, err)
		}
		if path.IsAbs(target) {
			at, seen = Resolved{Path: "/"}, false
		}
		rest = slices.Concat(strings.Split(target, "/"), rest)
	}
	if seen {
		return at, nil
	}
	return r.look(at.Path)
}

// look sees what lies at p itself.
func (r looks) look(p string) (Resolved, error) {
	info, err := r.lstat(p)
	unknown, ok := Unknown(err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Resolved{Path: p}, nil
	case ok && unknown.Type == Directory:
		return Resolved{Path: p, Info: FileInfo{Type: Directory}, Exists: true, Unknown: err}, nil
	case err != nil:
		return Resolved{}, fmt.Errorf("looking at %s: %w", p, err)
	}
	return Resolved{Path: p, Info: info, Exists: true}, nil
}
