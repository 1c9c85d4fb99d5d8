package lookup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/expression"
)

// nowhere is the name under which a password is not kept.
const nowhere = "/dev/null"

// password gives passwords that are kept in files of the controller, and makes
// those that are not there yet. In check mode, and where no task asks, nothing is
// written: what would be made is not known.
func password(c *call) ([]any, error) {
	terms, err := c.texts("names of files")
	if err != nil {
		return nil, err
	}
	return each(terms, func(term string) (any, error) {
		p, err := c.readPassword(term)
		if err != nil {
			return nil, err
		}
		return p.value()
	})
}

// passwordFile is one password, as asked for.
type passwordFile struct {
	*call
	name     string // absolute
	length   int
	alphabet string
	seed     any
	hash     expression.PasswordHash // Kind is "" where the password itself is wanted
}

func (c *call) readPassword(term string) (*passwordFile, error) {
	name, inner, err := c.inTerm(term, "length", "chars", "encrypt", "ident", "seed")
	if err != nil {
		return nil, err
	}
	p := &passwordFile{call: inner, seed: inner.options["seed"]}
	p.hash = expression.PasswordHash{Kind: inner.text("encrypt", ""), Ident: inner.text("ident", "")}
	if _, known := p.hash.Canonical(); p.hash.Kind != "" && !known {
		return nil, fmt.Errorf("knows no encryption %q; there are sha512_crypt, sha256_crypt, md5_crypt and bcrypt", p.hash.Kind)
	}
	if p.length, err = strconv.Atoi(inner.text("length", "20")); err != nil || p.length < 1 || p.length > 1<<16 {
		return nil, fmt.Errorf("wants a number of characters for length, not %s", shown(inner.options["length"]))
	}
	if p.alphabet = alphabetOf(inner.options["chars"]); p.alphabet == "" {
		return nil, errors.New("has no characters to choose from")
	}
	p.name, err = c.passwordPath(name)
	return p, err
}

func (c *call) passwordPath(name string) (string, error) {
	if name == "" {
		return "", errors.New("wants the name of a file")
	}
	if name = c.home(name); path.IsAbs(name) {
		return path.Clean(name), nil
	}
	asker, err := AskerOf(c.scope)
	if err != nil {
		return "", err
	}
	if asker.Dir() == "" {
		return "", fmt.Errorf("cannot keep %s in an embedded playbook; give an absolute path", name)
	}
	return path.Join(asker.Dir(), name), nil
}

// alphabets are the names that Python's module string has for characters.
var alphabets = map[string]string{
	"ascii_letters": lower + upper, "ascii_lowercase": lower, "ascii_uppercase": upper,
	"digits": "0123456789", "hexdigits": "0123456789abcdefABCDEF", "octdigits": "01234567",
	"punctuation": punctuation, "whitespace": blanks, "printable": "0123456789" + lower + upper + punctuation + blanks,
}

const (
	lower       = "abcdefghijklmnopqrstuvwxyz"
	upper       = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// alphabetOf is the characters named by chars. Quotes are never among them; two
// commas stand for one.
func alphabetOf(chars any) string {
	parts := asList(chars)
	if text, ok := chars.(string); ok {
		parts = nil
		if strings.Contains(text, ",,") {
			parts = append(parts, ",")
		}
		for part := range strings.SplitSeq(strings.ReplaceAll(text, ",,", ","), ",") {
			parts = append(parts, part)
		}
	}
	if parts == nil {
		parts = []any{"ascii_letters", "digits", ".", ",", ":", "-", "_"}
	}
	var b strings.Builder
	for _, part := range parts {
		text := expression.Text(part)
		if named, ok := alphabets[text]; ok {
			text = named
		}
		b.WriteString(text)
	}
	return strings.NewReplacer(`"`, "", `'`, "").Replace(b.String())
}

// value is the password, or its hash.
func (p *passwordFile) value() (any, error) {
	p.passwords.Lock()
	defer p.passwords.Unlock()
	if p.name == nowhere {
		plain, err := p.generate()
		if err != nil {
			return nil, err
		}
		return p.shape(plain)
	}
	plain, there, err := p.kept()
	if err != nil {
		return nil, err
	}
	if there && (p.hash.Kind == "" || p.hash.Salt != "") {
		return p.shape(plain)
	}
	return p.keep(plain, there)
}

// keep writes a password that is new, or the salt that it lacks.
func (p *passwordFile) keep(plain string, there bool) (any, error) {
	writes, err := p.mayWrite()
	if err != nil {
		return nil, err
	}
	if !writes {
		return expression.Unknown{Reason: "the password that the lookup would put into " + p.name}, nil
	}
	write := p.controller.Replace
	if !there {
		write = p.controller.Create
		if plain, err = p.generate(); err != nil {
			return nil, err
		}
	}
	content := plain
	if p.hash.Kind != "" {
		p.hash.Salt = p.hash.NewSalt()
		content += " salt=" + p.hash.Salt
		if kind, _ := p.hash.Canonical(); kind == "bcrypt" {
			if p.hash.Ident == "" {
				p.hash.Ident = "2b"
			}
			content += " ident=" + p.hash.Ident
		}
	}
	err = write(p.name, []byte(content+"\n"))
	if errors.Is(err, fs.ErrExist) && !there { // another rbdplay was first
		if plain, there, err = p.kept(); err == nil && !there {
			err = fmt.Errorf("%s comes and goes", p.name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot keep the password: %w", err)
	}
	return p.shape(plain)
}

// mayWrite reports whether a task asks, and is no mere check.
func (p *passwordFile) mayWrite() (bool, error) {
	asker, err := AskerOf(p.scope)
	if err != nil {
		return false, nil //nolint:nilerr // nobody asks, so nothing is written
	}
	return asker.Writes(p.ctx, p.scope)
}

// kept reads the file: the password, perhaps "salt=…" and "ident=…".
func (p *passwordFile) kept() (plain string, there bool, err error) {
	text, _, err := p.read("", p.name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	plain = strings.TrimRight(text, blanks)
	at := strings.LastIndex(plain, " salt=")
	if at < 0 {
		return plain, true, nil
	}
	salt, ident, _ := strings.Cut(plain[at+len(" salt="):], " ident=")
	p.hash.Salt = salt
	if p.hash.Ident == "" {
		p.hash.Ident = ident
	}
	return plain[:at], true, nil
}

func (p *passwordFile) generate() (string, error) {
	if p.seed == nil {
		return expression.RandomText(p.length, p.alphabet), nil
	}
	random, err := expression.NewRandom(p.seed)
	if err != nil {
		return "", err
	}
	letters := []rune(p.alphabet)
	var b strings.Builder
	for range p.length {
		b.WriteRune(letters[random.Below(len(letters))])
	}
	return b.String(), nil
}

func (p *passwordFile) shape(plain string) (any, error) {
	if p.hash.Kind == "" {
		return plain, nil
	}
	return p.hash.Hash(plain)
}
