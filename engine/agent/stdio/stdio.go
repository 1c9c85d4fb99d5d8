//go:build linux

// Package stdio gives an agent its connection to itself.
package stdio

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is what the pipe from the controller is to hold, in bytes: with the usual 64
// KiB, sshd and the agent take turns twice for each packet or two of a file.
const pipeSize = 1 << 20

// Take moves the connection to the controller away from the numbers 0 and
// 1, which children inherit: a child that reads or prints would break it.
func Take() (in, out *os.File, err error) {
	nothing, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, nothing.Close()) }()
	if in, err = take(0, "controller in", nothing); err != nil {
		return nil, nil, err
	}
	// Only a hint, and what is no pipe has no such size.
	_, _ = unix.FcntlInt(in.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	if out, err = take(1, "controller out", nothing); err != nil {
		return nil, nil, err
	}
	return in, out, nil
}

func take(number int, name string, instead *os.File) (*os.File, error) {
	moved, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := unix.Dup3(int(instead.Fd()), number, 0); err != nil {
		return nil, errors.Join(err, unix.Close(moved))
	}
	return os.NewFile(uintptr(moved), name), nil
}
