package ssh

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// login gathers the ways to log in to one host, and what became of them.
type login struct {
	ctx    context.Context
	target *target
	keys   []offer
	notes  []string // keys that were left out, and why
	agent  io.Closer
	pause  func() (resume func()) // stops the clock of the attempt

	mu        sync.Mutex
	passwords int // how often the password was handed over
}

// offer is a key and what to call it in messages.
type offer struct {
	ssh.Signer
	name string
}

// newLogin reads the keys. The right key comes first, because servers count
// tries: named keys, then what the agent holds, then default keys. close it.
func newLogin(ctx context.Context, t *target) (*login, error) {
	l := &login{ctx: ctx, target: t}
	if !t.allows("publickey") {
		return l, nil
	}
	held := l.agentKeys()
	for _, file := range t.KeyFiles {
		if err := l.addFile(file, held, true); err != nil {
			l.close()
			return nil, err
		}
	}
	if t.named {
		if err := l.addOptional(held); err != nil {
			l.close()
			return nil, err
		}
	}
	if !t.IdentitiesOnly {
		for _, key := range held {
			l.add(key)
		}
	}
	if !t.named {
		if err := l.addOptional(held); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (t *target) allows(method string) bool {
	return t.Methods == nil || slices.Contains(t.Methods, method)
}

func (l *login) close() {
	if l.agent != nil {
		_ = l.agent.Close() // was only read from
	}
}

func (l *login) addOptional(held []offer) error {
	for _, file := range l.target.optional {
		if err := l.addFile(file, held, false); err != nil {
			return err
		}
	}
	return nil
}

func (l *login) add(o offer) {
	same := func(have offer) bool {
		return bytes.Equal(have.PublicKey().Marshal(), o.PublicKey().Marshal())
	}
	if !slices.ContainsFunc(l.keys, same) {
		l.keys = append(l.keys, o)
	}
}

// agentKeys asks ssh-agent. An agent that does not answer is noted, not fatal:
// there may be other keys.
func (l *login) agentKeys() []offer {
	if l.target.agent == "" {
		return nil
	}
	var d net.Dialer
	conn, err := d.DialContext(l.ctx, "unix", l.target.agent)
	if err != nil {
		l.notes = append(l.notes, fmt.Sprintf("ssh-agent cannot be asked (%v)", err))
		return nil
	}
	l.agent = conn
	// An agent that hangs must not hang the run.
	context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	client := agent.NewClient(conn)
	listed, err := client.List()
	if err != nil {
		l.notes = append(l.notes, fmt.Sprintf("ssh-agent cannot be asked (%v)", err))
		return nil
	}
	signers, err := client.Signers()
	if err != nil {
		l.notes = append(l.notes, fmt.Sprintf("ssh-agent cannot be asked (%v)", err))
		return nil
	}
	var held []offer
	for i, s := range signers {
		name := "agent key " + ssh.FingerprintSHA256(s.PublicKey())
		if i < len(listed) && listed[i].Comment != "" {
			name = "agent key " + listed[i].Comment
		}
		held = append(held, offer{s, name})
	}
	return held
}

// addFile offers the key in file: through the agent when that holds it, so that
// no passphrase is needed. required says that a missing or broken file is fatal.
func (l *login) addFile(file string, held []offer, required bool) error {
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !required:
		return nil
	case err != nil && required:
		return fmt.Errorf("key file: %w", err)
	case err != nil:
		l.notes = append(l.notes, "left out "+err.Error())
		return nil //nolint:nilerr // the notes keep it, for when no other key opens
	}
	o, err := l.parse(file, content, held)
	if err == nil {
		l.add(o)
		return nil
	}
	if required {
		return err
	}
	l.notes = append(l.notes, "left out "+err.Error())
	return nil
}

func (l *login) parse(file string, content []byte, held []offer) (offer, error) {
	signer, err := ssh.ParsePrivateKey(content)
	if err == nil {
		return offer{signer, file}, nil
	}
	encrypted, ok := errors.AsType[*ssh.PassphraseMissingError](err)
	if !ok {
		return offer{}, fmt.Errorf("key file %s: %w", file, err)
	}
	public := encrypted.PublicKey
	if public == nil { // the old PEM format hides it
		public = publicHalf(file)
	}
	if public != nil {
		for _, h := range held {
			if bytes.Equal(h.PublicKey().Marshal(), public.Marshal()) {
				return offer{h.Signer, file}, nil
			}
		}
	}
	if l.target.Passphrase == nil {
		return offer{}, fmt.Errorf("key file %s: is encrypted and ssh-agent does not hold it; run `ssh-add %s` first", file, file)
	}
	if public == nil {
		signer, err := l.decrypt(file, content)
		return offer{signer, file}, err
	}
	return offer{&lockedKey{public: public, unlock: func() (ssh.Signer, error) { return l.decrypt(file, content) }}, file}, nil
}

func publicHalf(file string) ssh.PublicKey {
	content, err := os.ReadFile(file + ".pub")
	if err != nil {
		return nil
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(content) //nolint:dogsled // only the key is wanted
	if err != nil {
		return nil
	}
	return public
}

func (l *login) decrypt(file string, content []byte) (ssh.Signer, error) {
	if l.pause != nil {
		defer l.pause()()
	}
	passphrase, err := l.target.Passphrase(l.ctx, file)
	if err != nil {
		return nil, fmt.Errorf("key file %s: passphrase: %w", file, err)
	}
	raw, err := ssh.ParseRawPrivateKeyWithPassphrase(content, []byte(passphrase.Reveal()))
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, fmt.Errorf("key file %s: the passphrase is wrong", file)
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", file, err)
	}
	return signerOf(raw)
}

func signerOf(raw any) (ssh.Signer, error) {
	switch key := raw.(type) {
	case *ed25519.PrivateKey:
		return ssh.NewSignerFromKey(*key)
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey, crypto.Signer:
		return ssh.NewSignerFromKey(key)
	}
	return nil, fmt.Errorf("a key of type %T is not supported", raw)
}

// lockedKey asks for its passphrase only when a server would take the key.
type lockedKey struct {
	public ssh.PublicKey
	unlock func() (ssh.Signer, error)
}

func (k *lockedKey) PublicKey() ssh.PublicKey { return k.public }

func (k *lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

func (k *lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signer, err := k.unlock()
	if err != nil {
		return nil, err
	}
	if s, ok := signer.(ssh.AlgorithmSigner); ok && algorithm != "" {
		return s.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}

// methods are the ways in, the likeliest first: a password that was given is
// meant, unless a key was named as well.
func (l *login) methods() []ssh.AuthMethod {
	var keys, passwords []ssh.AuthMethod
	if len(l.keys) > 0 {
		keys = append(keys, ssh.PublicKeysCallback(l.signers))
	}
	if l.target.Password.IsSet() {
		if l.target.allows("password") {
			passwords = append(passwords, ssh.PasswordCallback(l.password))
		}
		if l.target.allows("keyboard-interactive") {
			passwords = append(passwords, ssh.KeyboardInteractive(l.answer))
		}
	}
	if l.target.named {
		return slices.Concat(keys, passwords)
	}
	return slices.Concat(passwords, keys)
}

func (l *login) signers() ([]ssh.Signer, error) {
	var signers []ssh.Signer
	for _, k := range l.keys {
		signers = append(signers, k.Signer)
	}
	return signers, nil
}

func (l *login) password() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passwords++
	return l.target.Password.Reveal(), nil
}

// answer gives the password to every question that hides its answer, once.
func (l *login) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range questions {
		if echos[i] {
			return nil, fmt.Errorf("the host asks %q, which a password does not answer", strings.TrimSpace(questions[i]))
		}
		answers[i], _ = l.password()
	}
	return answers, nil
}

// tried tells what was offered, for the message that nothing was accepted.
func (l *login) tried() string {
	var list []string
	for _, k := range l.keys {
		list = append(list, "key "+strings.TrimPrefix(k.name, "agent key "))
		if strings.HasPrefix(k.name, "agent key ") {
			list[len(list)-1] = k.name
		}
	}
	l.mu.Lock()
	if l.passwords > 0 {
		list = append(list, "the password")
	}
	l.mu.Unlock()
	text := "nothing was offered, there is neither a key nor a password"
	if len(list) > 0 {
		text = "offered: " + strings.Join(list, ", ")
	}
	if len(l.notes) > 0 {
		text += "; " + strings.Join(l.notes, "; ")
	}
	return text
}
