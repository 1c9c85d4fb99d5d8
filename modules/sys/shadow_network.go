package sys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
)

// shadowNetwork dials for real as long as nothing that runs on the host would
// have changed. Names are resolved as the shadow's /etc/hosts would have it.
type shadowNetwork struct {
	sh *Shadow

	mu      sync.Mutex
	because string // what was recorded first that may change what answers
}

func newShadowNetwork(sh *Shadow) *shadowNetwork { return &shadowNetwork{sh: sh} }

// stirred tells that what ("restart of unit x") would have changed what runs.
func (n *shadowNetwork) stirred(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.because == "" {
		n.because = what + " would come first"
	}
}

// Dial connects to address, or cannot know what would answer there.
func (n *shadowNetwork) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	because := n.because
	n.mu.Unlock()
	if because != "" && !unaffected(ctx) {
		return nil, &UnknownError{What: "what answers at " + address, Because: because}
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil || name == "" || net.ParseIP(name) != nil {
		return n.sh.under.Network().Dial(ctx, network, address)
	}
	addresses, changed, err := n.inHosts(ctx, name)
	if err != nil {
		return nil, err
	}
	if !changed {
		return n.sh.under.Network().Dial(ctx, network, address)
	}
	return n.dialAny(ctx, network, addresses, port)
}

func (n *shadowNetwork) dialAny(ctx context.Context, network string, addresses []string, port string) (net.Conn, error) {
	var failed error
	for _, address := range addresses {
		conn, err := n.sh.under.Network().Dial(ctx, network, net.JoinHostPort(address, port))
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// LookupHost gives the addresses of name.
func (n *shadowNetwork) LookupHost(ctx context.Context, name string) ([]string, error) {
	addresses, changed, err := n.inHosts(ctx, name)
	if err != nil {
		return nil, err
	}
	if !changed {
		return n.sh.under.Network().LookupHost(ctx, name)
	}
	return addresses, nil
}

// Multicast listens for real: a shadow changes nothing that others send.
func (n *shadowNetwork) Multicast(ctx context.Context, protocol int, group net.IP, interfaceName string) (net.PacketConn, error) {
	return n.sh.under.Network().Multicast(ctx, protocol, group, interfaceName)
}

// inHosts says what the shadow's /etc/hosts would answer for name. changed is
// false when the host beneath answers the same.
func (n *shadowNetwork) inHosts(ctx context.Context, name string) (addresses []string, changed bool, err error) {
	shadow, err := readOrNothing(ctx, n.sh.files, "/etc/hosts")
	if err != nil {
		return nil, false, err
	}
	under, err := readOrNothing(ctx, n.sh.under.Files(), "/etc/hosts")
	if err != nil {
		return nil, false, err
	}
	after, before := addressesOf(shadow, name), addressesOf(under, name)
	if len(after) == 0 {
		return nil, false, n.askable(ctx, name, len(before) > 0)
	}
	return after, !slices.Equal(after, before), nil
}

// askable reports, as an error, when the answer of the host beneath for a name
// that is not in the shadow's hosts would not be that of a real run.
func (n *shadowNetwork) askable(ctx context.Context, name string, dropped bool) error {
	if dropped {
		return &UnknownError{What: "address of " + name, Because: "its line in /etc/hosts would go, so that DNS counts"}
	}
	shadow, err := readOrNothing(ctx, n.sh.files, "/etc/resolv.conf")
	if err != nil {
		return err
	}
	under, err := readOrNothing(ctx, n.sh.under.Files(), "/etc/resolv.conf")
	if err != nil {
		return err
	}
	if !bytes.Equal(shadow, under) {
		return &UnknownError{What: "address of " + name, Because: "/etc/resolv.conf would change"}
	}
	return nil
}

func addressesOf(hosts []byte, name string) []string {
	var addresses []string
	for _, line := range parseHosts(string(hosts)) {
		if slices.ContainsFunc(line.names, func(n string) bool { return strings.EqualFold(n, strings.TrimSuffix(name, ".")) }) {
			addresses = append(addresses, line.address)
		}
	}
	return addresses
}

// readOrNothing reads a small file; one that is not there has nothing in it.
func readOrNothing(ctx context.Context, files FileReader, path string) (text []byte, err error) {
	file, err := files.Open(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	const most = 1 << 20
	text, err = io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && len(text) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return text, err
}
