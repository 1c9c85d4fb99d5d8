package modules

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	out, err := a.ask(ctx, host)
	if err != nil {
		return Plan{}, a.explain(ctx, host, err)
	}
	// What could be asked is there. Only check mode may know that it would be gone.
	volume, err := sys.Look(ctx, host, glusterKey(a.Name), func(context.Context) (glusterVolume, error) {
		return glusterVolume{Name: a.Name, Status: "Started"}, nil
	})
	if err != nil {
		return Plan{}, err
	}
	if volume.Status == "" {
		return Plan{}, a.noVolume()
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

func (a *GlusterHealInfoArgs) noVolume() error {
	return fmt.Errorf("there is no gluster volume %s", a.Name)
}

// healers are the places of the program that gluster itself calls for heal info, and
// whose answer it hands on: the libexec folders of the distributions.
var healers = []string{
	"/usr/lib/x86_64-linux-gnu/glusterfs/glfsheal", "/usr/lib/aarch64-linux-gnu/glusterfs/glfsheal",
	"/usr/libexec/glusterfs/glfsheal", "/usr/lib/glusterfs/glfsheal",
}

// ask calls that program, which saves two thirds of the time: gluster runs a program
// in Python before whatever it is asked. Unless the answer is a whole one gluster is
// asked, which waits for a glusterd that is about to come, and says what is wrong.
func (a *GlusterHealInfoArgs) ask(ctx context.Context, host sys.Reader) (glusterOutput, error) {
	for _, healer := range healers {
		info, err := host.Files().Stat(ctx, healer)
		if err != nil || info.Type != sys.Regular || strings.HasPrefix(a.Name, "-") {
			continue
		}
		c := glusterCommand()
		c.Args = []string{healer, a.Name, "--xml"}
		said, err := host.Probe(ctx, c)
		if err != nil || said.Code != 0 {
			break
		}
		if out, err := parseGluster(said.Stdout); err == nil && len(out.Heal) > 0 {
			return out, nil
		}
		break
	}
	return askGluster(ctx, host, "volume", "heal", a.Name, "info")
}

// explain tells a volume that is not there, or would only be made or started, in
// check mode, from one that cannot be healed.
func (a *GlusterHealInfoArgs) explain(ctx context.Context, host sys.Reader, err error) error {
	volume, looked := lookGlusterVolume(ctx, host, a.Name)
	if looked != nil {
		return looked
	}
	if volume.Status == "" {
		return a.noVolume()
	}
	later := &sys.UnknownError{What: "what the volume " + a.Name + " has left to heal", Because: "it would be created or started first"}
	if errors.Is(err, errNoGluster) {
		return later
	}
	out, really := askGluster(ctx, host, "volume", "info", a.Name)
	if really != nil || len(out.Volumes) == 0 || out.Volumes[0].Status != "Started" {
		if volume.Status == "Started" {
			return later
		}
	}
	return fmt.Errorf("asking gluster what volume %s has left to heal: %w", a.Name, err)
}
