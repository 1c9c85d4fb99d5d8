package modules

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// VRRPListenArgs are the arguments of vrrp_listen.
type VRRPListenArgs struct {
	Interface string  `arg:"interface,required" doc:"The network interface."`
	Seconds   float64 `arg:"seconds" default:"3" doc:"How long to listen. A router speaks once a second, if it is set up as usual."`
	Greet     int     `arg:"greet" default:"0" doc:"A router id, 1 to 255. If nobody was heard with it, say for as long again that this host leaves it (priority 0), so that others who listen know that multicast reaches them. 0 says nothing."`
}

// Validate refuses what cannot be listened for.
func (a *VRRPListenArgs) Validate() error {
	if a.Seconds <= 0 || a.Seconds > 60 {
		return errors.New("vrrp_listen: seconds: wants more than 0, and 60 at most")
	}
	if a.Greet < 0 || a.Greet > 255 {
		return errors.New("vrrp_listen: greet: wants a router id, 1 to 255, or 0 for none")
	}
	return nil
}

func vrrpListenSpec() Spec {
	return Spec{
		Name:    "vrrp_listen",
		Summary: "Hear which VRRP routers speak on a segment",
		Notes: []string{
			"It hears what is sent to 224.0.0.18; routers that speak by unicast are not heard. It changes nothing on the host, and needs root.",
			"Two hosts that greet at the same time hear each other where multicast is let through. Routers do not mind the greeting: none has the id.",
		},
		Place: OnHost,
		New:   func() Module { return &VRRPListenArgs{} },
		Returns: []Return{
			{Name: "routers", Type: "list", Doc: "Who was heard: a mapping of source, router_id, priority, version and addresses for each, by source and router id. Priority 0 is a greeting, or a router that leaves."},
		},
		Examples: []Example{{"Is the id free, and does multicast come through?", `
vrrp_listen:
  interface: eth0
  greet: 51
register: vrrp`}},
	}
}

// vrrpKey tells routers apart.
type vrrpKey struct {
	source string
	id     int
}

// Plan listens. There are never any steps.
func (a *VRRPListenArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	conn, err := host.Network().Multicast(ctx, vrrpProtocol, vrrpGroup, a.Interface)
	if err != nil {
		return Plan{}, err
	}
	defer conn.Close() //nolint:errcheck // what was heard is known
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	heard := map[vrrpKey]vrrpAdvert{}
	if err := hearVRRP(ctx, conn, seconds(a.Seconds), heard); err != nil {
		return Plan{}, fmt.Errorf("listening on %s: %w", a.Interface, err)
	}
	if a.Greet != 0 && !spoken(heard, a.Greet) {
		if err := a.greet(ctx, conn, heard); err != nil {
			return Plan{}, fmt.Errorf("greeting on %s: %w", a.Interface, err)
		}
	}
	return Plan{Result: vrrpResult(heard)}, nil
}

// spoken tells whether somebody has the router id. A greeting is nobody.
func spoken(heard map[vrrpKey]vrrpAdvert, id int) bool {
	for key, advert := range heard {
		if key.id == id && advert.Priority > 0 {
			return true
		}
	}
	return false
}

// greet says often, since the others may begin to listen later.
func (a *VRRPListenArgs) greet(ctx context.Context, conn net.PacketConn, heard map[vrrpKey]vrrpAdvert) error {
	const rounds = 10
	for range rounds {
		if _, err := conn.WriteTo(leavingVRRP(a.Greet), &net.IPAddr{IP: vrrpGroup}); err != nil {
			return err
		}
		if err := hearVRRP(ctx, conn, seconds(a.Seconds)/rounds, heard); err != nil {
			return err
		}
	}
	return nil
}

// hearVRRP keeps what comes within d. What is no advertisement is passed by.
func hearVRRP(ctx context.Context, conn net.PacketConn, d time.Duration, heard map[vrrpKey]vrrpAdvert) error {
	if err := conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	packet := make([]byte, 2048)
	for {
		if ctx.Err() != nil { // its deadline may have come before ours was set
			return ctx.Err()
		}
		n, from, err := conn.ReadFrom(packet)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		advert, err := readVRRP(packet[:n])
		if err != nil {
			continue
		}
		key := vrrpKey{from.String(), advert.RouterID}
		if advert.Priority >= heard[key].Priority { // a router that spoke and left was there
			heard[key] = advert
		}
	}
}

func vrrpResult(heard map[vrrpKey]vrrpAdvert) Result {
	keys := make([]vrrpKey, 0, len(heard))
	for key := range heard {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b vrrpKey) int {
		if a.source != b.source {
			return slices.Compare([]byte(a.source), []byte(b.source))
		}
		return a.id - b.id
	})
	routers := []any{}
	for _, key := range keys {
		advert := heard[key]
		routers = append(routers, map[string]any{
			"source": key.source, "router_id": key.id, "priority": advert.Priority, "version": advert.Version, "addresses": advert.Addresses,
		})
	}
	return Result{"routers": routers}
}
