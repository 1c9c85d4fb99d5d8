package sys

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
		uses, err := p.uses(entry.Name(), own, path, source)
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
func (p *realProcesses) uses(pid, own, path string, source origin) (bool, error) {
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
	return err == nil && table.has(source), err
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

type mountLine struct {
	origin
	target string
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
		lines = append(lines, mountLine{origin{fields[2], unescapeOctal(fields[3])}, unescapeOctal(fields[4])})
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

// has reports whether the folder, or one below it, is mounted by itself. The file
// system as a whole is not meant: every container has some of it.
func (m mountLines) has(source origin) bool {
	for _, line := range m {
		if line.device == source.device && isWithin(line.path, source.path) {
			return true
		}
	}
	return false
}
