package ssh

import (
	"context"
	"errors"
	"testing"
)

// However many servers there are, only so many logins go on at once.
func TestLoginsAtOnce(t *testing.T) {
	d := NewDoors()
	var done func()
	for range atOnce {
		var err error
		if done, err = d.login(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.login(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many: %v", err)
	}
	done()
	if _, err := d.login(t.Context()); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

// An address means one server on each side of a jump host.
func TestDoorsBehindJumpHosts(t *testing.T) {
	d := NewDoors()
	for range atDoor {
		if _, err := d.enter(t.Context(), "", "10.0.0.1:22"); err != nil {
			t.Fatal(err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.enter(ended, "", "10.0.0.1:22"); !errors.Is(err, context.Canceled) {
		t.Errorf("one too many: %v", err)
	}
	if _, err := d.enter(t.Context(), "jump:22 ", "10.0.0.1:22"); err != nil {
		t.Errorf("behind a jump host: %v", err)
	}
}
