package modules

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// formatted is a device with what is on it.
type formatted struct {
	path  string // links followed
	holds signature
}

// openDevice looks at a device or an image. there is false when it does not exist.
func openDevice(ctx context.Context, host sys.Reader, dev string) (d formatted, there bool, err error) {
	resolved, err := realpath(ctx, host.Files(), dev)
	if there, err := present(err); !there {
		return d, false, err
	}
	d.path = resolved
	info, err := host.Files().Stat(ctx, resolved)
	there, err = present(err)
	if err != nil {
		return d, false, fmt.Errorf("looking at %s: %w", resolved, err)
	}
	if !there {
		return d, false, nil
	}
	if info.Type != sys.BlockDevice && info.Type != sys.Regular {
		return d, false, fmt.Errorf("%s is neither a block device nor an image: it is a %s", resolved, info.Type)
	}
	if info.ChangeTime.IsZero() { // written only in a shadow, where blkid would see the old bytes
		return d, false, &sys.UnknownError{What: "what " + resolved + " holds", Because: "it would be written first"}
	}
	d.holds, err = sys.Look(ctx, host, d.resource(), func(ctx context.Context) (signature, error) {
		return probeSignature(ctx, host, resolved)
	})
	return d, true, err
}

func (d formatted) resource() string { return "filesystem " + d.path }

func probeSignature(ctx context.Context, host sys.Reader, device string) (signature, error) {
	text, code, err := ask(ctx, host, "util-linux", "blkid", "-p", "-o", "export", device)
	switch {
	case err != nil:
		return signature{}, err
	case code == blkidNothing:
		return signature{}, nil
	case code == blkidSeveral:
		return signature{Several: true}, nil
	case code != 0:
		return signature{}, fmt.Errorf("blkid could not read %s: it ended with code %d: %s", device, code, strings.TrimSpace(text))
	}
	return parseBlkid(text), nil
}

// ask runs a program that only reads, and gives all that it printed.
func ask(ctx context.Context, host sys.Reader, from string, args ...string) (text string, code int, err error) {
	out, err := host.Probe(ctx, sys.Command{Args: args, Env: []string{"LC_ALL=C.UTF-8"}})
	if errors.Is(err, exec.ErrNotFound) {
		return "", 0, missingProgram(ctx, host, args[0], from)
	}
	if err != nil {
		return "", 0, fmt.Errorf("running %s: %w", args[0], err)
	}
	return string(out.Stdout) + string(out.Stderr), out.Code, nil
}

// unused fails when the device is mounted, or is swap in use.
func (d formatted) unused(ctx context.Context, host sys.Reader) error {
	at, err := d.mountedAt(ctx, host)
	if err != nil {
		return err
	}
	if at != "" {
		return fmt.Errorf("%s is mounted at %s; unmount it first", d.path, at)
	}
	swaps, err := look(ctx, host, "/proc/swaps")
	if err != nil || !swaps.exists {
		return err // a kernel without swap
	}
	text, err := readText(ctx, host, swaps)
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == d.path {
			return fmt.Errorf("%s is in use as swap; swapoff it first", d.path)
		}
	}
	return nil
}

// mountedAt is where the device is mounted, "" for nowhere.
func (d formatted) mountedAt(ctx context.Context, host sys.Reader) (string, error) {
	mounts, err := host.Mounts().List(ctx)
	if err != nil {
		return "", fmt.Errorf("reading the mount table: %w", err)
	}
	for _, m := range mounts {
		source, err := device(ctx, host, m.Source)
		if err != nil {
			return "", err
		}
		if source == d.path || m.Source == d.path {
			return m.Target, nil
		}
	}
	return "", nil
}

// wipe takes all marks off the device.
func (d formatted) wipe(ctx context.Context, host sys.Reader) (Step, error) {
	if err := d.unused(ctx, host); err != nil {
		return nil, err
	}
	if _, _, err := ask(ctx, host, "util-linux", "wipefs", "--version"); err != nil {
		return nil, err
	}
	return d.become(signature{}, []string{"wipefs", "--all", "--quiet", d.path}), nil
}

// become is the step that gives the device something else to hold.
func (d formatted) become(after signature, args []string) Step {
	c := change.Change{Target: "filesystem " + d.path, Field: "type", Action: change.Update}
	if d.holds.empty() {
		c.Action = change.Create
	} else {
		c.Before = change.Text(d.holds.String())
	}
	if after.empty() {
		c.Action = change.Remove
	} else {
		c.After = change.Text(after.String())
	}
	return act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
		return host.Change().Resources().Make(ctx, d.resource(), after, func(ctx context.Context) error {
			return runWhole(ctx, host, args...)
		})
	}}
}

// runWhole runs a program that must not be cut off in the middle.
func runWhole(ctx context.Context, host sys.Host, args ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return runProgram(context.WithoutCancel(ctx), host, args...)
}

// extent is how far a file system reaches into its device.
type extent struct {
	bytes int64 // of the file system
	// spare is how much may be left over at the end of the device: less than that
	// is no room for another group of blocks.
	spare int64
}

// grow lets the file system reach to the end of its device.
func (d formatted) grow(ctx context.Context, host sys.Reader) (Step, error) {
	maker := makers[d.holds.Type]
	mounted, err := d.mountedAt(ctx, host)
	if err != nil {
		return nil, err
	}
	whole, err := d.bytes(ctx, host)
	if err != nil {
		return nil, err
	}
	has, err := sys.Look(ctx, host, d.resource()+" size", func(ctx context.Context) (extent, error) {
		return maker.size(ctx, host, d.path)
	})
	if err != nil || whole-has.bytes < has.spare {
		return nil, err
	}
	at := d.path
	if maker.mounted {
		if at = mounted; at == "" {
			return nil, fmt.Errorf("%s is not mounted: a %s grows only while it is", d.path, d.holds.Type)
		}
	}
	args := append(slices.Clone(maker.grow), at)
	if _, _, err := ask(ctx, host, maker.from, args[0], "-V"); err != nil {
		return nil, err
	}
	c := update("filesystem "+d.path, "size", strconv.FormatInt(has.bytes, 10), strconv.FormatInt(whole, 10))
	return act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
		return host.Change().Resources().Make(ctx, d.resource()+" size", extent{whole, 1}, func(ctx context.Context) error {
			return runWhole(ctx, host, args...)
		})
	}}, nil
}

// bytes is the size of the device.
func (d formatted) bytes(ctx context.Context, host sys.Reader) (int64, error) {
	info, err := host.Files().Stat(ctx, d.path)
	if err != nil || info.Type == sys.Regular {
		return info.Size, err
	}
	text, code, err := ask(ctx, host, "util-linux", "blockdev", "--getsize64", d.path)
	if err != nil {
		return 0, err
	}
	size, parseErr := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if code != 0 || parseErr != nil {
		return 0, fmt.Errorf("the size of %s cannot be read: blockdev says %q", d.path, text)
	}
	return size, nil
}
