// Command rbdplay runs Ansible-style playbooks over SSH, all hosts at once. The
// playbook that makes a minimal Rainbond 3.6 cluster highly available is in it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/vault"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// version is set by the Makefile.
var version = "unversioned"

func main() {
	if len(os.Args) == 2 && os.Args[1] == agent.JobArgument { // a task with async and connection: local
		os.Exit(runJob(os.Stdin, os.Stderr))
	}
	collectLater()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// collectLater lets the first garbage collection wait for 32 MiB instead of 4: most
// runs end before it. Afterwards, and when GOGC says how often, nothing is different.
func collectLater() {
	if os.Getenv("GOGC") != "" {
		return
	}
	type collected struct{ _ *byte }
	usual := debug.SetGCPercent(800) // of the runtime's least, which is 4 MiB
	runtime.AddCleanup(&collected{}, func(percent int) { debug.SetGCPercent(percent) }, usual)
}

// run is main with its surroundings passed in, for tests. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &streams{in: stdin, out: stdout, err: stderr}
	ctx, stop := interruptible(s)
	defer stop()
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitFine
	}
	if code, ok := errors.AsType[*exitError](err); ok {
		if code.err != nil {
			fmt.Fprintln(stderr, "rbdplay:", code.err)
		}
		return code.code
	}
	fmt.Fprintln(stderr, "rbdplay:", err)
	return exitWrong
}

// runJob is this program as the job of a local task: it outlives the run.
func runJob(order io.Reader, stderr io.Writer) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	registry, err := modules.All()
	if err == nil {
		err = agent.RunJob(ctx, order, registry, sys.NewReal())
	}
	if err != nil {
		fmt.Fprintln(stderr, "rbdplay:", err)
		return exitWrong
	}
	return exitFine
}

// interruptible gives a context that the first SIGINT or SIGTERM ends; a second
// one ends the program.
func interruptible(s *streams) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, open := <-signals; !open {
			return
		}
		fmt.Fprintln(s.err, "\ninterrupted: ending what runs; once more to leave it")
		cancel()
		if _, open := <-signals; open {
			s.leave()
			os.Exit(exitInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		cancel()
	}
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer

	hide    *vault.Keyring // what it opened is not shown; nil is nothing
	asking  sync.Mutex     // held while a question is on the terminal
	mu      sync.Mutex
	leaving func() // see whenLeaving
}

// whenLeaving has f called when a second signal ends the program at once; forget
// takes that back.
func (s *streams) whenLeaving(f func()) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.leaving = nil
	}
}

func (s *streams) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving != nil {
		s.leaving()
	}
}

func newRoot(s *streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "rbdplay",
		Short: "Runs Ansible-style playbooks over SSH, all hosts at once",
		Long: `rbdplay runs playbooks over SSH, all hosts at once. A host needs sshd and a shell.
--check runs the same code on a shadow of each host, and shows what would happen.

The main job, a highly available Rainbond 3.6 cluster of three nodes:

  rbdplay init ha-minimal > cluster.yml
  rbdplay run ha-minimal -i cluster.yml --check --diff
  rbdplay run ha-minimal -i cluster.yml
` + exitCodes,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(s), newDrill(s), newValidate(s), newInit(s), newList(s), newExport(s), newDoc(s), newVars(s), newVault(s), newVersion(s))
	return root
}
