package modules

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// composeProject is a project and how compose is called for it.
type composeProject struct {
	name     string
	folder   string // that relative paths start from
	files    []string
	program  []string // as the task gives it; empty: docker-compose, or docker compose
	supplied bool     // the program knows its files itself
	named    bool     // the name was given, and is not that of the folder
	services []string // all that the files have; set by ComposeArgs.wanted
}

// composeContainer is a container as far as compose looks at it.
type composeContainer struct{ Service, Name, Hash, Status string }

// composeState is what docker has of a project. A value is never changed once made.
type composeState struct {
	containers []composeContainer
	taken      map[string]string // names of other containers, and whose they are
}

func (s composeState) of(service string) []composeContainer {
	return slices.DeleteFunc(slices.Clone(s.containers), func(c composeContainer) bool { return c.Service != service })
}

func (s composeState) result() map[string]any {
	services := map[string]any{}
	for _, c := range s.containers {
		entry, ok := services[c.Service].(map[string]any)
		if !ok {
			entry = map[string]any{"containers": []any{}}
			services[c.Service] = entry
		}
		list, _ := entry["containers"].([]any)
		entry["containers"] = append(list, map[string]any{"name": c.Name, "state": c.Status})
	}
	return services
}

// project finds the files.
func (a *ComposeArgs) project(ctx context.Context, host sys.Reader) (*composeProject, error) {
	p := &composeProject{folder: a.ProjectSrc, name: a.ProjectName, named: a.ProjectName != "", supplied: a.suppliesFiles()}
	if a.Command != "" {
		words, err := SplitWords(a.Command)
		if err != nil || len(words) == 0 {
			return nil, fmt.Errorf("compose: command: %q is no command", a.Command)
		}
		p.program = words
	}
	var err error
	switch {
	case p.supplied:
		p.files, err = composeFiles(ctx, host, dcComposeFolder)
	case len(a.Files) == 0:
		p.files, err = defaultComposeFiles(ctx, host, a.ProjectSrc)
	default:
		for _, file := range a.Files {
			if !path.IsAbs(file) {
				file = path.Join(a.ProjectSrc, file)
			}
			p.files = append(p.files, path.Clean(file))
		}
	}
	if err != nil {
		return nil, err
	}
	if p.folder == "" {
		p.folder = path.Dir(p.files[0])
	}
	if p.name == "" {
		p.name = projectName(path.Base(p.folder))
	}
	return p, nil
}

// composeFiles lists the *.yaml of a folder in the order of a shell's pattern.
func composeFiles(ctx context.Context, host sys.Reader, folder string) ([]string, error) {
	names, err := host.Files().ReadDir(ctx, folder)
	if _, err := present(err); err != nil {
		return nil, fmt.Errorf("looking for compose files: %w", err)
	}
	var files []string
	for _, name := range names {
		if strings.HasSuffix(name, ".yaml") && name[0] != '.' {
			files = append(files, path.Join(folder, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there are no compose files %s/*.yaml on this host", folder)
	}
	return files, nil
}

func defaultComposeFiles(ctx context.Context, host sys.Reader, folder string) ([]string, error) {
	first := func(names ...string) (string, error) {
		for _, name := range names {
			_, err := host.Files().Stat(ctx, path.Join(folder, name))
			if there, err := present(err); there || err != nil {
				return path.Join(folder, name), err
			}
		}
		return "", nil
	}
	main, err := first("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
	if err != nil {
		return nil, fmt.Errorf("looking for the compose file: %w", err)
	}
	if main == "" {
		return nil, fmt.Errorf("there is no compose file in %s; name it in files", folder)
	}
	base, _, _ := strings.Cut(path.Base(main), ".")
	override, err := first(base+".override.yml", base+".override.yaml")
	if err != nil {
		return nil, fmt.Errorf("looking for the compose file: %w", err)
	}
	if override == "" {
		return []string{main}, nil
	}
	return []string{main, override}, nil
}

func (p *composeProject) key() string { return "compose project " + p.name }

// look reads the containers.
func (p *composeProject) look(ctx context.Context, host sys.Reader) (composeState, error) {
	return sys.Look(ctx, host, p.key(), func(ctx context.Context) (composeState, error) {
		return p.read(ctx, host)
	})
}

const projectLabel = "com.docker.compose.project"

func (p *composeProject) read(ctx context.Context, host sys.Reader) (composeState, error) {
	found, taken, err := p.inspect(ctx, host, false)
	if err != nil {
		return composeState{}, err
	}
	state := composeState{taken: taken}
	for _, c := range found {
		state.containers = append(state.containers, composeContainer{Service: c.label("service"), Name: c.Name, Hash: c.label("config-hash"), Status: c.State.Status})
	}
	return state, nil
}

// inspect lists the project's containers by name, and the names that others have.
// whole is for those who look at more than a list tells.
func (p *composeProject) inspect(ctx context.Context, host sys.Reader, whole bool) (found []dockerContainer, taken map[string]string, err error) {
	all, taken, err := p.list(ctx, host, whole)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range all {
		// What compose run has made is none of up's.
		if !strings.EqualFold(c.label("oneoff"), "true") && c.label("service") != "" {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b dockerContainer) int { return strings.Compare(a.Name, b.Name) })
	return found, taken, nil
}

func (p *composeProject) list(ctx context.Context, host sys.Reader, whole bool) (own []dockerContainer, taken map[string]string, err error) {
	var listed []listedContainer
	answered, err := askDaemon(ctx, host, "/containers/json?all=1", &listed)
	if err != nil {
		return nil, nil, err
	}
	if !answered {
		return p.listByProgram(ctx, host)
	}
	taken = map[string]string{}
	var ids []string
	for _, l := range listed {
		owner := l.Labels[projectLabel]
		if owner == p.name {
			own, ids = append(own, l.container()), append(ids, l.ID)
			continue
		}
		for _, name := range l.Names {
			taken[strings.TrimPrefix(name, "/")] = ownerOf(owner)
		}
	}
	if whole {
		own, err = inspectContainers(ctx, host, ids)
	}
	return own, taken, err
}

// ownerOf names a project for messages.
func ownerOf(project string) string {
	if project == "" {
		return "no project"
	}
	return "project " + project
}

func (p *composeProject) listByProgram(ctx context.Context, host sys.Reader) (own []dockerContainer, taken map[string]string, err error) {
	out, err := askDocker(ctx, host, "ps", "-a", "--no-trunc", "--format", `{{.ID}} {{.Names}} {{.Label "`+projectLabel+`"}}`)
	if err != nil {
		return nil, nil, err
	}
	ids, taken := p.sortOut(string(out))
	own, err = inspectContainers(ctx, host, ids)
	return own, taken, err
}

// sortOut reads docker ps: the project's containers, and whose the others are.
func (p *composeProject) sortOut(list string) (ids []string, taken map[string]string) {
	taken = map[string]string{}
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 3 && fields[2] == p.name:
			ids = append(ids, fields[0])
		case len(fields) >= 2:
			owner := ownerOf(strings.Join(fields[2:], ""))
			for name := range strings.SplitSeq(fields[1], ",") {
				taken[name] = owner
			}
		}
	}
	return ids, taken
}

// hashes asks compose for the hash of each service. The files go to it as open
// descriptors, so that they may exist in check mode only; with the folder and the
// name given the hashes are those of a real call.
func (p *composeProject) hashes(ctx context.Context, host sys.Reader) ([]wantedService, error) {
	ask := func() ([]wantedService, error) {
		out, err := p.askCompose(ctx, host, "config", "--hash", "*")
		if err != nil {
			return nil, err
		}
		return parseHashes(out)
	}
	in, err := p.inputs(ctx, host)
	if err != nil || in.key == "" {
		return ask() // which says what is wrong, if anything is
	}
	byName := func() (map[string]string, error) {
		services, err := ask()
		hashes := make(map[string]string, len(services))
		for _, s := range services {
			hashes[s.name] = s.hash
		}
		return hashes, err
	}
	var hashes map[string]string
	if in.lasting {
		hashes, err = sys.RecallKept(ctx, "compose hashes of "+p.folder+" "+p.name, in.key, byName)
	} else {
		hashes, err = sys.Recall(ctx, in.key, byName)
	}
	services := make([]wantedService, 0, len(hashes))
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		services = append(services, wantedService{name: name, hash: hashes[name]})
	}
	return services, err
}

func (p *composeProject) askCompose(ctx context.Context, host sys.Reader, args ...string) ([]byte, error) {
	var files []sys.Content
	var flags []string
	for i, file := range p.files {
		content, err := host.Files().Content(ctx, file)
		if there, err := present(err); !there {
			if err == nil {
				err = errors.New("there is no such file on this host")
			}
			return nil, fmt.Errorf("the compose file %s: %w", file, err)
		}
		files = append(files, content)
		flags = append(flags, "-f", fmt.Sprintf("/proc/self/fd/%d", 3+i))
	}
	flags = append(append(flags, "--project-directory", p.folder, "-p", p.name), args...)
	for _, program := range p.programs() {
		out, err := host.Probe(ctx, sys.Command{Args: append(slices.Clone(program), flags...), Dir: p.folder, Files: files, Timeout: 2 * time.Minute})
		if errors.Is(err, exec.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("running %s: %w", strings.Join(program, " "), err)
		}
		if out.Code != 0 {
			said := lastLines(string(out.Stderr), 5)
			if len(program) == 2 && strings.Contains(said, "is not a docker command") {
				continue
			}
			return nil, fmt.Errorf("compose cannot read the project %s: %s", p.name, p.withNames(said))
		}
		return out.Stdout, nil
	}
	return nil, missingProgram(ctx, host, "docker-compose (or docker compose)", "docker-compose", "docker-compose-plugin", "docker-compose-v2")
}

// withNames puts the files' names back where compose names descriptors.
func (p *composeProject) withNames(text string) string {
	for i, file := range slices.Backward(p.files) {
		text = strings.ReplaceAll(text, fmt.Sprintf("/proc/self/fd/%d", 3+i), file)
	}
	return text
}

func lastLines(text string, n int) string {
	all := lines(strings.TrimSpace(text))
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// programs are the ways to call compose itself, the first that is there counts.
func (p *composeProject) programs() [][]string {
	if len(p.program) > 0 && !p.supplied {
		return [][]string{p.program}
	}
	return [][]string{{"docker-compose"}, {"docker", "compose"}}
}

var hashLine = lazy.Regexp(`^(\S+) ([0-9a-f]{40,128})$`)

// parseHashes reads what config --hash prints: a service and its hash a line.
func parseHashes(out []byte) ([]wantedService, error) {
	var services []wantedService
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		found := hashLine().FindStringSubmatch(line)
		if found == nil {
			return nil, fmt.Errorf("compose config --hash answered %q in place of a service and its hash", line)
		}
		services = append(services, wantedService{name: found[1], hash: found[2]})
	}
	slices.SortFunc(services, func(a, b wantedService) int { return strings.Compare(a.name, b.name) })
	return services, nil
}

// newName is the name that compose gives to the first container of a service.
func (p *composeProject) newName(ctx context.Context, host sys.Reader, service string) (string, error) {
	out, err := p.askCompose(ctx, host, "config")
	if err != nil {
		return "", err
	}
	if name := parseContainerNames(out)[service]; name != "" {
		return name, nil
	}
	version, err := p.askCompose(ctx, host, "version", "--short")
	if err != nil {
		return "", err
	}
	separator := "-"
	if strings.HasPrefix(strings.TrimPrefix(strings.TrimSpace(string(version)), "v"), "1.") {
		separator = "_"
	}
	return p.name + separator + service + separator + "1", nil
}

// parseContainerNames finds container_name of each service in what compose config
// prints. That is always block YAML with two spaces a level, so that no YAML
// reader is needed on the host.
func parseContainerNames(out []byte) map[string]string {
	names := map[string]string{}
	inServices, service := false, ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimLeft(line, " ")
		switch indent := len(line) - len(text); {
		case text == "" || text[0] == '#':
		case indent == 0:
			inServices, service = text == "services:", ""
		case inServices && indent == 2 && strings.HasSuffix(text, ":"):
			service = strings.Trim(strings.TrimSuffix(text, ":"), `"'`)
		case inServices && indent == 4 && service != "":
			if value, ok := strings.CutPrefix(text, "container_name: "); ok {
				names[service] = strings.Trim(strings.TrimSpace(value), `"'`)
			}
		}
	}
	return names
}

// step calls compose, and watches the services that are started by it.
func (p *composeProject) step(changes []change.Change, after composeState, args, started []string) Step {
	return act{changes: changes, do: func(ctx context.Context, host sys.Host, _ Result) error {
		return p.make(ctx, host, after, args, started)
	}}
}

func (p *composeProject) make(ctx context.Context, host sys.Host, after composeState, args, started []string) error {
	return host.Change().Resources().Make(ctx, p.key(), after, func(ctx context.Context) error {
		if err := p.call(ctx, host, args); err != nil {
			return err
		}
		return p.watch(ctx, host, started)
	})
}

// call runs compose with effects, with the real files.
func (p *composeProject) call(ctx context.Context, host sys.Host, args []string) error {
	var flags []string
	if !p.supplied {
		for _, file := range p.files {
			flags = append(flags, "-f", file)
		}
		flags = append(flags, "--project-directory", p.folder)
	}
	if !p.supplied || p.named {
		flags = append(flags, "-p", p.name)
	}
	programs := p.programs()
	if p.supplied {
		programs = [][]string{p.program}
	}
	for _, program := range programs {
		command := append(append(slices.Clone(program), flags...), args...)
		out, err := host.Change().Run(ctx, sys.Command{Args: command, Dir: p.folder})
		if errors.Is(err, exec.ErrNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("running %s: %w", strings.Join(program, " "), err)
		}
		if out.Code != 0 {
			return fmt.Errorf("%s %s failed with exit code %d: %s", strings.Join(program, " "), args[0], out.Code, lastLines(string(out.Stderr), 8))
		}
		return nil
	}
	return fmt.Errorf("%s is not installed on this host", strings.Join(programs[0], " "))
}

// settling is how long a started container is watched: what cannot run ends
// within it.
const settling = 2 * time.Second

// watch fails for a container that does not stay up.
func (p *composeProject) watch(ctx context.Context, host sys.Reader, services []string) error {
	if len(services) == 0 {
		return nil
	}
	before, err := p.watched(ctx, host, services)
	if err != nil {
		return err
	}
	if err := host.Pause(ctx, settling); err != nil {
		return err
	}
	after, err := p.watched(ctx, host, services)
	if err != nil {
		return err
	}
	for name, c := range after {
		if c.State.Status == "running" && c.RestartCount == before[name].RestartCount {
			continue
		}
		return fmt.Errorf("the container %s does not stay up: it is %s, exit code %d, restarted %d times; its last lines:\n%s",
			name, c.State.Status, c.State.ExitCode, c.RestartCount, containerLog(ctx, host, name))
	}
	return nil
}

func (p *composeProject) watched(ctx context.Context, host sys.Reader, services []string) (map[string]dockerContainer, error) {
	found, _, err := p.inspect(ctx, host, true)
	if err != nil {
		return nil, err
	}
	byName := map[string]dockerContainer{}
	for _, c := range found {
		if slices.Contains(services, c.label("service")) {
			byName[c.Name] = c
		}
	}
	return byName, nil
}

func containerLog(ctx context.Context, host sys.Reader, name string) string {
	out, err := host.Probe(ctx, sys.Command{Args: []string{"docker", "logs", "--tail", "10", name}, Timeout: 10 * time.Second})
	if err != nil {
		return "(its log cannot be read: " + err.Error() + ")"
	}
	return lastLines(string(out.Stdout)+string(out.Stderr), 10)
}
