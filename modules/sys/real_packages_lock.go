package sys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// awaitUnlocked waits until no process holds one of the lock files, for as long
// as patience lasts. The error then names the process that is in the way.
func awaitUnlocked(ctx context.Context, locks []string, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		holder, lock, err := lockHolder(locks)
		if err != nil || holder == 0 {
			return err
		}
		if !time.Now().Before(deadline) {
			return fmt.Errorf("the package manager is in use: %s is held by %s, and was for the %s that were waited",
				lock, processName(holder), patience)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s, which is held by %s: %w", lock, processName(holder), ctx.Err())
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// lockHolder gives a process that holds a POSIX lock on one of the files, or 0. A
// file that may not be opened cannot be locked by who runs this either.
func lockHolder(locks []string) (pid int, lock string, err error) {
	for _, lock := range locks {
		file, err := os.Open(lock)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			continue
		}
		if err != nil {
			return 0, "", err
		}
		held := unix.Flock_t{Type: unix.F_WRLCK}
		err = unix.FcntlFlock(file.Fd(), unix.F_GETLK, &held)
		_ = file.Close() // it was only looked at
		if err != nil {
			return 0, "", fmt.Errorf("%s: %w", lock, err)
		}
		if held.Type != unix.F_UNLCK && int(held.Pid) != os.Getpid() {
			return int(held.Pid), lock, nil
		}
	}
	return 0, "", nil
}

func processName(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
}
