package expression

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/go-crypt/x/bcrypt"
	"github.com/go-crypt/x/crypt"
)

// PasswordHash says how a password is hashed. What is not set is as in Ansible.
type PasswordHash struct {
	Kind   string // sha512, sha256, md5, bcrypt (blowfish), or the names of passlib
	Salt   string // "" makes one
	Rounds int
	Ident  string // of bcrypt: 2a, 2b or 2y
}

// passwordKind is one way of hashing; rounds is what is used when none are asked
// for, and salt the length of the salt.
type passwordKind struct {
	rounds, least, most int
	salt                int
	exact               bool
	make                func(password string, h PasswordHash) (string, error)
}

var passwordKinds = map[string]passwordKind{
	"md5_crypt":    {salt: 8, make: md5Crypt},
	"sha256_crypt": {rounds: 535000, least: 1000, most: 999999999, salt: 16, make: shaCrypt("5", sha256.New)},
	"sha512_crypt": {rounds: 656000, least: 1000, most: 999999999, salt: 16, make: shaCrypt("6", sha512.New)},
	"bcrypt":       {rounds: 12, least: 4, most: 31, salt: 22, exact: true, make: bCrypt},
}

var passwordAliases = map[string]string{"md5": "md5_crypt", "sha256": "sha256_crypt", "sha512": "sha512_crypt", "blowfish": "bcrypt"}

const saltAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Canonical is the full name of a kind, and whether there is such a kind.
func (h PasswordHash) Canonical() (string, bool) {
	kind := h.Kind
	if alias, ok := passwordAliases[kind]; ok {
		kind = alias
	}
	_, ok := passwordKinds[kind]
	return kind, ok
}

// NewSalt makes a salt of the length that the kind wants.
func (h PasswordHash) NewSalt() string {
	kind, _ := h.Canonical()
	return RandomText(passwordKinds[kind].salt, saltAlphabet)
}

// RandomText is text of random characters of an alphabet, good for secrets.
func RandomText(length int, alphabet string) string {
	letters := []rune(alphabet)
	text := make([]rune, 0, length)
	fair := 1 << 16 / len(letters) * len(letters) // beyond it some letters would come more often
	for b := make([]byte, 2); len(text) < length; {
		rand.Read(b) // never fails
		if n := int(b[0])<<8 | int(b[1]); n < fair {
			text = append(text, letters[n%len(letters)])
		}
	}
	return string(text)
}

// Hash is the password as crypt(3) writes it. No error holds the password.
func (h PasswordHash) Hash(password string) (string, error) {
	name, ok := h.Canonical()
	if !ok {
		return "", fmt.Errorf("the hash %q is not supported; known are sha512, sha256, md5 and bcrypt", h.Kind)
	}
	kind := passwordKinds[name]
	switch {
	case h.Salt == "":
		h.Salt = h.NewSalt()
	case strings.Trim(h.Salt, saltAlphabet) != "":
		return "", errors.New("a salt has only letters, digits, '.' and '/'")
	case kind.exact && len(h.Salt) != kind.salt:
		return "", fmt.Errorf("a salt of %s has %d characters, found %d", name, kind.salt, len(h.Salt))
	case len(h.Salt) > kind.salt:
		return "", fmt.Errorf("a salt of %s has at most %d characters, found %d", name, kind.salt, len(h.Salt))
	}
	switch {
	case h.Rounds == 0:
		h.Rounds = kind.rounds
	case kind.most == 0:
		return "", fmt.Errorf("%s has no rounds", name)
	case h.Rounds < kind.least || h.Rounds > kind.most:
		return "", fmt.Errorf("the rounds of %s are from %d to %d, found %d", name, kind.least, kind.most, h.Rounds)
	}
	if strings.ContainsRune(password, 0) {
		return "", errors.New("a password cannot hold a zero byte")
	}
	return kind.make(password, h)
}

func md5Crypt(password string, h PasswordHash) (string, error) {
	return "$1$" + h.Salt + "$" + string(crypt.KeyMD5Crypt([]byte(password), []byte(h.Salt))), nil
}

// shaCrypt leaves 5000 rounds out, which are meant where none are written.
func shaCrypt(ident string, digest func() hash.Hash) func(string, PasswordHash) (string, error) {
	return func(password string, h PasswordHash) (string, error) {
		rounds := ""
		if h.Rounds != 5000 {
			rounds = fmt.Sprintf("rounds=%d$", h.Rounds)
		}
		key := crypt.KeySHACrypt(digest, []byte(password), []byte(h.Salt), h.Rounds)
		return "$" + ident + "$" + rounds + h.Salt + "$" + string(key), nil
	}
}

func bCrypt(password string, h PasswordHash) (string, error) {
	if h.Ident == "" {
		h.Ident = "2b"
	}
	if !slices.Contains([]string{"2a", "2b", "2y"}, h.Ident) {
		return "", fmt.Errorf("the ident of bcrypt is 2a, 2b or 2y, found %q", h.Ident)
	}
	if len(password) > 72 {
		password = password[:72] // bcrypt reads no further, and other programs cut it so
	}
	salt, err := bcrypt.Base64Decode([]byte(h.Salt))
	if err != nil {
		return "", errors.New("the salt is none of bcrypt's")
	}
	key, err := bcrypt.Key([]byte(password), salt, h.Rounds)
	if err != nil {
		return "", fmt.Errorf("bcrypt: %w", err)
	}
	return fmt.Sprintf("$%s$%02d$%s%s", h.Ident, h.Rounds, bcrypt.Base64Encode(salt), key), nil
}

func passwordHashFilter(c *Call) (any, error) {
	password, ok := c.Input.(string)
	if !ok {
		return nil, fmt.Errorf("expected a password as text, found %s", nameWithArticle(c.Input))
	}
	h := PasswordHash{Kind: Text(c.Args[0])}
	if Truthy(c.Args[1]) {
		h.Salt = Text(c.Args[1])
	}
	if Truthy(c.Args[4]) {
		h.Ident = Text(c.Args[4])
	}
	if Truthy(c.Args[2]) && h.Salt == "" {
		size, err := intArgument(c, 2)
		if err != nil {
			return nil, err
		}
		if size < 1 || size > 22 {
			return nil, fmt.Errorf("salt_size is from 1 to 22, found %d", size)
		}
		h.Salt = RandomText(size, saltAlphabet)
	}
	if Truthy(c.Args[3]) {
		rounds, err := intArgument(c, 3)
		if err != nil {
			return nil, err
		}
		h.Rounds = rounds
	}
	return h.Hash(password)
}
