package binaries

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// What is sent to a host, and what lies in its cache, must not creep up. The aim
// is 2.5 MiB sent and 8 MiB on the disk.
func TestSize(t *testing.T) {
	const sent, onDisk = 3 << 20, 11 << 20
	found := Embedded().Architectures()
	if len(found) == 0 {
		t.Skip("left out: no agents are built in; run make agents")
	}
	for _, architecture := range found {
		program, err := Embedded().Program(architecture)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := program.Plain()
		if err != nil {
			t.Fatal(err)
		}
		if program.XZ == nil {
			t.Log("left out: the size of what xz packs; there is no xz where the agents were built")
		}
		if len(program.XZ) > sent || len(plain) > onDisk {
			t.Errorf("%s: %d bytes sent, %d on the disk", architecture, len(program.XZ), len(plain))
		}
		digest, err := Embedded().Digest(architecture)
		if sum := sha256.Sum256(plain); err != nil || digest != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: the digest beside the program is not its own: %v", architecture, err)
		}
	}
}
