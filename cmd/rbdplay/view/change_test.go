package view

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rbdplay/rbdplay/engine/change"
)

func TestNeighboursOfOneKindStandOnOneLine(t *testing.T) {
	installed := func(name string) change.Change {
		return change.Change{Target: "package " + name, Action: change.Create, Field: "version", After: change.Text("1")}
	}
	changes := []change.Change{
		installed("a"), installed("b"), installed("c"),
		{Target: "unit a.service", Action: change.Update, Field: "state", Before: change.Text("inactive"), After: change.Text("active")},
		installed("d"), installed("e"),
	}
	want := []string{"create 3 packages: a b c", "update unit a.service  state", "create package d", "create package e"}
	if diff := cmp.Diff(want, changeLines(changes, false)); diff != "" {
		t.Errorf("- want, + got:\n%s", diff)
	}
}
