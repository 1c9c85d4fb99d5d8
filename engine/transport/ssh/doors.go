package ssh

import (
	"context"
	"sync"
)

// sshd lets ten connections stand before it that have not logged in; from the
// eleventh on it drops some at random (MaxStartups 10:30:100). Others may be at the
// door as well, so we take eight.
const atDoor = 8

// A login is some milliseconds of this machine's processor time. Of thousands at
// once each would take longer than a login may.
const atOnce = 64

// Doors is what the hosts of a run share on their way in. It keeps many hosts that are one server, or lie behind one jump host, from
// logging in all at once, and all of them from logging in faster than this machine
// can. One is shared by the hosts of a run, through Config.
type Doors struct {
	logins chan struct{}

	mu    sync.Mutex
	doors map[door]chan struct{}
	keys  map[string]*keyFiles
}

// door is a server: an address, as seen from the end of a chain of jump hosts.
type door struct{ through, address string }

// NewDoors makes Doors that nobody stands at.
func NewDoors() *Doors {
	return &Doors{logins: make(chan struct{}, atOnce), doors: map[door]chan struct{}{}, keys: map[string]*keyFiles{}}
}

// enter waits for a place before a server, until ctx ends. What it returns gives
// the place back. Without Doors there is no limit.
func (d *Doors) enter(ctx context.Context, through, address string) (leave func(), err error) {
	if d == nil {
		return func() {}, nil
	}
	d.mu.Lock()
	places := d.doors[door{through, address}]
	if places == nil {
		places = make(chan struct{}, atDoor)
		d.doors[door{through, address}] = places
	}
	d.mu.Unlock()
	return take(ctx, places)
}

// login waits until one more connection may log in, as enter does.
func (d *Doors) login(ctx context.Context) (done func(), err error) {
	if d == nil {
		return func() {}, nil
	}
	return take(ctx, d.logins)
}

func take(ctx context.Context, places chan struct{}) (leave func(), err error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
