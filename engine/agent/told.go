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

// shorten leaves out of m what the other end knows, and remembers the rest.
func (t *told) shorten(m *message) *message {
	switch {
	case m.Planned != nil:
		t.at(m.Planned.Item).planned = m.Planned.Changes
	case m.Done != nil:
		list := m.Done.Changes
		if t.at(m.Done.Item); slices.Equal(list, t.planned) {
			m = &message{ID: m.ID, Done: &changes{Item: m.Done.Item}}
		}
		t.done = append(t.done, list...)
	case m.Outcome != nil:
		if t.at(m.Outcome.Item); len(t.done) > 0 && slices.Equal(m.Outcome.Outcome.Changes, t.done) {
			short := *m.Outcome
			short.AsDone, short.Outcome.Changes = true, nil
			m = &message{ID: m.ID, Outcome: &short}
		}
	}
	return m
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
