package play

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/template"
)

// File is a file or folder of the controller that a task uses.
type File = lookup.File

// FindFile finds a source of the task as Ansible does: in the folder dir
// ("files", "templates", "vars") of its role, of the roles that depend on it, and
// beside the playbook; then in those places themselves. An absolute name is
// taken from the disk. The error is a diag.Diagnostic at the argument's place
// that lists where it looked.
func (t *Task) FindFile(dir, name string, at diag.Range) (File, error) {
	return t.files.find(dir, name, at)
}

// fileSearch is where a task's files are looked for.
type fileSearch struct {
	loader *loader
	role   *Role
	dir    location // of the file that the task stands in
	home   location // of the playbook
}

func (s *fileSearch) places(dir string) []location {
	var places []location
	for r := s.role; r != nil; r = r.Parent {
		places = append(places, r.folder.join(dir), r.folder)
	}
	if s.role != nil {
		places = append(places, s.dir.join(dir), s.dir)
	}
	places = append(places, s.home.join(dir), s.home)
	if s.role == nil && s.dir.display != s.home.display {
		places = append(places, s.dir.join(dir), s.dir)
	}
	return places
}

func (s *fileSearch) find(dir, name string, at diag.Range) (File, error) {
	if strings.TrimSpace(name) == "" {
		return File{}, diag.New(at, "the name of the file is empty")
	}
	var looked []string
	for _, place := range s.places(dir) {
		p, err := s.loader.seenFrom(place, name)
		if err != nil {
			return File{}, diag.New(at, "%v", err)
		}
		there, err := p.exists()
		if err != nil {
			return File{}, diag.New(at, "%s: cannot be looked at: %s", p.display, reason(err)).WithCause(err)
		}
		if there {
			return p.file(), nil
		}
		looked = appendNew(looked, p.display)
	}
	d := diag.New(at, "there is no file %s", name).WithDetail("looked for " + strings.Join(looked, "\n           "))
	return File{}, d.WithHint(s.suggest(dir, name)).WithCause(fs.ErrNotExist)
}

func appendNew(list []string, one string) []string {
	if slices.Contains(list, one) {
		return list
	}
	return append(list, one)
}

// suggest names a file of the first places that is nearly called so.
func (s *fileSearch) suggest(dir, name string) string {
	var known []string
	for _, place := range s.places(dir) {
		if !strings.HasSuffix(place.path, dir) {
			continue
		}
		entries, err := fs.ReadDir(place.fsys, place.path)
		if err != nil {
			continue // a place that cannot be listed suggests nothing
		}
		for _, entry := range entries {
			known = append(known, entry.Name())
		}
	}
	return diag.DidYouMean(name, known)
}

// Template gives a compiled template file and where it was found. args may hold
// the options of the module template. Each file is compiled once for each set of
// them.
func (t *Task) Template(_ context.Context, name string, at diag.Range, args map[string]any) (*template.Template, File, error) {
	t.files.loader.mu.Lock()
	defer t.files.loader.mu.Unlock()
	return t.template(name, at, args)
}

func (t *Task) template(name string, at diag.Range, args map[string]any) (*template.Template, File, error) {
	options := template.ForFiles(templateFiles{t.files})
	key, err := t.templateOptions(&options, args)
	if err != nil {
		return nil, File{}, err
	}
	file, err := t.FindFile("templates", name, at)
	if err != nil {
		return nil, file, err
	}
	l := t.files.loader
	key += file.Display
	if compiled, ok := l.templates[key]; ok {
		return compiled, file, nil
	}
	text, err := l.noted(file)
	if err != nil {
		return nil, file, unreadable(file, at, err)
	}
	compiled, err := template.Compile(l.env, string(text), diag.InText(file.Display, string(text)), options)
	if err != nil {
		return nil, file, err
	}
	l.templates[key] = compiled
	return compiled, file, nil
}

// templateFlags and templateTexts are arguments of the module template that say
// how the file is read.
var (
	templateFlags = []string{"trim_blocks", "lstrip_blocks"}
	templateTexts = []string{
		"newline_sequence", "variable_start_string", "variable_end_string",
		"block_start_string", "block_end_string", "comment_start_string", "comment_end_string",
	}
)

// templateOptions takes the options among args, and gives a key that tells sets of
// them apart.
func (t *Task) templateOptions(o *template.Options, args map[string]any) (string, error) {
	var key strings.Builder
	for _, name := range slices.Concat(templateFlags, templateTexts) {
		var err error
		value, given := args[name]
		if !given {
			continue
		}
		if slices.Contains(templateFlags, name) {
			value, err = asBool(value)
		}
		if err == nil {
			err = o.Set(name, value)
		}
		if err != nil {
			return "", diag.New(t.Args.Where(name), "%s: %v", name, err)
		}
		fmt.Fprintf(&key, "%s=%q ", name, fmt.Sprint(value))
	}
	return key.String(), nil
}

// literalTemplate compiles the file of a task when all that it depends on is
// written without templates.
func (t *Task) literalTemplate(source string, at diag.Range) error {
	args := map[string]any{}
	for _, name := range slices.Concat(templateFlags, templateTexts) {
		if _, given := t.Args.given[name]; !given {
			continue
		}
		value, literal := t.Args.Literal(name)
		if !literal {
			return nil
		}
		args[name] = value
	}
	_, _, err := t.template(source, at, args)
	return err
}

// templateFiles finds what a template includes.
type templateFiles struct{ search *fileSearch }

// ReadTemplate implements template.Files.
func (f templateFiles) ReadTemplate(_ context.Context, name string) (file, text string, err error) {
	found, err := f.search.find("templates", name, diag.Range{})
	if err != nil {
		if d, ok := errors.AsType[diag.Diagnostic](err); ok {
			err = fmt.Errorf("%s; %s", d.Summary, strings.ReplaceAll(d.Detail, "\n           ", ", "))
			if errors.Is(d.Cause, fs.ErrNotExist) {
				err = fmt.Errorf("%w: %w", template.ErrNoTemplate, err)
			}
			return "", "", err
		}
		return "", "", err
	}
	data, err := f.search.loader.noted(found)
	if err != nil {
		return "", "", fmt.Errorf("%s: cannot be read: %s", found.Display, reason(err))
	}
	return found.Display, string(data), nil
}

// content reads a file of the controller, decrypted when it is a vault; its text
// is then secret.
func (l *loader) content(file File) ([]byte, error) {
	raw, err := fs.ReadFile(file.FS, file.Path)
	if err != nil {
		return nil, err
	}
	content, encrypted, err := l.options.Vault.File(file.Display, raw)
	if encrypted && err == nil {
		l.options.Vault.Learn(string(content))
		l.encrypted.Store(file.Display, true)
	}
	return content, err
}

// noted is content whose text findings may quote, unless it was encrypted.
func (l *loader) noted(file File) ([]byte, error) {
	text, err := l.content(file)
	if err == nil {
		l.note(file, text)
	}
	return text, err
}

func (l *loader) note(file File, text []byte) {
	if _, secret := l.encrypted.Load(file.Display); !secret {
		l.sources.Add(file.Display, text)
	}
}

// unreadable is the finding for a file that cannot be read or decrypted.
func unreadable(file File, at diag.Range, err error) diag.Diagnostic {
	if d, ok := errors.AsType[diag.Diagnostic](err); ok {
		return d
	}
	return diag.New(at, "%s: cannot be read: %s", file.Display, reason(err)).WithCause(err)
}

// later reads something while the playbook runs, one at a time.
func (l *loader) later(read func(l *loader)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found = &diag.List{}
	l.ctx = context.Background() // the call of Load has ended; what is read here is small
	read(l)
	return l.found.ErrorOrNil()
}
