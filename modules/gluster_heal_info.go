package modules

import (
	"context"
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// GlusterHealInfoArgs are the arguments of gluster_heal_info.
type GlusterHealInfoArgs struct {
	Name string `arg:"name,required" alias:"volume" doc:"The volume."`
}

func glusterHealInfoSpec() Spec {
	return Spec{
		Name:    "gluster_heal_info",
		Summary: "Read how much of a replicated volume is left to heal",
		Place:   OnHost,
		New:     func() Module { return &GlusterHealInfoArgs{} },
		Notes:   []string{"It changes nothing. Both sides have every file when entries is 0 and connected is true."},
		Returns: []Return{
			{Name: "bricks", Type: "list", Doc: "For each brick: name, status, entries (-1 when it cannot be asked)."},
			{Name: "entries", Type: "int", Doc: "Files left to heal on the bricks that could be asked, together."},
			{Name: "connected", Type: "bool", Doc: "Whether every brick could be asked."},
		},
		Examples: []Example{{"Wait until both sides are equal", `
gluster_heal_info:
  name: data
register: heal
until: heal.connected and heal.entries == 0
retries: 60
delay: 5`}},
	}
}

// Plan reads.
func (a *GlusterHealInfoArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	volume, err := lookGlusterVolume(ctx, host, a.Name)
	if err != nil {
		return Plan{}, err
	}
	if volume.Status == "" {
		return Plan{}, fmt.Errorf("there is no gluster volume %s", a.Name)
	}
	out, err := askGluster(ctx, host, "volume", "heal", a.Name, "info")
	if err != nil {
		return Plan{}, a.explain(ctx, host, err)
	}
	bricks, total, connected := []any{}, 0, true
	for _, brick := range out.Heal {
		n := brick.entries()
		connected = connected && n >= 0
		total += max(n, 0)
		bricks = append(bricks, map[string]any{"name": brick.Name, "status": brick.Status, "entries": n})
	}
	return Plan{Result: Result{"bricks": bricks, "entries": total, "connected": connected}}, nil
}

// explain tells a volume that would only be made or started, in check mode, from
// one that cannot be healed.
func (a *GlusterHealInfoArgs) explain(ctx context.Context, host sys.Reader, err error) error {
	later := &sys.UnknownError{What: "what the volume " + a.Name + " has left to heal", Because: "it would be created or started first"}
	if errors.Is(err, errNoGluster) {
		return later
	}
	out, really := askGluster(ctx, host, "volume", "info", a.Name)
	if really != nil || len(out.Volumes) == 0 || out.Volumes[0].Status != "Started" {
		volume, looked := lookGlusterVolume(ctx, host, a.Name)
		if looked == nil && volume.Status == "Started" {
			return later
		}
	}
	return fmt.Errorf("asking gluster what volume %s has left to heal: %w", a.Name, err)
}
