package modules_test

import (
	"testing"

	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/modulestest"
)

func registry(t *testing.T) *modules.Registry {
	t.Helper()
	r, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSpecs(t *testing.T) { modulestest.Specs(t, registry(t)) }

func TestFixtures(t *testing.T) {
	modulestest.Fixtures(t, registry(t), "testdata",
		"file", "copy", "template", "lineinfile", "blockinfile", "replace", "ini_file", "hosts", "assemble", "find",
		"stat", "slurp", "move", "synchronize", "compare_trees")
}
