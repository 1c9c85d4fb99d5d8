package sys

import (
	"os"
	"sync"
	"time"
)

// settled is how long a file must have been left alone before its content is kept:
// a change within one tick of the file system's clock shows in no time stamp.
const settled = 2 * time.Second

// keptFile is a small file that is asked for again and again. It is read again
// whenever anything that stat tells of it has changed. It serves any number of
// goroutines.
type keptFile struct {
	path    string
	settled time.Duration

	mu   sync.Mutex
	info *FileInfo // nil: nothing is kept
	text []byte
}

// read gives the file's content, which must not be changed.
func (k *keptFile) read() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := infoOf(os.Stat(k.path))
	if err != nil {
		return nil, err
	}
	if k.info != nil && untouched(&info, k.info) {
		return k.text, nil
	}
	k.info = nil
	text, err := os.ReadFile(k.path)
	if err != nil {
		return nil, err
	}
	if time.Since(info.ChangeTime) > k.settled && int64(len(text)) == info.Size {
		k.info, k.text = &info, text
	}
	return text, nil
}
