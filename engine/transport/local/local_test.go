package local_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/rbdplay/rbdplay/engine/transport/local"
	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	transporttest.Conformance(t, local.Transport{}, t.TempDir())
}
