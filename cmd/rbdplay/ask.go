package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/transport"
	"github.com/rbdplay/rbdplay/engine/vault"
)

// terminal gives the terminal that standard input is, if it is one.
func (s *streams) terminal() (*os.File, bool) {
	file, ok := s.in.(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

// askSecret reads a line from the terminal without showing it.
func (s *streams) askSecret(ctx context.Context, prompt string) (string, error) {
	if _, ok := s.terminal(); !ok {
		return "", errors.New("a password was to be asked for, but standard input is no terminal")
	}
	return s.askLine(ctx, prompt, true)
}

// askLine puts a question on the terminal and waits for the answer, which is not
// shown when it is hidden. One question is put at a time. A ctx that ends takes it
// back.
func (s *streams) askLine(ctx context.Context, question string, hidden bool) (string, error) {
	file, ok := s.terminal()
	if !ok {
		return "", engine.ErrNobodyToAsk
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	fd := int(file.Fd())
	if hidden {
		show, err := hideTyping(fd)
		if err != nil {
			return "", err
		}
		forget := s.whenLeaving(show)
		defer forget()
		defer show()
	}
	if isTerminal(s.err) {
		fmt.Fprint(s.err, "\r\x1b[K") // the status line may stand there
	}
	fmt.Fprint(s.err, question)
	if hidden {
		defer fmt.Fprintln(s.err)
	}
	if err := untilTyped(ctx, fd); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(file).ReadString('\n') // a terminal gives a line and no more
	if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// hideTyping has the terminal not show what is typed, until show is called. Lines
// are still edited, and ^C still interrupts.
func hideTyping(fd int) (show func(), err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("asking the terminal for its settings: %w", err)
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, fmt.Errorf("telling the terminal not to show what is typed: %w", err)
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil // nothing better can be done
}

// untilTyped waits for a line on the terminal, or for the end of ctx.
func untilTyped(ctx context.Context, fd int) error {
	ended, end, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ended.Close() //nolint:errcheck // nothing was written
	var once sync.Once
	hangUp := func() { once.Do(func() { _ = end.Close() }) } // the other end notices
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()
	waits := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(ended.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(waits, -1)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("waiting for the terminal: %w", err)
		}
		return nil
	}
}

// prompt implements engine.Options.Prompt.
func (s *streams) prompt(ctx context.Context, request engine.PromptRequest) (string, error) {
	question := request.Text
	if request.Default != "" {
		question += " [" + request.Default + "]"
	}
	for {
		answer, err := s.askLine(ctx, question+": ", request.Private)
		if err != nil || !request.Confirm {
			return answer, err
		}
		again, err := s.askLine(ctx, "confirm "+question+": ", request.Private)
		if err != nil || again == answer {
			return answer, err
		}
		fmt.Fprintln(s.err, "The two answers are not the same.")
	}
}

// passphrases asks for the passphrase of each encrypted key once in a run. They
// are added to hide, so that nothing shows them.
type passphrases struct {
	*streams
	hide *vault.Keyring

	mu    sync.Mutex
	known map[string]transport.Secret
}

// newPassphrases gives ssh.Config's Passphrase; nil without a terminal.
func newPassphrases(s *streams, hide *vault.Keyring) func(ctx context.Context, keyFile string) (transport.Secret, error) {
	if _, ok := s.terminal(); !ok {
		return nil
	}
	p := &passphrases{streams: s, hide: hide, known: map[string]transport.Secret{}}
	return p.of
}

func (p *passphrases) of(ctx context.Context, keyFile string) (transport.Secret, error) {
	p.mu.Lock() // those who need it too wait for the answer
	defer p.mu.Unlock()
	if known, ok := p.known[keyFile]; ok {
		return known, ctx.Err()
	}
	text, err := p.askSecret(ctx, "Passphrase for the key "+keyFile+": ")
	if err != nil {
		return transport.Secret{}, err
	}
	p.hide.Learn(text)
	p.known[keyFile] = transport.NewSecret(text)
	return p.known[keyFile], nil
}
