package modules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// ScriptArgs are the arguments of script.
type ScriptArgs struct {
	Cmd        *Content `arg:"cmd,required" content:"script" doc:"A file of the controller, and words to hand to it, split like a shell's."`
	Argv       []string `arg:"argv" doc:"Further words to hand to the script, taken as they are."`
	Executable string   `arg:"executable" doc:"The program that runs the script, with words of its own. Without it the first line of the script (#!) says so, else it is /bin/sh."`
	Chdir      string   `arg:"chdir" type:"path" doc:"The folder to run in, absolute."`
	Creates    string   `arg:"creates" doc:"A path or pattern (* ? [..]). When something matches, nothing is run."`
	Removes    string   `arg:"removes" doc:"A path or pattern. When nothing matches, nothing is run."`
}

func scriptSpec() Spec {
	return Spec{
		Name:     "script",
		Summary:  "Run a script of the controller on the host",
		Place:    OnHost,
		New:      func() Module { return &ScriptArgs{} },
		FreeForm: "cmd",
		Notes: []string{
			"The script reaches its program as an open file, /proc/self/fd/3: it never lies on the host's disk, so that there is nothing to remove afterwards and no noexec in its way.",
			runNote,
		},
		Returns: runReturns,
		Examples: []Example{{"Once", `
script: prepare-disk.sh /dev/vdb "data disk"
args:
  creates: /etc/rainbond-disk`}},
	}
}

func (a *ScriptArgs) options() *RunOptions {
	return &RunOptions{Chdir: a.Chdir, Creates: a.Creates, Removes: a.Removes, StripEmptyEnds: true}
}

// Validate wants words that can be split and paths that mean something.
func (a *ScriptArgs) Validate() error {
	if a.Executable != "" {
		if words, err := SplitWords(a.Executable); err != nil || len(words) == 0 || words[0] == "" {
			return errors.Join(errors.New("executable: no program is given"), err)
		}
	}
	return a.options().check()
}

// Plan runs the script unless creates or removes says otherwise.
func (a *ScriptArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	o := a.options()
	shown := append([]string{a.Cmd.Name}, a.Argv...)
	plan := Plan{Result: Result{"cmd": shown}}
	why, err := o.needless(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	if why.path != "" {
		plan.Skipped = why.path + " " + why.state
		plan.Result["msg"], plan.Result["rc"] = "Did not run script since "+plan.Skipped, 0
		plan.Result["stdout"], plan.Result["stderr"] = "skipped, since "+plan.Skipped, ""
		return plan, nil
	}
	words, err := a.interpreter(ctx)
	if err != nil {
		return Plan{}, err
	}
	words = slices.Concat(words, []string{"/proc/self/fd/3"}, a.Argv)
	plan.Steps = []Step{happening("script "+quoteWords(shown), "", func(ctx context.Context, host sys.Host, result Result) error {
		return o.run(ctx, host, sys.Command{Args: words, Files: []sys.Content{a.Cmd.Content}}, result)
	})}
	return plan, nil
}

// interpreter is the program that runs the script, with its words. A binary is
// run itself.
func (a *ScriptArgs) interpreter(ctx context.Context) ([]string, error) {
	if a.Executable != "" {
		return SplitWords(a.Executable)
	}
	r, err := a.Cmd.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the script %s: %w", a.Cmd.Name, err)
	}
	defer r.Close() //nolint:errcheck // only read from
	const kernelReads = 256
	head, err := io.ReadAll(io.LimitReader(r, kernelReads))
	if err != nil {
		return nil, fmt.Errorf("reading the script %s: %w", a.Cmd.Name, err)
	}
	first, _, _ := strings.Cut(string(head), "\n")
	line, marked := strings.CutPrefix(strings.TrimRight(first, "\r \t"), "#!")
	program, argument, more := strings.Cut(strings.Trim(line, " \t"), " ")
	switch {
	case strings.HasPrefix(first, "\x7fELF"):
		return nil, nil
	case !marked || program == "":
		return []string{"/bin/sh"}, nil
	case more: // the kernel hands over the rest as one word
		return []string{program, strings.TrimLeft(argument, " \t")}, nil
	}
	return []string{program}, nil
}
