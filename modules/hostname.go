package modules

import (
	"context"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// HostnameArgs are the arguments of hostname.
type HostnameArgs struct {
	Name string `arg:"name,required" doc:"The name of the host."`
}

func hostnameSpec() Spec {
	return Spec{
		Name:    "hostname",
		Summary: "Set the name of the host, live and over a boot",
		Place:   OnHost,
		New:     func() Module { return &HostnameArgs{} },
		Notes: []string{
			"The kernel's name and /etc/hostname are set, and shown one by one. There is no option use: every system with /etc/hostname is served in the same way.",
			"Facts that are already gathered keep the old name until setup runs again. /etc/hosts is the module hosts' business.",
		},
		Returns: []Return{{Name: "name", Type: "string", Doc: "The name."}},
		Examples: []Example{{"A name", `
hostname:
  name: compute01`}},
	}
}

var hostnamePattern = lazy.Regexp(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// Validate refuses what the kernel or DNS would not take.
func (a *HostnameArgs) Validate() error {
	if len(a.Name) > 64 || !hostnamePattern().MatchString(a.Name) {
		return fmt.Errorf("hostname: name: %q is no name of a host: letters, digits, - and dots, at most 64", a.Name)
	}
	return nil
}

// Plan compares the kernel's name and the file.
func (a *HostnameArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	system, err := host.System(ctx)
	if err != nil {
		return Plan{}, fmt.Errorf("looking at the host's name: %w", err)
	}
	file, err := openText(ctx, host, "/etc/hostname")
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Once: Result{}}
	if a.Name+"\n" != file.text {
		if plan, err = file.become(ctx, host, a.Name+"\n", TextOptions{}); err != nil {
			return Plan{}, err
		}
	}
	plan.Result = Result{"name": a.Name}
	if system.Hostname != a.Name {
		c := update("hostname", "kernel", system.Hostname, a.Name)
		plan.Steps = append(plan.Steps, act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
			return host.Change().Resources().Make(ctx, sys.HostnameKey, a.Name, func(ctx context.Context) error {
				return runProgram(ctx, host, "hostname", a.Name)
			})
		}})
	}
	return plan, nil
}
