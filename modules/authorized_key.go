package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// AuthorizedKeyArgs are the arguments of authorized_key.
type AuthorizedKeyArgs struct {
	User       string `arg:"user,required" doc:"Whose file it is."`
	Key        string `arg:"key,required" doc:"The public keys, one a line. An address of a web server is refused: fetch it with get_url first."`
	State      string `arg:"state" default:"present" choices:"present,absent" doc:"Whether the keys should be in the file."`
	Path       string `arg:"path" type:"path" doc:"The file, in place of .ssh/authorized_keys in the user's home."`
	ManageDir  bool   `arg:"manage_dir" default:"yes" doc:"Make the folder of the file, for its user alone, when it is not there. It must be no with a path that is shared."`
	KeyOptions string `arg:"key_options" doc:"Options before the keys, as in sshd(8), with commas between."`
	Comment    string `arg:"comment" doc:"The comment behind the keys, in place of their own."`
	Exclusive  bool   `arg:"exclusive" default:"no" doc:"Remove all other keys. A loop would leave only the last; give all keys at once."`
	Follow     bool   `arg:"follow" default:"no" doc:"Write through a symlink rather than replacing it."`
}

func authorizedKeySpec() Spec {
	return Spec{
		Name:    "authorized_key",
		Aliases: []string{"ansible.posix.authorized_key"},
		Summary: "Ensure that public keys may log in as a user, or may not",
		Place:   OnHost,
		New:     func() Module { return &AuthorizedKeyArgs{} },
		Notes:   []string{"A key is known by its type and data; options and comment of one that is there are brought to what is wanted. Lines that are no keys stay, except with exclusive."},
		Returns: []Return{
			{Name: "user", Type: "string", Doc: "The user."},
			{Name: "keyfile", Type: "string", Doc: "The file."},
			{Name: "state", Type: "string", Doc: "The state argument."},
			{Name: "exclusive", Type: "bool", Doc: "The exclusive argument."},
			{Name: "manage_dir", Type: "bool", Doc: "The manage_dir argument."},
		},
		Examples: []Example{{"An operator's key", `
authorized_key:
  user: ops
  key: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0kb8s7Zr6l2v1dHk6D0oSQXw8y1c1q0m9m1Q4nqvXk ops@desk`}},
	}
}

// Validate reads the keys.
func (a *AuthorizedKeyArgs) Validate() error {
	if strings.ContainsAny(a.KeyOptions+a.Comment, "\n\x00") {
		return errors.New("authorized_key: key_options and comment want one line")
	}
	_, err := a.wishes()
	return err
}

// authorizedKey is one line of the file that holds a key.
type authorizedKey struct{ options, kind, data, comment string }

func (k authorizedKey) line() string {
	return strings.Join(slices.DeleteFunc([]string{k.options, k.kind, k.data, k.comment}, func(s string) bool { return s == "" }), " ")
}

func (k authorizedKey) same(other authorizedKey) bool {
	return k.kind == other.kind && k.data == other.data
}

var keyKinds = []string{
	"ssh-ed25519", "ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com",
	"ssh-ed25519-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com",
}

// parseAuthorizedKey reads a line; ok is false for one that holds no key.
func parseAuthorizedKey(line string) (key authorizedKey, ok bool) {
	rest := strings.TrimSpace(line)
	if rest == "" || rest[0] == '#' {
		return key, false
	}
	first, after := cutOptions(rest)
	if !slices.Contains(keyKinds, first) {
		key.options = first
		first, after = cutOptions(after)
	}
	if !slices.Contains(keyKinds, first) {
		return key, false
	}
	key.kind = first
	key.data, key.comment, _ = strings.Cut(after, " ")
	key.comment = strings.TrimSpace(key.comment)
	return key, key.data != ""
}

// cutOptions cuts at the first blank outside of double quotes.
func cutOptions(text string) (first, rest string) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return text[:i], strings.TrimLeft(text[i:], " \t")
		}
	}
	return text, ""
}

// wishes are the keys that are asked for.
func (a *AuthorizedKeyArgs) wishes() ([]authorizedKey, error) {
	var wishes []authorizedKey
	for line := range strings.Lines(a.Key) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, ok := parseAuthorizedKey(line)
		switch {
		case strings.Contains(line, "://"):
			return nil, fmt.Errorf("authorized_key: key: %s is an address; fetch the file with get_url and read it", line)
		case !ok:
			return nil, fmt.Errorf("authorized_key: key: %q is no public key of OpenSSH", line)
		}
		if a.KeyOptions != "" {
			key.options = a.KeyOptions
		}
		if a.Comment != "" {
			key.comment = a.Comment
		}
		wishes = append(wishes, key)
	}
	if len(wishes) == 0 && !a.Exclusive {
		return nil, errors.New("authorized_key: key: holds no key")
	}
	return wishes, nil
}

// edit brings the text to the wishes. Of a key that is there twice the first stays.
func (a *AuthorizedKeyArgs) edit(text string, wishes []authorizedKey) string {
	var out strings.Builder
	done := make([]bool, len(wishes))
	for _, line := range splitLines(text) {
		key, ok := parseAuthorizedKey(line)
		i := -1
		if ok {
			i = slices.IndexFunc(wishes, key.same)
		}
		switch {
		case i < 0 && a.Exclusive && a.State == "present":
		case i < 0:
			out.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		case a.State == "absent" || done[i]:
		default:
			done[i] = true
			out.WriteString(wishes[i].line() + "\n")
		}
	}
	for i, wish := range wishes {
		if a.State == "present" && !done[i] && slices.IndexFunc(wishes, wish.same) == i {
			out.WriteString(wish.line() + "\n")
		}
	}
	return out.String()
}

// Plan edits the user's file.
func (a *AuthorizedKeyArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	wishes, err := a.wishes()
	if err != nil {
		return Plan{}, err
	}
	user, err := host.Users().User(ctx, a.User)
	if err != nil {
		return Plan{}, fmt.Errorf("authorized_key: %w", err)
	}
	at := a.Path
	if at == "" {
		at = path.Join(user.Home, ".ssh", "authorized_keys")
	}
	result := Result{"user": a.User, "keyfile": at, "state": a.State, "exclusive": a.Exclusive, "manage_dir": a.ManageDir}
	steps, there, err := a.folder(ctx, host, path.Dir(at), user)
	if err != nil {
		return Plan{}, err
	}
	file := textFile{found: found{path: at}}
	if there {
		if file, err = a.open(ctx, host, at); err != nil {
			return Plan{}, err
		}
	}
	text := a.edit(file.text, wishes)
	if text == file.text && (file.exists || a.State == "absent") {
		return Plan{Result: result}, nil
	}
	options := WriteOptions{}
	if !file.exists {
		owner, group := strconv.Itoa(user.UID), strconv.Itoa(user.GID)
		options.FileAttributes = FileAttributes{Mode: &Mode{bits: 0o600}, Owner: &owner, Group: &group}
	}
	plan, err := file.become(ctx, host, text, TextOptions{options})
	if err != nil {
		return Plan{}, err
	}
	plan.Result, plan.Steps = result, append(steps, plan.Steps...)
	return plan, nil
}

// open reads the file. A link that is not followed must not be there: sshd would
// follow it.
func (a *AuthorizedKeyArgs) open(ctx context.Context, host sys.Reader, at string) (textFile, error) {
	f, err := look(ctx, host, at)
	if err == nil && f.is(sys.Symlink) && !a.Follow {
		err = fmt.Errorf("%s is a symlink; with follow: yes what it leads to is edited", at)
	}
	if err != nil {
		return textFile{}, err
	}
	return openText(ctx, host, at)
}

// folder plans the folder of the file; there says that it is there already.
func (a *AuthorizedKeyArgs) folder(ctx context.Context, host sys.Reader, at string, user sys.User) (steps []Step, there bool, err error) {
	_, err = host.Files().Stat(ctx, at)
	if there, err := present(err); err != nil || there || a.State == "absent" {
		return nil, there, err
	}
	if !a.ManageDir {
		return nil, false, fmt.Errorf("there is no directory %s; manage_dir: yes would make it", at)
	}
	mode := uint32(0o700)
	return []Step{makeDirectory(at, sys.Attributes{Mode: &mode, UID: &user.UID, GID: &user.GID}, nil)}, false, nil
}
