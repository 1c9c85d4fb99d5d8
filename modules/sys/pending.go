package sys

// What stands here makes the package build until it lands in its own file.

type (
	realPackages struct {
		PackageReader
		PackageWriter
	}
	shadowPackages struct {
		PackageReader
		PackageWriter
	}
)

func newRealPackages() *realPackages { return &realPackages{} }

func (*realPackages) close() {}

func newShadowPackages(*Shadow) *shadowPackages { return &shadowPackages{} }
