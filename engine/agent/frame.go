package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A frame is four bytes of length, big endian, and that many bytes. The top bit
// of the length says that the message goes on in the next frame, the one below it
// that the frame holds no message but a window: the number of a stream in eight bytes,
// and bytes of it. Most of what files cost is spared where windows are not encoded.
const (
	frameLimit   = 16 << 20  // bytes of one frame
	messageLimit = 256 << 20 // bytes of one message over all its frames
	moreBit      = 1 << 31
	windowBit    = 1 << 30

	lengthSize   = 4
	streamSize   = 8
	windowHeader = lengthSize + streamSize
)

// errTooLarge says that a message cannot be sent; nothing of it has been.
var errTooLarge = errors.New("message is too large")

// writeFrames sends one message, cut into frames.
func writeFrames(w io.Writer, message []byte) error {
	if len(message) > messageLimit {
		return fmt.Errorf("%w: %d bytes, at most %d", errTooLarge, len(message), messageLimit)
	}
	for {
		part := message[:min(len(message), frameLimit)]
		message = message[len(part):]
		header := uint32(len(part))
		if len(message) > 0 {
			header |= moreBit
		}
		// One Write for header and body: one packet on the wire.
		frame := takeBuffer()
		_ = binary.Write(frame, binary.BigEndian, header) // a buffer takes everything
		frame.Write(part)
		_, err := w.Write(frame.Bytes())
		giveBack(frame)
		if err != nil {
			return err
		}
		if len(message) == 0 {
			return nil
		}
	}
}

// buffers are used again and again while files are on their way: made anew for each
// window, they would keep the garbage collector busier than the transfer.
var buffers = sync.Pool{New: func() any { return &bytes.Buffer{} }}

// keptBuffer is the most that a buffer may hold to be kept, in bytes.
const keptBuffer = 1 << 20

func takeBuffer() *bytes.Buffer {
	b, _ := buffers.Get().(*bytes.Buffer) // New makes no other
	b.Reset()
	return b
}

// giveBack is for who took a buffer and has nothing left that points into it.
func giveBack(b *bytes.Buffer) {
	if b != nil && b.Cap() <= keptBuffer {
		buffers.Put(b)
	}
}

// receiveMessage reads one message; errors are those of readFrames, or say what is
// wrong with the message.
func receiveMessage(r io.Reader) (*message, error) {
	body := takeBuffer()
	window, err := readFrames(r, body, messageLimit)
	if err != nil {
		return nil, err
	}
	if window {
		stream := binary.BigEndian.Uint64(body.Next(streamSize))
		return &message{ID: stream, Data: &data{Bytes: body.Bytes(), frame: body}}, nil
	}
	m, err := decode(body.Bytes())
	if err == nil && m.Data != nil {
		m.Data.frame = body // its bytes lie in there
		return m, nil
	}
	giveBack(body)
	return m, err
}

// readFrames receives the bytes of one message, or of one window. The end of the
// stream between two messages is io.EOF, within one io.ErrUnexpectedEOF. Memory grows
// with what has arrived, not with what a header claims.
func readFrames(r io.Reader, message *bytes.Buffer, limit int) (window bool, err error) {
	for first := true; ; first = false {
		var header [lengthSize]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			if errors.Is(err, io.EOF) && !first {
				err = io.ErrUnexpectedEOF
			}
			return false, err
		}
		length := binary.BigEndian.Uint32(header[:])
		more, window := length&moreBit != 0, length&windowBit != 0
		length &^= moreBit | windowBit
		if length > frameLimit || message.Len()+int(length) > limit {
			return false, fmt.Errorf("the other end announces a frame of %d bytes (%d so far), at most %d (%d) are allowed: it does not speak this protocol",
				length, message.Len(), frameLimit, limit)
		}
		if more && length == 0 {
			return false, errors.New("the other end sends an empty frame that goes on: it does not speak this protocol")
		}
		if window && (more || !first || length <= streamSize || length > streamSize+windowSize) {
			return false, fmt.Errorf("the other end announces a window of %d bytes, or one that is a part of something: it does not speak this protocol", length)
		}
		n, err := io.CopyN(message, r, int64(length))
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return false, fmt.Errorf("frame of %d bytes ended after %d: %w", length, n, err)
		}
		if !more {
			return window, nil
		}
	}
}
