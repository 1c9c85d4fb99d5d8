package modules

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// anyMatch reports whether a file matches an absolute pattern. As in a shell, a
// wildcard does not match a leading dot, and a link to nowhere counts as there.
func anyMatch(ctx context.Context, files sys.FileReader, pattern string) (bool, error) {
	return matchBelow(ctx, files, "/", strings.Split(strings.Trim(path.Clean(pattern), "/"), "/"))
}

// matchBelow looks in folder for something that matches the parts.
func matchBelow(ctx context.Context, files sys.FileReader, folder string, parts []string) (bool, error) {
	fixed := 0
	for fixed < len(parts) && !strings.ContainsAny(parts[fixed], `*?[\`) {
		fixed++
	}
	folder, parts = path.Join(folder, path.Join(parts[:fixed]...)), parts[fixed:]
	if len(parts) == 0 {
		_, err := files.Lstat(ctx, folder)
		return present(err)
	}
	info, err := files.Stat(ctx, folder)
	if there, err := present(err); !there || err != nil {
		return false, err
	}
	if info.Type != sys.Directory {
		return false, nil
	}
	names, err := files.ReadDir(ctx, folder)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		if ok, _ := path.Match(parts[0], name); !ok || name[0] == '.' && parts[0][0] != '.' {
			continue
		}
		if found, err := matchBelow(ctx, files, path.Join(folder, name), parts[1:]); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// present reads a file error: nil means there, fs.ErrNotExist (or a file where the
// path wants a folder) not there, and any other that nobody could look.
func present(err error) (bool, error) {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}
