package sys_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// A group that goes with its user is gone under its name and its number, and there
// again when it is made anew.
func TestShadowTakesTheGroupOfAUserAlong(t *testing.T) {
	host := systest.NewHostInMemory(t)
	ops := sys.Group{Name: "ops", GID: 4100}
	if err := host.Change().Users().AddGroup(t.Context(), ops, false, false); err != nil {
		t.Fatal(err)
	}
	user := sys.Account{User: sys.User{Name: "ops", UID: 4100, GID: 4100, Home: "/home/ops", Shell: "/bin/sh"}, Expires: -1}
	if err := host.Change().Users().AddUser(t.Context(), sys.NewAccount{Account: user}); err != nil {
		t.Fatal(err)
	}
	shadow := sys.NewShadow(host)
	if err := shadow.Change().Users().RemoveUser(t.Context(), "ops", false, false); err != nil {
		t.Fatal(err)
	}
	looks := map[string]func() error{
		"user":   func() error { _, err := shadow.Users().User(t.Context(), "ops"); return err },
		"uid":    func() error { _, err := shadow.Users().UserByID(t.Context(), 4100); return err },
		"group":  func() error { _, err := shadow.Users().Group(t.Context(), "ops"); return err },
		"number": func() error { _, err := shadow.Users().GroupByID(t.Context(), 4100); return err },
	}
	for name, look := range looks {
		if err := look(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after the removal: %v", name, err)
		}
	}
	if _, err := host.Users().Group(t.Context(), "ops"); err != nil {
		t.Errorf("the host beneath lost it too: %v", err)
	}
	ops.GID = 4200
	if err := shadow.Change().Users().AddGroup(t.Context(), ops, false, false); err != nil {
		t.Fatal(err)
	}
	if group, err := shadow.Users().Group(t.Context(), "ops"); err != nil || group != ops {
		t.Errorf("made anew: %v, %v", group, err)
	}
	if err := looks["number"](); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old number after it was made anew: %v", err)
	}
}
