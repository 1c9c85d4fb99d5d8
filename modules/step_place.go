package modules

import (
	"context"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// The steps that bring names into being, move them and take them away.

// makeDirectory is the step that makes one directory.
func makeDirectory(path string, attributes sys.Attributes, changes []change.Change) Step {
	first := change.Change{Target: path, Action: change.Create, Field: "state", After: change.Text("directory")}
	return act{append([]change.Change{first}, changes...), func(ctx context.Context, host sys.Host, _ Result) error {
		if err := host.Change().Files().Mkdir(ctx, path, attributes); err != nil {
			return fmt.Errorf("making the directory %s: %w", path, err)
		}
		return nil
	}}
}

// makeLink is the step that makes a symlink; before is what it replaces.
func makeLink(f found, before change.Value, target string) Step {
	c := replacing(f, "link", before, target)
	return act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
		if err := host.Change().Files().Symlink(ctx, target, f.path); err != nil {
			return fmt.Errorf("linking %s to %s: %w", f.path, target, err)
		}
		return nil
	}}
}

// makeHardLink is the step that gives the file existing a further name.
func makeHardLink(f found, before change.Value, existing string) Step {
	c := replacing(f, "hard link", before, existing)
	return act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
		if err := host.Change().Files().Link(ctx, existing, f.path); err != nil {
			return fmt.Errorf("hard-linking %s to %s: %w", f.path, existing, err)
		}
		return nil
	}}
}

func replacing(f found, field string, before change.Value, after string) change.Change {
	c := change.Change{Target: f.path, Action: change.Create, Field: field, After: change.Text(after)}
	if f.exists {
		c.Action, c.Before = change.Update, before
	}
	return c
}

// remove is the step that takes away a file, or a directory with all that is in
// it; before says what it was.
func remove(f found, before string) Step {
	c := change.Change{Target: f.path, Action: change.Remove, Field: "state", Before: change.Text(before)}
	return act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
		files := host.Change().Files()
		take := files.Remove
		if f.info.Type == sys.Directory {
			take = files.RemoveAll
		}
		if err := take(ctx, f.path); err != nil {
			return fmt.Errorf("removing %s: %w", f.path, err)
		}
		return nil
	}}
}

// rename is the step that gives from the name to, in one go.
func rename(from, to string) Step {
	changes := []change.Change{update(from, "path", from, to)}
	return act{changes, func(ctx context.Context, host sys.Host, _ Result) error {
		at, err := look(ctx, host, to)
		if err != nil {
			return err
		}
		if at.exists {
			return fmt.Errorf("renaming %s to %s: something has just come to be there", from, to)
		}
		if err := host.Change().Files().Rename(ctx, from, to); err != nil {
			return fmt.Errorf("renaming %s to %s: %w", from, to, err)
		}
		return nil
	}}
}
