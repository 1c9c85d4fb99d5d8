package systest

import (
	"context"
	"errors"
	"io/fs"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// accounts puts State's users and groups together with their details.
func (h *Host) accounts() sys.Accounts {
	var all sys.Accounts
	for _, user := range h.State.Users {
		account, told := h.State.Details[user.Name]
		if !told {
			account = sys.Account{Password: "!", Expires: -1, MaxAge: -1, MinAge: -1}
		}
		account.User = user
		all.Users = append(all.Users, account)
	}
	for _, g := range h.State.Groups {
		all.Groups = append(all.Groups, sys.LocalGroup{Group: g, Members: h.State.Members[g.Name]})
	}
	return all
}

// keep is the other way.
func (h *Host) keep(all sys.Accounts) {
	h.State.Users, h.State.Groups = nil, nil
	for _, a := range all.Users {
		h.State.Users = append(h.State.Users, a.User)
		h.State.Details[a.Name] = a
	}
	for _, g := range all.Groups {
		h.State.Groups = append(h.State.Groups, g.Group)
		h.State.Members[g.Name] = g.Members
	}
}

func (u users) Accounts(ctx context.Context) (sys.Accounts, error) {
	err := u.h.enter(ctx, "users.Accounts")
	defer u.h.leave()
	if err != nil {
		return sys.Accounts{}, err
	}
	return u.h.accounts(), nil
}

func (u users) edit(ctx context.Context, operation string, edit func(*sys.Accounts) error) error {
	err := u.h.enter(ctx, "users."+operation)
	defer u.h.leave()
	if err != nil {
		return err
	}
	all := u.h.accounts()
	if err := edit(&all); err != nil {
		return err
	}
	u.h.keep(all)
	return nil
}

// uncut is as for the programs of a real host: what has begun is done to its end.
func uncut(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), ctx.Err()
}

// AddUser makes the home too; there is no skeleton.
func (u users) AddUser(ctx context.Context, a sys.NewAccount) error {
	ctx, err := uncut(ctx)
	if err != nil {
		return err
	}
	err = u.edit(ctx, "AddUser", func(all *sys.Accounts) error { return all.Add(a) })
	if err != nil || !a.CreateHome {
		return err
	}
	return u.MakeHome(ctx, a.User, a.Skeleton)
}

// MakeHome makes an empty home.
func (u users) MakeHome(ctx context.Context, a sys.User, _ string) error {
	mode := uint32(0o755)
	err := u.h.Change().Files().Mkdir(ctx, a.Home, sys.Attributes{Mode: &mode, UID: &a.UID, GID: &a.GID})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (u users) ChangeUser(ctx context.Context, name string, to sys.AccountChange) error {
	old, err := u.User(ctx, name)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err = u.edit(ctx, "ChangeUser", func(all *sys.Accounts) error { return all.Change(name, to) })
	if err != nil || to.Home == nil || !to.MoveHome {
		return err
	}
	return u.h.Change().Files().Rename(ctx, old.Home, *to.Home)
}

func (u users) RemoveUser(ctx context.Context, name string, home, _ bool) error {
	old, err := u.User(ctx, name)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	err = u.edit(ctx, "RemoveUser", func(all *sys.Accounts) error { return all.Remove(name) })
	if err != nil || !home {
		return err
	}
	err = u.h.Change().Files().RemoveAll(ctx, old.Home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (u users) AddGroup(ctx context.Context, g sys.Group, _, nonUnique bool) error {
	return u.edit(ctx, "AddGroup", func(all *sys.Accounts) error { return all.AddGroup(g, nonUnique) })
}

func (u users) ChangeGroup(ctx context.Context, name string, gid int, nonUnique bool) error {
	return u.edit(ctx, "ChangeGroup", func(all *sys.Accounts) error { return all.ChangeGroup(name, gid, nonUnique) })
}

func (u users) RemoveGroup(ctx context.Context, name string) error {
	return u.edit(ctx, "RemoveGroup", func(all *sys.Accounts) error { return all.RemoveGroup(name) })
}
