package sys

import (
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// memoryFiles puts each content into a sealed file that exists in memory only,
// so that a program can read a secret as /proc/self/fd/3 and no disk sees it.
// What was opened is returned with an error too, to be closed.
func memoryFiles(ctx context.Context, contents []Content) ([]*os.File, error) {
	var files []*os.File
	for i, content := range contents {
		fd, err := unix.MemfdCreate(fmt.Sprintf("input-%d", i), unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		if err != nil {
			return files, fmt.Errorf("a file in memory: %w", err)
		}
		file := os.NewFile(uintptr(fd), fmt.Sprintf("memfd:input-%d", i))
		files = append(files, file)
		if err := fill(ctx, file, content); err != nil {
			return files, fmt.Errorf("a file in memory: %w", err)
		}
	}
	return files, nil
}

func fill(ctx context.Context, file *os.File, content Content) (err error) {
	from, err := content.Open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := from.Close(); err == nil {
			err = closeErr
		}
	}()
	if _, err := io.Copy(file, from); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	_, err = file.Seek(0, io.SeekStart) // who reads the descriptor itself starts here
	return err
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // in memory: nothing is lost
	}
}
