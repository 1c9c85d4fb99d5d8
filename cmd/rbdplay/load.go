package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/vault"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

func newValidate(s *streams) *cobra.Command {
	f := &runFlags{}
	c := &cobra.Command{
		Use:   "validate PLAYBOOK",
		Short: "Check a playbook and its inventory without contacting anybody",
		Long: `Checks a playbook with its roles, files and templates, and with -i its inventory and
the hosts of its plays. All faults are shown at once. No host is contacted.
` + exitCodes,
		Example:           "  rbdplay validate site.yml -i hosts.ini",
		Args:              wants("PLAYBOOK"),
		ValidArgsFunction: completeEmbedded,
		RunE: func(c *cobra.Command, args []string) error {
			f.isSet = c.Flags().Changed
			return f.validate(c.Context(), s, args[0])
		},
	}
	f.addCommon(c)
	return c
}

// validate checks all that can be checked without contact. Without an inventory
// the hosts of the plays are left out.
func (f *runFlags) validate(ctx context.Context, s *streams, name string) error {
	l, err := f.load(ctx, s, name)
	if err != nil {
		return err
	}
	if len(f.inventories) > 0 {
		_, err = engine.Hosts(ctx, f.options(s, l))
	} else {
		err = l.playbook.CheckSelection(f.selection()).ErrorOrNil()
	}
	if err != nil {
		return reportErrors(s, l.sources, err)
	}
	_, err = fmt.Fprintf(s.out, "%s is fine\n", name)
	return err
}

// loaded is all that a run needs from files.
type loaded struct {
	playbook  *play.Playbook
	inventory *inventory.Inventory
	registry  *modules.Registry
	sources   *diag.Sources
	extra     map[string]any
	reload    func(ctx context.Context) (*inventory.Inventory, error)
	vault     *vault.Keyring

	environment *expression.Environment
}

// load reads and checks everything; without a name it reads no playbook. Faults are printed, all of them.
func (f *runFlags) load(ctx context.Context, s *streams, name string) (*loaded, error) {
	l := &loaded{sources: &diag.Sources{}, environment: lookup.Environment(controller{})}
	var err error
	if l.registry, err = modules.All(); err != nil {
		return nil, err
	}
	if err := f.configure(s); err != nil {
		return nil, err
	}
	if l.vault, err = f.vault.keyring(ctx, s, f.settings); err != nil {
		return nil, err
	}
	s.hide = l.vault
	found := f.faults()
	found.AddError(diag.Range{File: "--limit"}, f.readLimit())
	var faults diag.List
	l.extra, faults = readExtraVars(f.extraVars, l.sources, l.vault)
	found = append(found, faults...)
	var source play.Source
	var folder fs.FS
	if name != "" {
		source, folder, err = findPlaybook(name)
		if err != nil {
			found.AddError(diag.Range{}, err)
		} else {
			l.playbook, _, faults = play.Load(ctx, source, l.registry, play.Options{
				Environment: l.environment, Disk: os.DirFS("/"), ExtraVars: l.extra, Sources: l.sources, Vault: l.vault, RolesPath: f.rolesPath(),
			})
			found = append(found, faults...)
		}
	}
	load := func(ctx context.Context) (*inventory.Inventory, diag.List) {
		return inventory.Load(ctx, f.inventories, inventory.Options{Vault: l.vault, Playbook: folder, PlaybookName: path.Dir(source.Display), Sources: l.sources})
	}
	l.inventory, faults = load(ctx)
	l.reload = func(ctx context.Context) (*inventory.Inventory, error) {
		again, found := load(ctx)
		return again, found.ErrorOrNil()
	}
	found = append(found, faults...)
	return l, report(s, found, l.sources)
}

// report prints findings and fails when one is an error.
func report(s *streams, found diag.List, sources *diag.Sources) error {
	found.Sort()
	for _, d := range found {
		var text strings.Builder
		if err := diag.Format(&text, d, sources, isColored(s.err)); err != nil {
			return err
		}
		if _, err := io.WriteString(s.err, engine.Hide(s.hide, text.String())); err != nil {
			return err
		}
	}
	if found.HasErrors() {
		return &exitError{code: exitWrong}
	}
	return nil
}

// reportErrors is report for errors that may carry findings.
func reportErrors(s *streams, sources *diag.Sources, errs ...error) error {
	var found diag.List
	for _, err := range errs {
		found.AddError(diag.Range{}, err)
	}
	return report(s, found, sources)
}

// findPlaybook finds a file, or an embedded playbook by its name. folder is where
// its group_vars and host_vars are looked for.
func findPlaybook(name string) (source play.Source, folder fs.FS, err error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.IsDir() && !strings.ContainsAny(name, "/."):
		// A folder may have the name of an embedded playbook, which is meant then.
	case err == nil && info.IsDir():
		return source, nil, fmt.Errorf("%s is a folder; name the playbook in it, such as %s", name, filepath.Join(name, "playbook.yml"))
	case err == nil:
		file, err := filepath.Abs(name)
		if err != nil {
			return source, nil, err
		}
		return play.OnDisk(os.DirFS("/"), file, name), os.DirFS(filepath.Dir(file)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return source, nil, err
	}
	if strings.ContainsAny(name, "/.") {
		return source, nil, fmt.Errorf("there is no playbook %s; rbdplay list names the embedded ones", name)
	}
	embedded, err := openEmbedded(name)
	if err != nil {
		return source, nil, err
	}
	return play.Source{FS: embedded.Folder, Path: embedded.Entry, Display: embedded.Dir + "/" + embedded.Entry}, embedded.Folder, nil
}
