package sys

import (
	"context"
	"crypto/sha1" //nolint:gosec // the checksum that Ansible reports
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
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

// digester hashes content on its way into a file.
type digester struct {
	remember     bool
	sha256, sha1 hash.Hash // sha1 is nil where it is known or not wanted
	known        string    // SHA-1
}

func newDigester(ctx context.Context, content Content, how copying) *digester {
	d := &digester{sha256: sha256.New(), remember: how.durable && content.Size() >= rememberedFrom && Remembers(ctx)}
	if summed, ok := content.(Summed); ok && content.SHA256() != "" {
		d.known = summed.SHA1()
	}
	if d.remember && d.known == "" {
		d.sha1 = sha1.New() //nolint:gosec // as above
	}
	return d
}

func (d *digester) write(p []byte) {
	d.sha256.Write(p)
	if d.sha1 != nil {
		d.sha1.Write(p)
	}
}

func (d *digester) digests() Digests {
	if !d.remember {
		return Digests{}
	}
	if d.sha1 != nil {
		d.known = hex.EncodeToString(d.sha1.Sum(nil))
	}
	return Digests{SHA1: d.known, SHA256: hex.EncodeToString(d.sha256.Sum(nil))}
}
