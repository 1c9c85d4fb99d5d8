package sys_test

import (
	"testing"

	"github.com/rbdplay/rbdplay/modules/sys"
	"github.com/rbdplay/rbdplay/modules/sys/systest"
)

func TestRealFiles(t *testing.T) {
	systest.Files(t, func(t *testing.T) (sys.Host, string) { return sys.NewReal(), t.TempDir() })
}

func TestShadowFilesOfItsOwn(t *testing.T) {
	systest.Files(t, func(t *testing.T) (sys.Host, string) { return sys.NewShadow(sys.NewReal()), t.TempDir() })
}

func TestShadowFilesFromBeneath(t *testing.T) {
	systest.Files(t, func(t *testing.T) (sys.Host, string) {
		beneath, root := sys.NewReal(), t.TempDir()
		systest.Plant(t, beneath, root)
		return sys.NewShadow(beneath), root
	})
}

func TestShadowFilesOverAShadow(t *testing.T) {
	systest.Files(t, func(t *testing.T) (sys.Host, string) {
		beneath, root := sys.NewShadow(sys.NewReal()), t.TempDir()
		systest.Plant(t, beneath, root)
		return sys.NewShadow(beneath), root
	})
}
