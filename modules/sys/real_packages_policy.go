package sys

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const policyPath = "/usr/sbin/policy-rc.d"

// policyMark is how a policy of ours is known after a crash.
const policyMark = "# rbdplay: in place only while packages are being installed\n"

// policyText forbids Debian's maintainer scripts to start or stop anything: 101.
const policyText = "#!/bin/sh\n" + policyMark + "exit 101\n"

func savedPolicy(path string) string { return path + ".before-rbdplay" }

// forbidStarts puts a policy-rc.d in place for a transaction of apt and returns
// what takes it away again. One that is there already is put aside meanwhile.
// rpm's scripts start nothing, so there is nothing to do for them.
func forbidStarts(path, manager string) (restore func() error, err error) {
	if manager != "apt" {
		return func() error { return nil }, nil
	}
	err = os.Link(path, savedPolicy(path)) // a link, so that at no moment there is no policy
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := putPolicy(path); err != nil {
		return nil, errors.Join(err, recoverPolicy(path))
	}
	return func() error { return recoverPolicy(path) }, nil
}

func putPolicy(path string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".policy-rc.d-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // the first error counts
		}
	}()
	_, err = file.WriteString(policyText)
	err = errors.Join(err, file.Chmod(0o755), file.Close())
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// recoverPolicy undoes forbidStarts, also after a crash at any point of it. A
// policy that is not ours is left alone.
func recoverPolicy(path string) error {
	saved := savedPolicy(path)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ours := bytes.Contains(text, []byte(policyMark))
	_, savedErr := os.Lstat(saved)
	switch {
	case savedErr != nil && !errors.Is(savedErr, fs.ErrNotExist):
		return savedErr
	case savedErr != nil && ours:
		return os.Remove(path)
	case savedErr != nil:
		return nil //nolint:nilerr // it is not there, and what is in place is not ours
	case ours || err != nil:
		return os.Rename(saved, path)
	}
	return os.Remove(saved) // the crash came before ours was in place
}
