package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// The few DNS numbers (RFC 1035) that an answerer of A records needs.
const (
	typeA    = 1
	typeAAAA = 28
	classIN  = 1

	rcodeOK       = 0
	rcodeServFail = 2
	rcodeNotImpl  = 4

	headerLength = 12
	answerTTL    = 5 // seconds: short, so that a moved name is seen in a test
)

var errShort = errors.New("dns: message ends early")

// question is the first question of a query.
type question struct {
	id        uint16
	recursion bool
	opcode    uint8
	name      string // lower case, without the last dot
	kind      uint16
	class     uint16
	raw       []byte // the question section as it came, to be sent back
}

// parseQuestion reads the header and the first question of a query.
func parseQuestion(message []byte) (question, error) {
	if len(message) < headerLength {
		return question{}, errShort
	}
	flags := binary.BigEndian.Uint16(message[2:])
	if flags&0x8000 != 0 {
		return question{}, errors.New("dns: an answer, not a query")
	}
	if count := binary.BigEndian.Uint16(message[4:]); count != 1 {
		return question{}, fmt.Errorf("dns: %d questions, want 1", count)
	}
	name, end, err := parseName(message, headerLength)
	if err != nil {
		return question{}, err
	}
	if len(message) < end+4 {
		return question{}, errShort
	}
	return question{
		id:        binary.BigEndian.Uint16(message),
		recursion: flags&0x0100 != 0,
		opcode:    uint8(flags >> 11 & 0xf),
		name:      name,
		kind:      binary.BigEndian.Uint16(message[end:]),
		class:     binary.BigEndian.Uint16(message[end+2:]),
		raw:       message[headerLength : end+4],
	}, nil
}

// parseName reads an uncompressed name at offset; a question never needs
// compression, so a pointer is refused and no loop is possible.
func parseName(message []byte, offset int) (string, int, error) {
	var labels []string
	for total := 0; ; {
		if offset >= len(message) {
			return "", 0, errShort
		}
		length := int(message[offset])
		offset++
		if length == 0 {
			return strings.ToLower(strings.Join(labels, ".")), offset, nil
		}
		if length > 63 {
			return "", 0, errors.New("dns: compressed or unknown label in a question")
		}
		if total += length + 1; total > 254 {
			return "", 0, errors.New("dns: name too long")
		}
		if offset+length > len(message) {
			return "", 0, errShort
		}
		labels = append(labels, string(message[offset:offset+length]))
		offset += length
	}
}

// appendAnswer builds the answer to q: addresses for A, none for another type.
func appendAnswer(q question, rcode uint16, addresses []netip.Addr) []byte {
	if q.kind != typeA || q.class != classIN {
		addresses = nil
	}
	flags := uint16(0x8000) | uint16(q.opcode)<<11 | 0x0080 | rcode
	if q.recursion {
		flags |= 0x0100
	}
	out := make([]byte, 0, headerLength+len(q.raw)+16*len(addresses))
	out = binary.BigEndian.AppendUint16(out, q.id)
	out = binary.BigEndian.AppendUint16(out, flags)
	out = binary.BigEndian.AppendUint16(out, 1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(addresses)))
	out = append(out, 0, 0, 0, 0)
	out = append(out, q.raw...)
	for _, address := range addresses {
		out = append(out, 0xc0, headerLength) // pointer to the question's name
		out = binary.BigEndian.AppendUint16(out, typeA)
		out = binary.BigEndian.AppendUint16(out, classIN)
		out = binary.BigEndian.AppendUint32(out, answerTTL)
		raw := address.As4()
		out = binary.BigEndian.AppendUint16(out, uint16(len(raw)))
		out = append(out, raw[:]...)
	}
	return out
}
