package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// FilesystemArgs are the arguments of filesystem.
type FilesystemArgs struct {
	Dev      string `arg:"dev,required" alias:"device" doc:"The device, or a file that is the image of one. Links are followed."`
	Fstype   string `arg:"fstype" alias:"type" choices:"ext2,ext3,ext4,xfs,btrfs,vfat,swap" doc:"The file system to have there. Required for present."`
	State    string `arg:"state" default:"present" choices:"present,absent" doc:"present: the device has the file system. absent: nothing on it looks like one any more (wipefs)."`
	Force    bool   `arg:"force" default:"no" doc:"Let something else that is on the device be lost: another file system, a partition table, a part of a volume group. What is of fstype already stays as it is."`
	Opts     string `arg:"opts" doc:"Further options of the mkfs program, as words of a shell. They count only when the file system is made."`
	Resizefs bool   `arg:"resizefs" default:"no" doc:"Let a file system that is smaller than its device grow to it: ext2, ext3, ext4, and xfs and btrfs while they are mounted. It never shrinks."`
}

func filesystemSpec() Spec {
	return Spec{
		Name:    "filesystem",
		Aliases: []string{"community.general.filesystem"},
		Summary: "Make a file system on a device, let it grow, or wipe it",
		Place:   OnHost,
		New:     func() Module { return &FilesystemArgs{} },
		Notes: []string{
			"What is on the device is read with blkid, past its cache. Anything that it knows counts: with force left out, a partition table or a member of a RAID is as much in the way as another file system. Where blkid finds the marks of several things, that is an error, except for absent and with force.",
			"A file system of the right type is never made anew, also not with force, as Ansible does at each run. To have an empty one, use absent first.",
			"A device that is mounted or used as swap is neither formatted nor wiped.",
			"For ext2, ext3, ext4 and xfs the check lets mkfs itself say what it would do, so that a wrong option or a device that is too small is told before the run. For the others only the run shows that.",
			"Once the program has begun, cancelling the task waits for its end: half a file system would be neither the old state nor the new one.",
			"lvm, f2fs, ocfs2, reiserfs, bcachefs and ufs are not supported, nor is uuid: give opts the -U of the mkfs program. A vfat or swap cannot grow.",
			"In check mode, a later task that reads the bytes of an image file sees the old ones.",
		},
		Returns: []Return{
			{Name: "dev", Type: "string", Doc: "The device, links followed."},
			{Name: "fstype", Type: "string", Doc: "What is on it; empty for nothing."},
		},
		Examples: []Example{
			{"A brick for a replicated volume", `
filesystem:
  dev: /dev/vdb
  fstype: xfs
  opts: -i size=512`},
			{"Let it grow with its device", `
filesystem:
  dev: /dev/vdc
  fstype: ext4
  resizefs: yes`},
			{"Leave nothing", `
filesystem:
  dev: /dev/vdd
  state: absent`},
		},
	}
}

// Validate holds the rules that involve more than one option.
func (a *FilesystemArgs) Validate() error {
	switch {
	case !path.IsAbs(a.Dev):
		return fmt.Errorf("filesystem: dev: %s is not an absolute path", a.Dev)
	case a.State == "present" && a.Fstype == "":
		return errors.New("filesystem: state present needs fstype")
	case a.State == "absent" && (a.Opts != "" || a.Resizefs || a.Force):
		return errors.New("filesystem: opts, resizefs and force go with state: present only")
	case a.Resizefs && makers[a.Fstype].size == nil:
		return fmt.Errorf("filesystem: resizefs: a %s cannot grow here", a.Fstype)
	}
	_, err := a.options()
	return err
}

func (a *FilesystemArgs) options() ([]string, error) {
	words, err := SplitWords(a.Opts)
	if err != nil {
		return nil, fmt.Errorf("filesystem: opts: %w", err)
	}
	return words, nil
}

// Plan looks at what is on the device.
func (a *FilesystemArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	d, there, err := openDevice(ctx, host, a.Dev)
	if err != nil {
		return Plan{}, err
	}
	if !there && a.State == "absent" {
		return Plan{Result: Result{"dev": a.Dev, "fstype": ""}}, nil
	}
	if !there {
		return Plan{}, fmt.Errorf("there is no device %s", a.Dev)
	}
	plan := Plan{Result: Result{"dev": d.path, "fstype": d.holds.Type}}
	var step Step
	switch {
	case a.State == "absent" && !d.holds.empty():
		step, err = d.wipe(ctx, host)
	case a.State == "absent":
	case d.holds.Type != a.Fstype:
		step, err = a.make(ctx, host, d)
	case a.Resizefs && !d.holds.fresh: // what is new fills its device
		step, err = d.grow(ctx, host)
	}
	if step != nil {
		plan.Steps = []Step{step}
	}
	return plan, err
}

// make formats the device.
func (a *FilesystemArgs) make(ctx context.Context, host sys.Reader, d formatted) (Step, error) {
	if !d.holds.empty() && !a.Force {
		return nil, fmt.Errorf("%s holds %s already; force: yes would let it be lost", d.path, d.holds)
	}
	options, err := a.options()
	if err != nil {
		return nil, err
	}
	if err := d.unused(ctx, host); err != nil {
		return nil, err
	}
	maker := makers[a.Fstype]
	if err := maker.there(ctx, host); err != nil {
		return nil, err
	}
	args := append([]string{maker.program}, maker.quiet...)
	if !d.holds.empty() {
		args = append(args, maker.force...)
	}
	args = append(append(args, options...), d.path)
	if err := maker.rehearse(ctx, host, args); err != nil {
		return nil, err
	}
	return d.become(signature{Type: a.Fstype, fresh: true}, args), nil
}

// signature is what blkid finds on a device.
type signature struct {
	Type    string // of a file system, a RAID member and the like
	Table   string // the type of a partition table
	Several bool   // more than one of them, so that blkid does not choose
	fresh   bool   // made in this check, so that there is nothing to read yet
}

func (s signature) empty() bool { return s == signature{} }

func (s signature) String() string {
	switch {
	case s.Several:
		return "the marks of several file systems"
	case s.Type != "":
		return s.Type
	case s.Table != "":
		return "a partition table (" + s.Table + ")"
	}
	return ""
}

// exit codes of blkid -p
const (
	blkidNothing = 2
	blkidSeveral = 8
)

// parseBlkid reads what blkid -p -o export prints.
func parseBlkid(text string) signature {
	var s signature
	for line := range strings.Lines(text) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "TYPE":
			s.Type = value
		case "PTTYPE":
			s.Table = value
		}
	}
	if s.Type != "" {
		s.Table = "" // the boot sector of a vfat looks like a table too
	}
	return s
}
