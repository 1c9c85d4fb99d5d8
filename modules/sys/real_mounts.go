package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
)

// mountTimeout is long enough for a mount helper that tries a second server.
const mountTimeout = 2 * time.Minute

// realMounts reads the mount table of this process's mount namespace.
type realMounts struct{ commands *realCommands }

func newRealMounts() *realMounts { return &realMounts{commands: newRealCommands()} }

// List reads /proc/self/mountinfo.
func (*realMounts) List(ctx context.Context) ([]Mount, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	infos, err := mountinfo.GetMounts(nil)
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	mounts := make([]Mount, 0, len(infos))
	for _, info := range infos {
		mounts = append(mounts, Mount{
			Source: info.Source, Target: info.Mountpoint, Type: info.FSType,
			Options: joinOptions(info.Options, info.VFSOptions),
		})
	}
	return mounts, nil
}

// joinOptions makes of the options of the mount and those of its file system the
// one list that /proc/mounts and findmnt show: a read-only mount of a file
// system that is writable elsewhere is ro.
func joinOptions(mount, super string) string {
	options := strings.Split(mount, ",")
	for option := range strings.SplitSeq(super, ",") {
		if option != "" && option != "rw" && option != "ro" && !slices.Contains(options, option) {
			options = append(options, option)
		}
	}
	if slices.Contains(strings.Split(super, ","), "ro") && options[0] == "rw" {
		options[0] = "ro"
	}
	return strings.Join(options, ",")
}

// Mount calls mount(8). Options may hold remount.
func (m *realMounts) Mount(ctx context.Context, what Mount) error {
	args := []string{"mount"}
	if what.Type != "" {
		args = append(args, "-t", what.Type)
	}
	if what.Options != "" {
		args = append(args, "-o", what.Options)
	}
	args = append(args, "--", what.Source, what.Target)
	r, err := m.run(ctx, args)
	if err != nil {
		return fmt.Errorf("mount %s at %s: %w", what.Source, what.Target, err)
	}
	if r.Code != 0 {
		return fmt.Errorf("mount %s at %s: %s", what.Source, what.Target, said(r))
	}
	return nil
}

// Unmount calls umount(8). An error for a busy target names who holds it.
func (m *realMounts) Unmount(ctx context.Context, target string) error {
	target = filepath.Clean(target)
	table, err := m.List(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(table, func(m Mount) bool { return m.Target == target }) {
		return notMounted(target)
	}
	r, err := m.run(ctx, []string{"umount", "--", target})
	switch {
	case err != nil:
		return fmt.Errorf("unmount %s: %w", target, err)
	case r.Code == 0:
		return nil
	case strings.Contains(string(r.Stderr), "busy"):
		return busy(ctx, target, table)
	}
	return fmt.Errorf("unmount %s: %s", target, said(r))
}

// notMounted is the error of Unmount when nothing is mounted at target.
func notMounted(target string) error {
	return missing("unmount %s: nothing is mounted there", target)
}

func (m *realMounts) run(ctx context.Context, args []string) (Result, error) {
	return m.commands.Run(ctx, Command{Args: args, Env: []string{"LC_ALL=C.UTF-8"}, Timeout: mountTimeout})
}

// said is what a failed program gave as the reason, in one line.
func said(r Result) string {
	for _, text := range []string{string(r.Stderr), string(r.Stdout)} {
		if text = strings.TrimSpace(text); text != "" {
			return strings.Join(strings.FieldsFunc(text, func(c rune) bool { return c == '\n' }), "; ")
		}
	}
	return fmt.Sprintf("ended with code %d and said nothing", r.Code)
}

// busy names who is in the way of an unmount, as far as it can be seen.
func busy(ctx context.Context, target string, table []Mount) error {
	var holders []string
	for _, mount := range table {
		if mount.Target != target && isWithin(mount.Target, target) {
			holders = append(holders, "the mount at "+mount.Target)
		}
	}
	users, err := newRealProcesses().Using(ctx, target)
	if err != nil {
		return fmt.Errorf("unmount %s: it is busy; looking for who uses it: %w", target, err)
	}
	for _, user := range users {
		holders = append(holders, fmt.Sprintf("%s (process %d)", user.Name, user.PID))
	}
	if len(holders) == 0 {
		return fmt.Errorf("unmount %s: it is busy, and no process is seen that uses it; "+
			"look for NFS exports, loop devices and swap files on it", target)
	}
	const most = 8
	if more := len(holders) - most; more > 0 {
		holders = append(holders[:most], fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("unmount %s: it is held by %s", target, strings.Join(holders, ", "))
}

// holds reports whether the process with this folder in proc has its folder, its
// root, its program, an open file or a mapped one at or below target.
func holds(dir, target string) bool {
	links := []string{"cwd", "root", "exe"}
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err == nil {
		for _, fd := range open {
			links = append(links, "fd/"+fd.Name())
		}
	}
	for _, link := range links {
		if to, err := os.Readlink(filepath.Join(dir, link)); err == nil && isWithin(to, target) {
			return true
		}
	}
	maps, err := os.ReadFile(filepath.Join(dir, "maps"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false // not ours to read
	}
	for line := range strings.Lines(string(maps)) {
		if at := strings.IndexByte(line, '/'); at >= 0 && isWithin(strings.TrimSuffix(line[at:], "\n"), target) {
			return true
		}
	}
	return false
}
