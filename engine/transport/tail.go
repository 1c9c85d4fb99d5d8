package transport

import "sync"

const tailSize = 4096

// Tail keeps the end of what is written to it: a command's standard error, for
// messages. The zero value is ready; it is safe for concurrent use.
type Tail struct {
	mu   sync.Mutex
	text []byte
	grew chan struct{}
}

// Write never fails and never blocks.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	select {
	case t.channel() <- struct{}{}:
	default: // a wake-up is waiting already
	}
	return len(p), nil
}

// String returns what is kept.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// Grew receives after a Write.
func (t *Tail) Grew() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.channel()
}

func (t *Tail) channel() chan struct{} {
	if t.grew == nil {
		t.grew = make(chan struct{}, 1)
	}
	return t.grew
}
