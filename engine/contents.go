package engine

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the checksum that Ansible reports
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/vault"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// inlineLimit is the most content, in bytes, that travels with a task's
// arguments. What is larger costs a question from the host that really lacks it,
// and nothing on hosts that have it.
const inlineLimit = 16 << 10

// contents knows where to find the content that hosts may ask for: files of the
// controller, and files of other hosts. A file is read for its digest once, for
// all hosts. It implements agent.Source and is safe for concurrent use.
type contents struct {
	mu    sync.Mutex
	open  map[string]func(ctx context.Context) (io.ReadCloser, error) // by digest
	files map[fileKey]*fileEntry
	vault *vault.Keyring
}

// fileKey is one state of a file: a playbook may write what it sends later.
type fileKey struct {
	fsys    fs.FS
	name    string
	size    int64
	changed time.Time
	decrypt bool
}

type fileEntry struct {
	once sync.Once
	ref  modules.ContentRef
	err  error
}

func newContents(keyring *vault.Keyring) *contents {
	return &contents{
		open:  map[string]func(ctx context.Context) (io.ReadCloser, error){},
		files: map[fileKey]*fileEntry{},
		vault: keyring,
	}
}

// Open implements agent.Source.
func (c *contents) Open(ctx context.Context, digest string) (io.ReadCloser, error) {
	c.mu.Lock()
	open, known := c.open[digest]
	c.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("content %s was never offered: %w", digest, fs.ErrNotExist)
	}
	return open(ctx)
}

// offer remembers where content is. What was seen last counts: an earlier file
// with the same content may be another by now.
func (c *contents) offer(digest string, open func(ctx context.Context) (io.ReadCloser, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[digest] = open
}

// text makes rendered text travel.
func (c *contents) text(text, name string) modules.ContentRef {
	sum := sha256.Sum256([]byte(text))
	ref := modules.ContentRef{SHA256: hex.EncodeToString(sum[:]), Length: int64(len(text)), Name: name}
	if len(text) <= inlineLimit {
		ref.Inline = []byte(text)
		if text == "" {
			ref.Inline = []byte{}
		}
		return ref
	}
	c.offer(ref.SHA256, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil })
	return ref
}

// file makes a file of the controller travel; decrypt says that a vault is opened
// first.
func (c *contents) file(fsys fs.FS, name string, decrypt bool) (modules.ContentRef, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return modules.ContentRef{}, err
	}
	if !reflect.TypeOf(fsys).Comparable() {
		return c.digest(fsys, name, decrypt) // it cannot be told from others
	}
	key := fileKey{fsys, name, info.Size(), info.ModTime(), decrypt}
	c.mu.Lock()
	entry := c.files[key]
	if entry == nil {
		entry = &fileEntry{}
		c.files[key] = entry
	}
	c.mu.Unlock()
	entry.once.Do(func() { entry.ref, entry.err = c.digest(fsys, name, decrypt) })
	return entry.ref, entry.err
}

// digest reads a file once, keeping it when it is small.
func (c *contents) digest(fsys fs.FS, name string, decrypt bool) (modules.ContentRef, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return modules.ContentRef{}, err
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return modules.ContentRef{}, err
	}
	ref := modules.ContentRef{Mode: uint32(info.Mode().Perm()), Name: path.Base(name)}
	start := make([]byte, min(int64(vault.HeaderSize), info.Size()))
	if _, err := io.ReadFull(f, start); err != nil {
		return ref, err
	}
	whole := io.MultiReader(bytes.NewReader(start), f)
	if decrypt && vault.IsEncrypted(start) {
		return c.decrypted(ref, name, whole)
	}
	if info.Size() <= inlineLimit {
		if ref.Inline, err = io.ReadAll(whole); err != nil {
			return ref, err
		}
		sum := sha256.Sum256(ref.Inline)
		ref.SHA256, ref.Length = hex.EncodeToString(sum[:]), int64(len(ref.Inline))
		return ref, nil
	}
	if err := digestAll(&ref, whole, info.Size()); err != nil {
		return ref, err
	}
	c.offer(ref.SHA256, func(context.Context) (io.ReadCloser, error) { return fsys.Open(name) })
	return ref, nil
}

// summedFrom is the least size of a file, in bytes, of which hosts are told the SHA-1
// and the CRC-32C as well: they need the one for their results and would each work it
// out, and by the other they see for less that they got what was digested here.
const summedFrom = 16 << 20

// digestAll fills in length and digests of what from yields. All hosts wait for it, so
// the digests of a large file are made side by side.
func digestAll(ref *modules.ContentRef, from io.Reader, size int64) error {
	one, two := sha1.New(), sha256.New() //nolint:gosec // the checksum that Ansible reports
	check := uint32(0)
	buffer := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(from, buffer)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return err
		}
		var both sync.WaitGroup
		if size >= summedFrom {
			both.Go(func() {
				one.Write(buffer[:n])
				check = crc32.Update(check, sys.Castagnoli, buffer[:n])
			})
		}
		two.Write(buffer[:n])
		both.Wait()
		ref.Length += int64(n)
		if ended {
			break
		}
	}
	if size >= summedFrom {
		ref.SHA1, ref.CRC32C = hex.EncodeToString(one.Sum(nil)), check
	}
	ref.SHA256 = hex.EncodeToString(two.Sum(nil))
	return nil
}

// decrypted makes what a vault holds travel. It stays in memory only.
func (c *contents) decrypted(ref modules.ContentRef, name string, from io.Reader) (modules.ContentRef, error) {
	raw, err := io.ReadAll(from)
	if err != nil {
		return ref, err
	}
	plain, _, err := c.vault.File(name, raw)
	if err != nil {
		return ref, err
	}
	c.vault.Learn(string(plain))
	made := c.text(string(plain), ref.Name)
	made.Mode, made.Secret = ref.Mode, true
	return made, nil
}

// tree makes a folder of the controller travel: its files are hashed side by side.
func (c *contents) tree(ctx context.Context, fsys fs.FS, root, origin string, decrypt bool) (modules.TreeRef, error) {
	ref := modules.TreeRef{Origin: origin}
	err := fs.WalkDir(fsys, root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		entry, err := treeEntry(fsys, root, name, d)
		ref.Entries = append(ref.Entries, entry)
		return err
	})
	if err != nil {
		return ref, fmt.Errorf("%s: %w", origin, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range ref.Entries {
		e := &ref.Entries[i]
		if e.Content == nil {
			continue
		}
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			content, err := c.file(fsys, path.Join(root, e.Path), decrypt)
			if content.Secret {
				e.Content, e.Info.Size = &content, content.Length
				return err
			}
			content.Inline = smallInline(content, len(ref.Entries))
			if content.Inline == nil {
				c.offer(content.SHA256, func(context.Context) (io.ReadCloser, error) { return fsys.Open(path.Join(root, e.Path)) })
			}
			e.Content = &content
			return err
		})
	}
	return ref, group.Wait()
}

// smallInline drops the inline content of a tree with many files: most of them
// are there already, and a frame has a limit.
func smallInline(ref modules.ContentRef, entries int) []byte {
	if entries > 64 {
		return nil
	}
	return ref.Inline
}

// treeOf makes a folder of another host travel. Its files are read from there
// when the target asks for them.
func (c *contents) treeOf(ctx context.Context, from agent.Runner, host, root string, check bool) (modules.TreeRef, error) {
	ref, err := from.Tree(ctx, root, check)
	if err != nil {
		return ref, fmt.Errorf("%s:%s: %w", host, root, err)
	}
	ref.Origin = host + ":" + root
	for _, e := range ref.Entries {
		if e.Content == nil || e.Content.Inline != nil {
			continue
		}
		c.offer(e.Content.SHA256, func(ctx context.Context) (io.ReadCloser, error) {
			return from.Open(ctx, path.Join(root, e.Path), check)
		})
	}
	return ref, nil
}

// treeEntry describes one file of a folder of the controller. Owners stay out:
// the files of a playbook belong to whoever wrote it.
func treeEntry(fsys fs.FS, root, name string, d fs.DirEntry) (modules.TreeEntry, error) {
	info, err := d.Info()
	if err != nil {
		return modules.TreeEntry{}, err
	}
	relative := "."
	if name != root {
		relative = strings.TrimPrefix(name, root+"/")
	}
	entry := modules.TreeEntry{Path: relative, Info: sys.FileInfo{
		Mode: uint32(info.Mode().Perm()), ModTime: info.ModTime(), Size: info.Size(), UID: -1, GID: -1,
	}}
	switch {
	case info.IsDir():
		entry.Info.Type = sys.Directory
	case info.Mode().IsRegular():
		entry.Info.Type, entry.Content = sys.Regular, &modules.ContentRef{}
	case info.Mode()&fs.ModeSymlink != 0:
		entry.Info.Type = sys.Symlink
		entry.Target, err = fs.ReadLink(fsys, name)
	default:
		err = fmt.Errorf("%s is neither a file, a folder nor a link", name)
	}
	return entry, err
}
