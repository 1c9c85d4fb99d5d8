package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rbdplay/rbdplay/engine/agent/internal/fakemodules"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// wire counts the messages that pass in one direction.
type wire struct {
	io.Writer
	messages *atomic.Int64
}

func (w wire) Write(p []byte) (int, error) {
	w.messages.Add(1)
	return w.Writer.Write(p)
}

// pair is a client and a server in this process, with a counted wire.
type pair struct {
	*Client
	requests, replies atomic.Int64
	toServer          *io.PipeWriter
	served            chan error
}

func newPair(t testing.TB, contents Source, change func(*ServeOptions)) *pair {
	t.Helper()
	registry, err := fakemodules.Registry()
	if err != nil {
		t.Fatal(err)
	}
	o := ServeOptions{
		Registry: registry, Host: sys.NewReal(), Build: "test",
		Shadow: func(under sys.Host) sys.Host { return sys.NewShadow(under) },
	}
	if change != nil {
		change(&o)
	}
	p := &pair{served: make(chan error, 1)}
	requests, toServer := io.Pipe()
	replies, toClient := io.Pipe()
	p.toServer = toServer
	go func() {
		err := Serve(t.Context(), requests, wire{toClient, &p.replies}, o)
		_ = requests.CloseWithError(io.ErrClosedPipe)
		_ = toClient.CloseWithError(io.EOF)
		p.served <- err
		close(p.served)
	}()
	if _, err := io.ReadFull(replies, make([]byte, len(banner("test")))); err != nil {
		t.Fatal(err)
	}
	p.replies.Store(0)
	p.Client = newClient(replies, wire{toServer, &p.requests}, contents, func() error {
		_ = replies.CloseWithError(io.ErrClosedPipe)
		return toServer.Close()
	}, func(err error) error { return fmt.Errorf("lost: %w", err) })
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		<-p.served
		goleak.VerifyNone(t, goleak.IgnoreCurrent())
	})
	return p
}

// shelf is a Source.
type shelf struct {
	mu     sync.Mutex
	held   map[string][]byte
	opened []string
}

func (s *shelf) add(content []byte) modules.ContentRef {
	digest := sha256.Sum256(content)
	ref := modules.ContentRef{SHA256: hex.EncodeToString(digest[:]), Length: int64(len(content)), Mode: 0o644}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[string][]byte{}
	}
	s.held[ref.SHA256] = content
	return ref
}

func (s *shelf) Open(_ context.Context, digest string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened = append(s.opened, digest)
	content, ok := s.held[digest]
	if !ok {
		return nil, fmt.Errorf("content %s: %w", digest, fs.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func noise(size int) []byte {
	content := make([]byte, size)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(content)
	return content
}

func task(module string, items ...map[string]any) Task { return Task{Module: module, Items: items} }

func run(t *testing.T, r Runner, k Task) []modules.Outcome {
	t.Helper()
	outcomes, err := r.Run(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	return outcomes
}

func TestLoopIsOneExchange(t *testing.T) {
	p := newPair(t, nil, nil)
	var items []map[string]any
	for i := range 50 {
		items = append(items, map[string]any{"text": fmt.Sprint("item ", i)})
	}
	var events []Event
	outcomes, err := p.Run(t.Context(), task("echo", items...), func(e Event) { events = append(events, e) })
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != 50 || outcomes[49].Result["text"] != "item 49" || outcomes[0].Status != modules.Changed {
		t.Errorf("%d outcomes, %+v", len(outcomes), outcomes)
	}
	if len(events) != 150 || events[147].Planned == nil || events[148].Done == nil || events[149].Outcome == nil || events[149].Item != 49 {
		t.Errorf("%d events", len(events))
	}
	// Planned, done and outcome of each item, and the end.
	if got, replies := p.requests.Load(), p.replies.Load(); got != 1 || replies != 151 {
		t.Errorf("%d requests and %d replies for a loop", got, replies)
	}
}

func TestStopAfterFailure(t *testing.T) {
	p := newPair(t, nil, nil)
	k := task("echo", map[string]any{"text": "a"}, map[string]any{"text": "fail"}, map[string]any{"text": "c"})
	if got := run(t, p, k); len(got) != 3 || got[1].Status != modules.Failed || got[2].Status != modules.Changed {
		t.Errorf("%+v", got)
	}
	k.Stop = true
	if got := run(t, p, k); len(got) != 2 || got[1].Message != "asked to fail" {
		t.Errorf("%+v", got)
	}
}

func TestArgumentsKeepTheirTypes(t *testing.T) {
	p := newPair(t, nil, nil)
	got := run(t, p, task("types", map[string]any{"value": map[string]any{
		"s": "x", "i": int64(3), "f": 1.0, "b": true, "n": nil, "l": []any{int64(1), "a"}, "small": 5,
	}}))
	want := map[string]any{
		"s": "string x", "i": "int64 3", "f": "float64 1", "b": "bool true", "n": "<nil> <nil>", "l": []any{"int64 1", "string a"}, "small": "int64 5",
	}
	if diff := cmp.Diff(want, got[0].Result["types"]); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestBadTasks(t *testing.T) {
	p := newPair(t, nil, nil)
	for _, name := range []string{"nosuch", "controller"} {
		if _, err := p.Run(t.Context(), task(name, map[string]any{}), nil); err == nil || !strings.Contains(err.Error(), "no module "+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tt := range []struct{ module, argument, value, want string }{
		{"echo", "txt", "x", "txt"},
		{"misbehave", "how", "panic", "at the disco"},
		{"misbehave", "how", "odd", "uint16 as list[0]"},
		{"misbehave", "how", "huge", "too large"},
	} {
		got := run(t, p, task(tt.module, map[string]any{tt.argument: tt.value}))
		if got[0].Status != modules.Failed || !strings.Contains(got[0].Message, tt.want) {
			t.Errorf("%s: %s %.200s", tt.value, got[0].Status, got[0].Message)
		}
	}
	if got := run(t, p, task("misbehave", map[string]any{"how": "large"})); len(got[0].Result["stdout"].(string)) != 40<<20 {
		t.Error("a result larger than a frame is lost")
	}
}

func TestTasksRunInOrder(t *testing.T) {
	p := newPair(t, nil, nil)
	var group sync.WaitGroup
	var mu sync.Mutex
	var order []string
	for range 20 {
		group.Go(func() {
			_, err := p.Run(t.Context(), task("echo", map[string]any{"text": "x"}), func(e Event) {
				if e.Outcome != nil {
					mu.Lock()
					order = append(order, e.Outcome.Result["text"].(string))
					mu.Unlock()
				}
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(order) != 20 {
		t.Errorf("%d outcomes", len(order))
	}
}

func await(t *testing.T, file, content string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got, err := os.ReadFile(file); err == nil && string(got) == content {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s never says %q", file, content)
		}
	}
}

func TestCancelInTheMiddle(t *testing.T) {
	p := newPair(t, nil, nil)
	mark := filepath.Join(t.TempDir(), "mark")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		await(t, mark, "begun")
		cancel()
	}()
	outcomes, err := p.Run(ctx, task("hang", map[string]any{"mark": mark}, map[string]any{"mark": mark}), nil)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	await(t, mark, "ended")
	if len(outcomes) != 1 || outcomes[0].Status != modules.Failed {
		t.Errorf("%+v", outcomes)
	}
	if got := run(t, p, task("echo", map[string]any{"text": "still here"})); got[0].Status != modules.Changed {
		t.Errorf("after the cancelled task: %+v", got)
	}
}

func TestCancelWhileWaitingInLine(t *testing.T) {
	p := newPair(t, nil, nil)
	mark := filepath.Join(t.TempDir(), "mark")
	first, stopFirst := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Run(first, task("hang", map[string]any{"mark": mark}), nil)
	}()
	await(t, mark, "begun")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	time.AfterFunc(100*time.Millisecond, stopFirst)
	outcomes, err := p.Run(ctx, task("echo", map[string]any{"text": "never"}), nil)
	if !errors.Is(err, context.DeadlineExceeded) || len(outcomes) != 0 {
		t.Errorf("%+v, %v", outcomes, err)
	}
	<-ended
}

func TestControllerVanishes(t *testing.T) {
	p := newPair(t, nil, nil)
	mark := filepath.Join(t.TempDir(), "mark")
	failed := make(chan error, 1)
	go func() {
		_, err := p.Run(t.Context(), task("hang", map[string]any{"mark": mark}), nil)
		failed <- err
	}()
	await(t, mark, "begun")
	_ = p.toServer.Close()
	if err := <-p.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	await(t, mark, "ended")
	if err := <-failed; err == nil {
		t.Error("the task ended without an error")
	}
	if _, err := p.Run(t.Context(), task("echo", map[string]any{"text": "x"}), nil); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("a task after that: %v", err)
	}
	if _, err := p.Open(t.Context(), "/etc/hostname", false); err == nil {
		t.Error("Open after that works")
	}
}

func TestSilentController(t *testing.T) {
	p := newPair(t, nil, func(o *ServeOptions) { o.Silence = 50 * time.Millisecond })
	if err := <-p.served; err == nil || !strings.Contains(err.Error(), "said nothing for 50ms") {
		t.Error(err)
	}
}

func TestStuckTaskDoesNotKeepTheAgent(t *testing.T) {
	p := newPair(t, nil, func(o *ServeOptions) { o.Grace = 50 * time.Millisecond })
	mark := filepath.Join(t.TempDir(), "mark")
	go func() { _, _ = p.Run(t.Context(), task("hang", map[string]any{"mark": mark, "stubborn": true}), nil) }()
	await(t, mark, "begun")
	_ = p.toServer.Close()
	if err := <-p.served; err == nil || !strings.Contains(err.Error(), "the task hang does not end") {
		t.Error(err)
	}
	await(t, mark, "ended")
}

func TestContent(t *testing.T) {
	var s shelf
	p := newPair(t, &s, nil)
	dir := t.TempDir()
	inline := s.add([]byte("small"))
	inline.Inline = []byte("small")
	for name, tt := range map[string]struct {
		ref  modules.ContentRef
		want []byte
	}{
		"inline": {inline, []byte("small")},
		"empty":  {s.add(nil), nil},
		"memory": {s.add(noise(300_000)), noise(300_000)},
		"spool":  {s.add(noise(5 << 20)), noise(5 << 20)},
	} {
		dest := filepath.Join(dir, name)
		got := run(t, p, task("put", map[string]any{"src": tt.ref, "dest": dest}, map[string]any{"src": tt.ref, "dest": dest + "2"}))
		if got[0].Status != modules.Changed || got[1].Status != modules.Changed {
			t.Fatalf("%s: %+v", name, got)
		}
		for _, file := range []string{dest, dest + "2"} {
			content, err := os.ReadFile(file)
			if err != nil || !bytes.Equal(content, tt.want) {
				t.Errorf("%s: %d bytes, %v", file, len(content), err)
			}
		}
	}
	slices.Sort(s.opened)
	if n := len(s.opened); n != 2 || len(slices.Compact(s.opened)) != 2 {
		t.Errorf("content was asked for %d times: it travels once per host", n)
	}
}

func TestWrongContent(t *testing.T) {
	var s shelf
	p := newPair(t, &s, nil)
	dest := filepath.Join(t.TempDir(), "dest")
	put := func(ref modules.ContentRef) string {
		t.Helper()
		got := run(t, p, task("put", map[string]any{"src": ref, "dest": dest}))
		if _, err := os.Stat(dest); err == nil {
			t.Error("the file was written")
		}
		if got[0].Status != modules.Failed {
			t.Errorf("%+v", got)
		}
		return got[0].Message
	}
	for _, size := range []int{100, 3 << 20} {
		ref := s.add(noise(size))
		s.held[ref.SHA256] = append(noise(size - 1)[:size-1:size-1], 'X')
		if got := put(ref); !strings.Contains(got, "changed on its way") {
			t.Error(got)
		}
		s.held[ref.SHA256] = noise(size)[:size/2]
		if got := put(ref); !strings.Contains(got, "changed on its way") {
			t.Error(got)
		}
		s.held[ref.SHA256] = noise(size * 2)
		if got := put(ref); !strings.Contains(got, "longer than the announced") {
			t.Error(got)
		}
		delete(s.held, ref.SHA256)
		if got := put(ref); !strings.Contains(got, "does not exist") {
			t.Error(got)
		}
	}
	inline := s.add([]byte("truth"))
	inline.Inline = []byte("lying")
	if got := put(inline); !strings.Contains(got, "changed on its way") {
		t.Error(got)
	}
}

// A host must not get content that its task does not name.
func TestAgentMayNotAskForMore(t *testing.T) {
	var s shelf
	secret := s.add([]byte("secret"))
	in, toClient := io.Pipe()
	fromClient, out := io.Pipe()
	go func() { _, _ = io.Copy(io.Discard, fromClient) }()
	c := newClient(in, out, &s, func() error { return errors.Join(in.Close(), out.Close()) }, func(err error) error { return err })
	defer c.Close()
	body, err := encoded(&message{ID: 1, Need: &need{Task: 1, SHA256: secret.SHA256}})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFrames(toClient, body); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if err := c.Err(); !strings.Contains(err.Error(), "no running task of it names") || len(s.opened) != 0 {
		t.Errorf("%v, opened %v", err, s.opened)
	}
}

func TestClientRefusesNonsense(t *testing.T) {
	for name, send := range map[string][]byte{
		"oversized frame": {0x7f, 0, 0, 0, 1},
		"no message":      {0, 0, 0, 1, 0xff},
		"truncated frame": {0, 0, 0, 9, 1},
	} {
		in, toClient := io.Pipe()
		c := newClient(in, io.Discard, nil, in.Close, func(err error) error { return fmt.Errorf("lost: %w", err) })
		failed := make(chan error, 1)
		go func() {
			_, err := c.Run(t.Context(), task("echo", map[string]any{}), nil)
			failed <- err
		}()
		go func() {
			_, _ = toClient.Write(send)
			_ = toClient.Close()
		}()
		if err := <-failed; err == nil || !strings.Contains(err.Error(), "lost: ") {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
	}
}

func TestTreeAndOpen(t *testing.T) {
	p := newPair(t, nil, nil)
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o750); err != nil {
		t.Fatal(err)
	}
	write("b", "bee")
	write("sub/c", "")
	link := os.Link(filepath.Join(dir, "b"), filepath.Join(dir, "sub", "linked"))
	if err := errors.Join(link, os.Symlink("b", filepath.Join(dir, "a"))); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * treeBatch {
		write(fmt.Sprintf("sub/f%04d", i), "x")
	}
	tree, err := p.Tree(t.Context(), dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(tree.Entries); n != 6+2*treeBatch {
		t.Fatalf("%d entries", n)
	}
	summary := func(e modules.TreeEntry) string {
		text := fmt.Sprint(e.Path, " ", e.Info.Type, " ", e.Target, " ", e.LinkTo)
		if e.Content != nil {
			text += fmt.Sprint(" ", e.Content.Length, " ", e.Content.SHA256[:8])
		}
		return text
	}
	var got []string
	for _, e := range append(tree.Entries[:5:5], tree.Entries[len(tree.Entries)-1]) {
		got = append(got, summary(e))
	}
	want := []string{
		". directory  ", "a link b ", "b file   3 " + sha("bee")[:8], "sub directory  ", "sub/c file   0 " + sha("")[:8], "sub/linked file  b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if e := tree.Entries[2]; e.Info.Mode != 0o640 || e.Owner == "" && os.Getuid() == 0 || e.Info.ModTime.IsZero() {
		t.Errorf("%+v", e)
	}
	if _, err := p.Tree(t.Context(), filepath.Join(dir, "b"), false); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Error(err)
	}
	if _, err := p.Tree(t.Context(), filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := p.Open(t.Context(), filepath.Join(dir, "none"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func sha(text string) string {
	digest := sha256.Sum256([]byte(text))
	return hex.EncodeToString(digest[:])
}

func TestOpenStreams(t *testing.T) {
	p := newPair(t, nil, nil)
	file := filepath.Join(t.TempDir(), "big")
	content := noise(6<<20 + 17)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := p.Open(t.Context(), file, false)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if n := p.replies.Load(); n > firstCredits+1 { // one more for the first, which Open waits for
		t.Errorf("%d windows were sent to a reader that does not read", n)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err = p.Open(t.Context(), empty, false)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || len(got) != 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_ = r.Close()

	// One that is given up half way, and one whose context ends.
	r, err = p.Open(t.Context(), file, false)
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, err = p.Open(ctx, file, false)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_ = r.Close()
	if got := run(t, p, task("echo", map[string]any{"text": "after"})); got[0].Status != modules.Changed {
		t.Errorf("%+v", got)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.receivers) != 0 || len(p.calls) != 0 {
		t.Errorf("%d receivers and %d calls are left", len(p.receivers), len(p.calls))
	}
}

func TestShadowLivesAsLongAsTheConnection(t *testing.T) {
	var s shelf
	p := newPair(t, &s, nil)
	dest := filepath.Join(t.TempDir(), "dest")
	put := task("put", map[string]any{"src": s.add([]byte("content")), "dest": dest})
	put.Check = true
	if got := run(t, p, put); got[0].Status != modules.Changed {
		t.Errorf("%+v", got)
	}
	if got := run(t, p, put); got[0].Status != modules.OK {
		t.Errorf("a later task does not see what an earlier one would have done: %+v", got)
	}
	if _, err := os.Stat(dest); err == nil {
		t.Error("check mode wrote to the host")
	}
	r, err := p.Open(t.Context(), dest, true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
	_ = r.Close()
	put.Fresh = true
	if got := run(t, p, put); got[0].Status != modules.Changed {
		t.Errorf("a fresh shadow knows of an earlier task: %+v", got)
	}
}

func TestLocal(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	registry, err := fakemodules.Registry()
	if err != nil {
		t.Fatal(err)
	}
	var s shelf
	c, err := NewLocal(registry, sys.NewReal(), func(under sys.Host) sys.Host { return sys.NewShadow(under) }, &s)
	if err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(t.TempDir(), "dest")
	if got := run(t, c, task("put", map[string]any{"src": s.add(noise(2 << 20)), "dest": dest})); got[0].Status != modules.Changed {
		t.Errorf("%+v", got)
	}
	mark := filepath.Join(t.TempDir(), "mark")
	ended := make(chan error, 1)
	go func() {
		_, err := c.Run(context.Background(), task("hang", map[string]any{"mark": mark}), nil)
		ended <- err
	}()
	await(t, mark, "begun")
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("the running task ended well")
	}
	await(t, mark, "ended")
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := c.Run(t.Context(), task("echo", map[string]any{"text": "x"}), nil); err == nil {
		t.Error("Run works after Close")
	}
}

// Many small files cost a few messages, however many they are: what is lacking comes
// in one stream. What is there already is not sent.
func TestATreeOfSmallFilesComesTogether(t *testing.T) {
	registry, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	var s shelf
	p := newPair(t, &s, func(o *ServeOptions) { o.Registry = registry })
	dest := t.TempDir()
	tree := modules.TreeRef{Origin: "tree/", Entries: []modules.TreeEntry{{Path: ".", Info: sys.FileInfo{Type: sys.Directory, Mode: 0o755}}}}
	const files = 300
	for i := range files {
		content := []byte(strings.Repeat(fmt.Sprintf("%04d", i%250), 100)) // some twice
		ref := s.add(content)
		tree.Entries = append(tree.Entries, modules.TreeEntry{
			Path: fmt.Sprintf("f%d", i), Info: sys.FileInfo{Type: sys.Regular, Mode: 0o644, Size: int64(len(content))}, Content: &ref,
		})
		if i < 20 {
			if err := os.WriteFile(filepath.Join(dest, fmt.Sprintf("f%d", i)), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	outcomes, err := p.Run(t.Context(), task("copy", map[string]any{"src": tree, "dest": dest}), nil)
	if err != nil || outcomes[0].Status != modules.Changed {
		t.Fatal(outcomes, err)
	}
	for i := range files {
		got, err := os.ReadFile(filepath.Join(dest, fmt.Sprintf("f%d", i)))
		if want := strings.Repeat(fmt.Sprintf("%04d", i%250), 100); err != nil || string(got) != want {
			t.Fatalf("file %d is %q, %v", i, got, err)
		}
	}
	if len(s.opened) != 250 { // all but f20 to f249 once; f0 to f19 for the files from f250 on
		t.Errorf("%d contents were read", len(s.opened))
	}
	if requests, replies := p.requests.Load(), p.replies.Load(); requests > 4 || replies > 8 {
		t.Errorf("%d messages there and %d back", requests, replies)
	}
}

// A content that is not what was announced is refused, also in the midst of others.
func TestABrokenContentAmongOthers(t *testing.T) {
	var s shelf
	store := newStore()
	var refs []modules.ContentRef
	for i := range 3 {
		refs = append(refs, s.add(fmt.Appendf(nil, "content %d", i)))
	}
	stream := func(text string) fetch {
		return func(context.Context, ...string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		}
	}
	for _, text := range []string{"content 0content Xcontent 2", "content 0content 1", ""} {
		if err := store.bring(t.Context(), refs, stream(text)); err == nil || !strings.Contains(err.Error(), "it changed on its way") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := store.bring(t.Context(), refs, stream("content 1content 2")); err != nil { // the first is held
		t.Error(err)
	}
	if err := store.bring(t.Context(), refs, nil); err != nil {
		t.Error(err)
	}
}
