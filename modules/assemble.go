package modules

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// AssembleArgs are the arguments of assemble.
type AssembleArgs struct {
	Src          *Source `arg:"src,required" doc:"A directory of fragments, of the host, or with remote_src: no of the controller."`
	Dest         string  `arg:"dest,required" type:"path" doc:"The file to write."`
	RemoteSrc    bool    `arg:"remote_src" default:"yes" doc:"src is a directory of the host."`
	Delimiter    string  `arg:"delimiter" doc:"A text to put between fragments, on a line of its own. Backslash escapes (\\n, \\t, \\xNN, …) stand for their characters."`
	Regexp       string  `arg:"regexp" doc:"Only fragments whose name this expression matches somewhere."`
	IgnoreHidden bool    `arg:"ignore_hidden" default:"no" doc:"Leave out fragments whose name begins with a dot."`
	WriteOptions
}

func assembleSpec() Spec {
	return Spec{
		Name:    "assemble",
		Summary: "Make one file of all fragments in a directory",
		Place:   OnHost,
		New:     func() Module { return &AssembleArgs{} },
		Notes: []string{
			"Fragments are taken in the order of their names; directories among them are left out. Each begins on a line of its own. All of them together may have 64 MiB.",
			pythonRegexpNote,
		},
		Returns: copyReturns,
		Examples: []Example{{"sshd's configuration, tried before it goes in place", `
assemble:
  src: /etc/ssh/sshd_config.parts
  dest: /etc/ssh/sshd_config
  regexp: \.conf$
  validate: sshd -t -f %s`}},
	}
}

// Validate checks what belongs together.
func (a *AssembleArgs) Validate() error {
	if _, err := a.names(); err != nil {
		return err
	}
	if a.RemoteSrc && a.Src.Path != "" && !path.IsAbs(a.Src.Path) {
		return fmt.Errorf("src on the host must be an absolute path, not %q", a.Src.Path)
	}
	if a.Src.Content != nil && a.Src.Content.Content != nil {
		return errors.New("src must be a directory")
	}
	if _, err := unescape(a.Delimiter); err != nil {
		return fmt.Errorf("delimiter: %w", err)
	}
	if err := a.noPreserve(); err != nil {
		return err
	}
	return checkValidate(a.ValidateWith)
}

func (a *AssembleArgs) names() (*regexp.Regexp, error) {
	if a.Regexp == "" {
		return nil, nil
	}
	re, err := compilePython(a.Regexp, "")
	if err != nil {
		return nil, fmt.Errorf("regexp: %w", err)
	}
	return re, nil
}

var escapes = lazy.Regexp(`\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|[\s\S]?)`)

// unescape reads backslash escapes as Python does in a text of bytes; those that
// mean nothing stay.
func unescape(text string) (string, error) {
	plain := map[byte]string{
		'n': "\n", 't': "\t", 'r': "\r", 'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\\': `\`, '\'': "'", '"': `"`, '\n': "",
	}
	var fault error
	out := escapes().ReplaceAllStringFunc(text, func(escape string) string {
		switch rest := escape[1:]; {
		case rest == "":
			fault = errors.New("ends in a lone backslash")
		case rest == "x":
			fault = errors.New(`\x needs two digits`)
		case rest[0] == 'x' && len(rest) == 3, rest[0] >= '0' && rest[0] <= '7':
			return octet(rest)
		default:
			if said, known := plain[rest[0]]; known {
				return said
			}
		}
		return escape
	})
	return out, fault
}

// octet is the byte that xNN or up to three octal digits stand for.
func octet(digits string) string {
	n, base := 0, 8
	if digits[0] == 'x' {
		digits, base = strings.ToLower(digits[1:]), 16
	}
	for _, d := range digits {
		n = n*base + strings.IndexRune("0123456789abcdef", d)
	}
	return string([]byte{byte(n)})
}

// fragment is one part, by its name.
type fragment struct {
	name    string
	content sys.Content
}

// Plan joins what is there now.
func (a *AssembleArgs) Plan(ctx context.Context, host sys.Reader) (Plan, error) {
	if err := a.Validate(); err != nil {
		return Plan{}, err
	}
	fragments, err := a.fragments(ctx, host)
	if err != nil {
		return Plan{}, err
	}
	text, err := a.join(ctx, fragments)
	if err != nil {
		return Plan{}, err
	}
	plan, err := fileCopy{source: &Content{Content: textContent(text)}, dest: a.Dest, force: true, options: a.WriteOptions}.plan(ctx, host)
	if err == nil {
		plan.Result["src"] = a.origin()
	}
	return plan, err
}

func (a *AssembleArgs) origin() string {
	if a.Src.Tree != nil {
		return a.Src.Tree.Origin
	}
	return a.Src.Path
}

func (a *AssembleArgs) fragments(ctx context.Context, host sys.Reader) ([]fragment, error) {
	all, err := a.ofHost(ctx, host)
	if a.Src.Tree != nil {
		all, err = a.ofController()
	}
	re, badRegexp := a.names()
	if err != nil || badRegexp != nil {
		return nil, errors.Join(err, badRegexp)
	}
	return slices.DeleteFunc(all, func(f fragment) bool {
		return a.IgnoreHidden && f.name[0] == '.' || re != nil && !re.MatchString(f.name)
	}), nil
}

func (a *AssembleArgs) ofController() ([]fragment, error) {
	var all []fragment
	for _, e := range a.Src.Tree.Entries {
		switch {
		case e.Path == "." || strings.Contains(e.Path, "/"):
		case e.Content != nil:
			all = append(all, fragment{e.Path, a.Src.Tree.Content(e)})
		case e.Info.Type == sys.Symlink:
			return nil, fmt.Errorf("src: %s is a link; fragments of the controller must be files", e.Path)
		}
	}
	return all, nil
}

func (a *AssembleArgs) ofHost(ctx context.Context, host sys.Reader) ([]fragment, error) {
	if a.Src.Tree != nil {
		return nil, nil
	}
	folder, err := lookThrough(ctx, host, a.Src.Path)
	if err != nil {
		return nil, fmt.Errorf("src: %w", err)
	}
	if !folder.is(sys.Directory) {
		return nil, fmt.Errorf("src %s is %s, not a directory", a.Src.Path, folder.typeOf())
	}
	if into, err := lookThrough(ctx, host, a.Dest); err == nil && path.Dir(into.path) == folder.path {
		return nil, fmt.Errorf("dest %s lies in src and would become a fragment of itself", a.Dest)
	} else if err != nil {
		return nil, err
	}
	names, err := host.Files().ReadDir(ctx, folder.path)
	if err != nil {
		return nil, fmt.Errorf("reading the directory %s: %w", folder.path, err)
	}
	var all []fragment
	for _, name := range names {
		at, err := lookThrough(ctx, host, path.Join(folder.path, name))
		if err != nil {
			return nil, err
		}
		if !at.is(sys.Regular) {
			continue
		}
		content, err := host.Files().Content(ctx, at.path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", at.path, err)
		}
		all = append(all, fragment{name, content})
	}
	return all, nil
}

// join puts the fragments together, each on a line of its own.
func (a *AssembleArgs) join(ctx context.Context, fragments []fragment) (string, error) {
	delimiter, err := unescape(a.Delimiter)
	if err != nil {
		return "", fmt.Errorf("delimiter: %w", err)
	}
	if delimiter != "" && !strings.HasSuffix(delimiter, "\n") {
		delimiter += "\n"
	}
	var out strings.Builder
	for i, f := range fragments {
		text, err := readContent(ctx, f.content, editLimit-int64(out.Len()))
		if err != nil {
			return "", fmt.Errorf("fragment %s: %w", f.name, err)
		}
		if i > 0 && !strings.HasSuffix(out.String(), "\n") && out.Len() > 0 {
			out.WriteByte('\n')
		}
		if i > 0 {
			out.WriteString(delimiter)
		}
		out.Write(text)
	}
	return out.String(), nil
}
