package agent

import (
	"slices"

	"github.com/rbdplay/rbdplay/engine/change"
)

// told is what both ends know of a task's item: a change may hold two whole files,
// so it crosses the wire once. Done without changes means those planned last, and
// an outcome that is AsDone has the changes that were done.
type told struct {
	item          int
	planned, done []change.Change
}

func (t *told) at(item int) *told {
	if t.item != item {
		*t = told{item: item}
	}
	return t
}

// shorten leaves out of m what the other end knows. What it knows after m counts once m
// was sent; when it could not be, t stays what is known.
func (t *told) shorten(m *message) (short *message, after told) {
	after = *t
	switch {
	case m.Planned != nil:
		after.at(m.Planned.Item).planned = m.Planned.Changes
	case m.Done != nil:
		list := m.Done.Changes
		if after.at(m.Done.Item); slices.Equal(list, after.planned) {
			m = &message{ID: m.ID, Done: &changes{Item: m.Done.Item}}
		}
		after.done = append(after.done, list...)
	case m.Outcome != nil:
		if after.at(m.Outcome.Item); len(after.done) > 0 && slices.Equal(m.Outcome.Outcome.Changes, after.done) {
			outcome := *m.Outcome
			outcome.AsDone, outcome.Outcome.Changes = true, nil
			m = &message{ID: m.ID, Outcome: &outcome}
		}
	}
	return m, after
}

// complete puts back what shorten left out.
func (t *told) complete(m *message) {
	switch {
	case m.Planned != nil:
		t.at(m.Planned.Item).planned = m.Planned.Changes
	case m.Done != nil:
		t.at(m.Done.Item)
		if len(m.Done.Changes) == 0 {
			m.Done.Changes = t.planned
		}
		t.done = append(t.done, m.Done.Changes...)
	case m.Outcome != nil:
		if t.at(m.Outcome.Item); m.Outcome.AsDone {
			m.Outcome.Outcome.Changes = t.done
		}
	}
}
