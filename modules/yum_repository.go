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

// YumRepositoryArgs are the arguments of yum_repository.
type YumRepositoryArgs struct {
	Name         string   `arg:"name,required" doc:"The id of the repository, the section of the file."`
	File         string   `arg:"file" doc:"The file in /etc/yum.repos.d, without .repo; the id when not given."`
	State        string   `arg:"state" default:"present" choices:"present,absent" doc:"Whether the repository should be there."`
	Description  string   `arg:"description" doc:"What the repository is, its name in the file. Required for present."`
	BaseURL      []string `arg:"baseurl" doc:"Where it is. Present needs this, metalink or mirrorlist."`
	Metalink     string   `arg:"metalink" doc:"The address of a metalink file."`
	Mirrorlist   string   `arg:"mirrorlist" doc:"The address of a list of mirrors."`
	Enabled      *bool    `arg:"enabled" doc:"Whether it is used; dnf takes one without a word for enabled."`
	GPGCheck     *bool    `arg:"gpgcheck" doc:"Whether the packages' signatures are checked."`
	RepoGPGCheck *bool    `arg:"repo_gpgcheck" doc:"Whether the signature of the lists is checked."`
	GPGKey       []string `arg:"gpgkey" doc:"Addresses of keys."`
	SSLVerify    *bool    `arg:"sslverify" doc:"Whether the server's certificate is checked."`
	Priority     *int     `arg:"priority" doc:"The lower, the sooner."`
	Exclude      []string `arg:"exclude" doc:"Packages that are not taken from it."`
	Mode         *Mode    `arg:"mode" doc:"Permission bits of the file."`
}

func yumRepositorySpec() Spec {
	return Spec{
		Name:    "yum_repository",
		Summary: "Ensure that dnf or yum has a repository, or has not",
		Place:   OnHost,
		New:     func() Module { return &YumRepositoryArgs{} },
		Notes: []string{
			"The section is replaced whole: an option that the task does not have goes. Other sections of the file, and what stands before the first, stay as they are. A file with no section left is removed.",
			"The other options of Ansible's module are refused, reposdir and password among them.",
		},
		Returns: []Return{
			{Name: "repo", Type: "string", Doc: "The id."},
			{Name: "state", Type: "string", Doc: "The state argument."},
		},
		Examples: []Example{{"Packages from a machine of one's own", `
yum_repository:
  name: own
  description: Packages of our own
  baseurl: http://10.0.0.5/rpm/$basearch
  gpgcheck: no`}},
	}
}

var repositorySection = lazy.Regexp(`^[A-Za-z0-9_][A-Za-z0-9._:-]*$`)

// Validate holds the rules between options.
func (a *YumRepositoryArgs) Validate() error {
	if !repositorySection().MatchString(a.Name) || a.Name == "main" {
		return fmt.Errorf("yum_repository: name: %q is no id of a repository", a.Name)
	}
	if strings.ContainsAny(a.File, "/\n") || strings.HasPrefix(a.File, ".") {
		return fmt.Errorf("yum_repository: file: %q is no name of a file in %s", a.File, yumSources)
	}
	if a.State == "absent" {
		return nil
	}
	for _, line := range a.lines() {
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\n\x00") {
			return fmt.Errorf("yum_repository: a value has more than one line: %q", line)
		}
	}
	switch {
	case a.Description == "":
		return errors.New("yum_repository: state: present needs description")
	case len(a.BaseURL) == 0 && a.Metalink == "" && a.Mirrorlist == "":
		return errors.New("yum_repository: state: present needs baseurl, metalink or mirrorlist")
	}
	return nil
}

const yumSources = "/etc/yum.repos.d"

// lines are the section as it is to be, its options in the order of their names.
func (a *YumRepositoryArgs) lines() []string {
	options := map[string]string{
		"name": a.Description, "baseurl": strings.Join(a.BaseURL, " "), "metalink": a.Metalink, "mirrorlist": a.Mirrorlist,
		"gpgkey": strings.Join(a.GPGKey, " "), "exclude": strings.Join(a.Exclude, " "),
	}
	for name, value := range map[string]*bool{"enabled": a.Enabled, "gpgcheck": a.GPGCheck, "repo_gpgcheck": a.RepoGPGCheck, "sslverify": a.SSLVerify} {
		if value != nil {
			options[name] = map[bool]string{true: "1", false: "0"}[*value]
		}
	}
	if a.Priority != nil {
		options["priority"] = strconv.Itoa(*a.Priority)
	}
	lines := []string{}
	for name, value := range options {
		if value != "" {
			lines = append(lines, name+" = "+value+"\n")
		}
	}
	slices.Sort(lines)
	return append([]string{"[" + a.Name + "]\n"}, lines...)
}

// Plan replaces the section.
func (a *YumRepositoryArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	name := a.File
	if name == "" {
		name = a.Name
	}
	file, err := openText(ctx, host, path.Join(yumSources, strings.TrimSuffix(name, ".repo")+".repo"))
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Result: Result{"repo": a.Name, "state": a.State}}
	if a.State == "absent" && !file.exists {
		return plan, nil
	}
	text := a.edit(file.text)
	if a.State == "absent" && strings.TrimSpace(text) == "" {
		c := change.Change{Target: file.path, Action: change.Remove, Field: "content", Before: textValue(file.text)}
		plan.Steps = []Step{act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
			return host.Change().Files().Remove(ctx, file.path)
		}}}
		return plan, nil
	}
	edit, err := file.become(ctx, host, text, TextOptions{WriteOptions{FileAttributes: FileAttributes{Mode: a.Mode}}})
	plan.Steps = edit.Steps
	return plan, err
}

// edit puts the section in the place of the one that is there, or at the end. One
// that says the same with other blanks or in another order is left.
func (a *YumRepositoryArgs) edit(text string) string {
	lines := splitLines(text)
	header := func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "[") }
	from := slices.IndexFunc(lines, func(line string) bool { return strings.TrimSpace(line) == "["+a.Name+"]" })
	if from < 0 {
		if a.State == "absent" {
			return text
		}
		if text != "" {
			text = strings.TrimRight(text, "\n") + "\n\n"
		}
		return text + strings.Join(a.lines(), "")
	}
	to := len(lines)
	if next := slices.IndexFunc(lines[from+1:], header); next >= 0 {
		to = from + 1 + next
	}
	section := slices.Clone(lines[from:to])
	if a.State == "absent" {
		return strings.Join(slices.Delete(lines, from, to), "")
	}
	if slices.Equal(options(section), options(a.lines())) {
		return text
	}
	wanted := a.lines()
	if to < len(lines) {
		wanted = append(wanted, "\n")
	}
	return strings.Join(slices.Concat(lines[:from], wanted, lines[to:]), "")
}

// options are the lines of a section that say something, in an order of their own.
func options(section []string) []string {
	var said []string
	for _, line := range section {
		if name, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, " ") {
			line = strings.TrimSpace(name) + "=" + strings.Join(strings.Fields(value), " ")
		}
		if line = strings.TrimRight(line, " \t\r\n"); line != "" && !strings.HasPrefix(line, "#") {
			said = append(said, line)
		}
	}
	slices.Sort(said)
	return said
}
