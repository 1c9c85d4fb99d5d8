package sys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// site is where something is to be changed: a name in a folder.
type site struct {
	*shadowFiles

	dir    *place
	name   string
	old    *place // what is there, nil for nothing
	mounts []string
}

// alter finds the site of path and changes it. The folder must be there, and
// whether the name is there must be known.
func (f *shadowFiles) alter(ctx context.Context, path string, change func(*site) error) error {
	mounts, err := f.mountTargets(ctx)
	if err != nil {
		return err
	}
	if err := f.enter(ctx); err != nil {
		return err
	}
	defer f.leave()
	at, err := f.site(ctx, path, mounts)
	if err != nil {
		return err
	}
	if err := at.look(ctx); err != nil {
		return err
	}
	return change(at)
}

// site finds the folder of path.
func (f *shadowFiles) site(ctx context.Context, path string, mounts []string) (*site, error) {
	dir, name, err := splitPath(path)
	if err != nil {
		return nil, err
	}
	at, err := f.walk(ctx, dir, true)
	if err == nil {
		err = at.directory()
	}
	if err != nil {
		return nil, err
	}
	return &site{shadowFiles: f, dir: at, name: name, mounts: mounts}, nil
}

// look finds what is at the site.
func (s *site) look(ctx context.Context) error {
	old, err := s.child(ctx, s.dir, s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = old.known()
	}
	s.old = old
	return err
}

// isMount tells whether a file system is mounted at the site.
func (s *site) isMount() bool {
	return s.old != nil && (s.old.mount != nil || slices.Contains(s.mounts, s.old.path()))
}

// mountOf is the mount point on whose file system a file lies, and its device.
func (s *site) mountOf(p *place) (string, uint64) {
	path, longest := p.path(), ""
	for _, target := range s.mounts {
		if isWithin(path, target) && len(target) > len(longest) {
			longest = target
		}
	}
	return longest, p.info.Dev
}

func (s *site) sameMount(a, b *place) bool {
	mount, dev := s.mountOf(a)
	otherMount, otherDev := s.mountOf(b)
	return mount == otherMount && dev == otherDev
}

// replaceable fails when what is at the site is not replaced by a file or link.
func (s *site) replaceable() error {
	if s.old == nil {
		return nil
	}
	return inTheWay(s.old.info.Type)
}

// notMounted fails as rename(2) does over a mount point.
func (s *site) notMounted() error {
	if s.isMount() {
		return errMountPoint(unix.EBUSY)
	}
	return nil
}

// fresh is what the system gives a new file in the folder by default.
func (s *site) fresh(t FileType, mode uint32) FileInfo {
	now := moment()
	info := FileInfo{
		Type: t, Mode: mode &^ umask(), UID: os.Geteuid(), GID: os.Getegid(),
		ModTime: now, AccessTime: now, Links: 1, Inode: madeUp(), Dev: s.dir.info.Dev,
	}
	if s.dir.info.Mode&unix.S_ISGID != 0 {
		info.GID = s.dir.info.GID
		if t == Directory {
			info.Mode |= unix.S_ISGID
		}
	}
	return info
}

// moment is now as a file system would keep it.
func moment() time.Time { return time.Now().Round(0) }

// madeUp gives out inode and device numbers. They begin where hardly a file
// system has any, and are whole numbers even to those who count in floating
// point. All shadows share the count, since one may lie over another.
func madeUp() uint64 { return 1<<52 + madeUpCount.Add(1) }

var madeUpCount atomic.Uint64

func (a Attributes) applyTo(info *FileInfo) {
	if a.Mode != nil && info.Type != Symlink {
		info.Mode = *a.Mode
	}
	if a.UID != nil {
		info.UID = *a.UID
	}
	if a.GID != nil {
		info.GID = *a.GID
	}
	if a.ModTime != nil {
		info.ModTime = *a.ModTime
	}
	if a.AccessTime != nil {
		info.AccessTime = *a.AccessTime
	}
}

// put makes n what is at the site, in place of what was there.
func (s *site) put(n *node, info FileInfo) {
	s.drop()
	s.dir.attach()
	s.dir.node.put(s.name, n)
	s.entered(info.Type, 1)
}

// make is put for a file that did not exist before.
func (s *site) make(n node, info FileInfo) {
	if n.xattrs == nil {
		n.xattrs = map[string][]byte{}
	}
	n.info, n.asOf = &info, len(s.doubts)
	s.put(&n, info)
	s.charge(info.Dev, usage{info.Blocks * 512, 1})
}

// drop takes away what is at the site.
func (s *site) drop() {
	if s.old == nil {
		return
	}
	s.unlink(s.old)
	s.clear(s.old.info.Type)
}

// clear makes the name be free, without a word on the file that had it.
func (s *site) clear(t FileType) {
	s.dir.attach()
	s.dir.node.put(s.name, &node{removed: true, asOf: len(s.doubts)})
	s.entered(t, -1)
}

// entered records in the folder that an entry came (1) or went (-1).
func (s *site) entered(t FileType, n int) {
	info := s.own(s.dir)
	info.ModTime, info.ChangeTime = moment(), time.Time{}
	// btrfs and others always say 1; the rest count the ".." of each subdirectory.
	if t == Directory && info.Links >= 2 {
		info.Links = uint64(int64(info.Links) + int64(n)) // at least 1
	}
}

// unlink takes one name from a file, and with the last its room.
func (f *shadowFiles) unlink(p *place) {
	if !hasTwins(p.info) {
		f.charge(p.info.Dev, usage{-p.info.Blocks * 512, -1})
		return
	}
	info := f.own(p)
	info.Links--
	info.ChangeTime = time.Time{}
}

func (f *shadowFiles) charge(dev uint64, more usage) {
	u := f.spent[dev]
	f.spent[dev] = usage{u.bytes + more.bytes, u.inodes + more.inodes}
}

func (f *shadowFiles) Write(ctx context.Context, path string, content Content, attributes Attributes) error {
	content, err := keep(ctx, content)
	if err != nil {
		return wrapPath("write", path, err)
	}
	err = f.alter(ctx, path, func(s *site) error {
		if err := s.replaceable(); err != nil {
			return err
		}
		info, kept := s.fresh(Regular, 0o666), map[string][]byte{}
		if s.old != nil && s.old.info.Type == Regular {
			info.Mode, info.UID, info.GID = s.old.info.Mode, s.old.info.UID, s.old.info.GID
			old, err := s.xattrs(ctx, s.old.node)
			if err != nil {
				return err
			}
			kept = maps.Clone(old)
			maps.DeleteFunc(kept, func(name string, _ []byte) bool { return boundToContent[name] })
		}
		if err := s.notMounted(); err != nil {
			return err
		}
		attributes.applyTo(&info)
		info.Size = content.Size()
		info.Blocks = (info.Size + holeSize - 1) / holeSize * (holeSize / 512)
		s.make(node{content: content, xattrs: kept}, info)
		return nil
	})
	return wrapPath("write", path, err)
}

// WriteCopy is Write: a shadow has nothing to make durable, and counts holes as
// used, since it does not read the content.
func (f *shadowFiles) WriteCopy(ctx context.Context, path string, content Content, attributes Attributes, _ bool) error {
	return f.Write(ctx, path, content, attributes)
}

// Sync has nothing to do but to find the path.
func (f *shadowFiles) Sync(ctx context.Context, path string) error {
	_, err := ask(ctx, f, "syncfs", path, true, infoAt)
	return err
}

// keptWhole is the most bytes of a content that a shadow reads and keeps. Larger
// ones are kept as what they came as, and are neither read nor copied.
const keptWhole = 64 << 10

func keep(ctx context.Context, content Content) (c Content, err error) {
	if _, kept := content.(memory); kept || content.Size() > keptWhole {
		return content, nil
	}
	r, err := content.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the new content: %w", err)
	}
	defer closing(r, &err)
	data, err := io.ReadAll(io.LimitReader(r, keptWhole+1))
	if err != nil {
		return nil, fmt.Errorf("reading the new content: %w", err)
	}
	m := memory{data: data, sum: sha256.Sum256(data)}
	return m, isContent(content, m.Size(), m.sum[:])
}

// memory is a content that is held whole.
type memory struct {
	data []byte
	sum  [sha256.Size]byte
}

func (m memory) Size() int64    { return int64(len(m.data)) }
func (m memory) SHA256() string { return hex.EncodeToString(m.sum[:]) }

func (m memory) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.data)), nil
}

func (f *shadowFiles) Mkdir(ctx context.Context, path string, attributes Attributes) error {
	return wrapPath("mkdir", path, f.alter(ctx, path, func(s *site) error {
		if s.old != nil {
			return unix.EEXIST
		}
		info := s.fresh(Directory, 0o777)
		info.Links, info.Size, info.Blocks = 1, holeSize, holeSize/512
		if s.dir.info.Links >= 2 {
			info.Links = 2
		}
		attributes.applyTo(&info)
		s.make(node{}, info)
		return nil
	}))
}

func (f *shadowFiles) Symlink(ctx context.Context, target, path string) error {
	return wrapPath("symlink", path, f.alter(ctx, path, func(s *site) error {
		if err := s.replaceable(); err != nil {
			return err
		}
		switch {
		case target == "":
			return unix.ENOENT
		case strings.ContainsRune(target, 0):
			return unix.EINVAL
		case len(target) >= unix.PathMax:
			return unix.ENAMETOOLONG
		}
		if err := s.notMounted(); err != nil {
			return err
		}
		info := s.fresh(Symlink, 0)
		info.Mode, info.Size = 0o777, int64(len(target))
		s.make(node{target: target}, info)
		return nil
	}))
}

func (f *shadowFiles) Mknod(ctx context.Context, path string, wanted FileInfo) error {
	return wrapPath("mknod", path, f.alter(ctx, path, func(s *site) error {
		if _, err := special(wanted.Type); err != nil {
			return err
		}
		if s.old != nil {
			return unix.EEXIST
		}
		info := s.fresh(wanted.Type, 0)
		info.Mode = wanted.Mode
		if wanted.Type == CharDevice || wanted.Type == BlockDevice {
			info.Rdev = wanted.Rdev
		}
		s.make(node{}, info)
		return nil
	}))
}

func (f *shadowFiles) Link(ctx context.Context, existing, path string) error {
	return wrapLink("link", existing, path, f.alter(ctx, path, func(s *site) error {
		if err := s.replaceable(); err != nil {
			return err
		}
		file, err := f.walk(ctx, existing, false)
		if err == nil {
			err = file.known()
		}
		switch {
		case err != nil:
			return err
		case s.old != nil && sameFile(s.old.info, file.info):
			return nil
		case !s.sameMount(file, s.dir):
			return unix.EXDEV
		case file.info.Type == Directory:
			return unix.EPERM
		}
		if err := s.notMounted(); err != nil {
			return err
		}
		info := f.own(file)
		info.Links++
		info.ChangeTime = time.Time{}
		s.put(file.node, *info)
		return nil
	}))
}

func sameFile(a, b FileInfo) bool { return a.Dev == b.Dev && a.Inode == b.Inode }

func (f *shadowFiles) Remove(ctx context.Context, path string) error {
	return wrapPath("remove", path, f.alter(ctx, path, func(s *site) error {
		if s.old == nil {
			return unix.ENOENT
		}
		if s.isMount() {
			return unix.EBUSY
		}
		if s.old.info.Type == Directory {
			if err := f.mustBeEmpty(ctx, s.old); err != nil {
				return err
			}
		}
		s.drop()
		return nil
	}))
}

func (f *shadowFiles) mustBeEmpty(ctx context.Context, dir *place) error {
	names, err := f.names(ctx, dir)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return unix.ENOTEMPTY
	}
	return f.complete(dir, names)
}

func (f *shadowFiles) RemoveAll(ctx context.Context, path string) error {
	return wrapPath("remove all", path, f.alter(ctx, path, func(s *site) error {
		if s.old == nil {
			return unix.ENOENT
		}
		if s.isMount() {
			return mountWithin(s.old.path())
		}
		for _, target := range s.mounts {
			if isWithin(target, s.old.path()) {
				return mountWithin(target)
			}
		}
		var gone gathered
		if err := f.gather(ctx, s.old, &gone); err != nil {
			return err
		}
		for _, p := range gone.twins {
			now, err := f.child(ctx, p.up, p.name) // another of its names may be gone since
			if err != nil {
				return err
			}
			f.unlink(now)
		}
		f.charge(s.old.info.Dev, usage{-gone.bytes, -gone.inodes})
		s.clear(s.old.info.Type)
		return nil
	}))
}

// gathered is what a tree holds: the files with several names one by one, since
// their other names are to know; of the rest only the room.
type gathered struct {
	usage

	twins []*place
}

// gather looks through all files at and below p, which are on one file system.
func (f *shadowFiles) gather(ctx context.Context, p *place, all *gathered) error {
	if p.node.unknown != "" {
		return nil // whatever it is, it would be gone
	}
	if hasTwins(p.info) {
		all.twins = append(all.twins, p)
		return nil
	}
	all.bytes += p.info.Blocks * 512
	all.inodes++
	if p.info.Type != Directory {
		return nil
	}
	names, err := f.names(ctx, p)
	if err != nil {
		return err
	}
	for _, name := range names {
		child, err := f.child(ctx, p, name)
		if errors.Is(err, fs.ErrNotExist) { // went meanwhile, on the host beneath
			continue
		}
		if err != nil {
			return err
		}
		if child.mount != nil || child.node.unknown == "" && child.info.Dev != p.info.Dev {
			return mountWithin(child.path())
		}
		if err := f.gather(ctx, child, all); err != nil {
			return err
		}
	}
	return nil
}

// Rename answers in the order of rename(2).
func (f *shadowFiles) Rename(ctx context.Context, fromPath, toPath string) error {
	if _, _, err := splitPath(fromPath); err != nil {
		return wrapLink("rename", fromPath, toPath, err)
	}
	mounts, err := f.mountTargets(ctx)
	if err != nil {
		return wrapLink("rename", fromPath, toPath, err)
	}
	if err := f.enter(ctx); err != nil {
		return wrapLink("rename", fromPath, toPath, err)
	}
	defer f.leave()
	return wrapLink("rename", fromPath, toPath, f.rename(ctx, fromPath, toPath, mounts))
}

func (f *shadowFiles) rename(ctx context.Context, fromPath, toPath string, mounts []string) error {
	if _, _, err := splitPath(toPath); err != nil {
		return err
	}
	from, err := f.site(ctx, fromPath, mounts)
	if err != nil {
		return err
	}
	to, err := f.site(ctx, toPath, mounts)
	if err != nil {
		return err
	}
	if !from.sameMount(from.dir, to.dir) {
		return unix.EXDEV
	}
	if err := from.look(ctx); err != nil {
		return err
	}
	if err := to.look(ctx); err != nil {
		return err
	}
	if from.old == nil {
		return unix.ENOENT
	}
	done, err := f.mayRename(ctx, from, to)
	if done || err != nil {
		return err
	}
	if hasTwins(from.old.info) {
		f.own(from.old) // the other names must find the node that moves
	}
	to.put(from.old.node, from.old.info)
	from.clear(from.old.info.Type)
	return nil
}

// mayRename tells why one cannot become the other, or that they are one already.
func (f *shadowFiles) mayRename(ctx context.Context, from, to *site) (done bool, err error) {
	moved, old := from.old, to.old
	isDir := moved.info.Type == Directory
	if isDir && isWithin(to.dir.path(), moved.path()) {
		return false, unix.EINVAL
	}
	if old == nil {
		if from.isMount() {
			return false, unix.EBUSY
		}
		return false, nil
	}
	switch {
	case isWithin(from.dir.path(), old.path()):
		return false, unix.ENOTEMPTY
	case sameFile(moved.info, old.info):
		return true, nil
	case isDir && old.info.Type != Directory:
		return false, unix.ENOTDIR
	case !isDir && old.info.Type == Directory:
		return false, unix.EISDIR
	case from.isMount() || to.isMount():
		return false, unix.EBUSY
	case isDir:
		return false, f.mustBeEmpty(ctx, old)
	}
	return false, nil
}

func (f *shadowFiles) SetAttributes(ctx context.Context, path string, a Attributes) error {
	_, err := ask(ctx, f, "set attributes", path, false, func(p *place) (struct{}, error) {
		wanted := p.info
		a.applyTo(&wanted)
		if wanted == p.info {
			return struct{}{}, nil
		}
		if wanted.UID != p.info.UID || wanted.GID != p.info.GID {
			if err := f.dropCapabilities(ctx, p); err != nil {
				return struct{}{}, err
			}
		}
		wanted.ChangeTime = time.Time{}
		*f.own(p) = wanted
		return struct{}{}, nil
	})
	return err
}

// dropCapabilities does what the kernel does when a file changes hands.
func (f *shadowFiles) dropCapabilities(ctx context.Context, p *place) error {
	xattrs, err := f.xattrs(ctx, p.node)
	if err != nil || xattrs["security.capability"] == nil {
		return err
	}
	xattrs = maps.Clone(xattrs)
	delete(xattrs, "security.capability")
	f.own(p)
	p.node.xattrs = xattrs
	return nil
}

func (f *shadowFiles) SetXattr(ctx context.Context, path, name string, value []byte) error {
	_, err := ask(ctx, f, "setxattr", path, false, func(p *place) (struct{}, error) {
		if err := allowXattr(p.info.Type, name); err != nil {
			return struct{}{}, fmt.Errorf("%s: %w", name, err)
		}
		xattrs, err := f.xattrs(ctx, p.node)
		if err != nil {
			return struct{}{}, err
		}
		xattrs = maps.Clone(xattrs)
		if value == nil {
			delete(xattrs, name)
		} else {
			xattrs[name] = bytes.Clone(value)
		}
		f.own(p).ChangeTime = time.Time{}
		p.node.xattrs = xattrs
		return struct{}{}, nil
	})
	return err
}

// allowXattr keeps the rules of xattr(7) on which file may have which name.
func allowXattr(t FileType, name string) error {
	namespace, _, _ := strings.Cut(name, ".")
	switch namespace {
	case "user":
		if t != Regular && t != Directory {
			return unix.EPERM
		}
	case "trusted", "security", "system":
	default:
		return unix.ENOTSUP
	}
	return nil
}

// umask is that of this process, which is also the agent's on a real run. Linux
// before 4.7 tells it only by setting it.
var umask = sync.OnceValue(func() uint32 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, "Umask:"); ok {
				if mask, err := strconv.ParseUint(strings.TrimSpace(value), 8, 32); err == nil {
					return uint32(mask)
				}
			}
		}
	}
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return uint32(mask)
})
