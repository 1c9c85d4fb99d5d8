package modules

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// archive is a tar or zip file, read as a stream: nothing of it is ever held.
type archive struct {
	content sys.Content
	handler string // Ansible's name of what unpacks it
	zip     *zip.Reader
	at      *lazyReaderAt // that zip reads

	mu    sync.Mutex
	keep  bool       // leave the stream open for the next member
	ahead *tarStream // when keep: where the last member ended
}

// archiveEntry is one member.
type archiveEntry struct {
	name, target string // target of a symlink, or the member that a hard link is of
	hard         bool
	info         sys.FileInfo
	owner, group string
	content      *archiveMember // of a regular file
}

// archiveMember is the content of one member; it can be opened at any time.
type archiveMember struct {
	of    *archive
	index int
	size  int64
	sum   string
}

func (m *archiveMember) Open(ctx context.Context) (io.ReadCloser, error) {
	return m.of.member(ctx, m.index)
}
func (m *archiveMember) Size() int64    { return m.size }
func (m *archiveMember) SHA256() string { return m.sum }

// compressions are told by their first bytes.
var compressions = []struct {
	magic, handler string
	open           func(r io.Reader) (io.Reader, error)
}{
	{"\x1f\x8b", "TgzArchive", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"BZh", "TarBzipArchive", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{"\xfd7zXZ\x00", "TarXzArchive", func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) }},
	{"\x28\xb5\x2f\xfd", "TarZstdArchive", func(r io.Reader) (io.Reader, error) {
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return zstdReader{d}, nil
	}},
}

// zstdReader lets go of its buffers at the end of the stream's use.
type zstdReader struct{ *zstd.Decoder }

func (z zstdReader) Close() error {
	z.Decoder.Close()
	return nil
}

// openArchive finds out what content is. Members are listed by list.
func openArchive(ctx context.Context, content sys.Content) (*archive, error) {
	a := &archive{content: content, handler: "TarArchive"}
	r, err := content.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read from
	start := make([]byte, 8)
	n, err := io.ReadFull(r, start)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	start = start[:n]
	if bytes.HasPrefix(start, []byte("PK\x03\x04")) || bytes.HasPrefix(start, []byte("PK\x05\x06")) {
		a.handler = "ZipArchive"
		a.at = &lazyReaderAt{content: content}
		return a, nil
	}
	for _, c := range compressions {
		if bytes.HasPrefix(start, []byte(c.magic)) {
			a.handler = c.handler
		}
	}
	return a, nil
}

// list reads the archive once and gives its members with their digests.
func (a *archive) list(ctx context.Context) ([]archiveEntry, error) {
	if a.at != nil {
		return a.listZip(ctx)
	}
	s, err := a.openTar(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var all []archiveEntry
	for {
		h, err := s.tar.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", len(all)+1, err)
		}
		e, err := tarEntry(h)
		if err == nil && e.info.Type == sys.Regular && !e.hard {
			e.content, err = a.digested(len(all), s.tar)
		}
		if err != nil {
			return nil, fmt.Errorf("member %s: %w", h.Name, err)
		}
		all = append(all, e)
	}
}

func (a *archive) digested(index int, r io.Reader) (*archiveMember, error) {
	sum := sha256.New()
	size, err := io.Copy(sum, r)
	return &archiveMember{of: a, index: index, size: size, sum: hexOf(sum)}, err
}

func hexOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

func tarEntry(h *tar.Header) (archiveEntry, error) {
	e := archiveEntry{name: h.Name, target: h.Linkname, owner: h.Uname, group: h.Gname, info: sys.FileInfo{
		Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid, Size: h.Size, ModTime: h.ModTime, Blocks: h.Size/512 + 1,
	}}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeRegA, tar.TypeCont, tar.TypeGNUSparse: //nolint:staticcheck // old archives have TypeRegA
		e.info.Type, e.target = sys.Regular, ""
		if _, sparse := h.PAXRecords["GNU.sparse.major"]; sparse || h.Typeflag == tar.TypeGNUSparse {
			e.info.Blocks = 0
		}
	case tar.TypeDir:
		e.info.Type, e.target = sys.Directory, ""
	case tar.TypeSymlink:
		e.info.Type = sys.Symlink
	case tar.TypeLink:
		e.info.Type, e.hard = sys.Regular, true
	case tar.TypeFifo:
		e.info.Type = sys.Fifo
	default:
		return e, fmt.Errorf("it has the type %q, which is not unpacked", string(h.Typeflag))
	}
	return e, nil
}

// tarStream is a pass over the archive.
type tarStream struct {
	tar  *tar.Reader
	next int // index of the member that Next gives
	from []io.Closer
}

func (s *tarStream) close() {
	for _, c := range s.from {
		_ = c.Close() // only read from
	}
}

func (a *archive) openTar(ctx context.Context) (*tarStream, error) {
	r, err := a.content.Open(ctx)
	if err != nil {
		return nil, err
	}
	s := &tarStream{from: []io.Closer{r}}
	var plain io.Reader = bufio.NewReaderSize(&untilCancelled{ctx, r}, 64<<10)
	for _, c := range compressions {
		if c.handler != a.handler {
			continue
		}
		if plain, err = c.open(plain); err != nil {
			s.close()
			return nil, err
		}
		if closer, ok := plain.(io.Closer); ok {
			s.from = append([]io.Closer{closer}, s.from...)
		}
	}
	s.tar = tar.NewReader(plain)
	return s, nil
}

// member opens the content of the member with this index. While hold is in force
// members that are opened in order share one pass.
func (a *archive) member(ctx context.Context, index int) (io.ReadCloser, error) {
	if a.at != nil {
		return a.zipMember(ctx, index)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.ahead
	a.ahead = nil
	if s != nil && s.next > index {
		s.close()
		s = nil
	}
	var err error
	if s == nil {
		if s, err = a.openTar(ctx); err != nil {
			return nil, err
		}
	}
	for s.next <= index {
		if _, err := s.tar.Next(); err != nil {
			s.close()
			return nil, fmt.Errorf("the archive has changed: %w", err)
		}
		s.next++
	}
	return &tarMember{Reader: s.tar, stream: s, of: a}, nil
}

type tarMember struct {
	io.Reader

	stream *tarStream
	of     *archive
}

// Close leaves the stream for the next member, or ends it.
func (m *tarMember) Close() error {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	if m.of.keep && m.of.ahead == nil {
		m.of.ahead = m.stream
		return nil
	}
	m.stream.close()
	return nil
}

// hold lets members share a pass until the returned function is called. The
// context of the first that is opened counts for all.
func (a *archive) hold() (release func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.keep = true
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.keep = false
		if a.ahead != nil {
			a.ahead.close()
			a.ahead = nil
		}
	}
}

func (a *archive) listZip(ctx context.Context) ([]archiveEntry, error) {
	if err := a.at.use(ctx); err != nil {
		return nil, err
	}
	defer a.at.done()
	var err error
	if a.zip, err = zip.NewReader(a.at, a.content.Size()); err != nil {
		return nil, err
	}
	all := make([]archiveEntry, len(a.zip.File))
	for i, f := range a.zip.File {
		if all[i], err = a.zipEntry(f, i); err != nil {
			return nil, fmt.Errorf("member %s: %w", f.Name, err)
		}
	}
	return all, nil
}

func (a *archive) zipEntry(f *zip.File, index int) (archiveEntry, error) {
	mode := f.Mode()
	e := archiveEntry{name: f.Name, info: sys.FileInfo{Mode: uint32(mode.Perm()), ModTime: f.Modified, Size: int64(f.UncompressedSize64), Blocks: int64(f.UncompressedSize64)/512 + 1}}
	if made := f.CreatorVersion >> 8; made != 3 && made != 19 { // neither Unix nor macOS: it has no permissions
		e.info.Mode = newFileMode
		if mode.IsDir() {
			e.info.Mode = newDirectoryMode
		}
	}
	switch {
	case f.Flags&1 != 0:
		return e, errors.New("it is encrypted, which is not supported")
	case mode.IsDir():
		e.info.Type = sys.Directory
		return e, nil
	case !mode.IsRegular() && mode&fs.ModeSymlink == 0:
		return e, fmt.Errorf("it is a %s, which is not unpacked", mode.Type())
	}
	r, err := f.Open()
	if err != nil {
		return e, err
	}
	defer r.Close() //nolint:errcheck // only read from
	if mode.IsRegular() {
		e.info.Type = sys.Regular
		e.content, err = a.digested(index, r)
		return e, err
	}
	e.info.Type = sys.Symlink
	const longest = 4096
	target, err := io.ReadAll(io.LimitReader(r, longest))
	e.target = string(target)
	return e, err
}

func (a *archive) zipMember(ctx context.Context, index int) (io.ReadCloser, error) {
	if err := a.at.use(ctx); err != nil {
		return nil, err
	}
	r, err := a.zip.File[index].Open()
	if err != nil {
		a.at.done()
		return nil, err
	}
	return &zipMember{r, a.at}, nil
}

type zipMember struct {
	io.ReadCloser

	at *lazyReaderAt
}

func (m *zipMember) Close() error {
	defer m.at.done()
	return m.ReadCloser.Close()
}

// lazyReaderAt reads a content at any place: through the file itself, or where
// there is only a stream by going on in it, from the start again to go back. Only
// between use and done is anything open.
type lazyReaderAt struct {
	content sys.Content

	mu    sync.Mutex
	ctx   context.Context //nolint:containedctx // of the first user
	users int
	r     io.ReadCloser
	pos   int64
}

func (l *lazyReaderAt) use(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 {
		l.ctx = ctx
	}
	l.users++
	return ctx.Err()
}

func (l *lazyReaderAt) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 {
		l.shut()
	}
}

func (l *lazyReaderAt) shut() {
	if l.r != nil {
		_ = l.r.Close() // only read from
		l.r, l.pos = nil, 0
	}
}

// ReadAt implements io.ReaderAt.
func (l *lazyReaderAt) ReadAt(p []byte, offset int64) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.r != nil && l.pos > offset {
		if _, direct := l.r.(io.ReaderAt); !direct {
			l.shut()
		}
	}
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	if l.r == nil {
		var err error
		if l.r, err = l.content.Open(l.ctx); err != nil {
			return 0, err
		}
	}
	if direct, ok := l.r.(io.ReaderAt); ok {
		return direct.ReadAt(p, offset)
	}
	skipped, err := io.CopyN(io.Discard, l.r, offset-l.pos)
	l.pos += skipped
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(l.r, p)
	l.pos += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}
