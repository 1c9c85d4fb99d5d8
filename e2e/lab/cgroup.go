package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Every node has a group of its own in every cgroup hierarchy. The systemds
// of several nodes would fight over one, and a group is the one sure way to
// find and to kill everything a node ever started.

// hierarchies lists the mount points of the host's cgroup file systems.
func hierarchies() ([]string, error) {
	infos, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	var points []string
	for _, info := range infos {
		if strings.HasPrefix(info.Mountpoint, "/sys/fs/cgroup") && !slices.Contains(points, info.Mountpoint) {
			points = append(points, info.Mountpoint)
		}
	}
	if points == nil {
		return nil, errors.New("no cgroup file system below /sys/fs/cgroup")
	}
	return points, nil
}

// makeCgroups makes the groups of a machine and returns their folders.
func makeCgroups(machine string) ([]string, error) {
	points, err := hierarchies()
	if err != nil {
		return nil, err
	}
	groups := make([]string, len(points))
	for i, point := range points {
		groups[i] = filepath.Join(point, machine)
		if err := os.Mkdir(groups[i], 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if err := inheritCpuset(point, groups[i]); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// inheritCpuset gives a v1 cpuset group its parent's processors: an empty one
// takes no process.
func inheritCpuset(parent, group string) error {
	if filepath.Base(parent) != "cpuset" {
		return nil
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, name), value, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(group, "cgroup.clone_children"), []byte("1"), 0o644)
}

// cgroupProcesses lists the processes of a machine in all hierarchies.
func cgroupProcesses(machine string) ([]int, error) {
	points, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, point := range points {
		err := filepath.WalkDir(filepath.Join(point, machine), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // never there, or gone while walking
			}
			if err != nil || !entry.IsDir() {
				return err
			}
			raw, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				return nil
			}
			for field := range bytes.FieldsSeq(raw) {
				pid, convErr := strconv.Atoi(string(field))
				if convErr != nil {
					return convErr
				}
				pids = append(pids, pid)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// killCgroups kills everything in a machine's groups and removes them.
func killCgroups(ctx context.Context, machine string) error {
	err := waitFor(ctx, machine+"'s processes to end", 20*time.Second, 50*time.Millisecond, func(context.Context) error {
		pids, err := cgroupProcesses(machine)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if pid <= 1 || pid == os.Getpid() {
				continue
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		return fmt.Errorf("%d are left", len(pids))
	})
	if err != nil {
		return err
	}
	points, err := hierarchies()
	if err != nil {
		return err
	}
	for _, point := range points {
		if err := removeGroup(filepath.Join(point, machine)); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup removes a group and the ones in it, inner ones first.
func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeGroup(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing %s: %w", dir, err)
	}
	return nil
}
