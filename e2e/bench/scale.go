package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// scale measures many hosts: SSH servers in one process beside this one, each of
// which runs the real agent as a process of its own.
func scale(ctx context.Context, s *site, o options) (section, error) {
	sec := section{
		Resources: true,
		Note:      "20 small tasks (file, copy, lineinfile, stat) with nothing left to do. Each host is an SSH server in another process on this machine and runs the real agent, so hosts and controller share the two cores. CPU and memory are the controller's.",
	}
	counts := []int{10, 100, 1000}
	if o.short {
		counts = counts[:2]
	}
	for _, count := range counts {
		all, err := s.manyHosts(ctx, count)
		if err != nil {
			return sec, err
		}
		sec.Figures = append(sec.Figures, all...)
	}
	return sec, nil
}

func (s *site) manyHosts(ctx context.Context, count int) (all []figure, err error) {
	dir := filepath.Join(s.dir, fmt.Sprintf("scale%d", count))
	hosts, err := startHosts(ctx, count)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, hosts.stop()) }()
	inventory, err := hosts.inventory(dir)
	if err != nil {
		return nil, err
	}
	playbook, err := s.playbook(fmt.Sprintf("scale%d", count), twentyTasks(dir))
	if err != nil {
		return nil, err
	}
	ours := s.peers[0]
	// One first: the hosts share a home, and to unpack the agent in it once for each
	// of them would take minutes.
	if _, err := ours.run(ctx, playbook, inventory, "-l", "host0000"); err != nil {
		return nil, err
	}
	if _, err := ours.run(ctx, playbook, inventory); err != nil { // makes what the measured runs find
		return nil, err
	}
	return trial{
		condition: fmt.Sprintf("%d hosts", count), playbook: playbook, inventory: inventory, engines: s.peers[:1],
	}.measure(ctx)
}

func twentyTasks(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "- hosts: all\n  gather_facts: false\n  vars: {folder: \"%s/{{ inventory_hostname }}\"}\n  tasks:\n", dir)
	for i := range 5 {
		fmt.Fprintf(&b, "    - file: {path: \"{{ folder }}/d%d\", state: directory}\n", i)
		fmt.Fprintf(&b, "    - copy: {content: \"{{ inventory_hostname }} %d\", dest: \"{{ folder }}/d%d/copied\"}\n", i, i)
		fmt.Fprintf(&b, "    - lineinfile: {path: \"{{ folder }}/d%d/lines\", line: \"line %d\", create: true}\n", i, i)
		fmt.Fprintf(&b, "    - stat: {path: \"{{ folder }}/d%d\"}\n", i)
	}
	return b.String()
}

// hosts is the process that serves them.
type hosts struct {
	process *exec.Cmd
	stdin   io.Closer
	access
}

// access is what a client needs to know; the serving process prints it.
type access struct {
	Ports      []int
	HostKey    string // a line of authorized_keys
	PrivateKey string // PEM
}

func startHosts(ctx context.Context, count int) (*hosts, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(ctx, self, "-serve-hosts", strconv.Itoa(count))
	c.Stderr = os.Stderr
	c.WaitDelay = 10 * time.Second
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	stdin, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	h := &hosts{process: c, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &h.access)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the process of the hosts: %w", err), h.stop())
	}
	return h, nil
}

func (h *hosts) stop() error { return errors.Join(h.stdin.Close(), h.process.Wait()) }

// inventory writes how to reach the hosts into dir.
func (h *hosts) inventory(dir string) (string, error) {
	var text, known strings.Builder
	key, knownFile := filepath.Join(dir, "id"), filepath.Join(dir, "known_hosts")
	fmt.Fprintf(&text, "[all:vars]\nansible_host=127.0.0.1\nansible_user=bench\nansible_ssh_private_key_file=%s\nansible_ssh_common_args='-o UserKnownHostsFile=%s'\n[many]\n", key, knownFile)
	for i, port := range h.Ports {
		fmt.Fprintf(&text, "host%04d ansible_port=%d\n", i, port)
		fmt.Fprintf(&known, "[127.0.0.1]:%d %s\n", port, strings.TrimSpace(h.HostKey))
	}
	file := filepath.Join(dir, "hosts.ini")
	return file, errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(key, []byte(h.PrivateKey), 0o600),
		os.WriteFile(knownFile, []byte(known.String()), 0o600), os.WriteFile(file, []byte(text.String()), 0o600))
}
