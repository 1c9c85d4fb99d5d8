package expression

import (
	"context"
	"errors"
	"sync/atomic"
)

// Early is an evaluation before its time: for a task that is worked out while tasks
// in front of it still run. Its value is good only if it does not depend on what
// these may do meanwhile: on certain variables, the clock, chance, or anything
// outside that a lookup, a filter or a test looks at.
type Early struct {
	changing func(variable string) bool
	tripped  atomic.Bool
}

type earlyKey struct{}

// errEarly ends an evaluation that would need to wait. Expressions may swallow it:
// Tripped counts.
var errEarly = errors.New("this cannot be told before the tasks in front have ended")

// WithEarly makes evaluations with the returned context early ones. changing says of
// which variables the value is not known yet; it is called from the goroutine that
// evaluates.
func WithEarly(ctx context.Context, changing func(variable string) bool) (context.Context, *Early) {
	e := &Early{changing: changing}
	return context.WithValue(ctx, earlyKey{}, e), e
}

// Tripped reports whether something was asked for that is not known yet. Nothing
// outside was looked at then, and the value is to be thrown away.
func (e *Early) Tripped() bool { return e.tripped.Load() }

// TooEarly is for scopes: it is an error when ctx is that of an early evaluation and
// the variable may still change.
func TooEarly(ctx context.Context, variable string) error {
	e, early := ctx.Value(earlyKey{}).(*Early)
	if !early || !e.changing(variable) {
		return nil
	}
	e.tripped.Store(true)
	return errEarly
}

// looksOutside are the functions, filters and tests whose value is not made of their
// arguments alone.
var looksOutside = map[string]bool{
	"now": true, "lookup": true, "query": true, "q": true,
	"random": true, "shuffle": true, "random_mac": true, "password_hash": true, "vault": true, "strftime": true,
	"expanduser": true, "expandvars": true, "realpath": true, "relpath": true, "fileglob": true,
	"file": true, "is_file": true, "directory": true, "is_dir": true, "link": true, "is_link": true,
	"exists": true, "link_exists": true, "mount": true, "is_mount": true, "same_file": true, "is_same_file": true,
}

// tooEarly is an error when an early evaluation calls what looks outside.
func (d *Definition) tooEarly(ctx context.Context) error {
	if !d.outside {
		return nil
	}
	e, early := ctx.Value(earlyKey{}).(*Early)
	if !early {
		return nil
	}
	e.tripped.Store(true)
	return errEarly
}
