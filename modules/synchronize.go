package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// SynchronizeArgs are the arguments of synchronize.
type SynchronizeArgs struct {
	Src       *Tree    `arg:"src,required" doc:"The directory to copy: of the controller, of src_host, or of the host itself with remote_src. With a slash at its end what is in it goes into dest, else it goes there itself."`
	Dest      string   `arg:"dest,required" type:"path" doc:"The directory to copy into. It is made when it is missing, its parents are not."`
	SrcHost   string   `arg:"src_host" doc:"The inventory host that has src. Naming the target itself is the same as remote_src."`
	RemoteSrc bool     `arg:"remote_src" default:"no" doc:"src is a directory of the target itself."`
	Delete    bool     `arg:"delete" default:"no" doc:"Remove what is in dest and not in src."`
	Checksum  bool     `arg:"checksum" default:"no" doc:"Compare the content of every file. Otherwise one of the same size and time is taken as the same."`
	Archive   bool     `arg:"archive" default:"yes" doc:"Keep mode, times, owner, group, hard links, and extended attributes with ACLs."`
	Perms     *bool    `arg:"perms" doc:"Keep the mode. Not given it is as archive says."`
	Times     *bool    `arg:"times" doc:"Keep the modification time. Not given it is as archive says."`
	Owner     *bool    `arg:"owner" doc:"Keep the owner, by name where the target has the name. Not given it is as archive says."`
	Group     *bool    `arg:"group" doc:"Keep the group, by name where the target has the name. Not given it is as archive says."`
	Exclude   []string `arg:"exclude" doc:"Patterns of files to leave alone on both sides, as rsync reads them: *.log, /cache/, data/**/tmp."`
}

func synchronizeSpec() Spec {
	return Spec{
		Name:    "synchronize",
		Aliases: []string{"ansible.posix.synchronize"},
		Summary: "Make a directory the exact copy of another",
		Place:   OnHost,
		New:     func() Module { return &SynchronizeArgs{} },
		Notes: []string{
			"Neither rsync nor keys between hosts are needed; content travels through rbdplay's own connections. Each file is replaced in one go, and all are made durable at the end. Holes of sparse files stay holes.",
			"Up to 200 differing entries are shown one by one, more as one summary of each kind. An interrupted copy goes on where it ended when it is run again.",
			"SELinux labels are not copied: they belong to the place.",
		},
		Returns: treeReturns,
		Examples: []Example{
			{"Move the cluster's data onto the volume", `
synchronize:
  src: /grdata.old/
  dest: /grdata
  remote_src: yes
  delete: yes`},
			{"The load balancer's rules, from the management node", `
synchronize:
  src: /opt/rainbond/etc/rbd-lb/dynamics/
  src_host: manage01
  dest: /opt/rainbond/etc/rbd-lb/dynamics
  delete: yes
  exclude: ['*.tmp']`},
		},
	}
}

var treeReturns = []Return{
	{Name: "dest", Type: "string", Doc: "The directory that was written."},
	{Name: "entries", Type: "int", Doc: "How many files, directories and links src has."},
	{Name: "bytes", Type: "int", Doc: "The size of its files together."},
}

// Validate checks what belongs together.
func (a *SynchronizeArgs) Validate() error {
	if a.SrcHost != "" && a.RemoteSrc {
		return errors.New("src_host and remote_src exclude each other")
	}
	if a.RemoteSrc && a.Src.Path != "" && !path.IsAbs(a.Src.Path) {
		return fmt.Errorf("src on the host must be an absolute path, not %q", a.Src.Path)
	}
	_, err := parseExclusions(a.Exclude)
	return err
}

// Plan compares both trees entry by entry.
func (a *SynchronizeArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	exclude, err := parseExclusions(a.Exclude)
	if err != nil {
		return Plan{}, err
	}
	if a.Src.Path != "" && !path.IsAbs(a.Src.Path) {
		return Plan{}, fmt.Errorf("src on the host must be an absolute path, not %q", a.Src.Path)
	}
	keeps := a.keeps()
	root, err := a.root(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	want, err := a.Src.nodes(ctx, host, keeps, exclude)
	if err != nil {
		return Plan{}, err
	}
	var have []*treeNode
	var excluded []string
	if root.exists {
		if have, excluded, err = readTree(ctx, host, root.path, keeps, exclude); err != nil {
			return Plan{}, err
		}
	}
	differences, err := treeDiff{host: host, root: root.path, keeps: keeps, checksum: a.Checksum}.compare(ctx, want, have)
	if err != nil {
		return Plan{}, err
	}
	if err := protect(differences, excluded, root.path); err != nil {
		return Plan{}, err
	}
	if a.Delete {
		differences = append(differences, extraneous(want, have, excluded)...)
	}
	plan := Plan{Result: treeResult(root.path, want)}
	if len(differences) > 0 {
		plan.Steps = []Step{newWriteTree(root.path, keeps, differences, want)}
	}
	return plan, nil
}

func (a *SynchronizeArgs) keeps() treeKeeps {
	or := func(own *bool) bool {
		if own != nil {
			return *own
		}
		return a.Archive
	}
	return treeKeeps{perms: or(a.Perms), times: or(a.Times), owner: or(a.Owner), group: or(a.Group), more: a.Archive}
}

// root is the directory that becomes the copy.
func (a *SynchronizeArgs) root(ctx context.Context, host sys.Reader) (found, error) {
	root, err := lookThrough(ctx, host, path.Join(a.Dest, a.Src.Name))
	if err != nil {
		return found{}, fmt.Errorf("dest: %w", err)
	}
	if root.exists && root.info.Type != sys.Directory {
		return found{}, fmt.Errorf("dest %s is %s, not a directory", root.path, root.typeOf())
	}
	if a.Src.Path == "" {
		return root, nil
	}
	source, err := realpath(ctx, host.Files(), a.Src.Path)
	if err != nil {
		return found{}, fmt.Errorf("src: %w", err)
	}
	if strings.HasPrefix(root.path+"/", source+"/") || strings.HasPrefix(source+"/", root.path+"/") {
		return found{}, fmt.Errorf("src %s and dest %s lie within each other", source, root.path)
	}
	return root, nil
}

// protect refuses to put a file in the place of a directory that holds excluded ones.
func protect(differences []treeDifference, excluded []string, root string) error {
	for _, d := range differences {
		for _, p := range excluded {
			if d.retype && strings.HasPrefix(p, d.have.path+"/") {
				return fmt.Errorf("%s is a directory and should be a %s, but holds %s, which is excluded", path.Join(root, d.have.path), d.want.info.Type, p)
			}
		}
	}
	return nil
}

func treeResult(root string, want []*treeNode) Result {
	var bytes int64
	for _, n := range want {
		if n.info.Type == sys.Regular && n.linkTo == "" {
			bytes += n.info.Size
		}
	}
	return Result{"dest": root, "entries": len(want), "bytes": bytes}
}

func newWriteTree(root string, keeps treeKeeps, differences []treeDifference, want []*treeNode) *writeTree {
	step := &writeTree{root: root, keeps: keeps, differences: differences, changes: treeChanges(root, differences)}
	for _, n := range want {
		if n.info.Type == sys.Directory {
			step.directories = append(step.directories, n)
		}
	}
	return step
}
