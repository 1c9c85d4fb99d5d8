package sys_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// summedText is a content whose digests are known.
type summedText struct {
	textOf

	sums sys.Digests
}

func (s summedText) SHA256() string { return s.sums.SHA256 }
func (s summedText) SHA1() string   { return s.sums.SHA1 }

// A digest that came with the content is remembered, not worked out again; the one
// that guards the content is.
func TestDigestThatCameAlong(t *testing.T) {
	text := textOf(bytes.Repeat([]byte("0123456789abcdef"), 1<<20))
	sum := sha256.Sum256([]byte(text))
	want := sys.Digests{SHA1: "told", SHA256: hex.EncodeToString(sum[:])}
	ctx := sys.WithMemory(t.Context(), &sys.Memory{})
	path := filepath.Join(t.TempDir(), "file")
	host := sys.NewReal()
	if err := host.Change().Files().Write(ctx, path, summedText{text, want}, sys.Attributes{}); err != nil {
		t.Fatal(err)
	}
	if got, known := written(ctx, t, host, path); !known || got != want {
		t.Errorf("got %v, %v", got, known)
	}
	broken := summedText{text, sys.Digests{SHA1: "told", SHA256: "other"}}
	if err := host.Change().Files().Write(ctx, path, broken, sys.Attributes{}); err == nil {
		t.Error("a content that is not what it claims to be was written")
	}
}

// What was written into a large file is known until anything touches it.
func TestDigestsOfWhatWasWritten(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	one, two := sha1.Sum(content), sha256.Sum256(content)
	want := sys.Digests{SHA1: hex.EncodeToString(one[:]), SHA256: hex.EncodeToString(two[:])}
	for name, test := range map[string]struct {
		size   int
		forget bool
		touch  func(path string) error
		known  bool
	}{
		"left alone":         {size: len(content), known: true},
		"no memory":          {size: len(content), forget: true},
		"small":              {size: 4096},
		"a byte changed":     {size: len(content), touch: changeByte},
		"changed, time kept": {size: len(content), touch: changeAndKeepTime},
		"appended":           {size: len(content), touch: appendByte},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if !test.forget {
				ctx = sys.WithMemory(ctx, &sys.Memory{})
			}
			path := filepath.Join(t.TempDir(), "file")
			host := sys.NewReal()
			if err := host.Change().Files().Write(ctx, path, textOf(content[:test.size]), sys.Attributes{}); err != nil {
				t.Fatal(err)
			}
			if test.touch != nil {
				if err := test.touch(path); err != nil {
					t.Fatal(err)
				}
			}
			got, known := written(ctx, t, host, path)
			if known != test.known || known && got != want {
				t.Errorf("got %v, %v", got, known)
			}
		})
	}
}

func written(ctx context.Context, t *testing.T, host sys.Host, path string) (sys.Digests, bool) {
	t.Helper()
	info, err := host.Files().Lstat(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	return sys.Written(ctx, info)
}

func changeByte(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte("x"), 5)
	return err
}

func changeAndKeepTime(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := changeByte(path); err != nil {
		return err
	}
	return os.Chtimes(path, info.ModTime(), info.ModTime())
}

func appendByte(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("x")
	return err
}
