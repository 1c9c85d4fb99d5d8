package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, frameLimit - 1, frameLimit + 1} {
		var wire bytes.Buffer
		message := bytes.Repeat([]byte{7}, size)
		if err := writeFrames(&wire, message); err != nil {
			t.Fatal(err)
		}
		got, err := framesOf(&wire)
		if err != nil || !bytes.Equal(got, message) {
			t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
		}
		if _, err := framesOf(&wire); !errors.Is(err, io.EOF) {
			t.Errorf("after the message: %v", err)
		}
	}
}

func TestFramesRefuse(t *testing.T) {
	header := func(n uint32, rest string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, n), rest...)
	}
	for name, tt := range map[string]struct {
		wire []byte
		want string
		is   error
	}{
		"oversized":             {wire: header(frameLimit+1, "x"), want: "does not speak this protocol"},
		"text":                  {wire: []byte("Last login: Mon"), want: "does not speak this protocol"},
		"truncated header":      {wire: []byte{0, 0}, is: io.ErrUnexpectedEOF},
		"truncated body":        {wire: header(10, "abc"), is: io.ErrUnexpectedEOF},
		"truncated second part": {wire: header(3|moreBit, "abc"), is: io.ErrUnexpectedEOF},
		"empty part":            {wire: header(moreBit, ""), want: "empty frame"},
		"truncated window":      {wire: header(20|windowBit, "number.."), is: io.ErrUnexpectedEOF},
		"empty window":          {wire: header(streamSize|windowBit, "number.."), want: "announces a window of 8 bytes"},
		"oversized window":      {wire: header(streamSize+windowSize+1|windowBit, "x"), want: "announces a window"},
		"window that goes on":   {wire: header(9|windowBit|moreBit, "number..x"), want: "a part of something"},
		"window within":         {wire: append(header(1|moreBit, "x"), header(9|windowBit, "number..x")...), want: "a part of something"},
	} {
		_, err := framesOf(bytes.NewReader(tt.wire))
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v", name, err)
		}
	}
	const limit = 1 << 20
	endless := &repeat{frame: header(1000|moreBit, strings.Repeat("x", 1000))}
	if _, err := endless.message(limit); err == nil || endless.read > limit+8192 {
		t.Errorf("an endless message: %v after %d bytes", err, endless.read)
	}
	if err := writeFrames(io.Discard, make([]byte, messageLimit+1)); !errors.Is(err, errTooLarge) {
		t.Errorf("sending too much: %v", err)
	}
}

// repeat yields the same bytes for ever.
type repeat struct {
	frame []byte
	read  int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.frame[r.read%len(r.frame):])
	r.read += n
	return n, nil
}

func (r *repeat) message(limit int) ([]byte, error) {
	var body bytes.Buffer
	_, err := readFrames(r, &body, limit)
	return body.Bytes(), err
}

func encoded(m *message) ([]byte, error) {
	var body bytes.Buffer
	err := encode(m, &body)
	return body.Bytes(), err
}

func framesOf(r io.Reader) ([]byte, error) {
	var body bytes.Buffer
	_, err := readFrames(r, &body, messageLimit)
	return body.Bytes(), err
}

// A header alone must not make the reader allocate what it claims.
func TestFrameMemory(t *testing.T) {
	wire := binary.BigEndian.AppendUint32(nil, frameLimit)
	var before, after runtime.MemStats
	const runs = 100
	runtime.ReadMemStats(&before)
	for range runs {
		if _, err := framesOf(bytes.NewReader(wire)); err == nil {
			t.Fatal("a frame of which nothing arrived was read")
		}
	}
	runtime.ReadMemStats(&after)
	got := (after.TotalAlloc - before.TotalAlloc) / runs
	if got > 4096 {
		t.Errorf("%d bytes for a frame of which nothing arrived", got)
	}
}

func TestValuesKeepTheirTypes(t *testing.T) {
	when := time.Date(2024, 5, 6, 7, 8, 9, 123456789, time.UTC)
	content := modules.ContentRef{SHA256: "ab", Length: 3, Mode: 0o644, Inline: []byte("abc"), Name: "a"}
	args := map[string]any{
		"string": "text", "bytes": "\xff\xfe", "bool": true, "int": int64(-5), "float": 1.0, "nothing": nil,
		"list": []any{"a", int64(1), []any{}}, "map": map[string]any{"deep": map[string]any{"er": false}},
		"content": content,
		"tree": modules.TreeRef{Origin: "a:/b", Entries: []modules.TreeEntry{
			{Path: ".", Info: sys.FileInfo{Type: sys.Directory, Mode: 0o755, ModTime: when}},
			{Path: "f\xff", Info: sys.FileInfo{Type: sys.Regular, Inode: 1 << 63}, Content: &content, Xattrs: map[string][]byte{"user.a": {0}}},
		}},
		"inside": []any{content},
	}
	sent := &message{ID: 7, Task: &Task{Module: "m", Items: []map[string]any{args}, Check: true, Environment: map[string]string{"A": "b"}}}
	body, err := encoded(sent)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, got); diff != "" {
		t.Errorf("(-sent +got)\n%s", diff)
	}
}

func TestOutcomeTravels(t *testing.T) {
	sent := modules.Outcome{
		Status: modules.Changed, Message: "m", Result: modules.Result{"rc": int64(0), "stat": map[string]any{"exists": true}},
		Changes: []change.Change{{Target: "/f", Action: change.Update, Field: "mode", Before: change.Text("0644"), After: change.Hidden()}},
	}
	body, err := encoded(&message{ID: 1, Outcome: &outcome{Item: 2, Outcome: sent}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sent, got.Outcome.Outcome); diff != "" {
		t.Errorf("(-sent +got)\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, value := range map[string]any{
		"nothing said":   map[int]any{1: 5},
		"two things":     map[int]any{1: 5, 5: map[int]any{}, 6: map[int]any{}},
		"unknown field":  map[int]any{1: 5, 5: map[int]any{}, 99: 1},
		"unknown inside": map[int]any{1: 5, 3: map[any]any{1: "/x", "extra": 2}},
		"wrong type":     map[int]any{1: "five", 5: map[int]any{}},
		"number as key":  map[int]any{1: 5, 2: map[string]any{"Module": "m", "Items": []any{map[any]any{1: 2}}}},
	} {
		body, err := encoding.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := decode(body); err == nil {
			t.Errorf("%s: decoded as %+v", name, m)
		}
	}
	if _, err := decode([]byte{0xbf, 0x01, 0x05, 0x05, 0xa0, 0xff}); err == nil {
		t.Error("a map of indefinite length was decoded")
	}
}

func TestFailuresKeepTheirIdentity(t *testing.T) {
	unknown := &sys.UnknownError{What: "w", Because: "b"}
	for _, err := range []error{fs.ErrNotExist, context.Canceled, unknown, errors.New("plain")} {
		body, encodeErr := encoded(&message{ID: 1, End: &end{Failure: failureOf(err)}})
		if encodeErr != nil {
			t.Fatal(encodeErr)
		}
		m, decodeErr := decode(body)
		if decodeErr != nil {
			t.Fatal(decodeErr)
		}
		got := m.End.Failure.err()
		if got.Error() != err.Error() {
			t.Errorf("%v came as %v", err, got)
		}
		for _, target := range []error{fs.ErrNotExist, context.Canceled} {
			if errors.Is(got, target) != errors.Is(err, target) {
				t.Errorf("%v: errors.Is(%v) is lost", err, target)
			}
		}
		u, is := sys.Unknown(got)
		if is != errors.Is(err, unknown) || is && *u != *unknown {
			t.Errorf("%v: unknown is %v", err, u)
		}
	}
}

// Plain values come back as they were, whatever their shape.
func TestPlainValuesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := map[string]any{"v": anyValue(3).Draw(t, "value")}
		body, err := encoded(&message{ID: 1, Task: &Task{Items: []map[string]any{sent}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(body)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sent, got.Task.Items[0]); diff != "" {
			t.Errorf("(-sent +got)\n%s", diff)
		}
		if err := plain(got.Task.Items[0]["v"], "v"); err != nil {
			t.Error(err)
		}
	})
}

func anyValue(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.String().AsAny(), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Float64().AsAny(),
	}
	if depth > 0 {
		kinds = append(kinds,
			rapid.SliceOfN(anyValue(depth-1), 0, 4).AsAny(),
			rapid.MapOfN(rapid.String(), anyValue(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(kinds...)
}

// A window goes out in one write, and comes back as the bytes that it was made of.
func TestWindows(t *testing.T) {
	for _, size := range []int{1, 1000, windowSize} {
		wire := &writes{}
		box := outbox{w: wire}
		room := make([]byte, windowHeader+size)
		copy(room[windowHeader:], noise(size))
		if err := box.send(&message{ID: 1 << 40, Data: &data{Bytes: room[windowHeader:], room: room}}); err != nil {
			t.Fatal(err)
		}
		m, err := receiveMessage(&wire.Buffer)
		if err != nil || wire.count != 1 {
			t.Fatal(err, wire.count)
		}
		if m.ID != 1<<40 || m.Data.Last || !bytes.Equal(m.Data.Bytes, room[windowHeader:]) {
			t.Errorf("%d bytes came back as %d of stream %d, last %v", size, len(m.Data.Bytes), m.ID, m.Data.Last)
		}
	}
}

// A window does not overtake what waits to go out together.
func TestWindowBehindWhatWaits(t *testing.T) {
	wire := &writes{}
	box := outbox{w: wire}
	box.together(func() {
		for i := range uint64(3) {
			m := &message{ID: i, Ping: &empty{}}
			if i == 1 {
				m = &message{ID: i, Data: &data{room: append(make([]byte, windowHeader), 'x')}}
			}
			if err := box.send(m); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range uint64(3) {
		if m, err := receiveMessage(&wire.Buffer); err != nil || m.ID != i {
			t.Fatal(i, m, err)
		}
	}
}

type writes struct {
	bytes.Buffer

	count int
}

func (w *writes) Write(p []byte) (int, error) {
	w.count++
	return w.Buffer.Write(p)
}

func FuzzReadMessage(f *testing.F) {
	for _, m := range []*message{
		{ID: 1, Task: &Task{Module: "m", Items: []map[string]any{{"a": modules.ContentRef{SHA256: "x"}}}}},
		{ID: 2, Credit: &credit{Windows: 1}},
		{ID: 3, Data: &data{Bytes: []byte("x"), Last: true, Failure: &failure{Text: "t"}}},
		{ID: 4, Outcome: &outcome{Outcome: modules.Outcome{Result: modules.Result{"a": []any{nil}}}}},
	} {
		body, err := encoded(m)
		if err != nil {
			f.Fatal(err)
		}
		var wire bytes.Buffer
		if err := writeFrames(&wire, body); err != nil {
			f.Fatal(err)
		}
		f.Add(wire.Bytes())
	}
	f.Add([]byte("\x00\x00\x00\x02hi"))
	f.Add([]byte("\x40\x00\x00\x0anumber..hi"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		m, err := receiveMessage(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if m.Data != nil && len(m.Data.Bytes) > len(wire) {
			t.Fatalf("%d bytes out of %d", len(m.Data.Bytes), len(wire))
		}
		again, err := encoded(m)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		if _, err := decode(again); err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v", err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	for _, seed := range []string{
		"missing Linux x86_64 gzip /root/.cache/rbdplay", "nobecome", "nofolder Linux aarch64", "digest",
		"missing Linux x86_64 plain /tmp/a b", "missing a b gzip $(id)", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		a, err := parseAnswer(line)
		if err != nil {
			return
		}
		if a.problem == "" && (a.folder == "" || strings.ContainsAny(a.folder, " $`'\"\\;&|<>()\n")) {
			t.Errorf("%q gives the folder %q", line, a.folder)
		}
		if _, err := a.architecture(); err == nil && a.system != "Linux" {
			t.Errorf("%q gives a program for %s", line, a.system)
		}
	})
}
