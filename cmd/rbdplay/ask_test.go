package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/rbdplay/rbdplay/engine/agent/binaries"
	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
)

// answering types an answer to each question that it is asked, in their order.
type answering struct {
	t       *testing.T
	keys    *os.File
	answers []string // question and answer, one after the other
	hidden  map[string]bool
	side    *os.File
	seen    bytes.Buffer
}

func (a *answering) Write(p []byte) (int, error) {
	a.seen.Write(p)
	if !bytes.HasSuffix(p, []byte(": ")) {
		return len(p), nil
	}
	if len(a.answers) == 0 || string(p) != a.answers[0] {
		return 0, fmt.Errorf("asked %q, which nobody answers", p)
	}
	settings, err := unix.IoctlGetTermios(int(a.side.Fd()), unix.TCGETS)
	if err != nil {
		return 0, err
	}
	a.hidden[a.answers[0]] = settings.Lflag&unix.ECHO == 0
	_, err = fmt.Fprintln(a.keys, a.answers[1])
	a.answers = a.answers[2:]
	return len(p), err
}

// runAnswering runs the command line with somebody at the terminal.
func runAnswering(t *testing.T, args []string, answers ...string) (code int, shown string, hidden map[string]bool) {
	t.Helper()
	keys, side := terminal(t)
	a := &answering{t: t, keys: keys, side: side, answers: answers, hidden: map[string]bool{}}
	var out bytes.Buffer
	code = run(args, side, &out, a)
	if len(a.answers) > 0 {
		t.Errorf("never asked: %q", a.answers)
	}
	if settings, err := unix.IoctlGetTermios(int(side.Fd()), unix.TCGETS); err != nil || settings.Lflag&unix.ECHO == 0 {
		t.Error("the terminal does not show what is typed any more", err)
	}
	return code, out.String() + a.seen.String(), a.hidden
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPromptsAreAskedOnTheTerminal(t *testing.T) {
	playbook := writeFile(t, t.TempDir(), "site.yml", `
- hosts: localhost
  gather_facts: false
  vars_prompt:
    - {name: user, prompt: Who, default: root, private: false}
    - {name: place, prompt: Where, private: false}
    - {name: word, prompt: Word, confirm: true}
  tasks:
    - debug: {msg: "{{ user }} in {{ place }} says {{ word }}"}
`)
	code, shown, hidden := runAnswering(t, []string{"run", playbook},
		"Who [root]: ", "", "Where: ", "the  attic ", "Word: ", "mellon", "confirm Word: ", "melon", "Word: ", "mellon", "confirm Word: ", "mellon")
	if code != exitFine {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"root in the  attic  says ********", "The two answers are not the same."} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not shown", want)
		}
	}
	if strings.Contains(shown, "mellon") {
		t.Error("what was typed unseen shows")
	}
	if !hidden["Word: "] || !hidden["confirm Word: "] || hidden["Who [root]: "] || hidden["Where: "] {
		t.Errorf("hidden: %v", hidden)
	}
	if t.Failed() {
		t.Log(shown)
	}
}

// A pause without a time waits for a person.
func TestPauseIsAskedOnTheTerminal(t *testing.T) {
	playbook := writeFile(t, t.TempDir(), "site.yml", `
- hosts: localhost
  gather_facts: false
  tasks:
    - pause: {prompt: Go on}
      register: said
    - debug: {msg: "it was {{ said.user_input }}"}
`)
	code, shown, hidden := runAnswering(t, []string{"run", playbook}, "Go on: ", "yes please")
	if code != exitFine || hidden["Go on: "] || !strings.Contains(shown, "it was yes please") {
		t.Errorf("exit code %d, hidden %v\n%s", code, hidden, shown)
	}
}

// A question ends with the run, and the terminal is as it was.
func TestQuestionEndsWithItsContext(t *testing.T) {
	_, side := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := &streams{in: side, err: onWrite(cancel)}
	if _, err := s.askLine(ctx, "Well? ", true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if settings, err := unix.IoctlGetTermios(int(side.Fd()), unix.TCGETS); err != nil || settings.Lflag&unix.ECHO == 0 {
		t.Error("the terminal does not show what is typed any more", err)
	}
}

type onWrite func()

func (f onWrite) Write(p []byte) (int, error) { f(); return len(p), nil }

// An encrypted key is asked for once, for all hosts that take it; nothing shows the
// passphrase. Without a terminal the message says what would help.
func TestPassphraseIsAskedOnce(t *testing.T) {
	if len(binaries.Embedded().Architectures()) == 0 {
		t.Skip("no agents are built in: make build")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	key := transporttest.WriteKey(t, private, "let-me-in")
	server := transporttest.NewSSHServer(t, transporttest.SSHOptions{Keys: []ssh.PublicKey{signer}})
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	_, port := server.HostPort()
	dir := t.TempDir()
	hosts := writeFile(t, dir, "hosts.ini", fmt.Sprintf("[all]\none\ntwo\nthree\n[all:vars]\nansible_host=127.0.0.1\nansible_port=%d\nansible_user=%s\nansible_ssh_private_key_file=%s\n", port, server.User, key))
	playbook := writeFile(t, dir, "site.yml", `
- hosts: all
  gather_facts: false
  tasks:
    - command: echo let-me-in
`)
	args := []string{"run", playbook, "-i", hosts, "--host-key-checking", "accept-new", "-vv"}
	question := "Passphrase for the key " + key + ": "
	code, shown, hidden := runAnswering(t, args, question, "let-me-in")
	if code != exitFine || !hidden[question] || strings.Contains(shown, "let-me-in") {
		t.Errorf("exit code %d, hidden %v\n%s", code, hidden, shown)
	}
	code, shown, _ = runAnswering(t, args, question, "let-me-out")
	if code != exitUnreachable || strings.Contains(shown, "let-me-out") || !strings.Contains(shown, "the passphrase is wrong") {
		t.Errorf("a wrong passphrase: exit code %d\n%s", code, shown)
	}
	var out bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &out)
	if code != exitUnreachable || !strings.Contains(out.String(), "ssh-add "+key) {
		t.Errorf("without a terminal: exit code %d\n%s", code, out.String())
	}
}
