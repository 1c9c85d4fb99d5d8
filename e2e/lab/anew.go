package lab

import (
	"context"
	"os"
	"path/filepath"
)

// InstallAnew gives the node a new disk, as who lost it does: a bare host of the same
// name and address, with a new ssh key, which the inventory's known_hosts has then.
// What waits in it for the stand-in installer is this node as it was installed.
func (n *Node) InstallAnew(ctx context.Context) error {
	return n.lab.locked(ctx, func() error {
		if err := n.discard(ctx); err != nil { // its key is bound into it while it runs
			return err
		}
		if err := os.Remove(filepath.Join(n.sshDir, "ssh_host_ed25519_key")); err != nil && !os.IsNotExist(err) {
			return err
		}
		if err := n.lab.writeAccess(); err != nil {
			return err
		}
		if err := n.newDisk(ctx); err != nil {
			return err
		}
		fstab, err := n.asleep(ctx)
		if err != nil {
			return err
		}
		if err := n.start(ctx); err != nil {
			return err
		}
		if err := n.waitRunning(ctx); err != nil {
			return err
		}
		if err := n.bare(ctx); err != nil {
			return err
		}
		return writeFile(n.Root()+payload+"/etc/fstab", fstab, 0o644)
	})
}

// payload is where the files wait that the stand-in installer puts in place.
const payload = "/usr/local/lib/rbdplay-lab/payload"

// asleep lets the disk boot without the platform, which may give its data to nobody
// any more. It returns the fstab that mounts that.
func (n *Node) asleep(ctx context.Context) (fstab []byte, err error) {
	if err := n.mount(ctx); err != nil {
		return nil, err
	}
	if fstab, err = os.ReadFile(n.Root() + "/etc/fstab"); err != nil {
		return nil, err
	}
	if err := writeFile(n.Root()+"/etc/fstab", nil, 0o644); err != nil {
		return nil, err
	}
	return fstab, os.Remove(n.Root() + wants + "kubelet.service")
}
