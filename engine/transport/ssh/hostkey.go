package ssh

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"github.com/rbdplay/rbdplay/engine/transport"
)

// hostKeys checks the keys of one host against the known_hosts files.
type hostKeys struct {
	target *target
	db     *knownhosts.HostKeyDB
	// refused is the reason why the key was refused: the ssh library hands errors
	// of its callback on as text only.
	refused *transport.UnreachableError
}

func newHostKeys(t *target) (*hostKeys, error) {
	var files []string
	var versions strings.Builder
	for _, file := range slices.Concat(t.KnownHostsFiles, t.globalKeys) {
		switch info, err := os.Stat(file); {
		case err == nil:
			files = append(files, file)
			fmt.Fprintf(&versions, "%s\x00%d\x00%d\x00", file, info.Size(), info.ModTime().UnixNano())
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("known hosts: %w", err)
		}
	}
	db, err := t.Doors.known(versions.String(), files)
	if err != nil {
		return nil, fmt.Errorf("known hosts: %w", err)
	}
	return &hostKeys{target: t, db: db}, nil
}

// keyFiles are known_hosts files as they were at one time.
type keyFiles struct {
	versions string
	once     sync.Once
	db       *knownhosts.HostKeyDB
	err      error
}

// known reads known_hosts files, once for all hosts of a run as long as the files
// stay what they are; versions tells that.
func (d *Doors) known(versions string, files []string) (*knownhosts.HostKeyDB, error) {
	if d == nil {
		return knownhosts.NewDB(files...)
	}
	names := strings.Join(files, "\x00")
	d.mu.Lock()
	k := d.keys[names]
	if k == nil || k.versions != versions {
		k = &keyFiles{versions: versions}
		d.keys[names] = k
	}
	d.mu.Unlock()
	k.once.Do(func() { k.db, k.err = knownhosts.NewDB(files...) })
	return k.db, k.err
}

// algorithms puts those of the known keys first, so that the host shows a key
// that can be compared; the others follow, so that a changed key is told from a
// host that does not speak ssh.
func (h *hostKeys) algorithms() []string {
	known := h.db.HostKeyAlgorithms(h.target.address())
	if len(known) == 0 {
		return nil
	}
	for _, algorithm := range ssh.SupportedAlgorithms().HostKeys {
		if !slices.Contains(known, algorithm) {
			known = append(known, algorithm)
		}
	}
	return known
}

// check is an ssh.HostKeyCallback.
func (h *hostKeys) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := h.db.HostKeyCallback()(address, remote, key)
	if err == nil {
		return nil
	}
	if knownhosts.IsHostUnknown(err) && h.target.StrictHostKeyChecking != Strict {
		err = note(h.target.KnownHostsFiles[0], address, key)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("noting the new host key: %w", err)
	}
	h.refused = h.explain(address, key, err)
	return h.refused
}

func (h *hostKeys) explain(address string, key ssh.PublicKey, err error) *transport.UnreachableError {
	shown := keyName(key) + " key " + ssh.FingerprintSHA256(key)
	e := &transport.UnreachableError{Host: h.target.Host, Address: address, Err: err}
	compare := fmt.Sprintf("on the host, `ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub` prints the true fingerprint", strings.ToLower(keyName(key)))
	if revoked, ok := errors.AsType[*xknownhosts.RevokedError](err); ok {
		e.Summary = fmt.Sprintf("its %s is revoked by %s:%d", shown, revoked.Revoked.Filename, revoked.Revoked.Line)
		e.Hint = "do not log in to this host until you know why its key was revoked"
		return e
	}
	mismatch, ok := errors.AsType[*xknownhosts.KeyError](err)
	switch {
	case !ok:
		e.Summary = fmt.Sprintf("its %s cannot be checked: %v", shown, err)
	case len(mismatch.Want) == 0:
		e.Summary = "its host key is not known: " + shown
		e.Hint = fmt.Sprintf("%s; if it is the same, log in once with `%s` and accept it, or allow new keys with ansible_ssh_common_args: '-o StrictHostKeyChecking=accept-new'",
			compare, h.target.command())
	default:
		e.Summary = fmt.Sprintf("its host key has changed: it shows the %s, but %s", shown, wanted(mismatch.Want))
		e.Hint = fmt.Sprintf("someone may be listening in. %s; if it is the new one and the host was installed anew, run `ssh-keygen -f %s -R '%s'`",
			compare, mismatch.Want[0].Filename, knownhosts.Normalize(address))
	}
	return e
}

func wanted(known []xknownhosts.KnownKey) string {
	var list []string
	for _, k := range known {
		list = append(list, fmt.Sprintf("%s:%d says %s %s", k.Filename, k.Line, keyName(k.Key), ssh.FingerprintSHA256(k.Key)))
	}
	return strings.Join(list, ", ")
}

// keyName is the type of a key as file names have it, in upper case as ssh(1)
// shows it.
func keyName(key ssh.PublicKey) string {
	switch t := key.Type(); {
	case t == ssh.KeyAlgoED25519:
		return "ED25519"
	case t == ssh.KeyAlgoRSA:
		return "RSA"
	case strings.HasPrefix(t, "ecdsa-"):
		return "ECDSA"
	default:
		return t
	}
}

// command is how a person would log in.
func (t *target) command() string {
	text := "ssh "
	if t.Jump != "" && t.Jump != "none" {
		text += "-J " + t.Jump + " "
	}
	if t.Port != 22 {
		text += fmt.Sprintf("-p %d ", t.Port)
	}
	return text + t.User + "@" + t.Address
}

// noting keeps the hosts of one run from writing at the same time; the lock on
// the file does the same for other programs that lock.
var noting sync.Mutex

// note appends a key to a known_hosts file, as one line of its own.
func note(file, address string, key ssh.PublicKey) (err error) {
	noting.Lock()
	defer noting.Unlock()
	if file == "/dev/null" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking %s: %w", file, err)
	}
	line := knownhosts.Line([]string{address}, key) + "\n"
	open, err := endsOpen(f)
	if err != nil {
		return err
	}
	if open {
		line = "\n" + line
	}
	_, err = f.WriteString(line)
	return err
}

// endsOpen reports whether the last line of f lacks its end.
func endsOpen(f *os.File) (bool, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil || size == 0 {
		return false, err
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, size-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}
