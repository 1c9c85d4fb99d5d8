package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// found is what a plan saw at a path.
type found struct {
	path   string
	info   sys.FileInfo
	exists bool
}

// look sees what lies at p itself, without following a link there.
func look(ctx context.Context, host sys.Reader, p string) (found, error) {
	p = path.Clean(p)
	info, err := host.Files().Lstat(ctx, p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found{path: p}, nil
	case err != nil:
		return found{}, fmt.Errorf("looking at %s: %w", p, err)
	}
	return found{path: p, info: info, exists: true}, nil
}

// lookThrough sees what p leads to. Its path is the real one, which also stands
// for a file that could be made there; its folder exists.
func lookThrough(ctx context.Context, host sys.Reader, p string) (found, error) {
	at, err := sys.Resolve(ctx, host.Files(), p)
	if err == nil && at.Unknown != nil {
		err = fmt.Errorf("looking at %s: %w", at.Path, at.Unknown)
	}
	if err != nil {
		return found{}, err
	}
	return found{path: at.Path, info: at.Info, exists: at.Exists}, nil
}

// isFolderAtLeast reports whether err says that a directory is there of which
// nothing else can be known.
func isFolderAtLeast(err error) bool {
	unknown, ok := sys.Unknown(err)
	return ok && unknown.Type == sys.Directory
}

// realpath resolves every link in p. Only the last part may be missing.
func realpath(ctx context.Context, files sys.FileReader, p string) (string, error) {
	at, err := sys.Resolve(ctx, files, p)
	return at.Path, err
}

// unchanged fails when the file is no longer as it was found: writing then would
// undo what somebody else has just done.
func (f found) unchanged(ctx context.Context, host sys.Reader) error {
	now, err := look(ctx, host, f.path)
	if err != nil {
		return err
	}
	same := now.exists == f.exists && now.info.Size == f.info.Size && now.info.ModTime.Equal(f.info.ModTime)
	if !same {
		return fmt.Errorf("%s was changed by something else in the meantime; nothing was written, run the task again", f.path)
	}
	return nil
}

// is tells whether a file of the type is there.
func (f found) is(t sys.FileType) bool { return f.exists && f.info.Type == t }

// typeOf names what is there, for messages.
func (f found) typeOf() string {
	switch {
	case !f.exists:
		return "absent"
	case f.info.Type == sys.Regular:
		return "a file"
	case f.info.Type == sys.Symlink:
		return "a link"
	default:
		return "a " + string(f.info.Type)
	}
}

// result reports the keys that every file module reports.
func (f found) result(ctx context.Context, host sys.Reader) (Result, error) {
	if !f.exists {
		return Result{"path": f.path, "state": "absent"}, nil
	}
	owner, err := ownerName(ctx, host, f.info.UID)
	if err != nil {
		return nil, err
	}
	group, err := groupName(ctx, host, f.info.GID)
	if err != nil {
		return nil, err
	}
	result := Result{
		"path": f.path, "state": stateName(f.info), "mode": octal(f.info.Mode),
		"owner": owner, "group": group, "uid": f.info.UID, "gid": f.info.GID,
	}
	if f.info.Type != sys.Directory { // whose size is the file system's own affair
		result["size"] = f.info.Size
	}
	return result, nil
}

// stateName is Ansible's word for what a file is.
func stateName(info sys.FileInfo) string {
	if info.Type == sys.Regular && info.Links > 1 {
		return "hard"
	}
	return string(info.Type)
}

func octal(mode uint32) string { return fmt.Sprintf("%04o", mode) }

var attributeReturns = []Return{
	{Name: "path", Type: "string", Doc: "The file, with links resolved where the module follows them."},
	{Name: "state", Type: "string", Doc: "What it is: file, directory, link, hard, absent."},
	{Name: "mode", Type: "string", Doc: "Its permission bits, as in 0644."},
	{Name: "owner", Type: "string", Doc: "The owner's name, or number where it has no name."},
	{Name: "group", Type: "string", Doc: "The group's name, or number."},
	{Name: "uid", Type: "int", Doc: "The owner's number."},
	{Name: "gid", Type: "int", Doc: "The group's number."},
	{Name: "size", Type: "int", Doc: "Its size in bytes; not of a directory."},
}
