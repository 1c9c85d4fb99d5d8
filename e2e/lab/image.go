package lab

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Packages of the nodes' base. What playbooks install is not among them.
var basePackages = []string{
	"systemd", "systemd-sysv", "libpam-systemd", "dbus", "openssh-server", "iproute2", "iputils-ping",
	"procps", "psmisc", "sudo", "curl", "ca-certificates", "less", "tzdata",
	"docker.io", "docker-compose", "iptables", "kmod", "fuse3", "sshfs", "rsync",
}

// Packages that are ready in the local repository, with all they need.
var repositoryPackages = []string{"glusterfs-server", "glusterfs-client", "keepalived", "xfsprogs", "attr", "tree", "jq"}

// Packages of the one file system that the rbd-lb and rbd-db images share.
var servicePackages = []string{"mariadb-server-core", "mariadb-client-core", "nginx-light"}

const release = "bookworm"

// repositoryPath is where nodes see the repository, their only apt source.
const repositoryPath = "/srv/rbdplay-lab-packages"

//go:embed image.go
var imageSource string

// base is the half of an image that has no address in it and takes long.
type base struct{ dir string }

func (b base) rootfs() string     { return filepath.Join(b.dir, "rootfs") }
func (b base) repository() string { return filepath.Join(b.dir, "packages") }
func (b base) services() string   { return filepath.Join(b.dir, "services.tar") }

// buildBase makes the base under images/ unless it is there; the caller holds
// the store's lock.
func buildBase(ctx context.Context, images string, say func(string, ...any)) (base, error) {
	b := base{filepath.Join(images, "base-"+hashText(imageSource))}
	if _, err := os.Stat(b.dir); err == nil {
		return b, nil
	}
	say("building the base image (once)")
	building := base{b.dir + ".new"}
	if err := removeTree(ctx, building.dir); err != nil {
		return base{}, err
	}
	if err := os.MkdirAll(filepath.Join(building.repository(), "partial"), 0o755); err != nil {
		return base{}, err
	}
	sources, err := debianSources(ctx)
	if err != nil {
		return base{}, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return building.bootstrapNode(groupCtx, sources) })
	group.Go(func() error { return building.bootstrapServices(groupCtx, sources) })
	if err := group.Wait(); err != nil {
		return base{}, err
	}
	if err := building.finishRepository(ctx); err != nil {
		return base{}, err
	}
	return b, os.Rename(building.dir, b.dir)
}

// debianSources asks the host's apt where it gets Debian from, so that no
// mirror is named here. A machine that never read its sources does so first.
func debianSources(ctx context.Context) (string, error) {
	sources, err := indexTargets(ctx)
	if err != nil || sources != "" {
		return sources, err
	}
	if _, err := run(ctx, 5*time.Minute, "apt-get", "-qq", "update"); err != nil {
		return "", err
	}
	sources, err = indexTargets(ctx)
	if err == nil && sources == "" {
		err = fmt.Errorf("this machine's apt has no Debian %s source: the lab needs one", release)
	}
	return sources, err
}

// indexTargets returns the sources of Debian whose lists apt has.
func indexTargets(ctx context.Context) (string, error) {
	out, err := run(ctx, time.Minute, "apt-get", "indextargets",
		"--format", "$(ORIGIN)|deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(out) {
		source, ok := strings.CutPrefix(strings.TrimSpace(line), "Debian|")
		if ok && strings.Contains(source, " "+release) && !slices.Contains(lines, source) {
			lines = append(lines, source)
		}
	}
	return strings.Join(lines, "\n"), nil
}

func mmdebstrap(packages []string, more ...string) []string {
	argv := []string{
		"mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=" + strings.Join(packages, ","),
		"--aptopt=Acquire::Languages \"none\"", "--aptopt=Acquire::Retries \"3\"",
		"--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/info/*",
		"--dpkgopt=force-unsafe-io",
	}
	return append(argv, more...)
}

// bootstrapNode makes the nodes' root, and downloads what playbooks install
// with the same apt state, so that exactly the missing packages are fetched.
func (b base) bootstrapNode(ctx context.Context, sources string) error {
	download := `APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -qq -y -o Dir::Cache::Archives="$LAB_ARCHIVES" --download-only install $LAB_PACKAGES`
	users := `chroot "$1" sh -ec '
		rm -f /etc/ssh/ssh_host_*
		useradd -m -s /bin/bash ops && echo "ops ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers.d/ops
		useradd -m -s /bin/bash guest
		echo LANG=C.UTF-8 > /etc/default/locale
		for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
			getty.target console-getty.service systemd-networkd.service ssh-keygen.service; do
			ln -sfn /dev/null /etc/systemd/system/$unit
		done'`
	argv := append([]string{
		"env", "LAB_ARCHIVES=" + b.repository(), "LAB_PACKAGES=" + strings.Join(repositoryPackages, " "),
	}, mmdebstrap(basePackages, "--format=directory", "--customize-hook="+download, "--customize-hook="+users,
		release, b.rootfs(), sources)...)
	_, err := run(ctx, 10*time.Minute, argv...)
	return err
}

func (b base) bootstrapServices(ctx context.Context, sources string) error {
	argv := mmdebstrap(servicePackages, "--format=tar", release, b.services(), sources)
	_, err := run(ctx, 10*time.Minute, argv...)
	return err
}

// finishRepository adds the trial packages, writes the index and makes it the
// nodes' only source, already read.
func (b base) finishRepository(ctx context.Context) error {
	for _, leftover := range []string{"partial", "lock"} {
		if err := os.RemoveAll(filepath.Join(b.repository(), leftover)); err != nil {
			return err
		}
	}
	for _, version := range []string{"1.0", "2.0"} {
		if err := b.buildHello(ctx, version); err != nil {
			return err
		}
	}
	if err := writeIndex(ctx, b.repository()); err != nil {
		return err
	}
	etc := filepath.Join(b.rootfs(), "etc/apt")
	if err := os.RemoveAll(filepath.Join(etc, "sources.list.d")); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(etc, "sources.list.d"), 0o755); err != nil {
		return err
	}
	source := "deb [trusted=yes] file:" + repositoryPath + " ./\n"
	if err := writeFile(filepath.Join(etc, "sources.list"), []byte(source), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(b.rootfs(), repositoryPath), 0o755); err != nil {
		return err
	}
	_, err := run(ctx, time.Minute, "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network",
		"--resolv-conf=off", "--timezone=off", "--pipe", "--directory="+b.rootfs(),
		"--bind-ro="+b.repository()+":"+repositoryPath, "apt-get", "-qq", "update")
	return err
}

// buildHello makes one version of rbdplay-hello, a package for trials.
func (b base) buildHello(ctx context.Context, version string) error {
	dir, err := os.MkdirTemp("", "rbdplay-hello")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	control := "Package: rbdplay-hello\nVersion: " + version +
		"\nArchitecture: all\nMaintainer: rbdplay lab <root@localhost>\nDescription: package for trials in the lab\n"
	err = writeTree(dir, map[string][]byte{
		"DEBIAN/control":                   []byte(control),
		"usr/bin/rbdplay-hello":            []byte("#!/bin/sh\necho hello " + version + "\n"),
		"etc/rbdplay-hello.conf":           []byte("greeting = hello\n"),
		"DEBIAN/conffiles":                 []byte("/etc/rbdplay-hello.conf\n"),
		"usr/share/rbdplay-hello/version":  []byte(version + "\n"),
		"usr/share/rbdplay-hello/greeting": []byte("hello\n"),
	})
	if err != nil {
		return err
	}
	_, err = run(ctx, time.Minute, "dpkg-deb", "--root-owner-group", "--build", dir,
		filepath.Join(b.repository(), "rbdplay-hello_"+version+"_all.deb"))
	return err
}

// writeIndex writes the Packages file of a flat repository.
func writeIndex(ctx context.Context, dir string) error {
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	var index bytes.Buffer
	for _, deb := range debs {
		fields, err := run(ctx, time.Minute, "dpkg-deb", "--field", deb)
		if err != nil {
			return err
		}
		size, sum, err := sumFile(deb)
		if err != nil {
			return err
		}
		fmt.Fprintf(&index, "%s\nFilename: ./%s\nSize: %d\nSHA256: %s\n\n", strings.TrimSpace(fields), filepath.Base(deb), size, sum)
	}
	return writeFile(filepath.Join(dir, "Packages"), index.Bytes(), 0o644)
}

func sumFile(path string) (int64, string, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	sum := newSum()
	size, err := io.Copy(sum, file)
	return size, hex.EncodeToString(sum.Sum(nil)), errors.Join(err, file.Close())
}
