package lab

import (
	"context"
	"embed"
	"io/fs"
	"path"
	"strings"
)

//go:embed installer
var installer embed.FS

// installerDir is where the stand-in for Rainbond's installer lies on manage01.
const installerDir = "/root/rainbond-install"

// Bare takes Rainbond off a lab that runs, and leaves hosts as they are before any
// installer, with a stand-in for Rainbond's own on manage01. Reset brings the
// installed cluster back.
func (l *Lab) Bare(ctx context.Context) error {
	return l.locked(ctx, func() error {
		return l.eachNode(ctx, l.Nodes, func(ctx context.Context, n *Node) error { return n.bare(ctx) })
	})
}

func (n *Node) bare(ctx context.Context) error {
	places := map[string]string{
		"bare":   "/usr/local/lib/rbdplay-lab/bare",
		"unpack": "/usr/local/lib/rbdplay-lab/unpack",
	}
	if !n.Compute {
		places["setup.sh"] = installerDir + "/setup.sh"
		places["compute.sh"] = installerDir + "/scripts/compute.sh"
		places["rainbond.yaml.default"] = installerDir + "/rainbond.yaml.default"
	}
	for name, place := range places {
		if err := n.put(ctx, name, place); err != nil {
			return err
		}
	}
	if !n.Compute {
		if _, err := n.Exec(ctx, "cp", "/var/lib/rbdplay-lab/nodes.json", "/var/lib/rbdplay-lab/plan.json"); err != nil {
			return err
		}
	}
	_, err := n.Exec(ctx, places["bare"])
	return err
}

// put writes a file of the stand-in installer; a script becomes executable.
func (n *Node) put(ctx context.Context, name, place string) error {
	content, err := fs.ReadFile(installer, path.Join("installer", name))
	if err != nil {
		return err
	}
	mode := "644"
	if strings.HasPrefix(string(content), "#!") {
		mode = "755"
	}
	_, err = n.ExecInput(ctx, content, "sh", "-c", `mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"`, "sh", place, mode)
	return err
}
