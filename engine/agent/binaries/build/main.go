// Build makes the agent programs that are embedded into rbdplay: one for each
// architecture, packed. The same source and Go version give the same bytes.
//
//	go run ./engine/agent/binaries/build [FOLDER]
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
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
		target := filepath.Join(folder, "rbdplay-agent-linux-"+architecture)
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

// The agent is sent to hosts, so size counts before speed: no HTTP/2, which one
// module would have no use for, and no inlining but where the agent spends its
// time.
var small = []string{
	"-trimpath", "-buildvcs=false", "-tags", "nethttpomithttp2", "-ldflags", "-s -w -buildid=", "-gcflags=all=-l",
	"-gcflags=runtime=", "-gcflags=internal/runtime/...=", "-gcflags=strings=", "-gcflags=bytes=", "-gcflags=bufio=", "-gcflags=regexp=",
}

// build leaves the files alone when they are up to date, so that go build of
// rbdplay finds nothing changed, and nothing is packed for nothing.
func build(root, architecture, target string) error {
	dir, err := os.MkdirTemp("", "rbdplay-agent-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // the system clears its temporary folder
	program := filepath.Join(dir, "rbdplay-agent")
	cmd := exec.Command("go", append(append([]string{"build"}, small...), "-o", program, "./cmd/rbdplay-agent")...)
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
	digest := fmt.Sprintf("%x", sha256.Sum256(plain))
	_, noXZ := exec.LookPath("xz")
	if upToDate(target, digest, noXZ == nil) {
		return nil
	}
	packed, err := pack(plain)
	if err != nil {
		return err
	}
	if err := replace(target+".gz", packed); err != nil {
		return err
	}
	if noXZ != nil {
		fmt.Fprintln(os.Stderr, "left out: the agents packed with xz, which is not installed; hosts get the larger ones")
		if err := os.Remove(target + ".xz"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if err := xz(program, architecture, target+".xz"); err != nil {
		return err
	}
	return replace(target+".sha256", []byte(digest)) // last: it says that the others are there
}

func upToDate(target, digest string, withXZ bool) bool {
	known, err := os.ReadFile(target + ".sha256")
	if err != nil || string(known) != digest {
		return false
	}
	_, gzErr := os.Stat(target + ".gz")
	_, xzErr := os.Stat(target + ".xz")
	return gzErr == nil && (xzErr == nil) == withXZ
}

// xz packs as tight as every xz since 5.0 and busybox can unpack: the filter for
// arm64 is too new for that.
func xz(program, architecture, target string) error {
	args := []string{"--check=crc32", "--threads=1", "-c", program}
	filters := []string{"--lzma2=preset=9e,lc=4,pb=0,dict=16MiB"}
	switch architecture {
	case "amd64":
		filters = append([]string{"--x86"}, filters...)
	case "arm64":
		filters = []string{"--lzma2=preset=9e,lc=2,lp=2,pb=2,dict=16MiB"} // instructions of four bytes
	}
	cmd := exec.Command("xz", append(filters, args...)...)
	cmd.Env = append(os.Environ(), "XZ_DEFAULTS=", "XZ_OPT=")
	cmd.Stderr = os.Stderr
	packed, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("xz: %w", err)
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
