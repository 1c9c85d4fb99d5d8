package modules

import (
	"context"
	"slices"
	"strings"
)

// dmiGuests are the words by which firmware gives away what a machine runs on. The
// first that is found counts.
var dmiGuests = []struct{ word, kind string }{
	{"VMware", "VMware"},
	{"VirtualBox", "virtualbox"},
	{"HVM domU", "xen"},
	{"Parallels", "parallels"},
	{"Microsoft", "VirtualPC"},
	{"OpenStack", "openstack"},
	{"RHEV", "RHEV"},
	{"oVirt", "oVirt"},
	{"KVM", "kvm"},
	{"QEMU", "kvm"},
	{"Bochs", "kvm"},
	{"Amazon EC2", "kvm"},
	{"Google", "kvm"},
	{"DigitalOcean", "kvm"},
	{"Alibaba", "kvm"},
	{"Nutanix AHV", "kvm"},
}

// virtualFacts tell what the host runs on, and what may run on it. As with Ansible a
// container comes before the machine around it.
func virtualFacts(ctx context.Context, g *gathering) error {
	guests, err := g.guestKinds(ctx)
	if err != nil {
		return err
	}
	hosts := []string{}
	canRun, err := g.exists(ctx, "/dev/kvm")
	if err != nil {
		return err
	}
	if canRun {
		hosts = append(hosts, "kvm")
	}
	kind, role := "NA", "NA"
	switch {
	case len(guests) > 0:
		kind, role = guests[0], "guest"
	case len(hosts) > 0:
		kind, role = hosts[0], "host"
	}
	g.add(map[string]any{
		"virtualization_type": kind, "virtualization_role": role,
		"virtualization_tech_guest": orEmpty(guests), "virtualization_tech_host": hosts,
	})
	return nil
}

func (g *gathering) guestKinds(ctx context.Context) ([]string, error) {
	var kinds []string
	for _, mark := range []struct{ file, kind string }{{"/.dockerenv", "docker"}, {"/run/.containerenv", "podman"}} {
		there, err := g.exists(ctx, mark.file)
		if err != nil {
			return nil, err
		}
		if there {
			kinds = append(kinds, mark.kind)
		}
	}
	manager, err := g.line(ctx, "/run/systemd/container")
	if err != nil {
		return nil, err
	}
	if manager != "" {
		kinds = append(kinds, manager)
	}
	if len(kinds) > 0 {
		kinds = append(kinds, "container")
	}
	machine, err := g.machineKind(ctx)
	if machine != "" {
		kinds = append(kinds, machine)
	}
	slices.Sort(kinds[min(1, len(kinds)):]) // the first is the type
	return slices.Compact(kinds), err
}

// machineKind is what the firmware, or at least the processor, says.
func (g *gathering) machineKind(ctx context.Context) (string, error) {
	var said strings.Builder
	for _, file := range []string{"sys_vendor", "product_name", "bios_vendor", "product_family"} {
		text, err := g.line(ctx, "/sys/class/dmi/id/"+file)
		if err != nil {
			return "", err
		}
		said.WriteString(text + "\n")
	}
	for _, known := range dmiGuests {
		if strings.Contains(said.String(), known.word) && (known.kind != "VirtualPC" || strings.Contains(said.String(), "Virtual Machine")) {
			return known.kind, nil
		}
	}
	return "", nil
}
