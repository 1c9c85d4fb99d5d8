package sys

import (
	"context"
	"strings"
)

// shadowSystem describes the machine beneath: all of it but its name stays.
type shadowSystem struct{ sh *Shadow }

func newShadowSystem(sh *Shadow) *shadowSystem { return &shadowSystem{sh: sh} }

// HostnameKey is the resource by which the name of the host is set, a string.
const HostnameKey = "hostname"

// System describes the machine, with the name that it would have.
func (s *shadowSystem) System(ctx context.Context) (System, error) {
	system, err := s.sh.under.System(ctx)
	if err != nil {
		return system, err
	}
	name, err := Look(ctx, Reader(s.sh), HostnameKey, func(context.Context) (string, error) { return system.Hostname, nil })
	if err != nil || name == system.Hostname {
		return system, err
	}
	_, domain, _ := strings.Cut(system.FQDN, ".")
	system.Hostname, system.FQDN = name, name
	if domain != "" && !strings.Contains(name, ".") {
		system.FQDN += "." + domain
	}
	return system, nil
}
