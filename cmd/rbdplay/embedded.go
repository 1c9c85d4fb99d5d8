package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/playbooks"
)

// openEmbedded is playbooks.Open with a hint for a name that is not there.
func openEmbedded(name string) (playbooks.Embedded, error) {
	embedded, err := playbooks.Open(name)
	if err == nil {
		return embedded, nil
	}
	hint := diag.DidYouMean(name, playbooks.Names())
	if hint == "" {
		hint = "embedded are: " + strings.Join(playbooks.Names(), ", ")
	}
	return embedded, fmt.Errorf("%w; %s", err, hint)
}

func newInit(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "init NAME",
		Short: "Print a commented inventory for an embedded playbook",
		Long: `Prints a commented inventory for an embedded playbook: its groups, and the variables
to set. Passwords in it are made up for you, anew each time.
` + exitCodes,
		Example:           "  rbdplay init ha-minimal > cluster.yml",
		Args:              wants("NAME"),
		ValidArgsFunction: completeEmbedded,
		RunE: func(_ *cobra.Command, args []string) error {
			embedded, err := openEmbedded(args[0])
			if err != nil {
				return err
			}
			text, err := embedded.Inventory()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(s.out, strings.ReplaceAll(text, "@random8@", rand.Text()[:8]))
			return err
		},
	}
}

func newList(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the embedded playbooks",
		Long:  "Lists the playbooks that are in the binary.\n" + exitCodes,
		Args:  wants(),
		RunE: func(*cobra.Command, []string) error {
			for _, name := range playbooks.Names() {
				embedded, err := playbooks.Open(name)
				if err != nil {
					return err
				}
				summary, err := embedded.Summary()
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(s.out, "%s\n    %s\n", name, summary); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newExport(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "export NAME DIR",
		Short: "Write an embedded playbook to a folder, to read and change it",
		Long: `Writes an embedded playbook, its companions, their roles and the inventory to DIR,
which must not exist or be empty. Run the copy with: rbdplay run DIR/playbook.yml
` + exitCodes,
		Args:              wants("NAME", "DIR"),
		ValidArgsFunction: completeEmbedded,
		RunE: func(_ *cobra.Command, args []string) error {
			embedded, err := openEmbedded(args[0])
			if err != nil {
				return err
			}
			if err := exportTo(embedded.Folder, args[1]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.out, "rbdplay run %s -i CLUSTER.yml\n", filepath.Join(args[1], embedded.Entry))
			return err
		},
	}
}

// exportTo copies folder to dir, which is made.
func exportTo(folder fs.FS, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty; name a new folder", dir)
	}
	return os.CopyFS(dir, folder)
}

func completeEmbedded(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return playbooks.Names(), cobra.ShellCompDirectiveDefault
}
