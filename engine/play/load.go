package play

import (
	"cmp"
	"context"
	"io/fs"
	"maps"
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/modules"
)

// Source is where a playbook is read from.
type Source struct {
	FS      fs.FS  // a disk (see OnDisk) or an embedded tree
	Path    string // the playbook within FS, slash separated
	Display string // how messages and playbook_dir name it; Path when empty
}

// Options are what loading needs besides the playbook.
type Options struct {
	// Environment compiles the expressions; nil means expression.Builtins().
	Environment *expression.Environment
	// Disk is the controller's file system from its root on, where absolute paths
	// of sources lead; nil refuses them.
	Disk fs.FS
	// RolesPath lists further folders of roles on Disk, absolute.
	RolesPath []string
	Sources *diag.Sources // remembers the files that were read; nil makes a new one
}

// Load reads a playbook with everything it uses and checks it. The playbook is
// nil when the list has errors; warnings alone do not prevent it. Cancelling ctx
// ends it with a finding that says so.
func Load(ctx context.Context, source Source, registry *modules.Registry, options Options) (*Playbook, *diag.Sources, diag.List) {
	return nil, nil, nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
