package sys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// realProcesses reads /proc.
type realProcesses struct{ proc string }

func newRealProcesses() *realProcesses { return &realProcesses{proc: "/proc"} }

// Using lists the processes that have path, or something below it, open, as
// their folder or root, or mounted in a mount namespace of their own, as
// containers have. It reads links in proc only, which never touches the file
// system in question.
func (p *realProcesses) Using(ctx context.Context, path string) ([]Process, error) {
	entries, err := os.ReadDir(p.proc)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	table, err := p.mounts("self")
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	source := table.origin(path)
	groups := table.groups()
	own, err := os.Readlink(filepath.Join(p.proc, "self/ns/mnt"))
	if err != nil {
		return nil, fmt.Errorf("find the own mount namespace: %w", err)
	}
	var users []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		uses, err := p.uses(entry.Name(), own, path, source, groups)
		if err != nil {
			return nil, fmt.Errorf("look at process %d: %w", pid, err)
		}
		if uses {
			users = append(users, Process{PID: pid, Name: p.name(entry.Name())})
		}
	}
	return users, nil
}

// uses looks at one process. One that has ended meanwhile uses nothing.
func (p *realProcesses) uses(pid, own, path string, source origin, groups map[string]bool) (bool, error) {
	namespace, err := os.Readlink(filepath.Join(p.proc, pid, "ns/mnt"))
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if namespace == own {
		return holds(filepath.Join(p.proc, pid), path), nil
	}
	table, err := p.mounts(pid)
	if gone(err) {
		return false, nil
	}
	if err != nil || table.has(source, groups) {
		return err == nil, err
	}
	return table.follows(source, groups) && holds(filepath.Join(p.proc, pid), path), nil
}

// gone reports whether a process ended while it was looked at; a zombie has no
// mount table any more.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL)
}

func (p *realProcesses) name(pid string) string {
	name, err := os.ReadFile(filepath.Join(p.proc, pid, "comm"))
	if err != nil {
		return "?" // ended since
	}
	return strings.TrimSpace(string(name))
}

// origin is a folder by the file system it lies on, whatever it is mounted as.
type origin struct{ device, path string }

// mountLine is a mount. group is the peer group it belongs to, master the one that
// it follows; "" when there is none.
type mountLine struct {
	origin
	target, group, master string
}

type mountLines []mountLine

// mounts reads the mountinfo of a process (proc_pid_mountinfo(5)).
func (p *realProcesses) mounts(pid string) (mountLines, error) {
	f, err := os.Open(filepath.Join(p.proc, pid, "mountinfo"))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	var lines mountLines
	for scanner := bufio.NewScanner(f); ; {
		if !scanner.Scan() {
			return lines, scanner.Err()
		}
		fields := strings.Fields(scanner.Text())
		if len(fields) < 5 {
			continue
		}
		line := mountLine{origin: origin{fields[2], unescapeOctal(fields[3])}, target: unescapeOctal(fields[4])}
		for _, field := range fields[5:] {
			if field == "-" {
				break
			}
			if group, ok := strings.CutPrefix(field, "shared:"); ok {
				line.group = group
			}
			if master, ok := strings.CutPrefix(field, "master:"); ok {
				line.master = master
			}
		}
		lines = append(lines, line)
	}
}

// origin finds where path lies: below the last mount whose target holds it.
func (m mountLines) origin(path string) origin {
	var best mountLine
	for _, line := range m {
		if isWithin(path, line.target) && len(line.target) >= len(best.target) {
			best = line
		}
	}
	rest := strings.TrimPrefix(path, strings.TrimSuffix(best.target, "/"))
	return origin{best.device, filepath.Join(best.path, rest)}
}

// unescapeOctal undoes what proc does to blanks and backslashes: \040.
func unescapeOctal(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// groups are the peer groups of the mounts.
func (m mountLines) groups() map[string]bool {
	groups := map[string]bool{}
	for _, line := range m {
		if line.group != "" {
			groups[line.group] = true
		}
	}
	return groups
}

// has reports whether the folder, or one below it, is mounted by itself, and not
// by following a mount of one of the groups. The file system as a whole is not
// meant: every container has some of it.
func (m mountLines) has(source origin, groups map[string]bool) bool {
	return slices.ContainsFunc(m, func(line mountLine) bool {
		return line.device == source.device && isWithin(line.path, source.path) && !groups[line.master]
	})
}

// follows reports whether it is mounted by following one of the groups.
func (m mountLines) follows(source origin, groups map[string]bool) bool {
	return slices.ContainsFunc(m, func(line mountLine) bool {
		return line.device == source.device && isWithin(line.path, source.path) && groups[line.master]
	})
}
