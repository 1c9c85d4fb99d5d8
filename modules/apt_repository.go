package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// AptRepositoryArgs are the arguments of apt_repository.
type AptRepositoryArgs struct {
	Repo        string `arg:"repo,required" doc:"The line as in sources.list: deb or deb-src, options in brackets, address, suite, components. ppa: is refused: write out the line and its key."`
	State       string `arg:"state" default:"present" choices:"present,absent" doc:"Whether the line should be there. absent takes it out of every file of sources."`
	Filename    string `arg:"filename" doc:"The file of /etc/apt/sources.list.d, with or without .list; made from the address when not given."`
	Mode        *Mode  `arg:"mode" doc:"Permission bits of a new file; 0644 when not given."`
	UpdateCache bool   `arg:"update_cache" alias:"update-cache" default:"yes" doc:"Fetch the package lists when a line was added or removed."`
}

func aptRepositorySpec() Spec {
	return Spec{
		Name:    "apt_repository",
		Summary: "Ensure that apt has a source of packages, or has not",
		Place:   OnHost,
		New:     func() Module { return &AptRepositoryArgs{} },
		Notes: []string{
			"A line is the same as another when it differs in blanks only. Files in the deb822 form (.sources) are not looked into.",
			"When the lists cannot be fetched afterwards the task fails and says so; the line stays, for the next run to see.",
		},
		Returns: []Return{
			{Name: "repo", Type: "string", Doc: "The line."},
			{Name: "state", Type: "string", Doc: "The state argument."},
			{Name: "sources", Type: "list", Doc: "The files that have the line."},
		},
		Examples: []Example{{"Packages from a machine of one's own", `
apt_repository:
  repo: deb [signed-by=/etc/apt/keyrings/own.asc] http://10.0.0.5/debian bookworm main
  filename: own`}},
	}
}

var aptLine = lazy.Regexp(`^(deb|deb-src)\s+(\[[^\]]*\]\s+)?\S+:\S+\s+\S+(\s+\S+)*$`)

// Validate reads the line.
func (a *AptRepositoryArgs) Validate() error {
	switch {
	case strings.HasPrefix(a.Repo, "ppa:"):
		return errors.New("apt_repository: repo: ppa: is not supported; give the whole line, and the key with signed-by")
	case strings.ContainsAny(a.Repo, "\n#\x00") || !aptLine().MatchString(strings.TrimSpace(a.Repo)):
		return errors.New("apt_repository: repo: wants a line as in sources.list, such as: deb http://HOST/debian SUITE COMPONENT")
	case strings.ContainsAny(a.Filename, "/\n") || strings.HasPrefix(a.Filename, "."):
		return fmt.Errorf("apt_repository: filename: %q is no name of a file in /etc/apt/sources.list.d", a.Filename)
	}
	return nil
}

const aptSources = "/etc/apt/sources.list.d"

// own is the file that a new line goes into.
func (a *AptRepositoryArgs) own() string {
	name := strings.TrimSuffix(a.Filename, ".list")
	if name == "" {
		fields := strings.Fields(regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(a.Repo, ""))
		_, address, _ := strings.Cut(fields[1], "://")
		if address == "" {
			address = fields[1]
		}
		if i := strings.LastIndexByte(address, '@'); i >= 0 {
			address = address[i+1:] // a password is no part of a name
		}
		name = strings.Trim(regexp.MustCompile(`[^a-zA-Z0-9]+`).ReplaceAllString(address, "_"), "_")
	}
	return path.Join(aptSources, name+".list")
}

func (a *AptRepositoryArgs) is(line string) bool {
	return slices.Equal(strings.Fields(line), strings.Fields(a.Repo))
}

// Plan looks through the files of sources.
func (a *AptRepositoryArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	paths, err := a.files(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Once: Result{}}
	sources := []string{}
	for _, p := range paths {
		file, err := openText(ctx, host, p)
		if err != nil {
			return Plan{}, err
		}
		lines := splitLines(file.text)
		if !slices.ContainsFunc(lines, a.is) {
			continue
		}
		sources = append(sources, p)
		if a.State == "absent" {
			if err := a.take(ctx, host, file, lines, &plan); err != nil {
				return Plan{}, err
			}
		}
	}
	if a.State == "present" && len(sources) == 0 {
		if err := a.give(ctx, host, &plan); err != nil {
			return Plan{}, err
		}
	}
	plan.Result = Result{"repo": a.Repo, "state": a.State, "sources": sources}
	if len(plan.Steps) > 0 && a.UpdateCache {
		plan.Steps = append(plan.Steps, happening("package lists", "refresh", refreshLists))
	}
	return plan, nil
}

func refreshLists(ctx context.Context, host sys.Host, _ Result) error {
	if err := host.Change().Packages().UpdateCache(ctx); err != nil {
		return fmt.Errorf("fetching the package lists: %w", err)
	}
	return nil
}

// files are the files of sources in the one-line form.
func (a *AptRepositoryArgs) files(ctx context.Context, host sys.Reader) ([]string, error) {
	paths := []string{"/etc/apt/sources.list"}
	names, err := host.Files().ReadDir(ctx, aptSources)
	if there, err := present(err); err != nil || !there {
		if err == nil {
			err = errors.New("this host has no apt: there is no directory " + aptSources)
		}
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".list") {
			paths = append(paths, path.Join(aptSources, name))
		}
	}
	return paths, nil
}

// give adds the line to the file of its own.
func (a *AptRepositoryArgs) give(ctx context.Context, host sys.Reader, plan *Plan) error {
	file, err := openText(ctx, host, a.own())
	if err != nil {
		return err
	}
	text := file.text
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	edit, err := file.become(ctx, host, text+strings.TrimSpace(a.Repo)+"\n", TextOptions{WriteOptions{FileAttributes: FileAttributes{Mode: a.Mode}}})
	plan.Steps = append(plan.Steps, edit.Steps...)
	return err
}

// take removes the line, and a file in sources.list.d that holds nothing more.
func (a *AptRepositoryArgs) take(ctx context.Context, host sys.Reader, file textFile, lines []string, plan *Plan) error {
	text := strings.Join(slices.DeleteFunc(slices.Clone(lines), a.is), "")
	if strings.TrimSpace(text) == "" && path.Dir(file.path) == aptSources {
		c := change.Change{Target: file.path, Action: change.Remove, Field: "content", Before: textValue(file.text)}
		plan.Steps = append(plan.Steps, act{[]change.Change{c}, func(ctx context.Context, host sys.Host, _ Result) error {
			return host.Change().Files().Remove(ctx, file.path)
		}})
		return nil
	}
	edit, err := file.become(ctx, host, text, TextOptions{})
	plan.Steps = append(plan.Steps, edit.Steps...)
	return err
}
