// Package playbooks holds the playbooks that ship inside the binary. Each is a
// folder with playbook.yml, inventory.yml (what `rbdplay init` prints) and its
// roles; `rbdplay export` writes it out for a person to read and change.
package playbooks

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

//go:embed all:ha-minimal
var folders embed.FS

// Entry is the file of a playbook's folder that a run starts from.
const Entry = "playbook.yml"

// Names lists the embedded playbooks, sorted.
func Names() []string {
	entries, err := folders.ReadDir(".")
	if err != nil {
		panic("playbooks: the embedded folder cannot be read: " + err.Error())
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Open gives the folder of an embedded playbook. The error for an unknown name
// wraps fs.ErrNotExist.
func Open(name string) (fs.FS, error) {
	if strings.ContainsAny(name, "/.") {
		return nil, fmt.Errorf("no embedded playbook %q: %w", name, fs.ErrNotExist)
	}
	if _, err := fs.Stat(folders, name); err != nil {
		return nil, fmt.Errorf("no embedded playbook %q: %w", name, fs.ErrNotExist)
	}
	return fs.Sub(folders, name)
}

// Summary is the comment that heads the playbook, as one paragraph.
func Summary(folder fs.FS) (string, error) {
	data, err := fs.ReadFile(folder, Entry)
	if err != nil {
		return "", err
	}
	var words []string
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		text, comment := strings.CutPrefix(lines.Text(), "#")
		if !comment || strings.TrimSpace(text) == "" {
			break
		}
		words = append(words, strings.TrimSpace(text))
	}
	return strings.Join(words, " "), nil
}
