package modules

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// loginDefs are the settings of useradd and groupadd. The numbers of new users and
// groups are chosen here rather than there, so that check mode knows them.
type loginDefs struct {
	words map[string]string // of login.defs, and of default/useradd as "useradd HOME"
}

func readLoginDefs(ctx context.Context, host sys.Reader) (loginDefs, error) {
	defs := loginDefs{map[string]string{}}
	for file, prefix := range map[string]string{"/etc/login.defs": "", "/etc/default/useradd": "useradd "} {
		at, err := look(ctx, host, file)
		if err != nil {
			return defs, err
		}
		if !at.exists {
			continue
		}
		text, err := readText(ctx, host, at)
		if err != nil {
			return defs, err
		}
		for line := range strings.Lines(text) {
			words := strings.FieldsFunc(line, func(c rune) bool { return strings.ContainsRune(" \t\n=", c) })
			if len(words) >= 2 && !strings.HasPrefix(words[0], "#") {
				defs.words[prefix+words[0]] = words[1]
			}
		}
	}
	return defs, nil
}

func (d loginDefs) word(name, otherwise string) string {
	if word, ok := d.words[name]; ok {
		return word
	}
	return otherwise
}

func (d loginDefs) number(name string, otherwise int) (int, error) {
	word, ok := d.words[name]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(word, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("/etc/login.defs: %s %s is no number", name, word)
	}
	return int(n), nil
}

// freeUID is the UID that a new user gets.
func (d loginDefs) freeUID(all sys.Accounts, system bool) (int, error) {
	used := map[int]bool{}
	for _, user := range all.Users {
		used[user.UID] = true
	}
	return d.free("UID", used, system)
}

// freeGID is the GID that a new group gets.
func (d loginDefs) freeGID(all sys.Accounts, system bool) (int, error) {
	used := map[int]bool{}
	for _, group := range all.Groups {
		used[group.GID] = true
	}
	return d.free("GID", used, system)
}

// free follows useradd: one more than the highest that is used, for the system one
// less than the lowest, and the gaps once there is no room at the end.
func (d loginDefs) free(kind string, used map[int]bool, system bool) (int, error) {
	low, errLow := d.number(kind+"_MIN", 1000)
	high, errHigh := d.number(kind+"_MAX", 60000)
	if system {
		high, errHigh = d.number("SYS_"+kind+"_MAX", low-1)
		low, errLow = d.number("SYS_"+kind+"_MIN", 101)
	}
	if err := errors.Join(errLow, errHigh); err != nil {
		return 0, err
	}
	next, step := low, 1
	if system {
		next, step = high, -1
	}
	for id := range used {
		switch {
		case id < low || id > high:
		case !system && id >= next, system && id <= next:
			next = id + step
		}
	}
	if next >= low && next <= high {
		return next, nil
	}
	for id := low; id <= high; id++ {
		if !used[id] {
			return id, nil
		}
	}
	return 0, fmt.Errorf("every %s from %d to %d is used; /etc/login.defs sets the range", kind, low, high)
}
