package inventory

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/lazy"
)

// mostHosts bounds what one range may stand for.
const mostHosts = 100_000

// hostPattern gives the hosts that a name with ranges and a port stands for:
// "web[01:10].example.org:2222". Faults are noted.
func (l *loader) hostPattern(text string, at diag.Locator) []*Host {
	name, port := splitPort(text)
	names, err := expandRanges(name)
	if err != nil {
		l.found.AddError(at.At(0, len(text)), err)
		return nil
	}
	hosts := make([]*Host, len(names))
	for i, name := range names {
		hosts[i] = l.host(name, at.At(0, len(text)))
		if port != 0 {
			l.addHostVar(hosts[i], &Variable{Name: "ansible_port", Value: port, Range: at.At(0, len(text)), Layer: HostInFile})
		}
	}
	return hosts
}

var portPattern = lazy.Regexp(`^(.*):([0-9]{1,5})$`)

// splitPort takes ":22" off a name. A bare IPv6 address has no port; one in
// brackets may have.
func splitPort(text string) (name string, port int) {
	if inner, ok := strings.CutPrefix(text, "["); ok {
		address, rest, _ := strings.Cut(inner, "]")
		if _, err := netip.ParseAddr(address); err == nil {
			port, err := strconv.Atoi(strings.TrimPrefix(rest, ":"))
			if err != nil {
				port = 0
			}
			return address, port
		}
	}
	if _, err := netip.ParseAddr(text); err == nil {
		return text, 0
	}
	m := portPattern().FindStringSubmatch(text)
	if m == nil || strings.Count(m[1], "[") != strings.Count(m[1], "]") {
		return text, 0
	}
	port, err := strconv.Atoi(m[2])
	if err != nil || port == 0 || port > 65535 {
		return text, 0
	}
	return m[1], port
}

// expandRanges gives the names that "web[01:03]" or "db-[a:c]" stand for, in
// order. Several ranges multiply, the last turning fastest.
func expandRanges(text string) ([]string, error) {
	head, rest, found := strings.Cut(text, "[")
	if !found {
		return []string{text}, nil
	}
	inside, tail, closed := strings.Cut(rest, "]")
	if !closed {
		return nil, fmt.Errorf("%q: a range is opened with [ and not closed", text)
	}
	middle, err := expandRange(inside)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	tails, err := expandRanges(tail)
	if err != nil {
		return nil, err
	}
	if len(middle)*len(tails) > mostHosts {
		return nil, fmt.Errorf("%q stands for more than %d hosts", text, mostHosts)
	}
	names := make([]string, 0, len(middle)*len(tails))
	for _, m := range middle {
		for _, t := range tails {
			names = append(names, head+m+t)
		}
	}
	return names, nil
}

// expandRange reads "01:10", "01:10:2" or "a:f". Both ends belong to it; as many
// digits as the first number has are kept.
func expandRange(text string) ([]string, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return nil, fmt.Errorf("the range [%s] is not of the form [01:10] or [a:f]", text)
	}
	if parts[0] == "" {
		parts[0] = "0"
	}
	step := 1
	if len(parts) == 3 {
		var err error
		if step, err = strconv.Atoi(parts[2]); err != nil || step < 1 {
			return nil, fmt.Errorf("the range [%s] has a step that is no positive number", text)
		}
	}
	if isLetter(parts[0]) && isLetter(parts[1]) {
		return letterRange(text, parts[0][0], parts[1][0], step)
	}
	return numberRange(text, parts[0], parts[1], step)
}

func isLetter(text string) bool {
	return len(text) == 1 && (text[0]|0x20 >= 'a' && text[0]|0x20 <= 'z')
}

func letterRange(text string, first, last byte, step int) ([]string, error) {
	if first > last {
		return nil, fmt.Errorf("the range [%s] ends before it begins", text)
	}
	var all []string
	for c := int(first); c <= int(last); c += step {
		if isLetter(string(rune(c))) {
			all = append(all, string(rune(c)))
		}
	}
	return all, nil
}

func numberRange(text, from, to string, step int) ([]string, error) {
	first, err1 := strconv.ParseUint(from, 10, 31)
	last, err2 := strconv.ParseUint(to, 10, 31)
	switch {
	case err1 != nil || err2 != nil:
		return nil, fmt.Errorf("the range [%s] is not of the form [01:10] or [a:f]", text)
	case first > last:
		return nil, fmt.Errorf("the range [%s] ends before it begins", text)
	case len(from) > 1 && from[0] == '0' && len(from) != len(to):
		return nil, fmt.Errorf("the range [%s] has ends of different length; write [%s:%0*d]", text, from, len(from), last)
	case (last-first)/uint64(step) >= mostHosts:
		return nil, fmt.Errorf("the range [%s] stands for more than %d hosts", text, mostHosts)
	}
	width := 0
	if from[0] == '0' {
		width = len(from)
	}
	var all []string
	for n := first; n <= last; n += uint64(step) {
		all = append(all, fmt.Sprintf("%0*d", width, n))
	}
	return all, nil
}
