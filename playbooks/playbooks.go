// Package playbooks holds the playbooks that ship inside the binary. A folder has
// playbook.yml, which is called as the folder is, companions of it (rollback.yml
// of ha-minimal is ha-minimal-rollback), inventory.yml (what `rbdplay init`
// prints) and the roles that they share; `rbdplay export` writes the folder out
// for a person to read and change.
package playbooks

import (
	"bufio"
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed all:ha-minimal all:rainbond-base
var folders embed.FS

const (
	main      = "playbook.yml"
	inventory = "inventory.yml"
)

// Embedded is one playbook.
type Embedded struct {
	Name   string
	Dir    string // the name of its folder
	Folder fs.FS  // the folder, which companions share
	Entry  string // the file in it that a run starts from
}

// all lists the embedded playbooks, sorted by name.
func all() []Embedded {
	entries, err := fs.Glob(folders, "*/*.yml")
	if err != nil {
		panic("playbooks: the embedded folder cannot be read: " + err.Error())
	}
	var found []Embedded
	for _, entry := range entries {
		dir, file := path.Split(entry)
		dir = path.Clean(dir)
		if file == inventory {
			continue
		}
		name := dir
		if file != main {
			name += "-" + strings.TrimSuffix(file, ".yml")
		}
		folder, err := fs.Sub(folders, dir)
		if err != nil {
			panic("playbooks: the embedded folder cannot be read: " + err.Error())
		}
		found = append(found, Embedded{Name: name, Dir: dir, Folder: folder, Entry: file})
	}
	slices.SortFunc(found, func(a, b Embedded) int { return strings.Compare(a.Name, b.Name) })
	return found
}

// Names lists the embedded playbooks, sorted.
func Names() []string {
	var names []string
	for _, one := range all() {
		names = append(names, one.Name)
	}
	return names
}

// Open gives an embedded playbook. The error for an unknown name wraps
// fs.ErrNotExist.
func Open(name string) (Embedded, error) {
	for _, one := range all() {
		if one.Name == name {
			return one, nil
		}
	}
	return Embedded{}, fmt.Errorf("no embedded playbook %q: %w", name, fs.ErrNotExist)
}

// Summary is the comment that heads the playbook, as one paragraph.
func (e Embedded) Summary() (string, error) {
	data, err := fs.ReadFile(e.Folder, e.Entry)
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

// Inventory is the commented inventory to fill in.
func (e Embedded) Inventory() (string, error) {
	text, err := fs.ReadFile(e.Folder, inventory)
	return string(text), err
}
