package modules

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// SysctlArgs are the arguments of sysctl.
type SysctlArgs struct {
	Name       string `arg:"name,required" alias:"key" doc:"The key, as in net.ipv4.ip_forward; slashes do as well."`
	Value      string `arg:"value" alias:"val" doc:"Its value. Required for present."`
	State      string `arg:"state" default:"present" choices:"present,absent" doc:"Whether the key should be in the file."`
	SysctlFile string `arg:"sysctl_file" type:"path" default:"/etc/sysctl.conf" doc:"The file that keeps the value over a boot. It is made when it is missing."`
	SysctlSet  bool   `arg:"sysctl_set" default:"no" doc:"Look at the kernel's live value too, and set it when it differs."`
	Reload     bool   `arg:"reload" default:"yes" doc:"When the file changes, give the kernel the value of this key too. The other keys of the file are not read again."`
}

func sysctlSpec() Spec {
	return Spec{
		Name:    "sysctl",
		Aliases: []string{"ansible.posix.sysctl"},
		Summary: "Set a parameter of the kernel, live and in a file",
		Place:   OnHost,
		New:     func() Module { return &SysctlArgs{} },
		Notes: []string{
			"Both the line of the file and the live value are shown. The kernel has the first word: a value that it refuses fails the task before the file is written.",
			"Ansible's reload gives the kernel the whole file; here it is this one key, so that the change shown is the change done.",
			"With absent the live value stays as it is until the next boot.",
		},
		Returns: []Return{
			{Name: "path", Type: "string", Doc: "The file."},
			{Name: "state", Type: "string", Doc: "What the file is: file or absent."},
		},
		Examples: []Example{
			{"Forward, now and after a boot", `
sysctl:
  name: net.ipv4.ip_forward
  value: "1"
  sysctl_set: yes
  sysctl_file: /etc/sysctl.d/60-rainbond.conf`},
			{"Let the kernel's default count at the next boot", `
sysctl:
  name: vm.swappiness
  state: absent`},
		},
	}
}

var sysctlName = lazy.Regexp(`^[A-Za-z0-9_*-]+([./][A-Za-z0-9_:@+*-]+)+$`)

// Validate holds the rules that involve more than one option.
func (a *SysctlArgs) Validate() error {
	switch {
	case !sysctlName().MatchString(a.Name) || strings.Contains(a.Name, "*"):
		return fmt.Errorf("sysctl: name: %q is no name of a parameter", a.Name)
	case a.State == "present" && strings.TrimSpace(a.Value) == "":
		return errors.New("sysctl: state present needs value")
	case strings.ContainsAny(a.Value, "\n\x00"):
		return errors.New("sysctl: value: wants one line")
	}
	return nil
}

// sysctlKey is the name as it is compared: whichever of dots and slashes comes
// first is what separates, as for sysctl(8).
func sysctlKey(name string) string {
	name = strings.TrimPrefix(strings.TrimSpace(name), "-")
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		name = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	return name
}

func sysctlValue(text string) string { return strings.Join(strings.Fields(text), " ") }

// Plan compares the file, and the kernel where that is wanted.
func (a *SysctlArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	file, err := openText(ctx, host, a.SysctlFile)
	if err != nil {
		return Plan{}, err
	}
	if !file.exists && a.State == "absent" {
		return file.absent(), nil
	}
	text := a.edit(file.text)
	plan, err := file.become(ctx, host, text, TextOptions{})
	if err != nil {
		return Plan{}, err
	}
	if a.State == "absent" || !a.SysctlSet && (!a.Reload || len(plan.Steps) == 0) {
		return plan, nil
	}
	live, err := a.live(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	if live != sysctlValue(a.Value) {
		plan.Steps = append([]Step{a.set(live)}, plan.Steps...)
	}
	return plan, nil
}

// edit gives the file the one line. Of several lines the last counts for the
// kernel: it is kept and the others go.
func (a *SysctlArgs) edit(text string) string {
	key, want := sysctlKey(a.Name), sysctlValue(a.Value)
	lines, last := splitLines(text), -1
	for i, line := range lines {
		if sysctlLineKey(line) == key {
			last = i
		}
	}
	var out strings.Builder
	for i, line := range lines {
		if sysctlLineKey(line) != key {
			out.WriteString(line)
			continue
		}
		if a.State == "absent" || i != last {
			continue
		}
		_, value, _ := strings.Cut(bare(line), "=")
		if sysctlValue(value) == want {
			out.WriteString(line)
			continue
		}
		out.WriteString(a.Name + " = " + want + "\n")
	}
	if a.State == "present" && last < 0 {
		if s := out.String(); s != "" && !strings.HasSuffix(s, "\n") {
			out.WriteByte('\n')
		}
		out.WriteString(a.Name + " = " + want + "\n")
	}
	return out.String()
}

// sysctlLineKey is the key that a line sets, "" for a comment.
func sysctlLineKey(line string) string {
	line = strings.TrimSpace(line)
	name, _, sets := strings.Cut(line, "=")
	if !sets || strings.ContainsAny(line[:1], "#;") {
		return ""
	}
	return sysctlKey(name)
}

func (a *SysctlArgs) resource() string { return "sysctl " + sysctlKey(a.Name) }

// live is the kernel's value.
func (a *SysctlArgs) live(ctx context.Context, host sys.Reader) (string, error) {
	return sys.Look(ctx, host, a.resource(), func(ctx context.Context) (string, error) {
		at, err := look(ctx, host, "/proc/sys/"+sysctlKey(a.Name))
		if err != nil {
			return "", err
		}
		if !at.exists {
			return "", fmt.Errorf("the kernel has no parameter %s; a module that brings it may not be loaded", a.Name)
		}
		text, err := readText(ctx, host, at)
		return sysctlValue(text), err
	})
}

// set gives the kernel the value, and sees that it has taken it.
func (a *SysctlArgs) set(live string) Step {
	want := sysctlValue(a.Value)
	return act{[]change.Change{update("sysctl "+a.Name, "value", live, want)}, func(ctx context.Context, host sys.Host, _ Result) error {
		return host.Change().Resources().Make(ctx, a.resource(), want, func(ctx context.Context) error {
			return runProgram(ctx, host, "sysctl", "-q", "-w", a.Name+"="+want)
		})
	}}
}
