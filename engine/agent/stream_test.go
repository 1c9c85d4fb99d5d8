package agent

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
)

// What is sent is what is read, window by window or byte by byte, whatever its length;
// never more is on its way than was granted, and a grant stands for several windows.
func TestStreamCarriesWhatItIsGiven(t *testing.T) {
	for _, size := range []int{0, 1, windowSize - 1, windowSize, windowSize + 1, 21*windowSize + 5} {
		content := noise(size)
		for name, read := range map[string]func(io.Reader) ([]byte, error){
			"WriteTo": func(r io.Reader) ([]byte, error) {
				var whole bytes.Buffer
				n, err := io.Copy(&whole, r) // which prefers WriteTo
				if n != int64(whole.Len()) {
					t.Errorf("%d bytes are told as %d", whole.Len(), n)
				}
				return whole.Bytes(), err
			},
			"Read": func(r io.Reader) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{r}) },
		} {
			r, end := stream(t, io.NopCloser(bytes.NewReader(content)))
			got, err := read(r)
			grants := end()
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes came as %d, %v", name, size, len(got), err)
			}
			if want := size / windowSize / grantEach; grants != want {
				t.Errorf("%s: %d grants for %d bytes, want %d", name, grants, size, want)
			}
		}
	}
}

func TestStreamThatBreaks(t *testing.T) {
	broken := io.NopCloser(io.MultiReader(bytes.NewReader(noise(2*windowSize+3)), &failing{}))
	r, end := stream(t, broken)
	var got bytes.Buffer
	_, err := r.WriteTo(&got)
	end()
	if err == nil || err.Error() != "the disk is broken" || got.Len() != 2*windowSize+3 {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	r, end = stream(t, io.NopCloser(bytes.NewReader(noise(windowSize+3))))
	_, err = r.WriteTo(&failing{})
	if err == nil || err.Error() != "the disk is broken" {
		t.Error(err)
	}
	_ = r.Close()
	end()
}

type failing struct{}

func (*failing) Read([]byte) (int, error)  { return 0, errors.New("the disk is broken") }
func (*failing) Write([]byte) (int, error) { return 0, errors.New("the disk is broken") }

// stream connects a sender to a receiver. end waits for the sender and says how often
// credit was granted.
func stream(t *testing.T, from io.ReadCloser) (*receiver, func() (grants int)) {
	t.Helper()
	grants, s := 0, newSender()
	r := newReceiver(t.Context(), func(c credit) error {
		if !c.Stop {
			grants++
		}
		s.receive(&c)
		return nil
	}, func() {})
	var wire bytes.Buffer
	box := outbox{w: &wire}
	var work sync.WaitGroup
	work.Go(func() {
		err := s.copy(t.Context(), func() (io.ReadCloser, error) { return from, nil }, func(d *data) error {
			if err := box.send(&message{ID: 1, Data: d}); err != nil {
				return err
			}
			m, err := receiveMessage(&wire)
			if err == nil && !r.receive(m.Data) {
				err = errors.New("more was sent than granted")
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	return r, func() int {
		work.Wait()
		return grants
	}
}
