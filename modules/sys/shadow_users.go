package sys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// shadowUsers asks the host beneath until something is changed; from then on its
// own copy of the host's users and groups stands before it.
type shadowUsers struct {
	sh *Shadow

	mu      sync.Mutex
	local   *Accounts       // nil while nothing was changed
	removed map[string]bool // "user NAME", "group NAME": what the host beneath still has
}

func newShadowUsers(sh *Shadow) *shadowUsers {
	return &shadowUsers{sh: sh, removed: map[string]bool{}}
}

// accountFiles are those that a change of users rewrites; what they would hold is
// not modelled line by line.
var accountFiles = []string{"/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"}

// layered looks in the copy first. What the copy no longer has is not asked for
// beneath, where it still is.
func layered[T any](ctx context.Context, u *shadowUsers, kind, key string, own func(Accounts) (T, bool), name func(T) string, under func(ctx context.Context) (T, error)) (T, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	var none T
	if u.local != nil {
		if found, ok := own(*u.local); ok {
			return found, ctx.Err()
		}
	}
	found, err := under(ctx)
	if err == nil && (u.removed[kind+" "+name(found)] || u.moved(kind, name(found))) {
		return none, missing("there is no %s %s on this host", kind, key)
	}
	return found, err
}

// moved says that the copy has the entry under another number.
func (u *shadowUsers) moved(kind, name string) bool {
	if u.local == nil {
		return false
	}
	if kind == "user" {
		return u.local.user(name) != nil
	}
	return u.local.group(name) != nil
}

func (u *shadowUsers) userBy(ctx context.Context, key string, is func(User) bool, under func(ctx context.Context) (User, error)) (User, error) {
	own := func(all Accounts) (User, bool) {
		i := slices.IndexFunc(all.Users, func(a Account) bool { return is(a.User) })
		if i < 0 {
			return User{}, false
		}
		return all.Users[i].User, true
	}
	return layered(ctx, u, "user", key, own, func(user User) string { return user.Name }, under)
}

func (u *shadowUsers) groupBy(ctx context.Context, key string, is func(Group) bool, under func(ctx context.Context) (Group, error)) (Group, error) {
	own := func(all Accounts) (Group, bool) {
		i := slices.IndexFunc(all.Groups, func(g LocalGroup) bool { return is(g.Group) })
		if i < 0 {
			return Group{}, false
		}
		return all.Groups[i].Group, true
	}
	return layered(ctx, u, "group", key, own, func(group Group) string { return group.Name }, under)
}

// User looks a user up by name.
func (u *shadowUsers) User(ctx context.Context, name string) (User, error) {
	return u.userBy(ctx, name, func(user User) bool { return user.Name == name },
		func(ctx context.Context) (User, error) { return u.sh.under.Users().User(ctx, name) })
}

// UserByID looks a user up by number.
func (u *shadowUsers) UserByID(ctx context.Context, uid int) (User, error) {
	return u.userBy(ctx, strconv.Itoa(uid), func(user User) bool { return user.UID == uid },
		func(ctx context.Context) (User, error) { return u.sh.under.Users().UserByID(ctx, uid) })
}

// Group looks a group up by name.
func (u *shadowUsers) Group(ctx context.Context, name string) (Group, error) {
	return u.groupBy(ctx, name, func(group Group) bool { return group.Name == name },
		func(ctx context.Context) (Group, error) { return u.sh.under.Users().Group(ctx, name) })
}

// GroupByID looks a group up by number.
func (u *shadowUsers) GroupByID(ctx context.Context, gid int) (Group, error) {
	return u.groupBy(ctx, strconv.Itoa(gid), func(group Group) bool { return group.GID == gid },
		func(ctx context.Context) (Group, error) { return u.sh.under.Users().GroupByID(ctx, gid) })
}

// Accounts gives the host's own users and groups as they would be.
func (u *shadowUsers) Accounts(ctx context.Context) (Accounts, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.local == nil {
		return u.sh.under.Users().Accounts(ctx)
	}
	return u.local.clone(), ctx.Err()
}

func (a Accounts) clone() Accounts {
	a.Users, a.Groups = slices.Clone(a.Users), slices.Clone(a.Groups)
	for i := range a.Groups {
		a.Groups[i].Members = slices.Clone(a.Groups[i].Members)
	}
	return a
}

func (a *Accounts) user(name string) *Account {
	i := slices.IndexFunc(a.Users, func(user Account) bool { return user.Name == name })
	if i < 0 {
		return nil
	}
	return &a.Users[i]
}

func (a *Accounts) group(name string) *LocalGroup {
	i := slices.IndexFunc(a.Groups, func(g LocalGroup) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &a.Groups[i]
}

// change lets edit work on a copy, and keeps the copy when edit succeeds.
func (u *shadowUsers) change(ctx context.Context, why string, edit func(*Accounts) error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all Accounts
	if u.local != nil {
		all = u.local.clone()
	} else {
		read, err := u.sh.under.Users().Accounts(ctx)
		if err != nil {
			return err
		}
		all = read.clone()
	}
	before := all.clone()
	if err := edit(&all); err != nil {
		return err
	}
	if err := u.sh.files.overwritten(ctx, why, accountFiles...); err != nil {
		return err
	}
	u.local = &all
	u.remember(before, all)
	return nil
}

// remember keeps which entries went: also those that no one named, as the group
// that goes with its user.
func (u *shadowUsers) remember(before, after Accounts) {
	for _, user := range before.Users {
		u.removed["user "+user.Name] = true
	}
	for _, group := range before.Groups {
		u.removed["group "+group.Name] = true
	}
	for _, user := range after.Users {
		delete(u.removed, "user "+user.Name)
	}
	for _, group := range after.Groups {
		delete(u.removed, "group "+group.Name)
	}
}

// AddUser records a user, and makes the home in the shadow of the files.
func (u *shadowUsers) AddUser(ctx context.Context, a NewAccount) error {
	err := u.change(ctx, "user "+a.Name+" would be added", func(all *Accounts) error {
		return all.Add(a)
	})
	if err != nil {
		return err
	}
	u.sh.files.ran("user "+a.Name+" would be added", "/var/spool/mail/"+a.Name, "/var/mail/"+a.Name)
	if !a.CreateHome {
		return nil
	}
	return u.makeHome(ctx, a.User, a.Skeleton, true)
}

// Add is what AddUser does to the files, for those that stand in for a host.
func (a *Accounts) Add(n NewAccount) error {
	if a.user(n.Name) != nil {
		return fmt.Errorf("adding user %s: it is there already", n.Name)
	}
	if !n.NonUnique && slices.ContainsFunc(a.Users, func(other Account) bool { return other.UID == n.UID }) {
		return fmt.Errorf("adding user %s: UID %d is another's", n.Name, n.UID)
	}
	if n.Password == "" {
		n.Password = "!"
	}
	a.Users = append(a.Users, n.Account)
	return a.join(n.Name, n.Groups)
}

// join makes user a member of exactly the groups.
func (a *Accounts) join(user string, groups []string) error {
	for _, name := range groups {
		if a.group(name) == nil {
			return fmt.Errorf("user %s: there is no group %s", user, name)
		}
	}
	for i := range a.Groups {
		g := &a.Groups[i]
		is, shall := slices.Contains(g.Members, user), slices.Contains(groups, g.Name)
		switch {
		case is && !shall:
			g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return m == user })
		case !is && shall:
			g.Members = append(slices.Clone(g.Members), user)
		}
	}
	return nil
}

// homeMode is the mode that useradd gives a home.
func homeMode(ctx context.Context, host Reader) (uint32, error) {
	text, err := readSmall(ctx, host.Files(), "/etc/login.defs")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	mode := uint32(0o755)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "UMASK" && fields[0] != "HOME_MODE" {
			continue
		}
		bits, err := strconv.ParseUint(fields[1], 8, 12)
		if err != nil {
			return 0, fmt.Errorf("/etc/login.defs: %s %s is no mode", fields[0], fields[1])
		}
		if fields[0] == "HOME_MODE" {
			return uint32(bits), nil
		}
		mode = 0o777 &^ uint32(bits)
	}
	return mode, nil
}

func readSmall(ctx context.Context, files FileReader, path string) (string, error) {
	r, err := files.Open(ctx, path)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	return string(text), errors.Join(err, r.Close())
}

// MakeHome makes the home in the shadow's files as mkhomedir_helper does.
func (u *shadowUsers) MakeHome(ctx context.Context, a User, skeleton string) error {
	return u.makeHome(ctx, a, skeleton, false)
}

// makeHome copies the skeleton; useradd keeps the files' times.
func (u *shadowUsers) makeHome(ctx context.Context, a User, skeleton string, keepTimes bool) error {
	if _, err := u.sh.files.Stat(ctx, a.Home); !errors.Is(err, fs.ErrNotExist) {
		return err // there is one, or it cannot be seen
	}
	mode, err := homeMode(ctx, u.sh)
	if err != nil {
		return err
	}
	own := Attributes{Mode: &mode, UID: &a.UID, GID: &a.GID}
	if err := u.sh.files.Mkdir(ctx, a.Home, own); err != nil {
		return err
	}
	if skeleton == "" {
		skeleton = "/etc/skel"
	}
	err = u.copySkeleton(ctx, skeleton, a.Home, a, keepTimes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (u *shadowUsers) copySkeleton(ctx context.Context, from, to string, a User, keepTimes bool) error {
	files := u.sh.files
	names, err := files.ReadDir(ctx, from)
	if err != nil {
		return err
	}
	for _, name := range names {
		source, dest := filepath.Join(from, name), filepath.Join(to, name)
		info, err := files.Lstat(ctx, source)
		if err != nil {
			return err
		}
		own := Attributes{Mode: &info.Mode, UID: &a.UID, GID: &a.GID}
		switch info.Type {
		case Directory:
			if err = files.Mkdir(ctx, dest, own); err == nil {
				err = u.copySkeleton(ctx, source, dest, a, keepTimes)
			}
		case Symlink:
			var target string
			if target, err = files.Readlink(ctx, source); err == nil {
				err = errors.Join(files.Symlink(ctx, target, dest), files.SetAttributes(ctx, dest, Attributes{UID: &a.UID, GID: &a.GID}))
			}
		case Regular:
			var content Content
			if content, err = files.Content(ctx, source); err == nil {
				if keepTimes {
					own.ModTime = &info.ModTime
				}
				err = files.Write(ctx, dest, content, own)
			}
		default:
			err = fmt.Errorf("%s is a %s, which is not copied into a home", source, info.Type)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ChangeUser records a change.
func (u *shadowUsers) ChangeUser(ctx context.Context, name string, to AccountChange) error {
	var old Account
	err := u.change(ctx, "user "+name+" would be changed", func(all *Accounts) error {
		if a := all.user(name); a != nil {
			old = *a
		}
		return all.Change(name, to)
	})
	if err != nil {
		return err
	}
	home := old.Home
	if to.Home != nil {
		home = *to.Home
	}
	if _, err := u.sh.files.Stat(ctx, old.Home); to.MoveHome && home != old.Home && !errors.Is(err, fs.ErrNotExist) {
		if err := errors.Join(err, u.sh.files.Rename(ctx, old.Home, home)); err != nil {
			return err
		}
	}
	return u.chownHome(ctx, home, old.User, to)
}

// chownHome gives what is the user's in the home the new numbers, as usermod does.
func (u *shadowUsers) chownHome(ctx context.Context, home string, old User, to AccountChange) error {
	if to.UID == nil && to.GID == nil {
		return nil
	}
	info, err := u.sh.files.Lstat(ctx, home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.UID != old.UID {
		return err
	}
	return u.chownTree(ctx, home, info, old, to)
}

func (u *shadowUsers) chownTree(ctx context.Context, path string, info FileInfo, old User, to AccountChange) error {
	var own Attributes
	if info.UID == old.UID {
		own.UID = to.UID
	}
	if info.GID == old.GID {
		own.GID = to.GID
	}
	if err := u.sh.files.SetAttributes(ctx, path, own); err != nil || info.Type != Directory {
		return err
	}
	names, err := u.sh.files.ReadDir(ctx, path)
	if err != nil {
		return err
	}
	for _, name := range names {
		below := filepath.Join(path, name)
		info, err := u.sh.files.Lstat(ctx, below)
		if err == nil {
			err = u.chownTree(ctx, below, info, old, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Change is what ChangeUser does to the files.
func (a *Accounts) Change(name string, to AccountChange) error {
	user := a.user(name)
	if user == nil {
		return missing("there is no user %s on this host", name)
	}
	take(&user.UID, to.UID)
	take(&user.GID, to.GID)
	take(&user.Expires, to.Expires)
	take(&user.MaxAge, to.MaxAge)
	take(&user.MinAge, to.MinAge)
	take(&user.Comment, to.Comment)
	take(&user.Home, to.Home)
	take(&user.Shell, to.Shell)
	take(&user.Password, to.Password)
	if to.Groups == nil {
		return nil
	}
	return a.join(name, *to.Groups)
}

func take[T any](into, value *T) {
	if value != nil {
		*into = *value
	}
}

// RemoveUser records that a user goes, and takes the home from the shadow's files.
func (u *shadowUsers) RemoveUser(ctx context.Context, name string, home, _ bool) error {
	var old Account
	err := u.change(ctx, "user "+name+" would be removed", func(all *Accounts) error {
		if a := all.user(name); a != nil {
			old = *a
		}
		return all.Remove(name)
	})
	if err != nil || !home {
		return err
	}
	for _, path := range []string{old.Home, "/var/mail/" + name, "/var/spool/mail/" + name} {
		if err := u.sh.files.RemoveAll(ctx, path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Remove is what RemoveUser does to the files: the user's own group goes too when
// nobody else is in it.
func (a *Accounts) Remove(name string) error {
	user := a.user(name)
	if user == nil {
		return missing("there is no user %s on this host", name)
	}
	gid := user.GID
	a.Users = slices.DeleteFunc(slices.Clone(a.Users), func(other Account) bool { return other.Name == name })
	if err := a.join(name, nil); err != nil {
		return err
	}
	own := a.group(name)
	used := slices.ContainsFunc(a.Users, func(other Account) bool { return other.GID == gid })
	if own != nil && own.GID == gid && !used && len(own.Members) == 0 {
		a.Groups = slices.DeleteFunc(slices.Clone(a.Groups), func(g LocalGroup) bool { return g.Name == name })
	}
	return nil
}

// AddGroup records a group.
func (u *shadowUsers) AddGroup(ctx context.Context, g Group, _, nonUnique bool) error {
	return u.change(ctx, "group "+g.Name+" would be added", func(all *Accounts) error {
		return all.AddGroup(g, nonUnique)
	})
}

// AddGroup is what the AddGroup of a host does to the files.
func (a *Accounts) AddGroup(g Group, nonUnique bool) error {
	if a.group(g.Name) != nil {
		return fmt.Errorf("adding group %s: it is there already", g.Name)
	}
	if err := a.gidFree(g, nonUnique); err != nil {
		return err
	}
	a.Groups = append(a.Groups, LocalGroup{Group: g})
	return nil
}

func (a *Accounts) gidFree(g Group, nonUnique bool) error {
	if !nonUnique && slices.ContainsFunc(a.Groups, func(other LocalGroup) bool { return other.GID == g.GID && other.Name != g.Name }) {
		return fmt.Errorf("group %s: GID %d is another's", g.Name, g.GID)
	}
	return nil
}

// ChangeGroup records another number; the users whose primary group it is follow.
func (u *shadowUsers) ChangeGroup(ctx context.Context, name string, gid int, nonUnique bool) error {
	return u.change(ctx, "group "+name+" would be changed", func(all *Accounts) error {
		return all.ChangeGroup(name, gid, nonUnique)
	})
}

// ChangeGroup is what the ChangeGroup of a host does to the files.
func (a *Accounts) ChangeGroup(name string, gid int, nonUnique bool) error {
	g := a.group(name)
	if g == nil {
		return missing("there is no group %s on this host", name)
	}
	if err := a.gidFree(Group{Name: name, GID: gid}, nonUnique); err != nil {
		return err
	}
	for i := range a.Users {
		if a.Users[i].GID == g.GID {
			a.Users[i].GID = gid
		}
	}
	g.GID = gid
	return nil
}

// RemoveGroup records that a group goes.
func (u *shadowUsers) RemoveGroup(ctx context.Context, name string) error {
	return u.change(ctx, "group "+name+" would be removed", func(all *Accounts) error {
		return all.RemoveGroup(name)
	})
}

// RemoveGroup is what the RemoveGroup of a host does to the files. The primary
// group of a user cannot go, as with groupdel.
func (a *Accounts) RemoveGroup(name string) error {
	g := a.group(name)
	if g == nil {
		return missing("there is no group %s on this host", name)
	}
	if i := slices.IndexFunc(a.Users, func(user Account) bool { return user.GID == g.GID }); i >= 0 {
		return fmt.Errorf("removing group %s: it is the primary group of user %s", name, a.Users[i].Name)
	}
	a.Groups = slices.DeleteFunc(slices.Clone(a.Groups), func(other LocalGroup) bool { return other.Name == name })
	return nil
}
