package sys

// realFiles is the machine's own file systems.
type realFiles struct {
	FileReader
	FileWriter
}

func newRealFiles() *realFiles { return &realFiles{} }
