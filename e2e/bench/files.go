package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	bigBytes   = 512 << 20
	manyFiles  = 2000
	manyPeers  = 200 // of the peers, which need about half a second for each file
	smallBytes = 2 << 10
)

func rename(from, to string) error { return os.Rename(from, to) }

// files measures one big file and many small ones to three hosts.
func files(ctx context.Context, s *site, _ options) (section, error) {
	sec := section{note: fmt.Sprintf(
		"One file of 512 MiB of random bytes (scp: three at once), and trees of small files of 2 KiB, copied with `copy: src=DIR/`. The peers copy %d small files, since they need minutes for %d; *unchanged* is the same copy again.", manyPeers, manyFiles)}
	inventory, err := s.inventory(3, 0)
	if err != nil {
		return sec, err
	}
	big := filepath.Join(s.dir, "big")
	if err := writeRandom(big, bigBytes); err != nil {
		return sec, err
	}
	for _, count := range []int{manyPeers, manyFiles} {
		if err := writeTree(filepath.Join(s.dir, fmt.Sprintf("tree%d", count)), count); err != nil {
			return sec, err
		}
	}
	clean := func(ctx context.Context) error {
		return s.onAll(ctx, "rm -rf /root/bench; mkdir /root/bench; sync")
	}
	playbook, err := s.playbook("big", "- hosts: all\n  gather_facts: false\n  tasks: [{copy: {src: "+big+", dest: /root/bench/big}}]\n")
	if err != nil {
		return sec, err
	}
	few := map[string]int{"rbdplay": 5, "ansible": 2, "mitogen": 1, "scp": 5}
	t := trial{condition: "512 MiB", playbook: playbook, inventory: inventory, engines: s.peers, repeat: few, before: clean, changed: 3}
	all, err := t.measure(ctx)
	if err != nil {
		return sec, err
	}
	sec.series = append(sec.series, all...)
	scp, err := s.scp(ctx, big, few["scp"], clean)
	if err != nil {
		return sec, err
	}
	sec.series = append(sec.series, scp)
	t.condition, t.before, t.changed, t.engines = "512 MiB, unchanged", nil, 0, s.peers[:1]
	if _, err := t.engines[0].run(ctx, playbook, inventory); err != nil {
		return sec, err
	}
	if all, err = t.measure(ctx); err != nil {
		return sec, err
	}
	sec.series = append(sec.series, all...)
	for _, count := range []int{manyPeers, manyFiles} {
		small, err := s.playbook(fmt.Sprintf("small%d", count), fmt.Sprintf(
			"- hosts: all\n  gather_facts: false\n  tasks: [{copy: {src: %s/tree%d/, dest: /root/bench/tree/}}]\n", s.dir, count))
		if err != nil {
			return sec, err
		}
		t := trial{playbook: small, inventory: inventory, engines: s.peers, repeat: map[string]int{"rbdplay": 5, "ansible": 1, "mitogen": 1}}
		if count == manyFiles {
			t.engines = s.peers[:1]
		}
		for _, again := range []bool{false, true} {
			t.condition, t.before, t.changed = fmt.Sprintf("%d small files", count), clean, 3
			if again {
				t.condition, t.before, t.changed = t.condition+", unchanged", nil, 0
			}
			all, err := t.measure(ctx)
			if err != nil {
				return sec, err
			}
			sec.series = append(sec.series, all...)
		}
	}
	return sec, clean(ctx)
}

// scp copies the file to all nodes at once with the system's own scp.
func (s *site) scp(ctx context.Context, file string, times int, clean func(context.Context) error) (series, error) {
	out := series{engine: "scp", condition: "512 MiB"}
	access := filepath.Dir(s.lab.Inventory)
	for range times {
		if err := clean(ctx); err != nil {
			return out, err
		}
		began := time.Now()
		var running []*exec.Cmd
		for _, n := range s.lab.Nodes {
			c := exec.CommandContext(ctx, "scp", "-q", "-i", filepath.Join(access, "id_ed25519"),
				"-o", "UserKnownHostsFile="+filepath.Join(access, "known_hosts"), file, "root@"+n.IP+":/root/bench/big")
			if err := c.Start(); err != nil {
				return out, err
			}
			running = append(running, c)
		}
		for _, c := range running {
			if err := c.Wait(); err != nil {
				return out, fmt.Errorf("scp: %w", err)
			}
		}
		out.runs = append(out.runs, outcome{took: time.Since(began)})
	}
	return out, nil
}

// writeRandom writes bytes that do not compress, the same in every run.
func writeRandom(file string, size int) error {
	random := rand.NewChaCha8([32]byte{1})
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for range size / len(block) {
		_, _ = random.Read(block) // never fails
		if _, err := out.Write(block); err != nil {
			return err
		}
	}
	return out.Close()
}

// writeTree writes count small files in folders of 50.
func writeTree(root string, count int) error {
	for i := range count {
		dir := filepath.Join(root, fmt.Sprintf("d%02d", i/50))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		content := bytes.Repeat(fmt.Appendf(nil, "%08d", i), smallBytes/8)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d", i)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
