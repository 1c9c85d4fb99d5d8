package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
)

// A stream carries the bytes of one file, in windows. The receiver grants
// credit; the sender sends a window for each credit, so that neither a slow disk
// nor a slow link fills memory. The first credit comes with the request.
const (
	windowSize   = 256 << 10
	firstCredits = 8 // windows on the way at once: 2 MiB
	grantEach    = 4 // windows that are granted together: each grant is a packet
)

// sender is the sending half of a stream. add and stop are called by the reader
// of frames and never block.
type sender struct {
	mu      sync.Mutex
	credits int
	stopped bool
	changed chan struct{} // capacity 1
}

func newSender() *sender {
	return &sender{credits: firstCredits, changed: make(chan struct{}, 1)}
}

func (s *sender) receive(c *credit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Windows > 0 && s.credits <= firstCredits {
		s.credits += min(c.Windows, firstCredits)
	}
	s.stopped = s.stopped || c.Stop
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// take waits for a credit. It is false when the receiver wants no more.
func (s *sender) take(ctx context.Context) (bool, error) {
	for {
		s.mu.Lock()
		stopped, granted := s.stopped, s.credits > 0
		if granted {
			s.credits--
		}
		s.mu.Unlock()
		if stopped || granted {
			return !stopped, nil
		}
		select {
		case <-s.changed:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// copy sends what open yields, window by window, and always a last window,
// unless the receiver stopped the stream or send fails, whose error it returns.
func (s *sender) copy(ctx context.Context, open func() (io.ReadCloser, error), send func(*data) error) error {
	r, err := open()
	if err != nil {
		return send(&data{Last: true, Failure: failureOf(err)})
	}
	defer func() { _ = r.Close() }() // read only
	room := make([]byte, windowHeader+windowSize)
	for {
		more, err := s.take(ctx)
		if err != nil {
			return send(&data{Last: true, Failure: failureOf(err)})
		}
		if !more {
			return nil
		}
		n, err := io.ReadFull(r, room[windowHeader:])
		window := &data{Bytes: room[windowHeader:][:n], Last: err != nil}
		if err == nil {
			window.room = room
		} else if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			window.Failure = failureOf(err)
		}
		if err := send(window); err != nil || window.Last {
			return err
		}
	}
}

// inTurn reads one content after another.
type inTurn struct {
	open    func(digest string) (io.ReadCloser, error)
	digests []string // that are still to come
	now     io.ReadCloser
}

func (t *inTurn) Read(p []byte) (int, error) {
	for {
		if t.now == nil {
			if len(t.digests) == 0 {
				return 0, io.EOF
			}
			var err error
			if t.now, err = t.open(t.digests[0]); err != nil {
				return 0, err
			}
			t.digests = t.digests[1:]
		}
		n, err := t.now.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		if err := t.Close(); err != nil || n > 0 {
			return n, err
		}
	}
}

func (t *inTurn) Close() error {
	if t.now == nil {
		return nil
	}
	now := t.now
	t.now = nil
	return now.Close()
}

// receiver is the receiving half: an io.ReadCloser fed by the reader of frames.
type receiver struct {
	ctx     context.Context
	grant   func(credit) error
	forget  func()
	windows chan *data
	window  bytes.Reader
	frame   *bytes.Buffer // in which window lies
	err     error         // sticky
	taken   int           // windows, since credit was granted
	once    sync.Once
}

// newReceiver makes a stream whose reads end with ctx. grant sends credit to the
// other end; forget takes the stream off the books when it is closed.
func newReceiver(ctx context.Context, grant func(credit) error, forget func()) *receiver {
	// One place more than credits: the last window may carry only a failure.
	return &receiver{ctx: ctx, grant: grant, forget: forget, windows: make(chan *data, firstCredits+1)}
}

// receive hands over a window. False: the other end sent more than it was
// granted. It never blocks.
func (r *receiver) receive(d *data) bool {
	select {
	case r.windows <- d:
		return true
	default:
		return false
	}
}

// prime waits for the first window and fails when there is none to read.
func (r *receiver) prime() error {
	r.next()
	if r.window.Len() == 0 && !errors.Is(r.err, io.EOF) {
		return r.err
	}
	return nil
}

func (r *receiver) next() {
	select {
	case d := <-r.windows:
		r.accept(d)
	case <-r.ctx.Done():
		r.err = context.Cause(r.ctx)
	}
}

func (r *receiver) Read(p []byte) (int, error) {
	for r.window.Len() == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.next()
	}
	return r.window.Read(p)
}

// WriteTo implements io.WriterTo: w gets the windows as they came.
func (r *receiver) WriteTo(w io.Writer) (total int64, err error) {
	for {
		n, err := r.window.WriteTo(w)
		total += n
		switch {
		case err != nil:
			return total, err
		case errors.Is(r.err, io.EOF):
			return total, nil
		case r.err != nil:
			return total, r.err
		}
		r.next()
	}
}

func (r *receiver) accept(d *data) {
	giveBack(r.frame) // all of it has been read
	r.frame = d.frame
	r.window.Reset(d.Bytes)
	switch {
	case d.Last && d.Failure != nil:
		r.err = d.Failure.err()
	case d.Last:
		r.err = io.EOF
	default:
		if r.taken++; r.taken == grantEach {
			r.taken = 0
			r.err = r.grant(credit{Windows: grantEach})
		}
	}
}

// Close stops the other end when it has not come to the end.
func (r *receiver) Close() error {
	r.once.Do(func() {
		if r.err == nil {
			_ = r.grant(credit{Stop: true}) // a lost connection has stopped it as well
		}
		r.forget()
	})
	return nil
}
