package sys

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// uncut is for a change of several programs, or of several files by one: half of it
// would be neither the old state nor the new one. It begins only while ctx lasts, and
// is then not cut off.
func uncut(ctx context.Context) (context.Context, error) {
	return context.WithoutCancel(ctx), ctx.Err()
}

// AddUser calls useradd, then chpasswd for the password.
func (u *realUsers) AddUser(ctx context.Context, a NewAccount) error {
	ctx, err := uncut(ctx)
	if err != nil {
		return err
	}
	args := []string{"useradd", "-u", strconv.Itoa(a.UID), "-g", strconv.Itoa(a.GID), "-N"}
	flag := func(when bool, words ...string) {
		if when {
			args = append(args, words...)
		}
	}
	flag(a.NonUnique, "-o")
	flag(a.System, "-r")
	flag(len(a.Groups) > 0, "-G", strings.Join(a.Groups, ","))
	flag(a.Comment != "", "-c", a.Comment)
	flag(a.Home != "", "-d", a.Home)
	flag(a.Shell != "", "-s", a.Shell)
	flag(a.Expires >= 0, "-e", day(a.Expires))
	flag(a.CreateHome, "-m")
	flag(!a.CreateHome, "-M")
	flag(a.CreateHome && a.Skeleton != "", "-k", a.Skeleton)
	if err := accountProgram(ctx, "", append(args, "--", a.Name)...); err != nil {
		return fmt.Errorf("adding user %s: %w", a.Name, err)
	}
	rest := AccountChange{}
	if a.Password != "" && a.Password != "!" {
		rest.Password = &a.Password
	}
	if a.MaxAge >= 0 {
		rest.MaxAge = &a.MaxAge
	}
	if a.MinAge >= 0 {
		rest.MinAge = &a.MinAge
	}
	if err := u.ChangeUser(ctx, a.Name, rest); err != nil {
		return fmt.Errorf("user %s was added, but: %w", a.Name, err)
	}
	return nil
}

// day is how useradd and usermod want a date.
func day(n int) string {
	if n < 0 {
		return "" // never
	}
	return time.Unix(int64(n)*86400, 0).UTC().Format(time.DateOnly)
}

// MakeHome calls PAM's mkhomedir_helper, which sets the SELinux context too.
func (*realUsers) MakeHome(ctx context.Context, user User, skeleton string) error {
	if skeleton == "" {
		skeleton = "/etc/skel"
	}
	mode, err := homeMode(ctx, NewReal())
	if err != nil {
		return err
	}
	if err := accountProgram(ctx, "", "mkhomedir_helper", user.Name, fmt.Sprintf("%04o", 0o777&^mode), skeleton); err != nil {
		return fmt.Errorf("making the home of user %s: %w", user.Name, err)
	}
	return nil
}

// ChangeUser calls usermod, chage and chpasswd for what is to change.
func (u *realUsers) ChangeUser(ctx context.Context, name string, to AccountChange) error {
	ctx, err := uncut(ctx)
	if err != nil {
		return err
	}
	if args := usermodArgs(to); len(args) > 0 {
		if err := accountProgram(ctx, "", append(append([]string{"usermod"}, args...), "--", name)...); err != nil {
			return fmt.Errorf("changing user %s: %w", name, err)
		}
	}
	for flag, age := range map[string]*int{"-M": to.MaxAge, "-m": to.MinAge} {
		if age == nil {
			continue
		}
		if err := accountProgram(ctx, "", "chage", flag, strconv.Itoa(*age), "--", name); err != nil {
			return fmt.Errorf("changing the age of the password of user %s: %w", name, err)
		}
	}
	if to.Password == nil {
		return nil
	}
	if strings.ContainsAny(*to.Password, ":\n\x00") {
		return fmt.Errorf("the password of user %s is no hash: it holds a colon or a new line", name)
	}
	if err := accountProgram(ctx, name+":"+*to.Password+"\n", "chpasswd", "-e"); err != nil {
		return fmt.Errorf("setting the password of user %s: %w", name, err)
	}
	return nil
}

func usermodArgs(to AccountChange) []string {
	var args []string
	if to.UID != nil {
		args = append(args, "-u", strconv.Itoa(*to.UID))
		if to.NonUnique {
			args = append(args, "-o")
		}
	}
	if to.GID != nil {
		args = append(args, "-g", strconv.Itoa(*to.GID))
	}
	for flag, text := range map[string]*string{"-c": to.Comment, "-d": to.Home, "-s": to.Shell} {
		if text != nil {
			args = append(args, flag, *text)
		}
	}
	if to.Home != nil && to.MoveHome {
		args = append(args, "-m")
	}
	if to.Groups != nil {
		args = append(args, "-G", strings.Join(*to.Groups, ","))
	}
	if to.Expires != nil {
		args = append(args, "-e", day(*to.Expires))
	}
	return args
}

// RemoveUser calls userdel.
func (u *realUsers) RemoveUser(ctx context.Context, name string, home, force bool) error {
	args := []string{"userdel"}
	if force {
		args = append(args, "-f")
	}
	if home {
		args = append(args, "-r")
	}
	if err := accountProgram(ctx, "", append(args, "--", name)...); err != nil {
		return fmt.Errorf("removing user %s: %w", name, err)
	}
	return nil
}

// AddGroup calls groupadd.
func (u *realUsers) AddGroup(ctx context.Context, g Group, system, nonUnique bool) error {
	args := []string{"groupadd", "-g", strconv.Itoa(g.GID)}
	if system {
		args = append(args, "-r")
	}
	if nonUnique {
		args = append(args, "-o")
	}
	if err := accountProgram(ctx, "", append(args, "--", g.Name)...); err != nil {
		return fmt.Errorf("adding group %s: %w", g.Name, err)
	}
	return nil
}

// ChangeGroup calls groupmod.
func (u *realUsers) ChangeGroup(ctx context.Context, name string, gid int, nonUnique bool) error {
	args := []string{"groupmod", "-g", strconv.Itoa(gid)}
	if nonUnique {
		args = append(args, "-o")
	}
	if err := accountProgram(ctx, "", append(args, "--", name)...); err != nil {
		return fmt.Errorf("changing group %s: %w", name, err)
	}
	return nil
}

// RemoveGroup calls groupdel.
func (u *realUsers) RemoveGroup(ctx context.Context, name string) error {
	if err := accountProgram(ctx, "", "groupdel", "--", name); err != nil {
		return fmt.Errorf("removing group %s: %w", name, err)
	}
	return nil
}

// accountProgram runs one of shadow's programs. They wait for /etc/.pwd.lock
// themselves, and change several files, of which they replace each one whole.
func accountProgram(ctx context.Context, stdin string, args ...string) error {
	ctx, err := uncut(ctx)
	if err != nil {
		return err
	}
	r, err := newRealCommands().Run(ctx, Command{
		Args: args, Env: []string{"LC_ALL=C.UTF-8"}, Stdin: strings.NewReader(stdin), Timeout: 5 * time.Minute,
	})
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("the host has no program %s", args[0])
	case err != nil:
		return fmt.Errorf("%s: %w", args[0], err)
	case r.Code != 0 && !(args[0] == "userdel" && r.Code == 12): // 12: the home could not be removed whole, it is looked at again
		return fmt.Errorf("%s: %s", args[0], said(r))
	}
	return nil
}
