package sys

// shadowFiles is a copy-on-write tree over another host's files.
type shadowFiles struct {
	FileReader
	FileWriter
}

func newShadowFiles(*Shadow) *shadowFiles { return &shadowFiles{} }

// mounted tells that m would be mounted at target.
func (f *shadowFiles) mounted(target, source, fstype string) {}

// unmounted tells that the topmost mount at target would be gone.
func (f *shadowFiles) unmounted(target string) {}

// brings tells that files would appear for reason ("package foo would be installed").
func (f *shadowFiles) brings(reason string) {}

// ran tells that something ran whose effects cannot be predicted except that it
// would bring the paths creates.
func (f *shadowFiles) ran(reason string, creates ...string) {}
