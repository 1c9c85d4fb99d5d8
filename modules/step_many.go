package modules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// shownSingly is the most differing files that are shown one by one.
const shownSingly = 200

// orSummary leaves the steps, which concern that many entries, as they are while there
// are few; else it makes one step of them, shown as one change for each kind on
// target.
func orSummary(target string, steps []Step, entries int) []Step {
	if entries <= shownSingly {
		return steps
	}
	var all []change.Change
	for _, step := range steps {
		all = append(all, step.Changes()...)
	}
	return []Step{act{summarise(target, all, entries, 0), func(ctx context.Context, host sys.Host, result Result) error {
		for i, step := range steps {
			if err := step.Do(ctx, host, result); err != nil {
				return fmt.Errorf("after %d of %d steps for %s: %w", i, len(steps), target, err)
			}
		}
		return nil
	}}}
}

// summarise makes one change of each kind. The digests are over all the single
// changes, so that two different sets never look the same.
func summarise(target string, all []change.Change, entries int, bytes int64) []change.Change {
	var summary []change.Change
	for _, action := range []change.Action{change.Create, change.Update, change.Remove} {
		count, before, after := 0, sha256.New(), sha256.New()
		for _, c := range all {
			if c.Action == action {
				count++
				_, _ = fmt.Fprintf(before, "%s\x00%s\x00%d%s\x00", c.Target, c.Field, c.Before.Kind, c.Before.Text)
				_, _ = fmt.Fprintf(after, "%s\x00%s\x00%d%s\x00", c.Target, c.Field, c.After.Kind, c.After.Text)
			}
		}
		if count == 0 {
			continue
		}
		c := change.Change{Target: target, Action: action, Field: "entries"}
		told := func(sum []byte) change.Value {
			text := fmt.Sprintf("%d of %d changed entries, sha256 %s", count, entries, hex.EncodeToString(sum))
			if bytes > 0 {
				text += fmt.Sprintf(", %d bytes to write in all", bytes)
			}
			return change.Summary(text)
		}
		if action != change.Create {
			c.Before = told(before.Sum(nil))
		}
		if action != change.Remove {
			c.After = told(after.Sum(nil))
		}
		summary = append(summary, c)
	}
	return summary
}
