package modulestest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

// Cancellable is a host in memory for one task, with what the test lets it be besides.
type Cancellable struct {
	Host *systest.Host
	// Besides describes what the host's State does not, piece by piece: the volumes of
	// a fake gluster. It may be nil.
	Besides func() map[string]string
}

// Cancels ends a task at each call that it makes on a host in memory, in turn. Each
// piece of the host (a file, a unit, a package, a user, …) must then be as it was or
// as it should become, what was done must have been told, and running the task again
// must reach the very state that it reaches in one go. It returns how many calls
// there were.
func Cancels(t *testing.T, m modules.Module, newHost func(t *testing.T) Cancellable) int {
	t.Helper()
	host, calls := newHost(t), 0
	before := host.pieces(t)
	host.Host.State.Entered = func(string) { calls++ }
	if out := modules.Run(t.Context(), m, host.Host, modules.Emit{}); out.Status != modules.Changed {
		t.Fatalf("the task that is to be cancelled ends %s: %s", out.Status, out.Message)
	}
	after := host.pieces(t)
	if cmp.Equal(before, after) {
		t.Fatal("the task that is to be cancelled changes nothing that would be seen")
	}
	for at := 1; at <= calls; at++ {
		cancelAt(t, m, newHost(t), at, before, after)
	}
	return calls
}

func cancelAt(t *testing.T, m modules.Module, host Cancellable, at int, before, after map[string]string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls, during := 0, ""
	host.Host.State.Entered = func(operation string) {
		if calls++; calls == at {
			during = operation
			cancel()
		}
	}
	out := modules.Run(ctx, m, host.Host, modules.Emit{})
	got := host.pieces(t)
	switch {
	case out.Status == modules.Changed && cmp.Equal(got, after): // a look of no account was the last call
	case out.Status == modules.Failed && strings.Contains(out.Message, context.Canceled.Error()):
	default:
		t.Fatalf("cancelled at call %d, %s, it ended %s: %s", at, during, out.Status, out.Message)
	}
	for _, piece := range differing(before, got) {
		if got[piece] != after[piece] {
			t.Fatalf("cancelled at call %d, %s: %s became %q, which is neither what it was, %q, nor what it should be, %q",
				at, during, piece, got[piece], before[piece], after[piece])
		}
	}
	if out.Status == modules.Failed && len(out.Changes) > 0 && !strings.Contains(out.Message, "already done") {
		t.Fatalf("cancelled at call %d, %s, it does not name what was done: %s", at, during, out.Message)
	}
	again := modules.Run(t.Context(), m, host.Host, modules.Emit{})
	if again.Status == modules.Failed {
		t.Fatalf("after it was cancelled at call %d, %s, running it again fails: %s", at, during, again.Message)
	}
	if diff := cmp.Diff(after, host.pieces(t)); diff != "" {
		t.Fatalf("after it was cancelled at call %d, %s, running it again leads elsewhere (-in one go +again):\n%s", at, during, diff)
	}
}

// differing lists the pieces that are not the same in both.
func differing(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	var names []string
	for name := range all {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	return names
}

// pieces describes all that the host is, piece by piece, but for times and inodes.
func (c Cancellable) pieces(t *testing.T) map[string]string {
	t.Helper()
	c.Host.State.Entered = nil
	pieces := map[string]string{}
	for path, e := range systest.Tree(t, c.Host, "/") {
		pieces["file "+path] = fmt.Sprintf("%s %s %d:%d %s%s", e.Type, e.Mode, e.UID, e.GID, e.Content, e.Target)
	}
	s := c.Host.State
	for name, p := range s.Packages {
		pieces["package "+name] = fmt.Sprint(p)
	}
	for name, u := range s.Units {
		pieces["unit file "+name] = u.Load + " " + u.File
		pieces["unit state "+name] = fmt.Sprint(u.Active, u.Sub, u.MainPID)
	}
	for _, m := range s.Mounts {
		pieces["mount "+m.Target] += fmt.Sprint(m)
	}
	for _, u := range s.Users {
		pieces["user "+u.Name] = fmt.Sprintf("%v %v", u, s.Details[u.Name])
	}
	for _, g := range s.Groups {
		pieces["group "+g.Name] = fmt.Sprintf("%v %v", g, s.Members[g.Name])
	}
	pieces["system"] = fmt.Sprint(s.System)
	if c.Besides != nil {
		maps.Copy(pieces, c.Besides())
	}
	return pieces
}
