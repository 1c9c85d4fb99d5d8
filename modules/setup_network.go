package modules

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// Facts about the network.

func networkFacts(ctx context.Context, g *gathering) error {
	var names, all4, all6 []string
	s, facts := g.system, g.facts
	defaults := map[string]any{}
	addresses := []any{}
	for _, i := range s.Interfaces {
		addresses = append(addresses, addressFacts(i)...)
		names = append(names, i.Name)
		fact, v4, v6 := interfaceFact(i)
		if i.Name != "lo" {
			all4, all6 = append(all4, v4...), append(all6, v6...)
		}
		if err := g.linkFact(ctx, i.Name, fact); err != nil {
			return err
		}
		facts[strings.NewReplacer("-", "_", ".", "_", ":", "_").Replace(i.Name)] = fact
		if i.Name == s.DefaultInterface {
			defaults = defaultFact(i, s.DefaultIPv4)
			defaults["type"] = fact["type"]
		}
	}
	if err := g.gateways(ctx, defaults); err != nil {
		return err
	}
	slices.Sort(names)
	facts["interfaces"], facts["default_ipv4"] = orEmpty(names), defaults
	facts["all_ipv4_addresses"], facts["all_ipv6_addresses"] = orEmpty(all4), orEmpty(all6)
	facts["addresses"] = addresses
	return nil
}

// addressFacts lists an interface's addresses one by one, so that a playbook can
// find the interface that has an address. Ansible has no such fact.
func addressFacts(i sys.Interface) []any {
	var facts []any
	for _, cidr := range i.Addresses {
		if ip, network, err := net.ParseCIDR(cidr); err == nil {
			facts = append(facts, map[string]any{"interface": i.Name, "address": ip.String(), "network": network.String()})
		}
	}
	return facts
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func interfaceFact(i sys.Interface) (fact map[string]any, v4, v6 []string) {
	kind := "ether"
	if i.Name == "lo" {
		kind = "loopback"
	}
	fact = map[string]any{"device": i.Name, "active": i.Up, "mtu": i.MTU, "type": kind}
	if i.MAC != "" {
		fact["macaddress"] = i.MAC
	}
	var second, six []any
	for _, cidr := range i.Addresses {
		ip, network, err := net.ParseCIDR(cidr)
		if err != nil {
			continue
		}
		ones, _ := network.Mask.Size()
		if ip.To4() == nil {
			six = append(six, map[string]any{"address": ip.String(), "prefix": strconv.Itoa(ones), "scope": scope(ip)})
			v6 = append(v6, ip.String())
			continue
		}
		address := ipv4Fact(ip, network)
		if len(v4) == 0 {
			fact["ipv4"] = address
		} else {
			second = append(second, address)
		}
		v4 = append(v4, ip.String())
	}
	if second != nil {
		fact["ipv4_secondaries"] = second
	}
	if six != nil {
		fact["ipv6"] = six
	}
	return fact, v4, v6
}

func ipv4Fact(ip net.IP, network *net.IPNet) map[string]any {
	ones, _ := network.Mask.Size()
	broadcast := slices.Clone(network.IP.To4())
	for i := range broadcast {
		broadcast[i] |= ^network.Mask[len(network.Mask)-4+i]
	}
	text := broadcast.String()
	if ones == 32 || ip.IsLoopback() {
		text = "" // there is none
	}
	return map[string]any{
		"address": ip.String(), "netmask": net.IP(network.Mask).String(), "network": network.IP.String(),
		"prefix": strconv.Itoa(ones), "broadcast": text,
	}
}

func scope(ip net.IP) string {
	switch {
	case ip.IsLoopback():
		return "host"
	case ip.IsLinkLocalUnicast():
		return "link"
	default:
		return "global"
	}
}

func defaultFact(i sys.Interface, address string) map[string]any {
	fact := map[string]any{"address": address, "interface": i.Name, "macaddress": i.MAC, "mtu": i.MTU, "type": "ether", "alias": i.Name}
	for _, cidr := range i.Addresses {
		if ip, network, err := net.ParseCIDR(cidr); err == nil && ip.String() == address && ip.To4() != nil {
			maps.Copy(fact, ipv4Fact(ip, network))
		}
	}
	return fact
}

// linkFact adds what the kernel knows of the link itself.
func (g *gathering) linkFact(ctx context.Context, name string, fact map[string]any) error {
	folder := "/sys/class/net/" + name
	bridge, err := g.exists(ctx, folder+"/bridge")
	if err != nil {
		return err
	}
	bond, err := g.line(ctx, folder+"/bonding/slaves")
	if err != nil {
		return err
	}
	flags, err := g.line(ctx, folder+"/flags")
	if err != nil {
		return err
	}
	speed, err := g.line(ctx, folder+"/speed")
	if err != nil {
		return err
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(flags, "0x"), 16, 32); err == nil {
		fact["promisc"] = n&0x100 != 0 // IFF_PROMISC
	}
	if n, err := strconv.Atoi(speed); err == nil {
		fact["speed"] = n
	}
	switch {
	case bridge:
		fact["type"] = "bridge"
		ports, err := g.host.Files().ReadDir(ctx, folder+"/brif")
		if _, err := thereNow(err); err != nil {
			return err
		}
		fact["interfaces"] = orEmpty(ports)
	case bond != "":
		fact["type"], fact["slaves"] = "bonding", strings.Fields(bond)
	}
	return nil
}

// gateways adds the router of default_ipv4, and default_ipv6.
func (g *gathering) gateways(ctx context.Context, four map[string]any) error {
	text, _, err := g.text(ctx, "/proc/net/route")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || f[0] != four["interface"] || f[1] != "00000000" || f[7] != "00000000" {
			continue
		}
		if word, err := strconv.ParseUint(f[2], 16, 32); err == nil {
			address := make(net.IP, 4)
			binary.NativeEndian.PutUint32(address, uint32(word)) // as the kernel prints it
			four["gateway"] = address.String()
			break
		}
	}
	text, _, err = g.text(ctx, "/proc/net/ipv6_route")
	g.facts["default_ipv6"] = defaultIPv6(text, g.system.Interfaces)
	return err
}

// defaultIPv6 is the default route of IPv6 with the smallest metric, and the first
// address of its interface that the world can reach.
func defaultIPv6(routes string, interfaces []sys.Interface) map[string]any {
	fact, smallest := map[string]any{}, ""
	for line := range strings.Lines(routes) {
		f := strings.Fields(line)
		if len(f) < 10 || strings.Trim(f[0], "0") != "" || f[1] != "00" || f[9] == "lo" || smallest != "" && f[5] >= smallest {
			continue
		}
		at := slices.IndexFunc(interfaces, func(i sys.Interface) bool { return i.Name == f[9] })
		gateway, err := hex.DecodeString(f[4])
		if at < 0 || err != nil {
			continue
		}
		i := interfaces[at]
		for _, cidr := range i.Addresses {
			ip, network, err := net.ParseCIDR(cidr)
			if err != nil || ip.To4() != nil || scope(ip) != "global" {
				continue
			}
			ones, _ := network.Mask.Size()
			smallest = f[5]
			fact = map[string]any{
				"address": ip.String(), "prefix": strconv.Itoa(ones), "scope": "global", "interface": i.Name,
				"gateway": net.IP(gateway).String(), "macaddress": i.MAC, "mtu": i.MTU, "type": "ether",
			}
			break
		}
	}
	return fact
}
