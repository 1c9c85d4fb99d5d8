package agent

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The banner is the first thing that an agent says. What a login shell prints
// before it is noise, kept for messages.
const (
	magic           = "\x1brbdplay-agent\x1b"
	protocolVersion = 1
	bootstrapMagic  = "rbdplay-bootstrap:"
	noiseLimit      = 64 << 10
)

func banner(build string) string {
	return fmt.Sprintf("%s %d %s\n", magic, protocolVersion, build)
}

// Digest says which program a file is: an agent announces its own in the banner,
// and the controller compares it with the one that it sent.
func Digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // read only
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("digest of %s: %w", file, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Build says which program runs. A program in a host's cache was given its digest
// as its name once its bytes had been checked, in a folder that nobody else can
// change: hashing itself again would be a third of what a start costs. One with
// another name is hashed.
func Build() (string, error) {
	file, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("which program this is: %w", err)
	}
	if digest, ok := strings.CutPrefix(filepath.Base(file), programPrefix); ok {
		if raw, err := hex.DecodeString(digest); err == nil && len(raw) == sha256.Size {
			return digest, nil
		}
	}
	return Digest("/proc/self/exe")
}

// Folder is where the program lies in a host's cache; "" for one that lies elsewhere.
func Folder() (string, error) {
	file, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("which program this is: %w", err)
	}
	if !strings.HasPrefix(filepath.Base(file), programPrefix) {
		return "", nil
	}
	return filepath.Dir(file), nil
}

// greeting is what came first from the host: a banner or an answer of the
// bootstrap script.
type greeting struct {
	noise   string // what was printed before it
	version int    // of the protocol, for a banner
	build   string
	answer  string // of the bootstrap script, "" for a banner
}

// readGreeting reads lines until one that is ours.
func readGreeting(r *bufio.Reader) (greeting, error) {
	var g greeting
	for {
		line, err := readLine(r, noiseLimit-len(g.noise))
		if before, after, ok := strings.Cut(line, magic); ok && err == nil {
			g.noise += before
			return g, g.parseBanner(after)
		}
		if before, after, ok := strings.Cut(line, bootstrapMagic); ok && err == nil {
			g.noise += before
			g.answer = strings.TrimSpace(after)
			return g, nil
		}
		g.noise += line
		if err != nil {
			return g, err
		}
	}
}

func (g *greeting) parseBanner(rest string) error {
	fields := strings.Fields(rest)
	if len(fields) != 2 {
		return fmt.Errorf("the agent's banner %q is damaged", rest)
	}
	version, err := strconv.Atoi(fields[0])
	if err != nil {
		return fmt.Errorf("the agent's banner %q is damaged: %w", rest, err)
	}
	g.version, g.build = version, fields[1]
	return nil
}

var errNoise = errors.New("the login shell printed more than 64 KiB before the agent started")

// readLine reads a line of at most limit bytes, with its end.
func readLine(r *bufio.Reader, limit int) (string, error) {
	var line strings.Builder
	for {
		part, err := r.ReadSlice('\n')
		line.Write(part)
		switch {
		case line.Len() > limit:
			return line.String()[:limit], errNoise
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && line.Len() > 0:
			return line.String(), io.ErrUnexpectedEOF
		}
		return line.String(), err
	}
}
