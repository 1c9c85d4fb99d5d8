package lab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// writeAccess makes the keys of an instance, once, and writes what a
// controller needs: inventory, private key, known_hosts.
func (l *Lab) writeAccess() error {
	keys := filepath.Join(l.dir(), "ssh")
	private, authorized, err := keyPair(filepath.Join(keys, "id_ed25519"))
	if err != nil {
		return err
	}
	var known []byte
	for _, n := range l.Nodes {
		_, public, err := keyPair(filepath.Join(n.sshDir, "ssh_host_ed25519_key"))
		if err != nil {
			return err
		}
		known = fmt.Appendf(known, "%s %s", n.IP, public)
		if err := writeFile(filepath.Join(n.sshDir, "lab_authorized_keys"), authorized, 0o644); err != nil {
			return err
		}
	}
	c := newCluster(l.octet)
	c.Key, c.KnownHosts = filepath.Join(l.out, "id_ed25519"), filepath.Join(l.out, "known_hosts")
	inventory, err := c.render("inventory.yml")
	if err != nil {
		return err
	}
	if err := writeFile(c.Key, private, 0o600); err != nil {
		return err
	}
	if err := writeFile(c.KnownHosts, known, 0o644); err != nil {
		return err
	}
	return writeFile(l.Inventory, inventory, 0o644)
}

// removeAccess removes what writeAccess wrote for controllers.
func (l *Lab) removeAccess() error {
	for _, name := range []string{"cluster.yml", "id_ed25519", "known_hosts"} {
		if err := os.Remove(filepath.Join(l.out, name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return removeIfEmpty(l.out)
}

// keyPair reads the key at path, or makes it. It returns the private key file
// and the public key's line.
func keyPair(path string) (private, public []byte, err error) {
	private, err = os.ReadFile(path)
	if os.IsNotExist(err) {
		private, err = newKey()
		if err == nil {
			err = writeFile(path, private, 0o600)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return private, ssh.MarshalAuthorizedKey(signer.PublicKey()), nil
}

func newKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "rbdplay lab")
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(block), nil
}
