package modules

import (
	"context"
	"errors"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// PingArgs are the arguments of ping.
type PingArgs struct {
	Data string `arg:"data" default:"pong" doc:"What to answer. With crash it fails, to try how a play deals with that."`
}

func pingSpec() Spec {
	return Spec{
		Name:     "ping",
		Summary:  "See whether a host can be reached and its agent answers",
		Place:    OnHost,
		New:      func() Module { return &PingArgs{} },
		Returns:  []Return{{Name: "ping", Type: "string", Doc: "The data argument."}},
		Examples: []Example{{"Every host must answer", "ping:"}},
	}
}

// Plan answers.
func (a *PingArgs) Plan(context.Context, sys.Reader) (Plan, error) {
	if a.Data == "crash" {
		return Plan{}, errors.New("boom")
	}
	return Plan{Result: Result{"ping": a.Data}}, nil
}
