package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kevinburke/ssh_config"
)

// configFile is an ssh configuration file that exists.
type configFile struct {
	name   string
	parsed *ssh_config.Config
}

// openConfig reads the files that apply, the stronger one first.
func openConfig(name, home string) ([]configFile, error) {
	if name == "none" {
		return nil, nil
	}
	if name != "" {
		f, err := readConfig(expandHome(name, home))
		if err != nil {
			return nil, err
		}
		return []configFile{f}, nil
	}
	var files []configFile
	for _, name := range []string{filepath.Join(home, ".ssh", "config"), "/etc/ssh/ssh_config"} {
		f, err := readConfig(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

func readConfig(name string) (configFile, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return configFile{}, fmt.Errorf("ssh configuration: %w", err)
	}
	parsed, err := ssh_config.DecodeBytes(content)
	if err != nil {
		return configFile{}, fmt.Errorf("ssh configuration %s: %w (ansible_ssh_common_args: -F FILE names another, -F none uses none)", name, err)
	}
	return configFile{name, parsed}, nil
}

// settings looks options up for one host: the first file that has one wins.
type settings struct {
	files []configFile
	host  string
	err   error
}

func (s *settings) get(key string) string {
	for _, f := range s.files {
		value, err := f.parsed.Get(s.host, key)
		if err != nil && s.err == nil {
			s.err = fmt.Errorf("ssh configuration %s: %s: %w", f.name, key, err)
		}
		if value != "" {
			return value
		}
	}
	return ""
}

func (s *settings) all(key string) []string {
	var values []string
	for _, f := range s.files {
		more, err := f.parsed.GetAll(s.host, key)
		if err != nil && s.err == nil {
			s.err = fmt.Errorf("ssh configuration %s: %s: %w", f.name, key, err)
		}
		values = append(values, more...)
	}
	return values
}

func (s *settings) seconds(key string) time.Duration {
	text := s.get(key)
	if text == "" || text == "none" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if (err != nil || n < 0) && s.err == nil {
		s.err = fmt.Errorf("ssh configuration: %s %q is no number of seconds", key, text)
	}
	return time.Duration(n) * time.Second
}

// fromFiles takes what Config leaves open. The section is the one of the address
// as Ansible gives it to ssh, or of the inventory name where there is none.
func (t *target) fromFiles(files []configFile) error {
	alias := t.Address
	if alias == "" {
		alias = t.Host
	}
	s := &settings{files: files, host: alias}
	t.Address = alias
	if name := s.get("HostName"); name != "" {
		t.Address = strings.NewReplacer("%h", alias, "%%", "%").Replace(name)
	}
	if t.Port == 0 {
		if text := s.get("Port"); text != "" {
			port, err := parsePort(text)
			if err != nil {
				return fmt.Errorf("ssh configuration: Port: %w", err)
			}
			t.Port = port
		}
	}
	setDefault(&t.User, s.get("User"))
	setDefault(&t.User, t.Environment.User)
	setDefault(&t.Jump, s.get("ProxyJump"))
	setDefault(&t.StrictHostKeyChecking, hostKeyChecking(s.get("StrictHostKeyChecking")))
	setDefault(&t.Timeout, s.seconds("ConnectTimeout"))
	if command := s.get("ProxyCommand"); command != "" && !strings.EqualFold(command, "none") && t.Jump == "" {
		return fmt.Errorf("ssh configuration of %s: ProxyCommand is not supported; use ProxyJump", alias)
	}
	t.keysFrom(s)
	return s.err
}

func (t *target) keysFrom(s *settings) {
	for _, file := range s.all("IdentityFile") {
		if file == "none" {
			t.named = true
			continue
		}
		t.optional = append(t.optional, t.expand(file))
		t.named = true
	}
	t.IdentitiesOnly = t.IdentitiesOnly || strings.EqualFold(s.get("IdentitiesOnly"), "yes")
	switch socket := s.get("IdentityAgent"); {
	case socket == "none":
		t.agent = ""
	case socket != "" && socket != "SSH_AUTH_SOCK" && !strings.HasPrefix(socket, "$"):
		t.agent = t.expand(socket)
	}
	if len(t.KnownHostsFiles) == 0 {
		for file := range strings.FieldsSeq(s.get("UserKnownHostsFile")) {
			t.KnownHostsFiles = append(t.KnownHostsFiles, t.expand(file))
		}
	}
}

// expand replaces the tokens that ssh_config(5) allows in file names.
func (t *target) expand(text string) string {
	text = strings.NewReplacer(
		"%%", "%", "%d", t.Environment.Home, "%h", t.Address, "%r", t.User,
		"%u", t.Environment.User, "%n", t.Host, "%p", strconv.Itoa(t.Port),
	).Replace(text)
	return expandHome(text, t.Environment.Home)
}

func hostKeyChecking(text string) HostKeyChecking {
	switch strings.ToLower(text) {
	case "off":
		return NoCheck
	case "ask":
		return Strict // nobody is there to be asked
	}
	return HostKeyChecking(strings.ToLower(text))
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
