// Package config reads what an ansible.cfg and the ANSIBLE_* variables of the
// environment say. A variable wins over the file; flags, which win over both, are
// the caller's business. What would change a run and is not obeyed is named, with
// its place; nothing is passed over silently but what is known to change nothing.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Value is a setting with the place it was made at.
type Value struct {
	Text  string
	Place string // "ansible.cfg:3" or "ANSIBLE_FORKS"
	dir   string // what relative paths in it are seen from; "" is the working directory
}

// IsSet reports whether anything was said.
func (v Value) IsSet() bool { return v.Place != "" }

// Bool is the truth of the value; false when nothing was said.
func (v Value) Bool() (bool, error) {
	switch strings.ToLower(v.Text) {
	case "":
		return false, nil
	case "1", "true", "yes", "on", "y", "t":
		return true, nil
	case "0", "false", "no", "off", "n", "f":
		return false, nil
	}
	return false, fmt.Errorf("%s: wants true or false, not %q", v.Place, v.Text)
}

// Int is the value as a number that is not negative; 0 when nothing was said.
func (v Value) Int() (int, error) {
	if v.Text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v.Text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s: wants a number, not %q", v.Place, v.Text)
	}
	return n, nil
}

// Paths are the parts of a list of paths, those of a file seen from its folder.
func (v Value) Paths(separator string) []string {
	var paths []string
	for part := range strings.SplitSeq(v.Text, separator) {
		if part = strings.TrimSpace(part); part != "" {
			paths = append(paths, v.resolve(part))
		}
	}
	return paths
}

// Path is the value as one path.
func (v Value) Path() string {
	if v.Text == "" {
		return ""
	}
	return v.resolve(v.Text)
}

// Seen is a path that stands in the value, seen from where the value was said.
func (v Value) Seen(path string) string { return v.resolve(path) }

func (v Value) resolve(path string) string {
	if strings.HasPrefix(path, "~") || filepath.IsAbs(path) || v.dir == "" {
		return path // whoever opens it knows the home
	}
	return filepath.Join(v.dir, path)
}

// Config is what was said. Each field is named as in ansible.cfg.
type Config struct {
	File     string   // the ansible.cfg that counts; "" when there is none
	Warnings []string // what is not obeyed, for the person who runs it

	values map[string]Value
}

// Get gives a setting by its name in ansible.cfg.
func (c *Config) Get(name string) Value { return c.values[name] }

// setting is one that is obeyed.
type setting struct{ section, name, variable string }

var settings = []setting{
	{"defaults", "inventory", "ANSIBLE_INVENTORY"},
	{"defaults", "remote_user", "ANSIBLE_REMOTE_USER"},
	{"defaults", "private_key_file", "ANSIBLE_PRIVATE_KEY_FILE"},
	{"defaults", "forks", "ANSIBLE_FORKS"},
	{"defaults", "roles_path", "ANSIBLE_ROLES_PATH"},
	{"defaults", "vault_password_file", "ANSIBLE_VAULT_PASSWORD_FILE"},
	{"defaults", "vault_identity_list", "ANSIBLE_VAULT_IDENTITY_LIST"},
	{"defaults", "vault_encrypt_identity", "ANSIBLE_VAULT_ENCRYPT_IDENTITY"},
	{"defaults", "host_key_checking", "ANSIBLE_HOST_KEY_CHECKING"},
	{"defaults", "timeout", "ANSIBLE_TIMEOUT"},
	{"defaults", "ask_pass", "ANSIBLE_ASK_PASS"},
	{"defaults", "ask_vault_pass", "ANSIBLE_ASK_VAULT_PASS"},
	{"privilege_escalation", "become", "ANSIBLE_BECOME"},
	{"privilege_escalation", "become_user", "ANSIBLE_BECOME_USER"},
	{"privilege_escalation", "become_method", "ANSIBLE_BECOME_METHOD"},
	{"privilege_escalation", "become_ask_pass", "ANSIBLE_BECOME_ASK_PASS"},
	{"ssh_connection", "ssh_common_args", "ANSIBLE_SSH_COMMON_ARGS"},
	{"ssh_connection", "ssh_extra_args", "ANSIBLE_SSH_EXTRA_ARGS"},
}

// harmless are names that change only how things look, or what rbdplay does
// anyhow: how results are shown, where Ansible keeps its own files, how it talks
// to Python. gathering is among them where it says what is done here (see
// changesNothing).
var harmless = []string{
	"nocows", "cow_selection", "cowpath", "cow_whitelist", "nocolor", "force_color", "stdout_callback", "bin_ansible_callbacks",
	"callbacks_enabled", "callback_whitelist", "display_skipped_hosts", "display_ok_hosts", "display_args_to_stdout",
	"display_failed_stderr", "show_custom_stats", "show_task_path_on_failure", "check_mode_markers", "deprecation_warnings",
	"command_warnings", "system_warnings", "localhost_warning", "devel_warning", "action_warnings", "retry_files_enabled",
	"retry_files_save_path", "interpreter_python", "local_tmp", "remote_tmp", "keep_remote_files", "pipelining", "control_path",
	"control_path_dir", "control_persist", "scp_if_ssh", "transfer_method", "sftp_batch_mode", "use_tty", "library", "module_utils",
	"gather_timeout", "fact_caching", "fact_caching_connection", "fact_caching_timeout", "fact_caching_prefix",
	"verbosity", "internal_poll_interval", "home", "config", "display_traceback",
	"result_format", "pretty_results", "inventory_unparsed_warning", "inventory_unparsed_failed", "any_unparsed_is_failed", "cache_plugin",
	"python_interpreter", "collections_path", "collections_paths", "filter_plugins", "test_plugins", "callback_plugins", "action_plugins", "lookup_plugins",
}

// changesNothing are settings that are obeyed when they say what rbdplay does.
var changesNothing = map[string][]string{
	"gathering":               {"implicit", "smart"},
	"strategy":                {"linear", "ansible.builtin.linear"},
	"hash_behaviour":          {"replace"},
	"error_on_undefined_vars": {"true", "yes", "1"},
	"transport":               {"smart", "ssh"},
	"jinja2_native":           {"false", "no", "0"},
	"force_handlers":          {"false", "no", "0"},
	"any_errors_fatal":        {"false", "no", "0"},
	"no_log":                  {"false", "no", "0"},
	"remote_port":             {"22"},
	"diff_context":            {"3"},
	"diff_always":             {"false", "no", "0"},
	"executable":              {"/bin/sh"},
}

// Obeyed are the names in ansible.cfg of the settings that count.
func Obeyed() []string {
	var names []string
	for _, s := range settings {
		names = append(names, s.name)
	}
	return slices.Sorted(slices.Values(names))
}

// Harmless are the names of the settings that change nothing here, and those that
// may only say what is done anyhow, with the values that do.
func Harmless() (names []string, fixed map[string][]string) {
	return slices.Sorted(slices.Values(harmless)), maps.Clone(changesNothing)
}

// Load reads the configuration. environ is as of os.Environ; a file that cannot
// be read or is damaged is an error.
func Load(environ []string) (*Config, error) {
	variables := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
	}
	c := &Config{values: map[string]Value{}}
	if err := c.find(variables["ANSIBLE_CONFIG"], variables["HOME"]); err != nil {
		return nil, err
	}
	if c.File != "" {
		if err := c.readFile(); err != nil {
			return nil, err
		}
	}
	c.readVariables(variables)
	return c, nil
}

// find looks for the file where Ansible does; the first that is there counts.
func (c *Config) find(named, home string) error {
	if named != "" {
		info, err := os.Stat(named)
		if err != nil {
			return fmt.Errorf("ANSIBLE_CONFIG: %w", err)
		}
		if info.IsDir() {
			named = filepath.Join(named, "ansible.cfg")
		}
		c.File = named
		return nil
	}
	for _, file := range []string{"ansible.cfg", filepath.Join(home, ".ansible.cfg"), "/etc/ansible/ansible.cfg"} {
		_, err := os.Stat(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		}
		if file == "ansible.cfg" {
			here, err := os.Stat(".")
			if err != nil {
				return err
			}
			if here.Mode()&0o002 != 0 {
				c.warn("ansible.cfg is not read, because everybody may write into this folder; name it in ANSIBLE_CONFIG to have it obeyed")
				continue
			}
		}
		c.File = file
		return nil
	}
	return nil
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// readFile reads sections of name = value; a line that is indented goes on with
// the value before it.
func (c *Config) readFile() error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Dir(c.File))
	if err != nil {
		return err
	}
	var section, last string
	var ignored []string
	for i, line := range strings.Split(string(text), "\n") {
		place := fmt.Sprintf("%s:%d", c.File, i+1)
		line, _, _ = strings.Cut(strings.TrimRight(line, " \t\r"), " ;")
		trimmed := strings.TrimSpace(line)
		name, value, found := strings.Cut(trimmed, "=")
		if colon := strings.Index(trimmed, ":"); colon >= 0 && (!found || colon < len(name)) {
			name, value, found = trimmed[:colon], trimmed[colon+1:], true
		}
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case line[0] == ' ' || line[0] == '\t':
			if held, ok := c.values[last]; ok {
				held.Text += "\n" + trimmed
				c.values[last] = held
			}
		case trimmed[0] == '[' && strings.HasSuffix(trimmed, "]"):
			section, last = strings.Trim(trimmed, "[]"), ""
		case !found || section == "":
			return fmt.Errorf("%s: expected [section] or name = value", place)
		default:
			last = c.said(section, strings.ToLower(strings.TrimSpace(name)), Value{Text: unquote(strings.TrimSpace(value)), Place: place, dir: dir}, &ignored)
		}
	}
	c.warnIgnored(ignored)
	return nil
}

// said takes one line of the file, and gives the name under which it is kept.
func (c *Config) said(section, name string, v Value, ignored *[]string) string {
	for _, s := range settings {
		if s.name == name && s.section == section {
			c.values[name] = v
			return name
		}
	}
	if !isHarmless(section, name, v.Text) {
		*ignored = append(*ignored, fmt.Sprintf("%s (%s)", name, v.Place))
	}
	return ""
}

// isHarmless reports whether passing a setting over changes nothing.
func isHarmless(section, name, value string) bool {
	switch section {
	case "galaxy", "colors", "persistent_connection", "selinux", "paramiko_connection":
		return true
	case "diff":
		name = "diff_" + name
	}
	return slices.Contains(harmless, name) || slices.Contains(changesNothing[name], strings.ToLower(value))
}

func (c *Config) warnIgnored(ignored []string) {
	if len(ignored) > 0 {
		c.warn("not obeyed here: %s", strings.Join(ignored, ", "))
	}
}

// readVariables lets the environment win over the file.
func (c *Config) readVariables(variables map[string]string) {
	known := map[string]string{}
	for _, s := range settings {
		known[s.variable] = s.name
	}
	var ignored []string
	for variable, value := range variables {
		rest, ours := strings.CutPrefix(variable, "ANSIBLE_")
		if !ours || value == "" {
			continue
		}
		name := strings.ToLower(rest)
		if setting, ok := known[variable]; ok {
			c.values[setting] = Value{Text: value, Place: variable}
		} else if !isHarmless("", strings.TrimPrefix(name, "ssh_"), value) {
			ignored = append(ignored, variable)
		}
	}
	slices.Sort(ignored)
	c.warnIgnored(ignored)
}

func unquote(text string) string {
	if len(text) >= 2 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
		return text[1 : len(text)-1]
	}
	return text
}
