// Command demo shows the main job on the lab: it boots three hosts with a minimal
// Rainbond 3.6 cluster, makes it highly available, and drills it: everything is
// stopped once, whole nodes too, while a user keeps asking an app. `make demo` runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rbdplay/rbdplay/e2e/lab"
)

func main() {
	keep := flag.Bool("keep", false, "leave the lab running at the end")
	flag.Parse()
	if err := demoUntilSignal(*keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demoUntilSignal(keep bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	return demo(ctx, keep)
}

// step prints what comes next, as a person would type it.
func step(format string, args ...any) { fmt.Printf("\n\x1b[1m▸ "+format+"\x1b[0m\n", args...) }

func demo(ctx context.Context, keep bool) (err error) {
	began := time.Now()
	step("the lab: three systemd hosts with Rainbond 3.6, on this machine")
	l, err := lab.Open(ctx, lab.Config{Progress: os.Stdout})
	if err != nil {
		return err
	}
	if !keep {
		defer func() {
			down, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
			defer cancel()
			err = errors.Join(err, l.Down(down, false))
		}()
	}
	if err := alone(ctx, l, makeCluster); err != nil {
		return err
	}
	// The drill's power commands are processes of their own, which take the lock.
	if err := drill(ctx, l); err != nil {
		return err
	}
	step("done in %s", time.Since(began).Round(time.Second))
	return nil
}

// alone does something while nobody else uses the lab.
func alone(ctx context.Context, l *lab.Lab, do func(context.Context, *lab.Lab) error) error {
	unlock, err := l.Lock(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, l), unlock())
}

// makeCluster boots the lab and makes it highly available.
func makeCluster(ctx context.Context, l *lab.Lab) error {
	// A lab that is down comes up as it was installed.
	if err := l.Down(ctx, false); err != nil {
		return err
	}
	if err := l.Up(ctx); err != nil {
		return err
	}
	return makeAvailable(ctx, l)
}

// makeAvailable runs the playbook, and once more to see that nothing is left.
func makeAvailable(ctx context.Context, l *lab.Lab) error {
	args := []string{"run", "ha-minimal", "-i", l.Inventory, "-e", "app_host=" + lab.AppHost}
	step("rbdplay %s", strings.Join(args, " "))
	if err := rbdplay(ctx, args...); err != nil {
		return err
	}
	step("the same again: nothing may change")
	out, err := exec.CommandContext(ctx, "bin/rbdplay", append(args, "-o", "jsonl")...).Output()
	if err != nil {
		return fmt.Errorf("the second run: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var end struct {
		Type  string
		Took  float64 `json:"took_ms"`
		Hosts map[string]struct{ OK, Changed int }
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &end); err != nil || end.Type != "run_end" {
		return fmt.Errorf("the second run ended with %q: %w", lines[len(lines)-1], err)
	}
	for host, t := range end.Hosts {
		fmt.Printf("%-10s ok %d  changed %d\n", host, t.OK, t.Changed)
		if t.Changed != 0 {
			return fmt.Errorf("the second run changed %d things on %s", t.Changed, host)
		}
	}
	fmt.Printf("in %.1f s\n", end.Took/1000)
	return nil
}

func rbdplay(ctx context.Context, args ...string) error {
	c := exec.CommandContext(ctx, "bin/rbdplay", args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 30 * time.Second
	return c.Run()
}

// drill stops everything that the cluster must outlive, and cuts the power of each
// node, one at a time, while a user keeps asking the app. It ends with the table.
func drill(ctx context.Context, l *lab.Lab) error {
	labCommand, err := buildLab(ctx)
	if err != nil {
		return err
	}
	defer os.Remove(labCommand) //nolint:errcheck // in the folder of temporary files
	args := []string{
		"drill", "ha-minimal", "-i", l.Inventory, "-e", "app_host=" + lab.AppHost, "--yes",
		"--power-off", labCommand + ` power-off "$RBDPLAY_HOST"`, "--power-on", labCommand + ` power-on "$RBDPLAY_HOST"`,
	}
	step("rbdplay drill ha-minimal: a user asks the app 50 times a second, and everything is stopped once")
	return rbdplay(ctx, args...)
}

// buildLab builds the command that cuts the power of the lab's nodes.
func buildLab(ctx context.Context) (string, error) {
	file, err := os.CreateTemp("", "rbdplay-lab-*")
	if err != nil {
		return "", err
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", file.Name(), "./e2e/lab/cmd/lab")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("%w: %s", err, out), os.Remove(file.Name()))
	}
	return file.Name(), nil
}
