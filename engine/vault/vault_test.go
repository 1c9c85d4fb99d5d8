package vault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// The vectors in testdata were made by Debian's ansible-vault 2.14.
func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func password(t testing.TB, id, file string) Password {
	t.Helper()
	p, err := NewPassword(id, strings.TrimSpace(string(read(t, file))))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatAnsibleVaultWrote(t *testing.T) {
	keys := NewKeyring(password(t, "prod", "password"), password(t, "dev", "password.dev"))
	for file, want := range map[string][]byte{
		"1.1.yml": read(t, "plain.yml"), "1.2.yml": read(t, "plain.yml"), "empty.vault": {}, "binary.vault": read(t, "binary"),
	} {
		got, err := keys.Decrypt(read(t, file))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, %v", file, got, err)
		}
	}
}

// The same salt must give the same bytes as ansible-vault's.
func TestEncryptIsByteForByteAnsibleVaults(t *testing.T) {
	for _, one := range []struct{ file, plain, id, password string }{
		{"1.1.yml", "plain.yml", DefaultID, "password"}, {"1.2.yml", "plain.yml", "dev", "password.dev"}, {"binary.vault", "binary", DefaultID, "password"},
	} {
		text := read(t, one.file)
		e, err := open(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := encrypt(read(t, one.plain), password(t, one.id, one.password), e.salt)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: got %s, %v", one.file, got, err)
		}
	}
}

func TestTheMatchingIDIsTriedFirst(t *testing.T) {
	right := password(t, "dev", "password.dev")
	e, err := open(read(t, "1.2.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if e.rank(right) >= e.rank(password(t, "prod", "password")) {
		t.Error("the password of the vault's id is not tried first")
	}
	_, used, err := NewKeyring(password(t, "prod", "password"), right).Open(read(t, "1.2.yml"))
	if err != nil || used.ID != "dev" {
		t.Errorf("got %v, %v", used, err)
	}
}

func TestFaults(t *testing.T) {
	whole := string(read(t, "1.2.yml"))
	lines := strings.SplitAfter(whole, "\n")
	keys := NewKeyring(password(t, "dev", "password.dev"))
	for _, one := range []struct {
		text, want string
		keys       *Keyring
	}{
		{whole, "no vault password was given", nil},
		{whole, "under the id dev, and no vault password fits (tried: prod)", NewKeyring(password(t, "prod", "password"))},
		{"$ANSIBLE_VAULT;1.0;AES256\n00\n", "line 1 of it names another format", keys},
		{"$ANSIBLE_VAULT;1.1;AES\n00\n", "names another cipher", keys},
		{"$ANSIBLE_VAULT;1.2;AES256\n00\n", "does not have the fields of format 1.2", keys},
		{lines[0] + "zz\n", "line 2 of it is not hexadecimal", keys},
		{lines[0] + lines[1], "a part of it may be missing", keys},
		{strings.Join(lines[:len(lines)-2], ""), "damaged", keys},
	} {
		_, err := one.keys.Decrypt([]byte(one.text))
		if err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("got %v, want …%s…", err, one.want)
		}
	}
}

func TestParse(t *testing.T) {
	keys := NewKeyring(password(t, DefaultID, "password"), password(t, "dev", "password.dev"))
	sources := &diag.Sources{}
	var learned []string
	keys.Listen(func(secret string) { learned = append(learned, secret) })
	for _, file := range []string{"1.1.yml", "inline.yml"} {
		node, err := keys.Parse(file, read(t, file), sources)
		if err != nil {
			t.Fatal(err)
		}
		value, err := node.Decode()
		t.Log(value)
		if err != nil {
			t.Error(err)
		}
		if file == "inline.yml" {
			if got := fmt.Sprint(value); got != "map[a:plain word:inline-word]" {
				t.Errorf("got %s", got)
			}
		}
	}
	slices.Sort(learned)
	if want := []string{"5", "a1b2c3d4", "inline-word", "s3cr3t-token"}; !slices.Equal(learned, want) {
		t.Errorf("learned %q, want %q", learned, want)
	}
	_, err := (*Keyring)(nil).Parse("inline.yml", read(t, "inline.yml"), nil)
	if err == nil || !strings.Contains(err.Error(), "inline.yml:2:") || !errors.Is(err, ErrNoPassword) {
		t.Errorf("got %v", err)
	}
}

// A finding about what was encrypted never quotes it.
func TestFindingsKeepTheSecret(t *testing.T) {
	p := password(t, DefaultID, "password")
	for _, plain := range []string{"a: !!int swordfish1\n", "a: [swordfish1\n", "swordfish1: 1\nswordfish1: 2\n", "a: !swordfish1 x\n"} {
		text, err := Encrypt([]byte(plain), p)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewKeyring(p).Parse("f.yml", text, &diag.Sources{})
		if err == nil || strings.Contains(fmt.Sprintf("%+v", err), "swordfish1") {
			t.Errorf("%q: got %+v", plain, err)
		}
	}
	if got := fmt.Sprintf("%v %+v %s %#v", p, p, p, p); strings.Contains(got, "swordfish") {
		t.Errorf("a password prints itself: %s", got)
	}
}

func TestWhatIsEncryptedCanBeDecrypted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")
		p, err := NewPassword(rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "id"), rapid.StringN(1, 20, -1).Draw(t, "password"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := Encrypt(data, p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := NewKeyring(p).Decrypt(text)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("got %q, %v", got, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, name := range []string{"1.1.yml", "1.2.yml", "empty.vault"} {
		f.Add(read(f, name))
	}
	f.Add([]byte("$ANSIBLE_VAULT;1.1;AES256\n0a0a\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := open(text)
		damaged := (*FormatError)(nil)
		if err != nil && !errors.As(err, &damaged) {
			t.Errorf("got %T %v", err, err)
		}
		if err == nil && (len(e.enciphered) == 0 || len(e.salt) == 0) {
			t.Errorf("got %+v without an error", e)
		}
	})
}
