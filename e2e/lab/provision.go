package lab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

//go:embed provision.go
var provisionSource string

//go:embed dockerimage.go
var dockerImageSource string

// installed is the snapshot of a cluster with Rainbond 3.6 on it.
type installed struct{ dir string }

func (i installed) upper(node string) string { return filepath.Join(i.dir, node, "upper") }

// buildBinary builds the rainbond program and returns it. Its bytes depend on
// its source only, so they may take part in a content hash.
func buildBinary(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "rbdplay-lab")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	wd, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	root, err := moduleRoot(wd)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "rainbond")
	_, err = run(ctx, 5*time.Minute, "env", "CGO_ENABLED=0", "go", "-C", root, "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w", "-o", path, "./e2e/lab/services/rainbond")
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// provision makes the installed state for the lab's subnet unless it is
// there: it boots the nodes from the base, installs the cluster on them, sees
// it work, shuts everything down in order and keeps the disks.
func (l *Lab) provision(ctx context.Context) (installed, error) {
	binary, err := buildBinary(ctx)
	if err != nil {
		return installed{}, err
	}
	sum, err := hashFiles(string(binary), provisionSource, dockerImageSource, grdataSource, imageSource)
	if err != nil {
		return installed{}, err
	}
	done := installed{filepath.Join(l.images(), fmt.Sprintf("installed-%d-%s", l.octet, sum))}
	if _, err := os.Stat(done.dir); err == nil {
		return done, nil
	}
	l.say("installing the cluster (once)")
	building := installed{filepath.Join(l.images(), fmt.Sprintf("installing-%d", l.octet))}
	nodes := l.newNodes(building.dir, func(string) []string { return []string{l.base.rootfs()} })
	// The running cluster has the same addresses, so it goes first.
	if err := errors.Join(l.discardAll(ctx, l.Nodes), l.discardAll(ctx, nodes)); err != nil {
		return installed{}, err
	}
	if err := removeTree(ctx, building.dir); err != nil {
		return installed{}, err
	}
	archives, err := l.writeArchives(building.dir, binary)
	if err != nil {
		return installed{}, err
	}
	if err := l.eachNode(ctx, nodes, func(ctx context.Context, n *Node) error {
		return n.install(ctx, binary, archives[n.Compute])
	}); err != nil {
		return installed{}, err
	}
	if err := l.startCluster(ctx, nodes); err != nil {
		return installed{}, err
	}
	if err := l.eachNode(ctx, nodes, func(ctx context.Context, n *Node) error { return n.shutDown(ctx) }); err != nil {
		return installed{}, err
	}
	if err := errors.Join(os.Remove(archives[true]), os.Remove(archives[false])); err != nil {
		return installed{}, err
	}
	return done, l.keep(ctx, building, done)
}

// keep names the new snapshot and drops older ones of the same subnet.
func (l *Lab) keep(ctx context.Context, building, done installed) error {
	old, err := filepath.Glob(filepath.Join(l.images(), fmt.Sprintf("installed-%d-*", l.octet)))
	if err != nil {
		return err
	}
	for _, dir := range old {
		if err := removeTree(ctx, dir); err != nil {
			return err
		}
	}
	return os.Rename(building.dir, done.dir)
}

// writeArchives writes the archives for docker load, keyed by "is a compute".
func (l *Lab) writeArchives(dir string, binary []byte) (map[bool]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	archives := make(map[bool]string)
	for _, compute := range []bool{false, true} {
		archives[compute] = filepath.Join(dir, fmt.Sprintf("images-%t.tar", compute))
		file, err := os.Create(archives[compute])
		if err != nil {
			return nil, err
		}
		err = writeArchive(file, images(compute), binary, l.base.services())
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
	return archives, nil
}

// install prepares one node's disk, boots it and loads its images.
func (n *Node) install(ctx context.Context, binary []byte, archive string) error {
	if err := os.MkdirAll(n.dir, 0o755); err != nil {
		return err
	}
	if err := createSubvolume(ctx, filepath.Join(n.dir, "docker")); err != nil {
		return err
	}
	if err := n.mount(ctx); err != nil {
		return err
	}
	if err := n.writeDisk(binary); err != nil {
		return err
	}
	if err := n.start(ctx); err != nil {
		return err
	}
	if err := n.waitRunning(ctx); err != nil {
		return err
	}
	images, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	_, err = n.ExecInput(ctx, images, "docker", "load", "-q")
	return err
}

// writeDisk writes everything of the node that is a plain file.
func (n *Node) writeDisk(binary []byte) error {
	tree, err := newCluster(n.lab.octet).nodeFiles(n.host)
	if err != nil {
		return err
	}
	tree["/etc/hostname"] = []byte(n.Name + "\n")
	tree["/etc/machine-id"] = []byte(strings.ReplaceAll(n.host.UUID, "-", "") + "\n")
	if err := writeTree(n.Root(), tree); err != nil {
		return err
	}
	program := "/usr/local/lib/rbdplay-lab/rainbond"
	if err := writeFile(n.Root()+program, binary, 0o755); err != nil {
		return err
	}
	links, dirs, units := manageLayout()
	if n.Compute {
		links, dirs, units = computeLayout()
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(n.Root()+dir, 0o755); err != nil {
			return err
		}
	}
	for _, name := range links {
		if err := os.Symlink(program, n.Root()+name); err != nil {
			return err
		}
	}
	for name, target := range units {
		if err := os.MkdirAll(filepath.Dir(n.Root()+name), 0o755); err != nil {
			return err
		}
		if err := os.Symlink(target, n.Root()+name); err != nil {
			return err
		}
	}
	if n.Compute {
		return os.Symlink("mount.nfs", n.Root()+"/usr/sbin/mount.nfs4")
	}
	return n.writeManage()
}

const wants = "/etc/systemd/system/multi-user.target.wants/"

func manageLayout() (links, dirs []string, units map[string]string) {
	links = []string{"/usr/local/bin/grctl"}
	dirs = []string{
		"/grdata", "/cache", "/logs", "/var/lib/rbdplay-lab/keys", "/root/.kube", "/opt/rainbond/envs",
		"/opt/rainbond/etc/rbd-api", "/opt/rainbond/etc/rbd-chaos/ssh", "/opt/rainbond/scripts",
		"/opt/rainbond/etc/rbd-lb/dynamics/dynamic_upstreams", "/opt/rainbond/data/prom", "/opt/rainbond/data/rbd-db",
		"/opt/rainbond/logs/rbd-lb", "/opt/rainbond/logs/docker_logs", "/opt/rainbond/logs/rbd-api",
		"/opt/rainbond/logs/rbd-eventlog", "/opt/rainbond/logs/rbd-app-ui",
	}
	units = map[string]string{
		wants + "rbdplay-lab-cgroups.service":      "../rbdplay-lab-cgroups.service",
		wants + "rbdplay-lab-controlplane.service": "../rbdplay-lab-controlplane.service",
		wants + "nfs-kernel-server.service":        "../nfs-kernel-server.service",
		"/etc/systemd/system/nfs-server.service":   "nfs-kernel-server.service",
	}
	return links, dirs, units
}

func computeLayout() (links, dirs []string, units map[string]string) {
	links = []string{"/usr/local/bin/kubelet"}
	dirs = []string{
		"/grdata", "/opt/rainbond/compose", "/opt/rainbond/bin", "/opt/rainbond/data",
		"/opt/rainbond/etc/rbd-lb", "/opt/rainbond/logs/rbd-lb",
	}
	units = map[string]string{
		wants + "rbdplay-lab-cgroups.service": "../rbdplay-lab-cgroups.service",
		// kubelet's link is made when it is started: the image is not there yet.
	}
	return links, dirs, units
}

// writeManage writes what only the management node has and no template makes.
func (n *Node) writeManage() error {
	for name, content := range map[string]string{
		"/opt/rainbond/logs/rbd-app-ui/goodrain.log": "",
		"/usr/local/bin/kubectl":                     "#!/bin/sh\necho 'kubectl: there is no Kubernetes in the lab' >&2\nexit 1\n",
	} {
		if err := writeTree(n.Root(), map[string][]byte{name: []byte(content)}); err != nil {
			return err
		}
	}
	certificate, key, err := selfSigned("goodrain.me")
	if err != nil {
		return err
	}
	certs := n.Root() + "/opt/rainbond/etc/rbd-lb/dynamics/dynamic_certs/goodrain.me/"
	if err := writeFile(certs+"server.crt", certificate, 0o644); err != nil {
		return err
	}
	if err := writeFile(certs+"server.key", key, 0o600); err != nil {
		return err
	}
	return fillGrdata(n.Root() + "/grdata")
}

// selfSigned makes a certificate for a name and everything below it.
func selfSigned(name string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	// Node clocks are the host's, which may be anywhere near the real time.
	pattern := &x509.Certificate{
		SerialNumber: big.NewInt(36), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name, "*." + name},
		NotBefore: time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2048, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, pattern, pattern, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), nil
}

// startCluster brings the platform up for the first time, as the installer
// and a first user would.
func (l *Lab) startCluster(ctx context.Context, nodes []*Node) error {
	manage := nodes[0]
	if _, err := manage.Exec(ctx, "dc-compose", "up", "-d"); err != nil {
		return err
	}
	err := waitFor(ctx, "rbd-db", time.Minute, 300*time.Millisecond, func(ctx context.Context) error {
		_, err := manage.Exec(ctx, "docker", "exec", "rbd-db", "mysql", "-Ne", "select 1")
		return err
	})
	if err != nil {
		return err
	}
	schema, err := newCluster(l.octet).render("region.sql")
	if err != nil {
		return err
	}
	if _, err := manage.ExecInput(ctx, schema, "docker", "exec", "-i", "rbd-db", "mysql", "--default-character-set=utf8"); err != nil {
		return err
	}
	if err := l.publishDemo(ctx, manage); err != nil {
		return err
	}
	if err := l.eachNode(ctx, nodes[1:], func(ctx context.Context, n *Node) error {
		_, err := n.Exec(ctx, "systemctl", "enable", "--now", "kubelet")
		return err
	}); err != nil {
		return err
	}
	return l.waitDemo(ctx, manage)
}

// publishDemo makes the rule of the demo app: rbd-entrance finds it as new
// and pushes it to the one rbd-lb there is.
func (l *Lab) publishDemo(ctx context.Context, manage *Node) error {
	var upstreams []string
	for _, n := range newCluster(l.octet).Nodes[1:] {
		upstreams = append(upstreams, fmt.Sprintf("%q", fmt.Sprintf("%s:%d", n.IP, appPort)))
	}
	rule := fmt.Sprintf(`{"host": %q, "upstreams": [%s]}`, AppHost, strings.Join(upstreams, ", "))
	_, err := manage.Exec(ctx, "curl", "-sS", "--fail", "-m", "5", "-X", "PUT", "-d", rule,
		"http://127.0.0.1:2379/v2/keys/rules/demo")
	return err
}

// waitDemo waits until the app answers on both computes, with storage and
// names, and through rbd-lb on the management node.
func (l *Lab) waitDemo(ctx context.Context, manage *Node) error {
	nodes := newCluster(l.octet).Nodes
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		url := "http://" + n.IP + "/strict"
		if n.Compute {
			url = "http://" + net.JoinHostPort(n.IP, strconv.Itoa(appPort)) + "/strict"
		}
		group.Go(func() error {
			return waitFor(ctx, "the demo app at "+url, time.Minute, 200*time.Millisecond, func(ctx context.Context) error {
				return getDemo(ctx, url)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return seesSharedStorage(manage)
}

// seesSharedStorage makes sure that what the apps just wrote lies on the
// management node: an app that started before its /grdata was mounted writes
// to an empty folder and is content.
func seesSharedStorage(manage *Node) error {
	for _, h := range plan[1:] {
		if _, err := os.Stat(filepath.Join(manage.Root(), "grdata/tenant/demo/visit-"+h.Name)); err != nil {
			return fmt.Errorf("the demo app on %s does not write to the shared /grdata: %w", h.Name, err)
		}
	}
	return nil
}

var demoClient = &http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true}, // a connection must not outlive a node
}

func getDemo(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Host = AppHost
	answer, err := demoClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // its status is all that counts
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// shutDown stops the node in order, so that its disk is a clean one, and
// leaves of it what the snapshot is made of.
func (n *Node) shutDown(ctx context.Context) error {
	if n.Compute {
		if _, err := n.Exec(ctx, "systemctl", "stop", "kubelet"); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"systemctl", "stop", "docker.socket", "docker.service", "containerd.service"},
		{"sh", "-c", "rm -rf /var/log/*.log /var/log/apt /var/cache/apt/archives/*.deb /opt/rainbond/logs/rbd-lb/*"},
		{"systemctl", "poweroff"},
	} {
		if _, err := n.Exec(ctx, argv...); err != nil && argv[1] != "poweroff" {
			return err
		}
	}
	err := waitFor(ctx, n.Name+" to power off", time.Minute, 200*time.Millisecond, func(context.Context) error {
		running, err := n.Running()
		if err == nil && running {
			err = errors.New("still running")
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := n.kill(ctx); err != nil {
		return err
	}
	if err := unmountBelow(n.dir); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(filepath.Join(n.dir, "work")), os.RemoveAll(n.Root()), os.Remove(n.Console()))
}
