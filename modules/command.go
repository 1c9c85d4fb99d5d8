package modules

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// RunOptions are what command and shell have in common.
type RunOptions struct {
	Chdir           string  `arg:"chdir" type:"path" doc:"The folder to run in, absolute."`
	Creates         string  `arg:"creates" doc:"A path or pattern (* ? [..]). When something matches, nothing is run."`
	Removes         string  `arg:"removes" doc:"A path or pattern. When nothing matches, nothing is run."`
	Stdin           *string `arg:"stdin" doc:"A text for the standard input. Without it there is none."`
	StdinAddNewline bool    `arg:"stdin_add_newline" default:"yes" doc:"End stdin with a newline."`
	StripEmptyEnds  bool    `arg:"strip_empty_ends" default:"yes" doc:"Take the line ends off the end of stdout and stderr."`
}

// CommandArgs are the arguments of command.
type CommandArgs struct {
	Cmd                string   `arg:"cmd" doc:"The command as one text, split into words like a shell's."`
	Argv               []string `arg:"argv" doc:"The command as a list of words. One of cmd and argv is needed."`
	ExpandArgumentVars bool     `arg:"expand_argument_vars" default:"yes" doc:"Replace $NAME, ${NAME} and a leading ~ in the words by what they are in the command's environment; what is not known there stays as it is."`
	RunOptions
}

// ShellArgs are the arguments of shell.
type ShellArgs struct {
	Cmd        string `arg:"cmd,required" doc:"The text that the shell runs."`
	Executable string `arg:"executable" default:"/bin/sh" doc:"The shell; called with -c and the text."`
	RunOptions
}

const runNote = "What a command does cannot be foreseen: check mode shows that it would run, and tasks that use its result are deferred. With creates or removes it is also known when it would not run."

var runReturns = []Return{
	{Name: "cmd", Type: "raw", Doc: "What was run: a list for command, a text for shell."},
	{Name: "rc", Type: "int", Doc: "The exit code; 128+n for signal n.", Run: true},
	{Name: "stdout", Type: "string", Doc: "Standard output.", Run: true},
	{Name: "stderr", Type: "string", Doc: "Standard error.", Run: true},
	{Name: "stdout_lines", Type: "list", Doc: "Standard output by lines.", Run: true},
	{Name: "stderr_lines", Type: "list", Doc: "Standard error by lines.", Run: true},
	{Name: "start", Type: "string", Doc: "When it began, by the host's clock.", Run: true},
	{Name: "end", Type: "string", Doc: "When it ended.", Run: true},
	{Name: "delta", Type: "string", Doc: "How long it took.", Run: true},
	{Name: "msg", Type: "string", Doc: "Why nothing was run, or non-zero return code; else empty."},
}

func commandSpec() Spec {
	return Spec{
		Name:     "command",
		Summary:  "Run a program, without a shell",
		Place:    OnHost,
		New:      func() Module { return &CommandArgs{} },
		FreeForm: "cmd",
		Notes: []string{
			runNote,
			"A program that cannot be started is a failure with the number of the error as rc, and no change.",
		},
		Returns: runReturns,
		Examples: []Example{
			{"Only when the file is not there yet", `
command: openssl dhparam -out /etc/ssl/dh.pem 2048
args:
  creates: /etc/ssl/dh.pem`},
			{"Words that may hold spaces", `
command:
  argv: [docker, exec, rbd-db, mysql, -Ne, "select 1"]`},
		},
	}
}

func shellSpec() Spec {
	return Spec{
		Name:     "shell",
		Summary:  "Run a text with the shell",
		Place:    OnHost,
		New:      func() Module { return &ShellArgs{} },
		FreeForm: "cmd",
		Notes:    []string{runNote, "A value that comes from elsewhere belongs through the quote filter before it stands in the text."},
		Returns:  runReturns,
		Examples: []Example{{"A pipe", `
shell: journalctl -u kubelet -n 50 | grep -c "image pull"
register: pulls
changed_when: false`}},
	}
}

// Validate wants one command, and paths that mean something.
func (a *CommandArgs) Validate() error {
	if (a.Cmd == "") == (len(a.Argv) == 0) {
		return errors.New("command needs cmd (or free text) or argv, and not both")
	}
	if _, err := a.words(); err != nil {
		return err
	}
	return a.check()
}

func (a *CommandArgs) words() ([]string, error) {
	if len(a.Argv) > 0 {
		return a.Argv, nil
	}
	words, err := SplitWords(a.Cmd)
	if err != nil {
		return nil, fmt.Errorf("cmd: %w", err)
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("cmd: no command is given")
	}
	return words, nil
}

// Validate wants paths that mean something.
func (a *ShellArgs) Validate() error {
	if strings.TrimSpace(a.Cmd) == "" {
		return errors.New("shell: no command is given")
	}
	return a.check()
}

// check refuses relative paths: the agent's own folder is no folder to rely on.
func (o *RunOptions) check() error {
	if o.Chdir != "" && !path.IsAbs(o.Chdir) {
		return fmt.Errorf("chdir: %s is not an absolute path", o.Chdir)
	}
	for name, pattern := range map[string]string{"creates": o.Creates, "removes": o.Removes} {
		if pattern == "" {
			continue
		}
		if !path.IsAbs(pattern) && o.Chdir == "" {
			return fmt.Errorf("%s: %s is not an absolute path; make it one or give chdir", name, pattern)
		}
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%s: %s is not a valid pattern: a [ is not closed", name, pattern)
		}
	}
	return nil
}

// Plan runs the command unless creates or removes says otherwise.
func (a *CommandArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	words, err := a.words()
	if err != nil {
		return Plan{}, err
	}
	return a.plan(ctx, host, "command "+quoteWords(words), words, sys.Command{Args: words, Expand: a.ExpandArgumentVars})
}

// Plan runs the text unless creates or removes says otherwise.
func (a *ShellArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	return a.plan(ctx, host, "shell "+a.Cmd, a.Cmd, sys.Command{Args: []string{a.Executable, "-c", a.Cmd}})
}

func (o *RunOptions) plan(ctx context.Context, host sys.Reader, target string, shown any, command sys.Command) (Plan, error) {
	plan := Plan{Result: Result{"cmd": shown}}
	why, err := o.needless(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	if why.path != "" { // Ansible's is ok, not skipped
		text := "skipped, since " + why.path + " " + why.state
		maps.Copy(plan.Result, Result{
			"msg": "Did not run command since '" + why.path + "' " + why.state, "rc": 0,
			"stdout": text, "stdout_lines": []string{text}, "stderr": "", "stderr_lines": []string{},
			"start": nil, "end": nil, "delta": nil,
		})
		return plan, nil
	}
	plan.Steps = []Step{happening(target, "", func(ctx context.Context, host sys.Host, result Result) error {
		return o.run(ctx, host, command, result)
	})}
	return plan, nil
}

// needless is a path that spares the command, and what is so of it.
type needless struct{ path, state string }

// needless says why the command need not run; the path is empty when it must.
func (o *RunOptions) needless(ctx context.Context, host sys.Reader) (needless, error) {
	if o.Creates != "" {
		found, err := anyMatch(ctx, host.Files(), o.at(o.Creates))
		if err != nil {
			return needless{}, fmt.Errorf("creates: %w", err)
		}
		if found {
			return needless{o.Creates, "exists"}, nil
		}
	}
	if o.Removes != "" {
		found, err := anyMatch(ctx, host.Files(), o.at(o.Removes))
		if err != nil {
			return needless{}, fmt.Errorf("removes: %w", err)
		}
		if !found {
			return needless{o.Removes, "does not exist"}, nil
		}
	}
	return needless{}, nil
}

func (o *RunOptions) at(pattern string) string {
	if path.IsAbs(pattern) {
		return pattern
	}
	return path.Join(o.Chdir, pattern)
}

// run runs the command, with what the options say of it.
func (o *RunOptions) run(ctx context.Context, host sys.Host, command sys.Command, result Result) error {
	command.Dir = o.Chdir
	if o.Creates != "" && !strings.ContainsAny(o.Creates, `*?[\`) {
		command.Creates = []string{o.at(o.Creates)}
	}
	if o.Stdin != nil {
		text := *o.Stdin
		if o.StdinAddNewline {
			text += "\n"
		}
		command.Stdin = strings.NewReader(text)
	}
	out, err := host.Change().Run(ctx, command)
	if errno := startFault(err); errno != 0 {
		maps.Copy(result, Result{
			"rc": int(errno), "cmd": quoteWords(command.Args), "stdout": "", "stderr": "", "stdout_lines": []string{}, "stderr_lines": []string{},
		})
		return &nothingDoneError{err}
	}
	if err != nil {
		return err
	}
	o.report(out, result)
	result["msg"] = ""
	if out.Code != 0 {
		result["msg"] = "non-zero return code"
		return errors.New("non-zero return code")
	}
	return nil
}

// startFault is the number of the error with which a program could not be
// started, or 0. Nothing has run then.
func startFault(err error) syscall.Errno {
	fault, ok := errors.AsType[*exec.Error](err)
	number := syscall.Errno(0)
	switch {
	case !ok:
	case errors.As(fault.Err, &number):
	case errors.Is(fault.Err, fs.ErrPermission):
		number = syscall.EACCES
	default:
		number = syscall.ENOENT
	}
	return number
}

// report fills the result keys as Ansible's command module does.
func (o *RunOptions) report(out sys.Result, result Result) {
	for name, data := range map[string][]byte{"stdout": out.Stdout, "stderr": out.Stderr} {
		text := strings.ToValidUTF8(string(data), "\ufffd")
		if o.StripEmptyEnds {
			text = strings.TrimRight(text, "\r\n")
		}
		result[name], result[name+"_lines"] = text, lines(text)
	}
	const layout = "2006-01-02 15:04:05.000000"
	result["rc"] = out.Code
	result["start"], result["end"] = out.Start.Format(layout), out.End.Format(layout)
	result["delta"] = delta(out.End.Sub(out.Start))
}

// lines splits text at its line ends; an empty text has none.
func lines(text string) []string {
	text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if text == "" {
		return []string{}
	}
	return strings.Split(text, "\n")
}

// delta writes a duration as Python's timedelta does: 0:00:01.234567.
func delta(d time.Duration) string {
	d = max(d, 0)
	clock := fmt.Sprintf("%d:%02d:%02d.%06d", int(d.Hours())%24, int(d.Minutes())%60, int(d.Seconds())%60, d.Microseconds()%1_000_000)
	switch days := int(d.Hours()) / 24; days {
	case 0:
		return clock
	case 1:
		return "1 day, " + clock
	default:
		return fmt.Sprintf("%d days, %s", days, clock)
	}
}
