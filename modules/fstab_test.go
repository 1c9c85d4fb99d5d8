package modules

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sampleFstab = `# /etc/fstab: static file system information.
UUID=1234 /               ext4    errors=remount-ro 0       1

10.77.0.11:/grdata /grdata nfs rw 0 0
/dev/sdb1	/data\040one	xfs
`

func TestFstabWith(t *testing.T) {
	gluster := fstabEntry{source: "compute01:/data", target: "/grdata", fstype: "glusterfs", options: "log-level=WARNING,use-readdirp=no", dump: "0", passno: "0"}
	tests := []struct {
		name    string
		text    string
		entry   fstabEntry
		want    string // "" when nothing changes
		wantErr string
	}{
		{
			name: "line replaced in its place", text: sampleFstab, entry: gluster,
			want: strings.Replace(sampleFstab, "10.77.0.11:/grdata /grdata nfs rw 0 0", "compute01:/data /grdata glusterfs log-level=WARNING,use-readdirp=no 0 0", 1),
		},
		{
			name: "same line, other blanks and order of options", entry: gluster,
			text: "compute01:/data\t/grdata/\tglusterfs  use-readdirp=no,log-level=WARNING",
		},
		{
			name: "space in the path, fields left out", text: sampleFstab,
			entry: fstabEntry{source: "/dev/sdb1", target: "/data one", fstype: "xfs", options: "defaults", dump: "0", passno: "0"},
		},
		{
			name: "new line escaped, missing last newline mended", text: "# only a comment",
			entry: fstabEntry{source: "//nas/my share", target: `/mnt/a\b`, fstype: "cifs", options: "defaults", dump: "0", passno: "2"},
			want:  "# only a comment\n//nas/my\\040share /mnt/a\\134b cifs defaults 0 2\n",
		},
		{
			name: "two lines for one path", text: "a:/x /grdata nfs rw 0 0\nb:/x /grdata/ nfs rw 0 0\n", entry: gluster,
			wantErr: "lines 1 and 2",
		},
		{
			name: "swap goes by its source", text: "/dev/sda2 none swap sw 0 0\n",
			entry: fstabEntry{source: "/swapfile", target: "none", fstype: "swap", options: "sw", dump: "0", passno: "0"},
			want:  "/dev/sda2 none swap sw 0 0\n/swapfile none swap sw 0 0\n",
		},
		{
			name: "trailing words stay", text: "a:/x /grdata nfs rw 0 0 # the old one\n", entry: gluster,
			want: "compute01:/data /grdata glusterfs log-level=WARNING,use-readdirp=no 0 0 # the old one\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, changed, err := parseFstab(test.text).with(test.entry)
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("got error %v, want %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if changed != (test.want != "") {
				t.Fatalf("changed = %v, text:\n%s", changed, got)
			}
			if changed {
				if diff := cmp.Diff(test.want, got.String()); diff != "" {
					t.Error(diff)
				}
				if _, again, err := got.with(test.entry); again || err != nil {
					t.Errorf("a second time it changes again (%v)", err)
				}
			}
		})
	}
}

func TestFstabWithout(t *testing.T) {
	got, changed := parseFstab("a:/x /grdata nfs rw 0 0\n# keep\nb:/x /grdata nfs rw 0 0\n").without(fstabEntry{target: "/grdata/"})
	if !changed || got.String() != "# keep\n" {
		t.Errorf("got %v %q", changed, got)
	}
	if _, changed := got.without(fstabEntry{target: "/grdata"}); changed {
		t.Error("nothing was left to remove")
	}
}

func TestSameOptions(t *testing.T) {
	tests := []struct {
		a, b string
		same bool
	}{
		{"rw,noatime", "noatime,rw", true},
		{"rw", "ro", false},
		{"rw,ro", "ro,rw", false},
		{"ro,rw", "ro,rw", true},
		{"atime,noatime", "noatime,atime", false},
		{"uid=1,uid=2", "uid=2,uid=1", false},
		{"rw", "rw,rw", false},
		{"defaults,_netdev", "_netdev,defaults", true},
	}
	for _, test := range tests {
		if got := sameOptions(test.a, test.b); got != test.same {
			t.Errorf("%s and %s: same = %v", test.a, test.b, got)
		}
	}
}

// Whatever the table holds, an entry that was put in is found again as it was, and
// no other line is touched.
func FuzzFstab(f *testing.F) {
	f.Add(sampleFstab, "compute01:/data", "/grdata", "rw")
	f.Add("\\0 \\777 x\n", `a\040b`, "/a b", "x=#")
	f.Fuzz(func(t *testing.T, text, source, target, options string) {
		for _, field := range []string{source, target, options} {
			if strings.Trim(field, "/") == "" {
				return
			}
		}
		entry := fstabEntry{source: source, target: target, fstype: "ext4", options: options, dump: "0", passno: "0"}
		table := parseFstab(text)
		got, _, err := table.with(entry)
		if err != nil {
			return
		}
		again := parseFstab(got.String())
		if _, changed, err := again.with(entry); changed || err != nil {
			t.Errorf("%q is not found again in %q (%v)", entry, got, err)
		}
		if len(got.lines) < len(table.lines) {
			t.Errorf("lines were lost from %q", text)
		}
	})
}
