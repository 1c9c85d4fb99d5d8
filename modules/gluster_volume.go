package modules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// GlusterVolumeArgs are the arguments of gluster_volume.
type GlusterVolumeArgs struct {
	Name      string            `arg:"name,required" alias:"volume" doc:"The volume."`
	State     string            `arg:"state" default:"present" choices:"present,started,stopped,absent" doc:"present creates it, and starts what it has created unless start is no; started and stopped also create it. absent stops and deletes it; the files stay on the bricks."`
	Bricks    []string          `arg:"bricks" alias:"brick" doc:"The bricks as HOST:/PATH; or with cluster only the paths, each taken on every host."`
	Cluster   []string          `arg:"cluster" doc:"The hosts of the bricks, when bricks are paths."`
	Replicas  int               `arg:"replicas" default:"1" alias:"replica" doc:"How many copies of each file, the arbiter included."`
	Arbiters  int               `arg:"arbiters" default:"0" alias:"arbiter" doc:"1 makes every third brick keep names only."`
	Transport string            `arg:"transport" default:"tcp" choices:"tcp,rdma" doc:"The transport between bricks and clients."`
	Options   map[string]string `arg:"options" doc:"Options of the volume, by their full names. Others that are set stay."`
	Force     bool              `arg:"force" default:"no" doc:"Let bricks lie on the root file system, or be mount points."`
	Start     bool              `arg:"start" alias:"start_on_create" default:"yes" doc:"With present, start the volume when it is not."`
}

func glusterVolumeSpec() Spec {
	return Spec{
		Name:    "gluster_volume",
		Aliases: []string{"gluster.gluster.gluster_volume"},
		Summary: "Create, start and configure a volume of GlusterFS",
		Place:   OnHost,
		New:     func() Module { return &GlusterVolumeArgs{} },
		Notes: []string{
			"Run it on one member of the pool. A volume of that name with other bricks or another number of replicas is refused: bricks hold files, and are not moved here.",
			"With arbiters: 1, a volume of two replicas gets the arbiters that it lacks, while it serves; gluster_heal_info tells when they have every name.",
			"present also starts a volume that was created but never started, so that an interrupted run is finished by the next; one that somebody has stopped it leaves alone.",
		},
		Returns: []Return{{Name: "volume", Type: "dict", Doc: "The volume: name, status, replicas, bricks, and those of options that were asked for."}},
		Examples: []Example{{"A file is on both nodes; a node that dies stalls IO for 10 seconds", `
gluster_volume:
  name: data
  cluster: [compute01, compute02]
  bricks: /data/glusterfs
  replicas: 2
  force: yes
  options:
    network.ping-timeout: 10`}},
	}
}

// Validate holds the rules that involve more than one option.
func (a *GlusterVolumeArgs) Validate() error {
	if a.Name == "" || strings.Trim(a.Name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || a.Name[0] == '-' {
		return fmt.Errorf("gluster_volume: name: %q; letters, digits, _ and - only", a.Name)
	}
	if a.State == "absent" {
		return nil
	}
	bricks := a.bricks()
	if len(bricks) == 0 {
		return errors.New("gluster_volume: bricks are missing")
	}
	for _, brick := range bricks {
		host, path, ok := strings.Cut(brick, ":")
		if !ok || host == "" || host[0] == '-' || !strings.HasPrefix(path, "/") {
			return fmt.Errorf("gluster_volume: bricks: %q is not HOST:/PATH; give cluster when bricks are paths only", brick)
		}
	}
	if a.Replicas < 1 || len(bricks)%a.Replicas != 0 {
		return fmt.Errorf("gluster_volume: %d bricks cannot be shared out to %d replicas each", len(bricks), a.Replicas)
	}
	if a.Arbiters != 0 && (a.Arbiters != 1 || a.Replicas != 3) {
		return errors.New("gluster_volume: arbiters: 1 goes with replicas: 3 only")
	}
	return nil
}

// bricks lists HOST:/PATH, each path on every host before the next.
func (a *GlusterVolumeArgs) bricks() []string {
	if len(a.Cluster) == 0 {
		return a.Bricks
	}
	var bricks []string
	for _, path := range a.Bricks {
		for _, host := range a.Cluster {
			bricks = append(bricks, host+":"+path)
		}
	}
	return bricks
}

// Plan compares the volume with what is wanted.
func (a *GlusterVolumeArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	now, err := lookGlusterVolume(ctx, host, a.Name)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Result: Result{"volume": a.result(now)}}
	if a.State == "absent" {
		plan.Steps = a.remove(now)
		return plan, nil
	}
	if now.Status == "" {
		now = glusterVolume{Name: a.Name, Status: "Created", Replicas: a.Replicas, Arbiters: a.Arbiters, Transport: a.Transport, Bricks: a.bricks()}
		plan.Steps = append(plan.Steps, a.create(now))
	} else if lacking := a.lackingArbiters(ctx, host, now); len(lacking) > 0 {
		before := now
		now = now.with(func(v *glusterVolume) {
			v.Replicas, v.Arbiters, v.Bricks = a.Replicas, a.Arbiters, withArbiters(v.Bricks, lacking)
		})
		plan.Steps = append(plan.Steps, a.addArbiters(before, now, lacking))
	} else if err := a.refuse(ctx, host, now); err != nil {
		return Plan{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(a.Options)) {
		value := optionValue(a.Options[name])
		full, old := now.option(name)
		if old == value {
			continue
		}
		now = now.with(func(v *glusterVolume) { v.Options[full] = value })
		plan.Steps = append(plan.Steps, setVolumeOption(now, full, old, value))
	}
	if step := a.startOrStop(now); step != nil {
		plan.Steps = append(plan.Steps, step)
	}
	return plan, nil
}

func (a *GlusterVolumeArgs) result(v glusterVolume) map[string]any {
	options := map[string]any{}
	for name := range a.Options {
		full, value := v.option(name)
		options[full] = value
	}
	return map[string]any{"name": a.Name, "status": v.Status, "replicas": max(v.Replicas, 1), "bricks": orEmpty(v.Bricks), "options": options}
}

// option finds an option by its full name or by the part behind the first dot.
// Booleans are read as on and off.
func (v glusterVolume) option(name string) (full, value string) {
	if value, ok := v.Options[name]; ok {
		return name, optionValue(value)
	}
	if !strings.Contains(name, ".") {
		for full, value := range v.Options {
			if _, short, _ := strings.Cut(full, "."); short == name {
				return full, optionValue(value)
			}
		}
	}
	return name, ""
}

func optionValue(text string) string {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "enable":
		return "on"
	case "false", "no", "off", "disable":
		return "off"
	}
	return text
}

// refuse names what cannot be changed in an existing volume.
func (a *GlusterVolumeArgs) refuse(ctx context.Context, host sys.Reader, now glusterVolume) error {
	want := a.bricks()
	if !sameNames(want, now.Bricks) {
		same := len(want) == len(now.Bricks) && !slices.ContainsFunc(want, func(w string) bool {
			return !slices.ContainsFunc(now.Bricks, func(n string) bool { return sameBrick(ctx, host, w, n) })
		})
		if !same {
			return fmt.Errorf("there is a volume %s already, with other bricks: it has %s, wanted are %s; give the new one another name, or remove the old one by hand", a.Name, strings.Join(now.Bricks, " "), strings.Join(want, " "))
		}
	}
	if max(now.Replicas, 1) != a.Replicas || now.Arbiters != a.Arbiters {
		return fmt.Errorf("there is a volume %s already, with %d replicas (%d arbiter), not %d (%d); this module does not convert volumes", a.Name, max(now.Replicas, 1), now.Arbiters, a.Replicas, a.Arbiters)
	}
	if now.Transport != "" && now.Transport != a.Transport {
		return fmt.Errorf("there is a volume %s already, with the transport %s, not %s", a.Name, now.Transport, a.Transport)
	}
	return nil
}

// lackingArbiters are the bricks that make a volume of two replicas the wanted one: of
// every three that are wanted it has the first two, and lacks the third.
func (a *GlusterVolumeArgs) lackingArbiters(ctx context.Context, host sys.Reader, now glusterVolume) []string {
	want := a.bricks()
	if a.Arbiters != 1 || now.Arbiters != 0 || now.Replicas != 2 || now.Transport != a.Transport || len(now.Bricks)*3 != len(want)*2 {
		return nil
	}
	var lacking []string
	for i := 0; i < len(want); i += 3 {
		pair := now.Bricks[i/3*2:][:2]
		for _, brick := range want[i : i+2] {
			if !slices.ContainsFunc(pair, func(has string) bool { return has == brick || sameBrick(ctx, host, has, brick) }) {
				return nil
			}
		}
		lacking = append(lacking, want[i+2])
	}
	return lacking
}

// withArbiters puts one behind each pair of bricks, as gluster does.
func withArbiters(bricks, arbiters []string) []string {
	var all []string
	for i, arbiter := range arbiters {
		all = append(all, bricks[2*i], bricks[2*i+1], arbiter)
	}
	return all
}

// addArbiters while the volume serves: gluster heals them from the others.
func (a *GlusterVolumeArgs) addArbiters(before, after glusterVolume, bricks []string) Step {
	args := append([]string{"volume", "add-brick", a.Name, "replica", "3", "arbiter", "1"}, bricks...)
	if a.Force {
		args = append(args, "force")
	}
	return makeVolume(update("gluster volume "+a.Name, "bricks", before.shown(), after.shown()), after, args...)
}

// shown is what a change of the bricks tells of a volume.
func (v glusterVolume) shown() string {
	return fmt.Sprintf("replica %d: %s", max(v.Replicas, 1), strings.Join(v.Bricks, " "))
}

func sameNames(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func sameBrick(ctx context.Context, host sys.Reader, a, b string) bool {
	hostA, pathA, _ := strings.Cut(a, ":")
	hostB, pathB, _ := strings.Cut(b, ":")
	return trimSlash(pathA) == trimSlash(pathB) && sameHost(ctx, host, hostA, hostB)
}

func (a *GlusterVolumeArgs) startOrStop(now glusterVolume) Step {
	starts := a.State == "started" || a.State == "present" && a.Start && now.Status == "Created"
	switch {
	case starts && now.Status != "Started":
		return volumeStep(now, "Started", "volume", "start", now.Name)
	case a.State == "stopped" && now.Status == "Started":
		return volumeStep(now, "Stopped", "volume", "stop", now.Name)
	}
	return nil
}

func volumeStep(now glusterVolume, status string, args ...string) Step {
	after := now.with(func(v *glusterVolume) { v.Status = status })
	return makeVolume(update("gluster volume "+now.Name, "status", now.Status, status), after, args...)
}

// makeVolume is a step that brings about the state after by a gluster command.
func makeVolume(c change.Change, after glusterVolume, args ...string) Step {
	return act{changes: []change.Change{c}, do: func(ctx context.Context, host sys.Host, _ Result) error {
		key := strings.TrimPrefix(c.Target, "gluster volume ")
		return host.Change().Resources().Make(ctx, glusterKey(key), after, func(ctx context.Context) error {
			if err := runGluster(ctx, host, args...); err != nil {
				return fmt.Errorf("gluster %s: %w", strings.Join(args[:2], " "), err)
			}
			return nil
		})
	}}
}

func (a *GlusterVolumeArgs) create(after glusterVolume) Step {
	args := []string{"volume", "create", a.Name}
	if a.Replicas > 1 {
		args = append(args, "replica", strconv.Itoa(a.Replicas))
	}
	if a.Arbiters > 0 {
		args = append(args, "arbiter", strconv.Itoa(a.Arbiters))
	}
	args = append(append(args, "transport", a.Transport), after.Bricks...)
	if a.Force {
		args = append(args, "force")
	}
	return makeVolume(change.Change{
		Target: "gluster volume " + a.Name, Action: change.Create, Field: "bricks",
		After: change.Text(after.shown()),
	}, after, args...)
}

func setVolumeOption(after glusterVolume, name, old, value string) Step {
	c := update("gluster volume "+after.Name, name, old, value)
	if old == "" {
		c.Before = change.Absent()
	}
	return makeVolume(c, after, "volume", "set", after.Name, name, value)
}

func (a *GlusterVolumeArgs) remove(now glusterVolume) []Step {
	if now.Status == "" {
		return nil
	}
	var steps []Step
	if now.Status == "Started" {
		steps = append(steps, volumeStep(now, "Stopped", "volume", "stop", now.Name))
	}
	return append(steps, makeVolume(change.Change{
		Target: "gluster volume " + now.Name, Action: change.Remove, Field: "bricks",
		Before: change.Text(now.shown()),
	}, glusterVolume{}, "volume", "delete", now.Name))
}
