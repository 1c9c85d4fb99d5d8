package modules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// CompareTreesArgs are the arguments of compare_trees.
type CompareTreesArgs struct {
	Src     string   `arg:"src,required" type:"path" doc:"One directory of the host."`
	Dest    string   `arg:"dest,required" type:"path" doc:"The directory that should be the same."`
	Exclude []string `arg:"exclude" doc:"Patterns of files to leave out on both sides, as for synchronize."`
}

func compareTreesSpec() Spec {
	return Spec{
		Name:    "compare_trees",
		Summary: "Fail unless two directories of the host are the same, file by file",
		Place:   OnHost,
		New:     func() Module { return &CompareTreesArgs{} },
		Notes: []string{
			"A module of rbdplay's own, which only reads. Names, types, contents, modes, owners, modification times, links, hard links, ACLs and extended attributes must all agree; every byte of both sides is read. It fails naming up to 20 entries that differ.",
		},
		Returns: []Return{
			{Name: "entries", Type: "int", Doc: "How many files, directories and links were compared."},
			{Name: "files", Type: "int", Doc: "How many of them are regular files."},
			{Name: "bytes", Type: "int", Doc: "Their size together."},
			{Name: "digest", Type: "string", Doc: "One SHA-256 over all names and contents."},
		},
		Examples: []Example{
			{"Before the old data is let go", `
compare_trees:
  src: /grdata.old
  dest: /grdata`},
		},
	}
}

// differencesNamed is how many differing entries an error names.
const differencesNamed = 20

// Validate checks the patterns.
func (a *CompareTreesArgs) Validate() error {
	_, err := parseExclusions(a.Exclude)
	return err
}

// Plan compares; there is nothing to do.
func (a *CompareTreesArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	exclude, err := parseExclusions(a.Exclude)
	if err != nil {
		return Plan{}, err
	}
	keeps := treeKeeps{perms: true, times: true, owner: true, group: true, more: true}
	want, err := a.read(ctx, host, a.Src, keeps, exclude)
	if err != nil {
		return Plan{}, err
	}
	have, err := a.read(ctx, host, a.Dest, keeps, exclude)
	if err != nil {
		return Plan{}, err
	}
	diff := treeDiff{host: host, root: a.Dest, keeps: keeps, checksum: true}
	differences, err := diff.compare(ctx, want, have)
	if err != nil {
		return Plan{}, err
	}
	differences = append(differences, extraneous(want, have, nil)...)
	if len(differences) > 0 {
		return Plan{}, a.differ(differences)
	}
	return Plan{Result: comparedResult(want)}, nil
}

// read lists a tree with the digest of every file.
func (a *CompareTreesArgs) read(ctx context.Context, host sys.Reader, root string, keeps treeKeeps, exclude exclusions) ([]*treeNode, error) {
	at, err := lookThrough(ctx, host, root)
	if err != nil {
		return nil, err
	}
	if !at.is(sys.Directory) {
		return nil, fmt.Errorf("%s is %s, not a directory", root, at.typeOf())
	}
	nodes, _, err := readTree(ctx, host, at.path, keeps, exclude)
	if err != nil {
		return nil, err
	}
	return nodes, digestAll(ctx, host, at.path, nodes)
}

// digestAll reads every file, several at once to hide the latency of a network
// file system.
func digestAll(ctx context.Context, host sys.Reader, root string, nodes []*treeNode) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(treeWriters)
	for _, n := range nodes {
		if n.info.Type != sys.Regular || n.linkTo != "" {
			continue
		}
		group.Go(func() (err error) {
			n.sum, err = digestOf(ctx, host, path.Join(root, n.path))
			return err
		})
	}
	return group.Wait()
}

// differ is the error that names what differs, with both sides.
func (a *CompareTreesArgs) differ(differences []treeDifference) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s and %s differ in %d entries:", a.Src, a.Dest, len(differences))
	for i, d := range differences {
		if i == differencesNamed {
			fmt.Fprintf(&out, "\n  … and %d more", len(differences)-i)
			break
		}
		c := d.change(a.Dest)
		fmt.Fprintf(&out, "\n  %s: %s in %s, %s in %s", strings.TrimPrefix(c.Target, path.Clean(a.Dest)+"/"), c.After, a.Src, c.Before, a.Dest)
	}
	return fmt.Errorf("%s", out.String())
}

func comparedResult(nodes []*treeNode) Result {
	sum := sha256.New()
	files, size := 0, int64(0)
	for _, n := range nodes {
		_, _ = fmt.Fprintf(sum, "%s\x00%s\x00%s%s%s\x00", n.path, n.info.Type, n.sum, n.target, n.linkTo)
		if n.info.Type == sys.Regular && n.linkTo == "" {
			files++
			size += n.info.Size
		}
	}
	return Result{"entries": len(nodes), "files": files, "bytes": size, "digest": hex.EncodeToString(sum.Sum(nil))}
}
