package modules

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// What docker has is asked of the daemon itself: its answer comes in two
// milliseconds, where a start of the docker program takes fifty. The program is
// asked where it would go elsewhere, and where the daemon cannot be reached: it says
// why.

// dockerSocket is where the docker program finds the daemon unless it is told of
// another.
const dockerSocket = "/var/run/docker.sock"

// dockerContainer is the part of a container that is looked at. A list has no Pid,
// ExitCode and RestartCount.
type dockerContainer struct {
	ID    string `json:"Id"`
	Name  string
	State struct {
		Status   string
		ExitCode int
		Pid      int
	}
	RestartCount int
	Config       struct{ Labels map[string]string }
}

// label is a label that compose has given.
func (c dockerContainer) label(name string) string {
	return c.Config.Labels["com.docker.compose."+name]
}

// inspectContainers tells all of the named containers, one that is not there is an
// error.
func inspectContainers(ctx context.Context, host sys.Reader, names []string) ([]dockerContainer, error) {
	if len(names) == 0 {
		return nil, nil
	}
	list := make([]dockerContainer, len(names))
	for i, name := range names {
		answered, err := askDaemon(ctx, host, "/containers/"+url.PathEscape(name)+"/json", &list[i])
		if err != nil {
			return nil, err
		}
		if !answered {
			return inspectByProgram(ctx, host, names)
		}
		list[i].Name = strings.TrimPrefix(list[i].Name, "/")
	}
	return list, nil
}

func inspectByProgram(ctx context.Context, host sys.Reader, names []string) ([]dockerContainer, error) {
	out, err := askDocker(ctx, host, append([]string{"inspect", "--type", "container", "--format", "{{json .}}"}, names...)...)
	if err != nil {
		return nil, err
	}
	return parseInspect(out)
}

// listedContainer is a container in the daemon's list.
type listedContainer struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Labels map[string]string
}

// container has the container's own name; links to it give it others, with the
// name of the one that links before them.
func (l listedContainer) container() dockerContainer {
	c := dockerContainer{ID: l.ID}
	for _, name := range l.Names {
		if name = strings.TrimPrefix(name, "/"); !strings.Contains(name, "/") {
			c.Name = name
		}
	}
	c.State.Status, c.Config.Labels = l.State, l.Labels
	return c
}

// imagesOf lists what docker has of images: a line for each, in a stable order.
func imagesOf(ctx context.Context, host sys.Reader) ([]string, error) {
	var images []struct {
		ID                    string `json:"Id"`
		RepoTags, RepoDigests []string
	}
	answered, err := askDaemon(ctx, host, "/images/json?all=1", &images)
	if err != nil {
		return nil, err
	}
	var list []string
	if answered {
		for _, image := range images {
			slices.Sort(image.RepoTags)
			slices.Sort(image.RepoDigests)
			list = append(list, fmt.Sprintf("%s %q %q\n", image.ID, image.RepoTags, image.RepoDigests))
		}
	} else {
		out, err := askDocker(ctx, host, "images", "-a", "--no-trunc", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}")
		if err != nil {
			return nil, err
		}
		list = slices.Collect(strings.Lines(string(out)))
	}
	slices.Sort(list) // docker sorts by age only; images of the same age come in any order
	return list, nil
}

// daemonPatience bounds one answer of the daemon.
const daemonPatience = time.Minute

// askDaemon reads the daemon's answer to a GET. answered is false when nothing
// answers at its socket, or the docker program would not ask there.
func askDaemon(ctx context.Context, host sys.Reader, address string, into any) (answered bool, err error) {
	if !usualDaemon(ctx, host) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, daemonPatience)
	defer cancel()
	// A look at what docker has is no service that a shadow would not know of.
	conn, err := host.Network().Dial(sys.Unaffected(ctx), "unix", dockerSocket)
	if err != nil && ctx.Err() != nil {
		return false, fmt.Errorf("asking docker: %w", ctx.Err())
	}
	if err != nil {
		return false, nil // the docker program is asked then, and says why nothing answers
	}
	defer conn.Close() //nolint:errcheck // nothing was written
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+address, http.NoBody)
	if err != nil {
		return false, err
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true,
	}}
	response, err := client.Do(request)
	if err != nil {
		return false, fmt.Errorf("asking docker: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // read to its end, or an error already
	decoder := json.NewDecoder(response.Body)
	if response.StatusCode != http.StatusOK {
		var refusal struct{ Message string }
		if err := decoder.Decode(&refusal); err != nil || refusal.Message == "" {
			refusal.Message = "it answers " + response.Status
		}
		return false, fmt.Errorf("docker: %s", refusal.Message)
	}
	if err := decoder.Decode(into); err != nil {
		return false, fmt.Errorf("docker answered what cannot be read: %w", err)
	}
	return true, nil
}

// usualDaemon reports whether it is certain that the docker program would ask at
// dockerSocket: no variable and no configuration of its own leads it elsewhere, and
// there is one.
func usualDaemon(ctx context.Context, host sys.Reader) bool {
	home := ""
	for _, variable := range sys.ProgramEnvironment(ctx) {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "DOCKER_") && value != "" {
			return false
		}
		if name == "HOME" {
			home = value
		}
	}
	text, there, err := readWhole(ctx, host, path.Join("/", home, ".docker/config.json"))
	if err != nil || there && bytes.Contains(text, []byte(`"currentContext"`)) {
		return false
	}
	info, err := host.Files().Stat(ctx, dockerSocket)
	return err == nil && info.Type == sys.Socket
}

// parseInspect reads one JSON object for each container.
func parseInspect(data []byte) ([]dockerContainer, error) {
	var list []dockerContainer
	decoder := json.NewDecoder(bytes.NewReader(data))
	for decoder.More() {
		var c dockerContainer
		if err := decoder.Decode(&c); err != nil {
			return nil, fmt.Errorf("docker inspect answered what cannot be read: %w", err)
		}
		c.Name = strings.TrimPrefix(c.Name, "/")
		list = append(list, c)
	}
	return list, nil
}

// dockerPatience is how many seconds a daemon that was just started may take.
const dockerPatience = 20

// askDocker runs a docker command that only reads.
func askDocker(ctx context.Context, host sys.Reader, args ...string) ([]byte, error) {
	for attempt := 1; ; attempt++ {
		out, err := host.Probe(ctx, sys.Command{Args: append([]string{"docker"}, args...), Env: []string{"LC_ALL=C"}, Timeout: time.Minute})
		if errors.Is(err, exec.ErrNotFound) {
			return nil, missingProgram(ctx, host, "docker", "docker.io", "docker-ce", "docker", "moby-engine")
		}
		if err != nil {
			return nil, fmt.Errorf("running docker: %w", err)
		}
		if out.Code == 0 {
			return out.Stdout, nil
		}
		said := firstLine(string(out.Stderr))
		if !strings.Contains(said, "Cannot connect to the Docker daemon") {
			return nil, fmt.Errorf("docker %s: %s", args[0], said)
		}
		if err := waitForDocker(ctx, host, attempt); err != nil {
			return nil, err
		}
	}
}

// waitForDocker lets a little time pass when the daemon runs but does not answer.
// In check mode it may run only in the shadow: then nobody knows what it will have.
func waitForDocker(ctx context.Context, host sys.Reader, attempt int) error {
	unit, err := host.Units().Get(ctx, "docker.service")
	if err != nil {
		return fmt.Errorf("asking systemd for docker.service: %w", err)
	}
	if !running(unit) {
		return errors.New("docker is not running on this host; start the unit docker first")
	}
	if attempt >= dockerPatience {
		return fmt.Errorf("docker runs but has not answered for %d seconds; see: journalctl -u docker", dockerPatience)
	}
	return host.Pause(ctx, time.Second)
}
