package engine

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

func TestDigestAll(t *testing.T) {
	for _, size := range []int{inlineLimit + 1, 1 << 20, summedFrom, summedFrom + 5} {
		content := bytes.Repeat([]byte("0123456789a"), size/11+1)[:size]
		one, two := sha1.Sum(content), sha256.Sum256(content)
		want := modules.ContentRef{SHA256: hex.EncodeToString(two[:]), Length: int64(size)}
		if size >= summedFrom {
			want.SHA1, want.CRC32C = hex.EncodeToString(one[:]), crc32.Checksum(content, sys.Castagnoli)
		}
		var got modules.ContentRef
		if err := digestAll(&got, bytes.NewReader(content), int64(size)); err != nil {
			t.Fatal(err)
		}
		if got.SHA256 != want.SHA256 || got.SHA1 != want.SHA1 || got.CRC32C != want.CRC32C || got.Length != want.Length {
			t.Errorf("%d bytes: got %+v, want %+v", size, got, want)
		}
	}
}
