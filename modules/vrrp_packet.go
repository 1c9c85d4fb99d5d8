package modules

import (
	"encoding/binary"
	"fmt"
	"net"
)

// vrrpProtocol is VRRP's number among the IP protocols, vrrpGroup where routers
// send their advertisements.
const vrrpProtocol = 112

var vrrpGroup = net.IPv4(224, 0, 0, 18)

// vrrpAdvert is an advertisement of VRRP 2 or 3: a router says that it has the
// addresses, or with priority 0 that it leaves them.
type vrrpAdvert struct {
	Version, RouterID, Priority int
	Addresses                   []string
}

const vrrpHeader = 8

// readVRRP reads the packet behind the IP header.
func readVRRP(packet []byte) (vrrpAdvert, error) {
	if len(packet) < vrrpHeader {
		return vrrpAdvert{}, fmt.Errorf("a VRRP packet of %d bytes is too short", len(packet))
	}
	version, kind, count := int(packet[0]>>4), packet[0]&0xf, int(packet[3])
	if kind != 1 || version != 2 && version != 3 {
		return vrrpAdvert{}, fmt.Errorf("a VRRP packet of version %d and type %d is no advertisement", version, kind)
	}
	if len(packet) < vrrpHeader+4*count {
		return vrrpAdvert{}, fmt.Errorf("a VRRP packet of %d bytes has no room for its %d addresses", len(packet), count)
	}
	advert := vrrpAdvert{Version: version, RouterID: int(packet[1]), Priority: int(packet[2]), Addresses: []string{}}
	for i := range count {
		at := vrrpHeader + 4*i
		advert.Addresses = append(advert.Addresses, net.IP(packet[at:at+4]).String())
	}
	return advert, nil
}

// leavingVRRP is the packet of VRRP 2 by which a router says that it leaves.
func leavingVRRP(routerID int) []byte {
	packet := []byte{2<<4 | 1, byte(routerID), 0, 0, 0, 1, 0, 0}
	binary.BigEndian.PutUint16(packet[6:], internetChecksum(packet))
	return packet
}

// internetChecksum is that of RFC 1071.
func internetChecksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 == 1 {
		sum += uint32(data[len(data)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
