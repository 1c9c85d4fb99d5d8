package agent

import (
	"io"
	"sync"
)

// outbox writes messages to the other end, from any goroutine.
type outbox struct {
	mu  sync.Mutex
	w   io.Writer
	err error // of the first failed write; nothing is written after it
}

func (o *outbox) send(m *message) error {
	body, err := encode(m)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write(body)
}

// write wants the lock held.
func (o *outbox) write(body []byte) error {
	if o.err != nil {
		return o.err
	}
	if len(body) > messageLimit {
		return writeFrames(o.w, body) // says so, and sends nothing
	}
	o.err = writeFrames(o.w, body)
	return o.err
}
