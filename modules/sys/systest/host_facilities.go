package systest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/rbdplay/rbdplay/modules/sys"
)

type packages struct{ h *Host }

func (p packages) Manager(ctx context.Context) (string, error) {
	err := p.h.enter(ctx, "packages.Manager")
	defer p.h.leave()
	return p.h.State.Manager, err
}

func (p packages) Query(ctx context.Context, names ...string) (map[string]sys.Package, error) {
	err := p.h.enter(ctx, "packages.Query")
	defer p.h.leave()
	if err != nil {
		return nil, err
	}
	found := map[string]sys.Package{}
	for _, name := range names {
		known := p.h.State.Packages[name]
		found[name] = sys.Package{Name: name, Installed: known.Installed, Held: known.Held}
	}
	return found, nil
}

func (p packages) Resolve(ctx context.Context, requests []sys.PackageRequest, options sys.PackageOptions) ([]sys.PackageChange, error) {
	err := p.h.enter(ctx, "packages.Resolve")
	defer p.h.leave()
	if err != nil {
		return nil, err
	}
	if requests, err = p.upgrade(requests, options.PackageSelection); err != nil {
		return nil, err
	}
	return p.transaction(requests)
}

// upgrade adds what an upgrade of everything means. Of the other selections the host
// in memory knows nothing.
func (p packages) upgrade(requests []sys.PackageRequest, s sys.PackageSelection) ([]sys.PackageRequest, error) {
	if s.Upgrade == "" && s != (sys.PackageSelection{}) {
		return nil, fmt.Errorf("the host in memory does not know %+v", s)
	}
	all := slices.Clone(requests)
	for _, name := range slices.Sorted(maps.Keys(p.h.State.Packages)) {
		known := p.h.State.Packages[name]
		if s.Upgrade != "" && known.Installed != "" && known.Candidate != "" && !known.Held {
			all = append(all, sys.PackageRequest{Name: name, State: sys.PackageLatest})
		}
	}
	return all, nil
}

// transaction works requests out; dependencies only come, they never go.
func (p packages) transaction(requests []sys.PackageRequest) ([]sys.PackageChange, error) {
	changes := map[string]sys.PackageChange{}
	for len(requests) > 0 {
		r := requests[0]
		requests = requests[1:]
		known := p.h.State.Packages[r.Name]
		to := known.Installed
		switch {
		case r.State == sys.PackageAbsent:
			to = ""
		case r.Version != "":
			to = r.Version
		case r.State == sys.PackageLatest || known.Installed == "":
			to = known.Candidate
		}
		if to == "" && r.State != sys.PackageAbsent || to != known.Installed && to != "" && to != known.Candidate {
			return nil, notThere("package", r.Name+" "+r.Version)
		}
		if _, done := changes[r.Name]; done || to == known.Installed {
			continue
		}
		changes[r.Name] = sys.PackageChange{Name: r.Name, From: known.Installed, To: to}
		if to != "" {
			for _, name := range p.h.State.Requires[r.Name] {
				requests = append(requests, sys.PackageRequest{Name: name, State: sys.PackagePresent})
			}
		}
	}
	list := make([]sys.PackageChange, 0, len(changes))
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		list = append(list, changes[name])
	}
	return list, nil
}

func (p packages) Apply(ctx context.Context, requests []sys.PackageRequest, options sys.PackageOptions) error {
	err := p.h.enter(ctx, "packages.Apply")
	defer p.h.leave()
	if err != nil {
		return err
	}
	if requests, err = p.upgrade(requests, options.PackageSelection); err != nil {
		return err
	}
	changes, err := p.transaction(requests)
	for _, c := range changes {
		known := p.h.State.Packages[c.Name]
		known.Installed = c.To
		p.h.State.Packages[c.Name] = known
	}
	return err
}

func (p packages) UpdateCache(ctx context.Context) error {
	defer p.h.leave()
	return p.h.enter(ctx, "packages.UpdateCache")
}

type units struct{ h *Host }

func (u units) Get(ctx context.Context, name string) (sys.Unit, error) {
	err := u.h.enter(ctx, "units.Get")
	defer u.h.leave()
	if err != nil {
		return sys.Unit{}, err
	}
	unit, there := u.h.State.Units[name]
	if !there {
		unit = sys.Unit{Load: "not-found", Active: "inactive", Sub: "dead"}
	}
	unit.Name = name
	return unit, nil
}

// set changes a unit that must be there.
func (u units) set(ctx context.Context, operation, name string, change func(*sys.Unit) error) error {
	err := u.h.enter(ctx, "units."+operation)
	defer u.h.leave()
	if err != nil {
		return err
	}
	unit, there := u.h.State.Units[name]
	if !there {
		return fmt.Errorf("unit %s not found", name)
	}
	if err := change(&unit); err != nil {
		return err
	}
	u.h.State.Units[name] = unit
	return nil
}

func (u units) start(unit *sys.Unit, name string) error {
	if err := u.h.State.Fails[name]; err != nil {
		unit.Active, unit.Sub = "failed", "failed"
		u.h.State.Units[name] = *unit
		return err
	}
	if unit.Load == "masked" || unit.File == "masked" {
		return fmt.Errorf("unit %s is masked", name)
	}
	unit.Active, unit.Sub, unit.MainPID = "active", "running", unit.MainPID+1000
	return nil
}

func (u units) Start(ctx context.Context, name string) error {
	return u.set(ctx, "Start", name, func(unit *sys.Unit) error {
		if unit.Active == "active" {
			return nil
		}
		return u.start(unit, name)
	})
}

func (u units) Stop(ctx context.Context, name string) error {
	return u.set(ctx, "Stop", name, func(unit *sys.Unit) error {
		unit.Active, unit.Sub, unit.MainPID = "inactive", "dead", 0
		return nil
	})
}

func (u units) Restart(ctx context.Context, name string) error {
	return u.set(ctx, "Restart", name, func(unit *sys.Unit) error { return u.start(unit, name) })
}

func (u units) Reload(ctx context.Context, name string) error {
	return u.set(ctx, "Reload", name, func(unit *sys.Unit) error {
		if unit.Active != "active" {
			return fmt.Errorf("unit %s is not active and cannot be reloaded", name)
		}
		return nil
	})
}

func (u units) file(ctx context.Context, operation, name, state string) error {
	return u.set(ctx, operation, name, func(unit *sys.Unit) error {
		unit.File = state
		return nil
	})
}

func (u units) Enable(ctx context.Context, name string) error {
	return u.file(ctx, "Enable", name, "enabled")
}

func (u units) Disable(ctx context.Context, name string) error {
	return u.file(ctx, "Disable", name, "disabled")
}

func (u units) Mask(ctx context.Context, name string) error {
	return u.set(ctx, "Mask", name, func(unit *sys.Unit) error {
		unit.Load, unit.File = "masked", "masked"
		return nil
	})
}

func (u units) Unmask(ctx context.Context, name string) error {
	return u.set(ctx, "Unmask", name, func(unit *sys.Unit) error {
		unit.Load, unit.File = "loaded", "disabled"
		return nil
	})
}

func (u units) DaemonReload(ctx context.Context) error {
	err := u.h.enter(ctx, "units.DaemonReload")
	defer u.h.leave()
	if err != nil {
		return err
	}
	for name, unit := range u.h.State.Units {
		unit.NeedReload = false
		u.h.State.Units[name] = unit
	}
	return nil
}

type mounts struct{ h *Host }

func (m mounts) List(ctx context.Context) ([]sys.Mount, error) {
	err := m.h.enter(ctx, "mounts.List")
	defer m.h.leave()
	return slices.Clone(m.h.State.Mounts), err
}

func (m mounts) Mount(ctx context.Context, mount sys.Mount) error {
	err := m.h.enter(ctx, "mounts.Mount")
	defer m.h.leave()
	if err != nil {
		return err
	}
	m.h.State.Mounts = append(m.h.State.Mounts, mount)
	return nil
}

func (m mounts) Unmount(ctx context.Context, target string) error {
	err := m.h.enter(ctx, "mounts.Unmount")
	defer m.h.leave()
	if err != nil {
		return err
	}
	for i, mount := range slices.Backward(m.h.State.Mounts) {
		if mount.Target == target {
			m.h.State.Mounts = slices.Delete(m.h.State.Mounts, i, i+1)
			return nil
		}
	}
	return fmt.Errorf("umount: %s: not mounted", target)
}

type users struct{ h *Host }

// find looks for an entry of a database.
func find[T any](ctx context.Context, h *Host, operation, name string, among func() []T, is func(T) bool) (T, error) {
	var none T
	err := h.enter(ctx, "users."+operation)
	defer h.leave()
	if err != nil {
		return none, err
	}
	all := among()
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], nil
	}
	return none, notThere("entry", name)
}

func (u users) users() []sys.User   { return u.h.State.Users }
func (u users) groups() []sys.Group { return u.h.State.Groups }

func (u users) User(ctx context.Context, name string) (sys.User, error) {
	return find(ctx, u.h, "User", name, u.users, func(user sys.User) bool { return user.Name == name })
}

func (u users) UserByID(ctx context.Context, uid int) (sys.User, error) {
	return find(ctx, u.h, "UserByID", strconv.Itoa(uid), u.users, func(user sys.User) bool { return user.UID == uid })
}

func (u users) Group(ctx context.Context, name string) (sys.Group, error) {
	return find(ctx, u.h, "Group", name, u.groups, func(group sys.Group) bool { return group.Name == name })
}

func (u users) GroupByID(ctx context.Context, gid int) (sys.Group, error) {
	return find(ctx, u.h, "GroupByID", strconv.Itoa(gid), u.groups, func(group sys.Group) bool { return group.GID == gid })
}

type resources struct{ h *Host }

// begin checks for a broken operation; what is then looked at or done uses the
// host itself, so it must not be within enter and leave.
func (r resources) begin(ctx context.Context, operation string) error {
	defer r.h.leave()
	return r.h.enter(ctx, operation)
}

func (r resources) Look(ctx context.Context, key string, look func(ctx context.Context) (any, error)) (any, error) {
	if err := r.begin(ctx, "resources.Look"); err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return look(ctx)
}

func (r resources) Make(ctx context.Context, key string, _ any, do func(ctx context.Context) error) error {
	if err := r.begin(ctx, "resources.Make"); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return do(ctx)
}

type network struct{ h *Host }

func (n network) Dial(ctx context.Context, protocol, address string) (net.Conn, error) {
	err := n.h.enter(ctx, "network.Dial")
	dial := n.h.State.Dials[protocol+" "+address]
	n.h.leave()
	if err != nil {
		return nil, err
	}
	if dial == nil {
		return nil, n.h.unexpected("a connection to %s %s", protocol, address)
	}
	return dial(ctx)
}

func (n network) LookupHost(ctx context.Context, name string) ([]string, error) {
	err := n.h.enter(ctx, "network.LookupHost")
	defer n.h.leave()
	if err != nil {
		return nil, err
	}
	addresses, there := n.h.State.Names[name]
	if !there {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return slices.Clone(addresses), nil
}

func (n network) Multicast(ctx context.Context, protocol int, group net.IP, interfaceName string) (net.PacketConn, error) {
	err := n.h.enter(ctx, "network.Multicast")
	key := fmt.Sprintf("%d %s %s", protocol, group, interfaceName)
	open := n.h.State.Multicasts[key]
	n.h.leave()
	if err != nil {
		return nil, err
	}
	if open == nil {
		return nil, n.h.unexpected("a multicast socket %s", key)
	}
	return open(), nil
}

type processes struct{ h *Host }

func (p processes) Using(ctx context.Context, path string) ([]sys.Process, error) {
	err := p.h.enter(ctx, "processes.Using")
	defer p.h.leave()
	return p.h.State.Using[path], err
}
