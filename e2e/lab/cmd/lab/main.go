// Command lab makes and drives the three-node lab: see e2e/lab/README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/e2e/lab"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	// A command run by lab exec has said for itself what is wrong.
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && errors.Is(err, errRemote) {
		return failed.ExitCode()
	}
	fmt.Fprintln(os.Stderr, "lab:", err)
	return 1
}

var errRemote = errors.New("the command on the node failed")

func newCommand() *cobra.Command {
	var config lab.Config
	root := &cobra.Command{
		Use:           "lab",
		Short:         "Three real hosts with Rainbond 3.6 on one machine",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().StringVar(&config.Name, "name", "", `instance (default $RBDPLAY_LAB, else "main")`)
	root.PersistentFlags().StringVar(&config.Out, "out", "", "folder of inventory and key (default $RBDPLAY_LAB_OUT, else .lab)")
	root.PersistentFlags().StringVar(&config.Dir, "dir", "", "mount point of the store (default /var/lib/rbdplay-lab)")
	config.Progress = os.Stderr
	open := func(ctx context.Context) (*lab.Lab, error) { return lab.Open(ctx, config) }
	root.AddCommand(supportedCommand(), upCommand(open), resetCommand(open), bareCommand(open), downCommand(open), statusCommand(open),
		execCommand(open), changesCommand(open), bareCommand(open))
	for name, power := range map[string]struct {
		short string
		do    func(*lab.Node, context.Context) error
	}{
		"power-off":    {"Cut a node's power at once", (*lab.Node).PowerOff},
		"power-on":     {"Boot a node that is off", (*lab.Node).PowerOn},
		"install-anew": {"Give a node a new disk, with a bare host of the same name", (*lab.Node).InstallAnew},
		"cut":          {"Take a node off the network", (*lab.Node).Cut},
		"join":         {"Put a node back on the network", (*lab.Node).Join},
	} {
		root.AddCommand(nodeCommand(open, name, power.short, power.do))
	}
	return root
}

func supportedCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "supported",
		Short: "Say whether this machine can run a lab; exit 1 when it cannot",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return lab.Supported() },
	}
}

type opener func(context.Context) (*lab.Lab, error)

func upCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:     "up",
		Aliases: []string{"provision-if-needed"},
		Short:   "Make the lab run, building what is missing",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd.Context())
			if err != nil {
				return err
			}
			if err := l.Up(cmd.Context()); err != nil {
				return err
			}
			fmt.Println(l.Inventory)
			return nil
		},
	}
}

func resetCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "reset",
		Short: "Bring all nodes back to the installed state",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd.Context())
			if err != nil {
				return err
			}
			return l.Reset(cmd.Context())
		},
	}
}

func bareCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "bare",
		Short: "Take Rainbond off all nodes, for rainbond-base; reset brings it back",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd.Context())
			if err != nil {
				return err
			}
			return l.Bare(cmd.Context())
		},
	}
}

func downCommand(open opener) *cobra.Command {
	var purge bool
	command := &cobra.Command{
		Use:   "down",
		Short: "Remove the lab, after a crash too",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd.Context())
			if err != nil {
				return err
			}
			return l.Down(cmd.Context(), purge)
		},
	}
	command.Flags().BoolVar(&purge, "purge", false, "remove the built images too")
	return command
}

func statusCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say which nodes run",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := open(cmd.Context())
			if err != nil {
				return err
			}
			if len(l.Nodes) == 0 {
				fmt.Println("down")
				return nil
			}
			for _, n := range l.Nodes {
				state := "off"
				running, err := n.Running()
				if err != nil {
					return err
				}
				if running {
					state = "on"
				}
				fmt.Printf("%-10s %-12s %s\n", n.Name, n.IP, state)
			}
			return nil
		},
	}
}

// find returns a node of a lab that is up, or says which there are.
func find(ctx context.Context, open opener, name string) (*lab.Node, error) {
	l, err := open(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range l.Nodes {
		if n.Name == name {
			return n, nil
		}
		names = append(names, n.Name)
	}
	if names == nil {
		return nil, errors.New("the lab is down: lab up makes it")
	}
	return nil, fmt.Errorf("no node %q; there are %v", name, names)
}

func nodeCommand(open opener, name, short string, do func(*lab.Node, context.Context) error) *cobra.Command {
	return &cobra.Command{
		Use:   name + " NODE",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := find(cmd.Context(), open, args[0])
			if err != nil {
				return err
			}
			return do(node, cmd.Context())
		},
	}
}

func execCommand(open opener) *cobra.Command {
	command := &cobra.Command{
		Use:   "exec NODE COMMAND [ARGUMENT…]",
		Short: "Run a command on a node as root, without ssh",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := find(cmd.Context(), open, args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Hour)
			defer cancel()
			out, err := node.Exec(ctx, args[1:]...)
			fmt.Print(out)
			failed, ok := errors.AsType[*lab.CommandError](err)
			if !ok {
				return err
			}
			if failed.Stderr != "" {
				fmt.Fprintln(os.Stderr, failed.Stderr)
			}
			return errors.Join(errRemote, err)
		},
	}
	command.Flags().SetInterspersed(false)
	return command
}

func changesCommand(open opener) *cobra.Command {
	return &cobra.Command{
		Use:   "changes NODE",
		Short: "List what differs on a node's disk from the installed state",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := find(cmd.Context(), open, args[0])
			if err != nil {
				return err
			}
			changes, err := node.Changes()
			for _, change := range changes {
				fmt.Printf("%-8s%q\n", change.Kind, change.Path)
			}
			return err
		},
	}
}
