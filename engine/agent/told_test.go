package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
)

// crossed is m as the other end sees it, and how many bytes that took.
func crossed(t rapid.TB, m *message, known *told) (*message, int) {
	t.Helper()
	body, err := encoded(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	known.complete(got)
	return got, len(body)
}

// Whatever is told of items, and whichever message could not be sent, the other
// end learns the same from the short messages as from the whole ones.
func TestLawShortMessagesSayTheSame(t *testing.T) {
	change := rapid.Custom(func(t *rapid.T) change.Change {
		return change.Change{Target: rapid.SampledFrom([]string{"/a", "/b"}).Draw(t, "target"), Action: change.Update}
	})
	list := rapid.SliceOfN(change, 1, 3)
	one := rapid.Custom(func(t *rapid.T) *message {
		m, item := &message{ID: 7}, rapid.IntRange(0, 2).Draw(t, "item")
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			m.Planned = &changes{Item: item, Changes: list.Draw(t, "planned")}
		case 1:
			m.Done = &changes{Item: item, Changes: list.Draw(t, "done")}
		default:
			m.Outcome = &outcome{Item: item, Outcome: modules.Outcome{Status: modules.Changed, Changes: rapid.SliceOfN(change, 0, 4).Draw(t, "all")}}
		}
		return m
	})
	rapid.Check(t, func(t *rapid.T) {
		var here, there told
		for _, m := range rapid.SliceOfN(one, 1, 12).Draw(t, "messages") {
			short, after := here.shorten(m)
			if rapid.IntRange(0, 5).Draw(t, "fails") == 0 {
				continue
			}
			here = after
			got, _ := crossed(t, short, &there)
			if got.Outcome != nil {
				got.Outcome.AsDone = false
			}
			if diff := cmp.Diff(m, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestAChangeCrossesTheWireOnce(t *testing.T) {
	list := []change.Change{{Target: "/f", Action: change.Update, Field: "content", Before: change.Text(strings.Repeat("x", 1000)), After: change.Text(strings.Repeat("y", 1000))}}
	var here, there told
	bytes := 0
	for _, m := range []*message{
		{ID: 1, Planned: &changes{Changes: list}},
		{ID: 1, Done: &changes{Changes: list}},
		{ID: 1, Outcome: &outcome{Outcome: modules.Outcome{Status: modules.Changed, Changes: list}}},
	} {
		short, after := here.shorten(m)
		_, n := crossed(t, short, &there)
		here, bytes = after, bytes+n
	}
	if bytes > 2200 {
		t.Errorf("%d bytes for a change of 2,000", bytes)
	}
}
