package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo terminal: what is typed goes into keys, and side is
// what a program has as its standard input.
func terminal(t *testing.T) (keys, side *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo terminal here:", err)
	}
	t.Cleanup(func() { _ = keys.Close() })
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	side, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = side.Close() })
	return keys, side
}

// typist types a line when it is asked for one.
type typist struct {
	keys  *os.File
	lines []string
	seen  bytes.Buffer
}

func (w *typist) Write(p []byte) (int, error) {
	if bytes.HasSuffix(p, []byte("password: ")) {
		if _, err := fmt.Fprintln(w.keys, w.lines[0]); err != nil {
			return 0, err
		}
		w.lines = w.lines[1:]
	}
	return w.seen.Write(p)
}

// Passwords that were typed are hidden in all that the run shows.
func TestTypedPasswordsNeverShow(t *testing.T) {
	keys, side := terminal(t)
	dir := t.TempDir()
	playbook := filepath.Join(dir, "site.yml")
	text := `
- hosts: localhost
  gather_facts: false
  tasks:
    - command: echo login open-sesame sudo tell-nobody
    - command: /bin/sh -c "echo login open-sesame >&2; exit 1"
`
	if err := os.WriteFile(playbook, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, output := range []string{"human", "jsonl"} {
		errs := &typist{keys: keys, lines: []string{"open-sesame", "tell-nobody"}}
		var out bytes.Buffer
		code := run([]string{"run", playbook, "-k", "-K", "-vv", "--diff", "-o", output}, side, &out, errs)
		if code != exitFailed {
			t.Errorf("%s: exit code %d\n%s%s", output, code, out.String(), errs.seen.String())
		}
		if len(errs.lines) > 0 {
			t.Errorf("%s: not asked for %d passwords", output, len(errs.lines))
		}
		shown := out.String() + errs.seen.String()
		if strings.Contains(shown, "sesame") || strings.Contains(shown, "nobody") {
			t.Errorf("%s: a password shows:\n%s", output, shown)
		}
		if want := "login ******** sudo ********"; !strings.Contains(shown, want) {
			t.Errorf("%s: %q is not shown:\n%s", output, want, shown)
		}
	}
}
