package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// MountArgs are the arguments of mount.
type MountArgs struct {
	Path   string `arg:"path,required" alias:"name" doc:"The mount point. A file system is never touched to look at it, so a dead one cannot hang the task."`
	Src    string `arg:"src" doc:"What is mounted: a device, UUID=, LABEL=, host:/path. Needed for mounted, present and ephemeral."`
	Fstype string `arg:"fstype" doc:"The type of the file system, as in fstab. Needed for mounted, present and ephemeral."`
	Opts   string `arg:"opts" doc:"The options, separated by commas; defaults when not given. Their order is of no account."`
	State  string `arg:"state,required" choices:"mounted,present,unmounted,absent,remounted,ephemeral" doc:"mounted: mounted now and in fstab, its folder made. present: in fstab only. unmounted: not mounted, fstab as it is. absent: not mounted, not in fstab, its folder removed when that is empty. remounted: mounted anew, always. ephemeral: mounted now, fstab as it is."`
	Boot   bool   `arg:"boot" default:"yes" doc:"With no, noauto is added to the options."`
	Dump   string `arg:"dump" default:"0" doc:"The fifth field of fstab."`
	Passno string `arg:"passno" default:"0" doc:"The sixth field of fstab: the order of fsck at boot."`
	Fstab  string `arg:"fstab" default:"/etc/fstab" doc:"The file to edit in place of /etc/fstab."`
	Backup bool   `arg:"backup" default:"no" doc:"Keep the old fstab beside the new one."`
}

func mountSpec() Spec {
	return Spec{
		Name:    "mount",
		Aliases: []string{"ansible.posix.mount"},
		Summary: "Mount and unmount file systems, now and in fstab",
		Place:   OnHost,
		New:     func() Module { return &MountArgs{} },
		Notes: []string{
			"A new line is written to fstab only once the file system is mounted, so that a wrong one cannot stop the next boot. The other lines and comments stay as they are.",
			"When the line of a mounted file system changes, it is remounted if only its options differ (or unmounted and mounted where its type cannot do that), and unmounted and mounted if it comes from elsewhere. What is stacked at the path is unmounted layer by layer.",
			"Two lines for one path are an error, except for absent, which removes both.",
		},
		Returns: []Return{
			{Name: "name", Type: "string", Doc: "The mount point."},
			{Name: "src", Type: "string", Doc: "The src argument."},
			{Name: "fstype", Type: "string", Doc: "The fstype argument."},
			{Name: "opts", Type: "string", Doc: "The options, with the default and noauto."},
			{Name: "boot", Type: "string", Doc: "yes or no."},
			{Name: "dump", Type: "string", Doc: "The dump argument."},
			{Name: "passno", Type: "string", Doc: "The passno argument."},
			{Name: "fstab", Type: "string", Doc: "The file of the lines."},
			{Name: "backup_file", Type: "string", Doc: "Where the old fstab was kept, with backup."},
		},
		Examples: []Example{
			{"A replicated volume that outlives either of its nodes", `
mount:
  path: /grdata
  src: compute01:/data
  fstype: glusterfs
  opts: backupvolfile-server=compute02,use-readdirp=no,log-level=WARNING
  state: mounted`},
			{"Take what is mounted away, with its line", `
mount:
  path: /mnt/old
  state: absent`},
		},
	}
}

// Validate holds the rules that involve more than one option.
func (a *MountArgs) Validate() error {
	if !path.IsAbs(a.Path) && a.Fstype != "swap" {
		return fmt.Errorf("mount: path: %s is not an absolute path", a.Path)
	}
	if a.Path != "" && path.Clean(a.Path) == "/" && (a.State == "absent" || a.State == "unmounted") {
		return errors.New("mount: / cannot be unmounted")
	}
	if slices.Contains([]string{"mounted", "present", "ephemeral"}, a.State) && (a.Src == "" || a.Fstype == "") {
		return fmt.Errorf("mount: state %s needs src and fstype", a.State)
	}
	if a.Fstype == "swap" && a.State != "present" && a.State != "absent" {
		return errors.New("mount: swap has no mount point; its state is present or absent")
	}
	for name, field := range map[string]string{"dump": a.Dump, "passno": a.Passno} {
		if field == "" || strings.Trim(field, "0123456789") != "" {
			return fmt.Errorf("mount: %s: wants a number, got %q", name, field)
		}
	}
	return nil
}

// entry is the wanted line.
func (a *MountArgs) entry() fstabEntry {
	options := a.Opts
	if options == "" {
		options = "defaults"
	}
	if !a.Boot && !slices.Contains(strings.Split(options, ","), "noauto") {
		options += ",noauto"
	}
	return fstabEntry{source: a.Src, target: a.target(), fstype: a.Fstype, options: options, dump: a.Dump, passno: a.Passno}
}

func (a *MountArgs) target() string {
	if path.IsAbs(a.Path) {
		return path.Clean(a.Path)
	}
	return a.Path
}

func (a *MountArgs) wish() sys.Mount {
	e := a.entry()
	return sys.Mount{Source: e.source, Target: e.target, Type: e.fstype, Options: e.options}
}

// Plan compares the mount table and fstab with what is wanted.
func (a *MountArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	layers, err := mountedAt(ctx, host, a.target())
	if err != nil {
		return Plan{}, err
	}
	table, err := a.table(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	switch a.State {
	case "mounted":
		plan, err = a.mounted(ctx, host, layers, table)
	case "present":
		plan = table.plan
	case "unmounted":
		plan.Steps = unmountAll(layers)
	case "absent":
		plan, err = a.absent(ctx, host, layers, table)
	default:
		plan, err = a.anew(ctx, host, layers)
	}
	if err != nil {
		return Plan{}, err
	}
	plan.Result = a.result()
	return plan, nil
}

// result is what was asked for, as Ansible reports it. The kernel's own words for
// it differ from mount to mount.
func (a *MountArgs) result() Result {
	e := a.entry()
	return Result{
		"name": e.target, "src": e.source, "fstype": e.fstype, "opts": e.options,
		"boot": yesNo(a.Boot), "dump": e.dump, "passno": e.passno, "fstab": a.Fstab,
	}
}

// mountedAt lists what is mounted at target, the topmost last. The table holds
// real paths; links are followed only when the path itself is not in it, since
// looking at a dead file system would hang.
func mountedAt(ctx context.Context, host sys.Reader, target string) ([]sys.Mount, error) {
	all, err := host.Mounts().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the mount table: %w", err)
	}
	at := func(target string) []sys.Mount {
		return slices.DeleteFunc(slices.Clone(all), func(m sys.Mount) bool { return m.Target != target })
	}
	if layers := at(target); len(layers) > 0 || !path.IsAbs(target) {
		return layers, nil
	}
	resolved, err := realpath(ctx, host.Files(), target)
	if _, unknown := sys.Unknown(err); unknown {
		return nil, nil // uncovered in the shadow: a mount point until now, so no link
	}
	if there, err := present(err); !there {
		return nil, err
	}
	return at(resolved), nil
}

// fstabPlan is the edit of fstab that a task wants, if any.
type fstabPlan struct {
	plan    Plan
	changed bool
}

func (a *MountArgs) table(ctx context.Context, host sys.Reader) (fstabPlan, error) {
	if !slices.Contains([]string{"mounted", "present", "absent"}, a.State) {
		return fstabPlan{}, nil
	}
	file, err := openText(ctx, host, a.Fstab)
	if err != nil {
		return fstabPlan{}, err
	}
	old := parseFstab(file.text)
	edited, changed := old.without(a.entry())
	if a.State != "absent" {
		if edited, changed, err = old.with(a.entry()); err != nil {
			return fstabPlan{}, fmt.Errorf("%s: %w", a.Fstab, err)
		}
	}
	if !changed {
		return fstabPlan{}, nil
	}
	plan, err := file.become(ctx, host, edited.String(), TextOptions{WriteOptions{Backup: a.Backup}})
	return fstabPlan{plan: plan, changed: true}, err
}

func (a *MountArgs) mounted(ctx context.Context, host sys.Reader, layers []sys.Mount, table fstabPlan) (Plan, error) {
	plan := Plan{Once: table.plan.Once}
	switch {
	case len(layers) == 0:
		folders, err := makeFolders(ctx, host, a.target())
		if err != nil {
			return Plan{}, err
		}
		plan.Steps = slices.Concat(folders, []Step{mountStep(a.wish())})
	default:
		same, err := a.same(ctx, host, layers[len(layers)-1])
		if err != nil {
			return Plan{}, err
		}
		if !same {
			plan.Steps = append(unmountAll(layers), mountStep(a.wish()))
		} else if table.changed {
			plan.Steps = []Step{remountStep(a.wish())}
		}
	}
	plan.Steps = append(plan.Steps, table.plan.Steps...)
	return plan, nil
}

// anew mounts or remounts, whatever fstab says.
func (a *MountArgs) anew(ctx context.Context, host sys.Reader, layers []sys.Mount) (Plan, error) {
	if len(layers) == 0 {
		if a.State == "remounted" {
			return Plan{}, fmt.Errorf("nothing is mounted at %s, so it cannot be remounted; use state: mounted", a.target())
		}
		folders, err := makeFolders(ctx, host, a.target())
		if err != nil {
			return Plan{}, err
		}
		return Plan{Steps: append(folders, mountStep(a.wish()))}, nil
	}
	top := layers[len(layers)-1]
	if a.State == "remounted" {
		m := sys.Mount{Source: top.Source, Target: top.Target, Type: top.Type, Options: a.Opts}
		return Plan{Steps: []Step{happening("mount "+m.Target, "remount", func(ctx context.Context, host sys.Host, _ Result) error {
			return remount(ctx, host, m)
		})}}, nil
	}
	same, err := a.same(ctx, host, top)
	if err != nil {
		return Plan{}, err
	}
	if !same {
		return Plan{}, fmt.Errorf("%s is mounted at %s already, not %s; unmount it first", top.Source, top.Target, a.Src)
	}
	return Plan{Steps: []Step{remountStep(a.wish())}}, nil
}

func (a *MountArgs) absent(ctx context.Context, host sys.Reader, layers []sys.Mount, table fstabPlan) (Plan, error) {
	plan := Plan{Once: table.plan.Once, Steps: table.plan.Steps}
	if a.Fstype == "swap" {
		return plan, nil
	}
	folder := &emptyFolder{path: a.target(), wanted: true}
	for i, step := range unmountAll(layers) {
		if i == len(layers)-1 {
			step = andThen(step, folder.look)
		}
		plan.Steps = append(plan.Steps, step)
	}
	if len(layers) == 0 {
		// Only what nothing is mounted on may be looked at.
		if err := folder.look(ctx, host); err != nil {
			return Plan{}, err
		}
		if !folder.wanted {
			return plan, nil
		}
	}
	plan.Steps = append(plan.Steps, folder)
	return plan, nil
}

// andThen does more after step, on the host as it then is.
func andThen(step Step, more func(ctx context.Context, host sys.Reader) error) Step {
	return act{changes: step.Changes(), do: func(ctx context.Context, host sys.Host, result Result) error {
		if err := step.Do(ctx, host, result); err != nil {
			return err
		}
		return more(ctx, sys.ReadOnly(host))
	}}
}

// emptyFolder is the step that removes a mount point, unless it turns out that
// the mount has hidden files in it: those are nobody's to remove.
type emptyFolder struct {
	path   string
	wanted bool
}

func (f *emptyFolder) look(ctx context.Context, host sys.Reader) error {
	at, err := look(ctx, host, f.path)
	if err != nil {
		return err
	}
	f.wanted = false
	if !at.is(sys.Directory) {
		return nil
	}
	names, err := host.Files().ReadDir(ctx, f.path)
	if err != nil {
		return fmt.Errorf("looking into %s: %w", f.path, err)
	}
	f.wanted = len(names) == 0
	return nil
}

func (f *emptyFolder) Changes() []change.Change {
	if !f.wanted {
		return nil
	}
	return []change.Change{{Target: f.path, Action: change.Remove, Field: "state", Before: change.Text("directory")}}
}

func (f *emptyFolder) Do(ctx context.Context, host sys.Host, _ Result) error {
	return host.Change().Files().Remove(ctx, f.path)
}

// makeFolders plans the mount point with the folders above it.
func makeFolders(ctx context.Context, host sys.Reader, target string) ([]Step, error) {
	var missing []string
	for p := target; p != "/"; p = path.Dir(p) {
		info, err := host.Files().Stat(ctx, p)
		if isFolderAtLeast(err) {
			break
		}
		there, err := present(err)
		if err != nil {
			return nil, fmt.Errorf("looking at %s: %w", p, err)
		}
		if there && info.Type != sys.Directory {
			return nil, fmt.Errorf("%s is no directory, so nothing can be mounted there", p)
		}
		if there {
			break
		}
		missing = append(missing, p)
	}
	slices.Reverse(missing)
	steps := make([]Step, 0, len(missing))
	for _, p := range missing {
		steps = append(steps, makeFolder(p))
	}
	return steps, nil
}

func makeFolder(p string) Step {
	mode := uint32(newDirectoryMode)
	return act{
		changes: []change.Change{{Target: p, Action: change.Create, Field: "state", After: change.Text("directory")}},
		do: func(ctx context.Context, host sys.Host, _ Result) error {
			return host.Change().Files().Mkdir(ctx, p, sys.Attributes{Mode: &mode})
		},
	}
}

// shownMount names the type as fstab does: the mount table has the kernel's name
// for it, which a prediction cannot know.
func shownMount(m sys.Mount) string {
	fstype := strings.TrimPrefix(m.Type, "fuse.")
	if fstype == "nfs4" {
		fstype = "nfs"
	}
	return m.Source + " (" + fstype + ")"
}

func mountStep(m sys.Mount) Step {
	return act{
		changes: []change.Change{{Target: "mount " + m.Target, Action: change.Create, Field: "source", After: change.Text(shownMount(m))}},
		do: func(ctx context.Context, host sys.Host, _ Result) error {
			return host.Change().Mounts().Mount(ctx, m)
		},
	}
}

// unmountAll unmounts every layer, the topmost first.
func unmountAll(layers []sys.Mount) []Step {
	var steps []Step
	for _, m := range slices.Backward(layers) {
		steps = append(steps, act{
			changes: []change.Change{{Target: "mount " + m.Target, Action: change.Remove, Field: "source", Before: change.Text(shownMount(m))}},
			do: func(ctx context.Context, host sys.Host, _ Result) error {
				return host.Change().Mounts().Unmount(ctx, m.Target)
			},
		})
	}
	return steps
}

func remountStep(m sys.Mount) Step {
	return act{
		changes: []change.Change{{Target: "mount " + m.Target, Action: change.Run, Field: "remount", After: change.Text(m.Options)}},
		do: func(ctx context.Context, host sys.Host, _ Result) error {
			return remount(ctx, host, m)
		},
	}
}

// remount gives a mounted file system its options. FUSE and some others cannot
// take new ones while mounted; those are unmounted and mounted.
func remount(ctx context.Context, host sys.Host, m sys.Mount) error {
	again := m
	again.Options = strings.TrimSuffix("remount,"+m.Options, ",")
	first := errors.ErrUnsupported
	if !strings.HasPrefix(m.Type, "fuse") && m.Type != "glusterfs" {
		if first = host.Change().Mounts().Mount(ctx, again); first == nil || ctx.Err() != nil {
			return first
		}
	}
	if err := host.Change().Mounts().Unmount(ctx, m.Target); err != nil {
		return fmt.Errorf("%s can be neither remounted (%w) nor unmounted: %w", m.Target, first, err)
	}
	return host.Change().Mounts().Mount(ctx, m)
}

// same reports whether top is what the task wants to see mounted.
func (a *MountArgs) same(ctx context.Context, host sys.Reader, top sys.Mount) (bool, error) {
	options := strings.Split(a.Opts, ",")
	if slices.Contains(options, "bind") || slices.Contains(options, "rbind") {
		return sameFile(ctx, host, a.Src, top.Target)
	}
	if !sameType(a.Fstype, top.Type) {
		return false, nil
	}
	if sourceName(a.Src, a.Fstype) == sourceName(top.Source, a.Fstype) {
		return true, nil
	}
	want, err := device(ctx, host, a.Src)
	if err != nil || want == "" {
		return false, err
	}
	have, err := device(ctx, host, top.Source)
	return want == have, err
}

// sameFile sees a bind mount by its root: the table shows only the device.
func sameFile(ctx context.Context, host sys.Reader, a, b string) (bool, error) {
	first, err := host.Files().Stat(ctx, a)
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", a, err)
	}
	second, err := host.Files().Stat(ctx, b)
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", b, err)
	}
	return first.Dev == second.Dev && first.Inode == second.Inode, nil
}

// sameType compares a type of fstab with one of the mount table, where a mount
// helper may show as fuse.NAME and the kernel has chosen a version.
func sameType(want, have string) bool {
	switch {
	case want == have, want == "auto", have == "fuse."+want:
		return true
	case want == "nfs" && have == "nfs4", want == "smb3" && have == "cifs":
		return true
	case strings.HasPrefix(want, "ntfs"):
		return have == "fuseblk" || have == "ntfs3"
	case want == "fuse":
		return strings.HasPrefix(have, "fuse.")
	}
	return false
}

// sourceName writes the names of one network source alike.
func sourceName(source, fstype string) string {
	switch fstype {
	case "nfs", "nfs4":
		return trimSlash(source)
	case "glusterfs":
		host, volume, _ := strings.Cut(source, ":")
		return host + ":" + strings.Trim(volume, "/")
	}
	return source
}

// device is the node that a device name or tag leads to, "" for other sources and
// for one that is not there.
func device(ctx context.Context, host sys.Reader, source string) (string, error) {
	for tag, folder := range map[string]string{"UUID=": "by-uuid", "LABEL=": "by-label", "PARTUUID=": "by-partuuid", "PARTLABEL=": "by-partlabel"} {
		if value, ok := strings.CutPrefix(source, tag); ok {
			source = "/dev/disk/" + folder + "/" + strings.Trim(value, `"`)
		}
	}
	if !strings.HasPrefix(source, "/dev/") {
		return "", nil
	}
	resolved, err := realpath(ctx, host.Files(), source)
	there, err := present(err)
	if !there {
		return "", err
	}
	return resolved, nil
}
