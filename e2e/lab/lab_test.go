package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"main": true, "dev": true, "a-1": true, "images": false, "": false, "Main": false, "1a": false,
		"../x": false, "a b": false, strings.Repeat("a", 21): false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("CheckName(%q) = %v, want good = %t", name, err, good)
		}
	}
}

func TestChooseOctet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9-]{0,19}`).Draw(t, "name")
		taken := rapid.MapOf(rapid.IntRange(0, 254), rapid.Just(true)).Draw(t, "taken")
		octet, err := chooseOctet(name, taken)
		if name == mainInstance {
			if octet != 0 || err != nil {
				t.Fatalf("main got %d, %v", octet, err)
			}
			return
		}
		if err == nil && (octet < 1 || octet > 254 || taken[octet]) {
			t.Fatalf("got %d, which is taken or out of range", octet)
		}
		again, _ := chooseOctet(name, taken)
		if again != octet {
			t.Fatalf("got %d, then %d", octet, again)
		}
	})
}

func TestChooseOctetWhenAllAreTaken(t *testing.T) {
	taken := make(map[int]bool)
	for i := range 256 {
		taken[i] = true
	}
	if octet, err := chooseOctet("dev", taken); err == nil {
		t.Errorf("got %d, want an error", octet)
	}
}

func TestInterfaceNamesFit(t *testing.T) {
	for _, name := range []string{bridgeName(254), linkName(254, 13)} {
		if len(name) > unix.IFNAMSIZ-1 {
			t.Errorf("%s has %d bytes, the kernel takes %d", name, len(name), unix.IFNAMSIZ-1)
		}
	}
}

func TestNodeFilesRenderForEveryNode(t *testing.T) {
	c := newCluster(5)
	for _, node := range c.Nodes {
		tree, err := c.nodeFiles(node)
		if err != nil {
			t.Fatal(err)
		}
		for path, content := range tree {
			if bytes.Contains(content, []byte("10.77.0.")) || bytes.Contains(content, []byte("<no value>")) {
				t.Errorf("%s: %s has an address of another lab or a hole:\n%s", node.Name, path, content)
			}
			if strings.HasSuffix(path, ".yaml") {
				checkCompose(t, path, content)
			}
		}
		if _, there := tree["/opt/rainbond/envs/kubelet.sh"]; there != node.Compute {
			t.Errorf("%s: kubelet.sh there = %t", node.Name, there)
		}
	}
}

func checkCompose(t *testing.T, path string, content []byte) {
	t.Helper()
	var file struct {
		Version  string `yaml:"version"`
		Services map[string]struct {
			Image     string `yaml:"image"`
			Container string `yaml:"container_name"`
			Network   string `yaml:"network_mode"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	known := make(map[string]bool)
	for _, spec := range images(false) {
		known[spec.tag] = true
	}
	if file.Version != "2.1" || len(file.Services) == 0 {
		t.Errorf("%s: version %q, %d services", path, file.Version, len(file.Services))
	}
	for name, service := range file.Services {
		if service.Container != name || service.Network != "host" || !known[service.Image] {
			t.Errorf("%s: %s is %+v: want its own name, host network and an image that the lab makes", path, name, service)
		}
	}
}

func TestFilesByRole(t *testing.T) {
	c := newCluster(0)
	for _, test := range []struct {
		node, path, want string
	}{
		{"compute01", "/etc/fstab", "10.77.0.11:/grdata /grdata nfs rw 0 0\n"},
		{"manage01", "/etc/fstab", ""},
		{"compute02", "/opt/rainbond/envs/kubelet.sh", "HOST_UUID=6a1be0aa-2b8f-4f0e-8c55-000000821900\nDNS_SERVERS=10.77.0.11\nHOST_IP=10.77.0.13\nREG=\"false\"\n"},
		{"manage01", "/opt/rainbond/.domain.log", "a1b2.grapps.cn\n"},
	} {
		var node host
		for _, h := range c.Nodes {
			if h.Name == test.node {
				node = h
			}
		}
		tree, err := c.nodeFiles(node)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, string(tree[test.path])); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", test.node, test.path, diff)
		}
	}
}

func TestInventoryIsAnAnsibleInventory(t *testing.T) {
	c := newCluster(0)
	c.Key, c.KnownHosts = "/x/key", "/x/known"
	raw, err := c.render("inventory.yml")
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := yaml.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	hosts := func(pairs ...string) map[string]any {
		all := make(map[string]any)
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = map[string]any{"ansible_host": pairs[i+1]}
		}
		return map[string]any{"hosts": all}
	}
	want := map[string]any{"all": map[string]any{
		"vars": map[string]any{
			"ansible_user": "root", "ansible_ssh_private_key_file": "/x/key",
			"ansible_ssh_common_args": "-o UserKnownHostsFile=/x/known",
			"vip":                     "10.77.0.100", "vrrp_password": vrrpPassword,
			"drill_units": []any{"rbdplay-lab-controlplane"},
		},
		"children": map[string]any{
			"manage":  hosts("manage01", "10.77.0.11"),
			"compute": hosts("compute01", "10.77.0.12", "compute02", "10.77.0.13"),
		},
	}}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("inventory (-want +got):\n%s", diff)
	}
	if len(vrrpPassword) != 8 {
		t.Errorf("keepalived reads 8 bytes of a password, this one has %d", len(vrrpPassword))
	}
}

func TestAccessFilesFitTogether(t *testing.T) {
	l := &Lab{name: "x", store: store{t.TempDir()}, out: t.TempDir()}
	l.Inventory = filepath.Join(l.out, "cluster.yml")
	l.adopt(state{Octet: 7})
	if err := l.writeAccess(); err != nil {
		t.Fatal(err)
	}
	first := readAll(t, l.out)
	if err := l.writeAccess(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, readAll(t, l.out)); diff != "" {
		t.Errorf("the second time wrote other files (-first +second):\n%s", diff)
	}
	signer, err := ssh.ParsePrivateKey([]byte(first["id_ed25519"]))
	if err != nil {
		t.Fatal(err)
	}
	authorized, err := os.ReadFile(filepath.Join(l.Nodes[2].sshDir, "lab_authorized_keys"))
	if err != nil {
		t.Fatal(err)
	}
	if string(ssh.MarshalAuthorizedKey(signer.PublicKey())) != string(authorized) {
		t.Error("the node does not let the key in")
	}
	if got := strings.Count(first["known_hosts"], "10.77.7."); got != 3 {
		t.Errorf("known_hosts has %d nodes, want 3", got)
	}
	if err := l.removeAccess(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder stays: %v", err)
	}
}

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[entry.Name()] = string(raw)
	}
	return found
}

func TestArchiveIsLoadable(t *testing.T) {
	debian := filepath.Join(t.TempDir(), "debian.tar")
	if err := os.WriteFile(debian, bytes.Repeat([]byte{0}, 1024), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := writeArchive(&out, images(true), []byte("program"), debian); err != nil {
		t.Fatal(err)
	}
	members := make(map[string][]byte)
	for archive := tar.NewReader(&out); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if members[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(members["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != len(images(true)) {
		t.Errorf("%d images, want %d", len(manifest), len(images(true)))
	}
	for _, image := range manifest {
		var config struct {
			RootFS struct {
				DiffIDs []string `json:"diff_ids"`
			} `json:"rootfs"`
		}
		if err := json.Unmarshal(members[image.Config], &config); err != nil {
			t.Fatalf("%s: %v", image.Config, err)
		}
		var sums []string
		for _, layer := range image.Layers {
			sum := newSum()
			sum.Write(members[layer])
			sums = append(sums, fmt.Sprintf("sha256:%x", sum.Sum(nil)))
		}
		if diff := cmp.Diff(sums, config.RootFS.DiffIDs); diff != "" {
			t.Errorf("%v: layers and diff ids (-layers +config):\n%s", image.RepoTags, diff)
		}
	}
}

func TestGrdataHasEveryKindAndIsTheSameEachTime(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("owners need root")
	}
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		if err := fillGrdata(dir); err != nil {
			t.Fatal(err)
		}
	}
	a, err := takeSnapshot(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := takeSnapshot(second)
	if err != nil {
		t.Fatal(err)
	}
	if diff := a.Diff(b); diff != nil {
		t.Errorf("two fillings differ: %v", diff)
	}
	kinds := make(map[string]int)
	for _, entry := range a {
		kinds[entry.Type]++
	}
	if kinds["file"] < 2000 || kinds["link"] < 5 || kinds["fifo"] != 1 {
		t.Errorf("kinds: %v", kinds)
	}
	var one, three unix.Stat_t
	if err := errors.Join(unix.Stat(first+"/tenant/hard/one", &one), unix.Stat(first+"/tenant/hard/deep/three", &three)); err != nil {
		t.Fatal(err)
	}
	if one.Ino != three.Ino || one.Nlink != 3 {
		t.Errorf("hard links: inodes %d and %d, %d links", one.Ino, three.Ino, one.Nlink)
	}
	var sparse unix.Stat_t
	if err := unix.Stat(first+"/tenant/sparse", &sparse); err != nil {
		t.Fatal(err)
	}
	if sparse.Size != 64<<20 || sparse.Blocks*512 > 1<<20 {
		t.Errorf("sparse file: %d bytes in %d blocks", sparse.Size, sparse.Blocks)
	}
	if mode := a["/tenant/setgid"].Mode; mode&os.ModeSetgid == 0 {
		t.Errorf("setgid folder has mode %v", mode)
	}
}

func TestRunReportsTheCommandAndItsStderr(t *testing.T) {
	_, err := run(t.Context(), time.Second, "sh", "-c", "echo because >&2; exit 3")
	failed, ok := errors.AsType[*exec.ExitError](err)
	if !ok || failed.ExitCode() != 3 || !strings.Contains(err.Error(), "because") {
		t.Errorf("got %v, want exit code 3 and the reason", err)
	}
}

func TestRunEndsWithItsLimitAndTakesChildrenAlong(t *testing.T) {
	begin := time.Now()
	_, err := run(t.Context(), 100*time.Millisecond, "sh", "-c", "sleep 60 & wait")
	if err == nil || time.Since(begin) > 10*time.Second || !strings.Contains(err.Error(), "no end within") {
		t.Errorf("got %v after %s", err, time.Since(begin))
	}
}

func TestWaitForKeepsTheLastReason(t *testing.T) {
	reason := errors.New("not yet")
	err := waitFor(t.Context(), "it", 20*time.Millisecond, time.Millisecond, func(context.Context) error { return reason })
	if !errors.Is(err, reason) {
		t.Errorf("got %v, want it to wrap %v", err, reason)
	}
}

func TestStatusField(t *testing.T) {
	status := []byte("Name:\tsystemd\nPid:\t77\nNSpid:\t77\t1\n")
	if diff := cmp.Diff([]string{"77", "1"}, statusField(status, "NSpid")); diff != "" {
		t.Error(diff)
	}
	if got := statusField(status, "Missing"); got != nil {
		t.Errorf("got %v for a field that is not there", got)
	}
}

func TestModuleRoot(t *testing.T) {
	root, err := moduleRoot(".")
	if err == nil {
		t.Errorf("a relative path found %s", root)
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err = moduleRoot(wd)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Dir(filepath.Dir(wd)); root != want {
		t.Errorf("got %s, want %s", root, want)
	}
	if _, err := moduleRoot(t.TempDir()); err == nil {
		t.Error("found a module where there is none")
	}
}
