package sys

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// shadowMounts is the mount table as recorded mounts and unmounts would leave it.
type shadowMounts struct {
	sh *Shadow

	mu   sync.Mutex
	done []func(table []Mount) []Mount // in the order in which they were recorded
}

func newShadowMounts(sh *Shadow) *shadowMounts { return &shadowMounts{sh: sh} }

// List gives the table of the host beneath with what was recorded done to it.
func (m *shadowMounts) List(ctx context.Context) ([]Mount, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.list(ctx)
}

func (m *shadowMounts) list(ctx context.Context) ([]Mount, error) {
	table, err := m.sh.under.Mounts().List(ctx)
	if err != nil {
		return nil, err
	}
	for _, do := range m.done {
		table = do(table)
	}
	return table, nil
}

// Mount records a mount. What only the file system's server could refuse is taken
// to succeed; a mount point that is missing is an error here as well.
func (m *shadowMounts) Mount(ctx context.Context, what Mount) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	what.Target = filepath.Clean(what.Target)
	if err := m.sh.files.mounted(ctx, what); err != nil {
		return err
	}
	m.sh.network.stirred("mount of " + what.Target)
	if options, again := withoutRemount(what.Options); again {
		m.done = append(m.done, remountIn(what.Target, options))
		return nil
	}
	what.Type = tableType(what.Type)
	m.done = append(m.done, func(table []Mount) []Mount { return append(slices.Clone(table), what) })
	return nil
}

// tableType is how the mount table calls a type whose helper is a FUSE program.
func tableType(fstype string) string {
	if fstype == "glusterfs" {
		return "fuse.glusterfs"
	}
	return fstype
}

func withoutRemount(options string) (rest string, remount bool) {
	list := strings.Split(options, ",")
	kept := slices.DeleteFunc(slices.Clone(list), func(o string) bool { return o == "remount" })
	return strings.Join(kept, ","), len(kept) < len(list)
}

// remountIn gives the topmost mount at target other options. Without any, mount(8)
// takes those of fstab or leaves them: the table then stays as it is here.
func remountIn(target, options string) func([]Mount) []Mount {
	return func(table []Mount) []Mount {
		table = slices.Clone(table)
		if i := topmost(table, target); i >= 0 && options != "" {
			table[i].Options = options
		}
		return table
	}
}

// Unmount records that the topmost mount at target goes. That it may be busy
// cannot be foreseen.
func (m *shadowMounts) Unmount(ctx context.Context, target string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	target = filepath.Clean(target)
	table, err := m.list(ctx)
	if err != nil {
		return err
	}
	if topmost(table, target) < 0 {
		return notMounted(target)
	}
	if err := m.sh.files.unmounted(ctx, target); err != nil {
		return err
	}
	m.sh.network.stirred("unmount of " + target)
	m.done = append(m.done, func(table []Mount) []Mount {
		i := topmost(table, target)
		if i < 0 {
			return table // somebody else has unmounted it since
		}
		return slices.Delete(slices.Clone(table), i, i+1)
	})
	return nil
}

// topmost is the place in table of the mount that shows at target, or -1.
func topmost(table []Mount, target string) int {
	for i, m := range slices.Backward(table) {
		if m.Target == target {
			return i
		}
	}
	return -1
}
