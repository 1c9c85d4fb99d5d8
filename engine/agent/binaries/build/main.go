// Build makes the agent programs that are embedded into rbdplay: one for each
// architecture, packed. The same source and Go version give the same bytes.
//
//	go run ./engine/agent/binaries/build [FOLDER]
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "build agents:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	folder := filepath.Join(root, "engine", "agent", "binaries")
	if len(args) == 1 {
		folder = args[0]
	}
	for _, architecture := range []string{"amd64", "arm64"} {
		target := filepath.Join(folder, "rbdplay-agent-linux-"+architecture+".gz")
		if err := build(root, architecture, target); err != nil {
			return fmt.Errorf("linux/%s: %w", architecture, err)
		}
	}
	return nil
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("go list -m: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// build leaves target alone when it is up to date, so that go build of rbdplay
// finds nothing changed.
func build(root, architecture, target string) error {
	dir, err := os.MkdirTemp("", "rbdplay-agent-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears its temporary folder
	program := filepath.Join(dir, "rbdplay-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", program, "./cmd/rbdplay-agent")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+architecture, "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	plain, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	packed, err := pack(plain)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if bytes.Equal(old, packed) {
		return nil
	}
	return replace(target, packed)
}

// pack writes no name and no time into the header.
func pack(plain []byte) ([]byte, error) {
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return packed.Bytes(), nil
}

func replace(target string, content []byte) error {
	next := target + ".new"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, target)
}
