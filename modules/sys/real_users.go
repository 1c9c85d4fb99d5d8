package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// realUsers asks getent, so that LDAP and the like count. Where there is no
// getent, the files are all there is to ask. What the C library would take from
// the files before it asks anybody else is read there at once: a task about a file
// asks for an owner and a group, and a process for each costs more than the task.
type realUsers struct {
	lookUp        func(ctx context.Context, database, key string) ([]byte, error)
	passwd, group *keptFile
	order         *keptFile // says who is asked in which order
}

func newRealUsers() *realUsers { return realUsersOf("/etc", getent) }

func realUsersOf(folder string, lookUp func(ctx context.Context, database, key string) ([]byte, error)) *realUsers {
	kept := func(name string) *keptFile { return &keptFile{path: filepath.Join(folder, name), settled: settled} }
	return &realUsers{lookUp: lookUp, passwd: kept("passwd"), group: kept("group"), order: kept("nsswitch.conf")}
}

// file gives the file of a database.
func (u *realUsers) file(database string) *keptFile {
	if database == "passwd" {
		return u.passwd
	}
	return u.group
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
	first, err := u.filesFirst(database)
	if err != nil {
		return none, fmt.Errorf("look up %s %s: %w", kind, key, err)
	}
	sources := []func() ([]byte, error){func() ([]byte, error) { return u.entries(ctx, database, key) }}
	if first {
		sources = append([]func() ([]byte, error){func() ([]byte, error) { return u.file(database).read() }}, sources...)
	}
	for _, source := range sources {
		text, err := source()
		if err != nil {
			return none, fmt.Errorf("look up %s %s: %w", kind, key, err)
		}
		if entry, ok := among(text, parse, fits); ok {
			return entry, nil
		}
	}
	return none, absent
}

// among gives the first of the lines that can be read and fits.
func among[T any](text []byte, parse func(string) (T, error), fits func(T) bool) (T, bool) {
	for line := range strings.Lines(string(text)) {
		entry, err := parse(strings.TrimSuffix(line, "\n"))
		if err == nil && fits(entry) {
			return entry, true
		}
	}
	var none T
	return none, false
}

// filesFirst tells whether an entry in the database's file is the answer whatever
// others know, as nsswitch.conf says it. Without that file it is.
func (u *realUsers) filesFirst(database string) (bool, error) {
	text, err := u.order.read()
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		name, sources, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) != database {
			continue
		}
		asked := strings.Fields(sources)
		// An action in brackets may say to go on after a success.
		return len(asked) > 0 && asked[0] == "files" && (len(asked) == 1 || asked[1][0] != '['), nil
	}
	return true, nil
}

// entries gives the lines among which that of key is, if there is one.
func (u *realUsers) entries(ctx context.Context, database, key string) ([]byte, error) {
	text, err := u.lookUp(ctx, database, key)
	if errors.Is(err, exec.ErrNotFound) {
		return u.file(database).read()
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
