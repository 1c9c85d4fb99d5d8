package expression

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The filters of ansible.utils for addresses. What is no address gives false, as
// there, so that they can sort a list out.
var addressFilters = map[string]Definition{
	"ipaddr":             {Signature: "query='', version=none, alias=none", Function: addressFilter(0)},
	"ipv4":               {Signature: "query='', version=none, alias=none", Function: addressFilter(4)},
	"ipv6":               {Signature: "query='', version=none, alias=none", Function: addressFilter(6)},
	"ipwrap":             {Function: wrapFilter},
	"ipmath":             {Signature: "amount", Function: ipmathFilter},
	"ipsubnet":           {Signature: "query='', index=none", Function: subnetFilter},
	"nthhost":            {Signature: "query", Function: nthhostFilter},
	"network_in_network": {Signature: "test", Function: networkFilter(false)},
	"network_in_usable":  {Signature: "test", Function: networkFilter(true)},
	"reduce_on_network":  {Signature: "network", Function: reduceFilter},
}

// address is an address with the network it was written with. bare says that no
// prefix was written.
type address struct {
	ip     netip.Addr
	prefix netip.Prefix
	bare   bool
}

// parseAddress reads 192.0.2.1, 192.0.2.1/24 and 192.0.2.1/255.255.255.0.
func parseAddress(v any) (address, bool) {
	text, isText := v.(string)
	if !isText {
		return integerAddress(v)
	}
	text = strings.TrimSpace(text)
	head, tail, slash := strings.Cut(text, "/")
	ip, err := netip.ParseAddr(head)
	if err != nil || ip.Zone() != "" {
		return address{}, false
	}
	bits := ip.BitLen()
	if slash {
		var ok bool
		if bits, ok = prefixLength(tail, ip); !ok {
			return address{}, false
		}
	}
	return address{ip: ip, prefix: netip.PrefixFrom(ip, bits), bare: !slash}, true
}

func integerAddress(v any) (address, bool) {
	i, ok := v.(int)
	if !ok || i < 0 || i > 1<<32-1 {
		return address{}, false
	}
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], uint32(i))
	ip := netip.AddrFrom4(four)
	return address{ip: ip, prefix: netip.PrefixFrom(ip, 32), bare: true}, true
}

func prefixLength(text string, ip netip.Addr) (int, bool) {
	if bits, err := strconv.Atoi(text); err == nil {
		return bits, bits >= 0 && bits <= ip.BitLen()
	}
	mask, err := netip.ParseAddr(text)
	if err != nil || mask.BitLen() != ip.BitLen() {
		return 0, false
	}
	for bits := range ip.BitLen() + 1 {
		if netmask(ip, bits) == mask {
			return bits, true
		}
	}
	return 0, false
}

func netmask(ip netip.Addr, bits int) netip.Addr {
	ones := ip.AsSlice()
	for i := range ones {
		ones[i] = 0xff
	}
	all, _ := netip.AddrFromSlice(ones) // as long as an address
	prefix, err := all.Prefix(bits)
	if err != nil {
		return netip.Addr{}
	}
	return prefix.Addr()
}

func (a address) network() netip.Addr { return a.prefix.Masked().Addr() }

func (a address) size() *big.Int {
	return new(big.Int).Lsh(big.NewInt(1), uint(a.ip.BitLen()-a.prefix.Bits()))
}

func (a address) single() bool { return a.prefix.IsSingleIP() }

func number128(ip netip.Addr) *big.Int { return new(big.Int).SetBytes(ip.AsSlice()) }

// at is the address so far from the start of the network, or from its end when
// negative.
func (a address) at(offset *big.Int) (netip.Addr, bool) {
	if offset.Sign() < 0 {
		offset = new(big.Int).Add(offset, a.size())
	}
	if offset.Sign() < 0 || offset.Cmp(a.size()) >= 0 {
		return netip.Addr{}, false
	}
	return plus(a.network(), offset)
}

func plus(ip netip.Addr, offset *big.Int) (netip.Addr, bool) {
	sum := new(big.Int).Add(number128(ip), offset)
	if sum.Sign() < 0 || sum.BitLen() > ip.BitLen() {
		return netip.Addr{}, false
	}
	result, ok := netip.AddrFromSlice(sum.FillBytes(make([]byte, ip.BitLen()/8)))
	return result, ok
}

func (a address) last() netip.Addr {
	last, _ := a.at(big.NewInt(-1)) // a network has at least one address
	return last
}

// usable are the first and last addresses that hosts may have. Like Ansible's
// they leave out the last address of IPv6 networks, too.
func (a address) usable() (first, last netip.Addr) {
	if a.ip.BitLen()-a.prefix.Bits() < 2 {
		return a.network(), a.last()
	}
	return a.network().Next(), a.last().Prev()
}

func withPrefix(ip netip.Addr, bits int) string { return netip.PrefixFrom(ip, bits).String() }

// whenNetwork gives nothing for a lone address.
func whenNetwork(get func(a address) any) func(a address) any {
	return func(a address) any {
		if a.single() {
			return nil
		}
		return get(a)
	}
}

// onlyIf gives the value back where a question is answered with yes.
func onlyIf(holds func(a address) bool) func(a address) any {
	return func(a address) any {
		if holds(a) {
			return a.written()
		}
		return false
	}
}

func (a address) written() any {
	if a.bare {
		return a.ip.String()
	}
	return a.prefix.String()
}

func isPublic(a address) bool {
	return a.ip.IsGlobalUnicast() && !a.ip.IsPrivate() && !a.ip.IsLoopback() && !a.ip.IsLinkLocalUnicast()
}

var addressQueries = map[string]func(a address) any{
	"":     func(a address) any { return a.written() },
	"bool": func(address) any { return true },
	"address": func(a address) any {
		if !a.single() && a.ip == a.network() {
			return nil
		}
		return a.ip.String()
	},
	"network":     whenNetwork(func(a address) any { return a.network().String() }),
	"prefix":      func(a address) any { return a.prefix.Bits() },
	"netmask":     whenNetwork(func(a address) any { return netmask(a.ip, a.prefix.Bits()).String() }),
	"hostmask":    hostmask,
	"broadcast":   whenNetwork(func(a address) any { return a.last().String() }),
	"size":        func(a address) any { return bigValue(a.size()) },
	"size_usable": sizeUsable,
	"subnet":      func(a address) any { return a.prefix.Masked().String() },
	"cidr":        func(a address) any { return a.prefix.String() },
	"net": whenNetwork(func(a address) any {
		if a.ip != a.network() {
			return nil
		}
		return a.prefix.String()
	}),
	"host": func(a address) any {
		if !a.single() && a.ip == a.network() {
			return nil
		}
		return a.prefix.String()
	},
	"host/prefix": func(a address) any {
		if a.ip == a.network() {
			return nil
		}
		return a.prefix.String()
	},
	"network/prefix": whenNetwork(func(a address) any { return a.prefix.Masked().String() }),
	"ip/prefix":      whenNetwork(func(a address) any { return a.prefix.String() }),
	"ip_netmask":     whenNetwork(func(a address) any { return a.ip.String() + " " + netmask(a.ip, a.prefix.Bits()).String() }),
	"network_netmask": whenNetwork(func(a address) any {
		return a.network().String() + " " + netmask(a.ip, a.prefix.Bits()).String()
	}),
	"first_usable": whenNetwork(func(a address) any { first, _ := a.usable(); return first.String() }),
	"last_usable":  whenNetwork(func(a address) any { _, last := a.usable(); return last.String() }),
	"range_usable": whenNetwork(func(a address) any {
		first, last := a.usable()
		return first.String() + "-" + last.String()
	}),
	"next_usable":     whenNetwork(func(a address) any { return usableNeighbour(a, 1) }),
	"previous_usable": whenNetwork(func(a address) any { return usableNeighbour(a, -1) }),
	"version": func(a address) any {
		if a.ip.Is4() {
			return 4
		}
		return 6
	},
	"type": func(a address) any {
		if a.single() || a.ip != a.network() {
			return "address"
		}
		return "network"
	},
	"int": func(a address) any {
		value := bigValue(number128(a.ip))
		if a.bare {
			return value
		}
		return fmt.Sprintf("%s/%d", Text(value), a.prefix.Bits())
	},
	"revdns":     func(a address) any { return reverseName(a.ip) },
	"wrap":       func(a address) any { return wrapAddress(a) },
	"public":     onlyIf(isPublic),
	"private":    onlyIf(func(a address) bool { return a.ip.IsPrivate() }),
	"loopback":   onlyIf(func(a address) bool { return a.ip.IsLoopback() }),
	"multicast":  onlyIf(func(a address) bool { return a.ip.IsMulticast() }),
	"unicast":    onlyIf(func(a address) bool { return !a.ip.IsMulticast() }),
	"link-local": onlyIf(func(a address) bool { return a.ip.IsLinkLocalUnicast() }),
	"ipv4":       onlyIf(func(a address) bool { return a.ip.Is4() }),
	"ipv6":       onlyIf(func(a address) bool { return a.ip.Is6() }),
}

// Other names of the same queries.
var addressAliases = map[string]string{
	"ip": "address", "hostnet": "host/prefix", "gateway": "host/prefix", "gw": "host/prefix", "router": "host/prefix", "address/prefix": "host/prefix",
	"wildcard": "hostmask", "network_id": "network", "lo": "loopback", "v4": "ipv4", "v6": "ipv6",
}

func hostmask(a address) any {
	if a.single() {
		return nil
	}
	mask := netmask(a.ip, a.prefix.Bits()).AsSlice()
	for i := range mask {
		mask[i] = ^mask[i]
	}
	inverted, _ := netip.AddrFromSlice(mask) // as long as an address
	return inverted.String()
}

// bigValue is a number as int, or as text where it does not fit.
func bigValue(i *big.Int) any {
	if i.IsInt64() {
		return int(i.Int64())
	}
	return i.String()
}

func sizeUsable(a address) any {
	first, last := a.usable()
	count := new(big.Int).Sub(number128(last), number128(first))
	return bigValue(count.Add(count, big.NewInt(1)))
}

func usableNeighbour(a address, step int64) any {
	first, last := a.usable()
	next, ok := plus(a.ip, big.NewInt(step))
	if !ok || next.Less(first) || last.Less(next) {
		return nil
	}
	return next.String()
}

func reverseName(ip netip.Addr) string {
	var labels []string
	bytes := ip.AsSlice()
	for _, b := range slices.Backward(bytes) {
		if ip.Is4() {
			labels = append(labels, strconv.Itoa(int(b)))
		} else {
			labels = append(labels, fmt.Sprintf("%x.%x", b&0xf, b>>4))
		}
	}
	if ip.Is4() {
		return strings.Join(labels, ".") + ".in-addr.arpa."
	}
	return strings.Join(labels, ".") + ".ip6.arpa."
}

func wrapAddress(a address) string {
	switch {
	case a.ip.Is4():
		return Text(a.written())
	case a.bare:
		return "[" + a.ip.String() + "]"
	}
	return fmt.Sprintf("[%s]/%d", a.ip, a.prefix.Bits())
}

// addressFilter is ipaddr and its two halves; version 0 takes both.
func addressFilter(version int) Function {
	return func(c *Call) (any, error) {
		wanted := version
		if c.Args[1] != nil && Truthy(c.Args[1]) {
			given, err := intArgument(c, 1)
			if err != nil {
				return nil, err
			}
			wanted = given
		}
		list, ok := c.Input.([]any)
		if !ok {
			return queryAddress(c.Input, c.Args[0], wanted)
		}
		kept := []any{}
		for _, item := range list {
			value, err := queryAddress(item, c.Args[0], wanted)
			if err != nil {
				return nil, err
			}
			if Truthy(value) {
				kept = append(kept, value)
			}
		}
		return kept, nil
	}
}

func queryAddress(v, query any, version int) (any, error) {
	name := strings.ToLower(Text(query))
	if alias, ok := addressAliases[name]; ok {
		name = alias
	}
	a, ok := parseAddress(v)
	ask, known := addressQueries[name]
	within, isNetwork := parseAddress(name)
	index, isIndex := new(big.Int).SetString(name, 10)
	if !known && !isNetwork && !isIndex {
		return nil, fmt.Errorf("%s is no query for an address", show(query))
	}
	if !ok || version != 0 && (version == 4) != a.ip.Is4() {
		return false, nil
	}
	switch {
	case known:
		return ask(a), nil
	case isIndex:
		if ip, there := a.at(index); there {
			return withPrefix(ip, a.prefix.Bits()), nil
		}
		return nil, nil
	}
	return inNetwork(a, within), nil
}

// inNetwork gives the address back when it lies in a network.
func inNetwork(a, network address) any {
	if contained := network.prefix.Bits() <= a.prefix.Bits() && network.prefix.Masked().Contains(a.ip); contained {
		return a.written()
	}
	return false
}

func wrapFilter(c *Call) (any, error) {
	list, ok := c.Input.([]any)
	if !ok {
		return wrapped(c.Input), nil
	}
	result := make([]any, len(list))
	for i, item := range list {
		result[i] = wrapped(item)
	}
	return result, nil
}

// wrapped leaves names and other text alone.
func wrapped(v any) any {
	if a, ok := parseAddress(v); ok {
		return wrapAddress(a)
	}
	return v
}

var errNoAddress = errors.New("the value is no address")

func ipmathFilter(c *Call) (any, error) {
	a, ok := parseAddress(c.Input)
	if !ok {
		return nil, errNoAddress
	}
	amount, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	result, ok := plus(a.ip, big.NewInt(int64(amount)))
	if !ok {
		return nil, errors.New("there is no such address")
	}
	return result.String(), nil
}

func nthhostFilter(c *Call) (any, error) {
	a, ok := parseAddress(c.Input)
	if !ok {
		return false, nil
	}
	index, err := intArgument(c, 0)
	if err != nil {
		return nil, err
	}
	if ip, there := a.at(big.NewInt(int64(index))); there {
		return ip.String(), nil
	}
	return false, nil
}

// subnetFilter gives a value's network, the number of smaller networks in it, or
// one of them.
func subnetFilter(c *Call) (any, error) {
	a, ok := parseAddress(c.Input)
	if !ok {
		return false, nil
	}
	if Text(c.Args[0]) == "" {
		return a.prefix.Masked().String(), nil
	}
	bits, err := strconv.Atoi(Text(c.Args[0]))
	if err != nil || bits < 0 || bits > a.ip.BitLen() {
		return nil, fmt.Errorf("%s is no prefix length", show(c.Args[0]))
	}
	if a.single() {
		return withPrefix(netip.PrefixFrom(a.ip, bits).Masked().Addr(), bits), nil
	}
	if bits < a.prefix.Bits() {
		return false, nil
	}
	count := new(big.Int).Lsh(big.NewInt(1), uint(bits-a.prefix.Bits()))
	if c.Args[1] == nil {
		return Text(bigValue(count)), nil
	}
	index, err := strconv.Atoi(Text(c.Args[1]))
	if err != nil {
		return nil, fmt.Errorf("%s is no index", show(c.Args[1]))
	}
	place := big.NewInt(int64(index))
	if index < 0 {
		place.Add(place, count)
	}
	if place.Sign() < 0 || place.Cmp(count) >= 0 {
		return false, nil
	}
	ip, ok := plus(a.network(), place.Lsh(place, uint(a.ip.BitLen()-bits)))
	if !ok {
		return false, nil
	}
	return withPrefix(ip, bits), nil
}

func networkFilter(usable bool) Function {
	return func(c *Call) (any, error) {
		network, ok := parseAddress(c.Input)
		test, testOK := parseAddress(c.Args[0])
		if !ok || !testOK {
			return false, nil
		}
		if !usable {
			return Truthy(inNetwork(test, network)), nil
		}
		first, last := network.usable()
		return !test.ip.Less(first) && !last.Less(test.ip), nil
	}
}

func reduceFilter(c *Call) (any, error) {
	network, ok := parseAddress(c.Args[0])
	if !ok {
		return nil, errNoAddress
	}
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	kept := []any{}
	for _, item := range items {
		if a, ok := parseAddress(item); ok && Truthy(inNetwork(a, network)) {
			kept = append(kept, item)
		}
	}
	return kept, nil
}
