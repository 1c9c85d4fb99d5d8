package modules_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// segment is a multicast socket that hears what is put into it.
type segment struct {
	net.PacketConn
	heard chan []byte
	said  [][]byte
}

func newSegment(packets ...[]byte) *segment {
	s := &segment{heard: make(chan []byte, len(packets))}
	for _, packet := range packets {
		s.heard <- packet
	}
	return s
}

func (s *segment) ReadFrom(into []byte) (int, net.Addr, error) {
	select {
	case packet := <-s.heard:
		return copy(into, packet), &net.IPAddr{IP: net.IPv4(10, 0, 0, 9)}, nil
	default:
		return 0, nil, os.ErrDeadlineExceeded
	}
}

func (s *segment) WriteTo(packet []byte, to net.Addr) (int, error) {
	if to.String() != "224.0.0.18" {
		return 0, errors.New("sent to " + to.String())
	}
	s.said = append(s.said, append([]byte(nil), packet...))
	return len(packet), nil
}

func (s *segment) SetReadDeadline(time.Time) error { return nil }
func (s *segment) SetDeadline(time.Time) error     { return nil }
func (s *segment) Close() error                    { return nil }

// Advertisements as tcpdump shows those of keepalived, and what else comes.
var (
	masterOf51 = []byte{0x21, 51, 100, 1, 1, 1, 0x0e, 0x1b, 10, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0}
	version3   = []byte{0x31, 7, 200, 2, 0, 100, 0xaa, 0xbb, 10, 0, 0, 7, 10, 0, 0, 8}
	leaving51  = []byte{0x21, 51, 0, 0, 0, 1, 0xde, 0xcb}
)

// listenOn runs the module where these packets come, and gives what it has said.
func listenOn(t *testing.T, packets [][]byte, args map[string]any) (modules.Outcome, [][]byte) {
	t.Helper()
	host := systest.NewHostInMemory(t)
	var last *segment
	host.State.Multicasts["112 224.0.0.18 eth1"] = func() net.PacketConn {
		last = newSegment(packets...)
		return last
	}
	args["interface"] = "eth1"
	out := predicted(t, host, "vrrp_listen", args)
	return out, last.said
}

func router(id, priority, version int, addresses ...string) map[string]any {
	if addresses == nil {
		addresses = []string{}
	}
	return map[string]any{"source": "10.0.0.9", "router_id": id, "priority": priority, "version": version, "addresses": addresses}
}

func TestVRRPListen(t *testing.T) {
	for name, test := range map[string]struct {
		heard [][]byte
		want  []any
		greet bool // whether it greets with id 51
	}{
		"nobody":                       {nil, []any{}, true},
		"a router with the id":         {[][]byte{masterOf51}, []any{router(51, 100, 2, "10.0.0.100")}, false},
		"one that leaves":              {[][]byte{leaving51}, []any{router(51, 0, 2)}, true},
		"one that was there and left":  {[][]byte{masterOf51, leaving51}, []any{router(51, 100, 2, "10.0.0.100")}, false},
		"others":                       {[][]byte{version3}, []any{router(7, 200, 3, "10.0.0.7", "10.0.0.8")}, true},
		"what is no advertisement":     {[][]byte{{0x21}, {0x22, 51, 1, 0, 0, 0, 0, 0}, {0x41, 51, 1, 0, 0, 0, 0, 0}, masterOf51[:9]}, []any{}, true},
		"sorted by source, then by id": {[][]byte{masterOf51, version3}, []any{router(7, 200, 3, "10.0.0.7", "10.0.0.8"), router(51, 100, 2, "10.0.0.100")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			out, said := listenOn(t, test.heard, map[string]any{"greet": 51})
			if out.Status != modules.OK {
				t.Fatalf("%s: %s", out.Status, out.Message)
			}
			if diff := cmp.Diff(test.want, out.Result["routers"]); diff != "" {
				t.Errorf("- want, + told:\n%s", diff)
			}
			if greeted := len(said) > 0; greeted != test.greet {
				t.Errorf("greeted: %t, want %t", greeted, test.greet)
			}
			for _, packet := range said {
				if diff := cmp.Diff(leaving51, packet); diff != "" {
					t.Errorf("said (- want, + said):\n%s", diff)
				}
			}
		})
	}
	t.Run("no greeting is asked for", func(t *testing.T) {
		if _, said := listenOn(t, nil, map[string]any{}); len(said) > 0 {
			t.Errorf("said %v", said)
		}
	})
}

// TestVRRPListenOnARealSegment has two ends of a cable in a name space of its own.
func TestVRRPListenOnARealSegment(t *testing.T) {
	if !privately(t) {
		return
	}
	script := `ip link add left type veth peer name right
ip address add 10.0.0.1/24 dev left; ip address add 10.0.0.2/24 dev right
ip link set left up; ip link set right up
for f in all left right; do echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; echo 1 >/proc/sys/net/ipv4/conf/$f/accept_local; done`
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", script).CombinedOutput(); err != nil {
		t.Skipf("no cable can be made here: %v %s", err, out)
	}
	outcomes := map[string]chan modules.Outcome{"10.0.0.2": listenFor(t, "left"), "10.0.0.1": listenFor(t, "right")}
	for source, ended := range outcomes {
		out := <-ended
		want := []any{map[string]any{"source": source, "router_id": 51, "priority": 0, "version": 2, "addresses": []string{}}}
		if diff := cmp.Diff(want, out.Result["routers"]); diff != "" {
			t.Errorf("%s: %s (- want, + told):\n%s", out.Status, out.Message, diff)
		}
	}
}

// listenFor listens on a real interface, in the background.
func listenFor(t *testing.T, name string) chan modules.Outcome {
	t.Helper()
	m := decoded(t, "vrrp_listen", map[string]any{"interface": name, "greet": 51, "seconds": 2})
	ended := make(chan modules.Outcome, 1)
	go func() { ended <- modules.Run(t.Context(), m, sys.NewShadow(sys.NewReal()), modules.Emit{}) }()
	return ended
}

// patient hears nothing until its deadline is set into the past.
type patient struct {
	*segment
	listening, over chan struct{}
}

func (p patient) ReadFrom([]byte) (int, net.Addr, error) {
	close(p.listening)
	<-p.over
	return 0, nil, os.ErrDeadlineExceeded
}

func (p patient) SetDeadline(time.Time) error {
	close(p.over)
	return nil
}

func TestVRRPListenIsCancelled(t *testing.T) {
	p := patient{newSegment(), make(chan struct{}), make(chan struct{})}
	host := systest.NewHostInMemory(t)
	host.State.Multicasts["112 224.0.0.18 eth1"] = func() net.PacketConn { return p }
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-p.listening
		cancel()
	}()
	out := modules.Run(ctx, decoded(t, "vrrp_listen", map[string]any{"interface": "eth1", "greet": 51}), host, modules.Emit{})
	if out.Status != modules.Failed || len(p.said) > 0 {
		t.Errorf("%s: %s, said %v", out.Status, out.Message, p.said)
	}
}
