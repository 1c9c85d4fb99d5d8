package modules

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// wouldCome reports whether a program that is not on the host would be there once
// the earlier tasks are really done: one of its packages is installed, but only in
// a shadow. On a real host the answer is always no.
func wouldCome(ctx context.Context, host sys.Reader, packages ...string) (bool, error) {
	known, err := host.Packages().Query(ctx, packages...)
	if _, unknown := sys.Unknown(err); unknown {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for installed packages: %w", err)
	}
	installed := false
	for _, p := range known {
		installed = installed || p.Installed != ""
	}
	if !installed {
		return false, nil
	}
	err = host.Pause(ctx, 0)
	if _, unknown := sys.Unknown(err); unknown {
		return true, nil
	}
	return false, err
}

// missingProgram is the error for a program that is not on the host; where one of
// its packages would be installed first, nobody can know what it will say.
func missingProgram(ctx context.Context, host sys.Reader, program string, packages ...string) error {
	comes, err := wouldCome(ctx, host, packages...)
	if err != nil {
		return err
	}
	if comes {
		return &sys.UnknownError{What: "what " + program + " would say", Because: "it would be installed first"}
	}
	return errors.New(program + " is not installed on this host")
}

// runProgram runs a program with effects; an exit code other than 0 is an error
// with what it said.
func runProgram(ctx context.Context, host sys.Host, args ...string) error {
	out, err := host.Change().Run(ctx, sys.Command{Args: args, Env: []string{"LC_ALL=C.UTF-8"}, Timeout: 5 * time.Minute})
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return errors.New(args[0] + " is not installed on this host")
	case err != nil:
		return fmt.Errorf("running %s: %w", args[0], err)
	case out.Code != 0:
		return fmt.Errorf("%s ended with code %d: %s", args[0], out.Code, strings.TrimSpace(string(out.Stderr)+string(out.Stdout)))
	}
	return nil
}
