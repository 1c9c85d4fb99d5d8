package modules

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// asked counts how often a host is asked for names.
type asked struct {
	sys.Host
	times *int
}

func (a asked) Users() sys.UserReader { return askedUsers{a.Host.Users(), a.times} }

type askedUsers struct {
	sys.UserReader
	times *int
}

func (a askedUsers) UserByID(ctx context.Context, uid int) (sys.User, error) {
	*a.times++
	return a.UserReader.UserByID(ctx, uid)
}

func (a askedUsers) GroupByID(ctx context.Context, gid int) (sys.Group, error) {
	*a.times++
	return a.UserReader.GroupByID(ctx, gid)
}

// The items of a loop ask once each for the owner and the group of the file, and not
// twice for each item.
func TestNamesOnceForALoop(t *testing.T) {
	times := 0
	host := NamesOnce(asked{sys.NewReal(), &times})
	file := filepath.Join(t.TempDir(), "lines")
	for i := range 10 {
		m := &LineinfileArgs{Path: file, State: "present", Line: fmt.Sprint("line ", i), Create: true}
		if out := Run(t.Context(), m, host, Emit{}); out.Status != Changed {
			t.Fatalf("%d: %s %s", i, out.Status, out.Message)
		}
	}
	if times != 2 {
		t.Errorf("it asked %d times, 2 are right", times)
	}
}
