package modules

import (
	"context"
	"fmt"
	"io"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// hint asks "did you mean" when one of the known words is near.
func hint(word string, known []string) string { return diag.DidYouMean(word, known) }

func hintAfter(word string, known []string) string {
	if h := hint(word, known); h != "" {
		return "; " + h
	}
	return ""
}

func readContent(ctx context.Context, c sys.Content, limit int64) ([]byte, error) {
	if c.Size() > limit {
		return nil, fmt.Errorf("content has %d bytes, more than the %d that can be read here", c.Size(), limit)
	}
	r, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(r, limit+1))
}
