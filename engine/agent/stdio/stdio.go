//go:build linux

// Package stdio gives an agent its connection to itself.
package stdio

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

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
