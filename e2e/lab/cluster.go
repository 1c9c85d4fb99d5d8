package lab

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

const (
	domain           = "a1b2.grapps.cn"
	databasePassword = "5f3c9ab1"
	vrrpPassword     = "7f3d91c2"
	appPort          = 31080
	appImage         = "goodrain.me/demo-app:1.0"

	// AppHost is the Host header under which rbd-lb knows the demo app.
	AppHost = "demo." + domain
)

//go:embed all:files
var files embed.FS

// host is one row of the cluster's fixed plan.
type host struct {
	Name    string
	UUID    string
	Number  int // last octet
	Compute bool
	IP      string
}

var plan = []host{
	{Name: "manage01", UUID: "2f0c1c5e-77d1-4f55-9a53-5d3c6a8c0a11", Number: 11},
	{Name: "compute01", UUID: "13dd8356-1dd2-11b2-a30d-000000821800", Number: 12, Compute: true},
	{Name: "compute02", UUID: "6a1be0aa-2b8f-4f0e-8c55-000000821900", Number: 13, Compute: true},
}

// cluster is what the embedded templates see.
type cluster struct {
	Manage           host
	Nodes            []host
	Node             host // the one a file is rendered for
	Domain           string
	VIP              string
	DatabasePassword string
	VRRPPassword     string
	AppImage         string
	AppPort          int
	Key, KnownHosts  string // paths, in the inventory only
}

func newCluster(octet int) cluster {
	nodes := make([]host, len(plan))
	for i, h := range plan {
		h.IP = address(octet, h.Number)
		nodes[i] = h
	}
	return cluster{
		Manage: nodes[0], Nodes: nodes, Domain: domain, VIP: address(octet, 100),
		DatabasePassword: databasePassword, VRRPPassword: vrrpPassword,
		AppImage: appImage, AppPort: appPort,
	}
}

// render fills one embedded file.
func (c cluster) render(name string) ([]byte, error) {
	raw, err := files.ReadFile("files/" + name)
	if err != nil {
		return nil, err
	}
	parsed, err := template.New(name).Option("missingkey=error").Parse(string(raw))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, c); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// nodeFiles returns the files of one node, rendered, by absolute path.
func (c cluster) nodeFiles(node host) (map[string][]byte, error) {
	c.Node = node
	role := "manage"
	if node.Compute {
		role = "compute"
	}
	rendered := make(map[string][]byte)
	for _, top := range []string{"common", role} {
		root := "files/" + top
		err := fs.WalkDir(files, root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := c.render(strings.TrimPrefix(path, "files/"))
			if err != nil {
				return err
			}
			rendered[strings.TrimPrefix(path, root)] = text
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rendered, nil
}

// writeTree writes files below root; a script (#!) becomes executable.
func writeTree(root string, tree map[string][]byte) error {
	for path, content := range tree {
		mode := os.FileMode(0o644)
		if bytes.HasPrefix(content, []byte("#!")) {
			mode = 0o755
		}
		if err := writeFile(filepath.Join(root, path), content, mode); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes one file with its folders, with exactly this mode.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// A link in the way would be followed out of the node's root.
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// hashFiles sums embedded files and texts into a short content hash.
func hashFiles(texts ...string) (string, error) {
	sum := sha256.New()
	for _, text := range texts {
		fmt.Fprintf(sum, "%d\n%s", len(text), text)
	}
	err := fs.WalkDir(files, "files", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		// The inventory is written anew at each up and shapes no image.
		if entry.Name() != "inventory.yml" && entry.Name() != "supervise.sh" {
			fmt.Fprintf(sum, "%s %d\n%s", path, len(raw), raw)
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)[:8]), err
}
