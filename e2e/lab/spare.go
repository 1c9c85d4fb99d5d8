package lab

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// spare is a machine beside the cluster, for the tests that need one more.
var spare = host{Name: "compute03", UUID: "b7c34d10-5e0f-4a52-9f6e-000000821a00", Number: 14, Compute: true}

// AddSpare boots compute03, a fourth machine, and adds it to Nodes: a bare host, with
// a stand-in for Rainbond's installer on manage01 that makes it a compute node. The
// cluster must be as it was installed. Reset and Down take the machine away.
func (l *Lab) AddSpare(ctx context.Context) (*Node, error) {
	n := l.spareNode()
	err := l.locked(ctx, func() error {
		if err := l.dropSpare(ctx); err != nil {
			return err
		}
		l.Nodes = append(l.Nodes, n)
		if err := l.writeAccess(); err != nil {
			return err
		}
		if err := n.begin(ctx); err != nil {
			return err
		}
		if err := n.waitRunning(ctx); err != nil {
			return err
		}
		if err := n.bare(ctx); err != nil {
			return err
		}
		return l.readyInstaller(ctx)
	})
	return n, err
}

// spareNode lies on the disk of compute02, with files of its own over it.
func (l *Lab) spareNode() *Node {
	h := spare
	h.IP = address(l.octet, h.Number)
	return &Node{
		Name: h.Name, IP: h.IP, Compute: h.Compute, lab: l, host: h,
		dir: filepath.Join(l.dir(), "nodes", h.Name), sshDir: filepath.Join(l.dir(), "ssh", h.Name),
		lower: l.Node("compute02").lower,
	}
}

// isSpare tells a node that a reset does not bring back.
func isSpare(n *Node) bool { return n.Name == spare.Name }

// dropSpare takes the machine away, also one that another process has left.
func (l *Lab) dropSpare(ctx context.Context) error {
	l.Nodes = slices.DeleteFunc(l.Nodes, isSpare)
	n := l.spareNode()
	if _, err := os.Stat(n.dir); os.IsNotExist(err) {
		return nil
	}
	return n.discard(ctx)
}

// begin gives the node a disk as it was installed, and boots it. waitRunning waits.
func (n *Node) begin(ctx context.Context) error {
	if err := n.discard(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	from := filepath.Join(filepath.Dir(n.lower[0]), "docker")
	if err := snapshot(ctx, from, filepath.Join(n.dir, "docker")); err != nil {
		return err
	}
	if isSpare(n) {
		if err := n.becomeSpare(ctx); err != nil {
			return err
		}
	}
	return n.start(ctx)
}

// becomeSpare makes of compute02's disk that of another node, which does not run the
// app at once: its container is still compute02's.
func (n *Node) becomeSpare(ctx context.Context) error {
	if err := n.mount(ctx); err != nil {
		return err
	}
	tree, err := newCluster(n.lab.octet).nodeFiles(n.host)
	if err != nil {
		return err
	}
	tree["/etc/hostname"] = []byte(n.Name + "\n")
	tree["/etc/machine-id"] = []byte(strings.ReplaceAll(n.host.UUID, "-", "") + "\n")
	if err := writeTree(n.Root(), tree); err != nil {
		return err
	}
	return os.Remove(n.Root() + wants + "kubelet.service")
}

// readyInstaller puts the stand-in for compute.sh on a manage01 that is installed:
// with the files that it writes anew, and with the nodes that it knows.
func (l *Lab) readyInstaller(ctx context.Context) error {
	manage := l.Node("manage01")
	if err := manage.put(ctx, "compute.sh", installerDir+"/scripts/compute.sh"); err != nil {
		return err
	}
	c := newCluster(l.octet)
	h := spare
	h.IP = address(l.octet, h.Number)
	c.Nodes = append(c.Nodes, h)
	nodes, err := c.render("manage/var/lib/rbdplay-lab/nodes.json")
	if err != nil {
		return err
	}
	_, err = manage.ExecInput(ctx, nodes, "sh", "-ec", `
cat >/var/lib/rbdplay-lab/plan.json
grep '{' /var/lib/rbdplay-lab/nodes.json | sed 's/,$//' >/var/lib/rbdplay-lab/rows
payload=/usr/local/lib/rbdplay-lab/payload
mkdir -p $payload/etc $payload/opt/rainbond/compose
cp -a /etc/hosts $payload/etc/
cp -a /opt/rainbond/compose/. $payload/opt/rainbond/compose/`)
	return err
}
