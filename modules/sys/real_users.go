package sys

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// realUsers asks getent, so that LDAP and the like count. Where there is no
// getent, the files are all there is to ask.
type realUsers struct {
	lookUp func(ctx context.Context, database, key string) ([]byte, error)
	files  map[string]string // database to its file
}

func newRealUsers() *realUsers {
	return &realUsers{
		lookUp: getent,
		files:  map[string]string{"passwd": "/etc/passwd", "group": "/etc/group"},
	}
}

// User looks a user up by name.
func (u *realUsers) User(ctx context.Context, name string) (User, error) {
	return find(ctx, u, "passwd", "user", name, parseUser, func(user User) bool { return user.Name == name })
}

// UserByID looks a user up by number.
func (u *realUsers) UserByID(ctx context.Context, uid int) (User, error) {
	return find(ctx, u, "passwd", "user", strconv.Itoa(uid), parseUser, func(user User) bool { return user.UID == uid })
}

// Group looks a group up by name.
func (u *realUsers) Group(ctx context.Context, name string) (Group, error) {
	return find(ctx, u, "group", "group", name, parseGroup, func(group Group) bool { return group.Name == name })
}

// GroupByID looks a group up by number.
func (u *realUsers) GroupByID(ctx context.Context, gid int) (Group, error) {
	return find(ctx, u, "group", "group", strconv.Itoa(gid), parseGroup, func(group Group) bool { return group.GID == gid })
}

// find gives the entry that fits. getent takes digits for a number even where a
// name was meant, so that its answer is checked, too.
func find[T any](ctx context.Context, u *realUsers, database, kind, key string, parse func(string) (T, error), fits func(T) bool) (T, error) {
	var none T
	absent := missing("there is no %s %s on this host", kind, key)
	if key == "" || strings.HasPrefix(key, "-") || strings.ContainsAny(key, ":\n\x00") {
		return none, absent
	}
	text, err := u.entries(ctx, database, key)
	if err != nil {
		return none, fmt.Errorf("look up %s %s: %w", kind, key, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, len(text)+1) // a group may have many members
	for lines.Scan() {
		entry, err := parse(lines.Text())
		if err == nil && fits(entry) {
			return entry, nil
		}
	}
	if err := lines.Err(); err != nil {
		return none, fmt.Errorf("look up %s %s: %w", kind, key, err)
	}
	return none, absent
}

// entries gives the lines among which that of key is, if there is one.
func (u *realUsers) entries(ctx context.Context, database, key string) ([]byte, error) {
	text, err := u.lookUp(ctx, database, key)
	if errors.Is(err, exec.ErrNotFound) {
		return os.ReadFile(u.files[database])
	}
	return text, err
}

func getent(ctx context.Context, database, key string) ([]byte, error) {
	r, err := newRealCommands().Probe(ctx, Command{
		Args: []string{"getent", database, key}, Env: []string{"LC_ALL=C.UTF-8"}, Timeout: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	switch r.Code {
	case 0, 2: // 2: no such entry
		return r.Stdout, nil
	}
	return nil, fmt.Errorf("getent ended with code %d: %s", r.Code, said(r))
}

func parseUser(line string) (User, error) {
	fields := strings.Split(line, ":")
	if len(fields) != 7 {
		return User{}, fmt.Errorf("%d fields where passwd has 7", len(fields))
	}
	uid, err := id(fields[2])
	if err != nil {
		return User{}, err
	}
	gid, err := id(fields[3])
	if err != nil {
		return User{}, err
	}
	return User{Name: fields[0], UID: uid, GID: gid, Home: fields[5], Shell: fields[6]}, nil
}

func parseGroup(line string) (Group, error) {
	fields := strings.Split(line, ":")
	if len(fields) != 4 {
		return Group{}, fmt.Errorf("%d fields where group has 4", len(fields))
	}
	gid, err := id(fields[2])
	return Group{Name: fields[0], GID: gid}, err
}

func id(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	return int(n), err
}
