package modules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// treeNode is one entry of a tree: as it is wanted, or as it is.
type treeNode struct {
	path    string // relative to the tree's root, "." for that
	info    sys.FileInfo
	target  string // of a symlink
	linkTo  string // earlier node of which this is a hard link
	xattrs  map[string][]byte
	sum     string // SHA-256 where it is known
	content func(ctx context.Context) (sys.Content, error)
	ref     *ContentRef // what content stands for, when it is not on this host
}

// treeKeeps says what of a tree counts, besides names, types and contents.
type treeKeeps struct {
	perms, times, owner, group bool
	more                       bool // hard links and extended attributes (ACLs among them)
}

// readTree lists the directory root of the host, parents first. What exclude names
// is left out with all that is below it, and listed in excluded.
func readTree(ctx context.Context, host sys.Reader, root string, keeps treeKeeps, exclude exclusions) (nodes []*treeNode, excluded []string, err error) {
	first := map[[2]uint64]string{}
	err = walk(ctx, host, root, func(p string, info sys.FileInfo) error {
		name := "."
		if p != root {
			name = strings.TrimPrefix(strings.TrimPrefix(p, root), "/")
		}
		if exclude.match(name, info.Type == sys.Directory) {
			excluded = append(excluded, name)
			return errSkipDirectory
		}
		node := &treeNode{path: name, info: info}
		if info.Type == sys.Regular {
			node.content = func(ctx context.Context) (sys.Content, error) { return host.Files().Content(ctx, p) }
		}
		if keeps.more && info.Type != sys.Directory && info.Links > 1 {
			file := [2]uint64{info.Dev, info.Inode}
			node.linkTo = first[file]
			if node.linkTo == "" {
				first[file] = name
			}
		}
		nodes = append(nodes, node)
		return node.readMore(ctx, host, p, keeps)
	})
	return nodes, excluded, err
}

func (n *treeNode) readMore(ctx context.Context, host sys.Reader, p string, keeps treeKeeps) (err error) {
	if n.info.Type == sys.Symlink {
		if n.target, err = host.Files().Readlink(ctx, p); err != nil {
			return fmt.Errorf("reading the link %s: %w", p, err)
		}
		return nil
	}
	if !keeps.more || n.linkTo != "" {
		return nil
	}
	all, err := host.Files().Xattrs(ctx, p)
	if err != nil {
		return fmt.Errorf("reading the extended attributes of %s: %w", p, err)
	}
	n.xattrs = portable(all)
	return nil
}

// portable are the extended attributes that belong to a file wherever it lies:
// users' own, ACLs and capabilities. SELinux labels belong to the place, and
// trusted ones to the file system.
func portable(all map[string][]byte) map[string][]byte {
	kept := map[string][]byte{}
	for name, value := range all {
		if strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "system.posix_acl_") || name == "security.capability" {
			kept[name] = value
		}
	}
	return kept
}

// nodes lists what the tree should hold, with owners as this host numbers them.
func (t Tree) nodes(ctx context.Context, host sys.Reader, keeps treeKeeps, exclude exclusions) ([]*treeNode, error) {
	if t.Path != "" {
		root, err := lookThrough(ctx, host, t.Path)
		if err != nil {
			return nil, err
		}
		if !root.is(sys.Directory) {
			return nil, fmt.Errorf("%s is %s, not a directory", t.Path, root.typeOf())
		}
		nodes, _, err := readTree(ctx, host, root.path, keeps, exclude)
		return nodes, err
	}
	var nodes []*treeNode
	owners := ownerNumbers{host: host, users: map[string]int{}, groups: map[string]int{}}
	skipped := "\x00"
	for _, e := range t.Entries {
		if strings.HasPrefix(e.Path, skipped) {
			continue
		}
		if exclude.match(e.Path, e.Info.Type == sys.Directory) {
			skipped = e.Path + "/"
			continue
		}
		node := &treeNode{path: e.Path, info: e.Info, target: e.Target}
		if keeps.more {
			node.linkTo, node.xattrs = e.LinkTo, portable(e.Xattrs)
		}
		if e.Content != nil {
			node.sum, node.ref = e.Content.SHA256, e.Content
			node.content = func(context.Context) (sys.Content, error) { return t.Content(e), nil }
		}
		if err := owners.set(ctx, &node.info, e.Owner, e.Group); err != nil {
			return nil, err
		}
		nodes = append(nodes, node)
	}
	return nodes, t.linkContents(nodes)
}

// linkContents gives a hard link whose first name is excluded, or which is to
// become a file of its own, the content of its first name.
func (t Tree) linkContents(nodes []*treeNode) error {
	byPath := map[string]*treeNode{}
	for _, n := range nodes {
		byPath[n.path] = n
	}
	entries := map[string]TreeEntry{}
	for _, e := range t.Entries {
		entries[e.Path] = e
	}
	for _, n := range nodes {
		e := entries[n.path]
		if e.LinkTo == "" {
			continue
		}
		first, ok := entries[e.LinkTo]
		if !ok {
			return fmt.Errorf("the tree of %s is broken: %s is a hard link of %s, which is not in it", t.Origin, n.path, e.LinkTo)
		}
		if first.Content != nil && n.content == nil {
			n.sum, n.ref = first.Content.SHA256, first.Content
			n.content = func(context.Context) (sys.Content, error) { return t.Content(first), nil }
		}
		if byPath[n.linkTo] == nil {
			n.linkTo = ""
		}
	}
	return nil
}

// ownerNumbers turns names into this host's numbers. A name it does not know keeps
// the number it had.
type ownerNumbers struct {
	host          sys.Reader
	users, groups map[string]int
}

func (o ownerNumbers) set(ctx context.Context, info *sys.FileInfo, owner, group string) error {
	number := func(known map[string]int, name string, otherwise int, find func(context.Context, sys.Reader, string) (int, error)) (int, error) {
		if name == "" {
			return otherwise, nil
		}
		if n, ok := known[name]; ok && n >= 0 {
			return n, nil
		} else if ok {
			return otherwise, nil
		}
		n, err := find(ctx, o.host, name)
		if errors.Is(err, fs.ErrNotExist) {
			known[name] = -1
			return otherwise, nil
		}
		known[name] = n
		return n, err
	}
	var err error
	if info.UID, err = number(o.users, owner, info.UID, userNumber); err != nil {
		return err
	}
	info.GID, err = number(o.groups, group, info.GID, groupNumber)
	return err
}

func userNumber(ctx context.Context, host sys.Reader, name string) (int, error) {
	user, err := host.Users().User(ctx, name)
	return user.UID, err
}

func groupNumber(ctx context.Context, host sys.Reader, name string) (int, error) {
	group, err := host.Users().Group(ctx, name)
	return group.GID, err
}

// treeDiff compares trees.
type treeDiff struct {
	host     sys.Reader
	root     string // of the tree that is there
	keeps    treeKeeps
	checksum bool // compare content even when size and time are the same
}

// treeDifference is what has to be done to one entry.
type treeDifference struct {
	want       *treeNode // nil: it is extraneous
	have       *treeNode // nil: it is missing
	retype     bool      // what is there is of another type and has to go first
	content    bool      // or the link's target, or the device's number
	link       bool      // it must become a hard link
	attributes bool
	sums       [2]string // SHA-256 before and after, where read
}

// compare lists the entries that differ, in the order of want.
func (d treeDiff) compare(ctx context.Context, want, have []*treeNode) ([]treeDifference, error) {
	there := make(map[string]*treeNode, len(have))
	for _, n := range have {
		there[n.path] = n
	}
	anew := map[string]bool{} // names that will stand for another file than now
	var differences []treeDifference
	for _, n := range want {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		diff, err := d.entry(ctx, n, there, anew)
		if err != nil {
			return nil, err
		}
		if diff != nil {
			anew[n.path] = diff.content || diff.link
			differences = append(differences, *diff)
		}
	}
	return differences, nil
}

// extraneous lists what is there and not wanted, a directory for all that is in
// it. What is excluded stays, with the directories above it.
func extraneous(want, have []*treeNode, excluded []string) []treeDifference {
	keep := map[string]bool{}
	for _, n := range want {
		keep[n.path] = true
	}
	for _, p := range excluded {
		for ; p != "."; p = path.Dir(p) {
			keep[p] = true
		}
	}
	var differences []treeDifference
	gone := "\x00"
	for _, n := range have {
		if keep[n.path] || strings.HasPrefix(n.path, gone) {
			continue
		}
		if n.info.Type == sys.Directory {
			gone = n.path + "/"
		}
		differences = append(differences, treeDifference{have: n})
	}
	return differences
}

// entry compares one entry; nil means that it is as wanted.
func (d treeDiff) entry(ctx context.Context, want *treeNode, there map[string]*treeNode, anew map[string]bool) (*treeDifference, error) {
	have := there[want.path]
	diff := treeDifference{want: want, have: have}
	switch {
	case have == nil:
		diff.content = true
		return &diff, nil
	case have.info.Type != want.info.Type:
		diff.retype, diff.content = true, true
		return &diff, nil
	case want.linkTo != "":
		first := there[want.linkTo]
		if first != nil && !anew[want.linkTo] && first.info.Inode == have.info.Inode && first.info.Dev == have.info.Dev {
			return nil, nil
		}
		diff.link = true
		return &diff, nil
	}
	var err error
	if diff.content, err = d.contentDiffers(ctx, &diff); err != nil {
		return nil, err
	}
	if d.keeps.more && want.info.Type == sys.Regular && have.linkTo != "" {
		diff.content = true // it shares its content with a file that it should not follow
	}
	diff.attributes = d.attributesDiffer(want, have)
	if diff.content || diff.attributes {
		return &diff, nil
	}
	return nil, nil
}

func (d treeDiff) attributesDiffer(want, have *treeNode) bool {
	w, h := want.info, have.info
	link := w.Type == sys.Symlink
	return d.keeps.perms && !link && w.Mode != h.Mode ||
		d.keeps.owner && w.UID != h.UID ||
		d.keeps.group && w.GID != h.GID ||
		d.keeps.times && !sameTime(w.ModTime, h.ModTime) ||
		d.keeps.more && !link && !maps.EqualFunc(want.xattrs, have.xattrs, bytes.Equal)
}

// sameTime allows for file systems that keep only micro- or milliseconds or whole
// seconds.
func sameTime(want, have time.Time) bool {
	for _, unit := range []time.Duration{1, time.Microsecond, time.Millisecond, time.Second} {
		if have.Equal(want.Truncate(unit)) {
			return true
		}
	}
	return false
}

// contentDiffers compares content, unless size and time already tell.
func (d treeDiff) contentDiffers(ctx context.Context, diff *treeDifference) (bool, error) {
	want, have := diff.want, diff.have
	switch want.info.Type {
	case sys.Symlink:
		return want.target != have.target, nil
	case sys.CharDevice, sys.BlockDevice:
		return want.info.Rdev != have.info.Rdev, nil
	case sys.Regular:
	case sys.Directory, sys.Fifo, sys.Socket:
		return false, nil
	}
	if want.info.Size != have.info.Size {
		return true, nil
	}
	if !d.checksum && d.keeps.times && sameTime(want.info.ModTime, have.info.ModTime) {
		return false, nil
	}
	before, err := have.digest(ctx)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", path.Join(d.root, have.path), err)
	}
	after, err := want.digest(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the source of %s: %w", want.path, err)
	}
	diff.sums = [2]string{before, after}
	return before != after, nil
}

// digest is the SHA-256 of the file's content, read unless it is known.
func (n *treeNode) digest(ctx context.Context) (string, error) {
	if n.sum != "" {
		return n.sum, nil
	}
	content, err := n.content(ctx)
	if err != nil {
		return "", err
	}
	read, err := digestContent(ctx, content)
	return read.sha256, err
}

// change shows the difference as one change of the entry.
func (t treeDifference) change(root string) change.Change {
	of := t.want
	if of == nil {
		of = t.have
	}
	c := change.Change{Target: path.Join(root, of.path), Action: change.Update, Field: "content"}
	switch {
	case t.want == nil:
		c.Action, c.Field = change.Remove, "state"
	case t.have == nil:
		c.Action, c.Field = change.Create, "state"
	case t.retype:
		c.Field = "state"
	case t.link:
		c.Field = "hard link"
	case !t.content:
		c.Field = "attributes"
	}
	times := c.Field == "attributes"
	if t.have != nil {
		c.Before = change.Text(t.have.describe(t.sums[0], times))
	}
	if t.want != nil {
		c.After = change.Text(t.want.describe(t.sums[1], times))
	}
	return c
}

// describe is an entry in one line, in the manner of ls -l. Its time is left out
// where it is not the point: check mode could not foretell that of a file which an
// earlier task would write.
func (n *treeNode) describe(sum string, times bool) string {
	if n.linkTo != "" {
		return "hard link of " + n.linkTo
	}
	parts := []string{string(n.info.Type)}
	if n.info.Type != sys.Symlink {
		parts = append(parts, octal(n.info.Mode))
	}
	parts = append(parts, fmt.Sprintf("%d:%d", n.info.UID, n.info.GID))
	switch n.info.Type {
	case sys.Regular:
		parts = append(parts, fmt.Sprintf("%d bytes", n.info.Size))
	case sys.CharDevice, sys.BlockDevice:
		parts = append(parts, fmt.Sprintf("device %d", n.info.Rdev))
	case sys.Directory, sys.Fifo, sys.Socket, sys.Symlink:
	}
	if times {
		parts = append(parts, n.info.ModTime.UTC().Format(time.RFC3339Nano))
	}
	if len(n.xattrs) > 0 {
		parts = append(parts, "xattrs "+digestText(fmt.Sprint(n.xattrs))[:8])
	}
	if n.target != "" {
		parts = append(parts, "-> "+n.target)
	}
	if sum != "" {
		parts = append(parts, "sha256 "+sum)
	}
	return strings.Join(parts, " ")
}

// treeBytes sums the sizes of the files whose content has to be written.
func treeBytes(differences []treeDifference) int64 {
	var sum int64
	for _, d := range differences {
		if d.want != nil && d.content && d.want.info.Type == sys.Regular && d.want.linkTo == "" {
			sum += d.want.info.Size
		}
	}
	return sum
}
