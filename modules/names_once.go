package modules

import (
	"context"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// NamesOnce is a host that asks the user and group databases once for each name and
// number. It lives for a time within which they do not change: one plan, which over a
// tree of files would otherwise ask for each file, or a loop that edits one file and
// does nothing else.
func NamesOnce(host sys.Host) sys.Host {
	return &namesHost{Host: host, users: &names{
		UserReader: host.Users(),
		users:      map[string]answer[sys.User]{}, userIDs: map[int]answer[sys.User]{},
		groups: map[string]answer[sys.Group]{}, groupIDs: map[int]answer[sys.Group]{},
	}}
}

type namesHost struct {
	sys.Host
	users *names
}

func (h *namesHost) Users() sys.UserReader { return h.users }

type answer[T any] struct {
	value T
	err   error
}

type names struct {
	sys.UserReader
	users    map[string]answer[sys.User]
	userIDs  map[int]answer[sys.User]
	groups   map[string]answer[sys.Group]
	groupIDs map[int]answer[sys.Group]
}

func (n *names) User(ctx context.Context, name string) (sys.User, error) {
	return once(ctx, n.users, name, n.UserReader.User)
}

func (n *names) UserByID(ctx context.Context, uid int) (sys.User, error) {
	return once(ctx, n.userIDs, uid, n.UserReader.UserByID)
}

func (n *names) Group(ctx context.Context, name string) (sys.Group, error) {
	return once(ctx, n.groups, name, n.UserReader.Group)
}

func (n *names) GroupByID(ctx context.Context, gid int) (sys.Group, error) {
	return once(ctx, n.groupIDs, gid, n.UserReader.GroupByID)
}

func once[K comparable, T any](ctx context.Context, known map[K]answer[T], key K, ask func(context.Context, K) (T, error)) (T, error) {
	if a, ok := known[key]; ok {
		return a.value, a.err
	}
	value, err := ask(ctx, key)
	known[key] = answer[T]{value, err}
	return value, err
}
