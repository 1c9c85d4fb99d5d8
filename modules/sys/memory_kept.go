package sys

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

type keepNothingKey struct{}

// KeepNothing returns a context in which RecallKept writes nothing to the disk: that
// of check mode.
func KeepNothing(ctx context.Context) context.Context {
	return context.WithValue(ctx, keepNothingKey{}, true)
}

// RecallKept is Recall for a result that is also kept on the disk, for later runs. Of
// one name the last is kept, with its key. The key must name all that the result is
// made of for as long as the host is there, and neither may hold a secret: keys are
// kept as their digest, results as JSON. A result that cannot be kept, or whose entry
// is damaged or another's, is worked out anew: nothing depends on the entry.
func RecallKept[T any](ctx context.Context, name, key string, work func() (T, error)) (T, error) {
	m, ok := ctx.Value(memoryKey{}).(*Memory)
	if !ok || m.Folder == "" {
		return Recall(ctx, key, work)
	}
	return Recall(ctx, key, func() (T, error) {
		file := filepath.Join(m.Folder, "kept-"+digestOf(name)[:32])
		var value T
		if text, err := readKept(file, key); err == nil && json.Unmarshal(text, &value) == nil {
			return value, nil
		}
		value, err := work()
		if err == nil && ctx.Value(keepNothingKey{}) == nil {
			_ = writeKept(file, key, value) // it costs the next run the time that it cost this one
		}
		return value, err
	})
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// mostKept is the size of an entry.
const mostKept = 1 << 20

// A file of an entry is the digest of the key, that of the value, and the value, a
// line each.

func readKept(file, key string) ([]byte, error) {
	if err := ownFolder(filepath.Dir(file)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	var info unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &info); err != nil {
		return nil, err
	}
	if info.Mode&unix.S_IFMT != unix.S_IFREG || info.Mode&0o077 != 0 || int(info.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("%s is not a file of our own", file)
	}
	text, err := io.ReadAll(io.LimitReader(f, mostKept))
	if err != nil {
		return nil, err
	}
	lines := bytes.SplitN(text, []byte("\n"), 3)
	if len(lines) != 3 || string(lines[0]) != digestOf(key) || string(lines[1]) != digestOf(string(lines[2])) {
		return nil, fmt.Errorf("%s is of something else, or damaged", file)
	}
	return lines[2], nil
}

func writeKept(file, key string, value any) error {
	if err := ownFolder(filepath.Dir(file)); err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	// What is left of an interrupted one goes the way of interrupted uploads.
	f, err := os.CreateTemp(filepath.Dir(file), "upload-kept-")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%s\n%s", digestOf(key), digestOf(string(text)), text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// ownFolder refuses a folder that others could write to.
func ownFolder(folder string) error {
	var info unix.Stat_t
	if err := unix.Lstat(folder, &info); err != nil {
		return err
	}
	if info.Mode&unix.S_IFMT != unix.S_IFDIR || info.Mode&0o022 != 0 || int(info.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a folder of our own", folder)
	}
	return nil
}
