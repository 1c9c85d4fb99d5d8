package sys

import (
	"os"
	"path/filepath"
	"testing"
)

func TestProcessesUsingAFolder(t *testing.T) {
	dir := t.TempDir()
	using := func() bool {
		t.Helper()
		users, err := NewReal().Processes().Using(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range users {
			if p.PID == os.Getpid() && p.Name != "" {
				return true
			}
		}
		return false
	}
	if using() {
		t.Error("an unused folder counts as used")
	}
	f, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	if !using() {
		t.Error("an open file below the folder was not seen")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if using() {
		t.Error("a closed file still counts")
	}
}

func TestMountLinesOrigin(t *testing.T) {
	host := mountLines{
		{origin{"8:1", "/"}, "/"},
		{origin{"8:2", "/"}, "/var"},
		{origin{"8:1", "/data"}, "/srv"},
	}
	for path, want := range map[string]origin{
		"/grdata":        {"8:1", "/grdata"},
		"/var/lib/x":     {"8:2", "/lib/x"},
		"/srv/deep":      {"8:1", "/data/deep"},
		"/variable/data": {"8:1", "/variable/data"},
	} {
		if got := host.origin(path); got != want {
			t.Errorf("origin(%s) = %v, want %v", path, got, want)
		}
	}
	container := mountLines{
		{origin{"0:50", "/"}, "/"},
		{origin{"8:1", "/grdata/services/registry"}, "/var/lib/registry"},
	}
	if !container.has(host.origin("/grdata")) {
		t.Error("a container that mounts a folder below was not seen")
	}
	if container.has(host.origin("/grdata2")) || container.has(host.origin("/grdata/services/registry/deep")) {
		t.Error("a container that mounts something else counts")
	}
}

func FuzzUnescapeOctal(f *testing.F) {
	f.Add(`/with\040blank`)
	f.Add(`\`)
	f.Add(`\999`)
	f.Fuzz(func(t *testing.T, text string) {
		if got := unescapeOctal(text); len(got) > len(text) {
			t.Errorf("%q grew to %q", text, got)
		}
	})
}
