package sys

import "context"

// shadowFiles is a copy-on-write tree over another host's files.
type shadowFiles struct {
	FileReader
	FileWriter
}

func newShadowFiles(*Shadow) *shadowFiles { return &shadowFiles{} }

// mounted tells that m would be mounted. A bind mount (options) shows its source,
// tmpfs and ramfs are empty; the content of anything else is unknown. m.Target
// must be there, else the error is what mount(8) would say.
func (f *shadowFiles) mounted(ctx context.Context, m Mount) error { return nil }

// unmounted tells that the topmost mount at target would be gone.
func (f *shadowFiles) unmounted(ctx context.Context, target string) error { return nil }

// brings tells that files would appear for reason ("package foo would be installed").
func (f *shadowFiles) brings(reason string) {}

// ran tells that something ran whose effects cannot be predicted, except that it
// would bring the paths creates.
func (f *shadowFiles) ran(reason string, creates ...string) {}
