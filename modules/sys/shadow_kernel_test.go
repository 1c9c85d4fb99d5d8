package sys

import (
	"os"
	"testing"
)

// A process sees its own root through /proc/self/root; resolved by names the link
// would lead to the host's.
func TestShadowLooksAtProcBeneath(t *testing.T) {
	files := NewShadow(NewReal()).Files()
	dir := t.TempDir()
	if err := os.Symlink("/nowhere", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	target, err := files.Readlink(t.Context(), "/proc/self/root"+dir+"/link")
	if err != nil || target != "/nowhere" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	for name, stat := range map[string]func() (FileInfo, error){
		"lstat": func() (FileInfo, error) { return files.Lstat(t.Context(), "/proc/self/root"+dir) },
		"stat":  func() (FileInfo, error) { return files.Stat(t.Context(), "/proc/self/root"+dir) },
	} {
		if info, err := stat(); err != nil || info.Type != Directory {
			t.Errorf("%s: %v, %v", name, info.Type, err)
		}
	}
}
