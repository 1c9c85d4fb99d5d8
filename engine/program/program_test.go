package program

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func shell(text string) Command { return Command{Argv: []string{"/bin/sh", "-c", text}, Most: 4 << 10} }

func TestRun(t *testing.T) {
	for _, c := range []struct {
		name, text, stdout, complaints string
		code                           int
	}{
		{"well", "echo out; echo aside >&2", "out\n", "aside", 0},
		{"badly", "echo out; echo why >&2; exit 3", "out\n", "why", 3},
		{"by a signal", "kill -TERM $$", "", "", 143},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Run(t.Context(), shell(c.text))
			if _, exited := errors.AsType[*exec.ExitError](err); exited != (c.code != 0) {
				t.Error(err)
			}
			if string(got.Stdout) != c.stdout || got.Complaints() != c.complaints || got.Code != c.code {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := Run(t.Context(), Command{Argv: []string{"/nonexistent/program"}})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/program") {
		t.Error(err)
	}
}

func TestTooMuch(t *testing.T) {
	got, err := Run(t.Context(), shell("yes"))
	if _, tooMuch := errors.AsType[*TooMuchError](err); !tooMuch || len(got.Stdout) != 4<<10 {
		t.Errorf("%d bytes, %v", len(got.Stdout), err)
	}
	got, err = Run(t.Context(), shell("yes | head -c 100000 >&2"))
	if err != nil || len(got.Stderr) != mostComplaints {
		t.Errorf("%d bytes of complaints, %v", len(got.Stderr), err)
	}
}

// TestCancelEndsWhatItStarted waits for a pipe that the child of the shell holds:
// were it left, Run would come back only after its delay for such pipes.
func TestCancelEndsWhatItStarted(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := Run(ctx, shell("sleep 60 & wait")); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("what it started was left: %s", took)
	}
}
