package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Machines beside the cluster, for the tests that need one more.
var (
	thirdCompute  = host{Name: "compute03", UUID: "b7c34d10-5e0f-4a52-9f6e-000000821a00", Number: 14, Compute: true}
	secondManager = host{Name: "manage02", UUID: "8d4f6b22-0c3e-4f7a-a1d5-5d3c6a8c0a15", Number: 15}
)

// AddSpare boots compute03, a fourth machine, and adds it to Nodes: a bare host, with
// a stand-in for Rainbond's installer on manage01 that makes it a compute node. The
// cluster must be as it was installed. Reset and Down take the machine away.
func (l *Lab) AddSpare(ctx context.Context) (*Node, error) {
	n := l.spareNode(thirdCompute)
	err := l.locked(ctx, func() error {
		if err := l.addNode(ctx, n); err != nil {
			return err
		}
		if err := n.bare(ctx); err != nil {
			return err
		}
		return l.readyInstaller(ctx)
	})
	return n, err
}

// addNode boots a machine beside the cluster.
func (l *Lab) addNode(ctx context.Context, n *Node) error {
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
	return n.waitRunning(ctx)
}

// AddManager boots manage02, a fourth machine, and adds it to Nodes: a second
// management node, as Rainbond's own means leave one. It runs what manage01 runs but
// for rbd-db and the NFS export, and asks manage01 for these and for etcd's keys. Both
// rbd-entrance push to both rbd-lb. The cluster must be as it was installed. Reset and
// Down take the machine away.
func (l *Lab) AddManager(ctx context.Context) (*Node, error) {
	n := l.spareNode(secondManager)
	err := l.locked(ctx, func() error {
		if err := l.addNode(ctx, n); err != nil {
			return err
		}
		if _, err := n.Exec(ctx, "dc-compose", "up", "-d"); err != nil {
			return err
		}
		first := l.Node("manage01")
		if _, err := first.Exec(ctx, "sed", "-i", "s,urls=[^ ]*,"+pushURLs(first.host, n.host)+",", "/opt/rainbond/compose/plugin.yaml"); err != nil {
			return err
		}
		_, err := first.Exec(ctx, "dc-compose", "up", "-d", "rbd-entrance")
		return err
	})
	return n, err
}

// pushURLs is what rbd-entrance of several management nodes is told.
func pushURLs(nodes ...host) string {
	var urls []string
	for _, node := range nodes {
		urls = append(urls, "http://"+node.IP+":10002")
	}
	return "urls=" + strings.Join(urls, "-")
}

// spareNode lies on the disk of a node of its kind, with files of its own over it.
func (l *Lab) spareNode(h host) *Node {
	h.IP = address(l.octet, h.Number)
	like := "manage01"
	if h.Compute {
		like = "compute02"
	}
	return &Node{
		Name: h.Name, IP: h.IP, Compute: h.Compute, lab: l, host: h,
		dir: filepath.Join(l.dir(), "nodes", h.Name), sshDir: filepath.Join(l.dir(), "ssh", h.Name),
		lower: l.Node(like).lower,
	}
}

func (l *Lab) spareNodes() []*Node {
	return []*Node{l.spareNode(thirdCompute), l.spareNode(secondManager)}
}

// isSpare tells a node that a reset does not bring back.
func isSpare(n *Node) bool { return n.Name == thirdCompute.Name || n.Name == secondManager.Name }

// dropSpare takes the machines beside the cluster away, also those that another process
// has left.
func (l *Lab) dropSpare(ctx context.Context) error {
	l.Nodes = slices.DeleteFunc(l.Nodes, isSpare)
	for _, n := range l.spareNodes() {
		if _, err := os.Stat(n.dir); os.IsNotExist(err) {
			continue
		}
		if err := n.discard(ctx); err != nil {
			return err
		}
	}
	return nil
}

// begin gives the node a disk as it was installed, and boots it. waitRunning waits.
func (n *Node) begin(ctx context.Context) error {
	if err := n.newDisk(ctx); err != nil {
		return err
	}
	if isSpare(n) {
		if err := n.becomeSpare(ctx); err != nil {
			return err
		}
	}
	return n.start(ctx)
}

// newDisk gives the node a disk as it was installed, and leaves it off.
func (n *Node) newDisk(ctx context.Context) error {
	if err := n.discard(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	from := filepath.Join(filepath.Dir(n.lower[0]), "docker")
	return snapshot(ctx, from, filepath.Join(n.dir, "docker"))
}

// becomeSpare makes of the other node's disk that of one more. It runs no container
// until it is told to: those on the disk are the other node's.
func (n *Node) becomeSpare(ctx context.Context) error {
	if err := n.mount(ctx); err != nil {
		return err
	}
	c := newCluster(n.lab.octet)
	c.Nodes = append(c.Nodes, n.host)
	tree, err := c.nodeFiles(n.host)
	if err != nil {
		return err
	}
	tree["/etc/hostname"] = []byte(n.Name + "\n")
	tree["/etc/machine-id"] = []byte(strings.ReplaceAll(n.host.UUID, "-", "") + "\n")
	if !n.Compute {
		if err := n.becomeManager(c, tree); err != nil {
			return err
		}
	}
	if err := writeTree(n.Root(), tree); err != nil {
		return err
	}
	if n.Compute {
		return os.Remove(n.Root() + wants + "kubelet.service")
	}
	return nil
}

// becomeManager takes away what only the first management node has: the data, which is
// mounted from there, its export, and rbd-db, the last service of base.yaml.
func (n *Node) becomeManager(c cluster, tree map[string][]byte) error {
	const compose = "/opt/rainbond/compose/"
	replace := func(name, from, to string) error {
		if !bytes.Contains(tree[name], []byte(from)) {
			return fmt.Errorf("%s of a management node has no %q", name, from)
		}
		tree[name] = bytes.ReplaceAll(tree[name], []byte(from), []byte(to))
		return nil
	}
	if err := replace(compose+"base.yaml", "artifactory-manage01", "artifactory-"+n.Name); err != nil {
		return err
	}
	base, _, found := bytes.Cut(tree[compose+"base.yaml"], []byte("  rbd-db:\n"))
	if !found {
		return fmt.Errorf("%sbase.yaml has no rbd-db", compose)
	}
	tree[compose+"base.yaml"] = base
	if err := replace(compose+"plugin.yaml", "urls=http://127.0.0.1:10002", pushURLs(c.Manage, n.host)); err != nil {
		return err
	}
	if err := replace("/opt/rainbond/etc/kubernetes/kubecfg/admin.kubeconfig", c.Manage.IP, n.IP); err != nil {
		return err
	}
	delete(tree, "/etc/exports")
	tree["/etc/fstab"] = []byte(c.Manage.IP + ":/grdata /grdata nfs rw 0 0\n")
	for _, path := range []string{
		n.Root() + "/grdata", n.Root() + "/opt/rainbond/data/rbd-db", n.Root() + "/etc/exports",
		n.Root() + wants + "nfs-kernel-server.service", filepath.Join(n.dir, "docker", "containers"),
	} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return os.Mkdir(n.Root()+"/grdata", 0o755)
}

// readyInstaller puts the stand-in for compute.sh on a manage01 that is installed:
// with the files that it writes anew, and with the nodes that it knows.
func (l *Lab) readyInstaller(ctx context.Context) error {
	manage := l.Node("manage01")
	if err := manage.put(ctx, "compute.sh", installerDir+"/scripts/compute.sh"); err != nil {
		return err
	}
	c := newCluster(l.octet)
	h := thirdCompute
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
