package lab

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
)

func newSum() hash.Hash { return sha256.New() }

func hashText(texts ...string) string {
	sum := newSum()
	for _, text := range texts {
		fmt.Fprintf(sum, "%d\n%s", len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// imageSpec is one image of an archive for docker load.
type imageSpec struct {
	tag       string
	component string // argument of the rainbond binary
	debian    bool   // on top of the Debian layer with nginx and MariaDB
}

// images lists what a node holds; a compute needs what can come to run there.
func images(compute bool) []imageSpec {
	needed := []imageSpec{
		{"rainbond/rbd-dns:3.6", "rbd-dns", false},
		{"rainbond/rbd-lb:3.6", "rbd-lb", true},
		{appImage, "demo-app", false},
	}
	if compute {
		return needed
	}
	for _, name := range []string{
		"entrance", "api", "chaos", "mq", "webcli", "worker", "monitor", "eventlog", "app-ui", "repo",
	} {
		needed = append(needed, imageSpec{"rainbond/rbd-" + name + ":3.6", "rbd-" + name, false})
	}
	return append(needed,
		imageSpec{"rainbond/rbd-registry:3.6", "rbd-hub", false},
		imageSpec{"rainbond/rbd-db:3.6", "rbd-db", true})
}

// writeArchive writes an archive for docker load. binary is the rainbond
// program, debian the tar of the Debian layer.
func writeArchive(out io.Writer, specs []imageSpec, binary []byte, debian string) error {
	archive := tar.NewWriter(out)
	program, err := programLayer(binary)
	if err != nil {
		return err
	}
	if err := addBytes(archive, "program/layer.tar", program); err != nil {
		return err
	}
	programSum := fmt.Sprintf("sha256:%x", sha256.Sum256(program))
	debianSum, err := addLayer(archive, "debian/layer.tar", debian)
	if err != nil {
		return err
	}
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	var manifest []entry
	for _, spec := range specs {
		layers, sums := []string{"program/layer.tar"}, []string{programSum}
		if spec.debian {
			layers, sums = append([]string{"debian/layer.tar"}, layers...), append([]string{debianSum}, sums...)
		}
		config, err := imageConfig(spec, sums)
		if err != nil {
			return err
		}
		name := spec.component + ".json"
		if err := addBytes(archive, name, config); err != nil {
			return err
		}
		manifest = append(manifest, entry{name, []string{spec.tag}, layers})
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	if err := addBytes(archive, "manifest.json", raw); err != nil {
		return err
	}
	return archive.Close()
}

func imageConfig(spec imageSpec, sums []string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2018-06-01T00:00:00Z",
		"config": map[string]any{
			"Entrypoint": []string{"/rainbond", spec.component},
			"Env":        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
		"rootfs": map[string]any{"type": "layers", "diff_ids": sums},
	})
}

// programLayer is the tar with the binary and the folders a bare image needs.
func programLayer(binary []byte) ([]byte, error) {
	var out bytes.Buffer
	layer := tar.NewWriter(&out)
	for _, dir := range []string{"run/", "tmp/", "etc/"} {
		mode := int64(0o755)
		if dir == "tmp/" {
			mode = 0o1777
		}
		if err := layer.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: mode}); err != nil {
			return nil, err
		}
	}
	if err := layer.WriteHeader(&tar.Header{Name: "rainbond", Mode: 0o755, Size: int64(len(binary))}); err != nil {
		return nil, err
	}
	if _, err := layer.Write(binary); err != nil {
		return nil, err
	}
	return out.Bytes(), layer.Close()
}

func addBytes(archive *tar.Writer, name string, content []byte) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

// addLayer copies a layer tar into the archive and returns its diff id.
func addLayer(archive *tar.Writer, name, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // read only
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(archive, sum), file)
	return fmt.Sprintf("sha256:%x", sum.Sum(nil)), err
}

// moduleRoot finds the folder of this module's go.mod, from dir upwards.
func moduleRoot(dir string) (string, error) {
	for at := dir; ; at = filepath.Dir(at) {
		raw, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && strings.HasPrefix(string(raw), "module github.com/rbdplay/rbdplay\n") {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not inside the rbdplay module: run the lab from its checkout", dir)
		}
	}
}
