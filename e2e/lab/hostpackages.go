package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// hostTools maps the programs that the lab runs to the Debian packages that
// have them.
var hostTools = map[string]string{
	"systemd-nspawn": "systemd-container",
	"mmdebstrap":     "mmdebstrap",
	"mkfs.btrfs":     "btrfs-progs",
	"ip":             "iproute2",
	"nsenter":        "util-linux",
	"mount":          "mount",
	"ssh":            "openssh-client",
}

// checkHost says what the lab cannot do without, before it does anything.
func checkHost() error {
	if os.Geteuid() != 0 {
		return errors.New("the lab makes machines, mounts and bridges: run it as root")
	}
	raw, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return err
	}
	if !bytes.Contains(raw, []byte("ID=debian\n")) || !bytes.Contains(raw, []byte("VERSION_ID=\"12\"")) {
		return errors.New("the lab installs itself on Debian 12 only; this is another system")
	}
	systems, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	for _, name := range []string{"overlay", "btrfs", "fuse"} {
		if bytes.Contains(systems, []byte("\t"+name+"\n")) {
			continue
		}
		if _, err := exec.Command("modprobe", name).CombinedOutput(); err != nil {
			return fmt.Errorf("this kernel has no %s file system, which the lab needs", name)
		}
	}
	return nil
}

// installHostPackages installs the packages of missing programs.
func installHostPackages(ctx context.Context, say func(string, ...any)) error {
	var missing []string
	for tool, name := range hostTools {
		if _, err := exec.LookPath(tool); err != nil && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	slices.Sort(missing)
	say("installing %s", strings.Join(missing, " "))
	if _, err := debianSources(ctx); err != nil { // reads the lists if they are missing
		return err
	}
	argv := append([]string{
		"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "--no-install-recommends", "install",
	}, missing...)
	_, err := run(ctx, 10*time.Minute, argv...)
	return err
}
