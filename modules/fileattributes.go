package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// The bits of a file or directory that a task makes without saying a mode. They
// do not depend on the agent's umask, so that check mode can foretell them.
const (
	newFileMode      = 0o644
	newDirectoryMode = 0o755
)

// FileAttributes are the options of every module that makes or edits files.
type FileAttributes struct {
	Mode  *Mode   `arg:"mode" doc:"Permission bits: '0644' in quotes, or symbolic as in u=rw,g+r. Left as they are when not given; a new file gets 0644, a new directory 0755."`
	Owner *string `arg:"owner" doc:"The owner, a name or a number. Left as it is when not given."`
	Group *string `arg:"group" doc:"The group, a name or a number. Left as it is when not given."`
}

// noPreserve refuses mode: preserve where there is no source to take it from.
func (a FileAttributes) noPreserve() error {
	if a.Mode != nil && a.Mode.Preserve {
		return errors.New("mode: preserve needs a source file to take the mode from")
	}
	return nil
}

// difference says what has to be set on f, and how to show it. For a file that
// does not exist yet, fresh are the bits that a mode is applied to.
func (a FileAttributes) difference(ctx context.Context, host sys.Reader, f found, fresh uint32, directory bool) (sys.Attributes, []change.Change, error) {
	d := attributeDifference{file: f}
	now := f.info.Mode
	if !f.exists {
		now = fresh
	}
	if mode := a.modeOn(now, directory); !f.exists || mode != now {
		d.set.Mode = &mode
		d.show("mode", octal(now), octal(mode))
	}
	if err := d.owner(ctx, host, a.Owner); err != nil {
		return d.set, nil, err
	}
	if err := d.group(ctx, host, a.Group); err != nil {
		return d.set, nil, err
	}
	if (d.set.UID != nil || d.set.GID != nil) && d.set.Mode == nil {
		d.set.Mode = &now // the kernel drops setuid and setgid when the owner changes
	}
	return d.set, d.changes, nil
}

// attributeDifference gathers what is to be set on a file.
type attributeDifference struct {
	file    found
	set     sys.Attributes
	changes []change.Change
}

func (d *attributeDifference) show(field, before, after string) {
	c := change.Change{Target: d.file.path, Action: change.Create, Field: field, After: change.Text(after)}
	if d.file.exists {
		c.Action, c.Before = change.Update, change.Text(before)
	}
	d.changes = append(d.changes, c)
}

func (d *attributeDifference) owner(ctx context.Context, host sys.Reader, want *string) error {
	if want == nil {
		return nil
	}
	uid, err := findUser(ctx, host, *want)
	if err != nil || (d.file.exists && uid == d.file.info.UID) {
		return err
	}
	before, err := ownerName(ctx, host, d.file.info.UID)
	if err != nil {
		return err
	}
	d.set.UID = &uid
	d.show("owner", before, *want)
	return nil
}

func (d *attributeDifference) group(ctx context.Context, host sys.Reader, want *string) error {
	if want == nil {
		return nil
	}
	gid, err := findGroup(ctx, host, *want)
	if err != nil || (d.file.exists && gid == d.file.info.GID) {
		return err
	}
	before, err := groupName(ctx, host, d.file.info.GID)
	if err != nil {
		return err
	}
	d.set.GID = &gid
	d.show("group", before, *want)
	return nil
}

func (a FileAttributes) modeOn(now uint32, directory bool) uint32 {
	if a.Mode == nil {
		return now
	}
	return a.Mode.On(now, directory)
}

// findUser gives the number of a user who is named or numbered. A name that is a
// number counts as a name first, as in chown(1).
func findUser(ctx context.Context, host sys.Reader, name string) (int, error) {
	user, err := host.Users().User(ctx, name)
	if err == nil {
		return user.UID, nil
	}
	return numberInstead("user", name, err)
}

func findGroup(ctx context.Context, host sys.Reader, name string) (int, error) {
	group, err := host.Users().Group(ctx, name)
	if err == nil {
		return group.GID, nil
	}
	return numberInstead("group", name, err)
}

func numberInstead(kind, name string, err error) (int, error) {
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("looking for the %s %s: %w", kind, name, err)
	}
	n, notNumber := strconv.ParseUint(name, 10, 31)
	if notNumber != nil {
		return 0, fmt.Errorf("the host has no %s %s", kind, name)
	}
	return int(n), nil
}

// ownerName is the user's name, or the number of one that has none.
func ownerName(ctx context.Context, host sys.Reader, uid int) (string, error) {
	user, err := host.Users().UserByID(ctx, uid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return strconv.Itoa(uid), nil
	case err != nil:
		return "", fmt.Errorf("looking for the name of user %d: %w", uid, err)
	}
	return user.Name, nil
}

func groupName(ctx context.Context, host sys.Reader, gid int) (string, error) {
	group, err := host.Users().GroupByID(ctx, gid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return strconv.Itoa(gid), nil
	case err != nil:
		return "", fmt.Errorf("looking for the name of group %d: %w", gid, err)
	}
	return group.Name, nil
}
