package modules

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// KeepalivedArgs are the arguments of keepalived.
type KeepalivedArgs struct {
	Path             string   `arg:"path" default:"/etc/keepalived/keepalived.conf" type:"path" doc:"The file to write. A symlink is followed."`
	Name             string   `arg:"name" default:"VI_1" doc:"The name of the instance."`
	RouterID         string   `arg:"router_id" doc:"How the host calls itself; its host name when not given."`
	Address          string   `arg:"address" doc:"An address of the host: the instance works on the interface that has it, and with unicast_peers speaks from it."`
	Interface        string   `arg:"interface" doc:"The interface itself, in place of the one that has address."`
	State            string   `arg:"state" default:"BACKUP" choices:"MASTER,BACKUP" doc:"What it begins as; who has the higher priority becomes master."`
	Priority         int      `arg:"priority,required" doc:"1 to 254; the highest that is healthy has the addresses."`
	VirtualRouterID  int      `arg:"virtual_router_id,required" doc:"1 to 255, the same on all members and nowhere else on the network."`
	AdvertInterval   int      `arg:"advert_int" default:"1" doc:"Seconds between two signs of life."`
	Password         string   `arg:"password" secret:"true" doc:"What members show each other, at most 8 characters; for IPv4 only."`
	VirtualAddresses []string `arg:"virtual_addresses,required" doc:"The addresses that move, each with or without a prefix length; all IPv4 or all IPv6."`
	UnicastPeers     []string `arg:"unicast_peers" doc:"The addresses of the other members, for a network that passes no multicast. Needs address."`
	NoPreempt        bool     `arg:"nopreempt" default:"no" doc:"A healthier member that comes back does not take the addresses from who has them; needs state: BACKUP."`
	TrackScript      string   `arg:"track_script" doc:"A program, with words, that tells by its exit code whether the host may have the addresses."`
	TrackInterval    int      `arg:"track_interval" default:"2" doc:"Seconds between two runs of track_script."`
	TrackTimeout     int      `arg:"track_timeout" default:"3" doc:"Seconds after which a run counts as failed."`
	TrackFall        int      `arg:"track_fall" default:"2" doc:"How many failed runs make the host unhealthy."`
	TrackRise        int      `arg:"track_rise" default:"2" doc:"How many good runs make it healthy again."`
	ScriptUser       string   `arg:"script_user" default:"root" doc:"Who runs track_script."`
	ValidateWith     string   `arg:"validate" default:"keepalived -t -f %s" doc:"A command that judges the new configuration before it goes in place. Empty where keepalived is not installed yet."`
	Backup           bool     `arg:"backup" default:"no" doc:"Keep the old file beside the new one, as PATH.DIGEST~."`
	FileAttributes
}

func keepalivedSpec() Spec {
	return Spec{
		Name:    "keepalived",
		Summary: "Write keepalived's configuration of one VRRP instance",
		Place:   OnHost,
		New:     func() Module { return &KeepalivedArgs{} },
		Notes: []string{
			"A module of rbdplay's own. The file is written whole, with the mode 0640 when it is new; what else was in it is gone. keepalived itself tries it first, and is not restarted: let a handler do that.",
			"With a password the content is shown to nobody, in no diff.",
		},
		Returns: slices.Concat([]Return{
			{Name: "interface", Type: "string", Doc: "The interface that the instance works on."},
			{Name: "dest", Type: "string", Doc: "The file."},
			{Name: "checksum", Type: "string", Doc: "SHA-1 of the file."},
		}, textReturns),
		Examples: []Example{{"The VIP before rbd-lb", `
keepalived:
  name: rainbond
  address: "{{ own_ip }}"
  priority: 100
  virtual_router_id: 51
  password: "{{ vrrp_password }}"
  virtual_addresses: ["{{ vip }}"]
  track_script: /etc/keepalived/check_rbd_lb.sh
notify: Restart keepalived`}},
	}
}

var (
	keepalivedName = lazy.Regexp(`^[A-Za-z0-9_.:-]+$`)
	vrrpPassword   = lazy.Regexp(`^[A-Za-z0-9_.,:;@%^&*()+=/~?<>|$-]{1,8}$`)
)

// Validate holds what can be known without the host.
func (a *KeepalivedArgs) Validate() error {
	numbers := []struct {
		name         string
		n, low, high int
	}{
		{"priority", a.Priority, 1, 254},
		{"virtual_router_id", a.VirtualRouterID, 1, 255},
		{"advert_int", a.AdvertInterval, 1, 255},
		{"track_interval", a.TrackInterval, 1, 86400},
		{"track_timeout", a.TrackTimeout, 1, 86400},
		{"track_fall", a.TrackFall, 1, 1000},
		{"track_rise", a.TrackRise, 1, 1000},
	}
	for _, v := range numbers {
		if v.n < v.low || v.n > v.high {
			return fmt.Errorf("%s: %d is not between %d and %d", v.name, v.n, v.low, v.high)
		}
	}
	names := map[string]string{"name": a.Name, "script_user": a.ScriptUser, "router_id": a.RouterID, "interface": a.Interface}
	for name, text := range names {
		if text != "" && !keepalivedName().MatchString(text) {
			return fmt.Errorf("%s: %q cannot stand in keepalived.conf", name, text)
		}
	}
	switch {
	case (a.Address == "") == (a.Interface == ""):
		return errors.New("one of address and interface is needed, and not both")
	case len(a.UnicastPeers) > 0 && a.Address == "":
		return errors.New("unicast_peers needs address")
	case a.NoPreempt && a.State != "BACKUP":
		return errors.New("nopreempt needs state: BACKUP")
	case a.Password != "" && !vrrpPassword().MatchString(a.Password):
		return errors.New("password: wants 1 to 8 letters, digits and signs, without quotes, spaces, #, ! and braces")
	case strings.ContainsAny(a.TrackScript, "\"\n\r") || a.TrackScript != "" && !path.IsAbs(a.TrackScript):
		return errors.New("track_script wants an absolute path and words, without double quotes")
	}
	if err := a.addresses(); err != nil {
		return err
	}
	if err := a.noPreserve(); err != nil {
		return err
	}
	return checkValidate(a.ValidateWith)
}

// addresses holds that all are of one family.
func (a *KeepalivedArgs) addresses() error {
	all := slices.Clone(a.UnicastPeers)
	if a.Address != "" {
		all = append(all, a.Address)
	}
	for _, v := range a.VirtualAddresses {
		if prefix, err := netip.ParsePrefix(v); err == nil {
			v = prefix.Addr().String()
		}
		all = append(all, v)
	}
	if len(a.VirtualAddresses) == 0 {
		return errors.New("virtual_addresses is empty")
	}
	six := strings.Contains(a.VirtualAddresses[0], ":")
	for _, text := range all {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return fmt.Errorf("%q is no IP address", text)
		}
		if ip.Is4() == six {
			return fmt.Errorf("%s is of another family than %s", text, a.VirtualAddresses[0])
		}
	}
	if six && a.Password != "" {
		return errors.New("password: VRRP has none for IPv6")
	}
	return nil
}

// Plan compares the file with what the arguments make.
func (a *KeepalivedArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if err := a.Validate(); err != nil {
		return Plan{}, err
	}
	system, err := host.System(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("asking what the host is: %w", err)
	}
	device, err := a.device(system)
	if err != nil {
		return Plan{}, err
	}
	router := a.RouterID
	if router == "" {
		router = system.Hostname
	}
	options := WriteOptions{Backup: a.Backup, ValidateWith: a.ValidateWith, FileAttributes: a.FileAttributes}
	at, err := lookThrough(ctx, host, a.Path)
	if err != nil {
		return Plan{}, err
	}
	if !at.exists && options.Mode == nil {
		options.Mode = &Mode{bits: 0o640}
	}
	source := &Content{Content: textContent(a.render(router, device)), Secret: a.Password != ""}
	plan, err := fileCopy{source: source, dest: a.Path, follow: true, force: true, options: options}.plan(ctx, host)
	if err == nil {
		plan.Result["interface"] = device
	}
	return plan, err
}

// device is the interface that has the address.
func (a *KeepalivedArgs) device(system sys.System) (string, error) {
	var known []string
	for _, i := range system.Interfaces {
		if i.Name == a.Interface {
			return i.Name, nil
		}
		for _, cidr := range i.Addresses {
			prefix, err := netip.ParsePrefix(cidr)
			if err == nil && a.Address != "" && prefix.Addr() == netip.MustParseAddr(a.Address) {
				return i.Name, nil
			}
			known = append(known, i.Name+" "+cidr)
		}
	}
	if a.Interface != "" {
		return "", fmt.Errorf("the host has no interface %s", a.Interface)
	}
	return "", fmt.Errorf("no interface of the host has the address %s; there are %s", a.Address, strings.Join(known, ", "))
}

// render writes the file.
func (a *KeepalivedArgs) render(router, device string) string {
	var out strings.Builder
	line := func(depth int, format string, args ...any) {
		out.WriteString(strings.Repeat("    ", depth) + fmt.Sprintf(format, args...) + "\n")
	}
	block := func(name string, lines []string) {
		line(1, "%s {", name)
		for _, l := range lines {
			line(2, "%s", l)
		}
		line(1, "}")
	}
	line(0, "! Written by rbdplay; what you change here, the next run changes back.")
	line(0, "global_defs {")
	line(1, "router_id %s", router)
	line(1, "enable_script_security")
	line(1, "script_user %s", a.ScriptUser)
	line(0, "}\n")
	if a.TrackScript != "" {
		line(0, "vrrp_script %s_check {", a.Name)
		line(1, "script \"%s\"", a.TrackScript)
		line(1, "interval %d", a.TrackInterval)
		line(1, "timeout %d", a.TrackTimeout)
		line(1, "fall %d", a.TrackFall)
		line(1, "rise %d", a.TrackRise)
		line(0, "}\n")
	}
	line(0, "vrrp_instance %s {", a.Name)
	line(1, "state %s", a.State)
	line(1, "interface %s", device)
	line(1, "virtual_router_id %d", a.VirtualRouterID)
	line(1, "priority %d", a.Priority)
	line(1, "advert_int %d", a.AdvertInterval)
	if a.NoPreempt {
		line(1, "nopreempt")
	}
	if len(a.UnicastPeers) > 0 {
		line(1, "unicast_src_ip %s", a.Address)
		block("unicast_peer", a.UnicastPeers)
	}
	if a.Password != "" {
		block("authentication", []string{"auth_type PASS", "auth_pass " + a.Password})
	}
	block("virtual_ipaddress", a.VirtualAddresses)
	if a.TrackScript != "" {
		block("track_script", []string{a.Name + "_check"})
	}
	line(0, "}")
	return out.String()
}
