package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is four bytes of length, big endian, and that many bytes. The top bit
// of the length says that the message goes on in the next frame.
const (
	frameLimit   = 16 << 20  // bytes of one frame
	messageLimit = 256 << 20 // bytes of one message over all its frames
	moreBit      = 1 << 31
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
		buffer := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(part)), header)
		if _, err := w.Write(append(buffer, part...)); err != nil {
			return err
		}
		if len(message) == 0 {
			return nil
		}
	}
}

// readFrames receives one message. The end of the stream between two messages is
// io.EOF, within one io.ErrUnexpectedEOF. Memory grows with what has arrived,
// not with what a header claims.
func readFrames(r io.Reader) ([]byte, error) { return readFramesUpTo(r, messageLimit) }

func readFramesUpTo(r io.Reader, limit int) ([]byte, error) {
	var message bytes.Buffer
	for first := true; ; first = false {
		var header [4]byte
		if _, err := io.ReadFull(r, header[:]); err != nil {
			if errors.Is(err, io.EOF) && !first {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		length := binary.BigEndian.Uint32(header[:])
		more := length&moreBit != 0
		length &^= moreBit
		if length > frameLimit || message.Len()+int(length) > limit {
			return nil, fmt.Errorf("the other end announces a frame of %d bytes (%d so far), at most %d (%d) are allowed: it does not speak this protocol",
				length, message.Len(), frameLimit, limit)
		}
		if more && length == 0 {
			return nil, errors.New("the other end sends an empty frame that goes on: it does not speak this protocol")
		}
		n, err := io.CopyN(&message, r, int64(length))
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("frame of %d bytes ended after %d: %w", length, n, err)
		}
		if !more {
			return message.Bytes(), nil
		}
	}
}
