package modules

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// MoveArgs are the arguments of move.
type MoveArgs struct {
	Src  string `arg:"src,required" type:"path" doc:"What to rename: a file, a directory or a link itself."`
	Dest string `arg:"dest,required" type:"path" doc:"Its new path. Nothing may be there."`
}

func moveSpec() Spec {
	return Spec{
		Name:    "move",
		Summary: "Rename a file or directory in one go",
		Place:   OnHost,
		New:     func() Module { return &MoveArgs{} },
		Notes: []string{
			"A module of rbdplay's own. It is rename(2), so at any moment the file is at exactly one of the paths, and it never copies: src and dest must be on one file system. When src is gone and dest is there, it has been done.",
		},
		Returns: slices.Concat([]Return{
			{Name: "src", Type: "string", Doc: "The old path."},
			{Name: "dest", Type: "string", Doc: "The new path."},
		}, attributeReturns),
		Examples: []Example{
			{"Take a compose file out of service", `
move:
  src: /opt/rainbond/compose/lb.yaml
  dest: /opt/rainbond/compose/lb.yaml.bak`},
		},
	}
}

// Plan looks at both ends.
func (a *MoveArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	from, err := look(ctx, host, a.Src)
	if err != nil {
		return Plan{}, err
	}
	to, err := look(ctx, host, a.Dest)
	if err != nil {
		return Plan{}, err
	}
	switch {
	case from.exists && to.exists:
		return Plan{}, fmt.Errorf("both %s and %s exist; remove or move one of them", from.path, to.path)
	case !from.exists && !to.exists:
		return Plan{}, fmt.Errorf("neither %s nor %s exists", from.path, to.path)
	case !from.exists:
		return a.done(ctx, host, to)
	}
	if err := sameFileSystem(ctx, host, from, to); err != nil {
		return Plan{}, err
	}
	plan, err := a.done(ctx, host, from)
	plan.Steps = []Step{rename(from.path, to.path)}
	return plan, err
}

func (a *MoveArgs) done(ctx context.Context, host sys.Reader, at found) (Plan, error) {
	result, err := at.result(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	result["src"], result["dest"] = a.Src, a.Dest
	return Plan{Result: result}, nil
}

// sameFileSystem holds the two paths against the mount table, since rename(2) goes
// neither across mounts nor takes a mount point.
func sameFileSystem(ctx context.Context, host sys.Reader, from, to found) error {
	folder, err := lookThrough(ctx, host, path.Dir(to.path))
	if err != nil {
		return err
	}
	if !folder.is(sys.Directory) {
		return fmt.Errorf("%s cannot be moved to %s: there is no directory %s", from.path, to.path, path.Dir(to.path))
	}
	old, err := lookThrough(ctx, host, path.Dir(from.path))
	if err != nil {
		return err
	}
	mounts, err := host.Mounts().List(ctx)
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	source, target := mountOf(mounts, old.path), mountOf(mounts, folder.path)
	if source != target {
		return fmt.Errorf("%s is on the file system at %s and %s on that at %s; a rename cannot go from one to the other, synchronize copies", from.path, source, to.path, target)
	}
	full := path.Join(old.path, path.Base(from.path))
	if from.is(sys.Directory) && mountOf(mounts, full) == full {
		return fmt.Errorf("%s is a mount point and cannot be moved; unmount it first", from.path)
	}
	if from.is(sys.Directory) && strings.HasPrefix(folder.path+"/", full+"/") {
		return fmt.Errorf("%s cannot be moved into itself, to %s", from.path, to.path)
	}
	return nil
}

// mountOf gives the mount point of the file system that p lies on.
func mountOf(mounts []sys.Mount, p string) string {
	point := "/"
	for _, m := range mounts {
		inside := m.Target == "/" || p == m.Target || strings.HasPrefix(p, m.Target+"/")
		if inside && len(m.Target) > len(point) {
			point = m.Target
		}
	}
	return point
}
