package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// UnarchiveArgs are the arguments of unarchive.
type UnarchiveArgs struct {
	Src       *Source  `arg:"src,required" doc:"The archive: a file of the controller, or with remote_src of the host. tar, plain or compressed with gzip, bzip2, xz or zstd, or zip; its content tells which."`
	Dest      string   `arg:"dest,required" type:"path" doc:"The directory to unpack into; it must be there."`
	RemoteSrc bool     `arg:"remote_src" default:"no" doc:"src is a path on the host."`
	Creates   string   `arg:"creates" type:"path" doc:"A path; when it is there, nothing is unpacked."`
	Exclude   []string `arg:"exclude" doc:"Patterns of members to leave out, as for synchronize; a directory goes with all that is in it."`
	Include   []string `arg:"include" doc:"Patterns of the only members to unpack; a directory comes with all that is in it."`
	KeepNewer bool     `arg:"keep_newer" default:"no" doc:"Leave files that are newer than those of the archive."`
	ListFiles bool     `arg:"list_files" default:"no" doc:"Report the names of what the archive has as files."`
	FileAttributes
}

func unarchiveSpec() Spec {
	return Spec{
		Name:    "unarchive",
		Summary: "Unpack an archive",
		Place:   OnHost,
		New:     func() Module { return &UnarchiveArgs{} },
		Notes: []string{
			"The archive is read on the host by the module itself: no tar or unzip is needed, so that there are no options to hand on to them. Check mode reads it too and says what would change, member by member. What is there already as in the archive stays; what the archive does not have is left alone.",
			"An archive with a member that would lie outside dest, or below a link, is refused whole. A directory of the host never gives way to a file. dest itself keeps its owner, mode and time.",
			"As root, owners and permissions are those of the archive; else members belong to who unpacks, and nobody else may write. mode, owner and group count for every member.",
		},
		Returns: slices.Concat(attributeReturns, []Return{
			{Name: "dest", Type: "string", Doc: "Where it was unpacked."},
			{Name: "src", Type: "string", Doc: "The archive, as far as the host knows it."},
			{Name: "handler", Type: "string", Doc: "What it is: TarArchive, TgzArchive, TarBzipArchive, TarXzArchive, TarZstdArchive, ZipArchive."},
			{Name: "files", Type: "list", Doc: "The members, with list_files; directories end in a slash."},
		}),
		Examples: []Example{
			{"The command line tools", `
unarchive:
  src: grctl.tar.gz
  dest: /usr/local/bin
  include: [grctl]
  owner: root
  group: root
  mode: '0755'`},
			{"An archive of the host, once", `
unarchive:
  src: /opt/rainbond/charts.zip
  dest: /opt/rainbond/charts
  remote_src: yes
  creates: /opt/rainbond/charts/index.yaml`},
		},
	}
}

// Validate checks what belongs together.
func (a *UnarchiveArgs) Validate() error {
	if len(a.Include) > 0 && len(a.Exclude) > 0 {
		return errors.New("include and exclude exclude each other")
	}
	if strings.Contains(a.Src.Path, "://") {
		return errors.New("src is no file; get_url fetches one")
	}
	if a.RemoteSrc && a.Src.Path != "" && !path.IsAbs(a.Src.Path) {
		return fmt.Errorf("src on the host must be an absolute path, not %q", a.Src.Path)
	}
	for _, patterns := range [][]string{a.Include, a.Exclude} {
		if _, err := parseExclusions(patterns); err != nil {
			return err
		}
	}
	return a.noPreserve()
}

// Plan reads the archive and compares its members with what is in dest.
func (a *UnarchiveArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if a.Creates != "" {
		at, err := look(ctx, host, a.Creates)
		if err != nil {
			return Plan{}, err
		}
		if at.exists {
			return Plan{Skipped: a.Creates + " exists"}, nil
		}
	}
	root, err := lookThrough(ctx, host, a.Dest)
	if err != nil {
		return Plan{}, fmt.Errorf("dest: %w", err)
	}
	if !root.is(sys.Directory) {
		return Plan{}, fmt.Errorf("dest %s is %s, not a directory", a.Dest, root.typeOf())
	}
	u, err := a.unpacking(ctx, host, root.path)
	if err != nil {
		return Plan{}, err
	}
	differences, err := treeDiff{host: host, root: root.path, keeps: u.keeps, checksum: true}.compare(ctx, u.want, u.have)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{}
	if plan.Result, err = root.result(ctx, host); err != nil {
		return Plan{}, err
	}
	plan.Result["dest"], plan.Result["handler"] = a.Dest, u.archive.handler
	if a.RemoteSrc {
		plan.Result["src"] = a.Src.Path
	}
	if a.ListFiles {
		plan.Result["files"] = u.names
	}
	if len(differences) > 0 {
		step := newWriteTree(root.path, u.keeps, differences, wantedOf(differences))
		step.writers = 1 // in the archive's order, which is one pass over it
		plan.Steps = []Step{&unpack{step, u.archive}}
	}
	return plan, nil
}

func wantedOf(differences []treeDifference) []*treeNode {
	nodes := make([]*treeNode, len(differences))
	for i, d := range differences {
		nodes[i] = d.want
	}
	return nodes
}

// unpack writes the members that differ.
type unpack struct {
	*writeTree

	archive *archive
}

func (u *unpack) Do(ctx context.Context, host sys.Host, result Result) error {
	defer u.archive.hold()()
	return u.writeTree.Do(ctx, host, result)
}

// unpacking is what the archive has and what of it is there.
type unpacking struct {
	archive *archive
	keeps   treeKeeps
	want    []*treeNode
	have    []*treeNode
	names   []string

	byPath map[string]*treeNode
}

func (a *UnarchiveArgs) unpacking(ctx context.Context, host sys.Reader, root string) (*unpacking, error) {
	content, name, err := a.source(ctx, host)
	if err != nil {
		return nil, err
	}
	u := &unpacking{byPath: map[string]*treeNode{}}
	if u.archive, err = openArchive(ctx, content); err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if content.Size() == 0 {
		return nil, fmt.Errorf("src %s is empty, not an archive", name)
	}
	entries, err := u.archive.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("src %s cannot be read as an archive (%s): %w", name, u.archive.handler, err)
	}
	if err := u.take(entries, a); err != nil {
		return nil, fmt.Errorf("src %s: %w", name, err)
	}
	if err := a.dress(ctx, host, u, entries); err != nil {
		return nil, err
	}
	return u, u.find(ctx, host, root, a.KeepNewer)
}

func (a *UnarchiveArgs) source(ctx context.Context, host sys.Reader) (sys.Content, string, error) {
	switch {
	case a.Src.Content != nil:
		return a.Src.Content, a.Src.Content.Name, nil
	case a.Src.Tree != nil:
		return nil, "", fmt.Errorf("src %s is a directory, not an archive", a.Src.Tree.Origin)
	}
	at, err := lookThrough(ctx, host, a.Src.Path)
	if err != nil {
		return nil, "", fmt.Errorf("src: %w", err)
	}
	if !at.is(sys.Regular) {
		return nil, "", fmt.Errorf("src %s is %s, not an archive", a.Src.Path, at.typeOf())
	}
	content, err := host.Files().Content(ctx, at.path)
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", at.path, err)
	}
	return content, a.Src.Path, nil
}

// take makes nodes of the members that are asked for, parents first.
func (u *unpacking) take(entries []archiveEntry, a *UnarchiveArgs) error {
	exclude, err := parseExclusions(a.Exclude)
	if err != nil {
		return err
	}
	include, err := parseExclusions(a.Include)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		name, err := within(e.name)
		if err != nil {
			return err
		}
		if e.name = name; name == "." {
			continue
		}
		directory := e.info.Type == sys.Directory
		if anyPart(exclude, name, directory) || len(include) > 0 && !anyPart(include, name, directory) {
			e.name = "."
			continue
		}
		if err := u.add(e); err != nil {
			return err
		}
		u.names = append(u.names, name+map[bool]string{true: "/"}[directory])
	}
	return u.sound()
}

// within gives the clean name of a member, or refuses one that leaves dest.
func within(name string) (string, error) {
	clean := path.Clean(name)
	if path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("it has a member %q, which would lie outside dest; nothing is unpacked", name)
	}
	return clean, nil
}

// anyPart tells whether the patterns match a member or a directory above it.
func anyPart(patterns exclusions, name string, directory bool) bool {
	for ; name != "."; name, directory = path.Dir(name), true {
		if patterns.match(name, directory) {
			return true
		}
	}
	return false
}

// add puts a member behind the directories that it needs. A member that comes
// twice counts as it comes last.
func (u *unpacking) add(e *archiveEntry) error {
	u.parents(e.name, e.info.ModTime)
	node := u.byPath[e.name]
	if node == nil {
		node = &treeNode{path: e.name}
		u.byPath[e.name] = node
		u.want = append(u.want, node)
	}
	*node = treeNode{path: e.name, info: e.info, target: e.target}
	switch {
	case e.hard:
		first, err := within(e.target)
		if err != nil {
			return err
		}
		of := u.byPath[first]
		if of == nil || of.info.Type != sys.Regular || of == node {
			return fmt.Errorf("its member %s is a hard link of %s, which is no file before it in the archive", e.name, e.target)
		}
		if of.linkTo != "" {
			first = of.linkTo
		}
		*node = *of
		node.path, node.target, node.linkTo = e.name, "", first
	case e.content != nil:
		node.sum, node.info.Size = e.content.sum, e.content.size
		node.content = func(context.Context) (sys.Content, error) { return e.content, nil }
	}
	return nil
}

// implied marks a directory that the archive has no member for.
const implied = -1

func (u *unpacking) parents(name string, when time.Time) {
	folder := path.Dir(name)
	if folder == "." || u.byPath[folder] != nil {
		return
	}
	u.parents(folder, when)
	node := &treeNode{path: folder, info: sys.FileInfo{Type: sys.Directory, Mode: newDirectoryMode, Size: implied, ModTime: when}}
	u.byPath[folder] = node
	u.want = append(u.want, node)
}

// sound refuses members that lie below something else than a directory.
func (u *unpacking) sound() error {
	for _, n := range u.want {
		if above := u.byPath[path.Dir(n.path)]; above != nil && above.info.Type != sys.Directory {
			return fmt.Errorf("its member %s lies below %s, which is a %s; nothing is unpacked", n.path, above.path, above.info.Type)
		}
	}
	return nil
}

// dress gives the nodes the owners and permissions that they are to have here.
func (a *UnarchiveArgs) dress(ctx context.Context, host sys.Reader, u *unpacking, entries []archiveEntry) error {
	system, err := host.System(ctx)
	if err != nil {
		return fmt.Errorf("asking what the host is: %w", err)
	}
	root := system.UID == 0 && u.archive.handler != "ZipArchive"
	u.keeps = treeKeeps{perms: true, times: true, owner: root || a.Owner != nil, group: root || a.Group != nil}
	owners := ownerNumbers{host: host, users: map[string]int{}, groups: map[string]int{}}
	for _, e := range entries {
		if n := u.byPath[e.name]; n != nil && root {
			if err := owners.set(ctx, &n.info, e.owner, e.group); err != nil {
				return err
			}
		}
	}
	return a.assign(ctx, host, u, root)
}

// assign sets what the task says itself of owners and permissions.
func (a *UnarchiveArgs) assign(ctx context.Context, host sys.Reader, u *unpacking, root bool) (err error) {
	var uid, gid int
	if a.Owner != nil {
		if uid, err = findUser(ctx, host, *a.Owner); err != nil {
			return err
		}
	}
	if a.Group != nil {
		if gid, err = findGroup(ctx, host, *a.Group); err != nil {
			return err
		}
	}
	for _, n := range u.want {
		if !root {
			n.info.Mode &= 0o755
		}
		if n.info.Type != sys.Symlink {
			n.info.Mode = a.modeOn(n.info.Mode, n.info.Type == sys.Directory)
		}
		if a.Owner != nil {
			n.info.UID = uid
		}
		if a.Group != nil {
			n.info.GID = gid
		}
	}
	return nil
}

// find looks at what is there for each node, and settles what is wanted then.
func (u *unpacking) find(ctx context.Context, host sys.Reader, root string, keepNewer bool) error {
	var want []*treeNode
	missing := "\x00" // below it there is nothing
	for _, n := range u.want {
		at := found{path: path.Join(root, n.path)}
		if !strings.HasPrefix(n.path, missing) {
			var err error
			if at, err = look(ctx, host, at.path); err != nil {
				return err
			}
		}
		if !at.exists {
			if n.info.Type == sys.Directory {
				missing = n.path + "/"
			}
			want = append(want, n)
			continue
		}
		if (n.info.Type == sys.Directory) != (at.info.Type == sys.Directory) {
			return fmt.Errorf("%s is %s where the archive has a %s; nothing is unpacked", at.path, at.typeOf(), n.info.Type)
		}
		have, err := haveNode(ctx, host, at, n.path)
		if err != nil {
			return err
		}
		u.have = append(u.have, have)
		switch {
		case n.info.Size == implied && n.info.Type == sys.Directory:
			// It is there, and the archive says nothing about it.
		case keepNewer && at.info.Type == sys.Regular && at.info.ModTime.After(n.info.ModTime):
		default:
			if n.info.Type == sys.Directory {
				n.info.ModTime = at.info.ModTime // as tar --compare, which leaves it to what is written there
			}
			want = append(want, n)
		}
	}
	u.want = want
	return nil
}

func haveNode(ctx context.Context, host sys.Reader, at found, name string) (*treeNode, error) {
	node := &treeNode{path: name, info: at.info}
	node.content = func(ctx context.Context) (sys.Content, error) { return host.Files().Content(ctx, at.path) }
	return node, node.readMore(ctx, host, at.path, treeKeeps{})
}
