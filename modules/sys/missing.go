package sys

import (
	"fmt"
	"io/fs"
)

// missingError says that something is not there, in words of its own: not
// everything that may be missing is a file.
type missingError struct{ text string }

func missing(format string, args ...any) error {
	return &missingError{text: fmt.Sprintf(format, args...)}
}

func (e *missingError) Error() string { return e.text }

// Is makes errors.Is(err, fs.ErrNotExist) hold, as this package promises.
func (e *missingError) Is(target error) bool { return target == fs.ErrNotExist }
