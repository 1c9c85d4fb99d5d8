package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// What a host keeps of content it was sent, for as long as the connection lives.
// Content beyond these sizes is handed through without being kept.
const (
	memoryEach  = 1 << 20
	memoryTotal = 32 << 20
	spoolEach   = 256 << 20
	spoolTotal  = 1 << 30
)

// fetch asks the other end for contents, which come one behind the other; the stream
// is not checked yet.
type fetch func(ctx context.Context, digests ...string) (io.ReadCloser, error)

// store keeps content by digest: small content in memory, larger content in one
// file that has no name. One store serves all tasks of a connection.
type store struct {
	dirs []string // folders for the file, the first that works is taken

	mu     sync.Mutex // held while content is fetched, so that it is fetched once
	held   map[string]section
	memory int64
	spool  *os.File
	size   int64 // bytes of spool in use
}

// section is where content lies: in bytes, or in the spool at offset.
type section struct {
	bytes          []byte
	offset, length int64
}

func newStore() *store {
	// /var/tmp first: /tmp is often held in memory.
	return &store{dirs: []string{"/var/tmp", os.TempDir()}, held: map[string]section{}}
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
	if s.spool == nil {
		return nil
	}
	return s.spool.Close()
}

// open returns checked content, or for very large content a stream that checks
// itself at its end.
func (s *store) open(ctx context.Context, ref modules.ContentRef, get fetch) (io.ReadCloser, error) {
	if ref.Inline != nil || ref.Length == 0 {
		if err := check(ref, int64(len(ref.Inline)), sha256.Sum256(ref.Inline)); err != nil {
			return nil, err
		}
		return io.NopCloser(bytes.NewReader(ref.Inline)), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		return nil, os.ErrClosed
	}
	held, ok := s.held[ref.SHA256]
	if ok && held.length != ref.Length {
		return nil, fmt.Errorf("content %s has %d bytes, not the announced %d", ref.SHA256, held.length, ref.Length)
	}
	if ok {
		return s.read(held), nil
	}
	stream, err := get(ctx, ref.SHA256)
	if err != nil {
		return nil, err
	}
	stream = &checked{ReadCloser: stream, ref: ref, digest: sha256.New()}
	if ref.Length > spoolEach || s.size+ref.Length > spoolTotal {
		return stream, nil
	}
	held, err = s.keep(ref, stream)
	if err = errors.Join(err, stream.Close()); err != nil {
		return nil, fmt.Errorf("fetching content: %w", err)
	}
	s.held[ref.SHA256] = held
	return s.read(held), nil
}

// bring fetches small contents that are not here yet in one exchange.
func (s *store) bring(ctx context.Context, refs []modules.ContentRef, get fetch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	lacking := s.lacking(refs)
	if len(lacking) == 0 || s.held == nil {
		return nil
	}
	var digests []string
	for _, ref := range lacking {
		digests = append(digests, ref.SHA256)
	}
	stream, err := get(ctx, digests...)
	if err != nil {
		return err
	}
	for _, ref := range lacking {
		held, err := s.keep(ref, &checked{ReadCloser: io.NopCloser(io.LimitReader(stream, ref.Length)), ref: ref, digest: sha256.New()})
		if err != nil {
			return errors.Join(fmt.Errorf("fetching content: %w", err), stream.Close())
		}
		s.held[ref.SHA256] = held
	}
	return stream.Close()
}

// lacking are the small contents among refs, each once, that are to be fetched and
// for which there is room.
func (s *store) lacking(refs []modules.ContentRef) (lacking []modules.ContentRef) {
	seen, size := map[string]bool{}, s.size
	for _, ref := range refs {
		if _, held := s.held[ref.SHA256]; held || seen[ref.SHA256] || ref.Inline != nil || ref.Length == 0 || ref.Length > memoryEach {
			continue
		}
		seen[ref.SHA256] = true
		if size += ref.Length; size > spoolTotal {
			break
		}
		lacking = append(lacking, ref)
	}
	return lacking
}

func (s *store) keep(ref modules.ContentRef, stream io.Reader) (section, error) {
	if ref.Length <= memoryEach && s.memory+ref.Length <= memoryTotal {
		content, err := io.ReadAll(stream)
		if err == nil {
			s.memory += int64(len(content))
		}
		return section{bytes: content, length: int64(len(content))}, err
	}
	if err := s.openSpool(); err != nil {
		return section{}, err
	}
	n, err := io.Copy(io.NewOffsetWriter(s.spool, s.size), stream)
	if err != nil {
		return section{}, err // the room is used by the next content
	}
	held := section{offset: s.size, length: n}
	s.size += n
	return held, nil
}

// openSpool makes the file and takes its name away at once: it is gone with the
// process, however that ends.
func (s *store) openSpool() error {
	if s.spool != nil {
		return nil
	}
	var failed []error
	for _, dir := range s.dirs {
		f, err := os.CreateTemp(dir, ".rbdplay-*")
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if err := os.Remove(f.Name()); err != nil {
			return errors.Join(err, f.Close())
		}
		s.spool = f
		return nil
	}
	return fmt.Errorf("no folder for content on its way: %w", errors.Join(failed...))
}

func (s *store) read(held section) io.ReadCloser {
	if held.bytes != nil {
		return io.NopCloser(bytes.NewReader(held.bytes))
	}
	return io.NopCloser(io.NewSectionReader(s.spool, held.offset, held.length))
}

// checked ends in an error instead of io.EOF when the content is not what ref
// says.
type checked struct {
	io.ReadCloser
	ref    modules.ContentRef
	digest hash.Hash
	length int64
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.digest.Write(p[:n])
	c.length += int64(n)
	if c.length > c.ref.Length {
		return 0, fmt.Errorf("content %s is longer than the announced %d bytes", c.ref.SHA256, c.ref.Length)
	}
	if errors.Is(err, io.EOF) {
		if wrong := check(c.ref, c.length, [sha256.Size]byte(c.digest.Sum(nil))); wrong != nil {
			return 0, wrong
		}
	}
	return n, err
}

// Unchecked implements sys.SelfChecking.
func (c *checked) Unchecked() io.Reader { return c.ReadCloser }

func check(ref modules.ContentRef, length int64, digest [sha256.Size]byte) error {
	if got := hex.EncodeToString(digest[:]); length != ref.Length || got != ref.SHA256 {
		return fmt.Errorf("content has %d bytes with sha256 %s where %d bytes with %s were announced: it changed on its way or at its source",
			length, got, ref.Length, ref.SHA256)
	}
	return nil
}

// taskContents is the modules.Contents of one task.
type taskContents struct {
	store *store
	get   fetch
}

func (t taskContents) Content(ref modules.ContentRef) sys.Content { return taskContent{t, ref} }

// Bring implements modules.Bringer.
func (t taskContents) Bring(ctx context.Context, refs []modules.ContentRef) error {
	return t.store.bring(ctx, refs, t.get)
}

type taskContent struct {
	taskContents
	ref modules.ContentRef
}

func (c taskContent) Size() int64    { return c.ref.Length }
func (c taskContent) SHA256() string { return c.ref.SHA256 }

// Sums implements sys.Summed.
func (c taskContent) Sums() (sha1 string, crc32c uint32) { return c.ref.SHA1, c.ref.CRC32C }

func (c taskContent) Open(ctx context.Context) (io.ReadCloser, error) {
	return c.store.open(ctx, c.ref, c.get)
}
