package sys_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// summedText is a content whose digests are known.
type summedText struct {
	textOf

	sums sys.Digests
	crc  uint32
}

func (s summedText) SHA256() string         { return s.sums.SHA256 }
func (s summedText) Sums() (string, uint32) { return s.sums.SHA1, s.crc }

// What came with the content is remembered, not worked out again; what guards the
// content is: the CRC if it has one, or else the SHA-256.
func TestDigestsThatCameAlong(t *testing.T) {
	text := textOf(bytes.Repeat([]byte("0123456789abcdef"), 1<<20))
	sum := sha256.Sum256([]byte(text))
	right, crc := hex.EncodeToString(sum[:]), crc32.Checksum([]byte(text), sys.Castagnoli)
	for name, tt := range map[string]struct {
		content summedText
		want    string // in the error; "" for none
	}{
		"by SHA-256":    {content: summedText{text, sys.Digests{SHA1: "told", SHA256: right}, 0}},
		"by CRC":        {content: summedText{text, sys.Digests{SHA1: "told", SHA256: "told"}, crc}},
		"wrong SHA-256": {summedText{text, sys.Digests{SHA1: "told", SHA256: "other"}, 0}, "should have the sha256 other"},
		"wrong CRC":     {summedText{text, sys.Digests{SHA1: "told", SHA256: right}, crc + 1}, "should have the CRC-32C"},
		"short":         {summedText{text[1:], sys.Digests{SHA1: "told", SHA256: right}, crc}, "should have the CRC-32C"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := sys.WithMemory(t.Context(), &sys.Memory{})
			path := filepath.Join(t.TempDir(), "file")
			host := sys.NewReal()
			err := host.Change().Files().Write(ctx, path, tt.content, sys.Attributes{})
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				if names, _ := os.ReadDir(filepath.Dir(path)); len(names) > 0 {
					t.Errorf("after %v there is %v", err, names)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got, known := written(ctx, t, host, path); !known || got != tt.content.sums {
				t.Errorf("got %v, %v", got, known)
			}
		})
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
