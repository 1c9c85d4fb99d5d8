package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// CronArgs are the arguments of cron.
type CronArgs struct {
	Name         string `arg:"name,required" doc:"What the entry is called: a comment before it, by which it is found again; with env the name of a variable."`
	Job          string `arg:"job" alias:"value" doc:"The command, or with env the variable's value. Required for present."`
	State        string `arg:"state" default:"present" choices:"present,absent" doc:"Whether the entry should be there."`
	User         string `arg:"user" doc:"Whose crontab it is, root when not given. With cron_file: as whom the job runs, and required."`
	CronFile     string `arg:"cron_file" doc:"A file of /etc/cron.d, by its name or whole path, in place of the user's crontab. With absent a file that holds nothing more is removed."`
	Backup       bool   `arg:"backup" default:"no" doc:"Keep the old file beside the new one; only for cron_file, since cron would read it."`
	Minute       string `arg:"minute" default:"*" doc:"The minute, 0 to 59, or a list, a range, a step."`
	Hour         string `arg:"hour" default:"*" doc:"The hour, 0 to 23."`
	Day          string `arg:"day" alias:"dom" default:"*" doc:"The day of the month, 1 to 31."`
	Month        string `arg:"month" default:"*" doc:"The month, 1 to 12 or jan to dec."`
	Weekday      string `arg:"weekday" alias:"dow" default:"*" doc:"The day of the week, 0 to 7 or sun to sat."`
	SpecialTime  string `arg:"special_time" choices:"annually,daily,hourly,monthly,reboot,weekly,yearly" doc:"A name for the time, in place of the five fields."`
	Disabled     bool   `arg:"disabled" default:"no" doc:"Keep the entry as a comment."`
	Env          bool   `arg:"env" default:"no" doc:"Manage a variable at the top of the file rather than a job."`
	InsertAfter  string `arg:"insertafter" doc:"With env: the variable behind which a new one goes."`
	InsertBefore string `arg:"insertbefore" doc:"With env: the variable before which a new one goes."`
}

func cronSpec() Spec {
	return Spec{
		Name:      "cron",
		Summary:   "Ensure that a job or a variable is in a crontab, or is not",
		Place:     OnHost,
		EditsFile: true,
		New:       func() Module { return &CronArgs{} },
		Notes: []string{
			"Entries are marked as Ansible marks them, so that either finds the other's.",
			"The crontab is put in place whole, with the owner and mode that cron asks for, and cron sees that by itself. The times are checked at load.",
			"backup with a user's crontab is refused: the copy would lie where cron looks for crontabs.",
		},
		Returns: []Return{
			{Name: "jobs", Type: "list", Doc: "The names of the jobs in the file."},
			{Name: "envs", Type: "list", Doc: "The names of the variables in the file."},
			{Name: "cron_file", Type: "string", Doc: "The file that was edited."},
			{Name: "backup_file", Type: "string", Doc: "Where the old file was kept, with backup."},
		},
		Examples: []Example{
			{"A job of root's, every night", `
cron:
  name: dump of the console's database
  minute: "17"
  hour: "3"
  job: /usr/local/bin/dump-console`},
			{"In a file of its own", `
cron:
  name: tidy up
  cron_file: tidy
  user: root
  special_time: daily
  job: /usr/local/bin/tidy`},
		},
	}
}

var (
	cronMonths   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	cronWeekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	cronVariable = lazy.Regexp(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Validate holds the rules that involve more than one option.
func (a *CronArgs) Validate() error {
	switch {
	case strings.ContainsAny(a.Name+a.Job+a.User, "\n\x00") || strings.TrimSpace(a.Name) == "":
		return errors.New("cron: name, job and user want one line each")
	case a.State == "present" && a.Job == "":
		return errors.New("cron: state present needs job")
	case a.Env && !cronVariable().MatchString(a.Name):
		return fmt.Errorf("cron: name: %q is no name of a variable", a.Name)
	case !a.Env && a.InsertAfter+a.InsertBefore != "":
		return errors.New("cron: insertafter and insertbefore go with env only")
	case a.InsertAfter != "" && a.InsertBefore != "":
		return errors.New("cron: insertafter and insertbefore exclude each other")
	case a.Env && a.Disabled:
		return errors.New("cron: a variable cannot be disabled")
	case a.CronFile != "" && a.User == "" && a.State == "present" && !a.Env:
		return errors.New("cron: cron_file needs user")
	case a.CronFile == "" && a.Backup:
		return errors.New("cron: backup goes with cron_file only: cron would take the copy of a user's crontab for one")
	case a.SpecialTime != "" && a.times() != "* * * * *":
		return errors.New("cron: special_time excludes minute, hour, day, month and weekday")
	}
	return a.checkTimes()
}

func (a *CronArgs) times() string {
	return strings.Join([]string{a.Minute, a.Hour, a.Day, a.Month, a.Weekday}, " ")
}

func (a *CronArgs) checkTimes() error {
	for _, field := range []struct {
		name, text string
		low, high  int
		words      []string
	}{
		{"minute", a.Minute, 0, 59, nil},
		{"hour", a.Hour, 0, 23, nil},
		{"day", a.Day, 1, 31, nil},
		{"month", a.Month, 1, 12, cronMonths},
		{"weekday", a.Weekday, 0, 7, cronWeekdays},
	} {
		for part := range strings.SplitSeq(field.text, ",") {
			if !cronPart(part, field.low, field.high, field.words) {
				return fmt.Errorf("cron: %s: %q is no time of cron; it wants %d to %d, as in 5, 1-4, */2, or a list of those", field.name, part, field.low, field.high)
			}
		}
	}
	return nil
}

// cronPart judges "*", "N", "N-M", each with "/STEP".
func cronPart(part string, low, high int, words []string) bool {
	span, step, stepped := strings.Cut(part, "/")
	if n, ok := digits(step); stepped && (!ok || n < 1) {
		return false
	}
	if span == "*" {
		return true
	}
	number := func(text string) (int, bool) {
		if i := slices.Index(words, strings.ToLower(text)); i >= 0 {
			return i + low, true
		}
		n, ok := digits(text)
		return n, ok && n >= low && n <= high
	}
	from, to, ranged := strings.Cut(span, "-")
	first, ok := number(from)
	if !ranged {
		return ok && !stepped
	}
	last, okLast := number(to)
	return ok && okLast && first <= last
}

// digits reads a small number that has nothing but digits.
func digits(text string) (int, bool) {
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || n > 1000 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, text != ""
}

const cronMark = "#Ansible: "

// line is the entry as it stands in the file.
func (a *CronArgs) line() string {
	fields := a.times()
	if a.SpecialTime != "" {
		fields = "@" + a.SpecialTime
	}
	if a.CronFile != "" {
		fields += " " + a.User
	}
	line := fields + " " + a.Job + "\n"
	if a.Disabled {
		return "#" + line
	}
	return line
}

// edit gives the text the one entry.
func (a *CronArgs) edit(text string) (string, error) {
	lines := splitLines(text)
	if len(lines) > 0 {
		lines[len(lines)-1] = bare(lines[len(lines)-1]) + "\n"
	}
	if a.Env {
		return a.editVariable(lines)
	}
	var out []string
	placed := false
	for i := 0; i < len(lines); i++ {
		if bare(lines[i]) != cronMark+a.Name {
			out = append(out, lines[i])
			continue
		}
		i++ // the job follows its mark
		if a.State == "present" && !placed {
			out, placed = append(out, cronMark+a.Name+"\n", a.line()), true
		}
	}
	if a.State == "present" && !placed {
		out = append(out, cronMark+a.Name+"\n", a.line())
	}
	return strings.Join(out, ""), nil
}

func cronVariableOf(line string) string {
	name, _, sets := strings.Cut(line, "=")
	if name = strings.TrimSpace(name); sets && cronVariable().MatchString(name) {
		return name
	}
	return ""
}

func (a *CronArgs) editVariable(lines []string) (string, error) {
	is := func(name string) func(string) bool {
		return func(line string) bool { return cronVariableOf(line) == name }
	}
	at := slices.IndexFunc(lines, is(a.Name))
	entry := a.Name + `="` + a.Job + "\"\n"
	switch {
	case a.State == "absent":
		lines = slices.DeleteFunc(lines, is(a.Name))
	case at >= 0:
		lines[at] = entry
	case a.InsertAfter+a.InsertBefore != "":
		near := slices.IndexFunc(lines, is(a.InsertAfter+a.InsertBefore))
		if near < 0 {
			return "", fmt.Errorf("there is no variable %s to put %s beside", a.InsertAfter+a.InsertBefore, a.Name)
		}
		if a.InsertAfter != "" {
			near++
		}
		lines = slices.Insert(lines, near, entry)
	default:
		lines = slices.Insert(lines, 0, entry)
	}
	return strings.Join(lines, ""), nil
}

// Plan edits the crontab.
func (a *CronArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	file, options, err := a.open(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	text, err := a.edit(file.text)
	if err != nil {
		return Plan{}, fmt.Errorf("%s: %w", file.path, err)
	}
	result := Result{"cron_file": file.path}
	result["jobs"], result["envs"] = cronNames(file.text)
	if text == file.text {
		return Plan{Result: result}, nil
	}
	if a.State == "absent" && a.CronFile != "" && strings.TrimSpace(text) == "" {
		c := change.Change{Target: file.path, Action: change.Remove, Field: "content", Before: textValue(file.text)}
		return Plan{Result: result, Steps: []Step{act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
			return host.Change().Files().Remove(ctx, file.path)
		}}}}, nil
	}
	plan, err := file.become(ctx, host, text, TextOptions{options})
	plan.Result = result
	return plan, err
}

// cronNames are the jobs and variables of a file.
func cronNames(text string) (jobs, envs []string) {
	jobs, envs = []string{}, []string{}
	for _, line := range splitLines(text) {
		if name, marks := strings.CutPrefix(bare(line), cronMark); marks {
			jobs = append(jobs, name)
		}
		if name := cronVariableOf(line); name != "" {
			envs = append(envs, name)
		}
	}
	return jobs, envs
}

// open finds the file, and what a new one is to be like.
func (a *CronArgs) open(ctx context.Context, host sys.Reader) (textFile, WriteOptions, error) {
	root := "0"
	if a.CronFile != "" {
		at := a.CronFile
		if !path.IsAbs(at) {
			at = path.Join("/etc/cron.d", at)
		}
		file, err := openText(ctx, host, at)
		options := WriteOptions{Backup: a.Backup}
		if !file.exists {
			options.FileAttributes = FileAttributes{Mode: &Mode{bits: 0o644}, Owner: &root, Group: &root}
		}
		return file, options, err
	}
	name := a.User
	if name == "" {
		name = "root"
	}
	user, err := host.Users().User(ctx, name)
	if err != nil {
		return textFile{}, WriteOptions{}, fmt.Errorf("cron: %w", err)
	}
	folder, err := a.spool(ctx, host)
	if err != nil {
		return textFile{}, WriteOptions{}, err
	}
	file, err := openText(ctx, host, path.Join(folder.path, name))
	owner, group := strconv.Itoa(user.UID), strconv.Itoa(folder.info.GID)
	return file, WriteOptions{FileAttributes: FileAttributes{Mode: &Mode{bits: 0o600}, Owner: &owner, Group: &group}}, err
}

// spool is where the crontabs of users are: Debian's folder, or that of others.
func (a *CronArgs) spool(ctx context.Context, host sys.Reader) (found, error) {
	for _, p := range []string{"/var/spool/cron/crontabs", "/var/spool/cron"} {
		at, err := look(ctx, host, p)
		if err != nil || at.is(sys.Directory) {
			return at, err
		}
	}
	return found{}, errors.New("cron is not installed on this host: there is no directory /var/spool/cron")
}
