package modules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// Facts about the machine: memory, processors, firmware, file systems.

func memoryFacts(ctx context.Context, g *gathering) error {
	text, _, err := g.text(ctx, "/proc/meminfo")
	if err != nil {
		return err
	}
	mb := map[string]int64{"MemTotal": int64(g.system.MemoryBytes >> 20)} // no machine has that much
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64); err == nil {
			mb[name] = kib / 1024
		}
	}
	unused := mb["MemFree"] + mb["Cached"] + mb["Buffers"]
	g.add(map[string]any{
		"memtotal_mb": mb["MemTotal"], "memfree_mb": mb["MemFree"], "swaptotal_mb": mb["SwapTotal"], "swapfree_mb": mb["SwapFree"],
		"memory_mb": map[string]any{
			"real":    map[string]any{"total": mb["MemTotal"], "free": mb["MemFree"], "used": mb["MemTotal"] - mb["MemFree"]},
			"nocache": map[string]any{"free": unused, "used": mb["MemTotal"] - unused},
			"swap":    map[string]any{"total": mb["SwapTotal"], "free": mb["SwapFree"], "used": mb["SwapTotal"] - mb["SwapFree"], "cached": mb["SwapCached"]},
		},
	})
	return nil
}

// processorFacts counts sockets, cores and threads as /proc/cpuinfo tells them;
// machines whose kernel does not tell are one core per processor.
func processorFacts(ctx context.Context, g *gathering) error {
	text, _, err := g.text(ctx, "/proc/cpuinfo")
	if err != nil {
		return err
	}
	list := []any{}
	sockets, cores, siblings, found := map[string]bool{}, 1, 1, 0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "processor":
			found++
			list = append(list, value)
		case "vendor_id", "model name", "Model Name", "cpu":
			list = append(list, value)
		case "physical id":
			sockets[value] = true
		case "cpu cores":
			cores = atLeastOne(value)
		case "siblings":
			siblings = atLeastOne(value)
		}
	}
	count, threads := len(sockets), max(siblings/cores, 1)
	if count == 0 {
		count, cores, threads = max(found, g.system.CPUs), 1, 1
	}
	g.add(map[string]any{
		"processor": list, "processor_count": count, "processor_cores": cores, "processor_threads_per_core": threads,
		"processor_vcpus": count * cores * threads, "processor_nproc": g.system.CPUs,
	})
	return nil
}

func atLeastOne(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// dmiNames are the files below /sys/class/dmi/id by fact.
var dmiNames = map[string]string{
	"bios_date": "bios_date", "bios_vendor": "bios_vendor", "bios_version": "bios_version",
	"board_asset_tag": "board_asset_tag", "board_name": "board_name", "board_serial": "board_serial", "board_vendor": "board_vendor", "board_version": "board_version",
	"chassis_asset_tag": "chassis_asset_tag", "chassis_serial": "chassis_serial", "chassis_vendor": "chassis_vendor", "chassis_version": "chassis_version",
	"product_name": "product_name", "product_serial": "product_serial", "product_uuid": "product_uuid", "product_version": "product_version",
	"system_vendor": "sys_vendor",
}

// dmiFacts are what the firmware says; NA is what it does not, or only to root.
func dmiFacts(ctx context.Context, g *gathering) error {
	for fact, file := range dmiNames {
		text, err := g.line(ctx, "/sys/class/dmi/id/"+file)
		if err != nil {
			return err
		}
		g.facts[fact] = cmp.Or(text, "NA")
	}
	return nil
}

func uptimeFacts(ctx context.Context, g *gathering) error {
	text, err := g.line(ctx, "/proc/uptime")
	if whole, _, ok := strings.Cut(text, "."); ok {
		if seconds, err := strconv.ParseInt(whole, 10, 64); err == nil {
			g.facts["uptime_seconds"] = seconds
		}
	}
	return err
}

func loadFacts(ctx context.Context, g *gathering) error {
	text, err := g.line(ctx, "/proc/loadavg")
	words := strings.Fields(text)
	if err != nil || len(words) < 3 {
		return err
	}
	load := map[string]any{}
	for i, name := range []string{"1m", "5m", "15m"} {
		if load[name], err = strconv.ParseFloat(words[i], 64); err != nil {
			return fmt.Errorf("/proc/loadavg: %w", err)
		}
	}
	g.facts["loadavg"] = load
	return nil
}

// mountFacts asks every file system for its size at a time. The answers of dead
// ones are not waited for longer than the timeout.
func mountFacts(ctx context.Context, g *gathering) error {
	all, err := g.host.Mounts().List(ctx)
	if err != nil {
		return fmt.Errorf("reading the mount table: %w", err)
	}
	uuids, err := diskUUIDs(ctx, g)
	if err != nil {
		return err
	}
	facts := make([]map[string]any, len(all))
	var asked sync.WaitGroup
	for i, m := range all {
		if m.Type == "autofs" {
			continue // to ask it would mount something
		}
		asked.Go(func() { facts[i] = g.mountFact(ctx, m) })
	}
	asked.Wait()
	list := []any{}
	for i, fact := range facts {
		if fact != nil {
			fact["uuid"] = cmp.Or(uuids[path.Base(all[i].Source)], "N/A")
			list = append(list, fact)
		}
	}
	g.facts["mounts"] = list
	return ctx.Err()
}

// mountFact is nil for a file system that holds no files of anybody's.
func (g *gathering) mountFact(ctx context.Context, m sys.Mount) map[string]any {
	fact := map[string]any{"mount": m.Target, "device": m.Source, "fstype": m.Type, "options": m.Options}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	space, err := g.host.Files().Space(ctx, m.Target)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		fact["note"] = fmt.Sprintf("did not tell its size within %g seconds", g.timeout.Seconds())
		return fact
	case err != nil:
		fact["note"] = err.Error()
		return fact
	case space.Total == 0 && !strings.ContainsAny(m.Source, "/:") && !strings.HasPrefix(m.Type, "fuse."):
		return nil
	}
	block := max(space.Block, 1)
	total, free := space.Total/block, space.Free/block
	for name, n := range map[string]uint64{
		"size_total": space.Total, "size_available": space.Free,
		"block_size": block, "block_total": total, "block_available": free, "block_used": total - min(free, total),
		"inode_total": space.Inodes, "inode_available": space.FreeInodes, "inode_used": space.Inodes - min(space.FreeInodes, space.Inodes),
	} {
		fact[name] = int64(n) // no file system is that large
	}
	return fact
}

// diskUUIDs are the UUIDs of file systems by the name of their device.
func diskUUIDs(ctx context.Context, g *gathering) (map[string]string, error) {
	const folder = "/dev/disk/by-uuid"
	names, err := g.host.Files().ReadDir(ctx, folder)
	if there, err := thereNow(err); err != nil || !there {
		return nil, err
	}
	uuids := map[string]string{}
	for _, name := range names {
		target, err := g.host.Files().Readlink(ctx, folder+"/"+name)
		if there, err := thereNow(err); err != nil {
			return nil, err
		} else if there {
			uuids[path.Base(target)] = name
		}
	}
	return uuids, nil
}
