package modules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// GroupArgs are the arguments of group.
type GroupArgs struct {
	Name      string `arg:"name,required" doc:"The group."`
	State     string `arg:"state" default:"present" choices:"present,absent" doc:"Whether the group should be there."`
	GID       *int   `arg:"gid" doc:"Its number. Without it a new group gets the next free one, and one that is there keeps its own."`
	System    bool   `arg:"system" default:"no" doc:"Take the number of a new group from those of the system."`
	NonUnique bool   `arg:"non_unique" default:"no" doc:"Let gid be a number that another group has. Needs gid."`
}

func groupSpec() Spec {
	return Spec{
		Name:    "group",
		Summary: "Ensure that a group is on the host, or is not",
		Place:   OnHost,
		New:     func() Module { return &GroupArgs{} },
		Notes:   []string{"Groups of the host's own files are managed, with groupadd, groupmod and groupdel. A group that only a directory service knows is an error."},
		Returns: []Return{
			{Name: "name", Type: "string", Doc: "The group."},
			{Name: "state", Type: "string", Doc: "present or absent."},
			{Name: "gid", Type: "int", Doc: "Its number, when it is there."},
			{Name: "system", Type: "bool", Doc: "The system argument."},
		},
		Examples: []Example{
			{"A group of the system", `
group:
  name: rainbond
  system: yes`},
			{"No such group", `
group:
  name: olduser
  state: absent`},
		},
	}
}

// Validate holds the rules that involve more than one option.
func (a *GroupArgs) Validate() error {
	if err := accountName("group", a.Name); err != nil {
		return err
	}
	if a.GID != nil && *a.GID < 0 {
		return errors.New("group: gid: wants 0 or more")
	}
	if a.NonUnique && a.GID == nil {
		return errors.New("group: non_unique needs gid")
	}
	return nil
}

// accountName refuses what cannot be a name of a user or group, or would be taken
// for something else in their files.
func accountName(kind, name string) error {
	switch {
	case name == "" || strings.ContainsAny(name, ":,/\n\x00 \t") || strings.ContainsAny(name[:1], "-+~#"):
		return fmt.Errorf("%s: %q cannot be the name of a %s", kind, name, kind)
	case strings.Trim(name, "0123456789") == "":
		return fmt.Errorf("%s: the name %q would be taken for a number", kind, name)
	case len(name) > 32:
		return fmt.Errorf("%s: the name %q has more than 32 letters", kind, name)
	}
	return nil
}

// Plan compares the group with what is wanted of it.
func (a *GroupArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	all, err := localAccounts(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	result := Result{"name": a.Name, "state": a.State, "system": a.System}
	group := localGroup(all, a.Name)
	if group == nil {
		_, err := host.Users().Group(ctx, a.Name)
		if there, err := present(err); err != nil || there {
			return Plan{}, elsewhere("group", a.Name, err)
		}
	}
	switch {
	case a.State == "absent" && group == nil:
		return Plan{Result: result}, nil
	case a.State == "absent":
		return Plan{Result: result, Steps: []Step{removeGroup(*group)}}, nil
	case group == nil:
		gid, err := a.newID(ctx, host, all)
		if err != nil {
			return Plan{}, err
		}
		result["gid"] = gid
		return Plan{Result: result, Steps: []Step{addGroup(sys.Group{Name: a.Name, GID: gid}, a.System, a.NonUnique)}}, nil
	}
	result["gid"] = group.GID
	if a.GID == nil || *a.GID == group.GID {
		return Plan{Result: result}, nil
	}
	c := update("group "+a.Name, "gid", strconv.Itoa(group.GID), strconv.Itoa(*a.GID))
	return Plan{Result: result, Steps: []Step{usersStep([]change.Change{c}, func(ctx context.Context, w sys.UserWriter) error {
		return w.ChangeGroup(ctx, a.Name, *a.GID, a.NonUnique)
	})}}, nil
}

func (a *GroupArgs) newID(ctx context.Context, host sys.Reader, all sys.Accounts) (int, error) {
	if a.GID != nil {
		return *a.GID, nil
	}
	ids, err := readLoginDefs(ctx, host)
	if err != nil {
		return 0, err
	}
	return ids.freeGID(all, a.System)
}

// elsewhere is the error for a name that the host's own files do not hold: err, or
// that it comes from a directory service.
func elsewhere(kind, name string, err error) error {
	if err != nil {
		return fmt.Errorf("looking for the %s %s: %w", kind, name, err)
	}
	return fmt.Errorf("the %s %s is not of this host's own files but of a directory service (see /etc/nsswitch.conf); it cannot be managed here", kind, name)
}

func localAccounts(ctx context.Context, host sys.Reader) (sys.Accounts, error) {
	all, err := host.Users().Accounts(ctx)
	if err != nil {
		return all, fmt.Errorf("looking at the host's users and groups: %w", err)
	}
	return all, nil
}

func localGroup(all sys.Accounts, name string) *sys.LocalGroup {
	if i := slices.IndexFunc(all.Groups, func(g sys.LocalGroup) bool { return g.Name == name }); i >= 0 {
		return &all.Groups[i]
	}
	return nil
}

func addGroup(g sys.Group, system, nonUnique bool) Step {
	c := change.Change{Target: "group " + g.Name, Action: change.Create, Field: "gid", After: change.Text(strconv.Itoa(g.GID))}
	return usersStep([]change.Change{c}, func(ctx context.Context, w sys.UserWriter) error {
		return w.AddGroup(ctx, g, system, nonUnique)
	})
}

func removeGroup(g sys.LocalGroup) Step {
	c := change.Change{Target: "group " + g.Name, Action: change.Remove, Field: "gid", Before: change.Text(strconv.Itoa(g.GID))}
	return usersStep([]change.Change{c}, func(ctx context.Context, w sys.UserWriter) error { return w.RemoveGroup(ctx, g.Name) })
}

func usersStep(changes []change.Change, do func(ctx context.Context, w sys.UserWriter) error) Step {
	return act{changes, func(ctx context.Context, host sys.Host, _ Result) error { return do(ctx, host.Change().Users()) }}
}
