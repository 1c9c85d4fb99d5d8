package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/e2e/lab"
)

// site is the lab's three hosts, near and far, and what drives them.
type site struct {
	lab     *lab.Lab
	dir     string // of inventories and playbooks
	proxies []*delay
	peers   []engine
	unlock  func() error
}

// openSite boots the lab and installs the peers, if they are wanted.
func openSite(ctx context.Context, o options) (*site, error) {
	l, err := lab.Open(ctx, lab.Config{Progress: os.Stdout, Durable: true})
	if err != nil {
		return nil, err
	}
	unlock, err := l.Lock(ctx)
	if err != nil {
		return nil, err
	}
	s := &site{lab: l, unlock: unlock}
	if err := s.open(ctx, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *site) open(ctx context.Context, o options) error {
	// A lab that is down comes up as it was installed.
	if err := s.lab.Down(ctx, false); err != nil {
		return err
	}
	if err := s.lab.Up(ctx); err != nil {
		return err
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "rbdplay-bench-"); err != nil {
		return err
	}
	if s.peers, err = findEngines(ctx, s.dir, o.short); err != nil {
		return err
	}
	for _, e := range s.peers {
		fmt.Println(e.version)
	}
	return nil
}

// close leaves nothing running.
func (s *site) close() error {
	for _, d := range s.proxies {
		d.close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	err := s.lab.Down(ctx, false)
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return errors.Join(err, s.unlock())
}

// inventory writes an inventory of the first count hosts, roundTrip away.
func (s *site) inventory(count int, roundTrip time.Duration) (string, error) {
	known, err := os.ReadFile(filepath.Join(filepath.Dir(s.lab.Inventory), "known_hosts"))
	if err != nil {
		return "", err
	}
	knownFile := filepath.Join(s.dir, fmt.Sprintf("known_hosts_%d_%s", count, roundTrip))
	var text, keys strings.Builder
	keys.Write(known)
	fmt.Fprintf(&text, "[all:vars]\nansible_user=root\nansible_python_interpreter=/usr/bin/python3\nansible_ssh_private_key_file=%s\nansible_ssh_common_args='-o UserKnownHostsFile=%s'\n[bench]\n",
		filepath.Join(filepath.Dir(s.lab.Inventory), "id_ed25519"), knownFile)
	for i, n := range s.lab.Nodes[:count] {
		address, port := n.IP, 22
		if roundTrip > 0 {
			d, err := newDelay(net.JoinHostPort(n.IP, "22"), roundTrip)
			if err != nil {
				return "", err
			}
			s.proxies = append(s.proxies, d)
			address, port = "127.0.0.1", d.port()
			for line := range strings.SplitSeq(string(known), "\n") {
				if key, ok := strings.CutPrefix(line, n.IP+" "); ok {
					fmt.Fprintf(&keys, "[127.0.0.1]:%d %s\n", port, key)
				}
			}
		}
		fmt.Fprintf(&text, "host%d ansible_host=%s ansible_port=%d\n", i+1, address, port)
	}
	file := filepath.Join(s.dir, fmt.Sprintf("hosts_%d_%s.ini", count, roundTrip))
	return file, errors.Join(os.WriteFile(knownFile, []byte(keys.String()), 0o600), os.WriteFile(file, []byte(text.String()), 0o600))
}

// playbook writes a playbook.
func (s *site) playbook(name, text string) (string, error) {
	file := filepath.Join(s.dir, name+".yml")
	return file, os.WriteFile(file, []byte(text), 0o644)
}

// onAll runs a shell command on every node.
func (s *site) onAll(ctx context.Context, command string) error {
	var failed []error
	for _, n := range s.lab.Nodes {
		_, err := n.Exec(ctx, "sh", "-c", command)
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// describeMachine is what a reader needs to compare figures.
func describeMachine(ctx context.Context) string {
	first := func(name string, args ...string) string {
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if err != nil {
			return name + ": " + err.Error()
		}
		return strings.TrimSpace(string(out))
	}
	model := first("sh", "-c", `sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1`)
	return fmt.Sprintf("%s cores of %s, %s, Linux %s, %s",
		first("nproc"), model, first("sh", "-c", `free -h | awk '/^Mem/ {print $2 " memory"}'`), first("uname", "-r"),
		first("sh", "-c", `. /etc/os-release; echo "$PRETTY_NAME"`))
}
