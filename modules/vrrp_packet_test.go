package modules

import (
	"testing"
)

// FuzzReadVRRP holds that no packet of a stranger ends the agent, and that what is
// read fits in the packet.
func FuzzReadVRRP(f *testing.F) {
	f.Add([]byte{0x21, 51, 100, 1, 1, 1, 0, 0, 10, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0x31, 7, 200, 255, 0, 100, 0xaa, 0xbb})
	f.Add(leavingVRRP(255))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packet []byte) {
		advert, err := readVRRP(packet)
		if err == nil && vrrpHeader+4*len(advert.Addresses) > len(packet) {
			t.Errorf("%d addresses in %d bytes", len(advert.Addresses), len(packet))
		}
	})
}

func TestLeavingVRRPHasTheRightChecksum(t *testing.T) {
	for id := range 256 {
		if sum := internetChecksum(leavingVRRP(id)); sum != 0 {
			t.Errorf("id %d: the checksum of the whole is %#x, want 0", id, sum)
		}
	}
}
