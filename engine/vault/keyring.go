package vault

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// DefaultID is the id of a password that was given without one.
const DefaultID = "default"

// Password is a vault password with its id. It does not print.
type Password struct {
	ID   string
	text string
}

// NewPassword refuses what a header could not hold.
func NewPassword(id, text string) (Password, error) {
	switch {
	case !idForm().MatchString(id):
		return Password{}, fmt.Errorf("%q is no vault id: it is one word without a semicolon", id)
	case text == "":
		return Password{}, fmt.Errorf("the password for the vault id %s is empty", id)
	}
	return Password{ID: id, text: text}, nil
}

// Format implements fmt.Formatter: a password shows only its id.
func (p Password) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s: (hidden)", p.ID) }

// Same reports whether both are the same word.
func (p Password) Same(other Password) bool { return p.text == other.text }

// ErrNoPassword is the fault of a vault for which no password was given at all.
var ErrNoPassword = errors.New("encrypted with ansible-vault, and no vault password was given")

// NoPasswordHint says how to give one.
const NoPasswordHint = "give one with --vault-password-file FILE, --vault-id LABEL@SOURCE or --ask-vault-pass"

// Keyring holds the vault passwords of a run and remembers what they opened. A
// nil Keyring has none. It is safe for concurrent use.
type Keyring struct {
	passwords []Password

	mu       sync.Mutex
	learned  []string
	listener func(secret string)
}

// NewKeyring makes a keyring; passwords are tried in their order.
func NewKeyring(passwords ...Password) *Keyring { return &Keyring{passwords: passwords} }

// Passwords are those given, in order.
func (k *Keyring) Passwords() []Password {
	if k == nil {
		return nil
	}
	return slices.Clone(k.passwords)
}

// Decrypt opens a vault: by passwords of its id first, then by the others. It
// does not remember the content; see Learn. The error says whether the vault is
// damaged (*FormatError), no password was given (ErrNoPassword) or none fits.
func (k *Keyring) Decrypt(text []byte) ([]byte, error) {
	plain, _, err := k.Open(text)
	return plain, err
}

// Open is Decrypt that also says which password it was.
func (k *Keyring) Open(text []byte) ([]byte, Password, error) {
	e, err := open(text)
	if err != nil {
		return nil, Password{}, err
	}
	passwords := k.Passwords()
	if len(passwords) == 0 {
		return nil, Password{}, ErrNoPassword
	}
	slices.SortStableFunc(passwords, func(a, b Password) int { return e.rank(a) - e.rank(b) })
	for _, password := range passwords {
		plain, err := e.with(password.text)
		if err == nil || !errors.Is(err, errOtherPassword) {
			return plain, password, err
		}
	}
	return nil, Password{}, e.noneFits(passwords)
}

// rank is smaller for what is tried earlier.
func (e envelope) rank(p Password) int {
	if e.id != "" && p.ID == e.id {
		return 0
	}
	return 1
}

func (e envelope) noneFits(tried []Password) error {
	ids := make([]string, len(tried))
	for i, p := range tried {
		ids[i] = p.ID
	}
	what := "encrypted with ansible-vault"
	if e.id != "" {
		what += " under the id " + e.id
	}
	return fmt.Errorf("%s, and no vault password fits (tried: %s), or the content was altered", what, strings.Join(ids, ", "))
}

// Learn remembers a text as secret.
func (k *Keyring) Learn(secret string) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.learned = append(k.learned, secret)
	if k.listener != nil {
		k.listener(secret)
	}
}

// Each visits every secret learned so far.
func (k *Keyring) Each(f func(secret string)) {
	if k == nil {
		return
	}
	k.mu.Lock()
	learned := slices.Clone(k.learned)
	k.mu.Unlock()
	for _, secret := range learned {
		f(secret)
	}
}

// Listen calls f with every secret learned so far and, until the next call of
// Listen, with each that comes; nil ends that. f must not use the keyring.
func (k *Keyring) Listen(f func(secret string)) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listener = f
	if f == nil {
		return
	}
	for _, secret := range k.learned {
		f(secret)
	}
}

// Parse reads YAML that may be encrypted, as a whole or in values tagged !vault.
// The text of a plain file is put into sources; that of an encrypted one never
// is, so that no finding can quote it. What was encrypted is learned as secret.
// Errors are findings with a place.
func (k *Keyring) Parse(file string, text []byte, sources *diag.Sources) (*syntax.Node, error) {
	if !IsEncrypted(text) {
		if sources != nil {
			sources.Add(file, text)
		}
		node, err := syntax.Parse(file, text)
		if err != nil {
			return nil, err
		}
		return node, node.Reveal(k.reveal)
	}
	plain, err := k.Decrypt(text)
	if err != nil {
		return nil, finding(firstPlace(file), "this file is ", err)
	}
	node, err := syntax.Parse(file, plain)
	if err != nil {
		return nil, quiet(file, err)
	}
	if err := node.Reveal(k.reveal); err != nil {
		return nil, err
	}
	node.MarkSecret(k.Learn)
	return node, nil
}

// File decrypts the content of a file when it is encrypted. The caller has it
// learned, or shows nothing of it.
func (k *Keyring) File(file string, content []byte) (plain []byte, encrypted bool, err error) {
	if !IsEncrypted(content) {
		return content, false, nil
	}
	plain, err = k.Decrypt(content)
	if err != nil {
		return nil, true, finding(firstPlace(file), "this file is ", err)
	}
	return plain, true, nil
}

// reveal decrypts one value tagged !vault.
func (k *Keyring) reveal(n *syntax.Node) (string, error) {
	plain, err := k.Decrypt([]byte(n.Text))
	if err != nil {
		return "", finding(n.Range, "this value is ", err)
	}
	k.Learn(string(plain))
	return string(plain), nil
}

// finding puts a fault at its place, and says what to do.
func finding(at diag.Range, subject string, err error) error {
	damaged := (*FormatError)(nil)
	if errors.As(err, &damaged) {
		return diag.New(at, "%v", err).WithHint("encrypt it again, or take it from a backup")
	}
	d := diag.New(at, "%s%v", subject, err)
	if errors.Is(err, ErrNoPassword) {
		d = d.WithHint(NoPasswordHint)
	}
	return d.WithCause(err)
}

func firstPlace(file string) diag.Range {
	first := diag.Pos{Line: 1, Column: 1}
	return diag.Range{File: file, Start: first, End: first}
}

// quiet keeps of a YAML fault its place: its words may quote what was encrypted.
func quiet(file string, err error) error {
	at := diag.Range{File: file}
	if d, ok := errors.AsType[diag.Diagnostic](err); ok {
		at = d.Range
	}
	return diag.New(at, "what is encrypted here is no YAML (line and column are those of the decrypted text)").
		WithHint("rbdplay vault edit " + file)
}
