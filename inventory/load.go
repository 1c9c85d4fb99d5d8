package inventory

import (
	"context"
	"io/fs"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Options say what belongs to an inventory besides its sources.
type Options struct {
	// Playbook is the folder of the playbook, whose group_vars and host_vars count
	// as well; nil when there is none.
	Playbook fs.FS
	// PlaybookName is how messages name that folder: "site", "ha-minimal".
	PlaybookName string
	// Sources remembers the text of the files that were read; may be nil.
	Sources *diag.Sources
}

// Load reads the sources: paths of files and directories, and host lists, which
// are recognised by their comma ("web1,web2,"). Every fault is reported; the
// inventory is nil when the list has errors.
func Load(ctx context.Context, sources []string, options Options) (*Inventory, diag.List) {
	return nil, nil
}
