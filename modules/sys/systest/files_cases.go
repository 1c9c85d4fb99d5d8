package systest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

var (
	later    = time.Date(2002, 3, 4, 5, 6, 7, 8, time.UTC)
	longName = strings.Repeat("n", 256)
	longPath = strings.Repeat("d/", 2100) + "end"
)

func attr(mode uint32) sys.Attributes { return sys.Attributes{Mode: &mode} }

var fileCases = []fileCase{
	// Looking.
	{name: "stat follows links, lstat does not", do: func(f files) error {
		through, err := f.Stat(f.ctx, f.at("link"))
		if err != nil {
			return err
		}
		itself, err := f.Lstat(f.ctx, f.at("link"))
		if err != nil {
			return err
		}
		if through.Type != sys.Regular || through.Size != 4 || through.Mode != 0o640 || !through.ModTime.Equal(old) {
			return fmt.Errorf("stat gave %+v", through)
		}
		if itself.Type != sys.Symlink || itself.Size != 4 {
			return fmt.Errorf("lstat gave %+v", itself)
		}
		return nil
	}},
	{name: "slashes at the end mean nothing", do: func(f files) error {
		info, err := f.Lstat(f.ctx, f.at("dirlink//"))
		return want(info.Type, err, sys.Symlink)
	}},
	{name: "dots and links on the way", do: func(f files) error {
		text, err := Text(f.ctx, f, f.at("./dirlink/sub/../../dir//inner"))
		return want(text, err, "two\n")
	}},
	{name: "two names of one file have one inode", do: func(f files) error {
		a, err := f.Lstat(f.ctx, f.at("twin1"))
		if err != nil {
			return err
		}
		b, err := f.Lstat(f.ctx, f.at("twin2"))
		return want([3]uint64{b.Inode, b.Dev, b.Links}, err, [3]uint64{a.Inode, a.Dev, 2})
	}},
	{name: "readdir through a link", do: func(f files) error {
		names, err := f.ReadDir(f.ctx, f.at("dirlink"))
		return want(names, err, []string{"inner", "sub"})
	}},
	{name: "content is that of its moment", do: func(f files) error {
		content, err := f.Content(f.ctx, f.at("link"))
		if err != nil {
			return err
		}
		if content.Size() != 4 {
			return fmt.Errorf("the size is %d", content.Size())
		}
		if err := f.Write(f.ctx, f.at("copy"), content, sys.Attributes{Mode: new(uint32(0o640)), ModTime: &old}); err != nil {
			return err
		}
		text, err := Text(f.ctx, f, f.at("copy"))
		return want(text, err, "one\n")
	}, tree: func(tree map[string]Entry) { tree["copy"] = tree["file"] }},
	{name: "space", do: func(f files) error {
		space, err := f.Space(f.ctx, f.at("dir"))
		if err == nil && (space.Total == 0 || space.Free > space.Total) {
			err = fmt.Errorf("gave %+v", space)
		}
		return err
	}},
	{name: "lstat of nothing", want: "ENOENT", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at("no")); return err }},
	{name: "stat of a dangling link", want: "ENOENT", do: func(f files) error { _, err := f.Stat(f.ctx, f.at("dangling")); return err }},
	{name: "stat of a loop", want: "ELOOP", do: func(f files) error { _, err := f.Stat(f.ctx, f.at("loop")); return err }},
	{name: "lstat through a loop", want: "ELOOP", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at("loop/x")); return err }},
	{name: "lstat below a file", want: "ENOTDIR", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at("file/x")); return err }},
	{name: "lstat of file/.", want: "ENOTDIR", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at("file/.")); return err }},
	{name: "lstat of nothing/..", want: "ENOENT", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at("no/..")); return err }},
	{name: "lstat of a long name", want: "ENAMETOOLONG", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at(longName)); return err }},
	{name: "lstat of a long path", want: "ENAMETOOLONG", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at(longPath)); return err }},
	{name: "lstat of a NUL", want: "EINVAL", do: func(f files) error { _, err := f.Lstat(f.ctx, f.at("a\x00b")); return err }},
	{name: "readlink of a file", want: "EINVAL", do: func(f files) error { _, err := f.Readlink(f.ctx, f.at("file")); return err }},
	{name: "readdir of a file", want: "ENOTDIR", do: func(f files) error { _, err := f.ReadDir(f.ctx, f.at("file")); return err }},
	{name: "open of a directory", want: "EISDIR", do: func(f files) error { _, err := f.Open(f.ctx, f.at("dir")); return err }},
	{name: "open of a fifo does not wait", want: "EINVAL", do: func(f files) error { _, err := f.Open(f.ctx, f.at("fifo")); return err }},
	{name: "content of a directory", want: "EISDIR", do: func(f files) error { _, err := f.Content(f.ctx, f.at("dir")); return err }},
	{name: "xattrs of nothing", want: "ENOENT", do: func(f files) error { _, err := f.Xattrs(f.ctx, f.at("no")); return err }},
	{name: "space of nothing", want: "ENOENT", do: func(f files) error { _, err := f.Space(f.ctx, f.at("no")); return err }},
	{name: "looking after the context has ended", want: "cancelled", do: func(f files) error {
		_, err := f.Lstat(ended(f.ctx), f.at("file"))
		return err
	}},

	// Writing files.
	{name: "write a new file", do: func(f files) error {
		return f.write("dir/new", "text", sys.Attributes{Mode: new(uint32(0o604)), ModTime: &later})
	}, tree: func(tree map[string]Entry) {
		e := tree["file"]
		e.Mode, e.Size, e.Content, e.ModTime = "0604", 4, "text", later
		tree["dir/new"] = e
	}},
	{name: "write keeps mode and owner, and sets the time", do: func(f files) error {
		return f.write("file", "longer text", sys.Attributes{})
	}, tree: func(tree map[string]Entry) {
		changed(tree, "file", func(e *Entry) { e.Content, e.Size, e.ModTime = "longer text", 11, time.Time{} })
	}},
	{name: "write keeps setuid that it is told to", do: func(f files) error {
		return f.write("file", "one\n", sys.Attributes{Mode: new(uint32(0o4755)), ModTime: &old})
	}, tree: func(tree map[string]Entry) { changed(tree, "file", func(e *Entry) { e.Mode = "4755" }) }},
	{name: "write through a linked folder", do: func(f files) error {
		return f.write("dirlink/inner", "new", sys.Attributes{ModTime: &later})
	}, tree: func(tree map[string]Entry) {
		changed(tree, "dir/inner", func(e *Entry) { e.Content, e.Size, e.ModTime = "new", 3, later })
	}},
	{name: "write replaces a link and not its target", do: func(f files) error {
		return f.write("link", "x", sys.Attributes{Mode: new(uint32(0o640)), ModTime: &old})
	}, tree: func(tree map[string]Entry) {
		e := tree["file"]
		e.Content, e.Size = "x", 1
		tree["link"] = e
	}},
	{name: "write leaves the other name of a file alone", do: func(f files) error {
		return f.write("twin1", "alone", sys.Attributes{ModTime: &old})
	}, tree: func(tree map[string]Entry) {
		changed(tree, "twin1", func(e *Entry) { e.Content, e.Size, e.Links = "alone", 5, 1 })
		changed(tree, "twin2", func(e *Entry) { e.Twin, e.Links = "", 1 })
	}},
	{name: "write a name that is no UTF-8", do: func(f files) error {
		return f.write("\xff\xfe\n", "one\n", sys.Attributes{Mode: new(uint32(0o640)), ModTime: &old})
	}, tree: func(tree map[string]Entry) { tree["\xff\xfe\n"] = tree["file"] }},
	{name: "write over a directory", want: "EISDIR", do: func(f files) error { return f.write("dir", "", attr(0o600)) }},
	{name: "write over a fifo", want: "EEXIST", do: func(f files) error { return f.write("fifo", "", attr(0o600)) }},
	{name: "write where no folder is", want: "ENOENT", do: func(f files) error { return f.write("no/x", "", attr(0o600)) }},
	{name: "write below a file", want: "ENOTDIR", do: func(f files) error { return f.write("file/x", "", attr(0o600)) }},
	{name: "write to a long name", want: "ENAMETOOLONG", do: func(f files) error { return f.write(longName, "", attr(0o600)) }},
	{name: "write to dots", want: "EINVAL", do: func(f files) error { return f.write("dir/..", "", attr(0o600)) }},
	{name: "write with the context ended", want: "cancelled", do: func(f files) error {
		return f.Write(ended(f.ctx), f.at("file"), Content("x"), sys.Attributes{})
	}},
	{name: "content with too few bytes", do: refuses(broken{Content("abc"), 4, ""})},
	{name: "content with too many bytes", do: refuses(broken{Content("abc"), 2, ""})},
	{name: "content with another digest", do: refuses(broken{Content("abc"), 3, strings.Repeat("0", 64)})},
	{name: "content that breaks off", do: refuses(failing{Content("abc")})},
	{name: "write a copy with holes", do: func(f files) error {
		content := Content("a" + strings.Repeat("\x00", 20<<10) + "z")
		return f.WriteCopy(f.ctx, f.at("file"), content, sys.Attributes{ModTime: &old}, true)
	}, tree: func(tree map[string]Entry) {
		changed(tree, "file", func(e *Entry) {
			e.Size, e.Content = 20<<10+2, "4251fe515f21c38d9ccdef2fb3d7e9b755689cd930b0b8db8eb7d2cfd96cf176"
		})
	}},
	{name: "sync", do: func(f files) error { return f.Sync(f.ctx, f.at("dir")) }},
	{name: "sync of nothing", want: "ENOENT", do: func(f files) error { return f.Sync(f.ctx, f.at("no")) }},

	// Directories.
	{name: "mkdir", do: func(f files) error {
		return f.Mkdir(f.ctx, f.at("empty/new"), sys.Attributes{Mode: new(uint32(0o2755)), ModTime: &later})
	}, tree: func(tree map[string]Entry) {
		e := tree["empty"]
		e.Mode, e.ModTime = "2755", later
		tree["empty/new"] = e
		touched(tree, "empty")
		subdirectories(tree, "empty", 1)
	}},
	{name: "the group of a setgid folder is passed on", do: func(f files) error {
		if err := f.SetAttributes(f.ctx, f.at("empty"), attr(0o2755)); err != nil {
			return err
		}
		return f.Mkdir(f.ctx, f.at("empty/new"), sys.Attributes{ModTime: &old})
	}, tree: func(tree map[string]Entry) {
		changed(tree, "empty", func(e *Entry) { e.Mode = "2755" })
		tree["empty/new"] = tree["empty"]
		touched(tree, "empty")
		subdirectories(tree, "empty", 1)
	}},
	{name: "mkdir over a file", want: "EEXIST", do: func(f files) error { return f.Mkdir(f.ctx, f.at("file"), attr(0o700)) }},
	{name: "mkdir over a dangling link", want: "EEXIST", do: func(f files) error { return f.Mkdir(f.ctx, f.at("dangling"), attr(0o700)) }},
	{name: "mkdir makes one level", want: "ENOENT", do: func(f files) error { return f.Mkdir(f.ctx, f.at("no/new"), attr(0o700)) }},

	// Links.
	{name: "symlink replaces a file", do: func(f files) error { return f.Symlink(f.ctx, "dir/../x", f.at("file")) }, tree: func(tree map[string]Entry) {
		e := tree["dangling"]
		e.Target, e.Size = "dir/../x", 8
		tree["file"] = e
	}},
	{name: "symlink replaces a link", do: func(f files) error { return f.Symlink(f.ctx, "dir", f.at("link")) }, tree: func(tree map[string]Entry) {
		changed(tree, "link", func(e *Entry) { e.Target, e.Size = "dir", 3 })
	}},
	{name: "a new link counts on the way", do: func(f files) error {
		if err := f.Symlink(f.ctx, f.at("dir/sub"), f.at("link")); err != nil {
			return err
		}
		text, err := Text(f.ctx, f, f.at("link/../inner"))
		return want(text, err, "two\n")
	}, tree: func(tree map[string]Entry) {
		changed(tree, "link", func(e *Entry) {
			e.Target = strings.TrimSuffix(tree["dirlink"].Target, "dir") + "dir/sub"
			e.Size = int64(len(e.Target))
		})
	}},
	{name: "symlink over a directory", want: "EISDIR", do: func(f files) error { return f.Symlink(f.ctx, "x", f.at("empty")) }},
	{name: "symlink to nothing at all", want: "ENOENT", do: func(f files) error { return f.Symlink(f.ctx, "", f.at("new")) }},
	{name: "link", do: func(f files) error { return f.Link(f.ctx, f.at("file"), f.at("zz")) }, tree: func(tree map[string]Entry) {
		changed(tree, "file", func(e *Entry) { e.Links = 2 })
		tree["zz"] = tree["file"]
		changed(tree, "zz", func(e *Entry) { e.Twin = "file" })
	}},
	{name: "a change through one name shows at the other", do: func(f files) error {
		if err := f.SetAttributes(f.ctx, f.at("twin2"), sys.Attributes{Mode: new(uint32(0o600))}); err != nil {
			return err
		}
		return f.SetAttributes(f.ctx, f.at("twin1"), sys.Attributes{ModTime: &later})
	}, tree: func(tree map[string]Entry) {
		for _, name := range []string{"twin1", "twin2"} {
			changed(tree, name, func(e *Entry) { e.Mode, e.ModTime = "0600", later })
		}
	}},
	{name: "link replaces a file", do: func(f files) error { return f.Link(f.ctx, f.at("twin2"), f.at("file")) }, tree: func(tree map[string]Entry) {
		tree["file"] = tree["twin1"]
		for _, name := range []string{"file", "twin1", "twin2"} {
			changed(tree, name, func(e *Entry) { e.Links, e.Twin = 3, "file" })
		}
		changed(tree, "file", func(e *Entry) { e.Twin = "" })
	}},
	{name: "link to itself", do: func(f files) error { return f.Link(f.ctx, f.at("twin1"), f.at("twin2")) }},
	{name: "link to a link is to the link itself", do: func(f files) error { return f.Link(f.ctx, f.at("dangling"), f.at("zz")) }, tree: func(tree map[string]Entry) {
		changed(tree, "dangling", func(e *Entry) { e.Links = 2 })
		tree["zz"] = tree["dangling"]
		changed(tree, "zz", func(e *Entry) { e.Twin = "dangling" })
	}},
	{name: "link to a directory", want: "EPERM", do: func(f files) error { return f.Link(f.ctx, f.at("dir"), f.at("new")) }},
	{name: "link to nothing", want: "ENOENT", do: func(f files) error { return f.Link(f.ctx, f.at("no"), f.at("new")) }},
	{name: "link over a directory", want: "EISDIR", do: func(f files) error { return f.Link(f.ctx, f.at("file"), f.at("dir")) }},

	// Special files.
	{name: "fifo", do: func(f files) error { return f.Mknod(f.ctx, f.at("new"), sys.FileInfo{Type: sys.Fifo, Mode: 0o666}) }, tree: func(tree map[string]Entry) {
		tree["new"] = tree["fifo"]
		changed(tree, "new", func(e *Entry) { e.Mode = "0666" })
	}},
	{name: "socket", do: func(f files) error { return f.Mknod(f.ctx, f.at("new"), sys.FileInfo{Type: sys.Socket, Mode: 0o600}) }, tree: func(tree map[string]Entry) {
		tree["new"] = tree["fifo"]
		changed(tree, "new", func(e *Entry) { e.Type = sys.Socket })
	}},
	{name: "fifo over a file", want: "EEXIST", do: func(f files) error { return f.Mknod(f.ctx, f.at("file"), sys.FileInfo{Type: sys.Fifo}) }},
	{name: "mknod of a directory", want: "EINVAL", do: func(f files) error { return f.Mknod(f.ctx, f.at("new"), sys.FileInfo{Type: sys.Directory}) }},

	// Renaming.
	{name: "rename a file", do: func(f files) error { return f.Rename(f.ctx, f.at("file"), f.at("empty/moved")) }, tree: func(tree map[string]Entry) {
		moveTree(tree, "file", "empty/moved")
		touched(tree, "empty")
	}},
	{name: "rename over a file", do: func(f files) error { return f.Rename(f.ctx, f.at("dir/inner"), f.at("file")) }, tree: func(tree map[string]Entry) {
		moveTree(tree, "dir/inner", "file")
	}},
	{name: "rename a folder, and its content is there", do: func(f files) error { return f.Rename(f.ctx, f.at("dir"), f.at("empty/moved")) }, tree: func(tree map[string]Entry) {
		moveTree(tree, "dir", "empty/moved")
		touched(tree, "empty")
		subdirectories(tree, "empty", 1)
		subdirectories(tree, ".", -1)
	}},
	{name: "rename over an empty folder", do: func(f files) error { return f.Rename(f.ctx, f.at("dir/sub"), f.at("empty")) }, tree: func(tree map[string]Entry) {
		delete(tree, "empty")
		moveTree(tree, "dir/sub", "empty")
		subdirectories(tree, "dir", -1)
	}},
	{name: "changes go along with their folder", do: func(f files) error {
		if err := f.write("dir/sub/deep", "four", sys.Attributes{ModTime: &later}); err != nil {
			return err
		}
		if err := f.Remove(f.ctx, f.at("dir/inner")); err != nil {
			return err
		}
		return f.Rename(f.ctx, f.at("dir"), f.at("moved"))
	}, tree: func(tree map[string]Entry) {
		delete(tree, "dir/inner")
		changed(tree, "dir/sub/deep", func(e *Entry) { e.Content, e.Size, e.ModTime = "four", 4, later })
		moveTree(tree, "dir", "moved")
	}},
	{name: "what was at a name is not there after a move and a new start", do: func(f files) error {
		if err := f.Rename(f.ctx, f.at("dir"), f.at("moved")); err != nil {
			return err
		}
		return f.Mkdir(f.ctx, f.at("dir"), sys.Attributes{Mode: new(uint32(0o755)), ModTime: &old})
	}, tree: func(tree map[string]Entry) {
		moveTree(tree, "dir", "moved")
		tree["dir"] = tree["empty"]
		subdirectories(tree, ".", 1)
	}},
	{name: "rename of a link moves the link", do: func(f files) error { return f.Rename(f.ctx, f.at("dirlink"), f.at("empty/l")) }, tree: func(tree map[string]Entry) {
		moveTree(tree, "dirlink", "empty/l")
		touched(tree, "empty")
	}},
	{name: "a moved name is still one of two", do: func(f files) error {
		if err := f.Rename(f.ctx, f.at("twin1"), f.at("a")); err != nil {
			return err
		}
		return f.SetAttributes(f.ctx, f.at("twin2"), sys.Attributes{Mode: new(uint32(0o600))})
	}, tree: func(tree map[string]Entry) {
		moveTree(tree, "twin1", "a")
		changed(tree, "a", func(e *Entry) { e.Mode = "0600" })
		changed(tree, "twin2", func(e *Entry) { e.Mode, e.Twin = "0600", "a" })
	}},
	{name: "rename of one name over the other does nothing", do: func(f files) error { return f.Rename(f.ctx, f.at("twin1"), f.at("twin2")) }},
	{name: "rename to itself", do: func(f files) error { return f.Rename(f.ctx, f.at("dir"), f.at("dirlink/../dir")) }},
	{name: "rename of nothing", want: "ENOENT", do: func(f files) error { return f.Rename(f.ctx, f.at("no"), f.at("new")) }},
	{name: "rename to where no folder is", want: "ENOENT", do: func(f files) error { return f.Rename(f.ctx, f.at("file"), f.at("no/new")) }},
	{name: "rename over a full folder", want: "ENOTEMPTY", do: func(f files) error { return f.Rename(f.ctx, f.at("empty"), f.at("dir")) }},
	{name: "rename over its own folder", want: "ENOTEMPTY", do: func(f files) error { return f.Rename(f.ctx, f.at("dir/sub"), f.at("dir")) }},
	{name: "rename into itself", want: "EINVAL", do: func(f files) error { return f.Rename(f.ctx, f.at("dir"), f.at("dir/sub/x")) }},
	{name: "rename of a folder over a file", want: "ENOTDIR", do: func(f files) error { return f.Rename(f.ctx, f.at("dir"), f.at("file")) }},
	{name: "rename of a file over a folder", want: "EISDIR", do: func(f files) error { return f.Rename(f.ctx, f.at("file"), f.at("empty")) }},
	{name: "rename of dots", want: "EINVAL", do: func(f files) error { return f.Rename(f.ctx, f.at("dir/."), f.at("new")) }},

	// Removing.
	{name: "remove a file", do: func(f files) error { return f.Remove(f.ctx, f.at("file")) }, tree: func(tree map[string]Entry) { delete(tree, "file") }},
	{name: "remove a link and not its target", do: func(f files) error { return f.Remove(f.ctx, f.at("dirlink/")) }, tree: func(tree map[string]Entry) { delete(tree, "dirlink") }},
	{name: "remove one of two names", do: func(f files) error { return f.Remove(f.ctx, f.at("twin1")) }, tree: func(tree map[string]Entry) {
		delete(tree, "twin1")
		changed(tree, "twin2", func(e *Entry) { e.Twin, e.Links = "", 1 })
	}},
	{name: "remove an empty folder", do: func(f files) error { return f.Remove(f.ctx, f.at("empty")) }, tree: func(tree map[string]Entry) {
		delete(tree, "empty")
		subdirectories(tree, ".", -1)
	}},
	{name: "remove a folder once it is empty", do: func(f files) error {
		if err := f.Remove(f.ctx, f.at("dir/sub/deep")); err != nil {
			return err
		}
		return f.Remove(f.ctx, f.at("dir/sub"))
	}, tree: func(tree map[string]Entry) {
		delete(tree, "dir/sub/deep")
		delete(tree, "dir/sub")
		subdirectories(tree, "dir", -1)
	}},
	{name: "remove a full folder", want: "ENOTEMPTY", do: func(f files) error { return f.Remove(f.ctx, f.at("dir")) }},
	{name: "remove nothing", want: "ENOENT", do: func(f files) error { return f.Remove(f.ctx, f.at("no")) }},
	{name: "remove dots", want: "EINVAL", do: func(f files) error { return f.Remove(f.ctx, f.at("dir/sub/..")) }},
	{name: "remove all", do: func(f files) error { return f.RemoveAll(f.ctx, f.at("dir")) }, tree: func(tree map[string]Entry) {
		maps.DeleteFunc(tree, func(path string, _ Entry) bool { return path == "dir" || strings.HasPrefix(path, "dir/") })
		subdirectories(tree, ".", -1)
	}},
	{name: "remove all of a link leaves its target", do: func(f files) error { return f.RemoveAll(f.ctx, f.at("dirlink")) }, tree: func(tree map[string]Entry) { delete(tree, "dirlink") }},
	{name: "remove all counts the names that go", do: func(f files) error {
		if err := f.Link(f.ctx, f.at("twin1"), f.at("dir/sub/twin3")); err != nil {
			return err
		}
		if err := f.Rename(f.ctx, f.at("twin2"), f.at("dir/twin2")); err != nil {
			return err
		}
		return f.RemoveAll(f.ctx, f.at("dir"))
	}, tree: func(tree map[string]Entry) {
		maps.DeleteFunc(tree, func(path string, _ Entry) bool { return path == "dir" || strings.HasPrefix(path, "dir/") })
		delete(tree, "twin2")
		changed(tree, "twin1", func(e *Entry) { e.Links = 1 })
		subdirectories(tree, ".", -1)
	}},
	{name: "remove all and start again", do: func(f files) error {
		if err := f.RemoveAll(f.ctx, f.at("dir")); err != nil {
			return err
		}
		return f.Mkdir(f.ctx, f.at("dir"), sys.Attributes{Mode: new(uint32(0o755)), ModTime: &old})
	}, tree: func(tree map[string]Entry) {
		maps.DeleteFunc(tree, func(path string, _ Entry) bool { return strings.HasPrefix(path, "dir/") })
		tree["dir"] = tree["empty"]
	}},
	{name: "remove all of nothing", want: "ENOENT", do: func(f files) error { return f.RemoveAll(f.ctx, f.at("no")) }},
	{name: "remove all with the context ended", want: "cancelled", do: func(f files) error { return f.RemoveAll(ended(f.ctx), f.at("dir")) }},

	// Attributes.
	{name: "set mode and times", do: func(f files) error {
		if err := f.SetAttributes(f.ctx, f.at("dir/sub/deep"), sys.Attributes{Mode: new(uint32(0o6711)), ModTime: &later, AccessTime: &old}); err != nil {
			return err
		}
		info, err := f.Lstat(f.ctx, f.at("dir/sub/deep"))
		return want(info.AccessTime.UTC(), err, old)
	}, tree: func(tree map[string]Entry) {
		changed(tree, "dir/sub/deep", func(e *Entry) { e.Mode, e.ModTime = "6711", later })
	}},
	{name: "attributes of a link are its own, and its mode is ignored", do: func(f files) error {
		return f.SetAttributes(f.ctx, f.at("link"), sys.Attributes{Mode: new(uint32(0o600)), ModTime: &later})
	}, tree: func(tree map[string]Entry) { changed(tree, "link", func(e *Entry) { e.ModTime = later }) }},
	{name: "attributes of a folder leave what is in it", do: func(f files) error {
		return f.SetAttributes(f.ctx, f.at("dir"), sys.Attributes{Mode: new(uint32(0o711)), ModTime: &later})
	}, tree: func(tree map[string]Entry) {
		changed(tree, "dir", func(e *Entry) { e.Mode, e.ModTime = "0711", later })
	}},
	{name: "attributes of nothing", want: "ENOENT", do: func(f files) error { return f.SetAttributes(f.ctx, f.at("no"), attr(0o600)) }},

	// Extended attributes, where the file system has them.
	{name: "xattrs are set, kept by a write, moved and removed", do: withXattrs(func(f files) error {
		long := bytes.Repeat([]byte("1\x00"), 500)
		if err := f.SetXattr(f.ctx, f.at("file"), "user.a", long); err != nil {
			return err
		}
		if err := f.SetXattr(f.ctx, f.at("file"), "user.b", []byte{}); err != nil {
			return err
		}
		if err := f.write("file", "one\n", sys.Attributes{ModTime: &old}); err != nil {
			return err
		}
		if err := f.Rename(f.ctx, f.at("file"), f.at("dir/x")); err != nil {
			return err
		}
		xattrs, err := f.Xattrs(f.ctx, f.at("dir/x"))
		if err != nil {
			return err
		}
		if !bytes.Equal(xattrs["user.a"], long) || xattrs["user.b"] == nil {
			return fmt.Errorf("the attributes became %q", xattrs)
		}
		for _, name := range []string{"user.a", "user.b", "user.never"} {
			if err := f.SetXattr(f.ctx, f.at("dir/x"), name, nil); err != nil {
				return err
			}
		}
		return f.Rename(f.ctx, f.at("dir/x"), f.at("file"))
	})},
	{name: "user xattr on a link", want: "EPERM", do: func(f files) error { return f.SetXattr(f.ctx, f.at("link"), "user.a", []byte("1")) }},
	{name: "xattr without a namespace", want: "ENOTSUP", do: func(f files) error { return f.SetXattr(f.ctx, f.at("file"), "a", []byte("1")) }},
	{name: "xattr of nothing", want: "ENOENT", do: func(f files) error { return f.SetXattr(f.ctx, f.at("no"), "user.a", []byte("1")) }},
}

func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// refuses expects that the content cannot be written, neither to a new file nor
// over an old one.
func refuses(content sys.Content) func(files) error {
	return func(f files) error {
		for _, path := range []string{"file", "new"} {
			err := f.Write(f.ctx, f.at(path), content, sys.Attributes{})
			if err == nil {
				return fmt.Errorf("%s was written", path)
			}
			if !strings.Contains(err.Error(), f.at(path)) {
				return fmt.Errorf("the error %w does not name the path", err)
			}
		}
		return nil
	}
}

// withXattrs does nothing where the file system has no user attributes.
func withXattrs(do func(files) error) func(files) error {
	return func(f files) error {
		err := f.SetXattr(f.ctx, f.at("fifo"), "user.probe", []byte("1"))
		if Class(err) == "ENOTSUP" {
			return nil
		}
		return do(f)
	}
}
