package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// silenceLimit is how long a server goes on without a word from its controller,
// which pings every pingEvery. It ends agents whose controller lost its power or
// its network: sshd would keep their channel open for hours.
const (
	silenceLimit = 2 * time.Minute
	pingEvery    = 15 * time.Second
)

// ServeOptions is what a server works with.
type ServeOptions struct {
	Registry *modules.Registry
	Host     sys.Host
	Shadow   func(sys.Host) sys.Host // lays a shadow over Host, at the first task that checks
	Build    string                  // digest of the program, for the banner
	Jobs     Jobs                    // nil: tasks with async fail
	Keep     string                  // folder for what modules keep for later runs (sys.RecallKept); "" for none
	// Silence overrides how long the controller may be silent.
	Silence time.Duration
	// Grace is how long a task may take to end after the controller has gone; 0
	// means 15 s: longer than package sys takes to kill a stubborn command.
	Grace time.Duration
}

// Serve is the host's end: it writes the banner and answers the controller until
// in ends (nil), ctx ends or the other end breaks the protocol. Tasks run one
// after another in the order in which they came; listing and reading files goes
// on beside them, because two hosts may wait for each other's files. When Serve
// returns, every task has been cancelled and has ended, except one that does not
// heed its context within Grace: the error then names it, and the process must
// exit. Host and shadow must be safe for concurrent use.
func Serve(ctx context.Context, in io.Reader, out io.Writer, o ServeOptions) error {
	if _, err := io.WriteString(out, banner(o.Build)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &server{
		ServeOptions: o, out: outbox{w: out}, store: newStore(), quit: cancel,
		tasks: make(chan *call, 1), calls: map[uint64]*call{}, broken: map[uint64]bool{},
		senders: map[uint64]*sender{}, receivers: map[uint64]*receiver{},
	}
	var received error
	read := make(chan struct{})
	go func() { // ends with in; when ctx ends first, in is the caller's to close
		received = s.receive(ctx, in)
		close(read) // before ctx ends, which is what Serve waits for
		cancel(received)
	}()
	s.leaving, s.memory.Folder = ctx, o.Keep
	s.work.Go(func() { s.runTasks(ctx) })
	<-ctx.Done()
	err := s.end()
	select {
	case <-read:
	default:
		return errors.Join(context.Cause(ctx), err)
	}
	if errors.Is(received, io.EOF) {
		return err
	}
	return errors.Join(received, err)
}

type server struct {
	ServeOptions
	out     outbox
	store   *store
	quit    context.CancelCauseFunc
	tasks   chan *call // wakes the worker; the tasks themselves wait in queue
	work    sync.WaitGroup
	leaving context.Context // ends when the server does

	mu        sync.Mutex
	queue     []*call
	calls     map[uint64]*call     // running and waiting
	senders   map[uint64]*sender   // of Open, by call
	receivers map[uint64]*receiver // of Need, by stream
	broken    map[uint64]bool      // chains of which nothing more is begun
	streams   uint64
	running   string
	shadow    sys.Host
	memory    sys.Memory
}

// call is a task or a look at files, until its End is sent.
type call struct {
	id     uint64
	task   *Task
	failed bool     // one of its items did
	fresh  sys.Host // the task's own shadow, when it asks for one
	ctx    context.Context
	cancel context.CancelFunc
}

// end waits for what runs, but not for ever.
func (s *server) end() error {
	ended := make(chan struct{})
	go func() { // outlives Serve only together with a stuck task
		s.work.Wait()
		close(ended)
	}()
	grace := s.Grace
	if grace == 0 {
		grace = 15 * time.Second
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
		return s.store.close()
	case <-timer.C:
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("the task %s does not end", s.running)
	}
}

// receive reads messages until in ends.
func (s *server) receive(ctx context.Context, in io.Reader) error {
	limit := s.Silence
	if limit == 0 {
		limit = silenceLimit
	}
	silence := time.AfterFunc(limit, func() {
		s.quit(fmt.Errorf("the controller has said nothing for %s", limit))
	})
	defer silence.Stop()
	for {
		m, err := receiveMessage(in)
		if err != nil {
			return err
		}
		silence.Reset(limit)
		if err := s.dispatch(ctx, m); err != nil {
			return err
		}
	}
}

func (s *server) dispatch(ctx context.Context, m *message) error {
	switch {
	case m.Task != nil:
		return s.enqueue(ctx, m)
	case m.Tree != nil:
		return s.beside(ctx, m.ID, func(ctx context.Context) error { return s.tree(ctx, m.ID, m.Tree) })
	case m.Open != nil:
		return s.openFile(ctx, m)
	case m.Cancel != nil:
		s.cancelCalls(m.ID, m.Cancel.Chain)
	case m.Data != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		if r := s.receivers[m.ID]; r != nil && !r.receive(m.Data) {
			return fmt.Errorf("stream %d: the controller sends more than it was asked for", m.ID)
		}
	case m.Credit != nil:
		s.mu.Lock()
		defer s.mu.Unlock()
		if sending := s.senders[m.ID]; sending != nil {
			sending.receive(m.Credit)
		}
	case m.Ping != nil:
	default:
		return errors.New("the controller sends a message that only an agent may send")
	}
	return nil
}

// admit puts a call on the books.
func (s *server) admit(ctx context.Context, id uint64, t *Task) (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[id] != nil {
		return nil, fmt.Errorf("call %d: the number is taken", id)
	}
	c := &call{id: id, task: t}
	c.ctx, c.cancel = context.WithCancel(ctx)
	s.calls[id] = c
	return c, nil
}

// chain is the number of the first task of the chain that the task is in.
func (c *call) chain() uint64 {
	if c.task == nil || c.task.Chain == 0 {
		return c.id
	}
	return c.task.Chain
}

// cancelCalls cancels a call, and with chain all that is chained to it.
func (s *server) cancelCalls(id, chain uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if chain != 0 {
		s.broken[chain] = true
	}
	for _, c := range s.calls {
		if c.id == id || chain != 0 && c.chain() == chain {
			c.cancel()
		}
	}
}

// finish sends the call's End.
func (s *server) finish(c *call, e *end) {
	s.mu.Lock()
	delete(s.calls, c.id)
	delete(s.senders, c.id)
	s.mu.Unlock()
	c.cancel()
	// An End is never too large, and any other fault has ended the server.
	_ = s.send(&message{ID: c.id, End: e})
}

// send ends the whole server when the controller cannot be reached any more.
func (s *server) send(m *message) error {
	err := s.out.send(m)
	if err != nil && !errors.Is(err, errTooLarge) {
		s.quit(fmt.Errorf("writing to the controller: %w", err))
	}
	return err
}

func (s *server) enqueue(ctx context.Context, m *message) error {
	c, err := s.admit(ctx, m.ID, m.Task)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.queue = append(s.queue, c)
	s.mu.Unlock()
	select {
	case s.tasks <- nil:
	default: // the worker has been woken
	}
	return nil
}

func (s *server) runTasks(ctx context.Context) {
	for {
		for c := s.next(); c != nil; c = s.next() {
			s.finish(c, s.do(c))
		}
		select {
		case <-s.tasks:
		case <-ctx.Done():
			return
		}
	}
}

func (s *server) next() *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return nil
	}
	c := s.queue[0]
	s.queue = s.queue[1:]
	s.running = c.task.Module
	return c
}

// do does a task, unless it is behind one that did not end well.
func (s *server) do(c *call) *end {
	if !s.mayBegin(c) {
		return &end{Unbegun: true}
	}
	err := s.run(c)
	if err != nil || c.failed && !c.task.Anyway {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.broken[c.chain()] = true
	}
	return &end{Failure: failureOf(err)}
}

func (s *server) mayBegin(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.task.Chain == 0 || !s.broken[c.task.Chain]
}

// run does a task, item after item.
func (s *server) run(c *call) error {
	ctx := sys.WithMemory(sys.WithEnvironment(c.ctx, c.task.Environment), &s.memory)
	if c.task.Check {
		ctx = sys.KeepNothing(ctx)
	}
	spec, ok := s.Registry.Find(c.task.Module)
	if !ok || spec.Place != modules.OnHost {
		return fmt.Errorf("the agent has no module %s", c.task.Module)
	}
	contents := taskContents{store: s.store, get: func(ctx context.Context, digests ...string) (io.ReadCloser, error) {
		return s.fetch(ctx, c.id, digests)
	}}
	var known told
	tell := func(m *message) error {
		short, after := known.shorten(m)
		err := s.tell(short)
		if err == nil {
			known = after
		}
		c.failed = c.failed || m.Outcome != nil && m.Outcome.Outcome.Status == modules.Failed
		return err
	}
	loop := &itemLoop{server: s, call: c, spec: spec, contents: contents, host: s.hostOf(c), told: tell, tell: tell}
	gathered := s.gather(loop)
	err := loop.run(ctx)
	if gathered != nil {
		// What an item has written counts, even if the loop was cancelled after it;
		// the loop is told how it went.
		_ = gathered.Commit(context.WithoutCancel(ctx))
		loop.release(nil)
	}
	return err
}

// tell sends what happened to an item. An outcome that is too large is told as such.
func (s *server) tell(m *message) error {
	err := s.send(m)
	if errors.Is(err, errTooLarge) && m.Outcome != nil {
		o := modules.Outcome{
			Status: modules.Failed, Result: modules.Result{},
			Message: err.Error() + " (the task ended as " + string(m.Outcome.Outcome.Status) + ")",
		}
		m.Outcome.Outcome = o
		err = s.send(m)
	}
	return err
}

// gather lets the loop's writes of one file be put in place once, if they can be;
// else it returns nil. Nothing is told before it is in place.
func (s *server) gather(loop *itemLoop) *sys.Gathered {
	machine, ok := s.Host.(*sys.Real)
	task := loop.call.task
	if !ok || !loop.spec.EditsFile || len(task.Items) < 2 || task.Check || task.Async != nil {
		return nil
	}
	var gathered *sys.Gathered
	gathered = machine.Gather(func(failure error) {
		loop.release(failure)
		loop.host = modules.NamesOnce(gathered) // something else is done now
	})
	loop.host = modules.NamesOnce(gathered)
	loop.tell = func(m *message) error {
		loop.held = append(loop.held, m)
		return nil
	}
	return gathered
}

// itemLoop does the items of one task.
type itemLoop struct {
	*server
	call     *call
	spec     *modules.Spec
	contents modules.Contents
	host     sys.Host
	told     func(*message) error // tells at once
	tell     func(*message) error
	held     []*message // what is to be told when the file is in place
}

func (l *itemLoop) run(ctx context.Context) error {
	for i, args := range l.call.task.Items {
		if err := ctx.Err(); err != nil {
			return err
		}
		o := deliverable(l.item(ctx, i, args))
		if err := l.tell(&message{ID: l.call.id, Outcome: &outcome{Item: i, Outcome: o}}); err != nil {
			return err
		}
		if o.Status == modules.Failed && l.call.task.Stop {
			break
		}
	}
	return ctx.Err()
}

// release tells what was held. With a failure, which says that the file is not in
// place, no item has changed anything.
func (l *itemLoop) release(failure error) {
	l.out.together(func() {
		for _, m := range l.held {
			l.tellHeld(m, failure)
		}
	})
	l.held = nil
}

func (l *itemLoop) tellHeld(m *message, failure error) {
	switch {
	case failure == nil:
	case m.Done != nil:
		return
	case m.Outcome != nil && m.Outcome.Outcome.Status == modules.Changed:
		m.Outcome.Outcome = modules.Outcome{Status: modules.Failed, Result: modules.Result{}, Message: failure.Error()}
	}
	_ = l.told(m) // a lost controller ends ctx
}

func (l *itemLoop) item(ctx context.Context, i int, args map[string]any) modules.Outcome {
	m, failed := decodeArgs(l.spec, args, l.contents)
	if failed != nil {
		return *failed
	}
	send := func(m message) {
		m.ID = l.call.id
		_ = l.tell(&m) // a lost controller ends ctx
	}
	emit := modules.Emit{
		Planned: func(list []change.Change) { send(message{Planned: &changes{Item: i, Changes: list}}) },
		Done:    func(list []change.Change) { send(message{Done: &changes{Item: i, Changes: list}}) },
		Output: func(stream string, line []byte) {
			send(message{Output: &output{Item: i, Stream: stream, Text: string(line)}})
		},
	}
	if l.call.task.Async != nil && !l.call.task.Check {
		return l.job(ctx, l.call, l.spec.Name, args, emit)
	}
	return runModule(ctx, l.spec.Name, m, observed{Host: l.host, line: emit.Output}, emit)
}

// decodeArgs makes the module, or the outcome that says why it cannot.
func decodeArgs(spec *modules.Spec, args map[string]any, contents modules.Contents) (modules.Module, *modules.Outcome) {
	m, problems := spec.Decode(args, contents)
	if len(problems) == 0 {
		return m, nil
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, strings.TrimSuffix(p.Summary+"; "+p.Hint, "; "))
	}
	return nil, &modules.Outcome{Status: modules.Failed, Message: strings.Join(texts, "\n")}
}

// runModule is modules.Run, with a panic made a failure.
func runModule(ctx context.Context, name string, m modules.Module, host sys.Host, emit modules.Emit) (o modules.Outcome) {
	defer func() {
		if r := recover(); r != nil {
			o = modules.Outcome{Status: modules.Failed, Message: fmt.Sprintf(
				"the module %s panicked, which is a fault of rbdplay: %v\n%s", name, r, debug.Stack())}
		}
	}()
	return modules.Run(ctx, m, host, emit)
}

// hostOf is what a task runs on; its items share it.
func (s *server) hostOf(c *call) sys.Host {
	if !c.task.Check || !c.task.Fresh {
		return s.host(c.task.Check)
	}
	if c.fresh == nil {
		c.fresh = s.Shadow(s.Host)
	}
	return c.fresh
}

// host is the machine, or its shadow, which is one for the whole connection.
func (s *server) host(check bool) sys.Host {
	if !check {
		return s.Host
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shadow == nil {
		s.shadow = s.Shadow(s.Host)
	}
	return s.shadow
}

// fetch asks the controller for content that the running task needs.
func (s *server) fetch(ctx context.Context, task uint64, digests []string) (io.ReadCloser, error) {
	s.mu.Lock()
	s.streams++
	id := s.streams
	r := newReceiver(ctx, func(c credit) error {
		return s.send(&message{ID: id, Credit: &c})
	}, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.receivers, id)
	})
	s.receivers[id] = r
	s.mu.Unlock()
	if err := s.send(&message{ID: id, Need: &need{Task: task, SHA256: digests[0], More: digests[1:]}}); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// beside runs a look at files next to the tasks.
func (s *server) beside(ctx context.Context, id uint64, look func(ctx context.Context) error) error {
	c, err := s.admit(ctx, id, nil)
	if err != nil {
		return err
	}
	s.work.Go(func() { s.finish(c, &end{Failure: failureOf(look(c.ctx))}) })
	return nil
}

func (s *server) tree(ctx context.Context, id uint64, p *pathArg) error {
	return list(ctx, sys.ReadOnly(s.host(p.Check)), p.Path, func(batch []modules.TreeEntry) error {
		return s.send(&message{ID: id, Entries: &entries{Entries: batch}})
	})
}

func (s *server) openFile(ctx context.Context, m *message) error {
	sending := newSender()
	s.mu.Lock()
	s.senders[m.ID] = sending
	s.mu.Unlock()
	return s.beside(ctx, m.ID, func(ctx context.Context) error {
		return sending.copy(ctx, func() (io.ReadCloser, error) {
			return s.host(m.Open.Check).Files().Open(ctx, m.Open.Path)
		}, func(d *data) error { return s.send(&message{ID: m.ID, Data: d}) })
	})
}

// observed is a host whose commands' output is passed on line by line.
type observed struct {
	sys.Host
	line func(stream string, line []byte)
}

func (o observed) Change() sys.Writer { return observedWriter{o.Host.Change(), o.line} }

type observedWriter struct {
	sys.Writer
	line func(stream string, line []byte)
}

func (w observedWriter) Run(ctx context.Context, c sys.Command) (sys.Result, error) {
	if c.Output == nil {
		c.Output = w.line
	}
	return w.Writer.Run(ctx, c)
}
