package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lockDir lies outside the store, which comes and goes.
const lockDir = "/run/lock/rbdplay-lab"

// lockWait is how long an operation waits for another run to finish; one that
// builds everything takes minutes.
const lockWait = 15 * time.Minute

// takeLock waits for the exclusive lock of a name. The kernel drops it with
// the process, so a crash leaves none behind.
func takeLock(ctx context.Context, name string, say func(string, ...any)) (func() error, error) {
	if err := os.MkdirAll(lockDir, 0o755); err != nil {
		return nil, err
	}
	path := filepath.Join(lockDir, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	told := false
	err = waitFor(ctx, "the lock "+path, lockWait, 100*time.Millisecond, func(context.Context) error {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			holder, _ := os.ReadFile(path)
			err = fmt.Errorf("held by process %s", strings.TrimSpace(string(holder)))
			if !told {
				say("waiting for the lock of %s, %v", name, err)
				told = true
			}
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Truncate(0), writeAt(file, fmt.Sprintln(os.Getpid()))); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file.Close, nil
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}
