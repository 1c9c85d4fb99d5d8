package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/modules"
)

// cancelGrace is how long a cancelled task may take to end on the host before
// its caller is let go: longer than package sys takes to kill a stubborn command.
const cancelGrace = 15 * time.Second

// Client is the controller's end of one agent.
type Client struct {
	out      outbox
	contents Source
	hangUp   func() error      // ends the other end, and with it the reading
	why      func(error) error // says why the agent was lost
	ctx      context.Context   // ends with the connection; its cause says why
	lose     context.CancelCauseFunc
	work     sync.WaitGroup
	closing  sync.Once
	closed   error

	order sync.Mutex // held while a call is numbered and written

	mu        sync.Mutex
	last      uint64
	calls     map[uint64]*exchange
	receivers map[uint64]*receiver
	senders   map[uint64]*sender
}

var _ Sender = (*Client)(nil)

// exchange is a call that has not ended.
type exchange struct {
	ctx     context.Context // ends with the call
	cancel  context.CancelFunc
	replies chan *message
	offered map[string]bool // digests that the agent may ask for
}

// replyBuffer is how many replies wait for a slow caller before the connection
// does.
const replyBuffer = 256

var errClosedClient = errors.New("the agent has been closed")

// newClient drives an agent whose banner has been read.
func newClient(in io.Reader, out io.Writer, contents Source, hangUp func() error, why func(error) error) *Client {
	c := &Client{
		out: outbox{w: out}, contents: contents, hangUp: hangUp, why: why,
		calls: map[uint64]*exchange{}, receivers: map[uint64]*receiver{}, senders: map[uint64]*sender{},
	}
	c.ctx, c.lose = context.WithCancelCause(context.Background())
	c.work.Go(func() { c.lose(c.why(c.receive(in))) })
	c.work.Go(c.ping)
	return c
}

// ping tells the agent that its controller lives.
func (c *Client) ping() {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := c.out.send(&message{Ping: &empty{}}); err != nil {
				return // the reader learns why
			}
		case <-c.ctx.Done():
			return
		}
	}
}

func (c *Client) receive(in io.Reader) error {
	for {
		m, err := receiveMessage(in)
		if err != nil {
			return err
		}
		if err := c.dispatch(m); err != nil {
			return err
		}
	}
}

func (c *Client) dispatch(m *message) error {
	switch {
	case m.Data != nil:
		c.mu.Lock()
		defer c.mu.Unlock()
		if r := c.receivers[m.ID]; r != nil && !r.receive(m.Data) {
			return fmt.Errorf("stream %d: the agent sends more than it was asked for", m.ID)
		}
	case m.Credit != nil:
		c.mu.Lock()
		defer c.mu.Unlock()
		if s := c.senders[m.ID]; s != nil {
			s.receive(m.Credit)
		}
	case m.Need != nil:
		return c.serve(m.ID, m.Need)
	case m.Planned != nil, m.Done != nil, m.Output != nil, m.Outcome != nil, m.Entries != nil, m.End != nil:
		c.reply(m)
	default:
		return errors.New("the agent sends a message that only a controller may send")
	}
	return nil
}

// reply hands m to the call it belongs to; calls that were given up get nothing.
func (c *Client) reply(m *message) {
	c.mu.Lock()
	e := c.calls[m.ID]
	if m.End != nil {
		delete(c.calls, m.ID)
	}
	c.mu.Unlock()
	if e == nil {
		return
	}
	select {
	case e.replies <- m:
	case <-e.ctx.Done():
	}
}

// serve sends content that a running task named. An agent cannot ask for
// anything else: what a host asks for is not trusted.
func (c *Client) serve(stream uint64, n *need) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.calls[n.Task]
	all := append([]string{n.SHA256}, n.More...)
	for _, digest := range all {
		if e == nil || !e.offered[digest] {
			return fmt.Errorf("the agent asks for content %s, which no running task of it names", digest)
		}
	}
	if c.senders[stream] != nil {
		return fmt.Errorf("the agent asks for stream %d twice", stream)
	}
	s := newSender()
	c.senders[stream] = s
	c.work.Go(func() {
		defer c.forgetSender(stream)
		_ = s.copy(e.ctx, func() (io.ReadCloser, error) {
			if c.contents == nil {
				return nil, fmt.Errorf("content %s: %w", n.SHA256, fs.ErrNotExist)
			}
			return &inTurn{open: func(digest string) (io.ReadCloser, error) { return c.contents.Open(e.ctx, digest) }, digests: all}, nil
		}, func(d *data) error { return c.out.send(&message{ID: stream, Data: d}) }) // a failed write: the reader learns why
	})
	return nil
}

func (c *Client) forgetSender(stream uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.senders, stream)
}

// begin numbers and sends a call.
func (c *Client) begin(ctx context.Context, m *message, offered map[string]bool) (*exchange, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := context.Cause(c.ctx); err != nil {
		return nil, err
	}
	e := &exchange{replies: make(chan *message, replyBuffer), offered: offered}
	e.ctx, e.cancel = context.WithCancel(c.ctx)
	if err := c.post(m, e); err != nil {
		c.abandon(m.ID)
		e.cancel()
		return nil, err
	}
	return e, nil
}

// post numbers m, puts its call on the books and writes it. Numbers go out in
// order: the host does tasks in the order of the calls.
func (c *Client) post(m *message, e *exchange) error {
	c.order.Lock()
	defer c.order.Unlock()
	c.mu.Lock()
	c.last++
	m.ID = c.last
	c.calls[m.ID] = e
	c.mu.Unlock()
	if err := c.out.send(m); err != nil {
		return c.lostBy(err)
	}
	return nil
}

// lostBy gives the reason for a failed write when the reader knows a better one.
func (c *Client) lostBy(err error) error {
	if errors.Is(err, errTooLarge) {
		return err
	}
	select {
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	case <-time.After(time.Second): // the stream has broken; its end is about to be read
		return c.why(err)
	}
}

// exchange sends m and calls on for each reply until the call has ended.
func (c *Client) exchange(ctx context.Context, m *message, offered map[string]bool, on func(*message)) error {
	e, err := c.begin(ctx, m, offered)
	if err != nil {
		return err
	}
	return c.follow(ctx, &started{id: m.ID, exchange: e}, on)
}

// started is a call that was sent.
type started struct {
	*exchange
	id, chain uint64   // with a chain, what is cancelled is all of it
	first     *message // of the replies, if it was taken from them
}

// follow calls on for each reply until the call has ended.
func (c *Client) follow(ctx context.Context, s *started, on func(*message)) error {
	defer s.cancel()
	if s.first != nil {
		if s.first.End != nil {
			return s.first.End.err(ctx)
		}
		on(s.first)
	}
	cancelled := ctx.Done()
	var patience <-chan time.Time
	for {
		select {
		case r := <-s.replies:
			if r.End != nil {
				return r.End.err(ctx)
			}
			on(r)
		case <-cancelled:
			cancelled = nil
			c.stop(s)
			timer := time.NewTimer(cancelGrace)
			defer timer.Stop()
			patience = timer.C
		case <-patience:
			c.abandon(s.id)
			return fmt.Errorf("the task still runs on the host %s after it was cancelled: %w", cancelGrace, ctx.Err())
		case <-c.ctx.Done():
			return c.drain(ctx, s.exchange, on)
		}
	}
}

// stop tells the host to end a call. If that cannot be sent, c.ctx ends.
func (c *Client) stop(s *started) {
	_ = c.out.send(&message{ID: s.id, Cancel: &cancel{Chain: s.chain}})
}

// err says how a call ended for a caller with ctx.
func (e *end) err(ctx context.Context) error {
	if e.Unbegun {
		return ErrUnbegun
	}
	if err := e.Failure.err(); err == nil || ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}

// drain takes in what arrived before the connection ended.
func (c *Client) drain(ctx context.Context, e *exchange, on func(*message)) error {
	for {
		select {
		case r := <-e.replies:
			if r.End != nil {
				return r.End.err(ctx)
			}
			on(r)
		default:
			return context.Cause(c.ctx)
		}
	}
}

func (c *Client) abandon(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

func eventOf(m *message) (Event, bool) {
	switch {
	case m.Planned != nil:
		return Event{Item: m.Planned.Item, Planned: m.Planned.Changes}, true
	case m.Done != nil:
		return Event{Item: m.Done.Item, Done: m.Done.Changes}, true
	case m.Output != nil:
		return Event{Item: m.Output.Item, Output: &Line{Stream: m.Output.Stream, Text: m.Output.Text}}, true
	case m.Outcome != nil:
		return Event{Item: m.Outcome.Item, Outcome: &m.Outcome.Outcome}, true
	}
	return Event{}, false
}

// digests are those of all content that arguments name.
func digests(items []map[string]any) map[string]bool {
	found := map[string]bool{}
	for _, args := range items {
		collect(args, found)
	}
	return found
}

func collect(value any, found map[string]bool) {
	switch v := value.(type) {
	case modules.ContentRef:
		found[v.SHA256] = true
	case modules.TreeRef:
		for _, e := range v.Entries {
			if e.Content != nil {
				found[e.Content.SHA256] = true
			}
		}
	case []any:
		for _, item := range v {
			collect(item, found)
		}
	case map[string]any:
		for _, item := range v {
			collect(item, found)
		}
	}
}

// Tree implements Runner.
func (c *Client) Tree(ctx context.Context, path string, check bool) (modules.TreeRef, error) {
	tree := modules.TreeRef{Origin: path}
	var broken error
	err := c.exchange(ctx, &message{Tree: &pathArg{Path: path, Check: check}}, nil, func(m *message) {
		if m.Entries == nil {
			broken = errors.New("the agent sends a reply that does not belong to a listing")
			return
		}
		tree.Entries = append(tree.Entries, m.Entries.Entries...)
	})
	if err == nil {
		err = broken
	}
	if err != nil {
		return modules.TreeRef{}, err
	}
	return tree, nil
}

// Open implements Runner. It returns when the file has been opened on the host.
func (c *Client) Open(ctx context.Context, path string, check bool) (io.ReadCloser, error) {
	// The stream has the call's number, so it must be on the books before the
	// call is sent: the first window may come at once.
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	m := &message{Open: &pathArg{Path: path, Check: check}}
	r := newReceiver(ctx, func(g credit) error {
		return c.out.send(&message{ID: m.ID, Credit: &g})
	}, func() {
		stop()
		cancel(nil)
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.receivers, m.ID)
	})
	if err := c.beginStream(ctx, m, r); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

func (c *Client) beginStream(ctx context.Context, m *message, r *receiver) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	c.mu.Lock()
	c.last++
	m.ID = c.last
	c.receivers[m.ID] = r
	c.mu.Unlock()
	if err := c.out.send(m); err != nil {
		return c.lostBy(err)
	}
	return r.prime()
}

// Done is closed when the agent has been lost or closed; Err then says why.
func (c *Client) Done() <-chan struct{} { return c.ctx.Done() }

// Err says why the agent was lost; nil while it is there.
func (c *Client) Err() error { return context.Cause(c.ctx) }

// Close implements Runner. Tasks that still run are cancelled.
func (c *Client) Close() error {
	c.closing.Do(func() {
		c.lose(errClosedClient)
		c.closed = c.hangUp()
		c.work.Wait()
	})
	return c.closed
}
