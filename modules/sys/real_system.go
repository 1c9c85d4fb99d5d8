package sys

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// realSystem reads what describes the machine. It runs no program and sends no packet.
type realSystem struct{}

func newRealSystem() *realSystem { return &realSystem{} }

// System gathers the description. FQDN is what /etc/hosts says of the host name,
// and the host name itself where that says nothing: DNS is not asked.
func (*realSystem) System(ctx context.Context) (System, error) {
	if err := ctx.Err(); err != nil {
		return System{}, err
	}
	s := System{CPUs: runtime.NumCPU(), UID: os.Geteuid()}
	for _, gather := range []func(*System) error{gatherKernel, gatherMachineID, gatherOSRelease, gatherInterfaces, gatherDefaultRoute, gatherMemory, gatherFQDN} {
		if err := gather(&s); err != nil {
			return System{}, err
		}
	}
	return s, nil
}

func gatherKernel(s *System) error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	s.Hostname = unix.ByteSliceToString(name.Nodename[:])
	s.Kernel = unix.ByteSliceToString(name.Release[:])
	s.Architecture = unix.ByteSliceToString(name.Machine[:])
	return nil
}

func gatherMachineID(s *System) error {
	text, err := os.ReadFile("/etc/machine-id")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a system that was never booted by systemd
	}
	s.MachineID = strings.TrimSpace(string(text))
	return err
}

func gatherOSRelease(s *System) error {
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		s.OS = parseOSRelease(string(text))
		return err
	}
	return nil
}

// parseOSRelease reads the format of os-release(5). Lines that are not of it are
// passed over, as that page asks for.
func parseOSRelease(text string) OSRelease {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			values[key] = unquote(value)
		}
	}
	release := OSRelease{
		ID: values["ID"], VersionID: values["VERSION_ID"], Name: values["NAME"],
		PrettyName: values["PRETTY_NAME"], Codename: values["VERSION_CODENAME"],
		IDLike: strings.Fields(values["ID_LIKE"]),
	}
	release.Family = family(release)
	return release
}

// unquote undoes the shell's quoting as far as os-release may use it.
func unquote(value string) string {
	if len(value) < 2 || value[0] != value[len(value)-1] || value[0] != '"' && value[0] != '\'' {
		return value
	}
	inner := value[1 : len(value)-1]
	if value[0] == '\'' {
		return inner
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		if inner[i] == '\\' && i+1 < len(inner) && strings.IndexByte("\\\"$`", inner[i+1]) >= 0 {
			i++
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

// families are Ansible's os_family by ID.
var families = map[string]string{
	"debian": "Debian", "ubuntu": "Debian", "raspbian": "Debian", "linuxmint": "Debian", "kali": "Debian",
	"devuan": "Debian", "deepin": "Debian", "uos": "Debian", "pop": "Debian",
	"rhel": "RedHat", "centos": "RedHat", "rocky": "RedHat", "almalinux": "RedHat", "fedora": "RedHat",
	"ol": "RedHat", "amzn": "RedHat", "openEuler": "RedHat", "kylin": "RedHat", "anolis": "RedHat",
	"alinux": "RedHat", "opencloudos": "RedHat", "tencentos": "RedHat", "scientific": "RedHat", "virtuozzo": "RedHat",
	"sles": "Suse", "sled": "Suse", "opensuse": "Suse", "opensuse-leap": "Suse", "opensuse-tumbleweed": "Suse", "suse": "Suse",
	"alpine": "Alpine", "arch": "Archlinux", "manjaro": "Archlinux",
}

func family(release OSRelease) string {
	for _, id := range append([]string{release.ID}, release.IDLike...) {
		if f := families[id]; f != "" {
			return f
		}
	}
	return ""
}

func gatherInterfaces(s *System) error {
	all, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("network interfaces: %w", err)
	}
	for _, i := range all {
		found := Interface{Name: i.Name, MAC: i.HardwareAddr.String(), MTU: i.MTU, Up: i.Flags&net.FlagUp != 0}
		addresses, err := i.Addrs()
		if err != nil {
			return fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		for _, a := range addresses {
			found.Addresses = append(found.Addresses, a.String())
		}
		s.Interfaces = append(s.Interfaces, found)
	}
	return nil
}

// gatherDefaultRoute finds where packets to the world go. The kernel tells the
// source address that it would use when a UDP socket is connected; that sends
// nothing.
func gatherDefaultRoute(s *System) error {
	text, err := os.ReadFile("/proc/net/route")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without IPv4
	}
	if err != nil {
		return err
	}
	routes := parseRoutes(string(text))
	s.DefaultInterface = defaultInterface(routes)
	world := outside(routes)
	if s.DefaultInterface == "" || world == nil {
		return nil
	}
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: world, Port: 9})
	if err != nil {
		return nil // a route without an address to use: there is none
	}
	defer func() { _ = conn.Close() }() // nothing was sent
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		s.DefaultIPv4 = local.IP.String()
	}
	return nil
}

// route is a line of /proc/net/route that can be used.
type route struct {
	device string
	to     net.IPNet
	metric uint64
}

// parseRoutes reads /proc/net/route, whose addresses are in the machine's own
// byte order. Lines that are not understood and routes that lead nowhere are
// passed over.
func parseRoutes(text string) []route {
	var routes []route
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		to, err := strconv.ParseUint(f[1], 16, 32)
		flags, err2 := strconv.ParseUint(f[3], 16, 32)
		metric, err3 := strconv.ParseUint(f[6], 10, 32)
		mask, err4 := strconv.ParseUint(f[7], 16, 32)
		if errors.Join(err, err2, err3, err4) != nil || flags&unix.RTF_UP == 0 || flags&unix.RTF_REJECT != 0 {
			continue
		}
		r := route{device: f[0], metric: metric, to: net.IPNet{IP: make(net.IP, 4), Mask: make(net.IPMask, 4)}}
		binary.NativeEndian.PutUint32(r.to.IP, uint32(to))
		binary.NativeEndian.PutUint32(r.to.Mask, uint32(mask))
		routes = append(routes, r)
	}
	return routes
}

func (r route) isDefault() bool {
	ones, _ := r.to.Mask.Size()
	return ones == 0 && r.to.IP.Equal(net.IPv4zero)
}

// defaultInterface is that of the default route with the lowest metric, or "".
func defaultInterface(routes []route) string {
	best, lowest := "", uint64(math.MaxUint64)
	for _, r := range routes {
		if r.isDefault() && r.metric < lowest {
			best, lowest = r.device, r.metric
		}
	}
	return best
}

// outside is an address that only the default route leads to, of those that are
// reserved for examples; nil when this network uses them all.
func outside(routes []route) net.IP {
	for _, address := range []net.IP{{192, 0, 2, 1}, {198, 51, 100, 1}, {203, 0, 113, 1}} {
		if !slices.ContainsFunc(routes, func(r route) bool { return !r.isDefault() && r.to.Contains(address) }) {
			return address
		}
	}
	return nil
}

func gatherMemory(s *System) error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	s.MemoryBytes, err = parseMemory(string(text))
	return err
}

func parseMemory(text string) (uint64, error) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 54)
			if err != nil {
				return 0, fmt.Errorf("/proc/meminfo: MemTotal: %w", err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("/proc/meminfo has no MemTotal")
}

func gatherFQDN(s *System) error {
	s.FQDN = s.Hostname
	text, err := os.ReadFile("/etc/hosts")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s.FQDN = canonicalName(parseHosts(string(text)), s.Hostname)
	return nil
}

// hostsLine is a line of /etc/hosts: the first name is the canonical one.
type hostsLine struct {
	address string
	names   []string
}

func parseHosts(text string) []hostsLine {
	var lines []hostsLine
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) >= 2 {
			lines = append(lines, hostsLine{address: fields[0], names: fields[1:]})
		}
	}
	return lines
}

func canonicalName(lines []hostsLine, name string) string {
	for _, line := range lines {
		if slices.ContainsFunc(line.names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return line.names[0]
		}
	}
	return name
}
