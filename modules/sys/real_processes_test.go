package sys

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeProcess lays a process out as proc(5) has it.
func fakeProcess(t *testing.T, proc, pid, namespace, mountinfo string, open map[string]string) {
	t.Helper()
	dir := filepath.Join(proc, pid)
	for _, folder := range []string{"ns", "fd"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"ns/mnt": namespace, "cwd": "/", "root": "/", "exe": "/bin/true"} {
		if changed, ok := open[link]; ok {
			target = changed
		}
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if target, ok := open["fd/3"]; ok {
		if err := os.Symlink(target, filepath.Join(dir, "fd/3")); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{"comm": "name" + pid + "\n", "mountinfo": mountinfo} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProcessesUsingAFolder(t *testing.T) {
	const (
		hostTable      = "20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n21 20 0:60 / /volume rw shared:7 - fuse.glusterfs a:/data rw\n"
		sandboxTable   = "60 1 8:1 / / rw shared:8 master:1 - ext4 /dev/sda1 rw\n61 60 0:60 / /volume rw shared:9 master:7 - fuse.glusterfs a:/data rw\n"
		keptTable      = "70 1 0:52 / / rw - overlay overlay rw\n71 70 0:60 / /data rw - fuse.glusterfs a:/data rw\n"
		registryTable  = "40 1 0:50 / / rw - overlay overlay rw\n41 40 8:1 /grdata/services/with\\040blank /var/lib/registry rw - ext4 /dev/sda1 rw\n"
		unrelatedTable = "50 1 0:51 / / rw - overlay overlay rw\n51 50 8:1 /grdata2 /data rw - ext4 /dev/sda1 rw\n"
	)
	proc := t.TempDir()
	fakeProcess(t, proc, "self", "mnt:[1]", hostTable, nil)
	fakeProcess(t, proc, "10", "mnt:[1]", hostTable, map[string]string{"fd/3": "/grdata/tenant/file"})
	fakeProcess(t, proc, "11", "mnt:[1]", hostTable, map[string]string{"cwd": "/grdata"})
	fakeProcess(t, proc, "12", "mnt:[1]", hostTable, map[string]string{"fd/3": "/grdata2/file"})
	fakeProcess(t, proc, "13", "mnt:[2]", registryTable, nil)
	fakeProcess(t, proc, "14", "mnt:[3]", unrelatedTable, map[string]string{"fd/3": "/grdata/of/another/root"})
	fakeProcess(t, proc, "15", "mnt:[4]", sandboxTable, nil)
	fakeProcess(t, proc, "16", "mnt:[5]", sandboxTable, map[string]string{"fd/3": "/volume/file"})
	fakeProcess(t, proc, "17", "mnt:[6]", keptTable, nil)
	if err := os.WriteFile(filepath.Join(proc, "uptime"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]Process{
		"/grdata": {{10, "name10"}, {11, "name11"}, {13, "name13"}},
		"/volume": {{16, "name16"}, {17, "name17"}},
	} {
		users, err := (&realProcesses{proc: proc}).Using(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, users); diff != "" {
			t.Errorf("%s: - want, + got:\n%s", path, diff)
		}
	}
}

func TestProcessesCouldNotLook(t *testing.T) {
	proc := t.TempDir()
	if _, err := (&realProcesses{proc: proc}).Using(t.Context(), "/grdata"); err == nil {
		t.Error("a proc without the own mount table tells that nobody uses the folder")
	}
}

func TestMountLinesOrigin(t *testing.T) {
	host := mountLines{
		{origin: origin{"8:1", "/"}, target: "/"},
		{origin: origin{"8:2", "/"}, target: "/var"},
		{origin: origin{"8:1", "/data"}, target: "/srv"},
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
