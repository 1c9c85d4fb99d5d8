package modules

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// glusterOutput is what gluster --xml prints. A command uses a part of it.
type glusterOutput struct {
	OpRet    int              `xml:"opRet"`
	OpErrno  int              `xml:"opErrno"`
	OpErrstr string           `xml:"opErrstr"`
	Output   string           `xml:"output"`
	Peers    []glusterPeer    `xml:"peerStatus>peer"`
	Volumes  []xmlVolume      `xml:"volInfo>volumes>volume"`
	Heal     []glusterHealing `xml:"healInfo>bricks>brick"`
}

// glusterPeer is another member of the pool.
type glusterPeer struct {
	UUID      string   `xml:"uuid"`
	Hostname  string   `xml:"hostname"`
	Hostnames []string `xml:"hostnames>hostname"`
	Connected int      `xml:"connected"`
	State     int      `xml:"state"`
	StateText string   `xml:"stateStr"`
}

type xmlVolume struct {
	Name      string `xml:"name"`
	Status    string `xml:"statusStr"`
	Replicas  int    `xml:"replicaCount"`
	Arbiters  int    `xml:"arbiterCount"`
	Transport string `xml:"transport"`
	Bricks    []struct {
		Name string `xml:"name"`
	} `xml:"bricks>brick"`
	Options []struct {
		Name  string `xml:"name"`
		Value string `xml:"value"`
	} `xml:"options>option"`
}

// glusterHealing is what is left to be healed on one brick.
type glusterHealing struct {
	Name    string `xml:"name"`
	Status  string `xml:"status"`
	Entries string `xml:"numberOfEntries"` // "-" where the brick could not be asked
}

// glusterVolume is the state of a volume. A value is never changed once made.
type glusterVolume struct {
	Name, Status       string // Created, Started or Stopped; "" when there is no such volume
	Replicas, Arbiters int
	Transport          string // tcp, rdma or tcp,rdma
	Bricks             []string
	Options            map[string]string
}

// glusterError is an answer of gluster that says no.
type glusterError struct {
	number int
	text   string
}

func (e *glusterError) Error() string { return e.text }

const volumeUnknown = 30806 // errno of "Volume does not exist"

// parseGluster reads what gluster --xml prints. A refusal is a *glusterError.
func parseGluster(data []byte) (glusterOutput, error) {
	var out glusterOutput
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		return out, fmt.Errorf("gluster answered no XML: %s", firstLine(string(data)))
	}
	if err := xml.Unmarshal(data, &out); err != nil {
		return out, fmt.Errorf("gluster answered XML that cannot be read: %w", err)
	}
	if out.OpRet != 0 {
		text := strings.TrimSpace(out.OpErrstr)
		if text == "" {
			text = fmt.Sprintf("error %d", out.OpErrno)
		}
		return out, &glusterError{number: out.OpErrno, text: text}
	}
	return out, nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line == "" {
		return "nothing"
	}
	return line
}

func (v xmlVolume) state() glusterVolume {
	state := glusterVolume{
		Name: v.Name, Status: v.Status, Replicas: v.Replicas, Arbiters: v.Arbiters,
		Transport: map[string]string{"0": "tcp", "1": "rdma", "2": "tcp,rdma"}[v.Transport],
		Options:   map[string]string{},
	}
	for _, b := range v.Bricks {
		state.Bricks = append(state.Bricks, strings.TrimSpace(b.Name))
	}
	for _, o := range v.Options {
		state.Options[o.Name] = o.Value
	}
	return state
}

// with copies the volume and changes the copy.
func (v glusterVolume) with(change func(*glusterVolume)) glusterVolume {
	v.Bricks, v.Options = slices.Clone(v.Bricks), maps.Clone(v.Options)
	if v.Options == nil {
		v.Options = map[string]string{}
	}
	change(&v)
	return v
}

func glusterCommand(args ...string) sys.Command {
	return sys.Command{Args: append([]string{"gluster", "--mode=script", "--xml"}, args...), Env: []string{"LC_ALL=C"}, Timeout: 5 * time.Minute}
}

// errNoGluster says that the state is that of a host where gluster is only about
// to be installed or started: check mode finds it so.
var errNoGluster = errors.New("gluster would only be installed or started")

// glusterPatience is how long a glusterd that was just started may take to answer.
const glusterPatience = 20

// askGluster runs a gluster command that only reads.
func askGluster(ctx context.Context, host sys.Reader, args ...string) (glusterOutput, error) {
	for attempt := 1; ; attempt++ {
		out, err := host.Probe(ctx, glusterCommand(args...))
		if errors.Is(err, exec.ErrNotFound) {
			return glusterOutput{}, noGluster(ctx, host)
		}
		if err != nil {
			return glusterOutput{}, fmt.Errorf("running gluster: %w", err)
		}
		if out.Code == 0 || bytes.Contains(out.Stdout, []byte("<cliOutput>")) {
			return parseGluster(out.Stdout)
		}
		said := firstLine(string(out.Stdout) + string(out.Stderr))
		if !strings.Contains(said, "Connection failed") {
			return glusterOutput{}, fmt.Errorf("gluster %s: %s", strings.Join(args, " "), said)
		}
		if err := waitForGlusterd(ctx, host, attempt); err != nil {
			return glusterOutput{}, err
		}
	}
}

// noGluster is the error of a host without the program.
func noGluster(ctx context.Context, host sys.Reader) error {
	comes, err := wouldCome(ctx, host, "glusterfs-server", "glusterfs-cli", "glusterfs")
	if err != nil {
		return err
	}
	if comes {
		return errNoGluster
	}
	return errors.New("gluster is not installed on this host; install glusterfs-server first")
}

// waitForGlusterd lets a little time pass when glusterd runs but does not answer.
func waitForGlusterd(ctx context.Context, host sys.Reader, attempt int) error {
	running, err := glusterdRuns(ctx, host)
	if err != nil {
		return err
	}
	if !running {
		return errors.New("glusterd is not running on this host; start the unit glusterd first")
	}
	if attempt >= glusterPatience {
		return fmt.Errorf("glusterd runs but has not answered for %d seconds; see /var/log/glusterfs/glusterd.log", glusterPatience)
	}
	err = host.Pause(ctx, time.Second)
	if _, unknown := sys.Unknown(err); unknown {
		return errNoGluster
	}
	return err
}

func glusterdRuns(ctx context.Context, host sys.Reader) (bool, error) {
	for _, name := range []string{"glusterd.service", "glusterfs-server.service"} {
		unit, err := host.Units().Get(ctx, name)
		if err != nil {
			return false, fmt.Errorf("asking systemd for %s: %w", name, err)
		}
		if running(unit) {
			return true, nil
		}
	}
	return false, nil
}

// freshGluster is nil when glusterd will start with nothing: no volumes and peers
// are kept on the disk from an earlier life.
func freshGluster(ctx context.Context, host sys.Reader) error {
	for _, folder := range []string{"/var/lib/glusterd/peers", "/var/lib/glusterd/vols"} {
		names, err := host.Files().ReadDir(ctx, folder)
		if _, unknown := sys.Unknown(err); unknown {
			continue // the folder would come with the package, and empty
		}
		if _, err := present(err); err != nil {
			return fmt.Errorf("looking into %s: %w", folder, err)
		}
		if len(names) > 0 {
			return &sys.UnknownError{What: "what gluster has", Because: "glusterd would be started first, and " + folder + " is not empty"}
		}
	}
	return nil
}

func glusterKey(volume string) string { return "gluster volume " + volume }

// lookGlusterVolume reads a volume; its Status is "" when there is none.
func lookGlusterVolume(ctx context.Context, host sys.Reader, name string) (glusterVolume, error) {
	return sys.Look(ctx, host, glusterKey(name), func(ctx context.Context) (glusterVolume, error) {
		out, err := askGluster(ctx, host, "volume", "info", name)
		if refusal, ok := errors.AsType[*glusterError](err); ok && refusal.number == volumeUnknown {
			return glusterVolume{}, nil
		}
		if errors.Is(err, errNoGluster) {
			return glusterVolume{}, freshGluster(ctx, host)
		}
		if err != nil {
			return glusterVolume{}, fmt.Errorf("asking gluster for the volume %s: %w", name, err)
		}
		for _, v := range out.Volumes {
			if v.Name == name {
				return v.state(), nil
			}
		}
		return glusterVolume{}, nil
	})
}

// runGluster runs a gluster command with effects. Where another node holds the
// cluster's lock it waits for it.
func runGluster(ctx context.Context, host sys.Host, args ...string) error {
	for attempt := 1; ; attempt++ {
		result, err := host.Change().Run(ctx, glusterCommand(args...))
		if err != nil {
			return fmt.Errorf("running gluster: %w", err)
		}
		_, err = parseGluster(result.Stdout)
		if err == nil || attempt >= glusterPatience || !strings.Contains(err.Error(), "Another transaction is in progress") {
			return err
		}
		if err := host.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// addressesOf a name or address; none when nothing knows it, since a name that
// cannot be resolved is nobody's other name.
func addressesOf(ctx context.Context, host sys.Reader, name string) []string {
	if ip := net.ParseIP(name); ip != nil {
		return []string{ip.String()}
	}
	found, err := host.Network().LookupHost(ctx, name)
	if err != nil {
		return nil
	}
	return found
}

// sameHost reports whether two names mean one host.
func sameHost(ctx context.Context, host sys.Reader, one, other string) bool {
	if one == other {
		return true
	}
	others := addressesOf(ctx, host, other)
	return slices.ContainsFunc(addressesOf(ctx, host, one), func(a string) bool { return slices.Contains(others, a) })
}

// isSelf reports whether name is this very host.
func isSelf(ctx context.Context, host sys.Reader, system sys.System, name string) bool {
	if name == system.Hostname || name == system.FQDN || name == "localhost" {
		return true
	}
	addresses := addressesOf(ctx, host, name)
	for _, i := range system.Interfaces {
		for _, cidr := range i.Addresses {
			address, _, _ := strings.Cut(cidr, "/")
			if slices.Contains(addresses, address) {
				return true
			}
		}
	}
	return false
}

// entries is the number of files left to heal, -1 when the brick was not asked.
func (h glusterHealing) entries() int {
	n, err := strconv.Atoi(strings.TrimSpace(h.Entries))
	if err != nil || n < 0 {
		return -1
	}
	return n
}
