//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rbdplay/rbdplay/engine/agent"
)

// The agent is sent to every host: it holds no YAML, no expressions, no SSH, no
// flags library and none of the programs that rbdplay embeds.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(out)) {
		for _, unwanted := range []string{
			"yaml", "expr-lang", "cobra", "x/crypto/ssh", "go-scp",
			"rbdplay/engine/syntax", "rbdplay/engine/expression", "rbdplay/engine/template", "rbdplay/engine/play",
			"rbdplay/inventory", "rbdplay/playbooks", "agent/binaries", "transport/ssh", "testing",
		} {
			if strings.Contains(name, unwanted) && name != "internal/testlog" {
				t.Errorf("the agent depends on %s", name)
			}
		}
	}
}

func TestProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "rbdplay-agent")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	digest, err := agent.Digest(program)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "--version").Output()
	if err != nil || string(out) != "rbdplay-agent "+digest+"\n" {
		t.Errorf("--version: %q, %v", out, err)
	}
	// Nobody speaks to it: it says who it is and ends.
	out, err = exec.Command(program).Output()
	if err != nil || !bytes.Contains(out, []byte(digest)) {
		t.Errorf("without a controller: %q, %v", out, err)
	}
	out, err = exec.Command(program, "--help").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "started by rbdplay") {
		t.Errorf("--help: %q, %v", out, err)
	}
}
