package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The names of the engines.
const (
	rbdplay = "rbdplay"
	ansible = "ansible"
	mitogen = "mitogen"
)

// engine is a program that runs playbooks.
type engine struct {
	name    string // rbdplay, ansible, mitogen
	version string
	command []string // before the playbook
	env     []string
	recap   func(stdout []byte) (totals, error)
}

// totals are what an engine says of a run, over all hosts.
type totals struct{ hosts, changed, failed int }

// outcome is one measured run.
type outcome struct {
	took, cpu time.Duration // cpu: of the controller and its children
	peak      int64         // bytes of the largest process of the controller
	totals
}

const mitogenStrategies = "/usr/lib/python3/dist-packages/ansible_mitogen/plugins/strategy"

// findEngines installs the peers if they are missing and says what is measured: in the
// short form only rbdplay.
// ansible is set up as people who care for speed do: pipelining, kept connections,
// as many forks as hosts, no facts unless the playbook asks.
func findEngines(ctx context.Context, dir string, short bool) ([]engine, error) {
	if _, err := os.Stat("bin/rbdplay"); err != nil {
		return nil, fmt.Errorf("there is no bin/rbdplay; run make build first: %w", err)
	}
	if !short {
		if err := install(ctx); err != nil {
			return nil, err
		}
	}
	settings := []string{
		"HOME=" + dir, "ANSIBLE_CONFIG=" + filepath.Join(dir, "none.cfg"), "ANSIBLE_PIPELINING=True", "ANSIBLE_FORKS=50", "ANSIBLE_NOCOLOR=1",
		"ANSIBLE_SSH_ARGS=-C -o ControlMaster=auto -o ControlPersist=60s", "ANSIBLE_SSH_CONTROL_PATH_DIR=" + filepath.Join(dir, "cp"), "ANSIBLE_LOCAL_TEMP=" + filepath.Join(dir, "tmp"),
	}
	engines := []engine{
		{name: rbdplay, command: []string{"bin/rbdplay", "run", "-o", "jsonl"}, recap: recapOfJSON},
		{name: ansible, command: []string{"ansible-playbook"}, env: settings, recap: recapOfAnsible},
		{name: mitogen, command: []string{"ansible-playbook"}, recap: recapOfAnsible, env: append(slices.Clip(settings),
			"ANSIBLE_STRATEGY_PLUGINS="+mitogenStrategies, "ANSIBLE_STRATEGY=mitogen_linear")},
	}
	if err := os.WriteFile(filepath.Join(dir, "none.cfg"), nil, 0o600); err != nil {
		return nil, err
	}
	if short {
		engines = engines[:1]
	}
	for i, query := range []string{"bin/rbdplay version", "ansible-playbook --version", "dpkg-query -W ansible-mitogen"}[:len(engines)] {
		out, err := exec.CommandContext(ctx, "sh", "-c", query).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", query, err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		engines[i].version = strings.Join(strings.Fields(line), " ")
	}
	return engines, nil
}

// install adds the peers as Debian packages them.
func install(ctx context.Context) error {
	_, missing := exec.LookPath("ansible-playbook")
	if _, err := os.Stat(mitogenStrategies); missing == nil && err == nil {
		return nil
	}
	say("installing ansible-core and ansible-mitogen")
	out, err := exec.CommandContext(ctx, "sh", "-c",
		"apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends ansible-core ansible-mitogen").CombinedOutput()
	if err != nil {
		return fmt.Errorf("installing the peers: %w: %s", err, out)
	}
	return nil
}

// run measures one run of a playbook. A run in which a host failed is an error:
// its time would mean nothing.
func (e engine) run(ctx context.Context, playbook, inventory string, args ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	argv := append(append(append([]string{}, e.command...), playbook, "-i", inventory), args...)
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), e.env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	began := time.Now()
	if err := c.Start(); err != nil {
		return outcome{}, err
	}
	peak := watchPeak(c.Process.Pid)
	err := c.Wait()
	o := outcome{took: time.Since(began), peak: peak()}
	if err == nil {
		o.totals, err = e.recap(stdout.Bytes())
	}
	if err == nil && o.failed > 0 {
		err = errors.New("a host failed")
	}
	if err != nil {
		return o, fmt.Errorf("%s %s: %w\n%s%s", e.name, filepath.Base(playbook), err, last(stdout.String(), 3000), last(stderr.String(), 1000))
	}
	o.cpu = c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	return o, nil
}

// watchPeak reads the peak of a process's resident memory until the function that
// it returns is called, which gives it in bytes. The rusage of a child will not do:
// Linux counts what bench had resident when it forked.
func watchPeak(pid int) func() int64 {
	stop, done := make(chan struct{}), make(chan struct{})
	var peak int64
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
				if m := peakLine.FindSubmatch(status); err == nil && m != nil {
					kib, _ := strconv.ParseInt(string(m[1]), 10, 64) // digits
					peak = max(peak, kib<<10)
				}
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-done
		return peak
	}
}

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB`)

func last(text string, bytes int) string {
	if len(text) > bytes {
		return "…" + text[len(text)-bytes:]
	}
	return text
}

// recapOfJSON reads the line run_end of rbdplay's JSON lines.
func recapOfJSON(stdout []byte) (totals, error) {
	lines := bytes.Split(bytes.TrimSpace(stdout), []byte("\n"))
	var end struct {
		Type  string
		Hosts map[string]struct{ OK, Changed, Failed, Unreachable int }
	}
	if err := json.Unmarshal(lines[len(lines)-1], &end); err != nil || end.Type != "run_end" {
		return totals{}, fmt.Errorf("the last line is no run_end: %w", err)
	}
	t := totals{hosts: len(end.Hosts)}
	for _, h := range end.Hosts {
		t.changed += h.Changed
		t.failed += h.Failed + h.Unreachable
	}
	return t, nil
}

var recapLine = regexp.MustCompile(`(?m)^\S+\s+: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)`)

// recapOfAnsible reads the lines below PLAY RECAP.
func recapOfAnsible(stdout []byte) (totals, error) {
	var t totals
	for _, m := range recapLine.FindAllSubmatch(stdout, -1) {
		t.hosts++
		for i, into := range []*int{&t.changed, &t.failed, &t.failed} {
			n, err := strconv.Atoi(string(m[i+1]))
			if err != nil {
				return t, err
			}
			*into += n
		}
	}
	if t.hosts == 0 {
		return t, errors.New("there is no PLAY RECAP")
	}
	return t, nil
}
