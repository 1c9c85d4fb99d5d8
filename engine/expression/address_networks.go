package expression

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
)

// Further filters of ansible.utils: on networks and on hardware addresses.
var networkFilters = map[string]Definition{
	"usable_range":        {Function: usableRangeFilter},
	"next_nth_usable":     {Signature: "offset", Function: nthUsableFilter(1)},
	"previous_nth_usable": {Signature: "offset", Function: nthUsableFilter(-1)},
	"cidr_merge":          {Signature: "action='merge'", Function: cidrMergeFilter},
	"ip4_hex":             {Signature: "delimiter=''", Function: hexFilter},
	"slaac":               {Signature: "query=''", Function: slaacFilter},
	"hwaddr":              {Signature: "query='', alias='hwaddr'", Function: hardwareFilter},
	"macaddr":             {Signature: "query=''", Function: hardwareFilter},
}

// usableRangeFilter counts as Ansible does: every address of the network.
func usableRangeFilter(c *Call) (any, error) {
	a, ok := parseNetwork(c.Input)
	if !ok {
		return nil, errNoAddress
	}
	size := a.size()
	if size.Cmp(big.NewInt(mostMade)) > 0 {
		return nil, errLarge
	}
	ips := make([]any, 0, size.Int64())
	for ip := a.network(); a.prefix.Contains(ip); ip = ip.Next() {
		ips = append(ips, ip.String())
	}
	result := NewDict(2)
	result.Set("usable_ips", ips)
	result.Set("number_of_ips", bigValue(size))
	return result, nil
}

// parseNetwork reads an address whose host part is zero.
func parseNetwork(v any) (address, bool) {
	a, ok := parseAddress(v)
	return a, ok && a.network() == a.ip
}

func nthUsableFilter(direction int64) Function {
	return func(c *Call) (any, error) {
		a, ok := parseAddress(c.Input)
		if !ok {
			return false, nil
		}
		offset, isInt := c.Args[0].(int)
		if !isInt {
			return nil, errors.New("the offset is a whole number, found " + nameWithArticle(c.Args[0]))
		}
		if a.single() {
			return nil, nil
		}
		return usableNeighbour(a, direction*int64(offset)), nil
	}
}

func cidrMergeFilter(c *Call) (any, error) {
	items, err := c.items()
	if err != nil {
		return nil, err
	}
	prefixes := make([]netip.Prefix, len(items))
	for i, item := range items {
		a, ok := parseAddress(item)
		if !ok {
			return nil, fmt.Errorf("item %d is no address", i)
		}
		prefixes[i] = a.prefix
	}
	switch c.Args[0] {
	case "merge":
		return mergePrefixes(prefixes), nil
	case "span":
		return spanningPrefix(prefixes)
	}
	return nil, fmt.Errorf("action is merge or span, found %s", show(c.Args[0]))
}

// mergePrefixes gives the fewest networks that hold just these addresses. One
// that stays by itself stays as it was written.
func mergePrefixes(prefixes []netip.Prefix) []any {
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int { return a.Masked().Compare(b.Masked()) })
	var merged []netip.Prefix
	for _, p := range prefixes {
		merged = append(merged, p)
		for len(merged) > 1 {
			last, before := merged[len(merged)-1], merged[len(merged)-2]
			joined, ok := joinPrefixes(before, last)
			if !ok {
				break
			}
			merged = append(merged[:len(merged)-2], joined)
		}
	}
	texts := []any{}
	for _, p := range merged {
		texts = append(texts, p.String())
	}
	return texts
}

// joinPrefixes makes one network of two, where the first holds the second or both
// are halves of one.
func joinPrefixes(a, b netip.Prefix) (netip.Prefix, bool) {
	if a.Contains(b.Addr()) && a.Bits() <= b.Bits() {
		return a.Masked(), true
	}
	a, b = a.Masked(), b.Masked()
	if a.Bits() != b.Bits() || a.Bits() == 0 || a.Addr().BitLen() != b.Addr().BitLen() {
		return netip.Prefix{}, false
	}
	whole := netip.PrefixFrom(a.Addr(), a.Bits()-1).Masked()
	return whole, whole.Addr() == a.Addr() && whole.Contains(b.Addr())
}

// spanningPrefix is the smallest network around all.
func spanningPrefix(prefixes []netip.Prefix) (any, error) {
	if len(prefixes) == 0 {
		return nil, nil
	}
	if len(prefixes) == 1 {
		return prefixes[0].String(), nil
	}
	span := prefixes[0].Masked()
	for _, p := range prefixes[1:] {
		if p.Addr().BitLen() != span.Addr().BitLen() {
			return nil, errors.New("addresses of IPv4 and IPv6 have no network in common")
		}
		for !span.Contains(p.Addr()) || p.Bits() < span.Bits() {
			span = netip.PrefixFrom(span.Addr(), span.Bits()-1).Masked()
		}
	}
	return span.String(), nil
}

func hexFilter(c *Call) (any, error) {
	ip, err := netip.ParseAddr(Text(c.Input))
	if err != nil || !ip.Is4() {
		return nil, errors.New("the value is no address of IPv4")
	}
	parts := make([]string, 0, 4)
	for _, b := range ip.As4() {
		parts = append(parts, fmt.Sprintf("%02x", b))
	}
	return strings.Join(parts, Text(c.Args[0])), nil
}

// slaacFilter is the address that a machine gives itself in a network of IPv6.
func slaacFilter(c *Call) (any, error) {
	a, ok := parseAddress(c.Input)
	mac, macOK := parseHardware(c.Args[0])
	if !ok || !macOK || !a.ip.Is6() {
		return false, nil
	}
	bytes := a.network().As16()
	copy(bytes[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(bytes).String(), nil
}

type hardware [6]byte

// parseHardware reads the usual ways of writing a MAC address.
func parseHardware(v any) (hardware, bool) {
	text, ok := v.(string)
	if !ok {
		return hardware{}, false
	}
	var groups []string
	for _, separator := range []string{":", "-", "."} {
		if groups = strings.Split(text, separator); len(groups) > 1 {
			break
		}
	}
	width, known := map[int]int{1: 12, 2: 6, 3: 4, 6: 2}[len(groups)]
	if !known || len(groups) == 1 && len(text) != width {
		return hardware{}, false
	}
	var all strings.Builder
	for _, group := range groups {
		if group == "" || len(group) > width {
			return hardware{}, false
		}
		all.WriteString(strings.Repeat("0", width-len(group)) + group)
	}
	var mac hardware
	n, err := hex.Decode(mac[:], []byte(all.String()))
	return mac, err == nil && n == len(mac)
}

// hardwareForms are the ways of writing a MAC address.
var hardwareForms = map[string]func(m hardware) any{
	"bare":  func(m hardware) any { return fmt.Sprintf("%X", m[:]) },
	"bool":  func(hardware) any { return true },
	"int":   func(m hardware) any { return int(new(big.Int).SetBytes(m[:]).Int64()) },
	"cisco": func(m hardware) any { return fmt.Sprintf("%x.%x.%x", m[:2], m[2:4], m[4:]) },
	"linux": func(m hardware) any { return fmt.Sprintf("% x", m[:]) },
	"pgsql": func(m hardware) any { return fmt.Sprintf("%x:%x", m[:3], m[3:]) },
	"win":   func(m hardware) any { return fmt.Sprintf("% X", m[:]) },
	"unix": func(m hardware) any {
		return fmt.Sprintf("%x:%x:%x:%x:%x:%x", m[0], m[1], m[2], m[3], m[4], m[5])
	},
}

var hardwareAliases = map[string]string{"postgresql": "pgsql", "psql": "pgsql", "eui48": "win"}

// hardwareFilter tells what is a MAC address, or writes it in another form.
func hardwareFilter(c *Call) (any, error) {
	query := Text(c.Args[0])
	if alias, ok := hardwareAliases[query]; ok {
		query = alias
	}
	form, known := hardwareForms[query]
	if query != "" && !known {
		return nil, fmt.Errorf("the query %s is not known", show(c.Args[0]))
	}
	mac, ok := parseHardware(c.Input)
	switch {
	case !ok && (query == "" || query == "bool"):
		return nil, nil
	case !ok:
		return nil, errors.New("the value is no hardware address")
	case query == "":
		return c.Input, nil
	}
	text, isText := form(mac).(string)
	switch {
	case !isText:
		return form(mac), nil
	case query == "linux":
		return strings.ReplaceAll(text, " ", ":"), nil
	}
	return strings.ReplaceAll(text, " ", "-"), nil
}
