package agent

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
)

// outbox writes messages to the other end, from any goroutine.
type outbox struct {
	mu      sync.Mutex
	w       io.Writer
	err     error         // of the first failed write; nothing is written after it
	waiting *bytes.Buffer // what goes out together; nil: everything goes at once
}

// togetherLimit bounds what waits to go out together, in bytes.
const togetherLimit = 64 << 10

// together lets what send sends, from any goroutine meanwhile, go out in few
// writes: each is a packet, and a turn of the SSH servers that it passes.
func (o *outbox) together(send func()) {
	o.mu.Lock()
	o.waiting = &bytes.Buffer{}
	o.mu.Unlock()
	send()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	o.waiting = nil
}

// flush wants the lock held.
func (o *outbox) flush() {
	if o.err == nil && o.waiting.Len() > 0 {
		_, o.err = o.waiting.WriteTo(o.w)
	}
}

func (o *outbox) send(m *message) error {
	if m.Data != nil && m.Data.room != nil {
		return o.window(m.ID, m.Data.room)
	}
	body := takeBuffer()
	defer giveBack(body)
	if err := encode(m, body); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write(body.Bytes())
}

// window sends bytes of a stream, which stand behind the room for their header.
func (o *outbox) window(stream uint64, room []byte) error {
	binary.BigEndian.PutUint32(room, uint32(len(room)-lengthSize)|windowBit)
	binary.BigEndian.PutUint64(room[lengthSize:], stream)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil && o.waiting != nil {
		o.flush() // what waits was sent before
	}
	if o.err == nil {
		_, o.err = o.w.Write(room)
	}
	return o.err
}

// write wants the lock held.
func (o *outbox) write(body []byte) error {
	if o.err != nil {
		return o.err
	}
	if len(body) > messageLimit {
		return writeFrames(o.w, body) // says so, and sends nothing
	}
	if o.waiting == nil {
		o.err = writeFrames(o.w, body)
		return o.err
	}
	_ = writeFrames(o.waiting, body) // a buffer takes everything
	if o.waiting.Len() >= togetherLimit {
		o.flush()
	}
	return o.err
}
