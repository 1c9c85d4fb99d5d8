package probe

import (
	"context"
	"net"
	"slices"
)

// Names asks name servers (HOST:PORT) for the IPv4 address of a name, all at once,
// and takes the first answer: a client has them all and asks the next when one is
// gone. The right answer is address.
func Names(name, address string, servers []string) Asker {
	return func(ctx context.Context) Outcome {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		outcomes := make(chan Outcome, len(servers))
		for _, server := range servers {
			go func() { outcomes <- resolve(ctx, name, address, server) }()
		}
		best := Lost
		for range servers {
			switch outcome := <-outcomes; {
			case outcome == Answered:
				best = Answered
				cancel() // the others end at once
			case outcome == Wrong && best == Lost:
				best = Wrong
			}
		}
		return best
	}
}

func resolve(ctx context.Context, name, address, server string) Outcome {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server)
	}}
	addresses, err := resolver.LookupIP(ctx, "ip4", name+".")
	switch {
	case err != nil:
		return Lost
	case slices.ContainsFunc(addresses, func(ip net.IP) bool { return ip.String() == address }):
		return Answered
	}
	return Wrong
}
