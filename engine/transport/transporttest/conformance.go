package transporttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// Conformance is what every transport to a real shell must do. dir is a folder
// that the host and the test share.
func Conformance(t *testing.T, tr transport.Transport, dir string) {
	t.Helper()
	conn, err := tr.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	t.Run("output and exit code", func(t *testing.T) { testOutput(t, conn) })
	t.Run("input", func(t *testing.T) { testInput(t, conn) })
	t.Run("signal", func(t *testing.T) { testSignal(t, conn) })
	t.Run("cancel", func(t *testing.T) { testCancel(t, conn) })
	t.Run("close ends the command", func(t *testing.T) { testSessionClose(t, conn, dir) })
	t.Run("upload", func(t *testing.T) { testUpload(t, conn, dir) })
	t.Run("upload is refused", func(t *testing.T) { testUploadRefused(t, conn, dir) })
	t.Run("many at once", func(t *testing.T) { testMany(t, conn) })
	t.Run("close", func(t *testing.T) { testClose(t, conn) })
}

func start(t *testing.T, conn transport.Conn, command string) transport.Session {
	t.Helper()
	s, err := conn.Start(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func wantExit(t *testing.T, s transport.Session, want int) {
	t.Helper()
	for range 2 { // Wait may be called more than once
		if code, err := s.Wait(); err != nil || code != want {
			t.Fatalf("Wait: %d, %v; want %d", code, err, want)
		}
	}
}

func testOutput(t *testing.T, conn transport.Conn) {
	s := start(t, conn, "echo out; echo err >&2; exit 3")
	out, err := io.ReadAll(s)
	if err != nil || string(out) != "out\n" {
		t.Errorf("output %q, %v", out, err)
	}
	wantExit(t, s, 3)
	if s.Stderr() != "err\n" {
		t.Errorf("stderr %q", s.Stderr())
	}
	select {
	case <-s.StderrGrew():
	default:
		t.Error("StderrGrew says nothing though there is something")
	}
}

func testInput(t *testing.T, conn transport.Conn) {
	s := start(t, conn, "cat")
	if _, err := io.WriteString(s.Stdin(), "round\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stdin().Close(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(s)
	if err != nil || string(out) != "round\n" {
		t.Errorf("output %q, %v", out, err)
	}
	wantExit(t, s, 0)
}

func testSignal(t *testing.T, conn transport.Conn) {
	wantExit(t, start(t, conn, "kill -TERM $$"), 128+15)
}

func testCancel(t *testing.T, conn transport.Conn) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := conn.Start(ctx, "echo started; exec sleep 100")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	cancel()
	ended := make(chan struct{})
	go func() {
		_, _ = io.ReadAll(s)
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the session goes on after its context was cancelled")
	}
	_ = s.Close()
	if _, err := conn.Start(ctx, "true"); !errors.Is(err, context.Canceled) {
		t.Errorf("Start with a cancelled context: %v", err)
	}
}

func testSessionClose(t *testing.T, conn transport.Conn, dir string) {
	mark := filepath.Join(dir, "ended")
	s := start(t, conn, "cat; echo >"+mark)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(mark); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the command did not see the end of its input")
		}
	}
}

func testUpload(t *testing.T, conn transport.Conn, dir string) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	path := filepath.Join(dir, "upload-1")
	for range 2 { // also over an old file
		if err := conn.Upload(t.Context(), bytes.NewReader(content), int64(len(content)), path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatalf("%d bytes arrived of %d, %v", len(got), len(content), err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func testUploadRefused(t *testing.T, conn transport.Conn, dir string) {
	for _, path := range []string{"", "-x", "/tmp/", "a b", "$HOME/x", "`id`", "a\nb", `a"b`, "é", "~/x"} {
		if err := conn.Upload(t.Context(), strings.NewReader("x"), 1, path, 0o600); err == nil {
			t.Errorf("upload to %q was done", path)
		}
	}
	short := filepath.Join(dir, "short")
	if err := conn.Upload(t.Context(), strings.NewReader("x"), 5, short, 0o600); err == nil {
		t.Error("an upload of fewer bytes than announced was done")
	}
	if err := conn.Upload(t.Context(), strings.NewReader("x"), 1, filepath.Join(dir, "no/such/folder"), 0o600); err == nil {
		t.Error("an upload into a missing folder was done")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := conn.Upload(ctx, strings.NewReader("x"), 1, filepath.Join(dir, "cancelled"), 0o600); !errors.Is(err, context.Canceled) {
		t.Errorf("upload with a cancelled context: %v", err)
	}
}

func testMany(t *testing.T, conn transport.Conn) {
	errs := make(chan error)
	for range 5 {
		go func() {
			s, err := conn.Start(t.Context(), "cat /dev/null; exit 7")
			if err == nil {
				var code int
				if code, err = s.Wait(); err == nil && code != 7 {
					err = errors.New("wrong exit code")
				}
				err = errors.Join(err, s.Close())
			}
			errs <- err
		}()
	}
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func testClose(t *testing.T, conn transport.Conn) {
	s := start(t, conn, "cat")
	if conn.Err() != nil {
		t.Errorf("Err before Close: %v", conn.Err())
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-conn.Done():
	default:
		t.Error("Done is open after Close")
	}
	if conn.Err() == nil {
		t.Error("Err is nil after Close")
	}
	if _, err := io.ReadAll(s); err == nil {
		_, _ = s.Wait() // an orderly end is as good as an error
	}
	if _, err := conn.Start(t.Context(), "true"); err == nil {
		t.Error("Start works after Close")
	}
	if err := conn.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
