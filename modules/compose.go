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

// ComposeArgs are the arguments of compose.
type ComposeArgs struct {
	Files         []string `arg:"files" alias:"file" doc:"The compose files, absolute or relative to project_src; later ones add to earlier ones."`
	ProjectSrc    string   `arg:"project_src" type:"path" doc:"The folder that relative paths in the files start from; the first file's folder when not given. Without files, the compose file in it is used."`
	ProjectName   string   `arg:"project_name" doc:"The project; the name of the folder when not given."`
	Services      []string `arg:"services" alias:"service" doc:"Only these services; all when not given."`
	State         string   `arg:"state" default:"present" choices:"present,absent,stopped,restarted" doc:"present: created as the files say and running. absent: removed. stopped: created or not, none runs. restarted: present, and what was running is restarted, always."`
	RemoveOrphans bool     `arg:"remove_orphans" default:"no" doc:"With present and absent, remove containers of the project whose service is in no file any more."`
	Recreate      string   `arg:"recreate" default:"smart" choices:"smart,always,never" doc:"When a container is made anew: when its configuration or image changed, always, or never."`
	Command       string   `arg:"command" doc:"A program to call in place of docker-compose or docker compose. dc-compose needs no files: it takes /opt/rainbond/compose/*.yaml itself."`
}

func composeSpec() Spec {
	return Spec{
		Name:    "compose",
		Aliases: []string{"docker_compose", "community.docker.docker_compose"},
		Summary: "Bring the containers of a compose project to the state of its files",
		Place:   OnHost,
		New:     func() Module { return &ComposeArgs{} },
		Notes: []string{
			"What would be created, recreated, started or removed is told from the hashes that compose itself computes for the services, and the labels of the containers that are there. compose's own dry run is never used: with some versions it really recreates containers.",
			"Works with docker-compose 1.x and docker compose 2.x. What docker has is asked of its daemon at /var/run/docker.sock, in check mode too; of the docker program where DOCKER_HOST, another variable of its own or a context leads it elsewhere, or nothing answers there. In check mode the files are those of the shadow; files that they name in turn (env_file, extends) are read from the host.",
			"The hashes of docker-compose, half a second of Python, are kept beside rbdplay's agent on the host for later runs (not in check mode), under a digest of all that they are made of: files, .env, images, program, Python's packages, environment. A project whose files name others or use variables is hashed anew each time.",
			"After a start the containers are watched for a moment: one that ends or is restarted by docker at once is a failure that shows its last log lines.",
			"The number of containers of a service is not looked at (scale); networks and volumes are compose's business and no changes of their own.",
		},
		Returns: []Return{
			{Name: "project", Type: "string", Doc: "The project."},
			{Name: "services", Type: "dict", Doc: "For each service of the project: containers, a list of name and state."},
		},
		Examples: []Example{
			{"The services of a Rainbond node, without those whose file was taken out", `
compose:
  command: dc-compose
  remove_orphans: yes`},
			{"One file, one service, always made anew", `
compose:
  files: [/opt/shop/docker-compose.yml]
  services: [web]
  recreate: always`},
		},
	}
}

// dcComposeFolder is where dc-compose takes its files from.
const dcComposeFolder = "/opt/rainbond/compose"

func (a *ComposeArgs) suppliesFiles() bool {
	return path.Base(a.Command) == "dc-compose" && len(a.Files) == 0
}

// Validate wants something to look at.
func (a *ComposeArgs) Validate() error {
	if len(a.Files) == 0 && a.ProjectSrc == "" && !a.suppliesFiles() {
		return errors.New("compose needs files, project_src, or command: dc-compose")
	}
	for _, file := range a.Files {
		if file == "" || !path.IsAbs(file) && a.ProjectSrc == "" {
			return fmt.Errorf("compose: files: %q is not an absolute path; make it one or give project_src", file)
		}
	}
	for _, name := range a.Services {
		if name == "" || strings.HasPrefix(name, "-") {
			return fmt.Errorf("compose: services: %q is no name of a service", name)
		}
	}
	if a.ProjectName != "" && a.ProjectName != projectName(a.ProjectName) {
		return fmt.Errorf("compose: project_name: %q; small letters, digits, - and _ only", a.ProjectName)
	}
	if a.RemoveOrphans && a.State == "stopped" {
		return errors.New("compose: remove_orphans goes with state: present, restarted or absent")
	}
	return nil
}

// projectName is the name that compose makes of a folder's.
func projectName(folder string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(folder))
}

// Plan compares the containers with the files.
func (a *ComposeArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	project, err := a.project(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	now, err := project.look(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Result: Result{"project": project.name, "services": now.result()}}
	switch a.State {
	case "absent":
		plan.Steps = a.remove(project, now)
		return plan, nil
	case "stopped":
		plan.Steps = a.stop(project, now)
		return plan, nil
	}
	wanted, err := a.wanted(ctx, host, project)
	if err != nil {
		return Plan{}, err
	}
	up, changed, err := a.up(ctx, host, project, now, wanted)
	if err != nil {
		return Plan{}, err
	}
	if up != nil {
		plan.Steps = append(plan.Steps, up)
	}
	if a.State == "restarted" {
		plan.Steps = append(plan.Steps, a.restart(project, now, wanted, changed)...)
	}
	return plan, nil
}

// wantedService is a service as the files have it.
type wantedService struct{ name, hash string }

// wanted lists the services that the task is about.
func (a *ComposeArgs) wanted(ctx context.Context, host sys.Reader, p *composeProject) ([]wantedService, error) {
	all, err := p.hashes(ctx, host)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, s := range all {
		known = append(known, s.name)
	}
	p.services = known
	for _, name := range a.Services {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("project %s has no service %s%s; its files have %s", p.name, name, hintAfter(name, known), strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(s wantedService) bool { return !a.about(s.name) }), nil
}

func (a *ComposeArgs) about(service string) bool {
	return len(a.Services) == 0 || slices.Contains(a.Services, service)
}

// up plans everything that one call of compose up does; its step is nil when that
// is nothing.
func (a *ComposeArgs) up(ctx context.Context, host sys.Reader, p *composeProject, now composeState, wanted []wantedService) (Step, []string, error) {
	var changes []change.Change
	var changed []string
	after := composeState{}
	for _, container := range now.containers {
		if !slices.ContainsFunc(wanted, func(s wantedService) bool { return s.name == container.Service }) {
			if a.RemoveOrphans && !slices.Contains(p.services, container.Service) {
				changes = append(changes, removal(container))
				continue
			}
			after.containers = append(after.containers, container)
		}
	}
	for _, service := range wanted {
		done, containers, err := a.converge(ctx, host, p, now, service)
		if err != nil {
			return nil, nil, err
		}
		if len(done) > 0 {
			changes, changed = append(changes, done...), append(changed, service.name)
		}
		after.containers = append(after.containers, containers...)
	}
	if len(changes) == 0 {
		return nil, nil, nil
	}
	args := []string{"up", "-d"}
	switch a.Recreate {
	case "always":
		args = append(args, "--force-recreate")
	case "never":
		args = append(args, "--no-recreate")
	}
	if a.RemoveOrphans {
		args = append(args, "--remove-orphans")
	}
	started := changed
	if len(changed) == 0 { // only orphans: up needs services that it then leaves alone
		for _, service := range wanted {
			started = append(started, service.name)
		}
	}
	return p.step(changes, after, append(args, started...), changed), changed, nil
}

// converge says what up does to one service.
func (a *ComposeArgs) converge(ctx context.Context, host sys.Reader, p *composeProject, now composeState, service wantedService) ([]change.Change, []composeContainer, error) {
	have := now.of(service.name)
	if len(have) == 0 {
		name, err := p.newName(ctx, host, service.name)
		if err != nil {
			return nil, nil, err
		}
		if owner, taken := now.taken[name]; taken {
			return nil, nil, fmt.Errorf("the container %s is there already and does not belong to project %s but to %s; remove or rename it", name, p.name, owner)
		}
		made := composeContainer{Service: service.name, Name: name, Hash: service.hash, Status: "running"}
		return []change.Change{{Target: "container " + name, Action: change.Create, Field: "config", After: change.Text(shortHash(service.hash))}}, []composeContainer{made}, nil
	}
	anew := a.Recreate != "never" && slices.ContainsFunc(have, func(c composeContainer) bool { return c.Hash != service.hash })
	var changes []change.Change
	after := slices.Clone(have)
	for i, c := range have {
		target := "container " + c.Name
		switch {
		case anew:
			changes = append(changes, update(target, "config", shortHash(c.Hash), shortHash(service.hash)))
			after[i].Hash = service.hash
		case a.Recreate == "always":
			changes = append(changes, change.Change{Target: target, Action: change.Run, Field: "recreate"})
		}
		if c.Status != "running" {
			changes = append(changes, update(target, "state", c.Status, "running"))
			after[i].Status = "running"
		}
	}
	return changes, after, nil
}

// shortHash is as much of a hash as a person compares.
func shortHash(hash string) string {
	if hash == "" {
		return "without a hash"
	}
	return hash[:min(len(hash), 12)]
}

func removal(c composeContainer) change.Change {
	return change.Change{Target: "container " + c.Name, Action: change.Remove, Field: "state", Before: change.Text(c.Status)}
}

func (a *ComposeArgs) remove(p *composeProject, now composeState) []Step {
	var changes []change.Change
	after := composeState{}
	for _, c := range now.containers {
		if a.about(c.Service) {
			changes = append(changes, removal(c))
		} else {
			after.containers = append(after.containers, c)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	args := []string{"down"}
	if a.RemoveOrphans {
		args = append(args, "--remove-orphans")
	}
	if len(a.Services) > 0 {
		args = append([]string{"rm", "-s", "-f"}, a.Services...)
	}
	return []Step{p.step(changes, after, args, nil)}
}

func (a *ComposeArgs) stop(p *composeProject, now composeState) []Step {
	var changes []change.Change
	after := composeState{containers: slices.Clone(now.containers)}
	for i, c := range after.containers {
		if a.about(c.Service) && (c.Status == "running" || c.Status == "restarting" || c.Status == "paused") {
			changes = append(changes, update("container "+c.Name, "state", c.Status, "exited"))
			after.containers[i].Status = "exited"
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return []Step{p.step(changes, after, append([]string{"stop"}, a.Services...), nil)}
}

// restart restarts what up has left alone.
func (a *ComposeArgs) restart(p *composeProject, now composeState, wanted []wantedService, changed []string) []Step {
	var changes []change.Change
	var services []string
	for _, service := range wanted {
		if slices.Contains(changed, service.name) {
			continue
		}
		services = append(services, service.name)
		for _, c := range now.of(service.name) {
			changes = append(changes, change.Change{Target: "container " + c.Name, Action: change.Run, Field: "restart"})
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return []Step{act{changes: changes, do: func(ctx context.Context, host sys.Host, _ Result) error {
		state, err := p.look(ctx, host)
		if err != nil {
			return err
		}
		return p.make(ctx, host, state, append([]string{"restart"}, services...), services)
	}}}
}
