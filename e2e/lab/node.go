package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Node is one machine of a lab.
type Node struct {
	Name    string // manage01, compute01, compute02
	IP      string
	Compute bool

	lab    *Lab
	host   host
	dir    string   // upper, work, root, docker, console.log
	lower  []string // lower layers, topmost first
	sshDir string   // host key and authorized keys, made by the controller
}

// Upper is the folder with exactly what this node's run changed on its disk
// (but for /var/lib/docker, which is a file system of its own).
func (n *Node) Upper() string { return filepath.Join(n.dir, "upper") }

// Root is the node's whole file system as the host sees it while it is up.
func (n *Node) Root() string { return filepath.Join(n.dir, "root") }

// Console is the file with what the node's systemd wrote on its console.
func (n *Node) Console() string { return filepath.Join(n.dir, "console.log") }

// Machine is the node's machine name on the host.
func (n *Node) Machine() string { return "rbdplay-" + n.lab.name + "-" + n.Name }

func (n *Node) link() string { return linkName(n.lab.octet, n.host.Number) }

// mount joins the node's layers; redirect_dir lets a folder be renamed as on
// a plain disk, index keeps hard links together when they are written. With volatile
// nobody waits for the disk: a node's power is cut by killing its processes, and what
// they wrote stays in the host's memory. A host that crashes leaves nothing to go on
// with: Up starts afresh then.
func (n *Node) mount(ctx context.Context) error {
	for _, dir := range []string{n.Upper(), n.Root(), filepath.Join(n.dir, "work")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if points, err := mountsBelow(n.Root()); err != nil || len(points) > 0 {
		return err
	}
	// The mark of an earlier volatile mount, without which there would be no other.
	if err := os.RemoveAll(filepath.Join(n.dir, "work", "work", "incompat")); err != nil {
		return err
	}
	options := "lowerdir=" + strings.Join(n.lower, ":") + ",upperdir=" + n.Upper() +
		",workdir=" + filepath.Join(n.dir, "work") + ",redirect_dir=on,index=on,xino=on"
	if !n.lab.durable {
		options += ",volatile"
	}
	_, err := run(ctx, 20*time.Second, "mount", "-t", "overlay", n.Machine(), "-o", options, n.Root())
	return err
}

// start boots the node and returns at once; waitRunning waits for it.
func (n *Node) start(ctx context.Context) error {
	if err := n.mount(ctx); err != nil {
		return err
	}
	groups, err := makeCgroups(n.Machine())
	if err != nil {
		return err
	}
	script, err := files.ReadFile("files/supervise.sh")
	if err != nil {
		return err
	}
	console, err := os.OpenFile(n.Console(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = console.Close() }() // the supervisor has its own
	// Not tied to ctx: the node outlives the command that starts it. setsid
	// forks and ends, so nobody here has to wait for the supervisor.
	supervisor := exec.Command("setsid", append([]string{"--fork", "sh", "-c", string(script), "supervise"}, n.nspawn()...)...)
	supervisor.Dir = "/"
	supervisor.Stdout, supervisor.Stderr = console, console
	supervisor.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"CGROUPS=" + strings.Join(groups, " "), "NETNS=" + n.Machine(), "LINK=" + n.link(),
		"BRIDGE=" + bridgeName(n.lab.octet), "MAC=" + macAddress(n.lab.octet, n.host.Number), "ADDRESS=" + n.IP,
		// For nspawn: docker must turn on forwarding in the node's own namespace,
		// and no more of the host's kernel settings than those may be written.
		"SYSTEMD_NSPAWN_API_VFS_WRITABLE=network",
	}
	if err := supervisor.Run(); err != nil {
		return fmt.Errorf("starting %s: %w", n.Name, err)
	}
	return nil
}

func (n *Node) nspawn() []string {
	argv := []string{
		"systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
		"--directory=" + n.Root(), "--machine=" + n.Machine(), "--hostname=" + n.Name,
		"--uuid=" + n.host.UUID, "--network-namespace-path=/run/netns/" + n.Machine(),
		"--capability=all", "--system-call-filter=@keyring bpf", "--bind=/dev/fuse",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
		"--bind=" + filepath.Join(n.dir, "docker") + ":/var/lib/docker",
		"--bind-ro=" + n.lab.base.repository() + ":" + repositoryPath,
	}
	for _, name := range []string{"ssh_host_ed25519_key", "lab_authorized_keys"} {
		argv = append(argv, "--bind-ro="+filepath.Join(n.sshDir, name)+":/etc/ssh/"+name)
	}
	return argv
}

// leader returns the host's id of the node's first process, 0 if it is off.
func (n *Node) leader() (int, error) {
	pids, err := cgroupProcesses(n.Machine())
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // gone since
		}
		// Process 1 of the node's own namespace; a container's has three ids.
		if ids := statusField(status, "NSpid"); len(ids) == 2 && ids[1] == "1" {
			return pid, nil
		}
	}
	return 0, nil
}

func statusField(status []byte, name string) []string {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name+":")); ok {
			return strings.Fields(string(rest))
		}
	}
	return nil
}

// Running tells whether the node has power.
func (n *Node) Running() (bool, error) {
	pid, err := n.leader()
	return pid != 0, err
}

// ErrOff says that a node has no power.
var ErrOff = errors.New("the node is off")

// Exec runs argv on the node as root, without ssh, and returns its standard
// output. A limit comes from ctx, and is two minutes without one. The error
// carries stderr; it unwraps to *exec.ExitError when the command ran.
func (n *Node) Exec(ctx context.Context, argv ...string) (string, error) {
	return n.ExecInput(ctx, nil, argv...)
}

// ExecInput is Exec with a standard input.
func (n *Node) ExecInput(ctx context.Context, stdin []byte, argv ...string) (string, error) {
	pid, err := n.leader()
	if err != nil {
		return "", err
	}
	if pid == 0 {
		return "", fmt.Errorf("%s: %w", n.Name, ErrOff)
	}
	limit := 2 * time.Minute
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	enter := []string{
		"nsenter", "-t", strconv.Itoa(pid), "-m", "-u", "-i", "-n", "-p", "-C", "--root", "--wd", "--",
		"/usr/bin/env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
	}
	out, err := runWith(ctx, limit, stdin, append(enter, argv...)...)
	if failed, ok := errors.AsType[*CommandError](err); ok {
		failed.Argv = append([]string{n.Name + ":"}, argv...)
	}
	return out, err
}

// waitRunning waits until systemd on the node says running.
func (n *Node) waitRunning(ctx context.Context) error {
	return waitFor(ctx, n.Name+" to boot", 90*time.Second, 200*time.Millisecond, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		out, err := n.Exec(ctx, "systemctl", "is-system-running")
		state := strings.TrimSpace(out)
		switch {
		case state == "running":
			return nil
		case state == "degraded":
			failed, _ := n.Exec(ctx, "systemctl", "--failed", "--no-legend", "--plain")
			return fmt.Errorf("systemd is degraded: %s", strings.TrimSpace(failed))
		case state != "":
			return fmt.Errorf("systemd is %s", state)
		}
		return err
	})
}

// kill takes the node's power and everything it has on the host. It is also
// what clears up after a crash, so nothing of it may be missing.
func (n *Node) kill(ctx context.Context) error {
	if err := killCgroups(ctx, n.Machine()); err != nil {
		return err
	}
	for _, argv := range [][]string{
		{"ip", "link", "del", n.link()},
		{"ip", "netns", "del", n.Machine()},
	} {
		if _, err := run(ctx, 10*time.Second, argv...); err != nil && !isAbsent(err) {
			return err
		}
	}
	if err := unmountBelow(n.nspawnFolder()); err != nil {
		return err
	}
	return os.RemoveAll(n.nspawnFolder())
}

// isAbsent recognises ip's ways of saying that a thing is not there, or has
// just gone by itself: a veth goes with its namespace.
func isAbsent(err error) bool {
	failed, ok := errors.AsType[*CommandError](err)
	return ok && slices.ContainsFunc(
		[]string{"Cannot find device", "No such file or directory", "No such device"},
		func(text string) bool { return strings.Contains(failed.Stderr, text) })
}

// nspawnFolder is what systemd-nspawn leaves of a machine on the host.
func (n *Node) nspawnFolder() string { return "/run/systemd/nspawn/propagate/" + n.Machine() }

// discard kills the node and removes its disk.
func (n *Node) discard(ctx context.Context) error {
	if err := n.kill(ctx); err != nil {
		return err
	}
	// A FUSE server that was killed lets go of its mounts a moment later.
	return waitFor(ctx, n.Name+"'s disk to be free", 15*time.Second, 200*time.Millisecond, func(ctx context.Context) error {
		if err := unmountBelow(n.dir); err != nil {
			return err
		}
		return removeTree(ctx, n.dir)
	})
}

// PowerOff cuts the node's power at once: no service gets to say goodbye, and
// what was on the disk stays. On a node that is off it does nothing.
func (n *Node) PowerOff(ctx context.Context) error {
	return n.lab.locked(ctx, func() error { return n.kill(ctx) })
}

// PowerOn boots a node that is off from the disk it left, and waits until
// systemd has started everything. On a running node it only waits.
func (n *Node) PowerOn(ctx context.Context) error {
	return n.lab.locked(ctx, func() error { return n.powerOn(ctx) })
}

func (n *Node) powerOn(ctx context.Context) error {
	running, err := n.Running()
	if err != nil {
		return err
	}
	if !running {
		if err := n.kill(ctx); err != nil { // a powered-off node's remains
			return err
		}
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	return n.waitRunning(ctx)
}

// Cut takes the node off the network while it goes on running.
func (n *Node) Cut(ctx context.Context) error { return n.setLink(ctx, "down") }

// Join puts the node back on the network.
func (n *Node) Join(ctx context.Context) error { return n.setLink(ctx, "up") }

func (n *Node) setLink(ctx context.Context, state string) error {
	if _, err := run(ctx, 10*time.Second, "ip", "link", "set", n.link(), state); err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	return nil
}

// Changes lists what differs on the node's disk from the installed state.
func (n *Node) Changes() ([]Change, error) { return readChanges(n.Upper(), n.lower) }

// Snapshot records the state of the node's upper directory, to be compared
// with a later one.
func (n *Node) Snapshot() (Snapshot, error) { return takeSnapshot(n.Upper()) }
