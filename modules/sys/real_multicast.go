package sys

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Multicast opens a raw socket; see NetworkReader. The kernel takes the IP header
// off what is read and puts one before what is written.
func (*realNetwork) Multicast(ctx context.Context, protocol int, group net.IP, name string) (net.PacketConn, error) {
	at, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	listen := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var refused error
		err := raw.Control(func(fd uintptr) { refused = joinGroup(int(fd), group, at) })
		return errors.Join(err, refused)
	}}
	conn, err := listen.ListenPacket(ctx, "ip4:"+strconv.Itoa(protocol), "0.0.0.0")
	if err != nil {
		return nil, fmt.Errorf("listening for IP protocol %d on %s: %w", protocol, name, err)
	}
	return conn, nil
}

// joinGroup binds the socket to the interface, for what comes and what goes.
func joinGroup(fd int, group net.IP, at *net.Interface) error {
	request := unix.IPMreqn{Ifindex: int32(at.Index)}
	copy(request.Multiaddr[:], group.To4())
	for _, set := range []func() error{
		func() error { return unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, at.Name) },
		func() error { return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &request) },
		func() error { return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &request) },
		func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, 255) },
		func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0) },
	} {
		if err := set(); err != nil {
			return err
		}
	}
	return nil
}
