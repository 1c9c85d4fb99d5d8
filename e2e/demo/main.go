// Command demo shows the main job on the lab: it boots three hosts with a minimal
// Rainbond 3.6 cluster, makes it highly available, and cuts the power of its
// nodes while a user keeps asking an app. `make demo` runs it.
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
	"github.com/rbdplay/rbdplay/cmd/rbdplay/probe"
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
	unlock, err := l.Lock(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if !keep {
		defer func() {
			down, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
			defer cancel()
			err = errors.Join(err, l.Down(down, false))
		}()
	}
	// A lab that is down comes up as it was installed.
	if err := l.Down(ctx, false); err != nil {
		return err
	}
	if err := l.Up(ctx); err != nil {
		return err
	}
	if err := makeAvailable(ctx, l); err != nil {
		return err
	}
	if err := cutPower(ctx, l); err != nil {
		return err
	}
	step("done in %s", time.Since(began).Round(time.Second))
	return nil
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

// cutPower takes the power of the management node, and of the VIP's holder, while
// a user asks the app through the VIP.
func cutPower(ctx context.Context, l *lab.Lab) error {
	p := probe.Start(ctx, "http://"+l.VIP+"/", lab.AppHost)
	defer p.Stop()
	if err := answering(ctx, p); err != nil {
		return err
	}
	manage := l.Node("manage01")
	step("a user asks http://%s/ 50 times a second, and manage01 loses its power", l.VIP)
	if err := lose(ctx, p, manage, 15*time.Second); err != nil {
		return err
	}
	step("manage01 is back; the holder of the VIP loses its power")
	if err := manage.PowerOn(ctx); err != nil {
		return err
	}
	holder, err := vipHolder(ctx, l)
	if err != nil {
		return err
	}
	fmt.Println("the VIP is on", holder.Name)
	if err := lose(ctx, p, holder, 20*time.Second); err != nil {
		return err
	}
	step("%s is back", holder.Name)
	return holder.PowerOn(ctx)
}

// lose cuts a node's power, watches, and fails when the app does not answer in the end.
func lose(ctx context.Context, p *probe.Probe, n *lab.Node, watch time.Duration) error {
	p.Reset()
	if err := n.PowerOff(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(watch):
	}
	r := p.Result()
	fmt.Printf("%s without power for %s: %d requests, %d lost, longest gap %d ms\n", n.Name, watch, r.Requests, r.Lost, r.Gap.Milliseconds())
	if !p.Answering() {
		return fmt.Errorf("the app does not answer while %s is off", n.Name)
	}
	return nil
}

func answering(ctx context.Context, p *probe.Probe) error {
	for range 300 {
		if p.Answering() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("the app does not answer through the VIP")
}

// vipHolder finds the compute node that has the VIP.
func vipHolder(ctx context.Context, l *lab.Lab) (*lab.Node, error) {
	for _, n := range l.Nodes {
		if !n.Compute {
			continue
		}
		out, err := n.Exec(ctx, "ip", "-4", "-o", "address", "show")
		if err != nil {
			return nil, err
		}
		if strings.Contains(out, " "+l.VIP+"/") {
			return n, nil
		}
	}
	return nil, errors.New("no compute node has the VIP")
}
