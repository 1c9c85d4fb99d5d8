package lookup

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lazy"
)

// find finds a file of who asks. "~" is the home of who runs rbdplay.
func (c *call) find(dir, name string) (File, error) {
	asker, err := AskerOf(c.scope)
	if err != nil {
		return File{}, err
	}
	found, err := asker.Find(dir, c.home(name))
	if d, ok := errors.AsType[diag.Diagnostic](err); ok && d.Range.IsZero() {
		// It has no place of its own; the lookup's is better.
		return found, &missing{text: strings.TrimSpace(d.Summary + "; " + strings.Join(strings.Fields(d.Detail), " ")), cause: d.Cause}
	}
	return found, err
}

// missing says what was not found, and where it was looked for.
type missing struct {
	text  string
	cause error
}

func (e *missing) Error() string { return e.text }
func (e *missing) Unwrap() error { return e.cause }

func (c *call) home(name string) string {
	if name != "~" && !strings.HasPrefix(name, "~/") {
		return name
	}
	if home, ok := c.controller.Getenv("HOME"); ok {
		return strings.TrimSuffix(home, "/") + name[1:]
	}
	return name
}

// read gives a file's text.
func (c *call) read(dir, name string) (string, File, error) {
	f, err := c.find(dir, name)
	if err != nil {
		return "", f, err
	}
	asker, err := AskerOf(c.scope)
	if err != nil {
		return "", f, err
	}
	data, err := asker.Read(f)
	switch {
	case err != nil:
		return "", f, fmt.Errorf("cannot read %s: %s", f.Display, reason(err))
	case !utf8.Valid(data):
		return "", f, fmt.Errorf("%s is not text (UTF-8)", f.Display)
	}
	return string(data), f, nil
}

// reason is an error without the path, which the message names already.
func reason(err error) string {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}

const blanks = " \t\r\n\v\f"

// file gives the text of files.
func file(c *call) ([]any, error) {
	names, err := c.texts("names of files")
	if err != nil {
		return nil, err
	}
	left, err := c.flag("lstrip", false)
	if err != nil {
		return nil, err
	}
	right, err := c.flag("rstrip", true)
	if err != nil {
		return nil, err
	}
	return each(names, func(name string) (any, error) {
		text, _, err := c.read("files", name)
		if left {
			text = strings.TrimLeft(text, blanks)
		}
		if right {
			text = strings.TrimRight(text, blanks)
		}
		return text, err
	})
}

// unvault gives the text of files that are encrypted, or not, as it is.
func unvault(c *call) ([]any, error) {
	names, err := c.texts("names of files")
	if err != nil {
		return nil, err
	}
	return each(names, func(name string) (any, error) {
		text, _, err := c.read("files", name)
		return text, err
	})
}

// fileglob lists the files that match patterns, those of a folder in order.
func fileglob(c *call) ([]any, error) {
	patterns, err := c.texts("patterns of files")
	if err != nil {
		return nil, err
	}
	all := []any{}
	for _, pattern := range patterns {
		folders, err := c.globFolders(path.Dir(pattern), strings.Contains(pattern, "/"))
		if err != nil {
			return nil, err
		}
		for _, folder := range folders {
			found, err := globIn(folder, path.Base(pattern))
			if err != nil {
				return nil, err
			}
			if all = append(all, found...); len(found) > 0 {
				break // the first place that has any counts
			}
		}
	}
	return all, nil
}

func (c *call) globFolders(dir string, named bool) ([]File, error) {
	if !named {
		asker, err := AskerOf(c.scope)
		if err != nil {
			return nil, err
		}
		return asker.Folders("files")
	}
	folder, err := c.find("files", dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return []File{folder}, err
}

func globIn(folder File, pattern string) ([]any, error) {
	matches, err := globPattern(pattern)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(folder.FS, folder.Path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look into %s: %s", folder.Display, reason(err))
	}
	var found []any
	for _, entry := range entries {
		if !matches.MatchString(entry.Name()) || strings.HasPrefix(entry.Name(), ".") && !strings.HasPrefix(pattern, ".") {
			continue
		}
		info, err := fs.Stat(folder.FS, path.Join(folder.Path, entry.Name())) // follows links
		if err == nil && info.Mode().IsRegular() {
			found = append(found, path.Join(folder.Name, entry.Name()))
		}
	}
	return found, nil
}

// globClass is [abc] or [!abc], where the first may be a ].
var globClass = lazy.Regexp(`^\[(!?)(\]?[^\]]*)\]`)

// globPattern reads *, ? and [abc] as the shell does.
func globPattern(pattern string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); i++ {
		class := globClass().FindStringSubmatch(pattern[i:])
		switch {
		case pattern[i] == '*':
			b.WriteString(".*")
		case pattern[i] == '?':
			b.WriteByte('.')
		case class != nil && class[2] != "":
			b.WriteString("[" + strings.Replace(class[1], "!", "^", 1) + strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `^`, `\^`).Replace(class[2]) + "]")
			i += len(class[0]) - 1
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	compiled, err := regexp.Compile(b.String() + `\z`)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q: %w", pattern, err)
	}
	return compiled, nil
}

// Folder is the option by which a with_first_found says in which folders its task
// looks: "templates" for template, "vars" for include_vars. It cannot be typed.
const Folder = "·folder"

// firstFound gives the first of several files that is there.
func firstFound(c *call) ([]any, error) {
	s := search{call: c}
	if err := s.add(c.terms); err != nil {
		return nil, err
	}
	if len(c.terms) == 0 {
		if err := s.configured(c.options); err != nil {
			return nil, err
		}
	}
	var looked []string
	for _, name := range s.names {
		found, err := c.find(c.text(Folder, "files"), name)
		if err == nil {
			return []any{found.Name}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		looked = append(looked, name)
	}
	if s.skip {
		return []any{}, nil
	}
	return nil, fmt.Errorf("finds none of %s; skip=true makes that no error", strings.Join(looked, ", "))
}

// search is what a first_found looks for.
type search struct {
	*call
	names []string
	skip  bool
}

func (s *search) add(terms []any) error {
	for _, term := range terms {
		var err error
		switch term := expression.Normalize(term).(type) {
		case []any:
			err = s.add(term)
		case string:
			err = s.named(term)
		case map[string]any, *expression.Dict, expression.Object:
			options := map[string]any{}
			if err = Pairs(s.ctx, term, func(name string, value any) { options[name] = value }); err == nil {
				err = s.configured(options)
			}
		default:
			err = fmt.Errorf("wants names of files or a mapping with files and paths, not %s", shown(term))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// named is one file; where the lookup's own options give files or paths these
// count instead, as in Ansible.
func (s *search) named(name string) error {
	_, files := s.options["files"]
	_, paths := s.options["paths"]
	if files || paths {
		return s.configured(s.options)
	}
	s.names = append(s.names, name)
	skip, err := s.flag("skip", s.skip)
	s.skip = skip
	return err
}

func (s *search) configured(options map[string]any) error {
	for name := range options {
		if !slices.Contains([]string{"files", "paths", "skip", Folder}, name) {
			return fmt.Errorf("knows no %s, only files, paths and skip", name)
		}
	}
	inner := call{options: options}
	skip, err := inner.flag("skip", false)
	if err != nil {
		return err
	}
	s.skip = skip
	files, paths := cut(options["files"], ",;"), cut(options["paths"], ",:;")
	if len(paths) == 0 {
		s.names = append(s.names, files...)
	}
	for _, dir := range paths {
		for _, name := range files {
			s.names = append(s.names, path.Join(dir, name))
		}
	}
	return nil
}

// cut reads a list of texts, or texts that hold several.
func cut(value any, separators string) []string {
	var parts []string
	for _, one := range asList(value) {
		parts = append(parts, strings.FieldsFunc(expression.Text(one), func(r rune) bool { return strings.ContainsRune(separators, r) })...)
	}
	return parts
}
