package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	bigBytes   = 512 << 20
	manyFiles  = 2000
	peerFiles  = 100 // of the peers, which need about half a second for each file
	smallBytes = 2 << 10

	bigCondition = "512 MiB"

	scp           = "scp"
	scpSameCipher = "scp, aes128-gcm"
)

func smallCondition(count int) string { return fmt.Sprintf("%d small files", count) }

func rename(from, to string) error { return os.Rename(from, to) }

// files measures one big file and many small ones to three hosts.
func files(ctx context.Context, s *site, o options) (section, error) {
	sec := section{Note: fmt.Sprintf(
		"One file of 512 MiB of random bytes, and trees of small files of 2 KiB, copied with `copy: src=DIR/`; *unchanged* is the same copy again. scp copies to all three hosts at once, with the cipher that it chooses and with the one that rbdplay has; it neither checks nor syncs what it wrote, and rbdplay does. Ansible and mitogen copy %d small files and no big one, since they would need a quarter of an hour and more for %d.", peerFiles, manyFiles)}
	inventory, err := s.inventory(3, 0)
	if err != nil {
		return sec, err
	}
	f := filesPart{site: s, section: &sec, inventory: inventory, options: o}
	if err := f.big(ctx); err != nil {
		return sec, err
	}
	if !o.short {
		if err := f.small(ctx, peerFiles, runs(o, 5, 1), runs(o, 3, 1)); err != nil {
			return sec, err
		}
	}
	if err := f.small(ctx, manyFiles, runs(o, 3, 0), runs(o, 3, 0)); err != nil {
		return sec, err
	}
	return sec, f.clean(ctx)
}

// filesPart is the part about files while it is measured.
type filesPart struct {
	*site
	*section

	inventory string
	options   options
}

func (f *filesPart) clean(ctx context.Context) error {
	return f.onAll(ctx, "rm -rf /root/bench; mkdir /root/bench; sync")
}

func (f *filesPart) add(ctx context.Context, t trial) error {
	all, err := t.measure(ctx)
	f.Figures = append(f.Figures, all...)
	return err
}

func (f *filesPart) big(ctx context.Context) error {
	file := filepath.Join(f.dir, "big")
	if err := writeRandom(file, bigBytes); err != nil {
		return err
	}
	playbook, err := f.playbook("big", "- hosts: all\n  gather_facts: false\n  tasks: [{copy: {src: "+file+", dest: /root/bench/big}}]\n")
	if err != nil {
		return err
	}
	repeat := map[string]int{rbdplay: 5, scpSameCipher: 5, scp: 3}
	if f.options.short {
		repeat = map[string]int{rbdplay: 2, scpSameCipher: 2}
	}
	t := trial{
		condition: bigCondition, playbook: playbook, inventory: f.inventory, before: f.clean, changed: 3, repeat: repeat,
		engines: append(slices.Clone(f.peers), f.scp(scpSameCipher, file, "-c", "aes128-gcm@openssh.com"), f.scp(scp, file)),
	}
	if err := f.add(ctx, t); err != nil || f.options.short {
		return err
	}
	t.condition, t.before, t.changed, t.repeat = bigCondition+", unchanged", nil, 0, map[string]int{rbdplay: 3}
	if _, err := f.peers[0].run(ctx, playbook, f.inventory); err != nil { // the last one to write was scp
		return err
	}
	return f.add(ctx, t)
}

// small measures a tree of small files, and the same again.
func (f *filesPart) small(ctx context.Context, count int, first, again map[string]int) error {
	tree := filepath.Join(f.dir, fmt.Sprintf("tree%d", count))
	if err := writeTree(tree, count); err != nil {
		return err
	}
	playbook, err := f.playbook(fmt.Sprintf("small%d", count), fmt.Sprintf(
		"- hosts: all\n  gather_facts: false\n  tasks: [{copy: {src: %s/, dest: /root/bench/tree/}}]\n", tree))
	if err != nil {
		return err
	}
	t := trial{condition: smallCondition(count), playbook: playbook, inventory: f.inventory, engines: f.peers, before: f.clean, changed: 3, repeat: first}
	if err := f.add(ctx, t); err != nil {
		return err
	}
	t.condition, t.before, t.changed, t.repeat = t.condition+", unchanged", nil, 0, again
	return f.add(ctx, t)
}

// scp is an engine that copies a file to all nodes at once with the system's own scp,
// whatever the playbook.
func (s *site) scp(name, file string, options ...string) engine {
	access := filepath.Dir(s.lab.Inventory)
	words := append([]string{"scp", "-q", "-i", filepath.Join(access, "id_ed25519"), "-o", "UserKnownHostsFile=" + filepath.Join(access, "known_hosts")}, options...)
	var script strings.Builder
	script.WriteString("all=\n")
	for _, n := range s.lab.Nodes {
		fmt.Fprintf(&script, "%s %s root@%s:/root/bench/big & all=\"$all $!\"\n", strings.Join(words, " "), file, n.IP)
	}
	script.WriteString("for one in $all; do wait $one || exit 1; done\n")
	nodes := len(s.lab.Nodes)
	return engine{name: name, command: []string{"sh", "-c", script.String()}, recap: func([]byte) (totals, error) { return totals{hosts: nodes, changed: nodes}, nil }}
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
