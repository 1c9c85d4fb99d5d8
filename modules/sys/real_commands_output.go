package sys

import (
	"bytes"
	"fmt"
	"sync"
)

// output collects what a program prints. Both of its streams may be written to
// at the same time; the callback never is called concurrently.
type output struct {
	callback func(stream string, line []byte)
	limit    int64
	overflow chan struct{} // closed when a stream grew too long

	mu      sync.Mutex
	closed  bool // a write that comes after the end is dropped
	tooMuch string
	streams []*stream
}

type stream struct {
	name    string
	to      *output
	kept    bytes.Buffer
	pending int // where in kept the line begins that is not complete
}

func newOutput(c Command) *output {
	limit := c.Limit
	if limit <= 0 {
		limit = defaultOutputLimit
	}
	return &output{callback: c.Output, limit: limit, overflow: make(chan struct{})}
}

func (o *output) stream(name string) *stream {
	s := &stream{name: name, to: o}
	o.streams = append(o.streams, s)
	return s
}

// Write keeps p and hands on the lines that it completes. It takes more than the
// limit without an error, since a broken pipe would only confuse the program
// that is about to be ended.
func (s *stream) Write(p []byte) (int, error) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	if s.to.closed || s.to.tooMuch != "" {
		return len(p), nil
	}
	room := s.to.limit - int64(s.kept.Len())
	s.kept.Write(p[:min(int64(len(p)), room)])
	s.emitLines()
	if int64(len(p)) > room {
		s.to.tooMuch = s.name
		close(s.to.overflow)
	}
	return len(p), nil
}

func (s *stream) emitLines() {
	if s.to.callback == nil {
		return
	}
	for {
		line, _, complete := bytes.Cut(s.kept.Bytes()[s.pending:], []byte("\n"))
		if !complete {
			return
		}
		s.pending += len(line) + 1
		s.to.callback(s.name, bytes.Clone(line))
	}
}

// close hands on the unfinished last lines and gives what was printed.
func (o *output) close() (stdout, stderr []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, s := range o.streams {
		if rest := s.kept.Bytes()[s.pending:]; o.callback != nil && len(rest) > 0 {
			o.callback(s.name, bytes.Clone(rest))
		}
	}
	return o.streams[0].kept.Bytes(), o.streams[1].kept.Bytes()
}

func (o *output) tooLong(program string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Errorf("%s printed more than %d bytes to %s", program, o.limit, o.tooMuch)
}
