package transport

import (
	"fmt"
	"strings"
)

const safeCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./"

// CheckPath refuses a path that a shell might read as more than a path. Upload
// paths are ours, never a playbook's: go-scp puts them into double quotes, where
// $, ` and \ still mean something.
func CheckPath(path string) error {
	if path == "" || path[0] == '-' || strings.HasSuffix(path, "/") {
		return fmt.Errorf("upload path %q: not the path of a file", path)
	}
	unsafe := func(c rune) bool { return !strings.ContainsRune(safeCharacters, c) }
	if strings.ContainsFunc(path, unsafe) {
		return fmt.Errorf("upload path %q: only letters, digits and - _ . / are allowed", path)
	}
	return nil
}
