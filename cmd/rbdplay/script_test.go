package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/rbdplay/rbdplay/engine/agent/binaries"
	"github.com/rbdplay/rbdplay/engine/transport/transporttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"rbdplay": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

// TestScripts runs the command line as a person would. Beyond testscript's own
// commands the scripts have:
//
//	exits CODE PROGRAM ARGS...   run it, and want this exit code
//	shows FILE                   standard output is this text, but for times and $WORK
//	says FILE                    the same of standard error
//	sshd [OPTION]                start an SSH server for this user; see startSSHD
//	new-key FILE                 write a private key that nobody knows
//	appears FILE                 wait until the file is there
//	mode FILE OCTAL              the file has these permissions
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("SSH_AUTH_SOCK", "")
			return os.MkdirAll(filepath.Join(home, ".ssh"), 0o700)
		},
		Condition: func(name string) (bool, error) {
			if name == "agents" {
				return len(binaries.Embedded().Architectures()) > 0, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"shows": func(ts *testscript.TestScript, neg bool, args []string) { shows(ts, "stdout", neg, args) },
			"says":  func(ts *testscript.TestScript, neg bool, args []string) { shows(ts, "stderr", neg, args) },
			"sshd":  func(ts *testscript.TestScript, _ bool, args []string) { startSSHD(t, ts, args) },
			"new-key": func(ts *testscript.TestScript, _ bool, args []string) {
				_, file := transporttest.NewKey(t)
				key, err := os.ReadFile(file)
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[0]), key, 0o600))
			},
			"appears": appears,
			"mode":    mode,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

var times = regexp.MustCompile(`(?m)(^done in|^interrupted after) [0-9.]+m?s$`)

func shows(ts *testscript.TestScript, stream string, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: shows FILE")
	}
	got := strings.ReplaceAll(ts.ReadFile(stream), ts.Getenv("WORK"), "$WORK")
	got = times.ReplaceAllString(got, "$1 TIME")
	if diff := cmp.Diff(ts.ReadFile(args[0]), got); diff != "" {
		ts.Fatalf("(-%s +%s)\n%s", args[0], stream, diff)
	}
}

// startSSHD starts an SSH server that lets the key $KEY in, and writes what the
// scripts need to reach it: $PORT, and the inventory hosts.yml with the host
// "target". Its key is in ~/.ssh/known_hosts, unless the option is "unknown", or
// "changed" (another key is there). With "password WORD" it takes that as well.
func startSSHD(t *testing.T, ts *testscript.TestScript, args []string) {
	signer, key := transporttest.NewKey(t)
	o := transporttest.SSHOptions{Keys: []ssh.PublicKey{signer.PublicKey()}}
	if len(args) == 2 && args[0] == "password" {
		o.Password = args[1]
	}
	server := transporttest.NewSSHServer(t, o)
	known := server.HostSigner.PublicKey()
	if len(args) == 1 && args[0] == "changed" {
		other, _ := transporttest.NewKey(t)
		known = other.PublicKey()
	}
	if len(args) == 0 || args[0] != "unknown" {
		line := knownhosts.Line([]string{server.Address}, known) + "\n"
		ts.Check(os.WriteFile(filepath.Join(ts.Getenv("HOME"), ".ssh", "known_hosts"), []byte(line), 0o600))
	}
	_, port := server.HostPort()
	inventory := fmt.Sprintf("all:\n  hosts:\n    target: {ansible_host: 127.0.0.1, ansible_port: %d, ansible_user: %s}\n", port, server.User)
	ts.Check(os.WriteFile(ts.MkAbs("hosts.yml"), []byte(inventory), 0o600))
	ts.Setenv("PORT", strconv.Itoa(port))
	ts.Setenv("KEY", key)
	ts.Setenv("TARGET_HOME", server.Home)
}

func appears(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: appears FILE")
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s did not appear", args[0])
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE OCTAL")
	}
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// Every command says what its exit codes mean.
func TestEveryHelpHasTheExitCodes(t *testing.T) {
	for _, command := range []string{"", "run", "init", "list", "export", "validate", "doc", "version", "vars", "vault", "vault encrypt", "vault decrypt", "vault view", "vault edit", "vault create", "vault rekey", "vault encrypt-string"} {
		var out, errs bytes.Buffer
		args := append(strings.Fields(command), "--help")
		if code := run(args, strings.NewReader(""), &out, &errs); code != exitFine {
			t.Errorf("%s --help: exit code %d, %s", command, code, errs.String())
		}
		if !strings.Contains(out.String(), strings.TrimSpace(exitCodes)) {
			t.Errorf("%s --help has no exit codes:\n%s", command, out.String())
		}
	}
}
