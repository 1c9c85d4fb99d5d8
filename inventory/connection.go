package inventory

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// Kind is how a host is reached.
type Kind string

// The kinds.
const (
	SSH   Kind = "ssh"
	Local Kind = "local" // in this process
)

// Connection is how to reach a host and as whom to work there, from the
// variables ansible_*. Zero values mean "not said": the engine then asks the
// play, the command line, the ssh configuration, in its own order.
type Connection struct {
	Kind            Kind   // "" when not said, which means SSH
	Address         string // ansible_host; the host's name when not said
	Port            int
	User            string
	Password        string
	KeyFile         string
	CommonArgs      string // ansible_ssh_common_args, as ssh(1) takes them
	ExtraArgs       string // ansible_ssh_extra_args
	HostKeyChecking *bool
	Timeout         time.Duration
	Become          *bool
	BecomeUser      string
	BecomeMethod    string
	BecomeExe       string
	BecomeFlags     string
	BecomePassword  string
}

// Lookup gives the rendered value of a variable and the place where it was
// written. ok is false when the host has no such variable.
type Lookup func(name string) (value any, at diag.Range, ok bool, err error)

// connectionVariables are those that are obeyed. Where two names stand for one
// thing the first wins, as the newer one does in Ansible.
var connectionVariables = map[string]func(c *Connection, value any) error{
	"ansible_connection":           (*Connection).setKind,
	"ansible_host":                 text(func(c *Connection) *string { return &c.Address }),
	"ansible_port":                 (*Connection).setPort,
	"ansible_user":                 text(func(c *Connection) *string { return &c.User }),
	"ansible_password":             text(func(c *Connection) *string { return &c.Password }),
	"ansible_ssh_private_key_file": text(func(c *Connection) *string { return &c.KeyFile }),
	"ansible_ssh_common_args":      text(func(c *Connection) *string { return &c.CommonArgs }),
	"ansible_ssh_extra_args":       text(func(c *Connection) *string { return &c.ExtraArgs }),
	"ansible_host_key_checking":    truth(func(c *Connection) **bool { return &c.HostKeyChecking }),
	"ansible_timeout":              (*Connection).setTimeout,
	"ansible_become":               truth(func(c *Connection) **bool { return &c.Become }),
	"ansible_become_user":          text(func(c *Connection) *string { return &c.BecomeUser }),
	"ansible_become_method":        text(func(c *Connection) *string { return &c.BecomeMethod }),
	"ansible_become_exe":           text(func(c *Connection) *string { return &c.BecomeExe }),
	"ansible_become_flags":         text(func(c *Connection) *string { return &c.BecomeFlags }),
	"ansible_become_password":      text(func(c *Connection) *string { return &c.BecomePassword }),
}

// otherNames are the older names of the same.
var otherNames = map[string][]string{
	"ansible_host":                 {"ansible_ssh_host"},
	"ansible_port":                 {"ansible_ssh_port"},
	"ansible_user":                 {"ansible_ssh_user"},
	"ansible_password":             {"ansible_ssh_password", "ansible_ssh_pass"},
	"ansible_ssh_private_key_file": {"ansible_private_key_file"},
	"ansible_host_key_checking":    {"ansible_ssh_host_key_checking"},
	"ansible_timeout":              {"ansible_ssh_timeout"},
	"ansible_become_password":      {"ansible_become_pass"},
}

// PasswordVariables names the variables that hold passwords, under each name.
func PasswordVariables() []string {
	var names []string
	for _, name := range []string{"ansible_password", "ansible_become_password"} {
		names = append(append(names, name), otherNames[name]...)
	}
	return names
}

// withoutMeaning are variables of Ansible that an inventory may well have and
// that have nothing to act on here, each with the reason.
var withoutMeaning = map[string]string{
	"ansible_python_interpreter":   "hosts need no Python",
	"ansible_ssh_pipelining":       "one connection is always kept",
	"ansible_pipelining":           "one connection is always kept",
	"ansible_ssh_transfer_method":  "the agent carries files",
	"ansible_scp_extra_args":       "the agent carries files",
	"ansible_sftp_extra_args":      "the agent carries files",
	"ansible_ssh_control_path":     "one connection is always kept",
	"ansible_ssh_control_path_dir": "one connection is always kept",
	"ansible_ssh_use_tty":          "the agent needs no terminal",
}

func text(field func(*Connection) *string) func(*Connection, any) error {
	return func(c *Connection, value any) error {
		s, err := asText(value)
		*field(c) = s
		return err
	}
}

func truth(field func(*Connection) **bool) func(*Connection, any) error {
	return func(c *Connection, value any) error {
		if b, ok := value.(bool); ok {
			*field(c) = &b
			return nil
		}
		s, err := asText(value)
		if err != nil {
			return err
		}
		b, ok := syntax.ParseBool(s)
		if !ok {
			return fmt.Errorf("must be yes or no, not %q", s)
		}
		*field(c) = &b
		return nil
	}
}

func asText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	case nil:
		return "", nil
	}
	return "", errors.New("must be text, not a list or mapping")
}

func (c *Connection) setKind(value any) error {
	s, err := asText(value)
	if err != nil {
		return err
	}
	kind, err := ParseKind(s)
	c.Kind = kind
	return err
}

// ParseKind reads the value of ansible_connection or of the keyword connection.
func ParseKind(text string) (Kind, error) {
	switch strings.TrimPrefix(text, "ansible.builtin.") {
	case "ssh", "smart", "paramiko", "paramiko_ssh", "ansible.netcommon.libssh":
		return SSH, nil
	case "local":
		return Local, nil
	}
	if near := diag.DidYouMean(text, []string{"ssh", "local"}); near != "" {
		return "", fmt.Errorf("%q is not supported yet; %s", text, near)
	}
	return "", fmt.Errorf("%q is not supported yet; ssh and local are", text)
}

func (c *Connection) setPort(value any) error {
	s, err := asText(value)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || port < 1 || port > 65535 {
		return fmt.Errorf("must be a number from 1 to 65535, not %q", s)
	}
	c.Port = port
	return nil
}

func (c *Connection) setTimeout(value any) error {
	s, err := asText(value)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(seconds >= 0 && seconds <= 1e6) {
		return fmt.Errorf("must be a number of seconds, not %q", s)
	}
	c.Timeout = time.Duration(seconds * float64(time.Second))
	return nil
}

// connectionNames are the connection variables in order, each with its other names
// behind it. They are asked for once for each item of a loop.
var connectionNames = sync.OnceValue(func() [][]string {
	var all [][]string
	for _, variable := range slices.Sorted(maps.Keys(connectionVariables)) {
		all = append(all, append([]string{variable}, otherNames[variable]...))
	}
	return all
})

// ConnectionOf reads the connection of the host called name from its variables.
// The host's own, those of the play and of the task count alike: lookup knows
// their order. The error is a diag.List with every fault.
func ConnectionOf(name string, lookup Lookup) (Connection, error) {
	var c Connection
	var found diag.List
	for _, names := range connectionNames() {
		variable := names[0]
		for _, spelled := range names {
			value, at, ok, err := lookup(spelled)
			if err != nil {
				found.AddError(at, err)
			} else if !ok {
				continue
			} else if err := connectionVariables[variable](&c, value); err != nil {
				found.Add(diag.New(at, "%s of %s: %v", spelled, name, err))
			}
			break
		}
	}
	if c.Address == "" {
		c.Address = name
	}
	return c, found.ErrorOrNil()
}

// checkConnections finds what is wrong with connection variables and can be
// known without rendering: values that cannot be, and names that would be
// ignored although they look like such a variable.
func (l *loader) checkConnections(inv *Inventory) {
	known := knownConnectionNames()
	reported := map[*Variable]bool{}
	for _, h := range append(slices.Clone(l.hostOrder), inv.implicit) {
		for _, name := range h.VariableNames() {
			for _, v := range h.variables[name] {
				if strings.HasPrefix(name, "ansible_") && !reported[v] {
					reported[v] = true
					l.checkConnectionName(v, known)
				}
			}
		}
		_, err := ConnectionOf(h.Name, func(name string) (any, diag.Range, bool, error) {
			v, ok := h.Variable(name)
			if !ok || v.Templated() || l.hasFinding(v.Range) {
				return nil, diag.Range{}, false, nil
			}
			value, err := v.plain()
			return value, v.Range, true, err
		})
		l.found.AddError(diag.Range{}, err)
	}
	for _, g := range inv.groups { // of groups without hosts
		for _, v := range g.vars {
			if strings.HasPrefix(v.Name, "ansible_") && !reported[v] {
				l.checkConnectionName(v, known)
			}
		}
	}
}

func (l *loader) hasFinding(at diag.Range) bool {
	return slices.ContainsFunc(l.found, func(d diag.Diagnostic) bool { return d.Range == at && !at.IsZero() })
}

func knownConnectionNames() []string {
	known := slices.Concat(slices.Collect(maps.Keys(connectionVariables)), slices.Collect(maps.Keys(withoutMeaning)))
	for _, names := range otherNames {
		known = append(known, names...)
	}
	return known
}

// checkConnectionName refuses ansible_ssh_… and ansible_become_… that nobody
// obeys, and warns of other names that are nearly one of ours; the rest may be a
// fact that somebody overrides.
func (l *loader) checkConnectionName(v *Variable, known []string) {
	if slices.Contains(known, v.Name) {
		return
	}
	d := diag.New(v.Range, "not supported yet: the variable %s", v.Name)
	near := nearName(v.Name, known)
	if near != "" {
		d = d.WithHint(fmt.Sprintf("did you mean %q?", near))
	}
	for _, prefix := range []string{"ansible_ssh_", "ansible_become_", "ansible_sudo", "ansible_su_", "ansible_paramiko_", "ansible_winrm_", "ansible_psrp_", "ansible_shell_", "ansible_connection_"} {
		if strings.HasPrefix(v.Name, prefix) {
			l.found.Add(d)
			return
		}
	}
	if near != "" {
		d.Summary = fmt.Sprintf("the variable %s has no meaning for the connection", v.Name)
		d.Severity = diag.Warning
		l.found.Add(d)
	}
}

// nearName finds the known name that is at most two letters away. The prefix that
// all share would make everything look near to diag.Nearest.
func nearName(name string, known []string) string {
	best, bestDistance := "", 3
	for _, candidate := range slices.Sorted(slices.Values(known)) {
		if d := levenshtein.ComputeDistance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// Templated reports whether the value is text with a template, which is only
// known once it is rendered.
func (v *Variable) Templated() bool {
	if v.Node != nil {
		return v.Node.Tag != syntax.TagUnsafe && holdsTemplate(v.Node.Text)
	}
	s, ok := v.Value.(string)
	return ok && holdsTemplate(s)
}

func holdsTemplate(text string) bool {
	return strings.Contains(text, "{{") || strings.Contains(text, "{%") || strings.Contains(text, "{#")
}

func (v *Variable) plain() (any, error) {
	if v.Node != nil {
		return v.Node.Decode()
	}
	return v.Value, nil
}
