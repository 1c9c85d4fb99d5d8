// Package vault reads and writes what ansible-vault encrypts: whole files and
// !vault texts in YAML, formats 1.1 and 1.2 (with an id), AES256.
//
// What it decrypts it remembers, so that every sink can hide it by value. No
// error of this package holds content or a password.
package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
)

const (
	magic     = "$ANSIBLE_VAULT"
	rounds    = 10_000
	keyLength = 32
	saltSize  = 32
	lineWidth = 80
)

// HeaderSize is how many bytes IsEncrypted wants to see.
const HeaderSize = len(magic) + 1

// IsEncrypted reports whether data begins as a vault does.
func IsEncrypted(data []byte) bool { return bytes.HasPrefix(data, []byte(magic+";")) }

// FormatError says that a vault is damaged: it is no wrong password.
type FormatError struct {
	Line    int // counted from 1 within the vault's text; 0 when it is about all of it
	Problem string
}

func (e *FormatError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("the vault is damaged: line %d of it %s", e.Line, e.Problem)
	}
	return "the vault is damaged: it " + e.Problem
}

// envelope is a vault taken apart.
type envelope struct {
	id                    string // of format 1.2; "" in 1.1
	salt, sum, enciphered []byte
}

var idForm = lazy.Regexp(`^[^;\s]+$`)

// header reads the first line.
func header(line string) (id string, err error) {
	fields := strings.Split(strings.TrimSpace(line), ";")
	switch {
	case fields[0] != magic || len(fields) < 3:
		return "", &FormatError{1, "is no header such as " + magic + ";1.1;AES256"}
	case fields[2] != "AES256":
		return "", &FormatError{1, "names another cipher than AES256"}
	case fields[1] == "1.1" && len(fields) == 3:
		return "", nil
	case fields[1] == "1.2" && len(fields) == 4 && idForm().MatchString(fields[3]):
		return fields[3], nil
	case fields[1] == "1.1" || fields[1] == "1.2":
		return "", &FormatError{1, "does not have the fields of format " + fields[1]}
	}
	return "", &FormatError{1, "names another format than 1.1 and 1.2"}
}

// open takes a vault's text apart. Blanks around lines are let go: an inline
// vault may keep its indentation.
func open(text []byte) (envelope, error) {
	first, rest, _ := strings.Cut(string(bytes.TrimSpace(text)), "\n")
	id, err := header(first)
	if err != nil {
		return envelope{}, err
	}
	e := envelope{id: id}
	var body []byte
	number := 1
	for line := range strings.Lines(rest) {
		number++
		part, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			return e, &FormatError{number, "is not hexadecimal"}
		}
		body = append(body, part...)
	}
	parts := bytes.Split(body, []byte("\n"))
	if len(parts) != 3 {
		return e, &FormatError{0, "does not hold salt, checksum and content; a part of it may be missing"}
	}
	for i, into := range []*[]byte{&e.salt, &e.sum, &e.enciphered} {
		*into, err = hex.DecodeString(string(parts[i]))
		if err != nil || len(*into) == 0 {
			return e, &FormatError{0, "does not hold salt, checksum and content in hexadecimal"}
		}
	}
	if len(e.sum) != sha256.Size || len(e.enciphered)%aes.BlockSize != 0 {
		return e, &FormatError{0, "has a checksum or a content of the wrong length; a part of it may be missing"}
	}
	return e, nil
}

// keys are what a password and a salt give.
type keys struct{ cipher, sum, counter []byte }

func derive(password string, salt []byte) (keys, error) {
	all, err := pbkdf2.Key(sha256.New, password, salt, rounds, 2*keyLength+aes.BlockSize)
	if err != nil {
		return keys{}, fmt.Errorf("deriving the key: %w", err)
	}
	return keys{all[:keyLength], all[keyLength : 2*keyLength], all[2*keyLength:]}, nil
}

// apply enciphers or deciphers: with a counter both are the same.
func (k keys) apply(data []byte) ([]byte, error) {
	block, err := aes.NewCipher(k.cipher)
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(data))
	cipher.NewCTR(block, k.counter).XORKeyStream(out, data)
	return out, nil
}

func (k keys) checksum(enciphered []byte) []byte {
	mac := hmac.New(sha256.New, k.sum)
	mac.Write(enciphered)
	return mac.Sum(nil)
}

var errOtherPassword = errors.New("the password does not fit")

// with deciphers by one password.
func (e envelope) with(password string) ([]byte, error) {
	k, err := derive(password, e.salt)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(k.checksum(e.enciphered), e.sum) {
		return nil, errOtherPassword
	}
	plain, err := k.apply(e.enciphered)
	if err != nil {
		return nil, err
	}
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > aes.BlockSize || padding > len(plain) {
		return nil, &FormatError{0, "has a content that does not end as it should"}
	}
	return plain[:len(plain)-padding], nil
}

// Encrypt makes a vault of data: format 1.2 with an id, 1.1 without one or with
// the id "default", as ansible-vault does.
func Encrypt(data []byte, password Password) ([]byte, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	return encrypt(data, password, salt)
}

// EncryptSalted is Encrypt with a salt that is given, so that the same data makes
// the same vault.
func EncryptSalted(data []byte, password Password, salt []byte) ([]byte, error) {
	return encrypt(data, password, salt)
}

func encrypt(data []byte, password Password, salt []byte) ([]byte, error) {
	if password.text == "" {
		return nil, errors.New("the vault password is empty")
	}
	k, err := derive(password.text, salt)
	if err != nil {
		return nil, err
	}
	padding := aes.BlockSize - len(data)%aes.BlockSize
	padded := append(bytes.Clone(data), bytes.Repeat([]byte{byte(padding)}, padding)...)
	enciphered, err := k.apply(padded)
	if err != nil {
		return nil, err
	}
	inner := strings.Join([]string{hex.EncodeToString(salt), hex.EncodeToString(k.checksum(enciphered)), hex.EncodeToString(enciphered)}, "\n")
	return wrap(password.ID, hex.EncodeToString([]byte(inner))), nil
}

// wrap puts the header before the body, which it breaks into lines.
func wrap(id, body string) []byte {
	var out bytes.Buffer
	if id == "" || id == DefaultID {
		out.WriteString(magic + ";1.1;AES256\n")
	} else {
		out.WriteString(magic + ";1.2;AES256;" + id + "\n")
	}
	for len(body) > 0 {
		n := min(len(body), lineWidth)
		out.WriteString(body[:n] + "\n")
		body = body[n:]
	}
	return out.Bytes()
}
