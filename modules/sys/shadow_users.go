package sys

import "context"

// shadowUsers asks the host beneath: nothing here changes users.
type shadowUsers struct{ sh *Shadow }

func newShadowUsers(sh *Shadow) *shadowUsers { return &shadowUsers{sh: sh} }

// User looks a user up by name.
func (u *shadowUsers) User(ctx context.Context, name string) (User, error) {
	return u.sh.under.Users().User(ctx, name)
}

// UserByID looks a user up by number.
func (u *shadowUsers) UserByID(ctx context.Context, uid int) (User, error) {
	return u.sh.under.Users().UserByID(ctx, uid)
}

// Group looks a group up by name.
func (u *shadowUsers) Group(ctx context.Context, name string) (Group, error) {
	return u.sh.under.Users().Group(ctx, name)
}

// GroupByID looks a group up by number.
func (u *shadowUsers) GroupByID(ctx context.Context, gid int) (Group, error) {
	return u.sh.under.Users().GroupByID(ctx, gid)
}
