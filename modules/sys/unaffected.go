package sys

import "context"

type unaffectedKey struct{}

// Unaffected returns a context in which a shadow really dials although something
// that runs on the host would have changed. The caller vouches that what it reads
// is not touched by that: the rows of a database are what they are, whichever
// unit would be restarted. It must not write over such a connection.
func Unaffected(ctx context.Context) context.Context {
	return context.WithValue(ctx, unaffectedKey{}, true)
}

func unaffected(ctx context.Context) bool { return ctx.Value(unaffectedKey{}) != nil }
