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

// notModules are folders of testdata that hold no fixtures.
var notModules = []string{"recorded"}

func TestFixtures(t *testing.T) {
	r := registry(t)
	modulestest.Fixtures(t, r, "testdata", modulestest.WithFixtures(t, r, "testdata", notModules...)...)
}

func TestProofs(t *testing.T) {
	modulestest.Proofs(t, registry(t), "testdata", "proofs.csv", notModules...)
}
