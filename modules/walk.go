package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// walk calls visit for root and everything below it, parents first and names in
// byte order. Links are not followed. What vanishes meanwhile is left out; an
// entry that cannot be looked at is an error.
func walk(ctx context.Context, host sys.Reader, root string, visit func(p string, info sys.FileInfo) error) error {
	info, err := host.Files().Lstat(ctx, root)
	if err != nil {
		return fmt.Errorf("looking at %s: %w", root, err)
	}
	return walkBelow(ctx, host, root, info, visit)
}

// skipDirectory is returned by a visit that wants nothing of what is below.
var errSkipDirectory = errors.New("skip this directory")

func walkBelow(ctx context.Context, host sys.Reader, p string, info sys.FileInfo, visit func(string, sys.FileInfo) error) error {
	err := visit(p, info)
	if errors.Is(err, errSkipDirectory) {
		return nil
	}
	if err != nil || info.Type != sys.Directory {
		return err
	}
	names, err := host.Files().ReadDir(ctx, p)
	if err != nil {
		return fmt.Errorf("reading the directory %s: %w", p, err)
	}
	for _, name := range names {
		child := path.Join(p, name)
		info, err := host.Files().Lstat(ctx, child)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking at %s: %w", child, err)
		}
		if err := walkBelow(ctx, host, child, info, visit); err != nil {
			return err
		}
	}
	return nil
}
