package modules

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// maker is how one type of file system is made and grown.
type maker struct {
	program   string
	from      string   // the package of the program
	quiet     []string // its option to say little
	force     []string // its option to overwrite what is there
	rehearsal []string // its option to do nothing; none when it cannot
	// size reads how large the file system is; nil when none can grow it here.
	size    func(ctx context.Context, host sys.Reader, device string) (extent, error)
	grow    []string // the program that lets it grow
	mounted bool     // that program wants the mount point, not the device
}

var makers = map[string]maker{
	"ext2":  extMaker("mkfs.ext2"),
	"ext3":  extMaker("mkfs.ext3"),
	"ext4":  extMaker("mkfs.ext4"),
	"xfs":   {program: "mkfs.xfs", from: "xfsprogs", quiet: []string{"-q"}, force: []string{"-f"}, rehearsal: []string{"-N"}, size: xfsSize, grow: []string{"xfs_growfs", "-d"}, mounted: true},
	"btrfs": {program: "mkfs.btrfs", from: "btrfs-progs", quiet: []string{"-q"}, force: []string{"-f"}, size: btrfsSize, grow: []string{"btrfs", "filesystem", "resize", "max"}, mounted: true},
	"vfat":  {program: "mkfs.vfat", from: "dosfstools"},
	"swap":  {program: "mkswap", from: "util-linux", force: []string{"-f"}},
}

func extMaker(program string) maker {
	return maker{
		program: program, from: "e2fsprogs", quiet: []string{"-q"}, force: []string{"-F"}, rehearsal: []string{"-n"},
		size: extSize, grow: []string{"resize2fs"},
	}
}

// there fails when the program is not on the host.
func (m maker) there(ctx context.Context, host sys.Reader) error {
	_, _, err := ask(ctx, host, m.from, m.program, "-V")
	return err
}

// rehearse lets the program say what it thinks of its arguments, where it can do so
// and write nothing.
func (m maker) rehearse(ctx context.Context, host sys.Reader, args []string) error {
	if m.rehearsal == nil {
		return nil
	}
	text, code, err := ask(ctx, host, m.from, slices.Concat(args[:1], m.rehearsal, args[1:])...)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s would end with code %d: %s", m.program, code, strings.TrimSpace(text))
	}
	return err
}

// extSize reads the super block of ext2, ext3 and ext4. resize2fs makes no last group
// that has room for little more than its own tables.
func extSize(ctx context.Context, host sys.Reader, device string) (extent, error) {
	n, err := numbersOf(ctx, host, []string{"dumpe2fs", "-h", device}, "e2fsprogs", map[string]string{
		"count": `(?m)^Block count: +(\d+)`, "block": `(?m)^Block size: +(\d+)`,
		"inodes": `(?m)^Inode blocks per group: +(\d+)`, "reserved": `(?m)^Reserved GDT blocks: +(\d+)|\z`,
	})
	if err != nil {
		return extent{}, err
	}
	const descriptors, usedAtLeast = 64, 53 // resize2fs's own bounds, and room for a large table
	return extent{n["count"] * n["block"], (n["inodes"] + n["reserved"] + descriptors + usedAtLeast) * n["block"]}, nil
}

// xfsSize asks the device, mounted or not. xfs makes no last group of less than 64 blocks.
func xfsSize(ctx context.Context, host sys.Reader, device string) (extent, error) {
	n, err := numbersOf(ctx, host, []string{"xfs_info", device}, "xfsprogs", map[string]string{
		"block": `(?m)^data +=.* bsize=(\d+)`, "count": `(?m)^data +=.* blocks=(\d+)`,
	})
	return extent{n["count"] * n["block"], 64 * n["block"]}, err
}

func btrfsSize(ctx context.Context, host sys.Reader, device string) (extent, error) {
	n, err := numbersOf(ctx, host, []string{"btrfs", "inspect-internal", "dump-super", device}, "btrfs-progs", map[string]string{
		"bytes": `(?m)^dev_item\.total_bytes\s+(\d+)`, "block": `(?m)^sectorsize\s+(\d+)`,
	})
	return extent{n["bytes"], n["block"]}, err
}

// numbersOf takes numbers out of what a program prints, each by an expression.
func numbersOf(ctx context.Context, host sys.Reader, args []string, from string, wanted map[string]string) (map[string]int64, error) {
	text, code, err := ask(ctx, host, from, args...)
	if err != nil {
		return nil, err
	}
	numbers := map[string]int64{}
	for name, expression := range wanted {
		m := regexp.MustCompile(expression).FindStringSubmatch(text)
		if code != 0 || m == nil {
			return nil, fmt.Errorf("%s does not say how large the file system is (code %d): %s", strings.Join(args, " "), code, strings.TrimSpace(text))
		}
		if m[1] == "" {
			continue // an expression for what may be missing
		}
		if numbers[name], err = strconv.ParseInt(m[1], 10, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", args[0], err)
		}
	}
	return numbers, nil
}
