// Package lab makes a Rainbond 3.6 cluster of three real systemd hosts on one
// machine: one management and two compute nodes in systemd-nspawn, with sshd,
// docker and the platform's containers, on a bridge of their own. It boots
// them, brings them back to the installed state in seconds, cuts their power
// and their network, and tells what a run changed on their disks.
//
// It needs root on Debian 12. README.md says what is real and what stands in.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Config says which lab to open. Every field has a default.
type Config struct {
	// Name of the instance; RBDPLAY_LAB, else "main". Several can run.
	Name string
	// Dir is where the store is mounted; its image file is Dir + ".img".
	// Default /var/lib/rbdplay-lab. All instances of one Dir share images.
	Dir string
	// Out is the folder for inventory, key and known_hosts; RBDPLAY_LAB_OUT,
	// else .lab of the checkout (.lab/<name> for another instance than main).
	Out string
	// Progress receives one line per step; nil says nothing.
	Progress io.Writer
	// Durable lets the nodes wait for the disk when a program syncs, as a machine of
	// its own does: for who measures them. The tests' nodes do not wait.
	Durable bool
}

const defaultDir = "/var/lib/rbdplay-lab"

// Lab is one instance. Its methods are not safe for use by several goroutines
// at once, those of different Nodes are. Up, Reset, Down and the power of a
// node take the instance's lock, and wait for another process that holds it.
type Lab struct {
	Nodes     []*Node // manage01, compute01, compute02; set by Open if the lab exists, and by Up
	VIP       string  // the free address that ha-minimal is to use
	Inventory string  // path of the Ansible inventory

	name     string
	octet    int
	out      string
	store    store
	base     base
	progress io.Writer
	started  time.Time
	durable  bool
	held     func() error // the instance's lock, when Lock took it
}

// state is what an instance remembers between processes.
type state struct {
	Octet     int    `json:"octet"`
	Base      string `json:"base"`
	Installed string `json:"installed"`
}

// Open finds an instance, up or not, and changes nothing on the host. It fails
// without root and on anything but Debian 12. The Nodes of an instance that
// was never up, or whose store a restart of the host unmounted, come with Up.
func Open(_ context.Context, config Config) (*Lab, error) {
	if err := checkHost(); err != nil {
		return nil, err
	}
	if config.Name == "" {
		config.Name = firstOf(os.Getenv("RBDPLAY_LAB"), mainInstance)
	}
	if err := CheckName(config.Name); err != nil {
		return nil, err
	}
	out, err := outFolder(config)
	if err != nil {
		return nil, err
	}
	l := &Lab{
		Inventory: filepath.Join(out, "cluster.yml"),
		name:      config.Name, out: out, progress: config.Progress, started: time.Now(),
		store: store{firstOf(config.Dir, defaultDir)}, durable: config.Durable,
	}
	return l, l.load()
}

// Supported says why this machine cannot run a lab, nil when it can.
func Supported() error { return checkHost() }

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func outFolder(config Config) (string, error) {
	if out := firstOf(config.Out, os.Getenv("RBDPLAY_LAB_OUT")); out != "" {
		return filepath.Abs(out)
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	root, err := moduleRoot(wd)
	if err != nil {
		return "", err
	}
	if config.Name == mainInstance {
		return filepath.Join(root, ".lab"), nil
	}
	return filepath.Join(root, ".lab", config.Name), nil
}

func (l *Lab) dir() string    { return filepath.Join(l.store.dir, l.name) }
func (l *Lab) images() string { return filepath.Join(l.store.dir, "images") }

func (l *Lab) say(format string, values ...any) {
	if l.progress != nil {
		fmt.Fprintf(l.progress, "lab %s %5.1fs  %s\n", l.name, time.Since(l.started).Seconds(), fmt.Sprintf(format, values...))
	}
}

// load reads the instance's state, if it has one.
func (l *Lab) load() error {
	s, err := readState(filepath.Join(l.dir(), "state.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	l.adopt(s)
	return nil
}

func readState(path string) (state, error) {
	var s state
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// adopt sets what follows from the state.
func (l *Lab) adopt(s state) {
	l.octet = s.Octet
	l.VIP = address(s.Octet, 100)
	l.base = base{s.Base}
	snapshot := installed{s.Installed}
	l.Nodes = l.newNodes(filepath.Join(l.dir(), "nodes"), func(name string) []string {
		return []string{snapshot.upper(name), l.base.rootfs()}
	})
}

func (l *Lab) newNodes(dir string, lower func(name string) []string) []*Node {
	nodes := make([]*Node, len(plan))
	for i, h := range newCluster(l.octet).Nodes {
		nodes[i] = &Node{
			Name: h.Name, IP: h.IP, Compute: h.Compute, lab: l, host: h,
			dir: filepath.Join(dir, h.Name), lower: lower(h.Name), sshDir: filepath.Join(l.dir(), "ssh", h.Name),
		}
	}
	return nodes
}

// Node returns the node of that name. It panics on a name that no lab has.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.Nodes {
		if n.Name == name {
			return n
		}
	}
	panic(fmt.Sprintf("lab %s: no node %q, or the lab is not up", l.name, name))
}

// Lock takes the instance's lock for longer than one operation, for a test
// run that must not be disturbed. The result gives it back.
func (l *Lab) Lock(ctx context.Context) (func() error, error) {
	release, err := takeLock(ctx, "instance-"+l.name, l.say)
	if err != nil {
		return nil, err
	}
	l.held = release
	return func() error {
		l.held = nil
		return release()
	}, nil
}

// locked runs do under the instance's lock, which this Lab may hold already.
func (l *Lab) locked(ctx context.Context, do func() error) error {
	if l.held != nil {
		return do()
	}
	release, err := takeLock(ctx, "instance-"+l.name, l.say)
	if err != nil {
		return err
	}
	return errors.Join(do(), release())
}

// eachNode runs do on several nodes at the same time; all errors are kept.
func (l *Lab) eachNode(ctx context.Context, nodes []*Node, do func(context.Context, *Node) error) error {
	var group errgroup.Group
	failures := make([]error, len(nodes))
	for i, n := range nodes {
		group.Go(func() error {
			failures[i] = do(ctx, n)
			return nil
		})
	}
	return errors.Join(group.Wait(), errors.Join(failures...))
}

func (l *Lab) discardAll(ctx context.Context, nodes []*Node) error {
	return l.eachNode(ctx, nodes, func(ctx context.Context, n *Node) error { return n.discard(ctx) })
}

// Up makes the lab run: it builds what is missing, boots nodes that are off,
// and starts afresh what a crash has left or another version has built. A lab
// that runs stays as it is. It returns when all nodes run and the demo app
// answers.
func (l *Lab) Up(ctx context.Context) error {
	return l.locked(ctx, func() error {
		before := l.Nodes
		fresh, err := l.prepare(ctx)
		if err != nil {
			return err
		}
		alive := 0
		for _, n := range before {
			running, err := n.Running()
			if err != nil {
				return err
			}
			if running {
				alive++
			}
		}
		if fresh || alive == 0 {
			return l.reset(ctx)
		}
		if err := l.eachNode(ctx, l.Nodes, func(ctx context.Context, n *Node) error { return n.powerOn(ctx) }); err != nil {
			return err
		}
		return l.eachNode(ctx, l.Nodes, func(ctx context.Context, n *Node) error { return n.Join(ctx) })
	})
}

// prepare provides store, bridge, images and keys, and tells whether the
// installed state is another one than before.
func (l *Lab) prepare(ctx context.Context) (fresh bool, err error) {
	release, err := takeLock(ctx, "store", l.say)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := installHostPackages(ctx, l.say); err != nil {
		return false, err
	}
	if err := l.store.mount(ctx); err != nil {
		return false, err
	}
	before, err := l.settle()
	if err != nil {
		return false, err
	}
	b, err := buildBase(ctx, l.images(), l.say)
	if err != nil {
		return false, err
	}
	l.base = b
	if err := l.makeBridge(ctx); err != nil {
		return false, err
	}
	after, err := l.provisioned(ctx, before)
	if err != nil {
		return false, err
	}
	if err := l.save(after); err != nil {
		return false, err
	}
	l.adopt(after)
	return before != after, l.writeAccess()
}

// settle gives a new instance its subnet.
func (l *Lab) settle() (state, error) {
	s, err := readState(filepath.Join(l.dir(), "state.json"))
	if err == nil {
		l.octet = s.Octet
		return s, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return state{}, err
	}
	taken := make(map[int]bool)
	others, err := filepath.Glob(filepath.Join(l.store.dir, "*", "state.json"))
	if err != nil {
		return state{}, err
	}
	for _, path := range others {
		other, err := readState(path)
		if err != nil {
			return state{}, err
		}
		taken[other.Octet] = true
	}
	octet, err := chooseOctet(l.name, taken)
	l.octet = octet
	return state{Octet: octet}, errors.Join(err, l.save(state{Octet: octet}))
}

func (l *Lab) save(s state) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(l.dir(), "state.json"), append(raw, '\n'), 0o644)
}

// provisioned returns the state with the current images.
func (l *Lab) provisioned(ctx context.Context, s state) (state, error) {
	l.adopt(state{Octet: s.Octet, Base: l.base.dir, Installed: s.Installed})
	if err := l.writeAccess(); err != nil {
		return state{}, err
	}
	done, err := l.provision(ctx)
	return state{Octet: l.octet, Base: l.base.dir, Installed: done.dir}, err
}

// Reset brings all nodes back to the installed state, whatever they are in,
// and returns when they run and the demo app answers.
func (l *Lab) Reset(ctx context.Context) error {
	return l.locked(ctx, func() error {
		if _, err := l.prepare(ctx); err != nil {
			return err
		}
		return l.reset(ctx)
	})
}

func (l *Lab) reset(ctx context.Context) error {
	l.say("putting the nodes' disks back")
	if err := l.dropSpare(ctx); err != nil {
		return err
	}
	if err := l.eachNode(ctx, l.Nodes, func(ctx context.Context, n *Node) error { return n.begin(ctx) }); err != nil {
		return err
	}
	l.say("booting")
	if err := l.eachNode(ctx, l.Nodes, func(ctx context.Context, n *Node) error { return n.waitRunning(ctx) }); err != nil {
		return err
	}
	l.say("nodes are running")
	if err := l.waitDemo(ctx, l.Nodes[0]); err != nil {
		return err
	}
	l.say("the demo app answers")
	return nil
}

// Down stops the lab and removes everything it has on the host but the
// images. With purge it removes these too, if no other instance is up. It is
// fine on a lab that is down, half up or crashed.
func (l *Lab) Down(ctx context.Context, purge bool) error {
	return l.locked(ctx, func() error {
		release, err := takeLock(ctx, "store", l.say)
		if err != nil {
			return err
		}
		return errors.Join(l.down(ctx, purge), release())
	})
}

func (l *Lab) down(ctx context.Context, purge bool) error {
	known, err := l.find(ctx)
	if err != nil {
		return err
	}
	if known {
		if err := l.clear(ctx); err != nil {
			return err
		}
	}
	if err := l.removeAccess(); err != nil {
		return err
	}
	if err := l.store.unmount(ctx); err != nil || !purge {
		return err
	}
	return l.purge()
}

// find loads the instance's state from a store that a restart of the host
// left unmounted, and tells whether the instance has a subnet at all.
func (l *Lab) find(ctx context.Context) (bool, error) {
	if len(l.Nodes) > 0 {
		return true, nil
	}
	if _, err := os.Stat(l.store.imageFile()); err == nil {
		if err := l.store.mount(ctx); err != nil {
			return false, err
		}
		if err := l.load(); err != nil {
			return false, err
		}
	}
	if len(l.Nodes) == 0 && l.name == mainInstance {
		// Without a store main still has its subnet, and may have a bridge.
		l.adopt(state{})
	}
	return len(l.Nodes) > 0, nil
}

// clear removes the instance's nodes, those of a broken installation too.
func (l *Lab) clear(ctx context.Context) error {
	nodes := append(slices.DeleteFunc(slices.Clone(l.Nodes), isSpare), l.newNodes(filepath.Join(l.images(), fmt.Sprintf("installing-%d", l.octet)),
		func(string) []string { return nil })...)
	nodes = append(nodes, l.spareNodes()...)
	if err := l.discardAll(ctx, nodes); err != nil {
		return err
	}
	if err := l.removeBridge(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(l.dir(), "nodes")); err != nil {
		return err
	}
	if err := removeTree(ctx, filepath.Join(l.images(), fmt.Sprintf("installing-%d", l.octet))); err != nil {
		return err
	}
	return errors.Join(releaseNamespaceFolder(), removeFreeLocks())
}

// removeFreeLocks removes the lock files of systemd-nspawns that were killed.
// One that somebody holds stays.
func removeFreeLocks() error {
	paths, err := filepath.Glob("/run/systemd/nspawn/locks/*")
	if err != nil {
		return err
	}
	for _, path := range paths {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue // its owner was faster
		}
		// nspawn takes this kind of lock, which flock knows nothing of.
		whole := unix.Flock_t{Type: unix.F_WRLCK}
		if unix.FcntlFlock(file.Fd(), unix.F_OFD_SETLK, &whole) == nil {
			err = os.Remove(path)
		}
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// releaseNamespaceFolder takes back the mount that "ip netns add" makes, once
// no namespace of anybody is left in it.
func releaseNamespaceFolder() error {
	const folder = "/run/netns"
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if err := unmountBelow(folder); err != nil {
		return err
	}
	return removeIfEmpty(folder)
}

// purge removes the images of all instances, unless one of them is up.
func (l *Lab) purge() error {
	inUse, err := l.store.inUse()
	if err != nil {
		return err
	}
	if inUse {
		return errors.New("the images stay: another lab is up")
	}
	if err := os.Remove(l.store.imageFile()); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

func (l *Lab) makeBridge(ctx context.Context) error {
	bridge := bridgeName(l.octet)
	if _, err := os.Stat("/sys/class/net/" + bridge); err == nil {
		return nil
	}
	for _, argv := range [][]string{
		{"ip", "link", "add", bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0"},
		{"ip", "link", "set", bridge, "addrgenmode", "none"},
		{"ip", "addr", "add", address(l.octet, 1) + "/24", "brd", "+", "dev", bridge},
		{"ip", "link", "set", bridge, "up"},
	} {
		if _, err := run(ctx, 10*time.Second, argv...); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) removeBridge(ctx context.Context) error {
	_, err := run(ctx, 10*time.Second, "ip", "link", "del", bridgeName(l.octet))
	if isAbsent(err) {
		return nil
	}
	return err
}
