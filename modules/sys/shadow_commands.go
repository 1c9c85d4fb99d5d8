package sys

import (
	"context"
	"errors"
	"path/filepath"
)

// shadowCommands runs what only reads and remembers the rest.
type shadowCommands struct{ sh *Shadow }

func newShadowCommands(sh *Shadow) *shadowCommands { return &shadowCommands{sh: sh} }

// Probe runs c on the host beneath, where it sees nothing of the shadow.
func (s *shadowCommands) Probe(ctx context.Context, c Command) (Result, error) {
	return s.sh.under.Probe(ctx, c)
}

// Run records that c would run. Files that it does not say it creates are taken to
// be left as they are, or every task after a command would be unknown. Its
// arguments are not named: they may be long.
func (s *shadowCommands) Run(ctx context.Context, c Command) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, err
	}
	if len(c.Args) == 0 || c.Args[0] == "" {
		return Result{}, errors.New("no command is given")
	}
	name := filepath.Base(c.Args[0])
	s.sh.network.stirred("command " + name)
	if len(c.Creates) > 0 {
		s.sh.files.ran("the command "+name+" would be run", c.Creates...)
	}
	return Result{}, &UnknownError{
		What:    "what the command " + name + " does",
		Because: "commands are not run in check mode",
	}
}
