package ssh

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
)

// The hosts of a run share what known_hosts says, until it says something else.
func TestKnownHostsAreReadOnce(t *testing.T) {
	key, _ := transporttest.NewKey(t)
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	doors := NewDoors()
	read := func() *hostKeys {
		one := &target{}
		one.Doors, one.KnownHostsFiles, one.Address, one.Port = doors, []string{file}, "node1", 22
		keys, err := newHostKeys(one)
		if err != nil {
			t.Fatal(err)
		}
		return keys
	}
	first, again := read(), read()
	if first.db != again.db {
		t.Error("the file was read for each host")
	}
	if err := note(file, "node1:22", key.PublicKey()); err != nil {
		t.Fatal(err)
	}
	if now := read(); now.db == first.db || len(now.db.HostKeys("node1:22")) != 1 {
		t.Error("what was noted is not known to the next host")
	}
	if len(doors.keys) != 1 {
		t.Errorf("%d readings are kept", len(doors.keys))
	}
}
