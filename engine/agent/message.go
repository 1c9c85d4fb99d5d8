package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// message is what one end tells the other: exactly one of the fields is set. ID
// numbers a call of the controller, or for Need, Data and Credit a stream of
// bytes; the controller numbers the streams it opens as calls, the agent those
// it asks for by a sequence of its own.
type message struct {
	ID uint64 `cbor:"1,keyasint"`

	// From the controller.
	Task   *Task    `cbor:"2,keyasint,omitempty"`
	Tree   *pathArg `cbor:"3,keyasint,omitempty"`
	Open   *pathArg `cbor:"4,keyasint,omitempty"`
	Cancel *cancel  `cbor:"5,keyasint,omitempty"` // the call ID; its End still follows
	Ping   *empty   `cbor:"6,keyasint,omitempty"` // "I am still here"; has no answer

	// From the agent.
	Planned *changes `cbor:"10,keyasint,omitempty"`
	Done    *changes `cbor:"11,keyasint,omitempty"`
	Output  *output  `cbor:"12,keyasint,omitempty"`
	Outcome *outcome `cbor:"13,keyasint,omitempty"`
	Entries *entries `cbor:"14,keyasint,omitempty"`
	Need    *need    `cbor:"15,keyasint,omitempty"`
	End     *end     `cbor:"16,keyasint,omitempty"` // the call is over

	// From either, about a stream.
	Data   *data   `cbor:"20,keyasint,omitempty"`
	Credit *credit `cbor:"21,keyasint,omitempty"`
}

type empty struct{}

// cancel with a chain cancels all of it: what has not begun never does.
type cancel struct {
	Chain uint64 `cbor:"1,keyasint,omitempty"`
}

type pathArg struct {
	Path  string `cbor:"1,keyasint"`
	Check bool   `cbor:"2,keyasint,omitempty"`
}

type changes struct {
	Item    int             `cbor:"1,keyasint"`
	Changes []change.Change `cbor:"2,keyasint,omitempty"` // see told
}

type output struct {
	Item   int    `cbor:"1,keyasint"`
	Stream string `cbor:"2,keyasint"`
	Text   string `cbor:"3,keyasint"`
}

type outcome struct {
	Item    int             `cbor:"1,keyasint"`
	Outcome modules.Outcome `cbor:"2,keyasint"`
	AsDone  bool            `cbor:"3,keyasint,omitempty"` // see told
}

type entries struct {
	Entries []modules.TreeEntry `cbor:"1,keyasint"`
}

// need asks for content that a running task's arguments name, and for more that is
// to come behind it in the same stream.
type need struct {
	Task   uint64   `cbor:"1,keyasint"`
	SHA256 string   `cbor:"2,keyasint"`
	More   []string `cbor:"3,keyasint,omitempty"`
}

type end struct {
	Failure *failure `cbor:"1,keyasint,omitempty"`
	Unbegun bool     `cbor:"2,keyasint,omitempty"` // the task was behind one that did not end well
}

// data is one window of a stream. The last one has Last set, and Failure when
// the stream could not be read to its end.
type data struct {
	Bytes   window   `cbor:"1,keyasint,omitempty"`
	Last    bool     `cbor:"2,keyasint,omitempty"`
	Failure *failure `cbor:"3,keyasint,omitempty"`

	frame *bytes.Buffer // in which Bytes lie, for who has read them to give back
	room  []byte        // Bytes with windowHeader bytes of room before them: goes out as it is, not encoded
}

// window is a string of bytes that is not copied when it is decoded: it stays in
// the message that it came in.
type window []byte

// UnmarshalCBOR implements cbor.Unmarshaler.
func (w *window) UnmarshalCBOR(item []byte) error {
	const (
		byteString = 2 << 5
		oneByte    = 24 // of length; 25 are two, 26 four
	)
	if len(item) == 0 || item[0]&^0x1f != byteString {
		return errors.New("the bytes of a window are something else")
	}
	head := 1
	if small := item[0] & 0x1f; small >= oneByte {
		head += 1 << (small - oneByte) // the decoder has seen that the item is whole, and of definite length
	}
	*w = item[head:]
	return nil
}

// credit lets the sender of a stream send more windows, or ends the stream.
type credit struct {
	Windows int  `cbor:"1,keyasint,omitempty"`
	Stop    bool `cbor:"2,keyasint,omitempty"`
}

// failure is an error on its way. What callers tell apart by errors.Is and
// errors.As keeps its identity.
type failure struct {
	Text     string            `cbor:"1,keyasint"`
	NotExist bool              `cbor:"2,keyasint,omitempty"`
	Canceled bool              `cbor:"3,keyasint,omitempty"`
	Unknown  *sys.UnknownError `cbor:"4,keyasint,omitempty"`
}

func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{
		Text:     err.Error(),
		NotExist: errors.Is(err, fs.ErrNotExist),
		Canceled: errors.Is(err, context.Canceled),
	}
	f.Unknown, _ = sys.Unknown(err)
	return f
}

// err is nil for a nil failure.
func (f *failure) err() error {
	if f == nil {
		return nil
	}
	return remoteError{f}
}

type remoteError struct{ failure *failure }

// Refused reports whether err is the host's own answer to a call, which means
// that the host is there and nothing of the call was done.
func Refused(err error) bool {
	var refusal remoteError
	return errors.As(err, &refusal)
}

func (e remoteError) Error() string { return e.failure.Text }

func (e remoteError) Is(target error) bool {
	return target == fs.ErrNotExist && e.failure.NotExist ||
		target == context.Canceled && e.failure.Canceled
}

func (e remoteError) Unwrap() error {
	if e.failure.Unknown == nil {
		return nil
	}
	return e.failure.Unknown
}

// Tags by which content and trees keep their types among plain values.
const (
	contentRefTag = 0x72626401
	treeRefTag    = 0x72626402
)

var encoding, decoding = codec()

func codec() (cbor.UserBufferEncMode, cbor.DecMode) {
	tags := cbor.NewTagSet()
	required := cbor.TagOptions{EncTag: cbor.EncTagRequired, DecTag: cbor.DecTagRequired}
	enc, err := tagged(tags, required)
	if err != nil {
		panic("agent: cbor encoder: " + err.Error())
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   64,
		MaxArrayElements:  1 << 22,
		MaxMapPairs:       1 << 20,
		IndefLength:       cbor.IndefLengthForbidden,
		IntDec:            cbor.IntDecConvertSignedOrFail,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		DefaultMapType:    reflect.TypeFor[map[string]any](),
		UTF8:              cbor.UTF8DecodeInvalid, // paths and output of commands may hold any byte
	}.DecModeWithTags(tags)
	if err != nil {
		panic("agent: cbor decoder: " + err.Error())
	}
	return enc, dec
}

func tagged(tags cbor.TagSet, options cbor.TagOptions) (cbor.UserBufferEncMode, error) {
	if err := tags.Add(options, reflect.TypeFor[modules.ContentRef](), contentRefTag); err != nil {
		return nil, err
	}
	if err := tags.Add(options, reflect.TypeFor[modules.TreeRef](), treeRefTag); err != nil {
		return nil, err
	}
	return cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.UserBufferEncModeWithTags(tags)
}

func encode(m *message, into *bytes.Buffer) error {
	if err := encoding.MarshalToBuffer(m, into); err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	return nil
}

// decode reads one message, whose Data.Bytes lie in body, and refuses any that does not set exactly one field.
func decode(body []byte) (*message, error) {
	var m message
	if err := decoding.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("decoding a message: %w", err)
	}
	if n := m.fields(); n != 1 {
		return nil, fmt.Errorf("decoding a message: it says %d things at once", n)
	}
	return &m, nil
}

func (m *message) fields() int {
	n := 0
	for _, set := range []bool{
		m.Task != nil, m.Tree != nil, m.Open != nil, m.Cancel != nil, m.Ping != nil,
		m.Planned != nil, m.Done != nil, m.Output != nil, m.Outcome != nil, m.Entries != nil,
		m.Need != nil, m.End != nil, m.Data != nil, m.Credit != nil,
	} {
		if set {
			n++
		}
	}
	return n
}
