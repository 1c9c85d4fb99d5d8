package sys

import (
	"context"
	"crypto/sha1" //nolint:gosec // the checksum that Ansible reports
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"time"
)

// Digests are those of one content, in hex.
type Digests struct{ SHA1, SHA256 string }

// rememberedFrom is the least size of a file that is remembered when it is written, in
// bytes. Reading a smaller one costs no more than letting its time settle.
const rememberedFrom = 16 << 20

// tick is more than one step of a file system's clock: what is changed that long
// after another change has another time.
const tick = 20 * time.Millisecond

// Written gives the digests of a large file that was written in the memory of ctx and
// is as it was left, by all that stat tells: it need not be read again to see what
// it holds.
func Written(ctx context.Context, info FileInfo) (Digests, bool) {
	m, ok := ctx.Value(memoryKey{}).(*Memory)
	if !ok || info.Size < rememberedFrom {
		return Digests{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	sums, ok := m.values[writtenKey(info)].(Digests)
	return sums, ok
}

func writtenKey(info FileInfo) string {
	return fmt.Sprint("written", info.Dev, info.Inode, info.Size, info.ModTime.UnixNano(), info.ChangeTime.UnixNano())
}

// written is a file as it was when its last byte had been written.
type written struct {
	sums Digests
	info FileInfo
}

// remember keeps the digests under what the file, which has its name by now, is told
// by. A change that comes later must show in its times.
func (w written) remember(ctx context.Context, path string) {
	m, ok := ctx.Value(memoryKey{}).(*Memory)
	if !ok || w.sums == (Digests{}) {
		return
	}
	for range 2 {
		now, err := infoOf(os.Lstat(path))
		if err != nil || now.Inode != w.info.Inode || now.Dev != w.info.Dev || now.Size != w.info.Size || !now.ModTime.Equal(w.info.ModTime) {
			return // somebody has been at it already: whoever asks will read it
		}
		if time.Since(now.ChangeTime) > tick {
			m.keep(writtenKey(now), w.sums)
			return
		}
		time.Sleep(tick + time.Millisecond)
	}
}

// digester sums up content on its way into a file: to see that it is what it claims to
// be, and to remember what it was. What is known of it already is not worked out again.
type digester struct {
	remember     bool
	known        Digests   // that the content came with
	crc, wanted  uint32    // CRC-32C; wanted is 0 where SHA-256 is what tells
	sha256, sha1 hash.Hash // nil where they are not wanted
}

func newDigester(ctx context.Context, content Content, how copying) *digester {
	d := &digester{
		remember: how.durable && content.Size() >= rememberedFrom && Remembers(ctx),
		known:    Digests{SHA256: content.SHA256()},
	}
	if summed, ok := content.(Summed); ok && d.known.SHA256 != "" {
		d.known.SHA1, d.wanted = summed.Sums()
	}
	if d.wanted == 0 && (d.remember || d.known.SHA256 != "") {
		d.sha256 = sha256.New()
	}
	if d.remember && d.known.SHA1 == "" {
		d.sha1 = sha1.New() //nolint:gosec // as above
	}
	return d
}

func (d *digester) write(p []byte) {
	if d.wanted != 0 {
		d.crc = crc32.Update(d.crc, Castagnoli, p)
	}
	if d.sha256 != nil {
		d.sha256.Write(p)
	}
	if d.sha1 != nil {
		d.sha1.Write(p)
	}
}

// ofSHA256 is the digest, or nil.
func (d *digester) ofSHA256() []byte {
	if d.sha256 == nil {
		return nil
	}
	return d.sha256.Sum(nil)
}

// check holds the CRC against that of the content as it was hashed.
func (d *digester) check() error {
	if d.crc == d.wanted {
		return nil
	}
	return fmt.Errorf("the new content should have the CRC-32C %08x and has %08x: it changed on its way or at its source", d.wanted, d.crc)
}

func (d *digester) digests() Digests {
	if !d.remember {
		return Digests{}
	}
	sums := d.known
	if d.sha1 != nil {
		sums.SHA1 = hex.EncodeToString(d.sha1.Sum(nil))
	}
	if d.sha256 != nil {
		sums.SHA256 = hex.EncodeToString(d.ofSHA256())
	}
	return sums
}
