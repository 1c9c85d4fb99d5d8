package agent

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
)

// Program is an agent built for one architecture.
type Program struct {
	Gzip   []byte
	XZ     []byte // nil: it was built where there is no xz
	SHA256 string // of the program itself, hex
}

// Packed gives the program as a host can unpack it: packing is "xz", "gzip" or
// "plain", the best that the host has. It also says which packing it really is.
func (p Program) Packed(packing string) (content []byte, really string, err error) {
	switch {
	case packing == packedXZ && p.XZ != nil:
		return p.XZ, packedXZ, nil
	case packing == packedXZ || packing == packedGzip: // who has xz has gzip: the script sees to it
		return p.Gzip, packedGzip, nil
	}
	content, err = p.Plain()
	return content, packedNot, err
}

// The packings, as the start script names them.
const (
	packedXZ   = "xz"
	packedGzip = "gzip"
	packedNot  = "plain"
)

// Plain returns the program unpacked.
func (p Program) Plain() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(p.Gzip))
	if err != nil {
		return nil, fmt.Errorf("agent program: %w", err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("agent program: %w", err)
	}
	return plain, nil
}

// Programs finds the agent for an architecture by Go's name for it. Agents run
// on Linux only.
type Programs interface {
	Program(architecture string) (Program, error)
	Digest(architecture string) (string, error) // Program's SHA256, without the program
	Architectures() []string                    // those it has, sorted
}

// ProgramsIn finds programs named rbdplay-agent-linux-ARCH.gz in a folder, with
// .xz beside them where there is one. What .sha256 says spares unpacking it just
// to know its digest; the host checks it after all.
func ProgramsIn(files fs.FS, folder string) Programs {
	return &programFolder{files: files, folder: folder, known: map[string]Program{}}
}

type programFolder struct {
	files  fs.FS
	folder string

	mu    sync.Mutex
	known map[string]Program
}

// ErrNoProgram says that this rbdplay holds no agent for an architecture.
var ErrNoProgram = errors.New("no agent program")

func (p *programFolder) Architectures() []string {
	var found []string
	for _, architecture := range []string{"amd64", "arm64"} {
		if _, err := fs.Stat(p.files, p.path(architecture)); err == nil {
			found = append(found, architecture)
		}
	}
	return found
}

func (p *programFolder) path(architecture string) string {
	return path.Join(p.folder, "rbdplay-agent-linux-"+architecture+".gz")
}

// Digest implements Programs.
func (p *programFolder) Digest(architecture string) (string, error) {
	text, err := fs.ReadFile(p.files, strings.TrimSuffix(p.path(architecture), ".gz")+".sha256")
	if err == nil && len(text) == 2*sha256.Size {
		return string(text), nil
	}
	program, err := p.Program(architecture)
	return program.SHA256, err
}

func (p *programFolder) Program(architecture string) (Program, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if program, ok := p.known[architecture]; ok {
		return program, nil
	}
	packed, err := fs.ReadFile(p.files, p.path(architecture))
	if errors.Is(err, fs.ErrNotExist) {
		return Program{}, fmt.Errorf("%w for linux/%s is built into this rbdplay; build it with `make`, which runs `go run ./engine/agent/binaries/build` first", ErrNoProgram, architecture)
	}
	if err != nil {
		return Program{}, err
	}
	program := Program{Gzip: packed}
	plain, err := program.Plain()
	if err != nil {
		return Program{}, err
	}
	digest := sha256.Sum256(plain)
	program.SHA256 = hex.EncodeToString(digest[:])
	program.XZ, err = fs.ReadFile(p.files, strings.TrimSuffix(p.path(architecture), ".gz")+".xz")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Program{}, err
	}
	p.known[architecture] = program
	return program, nil
}
