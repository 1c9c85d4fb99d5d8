package modules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// GlusterPeerArgs are the arguments of gluster_peer.
type GlusterPeerArgs struct {
	Hosts []string `arg:"hosts,required" alias:"nodes" doc:"The hosts that the pool should have, by names that every one of them resolves. This host itself may be among them."`
	State string   `arg:"state" default:"present" choices:"present" doc:"present: they are peers."`
}

func glusterPeerSpec() Spec {
	return Spec{
		Name:    "gluster_peer",
		Aliases: []string{"gluster.gluster.gluster_peer"},
		Summary: "Bring hosts into the trusted pool of GlusterFS",
		Place:   OnHost,
		New:     func() Module { return &GlusterPeerArgs{} },
		Notes: []string{
			"Run it on one member of the pool. A peer that is known by another name or address of the same host counts.",
			"A peer that is rejected by the pool is an error; one that is only not connected is not: it may be down.",
		},
		Returns: []Return{{Name: "peers", Type: "list", Doc: "The peers: hostname, connected, state."}},
		Examples: []Example{{"A pool of two", `
gluster_peer:
  hosts: [compute01, compute02]`}},
	}
}

// Validate wants names that cannot be taken for options.
func (a *GlusterPeerArgs) Validate() error {
	for _, name := range a.Hosts {
		if name == "" || strings.HasPrefix(name, "-") || strings.ContainsAny(name, " /\t\n") {
			return fmt.Errorf("gluster_peer: hosts: %q is no host name", name)
		}
	}
	return nil
}

// glusterPool is what the pool looks like from this host. It is never changed
// once made.
type glusterPool struct{ peers []glusterPeer }

const glusterPoolKey = "gluster peers"

func lookGlusterPool(ctx context.Context, host sys.Reader) (glusterPool, error) {
	return sys.Look(ctx, host, glusterPoolKey, func(ctx context.Context) (glusterPool, error) {
		out, err := askGluster(ctx, host, "peer", "status")
		if errors.Is(err, errNoGluster) {
			return glusterPool{}, freshGluster(ctx, host)
		}
		if err != nil {
			return glusterPool{}, fmt.Errorf("asking gluster for its peers: %w", err)
		}
		return glusterPool{peers: out.Peers}, nil
	})
}

// Plan probes the hosts that are not in the pool.
func (a *GlusterPeerArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	pool, err := lookGlusterPool(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	system, err := host.System(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("asking what the host is: %w", err)
	}
	plan := Plan{Result: Result{"peers": pool.result()}}
	for _, name := range a.Hosts {
		if isSelf(ctx, host, system, name) {
			continue
		}
		peer, known := pool.find(name, func(one, other string) bool { return sameHost(ctx, host, one, other) })
		switch {
		case !known:
			plan.Steps = append(plan.Steps, probeStep(name))
		case strings.Contains(peer.StateText, "Rejected"):
			return Plan{}, fmt.Errorf("the peer %s is rejected by the pool (%s); its volumes differ from the others', see /var/log/glusterfs/glusterd.log there", name, peer.StateText)
		}
	}
	return plan, nil
}

func (p glusterPool) result() []any {
	list := make([]any, 0, len(p.peers))
	for _, peer := range p.peers {
		list = append(list, map[string]any{"hostname": peer.Hostname, "connected": peer.Connected == 1, "state": peer.StateText})
	}
	return list
}

// find looks for name among all names of the peers.
func (p glusterPool) find(name string, same func(one, other string) bool) (glusterPeer, bool) {
	for _, peer := range p.peers {
		if slices.Contains(append(peer.Hostnames, peer.Hostname), name) {
			return peer, true
		}
	}
	for _, peer := range p.peers {
		if same(name, peer.Hostname) {
			return peer, true
		}
	}
	return glusterPeer{}, false
}

const peerInCluster = "Peer in Cluster"

func probeStep(name string) Step {
	return act{
		changes: []change.Change{{Target: "gluster peer " + name, Action: change.Create, Field: "state", After: change.Text(peerInCluster)}},
		do: func(ctx context.Context, host sys.Host, _ Result) error {
			pool, err := lookGlusterPool(ctx, host)
			if err != nil {
				return err
			}
			joined := glusterPeer{Hostname: name, Hostnames: []string{name}, Connected: 1, State: 3, StateText: peerInCluster}
			after := glusterPool{peers: append(slices.Clone(pool.peers), joined)}
			return host.Change().Resources().Make(ctx, glusterPoolKey, after, func(ctx context.Context) error {
				return probePeer(ctx, host, name)
			})
		},
	}
}

// probePeer probes and waits until the handshake is over: a volume cannot be made
// with a peer before that.
func probePeer(ctx context.Context, host sys.Host, name string) error {
	if err := runGluster(ctx, host, "peer", "probe", name); err != nil {
		return fmt.Errorf("probing %s: %w; does glusterd run there, does its name resolve, is port 24007 open?", name, err)
	}
	for range 30 {
		out, err := askGluster(ctx, host, "peer", "status")
		if err != nil {
			return err
		}
		for _, peer := range out.Peers {
			if slices.Contains(append(peer.Hostnames, peer.Hostname), name) && peer.State == 3 && peer.Connected == 1 {
				return nil
			}
		}
		if err := host.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s was probed, but is not a connected peer after 30 seconds; see: gluster peer status", name)
}
