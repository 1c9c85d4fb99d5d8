package expression

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

// The tests of ansible.utils for addresses. What is no address fails them all.
var addressTests = map[string]Definition{
	"ip":               networkTest(func(address) bool { return true }),
	"ipv4":             networkTest(func(a address) bool { return a.ip.Is4() }),
	"ipv6":             networkTest(func(a address) bool { return a.ip.Is6() }),
	"ip_address":       addressTest(func(netip.Addr) bool { return true }),
	"ipv4_address":     addressTest(netip.Addr.Is4),
	"ipv6_address":     addressTest(netip.Addr.Is6),
	"ipv6_ipv4_mapped": addressTest(netip.Addr.Is4In6),
	"ipv6_sixtofour":   addressTest(within6("2002::/16")),
	"ipv6_teredo":      addressTest(within6("2001::/32")),
	"loopback":         addressTest(func(ip netip.Addr) bool { return ip.IsLoopback() && !ip.Is4In6() }),
	"multicast":        addressTest(func(ip netip.Addr) bool { return ip.IsMulticast() && !ip.Is4In6() }),
	"unspecified":      addressTest(netip.Addr.IsUnspecified),
	"private":          addressTest(isReservedForPrivate),
	"public":           addressTest(func(ip netip.Addr) bool { return !isReservedForPrivate(ip) && !shared.Contains(ip) }),
	"reserved":         addressTest(func(ip netip.Addr) bool { return anyContains(reservedNetworks, ip) }),
	"ipv4_netmask":     is(func(v any) bool { return isMask(v, 32, func(ones netip.Addr) netip.Addr { return ones }) }),
	"ipv4_hostmask":    is(func(v any) bool { return isMask(v, 31, inverted) }),
	"mac":              is(func(v any) bool { return hardwarePattern().MatchString(Text(v)) }),
	"in_network":       {Signature: "network", Function: subnetTest(false)},
	"subnet_of":        {Signature: "network_a", Function: subnetTest(false)},
	"supernet_of":      {Signature: "network_b", Function: subnetTest(true)},
	"in_any_network":   {Signature: "networks", Function: countNetworks(func(n int) bool { return n > 0 })},
	"in_one_network":   {Signature: "networks", Function: countNetworks(func(n int) bool { return n == 1 })},
}

var hardwarePattern = lazy.Regexp(`(?i)^(?:(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12})$`)

func networkTest(holds func(a address) bool) Definition {
	return is(func(v any) bool {
		a, ok := parseNetwork(v)
		return ok && holds(a)
	})
}

func addressTest(holds func(ip netip.Addr) bool) Definition {
	return is(func(v any) bool {
		a, ok := parseAddress(v)
		return ok && a.bare && holds(a.ip)
	})
}

func within6(network string) func(netip.Addr) bool {
	return netip.MustParsePrefix(network).Contains
}

func networks(list string) []netip.Prefix {
	var all []netip.Prefix
	for one := range strings.FieldsSeq(list) {
		all = append(all, netip.MustParsePrefix(one))
	}
	return all
}

// What IANA's registries keep from the public, as Python's ipaddress knows them.
var (
	shared          = netip.MustParsePrefix("100.64.0.0/10")
	privateNetworks = networks("0.0.0.0/8 10.0.0.0/8 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/29 192.0.0.170/31 " +
		"192.0.2.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 " +
		"::1/128 ::/128 100::/64 2001::/23 2001:db8::/32 2002::/16 fc00::/7 fe80::/10")
	reservedNetworks = networks("240.0.0.0/4 ::/8 100::/8 200::/7 400::/6 800::/5 1000::/4 4000::/3 6000::/3 8000::/3 a000::/3 " +
		"c000::/3 e000::/4 f000::/5 f800::/6 fe00::/9")
)

func anyContains(prefixes []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool {
		// An address of IPv4 within one of IPv6 counts as the latter.
		return p.Addr().BitLen() == ip.BitLen() && p.Masked().Addr().As16() == netip.PrefixFrom(ip, p.Bits()).Masked().Addr().As16()
	})
}

// isReservedForPrivate takes an address of IPv4 in IPv6 for what it stands for.
func isReservedForPrivate(ip netip.Addr) bool { return anyContains(privateNetworks, ip.Unmap()) }

func inverted(ip netip.Addr) netip.Addr {
	four := ip.As4()
	for i := range four {
		four[i] = ^four[i]
	}
	return netip.AddrFrom4(four)
}

// isMask reports whether text is a mask of some length from 1 on.
func isMask(v any, longest int, of func(ones netip.Addr) netip.Addr) bool {
	text, isText := v.(string)
	for bits := 1; isText && bits <= longest; bits++ {
		if of(netmask(netip.IPv4Unspecified(), bits)).String() == text {
			return true
		}
	}
	return false
}

func isSubnet(small, large any) bool {
	a, ok := parseNetwork(small)
	b, okToo := parseNetwork(large)
	return ok && okToo && Truthy(inNetwork(a, b))
}

func subnetTest(reversed bool) Function {
	return func(c *Call) (any, error) {
		if reversed {
			return isSubnet(c.Args[0], c.Input), nil
		}
		return isSubnet(c.Input, c.Args[0]), nil
	}
}

func countNetworks(enough func(n int) bool) Function {
	return func(c *Call) (any, error) {
		list, err := c.frame.iterate(c.Args[0])
		if err != nil {
			return nil, err
		}
		n := 0
		for _, network := range list {
			if isSubnet(c.Input, network) {
				n++
			}
		}
		return enough(n), nil
	}
}
