package modules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// HostsArgs are the arguments of hosts.
type HostsArgs struct {
	Names map[string]string `arg:"names" doc:"The address of each name. With absent the address may be empty, which means any."`
	Name  []string          `arg:"name" doc:"Names that share the address ip."`
	IP    string            `arg:"ip" alias:"address" doc:"The address of name. With absent it may be left out, which means any."`
	State string            `arg:"state" default:"present" choices:"present,absent" doc:"Whether the names should have these addresses, or not be there."`
	Path  string            `arg:"path" default:"/etc/hosts" type:"path" doc:"The file to edit. A symlink is followed."`
	TextOptions
}

func hostsSpec() Spec {
	return Spec{
		Name:    "hosts",
		Summary: "Ensure which addresses names have in /etc/hosts",
		Place:   OnHost,
		New:     func() Module { return &HostsArgs{} },
		Notes: []string{
			"A module of rbdplay's own. It edits name by name: afterwards a name stands on exactly one line of its address family, and the other names of a line, comments, and the spacing of lines that need no change stay. A line left without a name goes away. A name joins the line that its address has already.",
			"IPv4 and IPv6 are kept apart: giving a name an IPv4 address leaves its IPv6 line alone.",
		},
		Returns: textReturns,
		Examples: []Example{
			{"The platform's names move to the VIP", `
hosts:
  names:
    goodrain.me: 10.77.0.100
    lang.goodrain.me: 10.77.0.100
    maven.goodrain.me: 10.77.0.100`},
			{"One address, some names", `
hosts:
  ip: 10.77.0.11
  name: [kubeapi.goodrain.me, region.goodrain.me]`},
			{"Forget a name", `
hosts:
  name: old.goodrain.me
  state: absent`},
		},
	}
}

// Validate checks names and addresses.
func (a *HostsArgs) Validate() error {
	_, err := a.wishes()
	return err
}

// Plan edits the file name by name.
func (a *HostsArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	wishes, err := a.wishes()
	if err != nil {
		return Plan{}, err
	}
	file, err := openText(ctx, host, a.Path)
	if err != nil {
		return Plan{}, err
	}
	if !file.exists && a.State == "absent" {
		return file.absent(), nil
	}
	lines := parseHosts(file.text)
	for _, wish := range wishes {
		lines = wish.apply(lines, a.State == "absent")
	}
	return file.become(ctx, host, joinHosts(lines), a.TextOptions)
}

// hostsWish is one name and the address it should have, or lose. An invalid
// address stands for any.
type hostsWish struct {
	name string
	ip   netip.Addr
}

// wishes lists what the arguments ask for, in an order that does not vary.
func (a *HostsArgs) wishes() ([]hostsWish, error) {
	if err := a.noPreserve(); err != nil {
		return nil, err
	}
	if len(a.Names) == 0 && len(a.Name) == 0 {
		return nil, errors.New("wants names, or name and ip")
	}
	if a.IP != "" && len(a.Name) == 0 {
		return nil, errors.New("ip needs name")
	}
	var wishes []hostsWish
	add := func(name, ip string) error {
		wish, err := hostsWishOf(name, ip, a.State == "absent")
		for _, earlier := range wishes {
			if err == nil && strings.EqualFold(earlier.name, name) && earlier.ip.Is4() == wish.ip.Is4() && earlier.ip != wish.ip {
				err = fmt.Errorf("%s is given two addresses, %s and %s", name, earlier.ip, wish.ip)
			}
		}
		wishes = append(wishes, wish)
		return err
	}
	for _, name := range a.Name {
		if err := add(name, a.IP); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Names)) {
		if err := add(name, a.Names[name]); err != nil {
			return nil, err
		}
	}
	return wishes, nil
}

func hostsWishOf(name, ip string, absent bool) (hostsWish, error) {
	if name == "" || strings.ContainsAny(name, " \t\r\n\v\f#") {
		return hostsWish{}, fmt.Errorf("%q cannot be a name in a hosts file", name)
	}
	if ip == "" && absent {
		return hostsWish{name: name}, nil
	}
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return hostsWish{}, fmt.Errorf("%s: %q is no IP address", name, ip)
	}
	return hostsWish{name, addr.Unmap()}, nil
}

// hostsLine is a line of the file. Only a line that is edited is written anew.
type hostsLine struct {
	text string     // as it stands, with its newline
	ip   netip.Addr // invalid for comments, blank lines and what cannot be read
	tail string     // what follows the names: blanks, comment, newline
	// names hold the blanks before each name, so that they can be put together again.
	names []hostsName
	head  string // the address and what stands before it
}

type hostsName struct{ blanks, name string }

var hostsToken = lazy.Regexp(`([ \t]*)([^ \t]+)`)

func parseHosts(text string) []hostsLine {
	var lines []hostsLine
	for _, line := range splitLines(text) {
		lines = append(lines, parseHostsLine(line))
	}
	return lines
}

func parseHostsLine(text string) hostsLine {
	line := hostsLine{text: text}
	entry := bare(text)
	if i := strings.IndexByte(entry, '#'); i >= 0 {
		entry = entry[:i]
	}
	entry = strings.TrimRight(entry, " \t")
	line.tail = text[len(entry):]
	for i, token := range hostsToken().FindAllStringSubmatch(entry, -1) {
		if i > 0 {
			line.names = append(line.names, hostsName{token[1], token[2]})
			continue
		}
		addr, err := netip.ParseAddr(token[2])
		if err != nil {
			return line
		}
		line.ip, line.head = addr.Unmap(), token[0]
	}
	return line
}

func joinHosts(lines []hostsLine) string {
	var out strings.Builder
	for _, line := range lines {
		out.WriteString(line.text)
	}
	return out.String()
}

// apply edits the lines for one name.
func (w hostsWish) apply(lines []hostsLine, absent bool) []hostsLine {
	var kept []hostsLine
	stands := false
	for _, line := range lines {
		if !line.ip.IsValid() || (w.ip.IsValid() && line.ip.Is4() != w.ip.Is4()) || (absent && w.ip.IsValid() && line.ip != w.ip) {
			kept = append(kept, line)
			continue
		}
		keepFirst := !absent && !stands && line.ip == w.ip
		had := len(line.names)
		stands = line.without(w.name, keepFirst) || stands
		if had == len(line.names) || len(line.names) > 0 {
			kept = append(kept, line)
		}
	}
	if absent || stands {
		return kept
	}
	return w.add(kept)
}

// without takes name off the line, but for its first standing when that is kept.
func (l *hostsLine) without(name string, keepFirst bool) (stands bool) {
	names := l.names
	l.names = nil
	blanks := ""
	for i, n := range names {
		if strings.EqualFold(n.name, name) && (!keepFirst || stands) {
			if i == 0 {
				blanks = n.blanks // the next name takes its column
			}
			continue
		}
		stands = stands || strings.EqualFold(n.name, name)
		if blanks != "" {
			n.blanks, blanks = blanks, ""
		}
		l.names = append(l.names, n)
	}
	if len(l.names) != len(names) {
		l.rewrite()
	}
	return stands
}

func (l *hostsLine) rewrite() {
	var out strings.Builder
	out.WriteString(l.head)
	for _, n := range l.names {
		out.WriteString(n.blanks + n.name)
	}
	out.WriteString(l.tail)
	l.text = out.String()
}

// add puts the name on the first line of its address, else on a new one.
func (w hostsWish) add(lines []hostsLine) []hostsLine {
	for i := range lines {
		if lines[i].ip == w.ip {
			lines[i].names = append(lines[i].names, hostsName{" ", w.name})
			lines[i].rewrite()
			return lines
		}
	}
	if n := len(lines); n > 0 && !strings.HasSuffix(lines[n-1].text, "\n") {
		lines[n-1].text += "\n"
		lines[n-1].tail += "\n"
	}
	return append(lines, parseHostsLine(w.ip.String()+" "+w.name+"\n"))
}
