package play

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
	"github.com/rbdplay/rbdplay/engine/vault"
	"github.com/rbdplay/rbdplay/modules"
)

// Source is where a playbook is read from.
type Source struct {
	FS      fs.FS  // a disk (see OnDisk) or an embedded tree
	Path    string // the playbook within FS, slash separated
	Display string // how messages name it; Path when empty
	Disk    bool   // FS is the controller's file system from its root on: playbook_dir is absolute
}

// OnDisk is the source of a playbook file of the controller. disk is its file
// system from the root on, absolute the file's absolute path, and name the path
// as the operator gave it.
func OnDisk(disk fs.FS, absolute, name string) Source {
	return Source{FS: disk, Path: strings.TrimPrefix(filepath.ToSlash(absolute), "/"), Display: name, Disk: true}
}

// Options are what loading needs besides the playbook.
type Options struct {
	// Environment compiles the expressions; nil means lookup.Environment(nil).
	Environment *expression.Environment
	// Disk is the controller's file system from its root on, where absolute paths
	// of sources lead; nil refuses them.
	Disk fs.FS
	// RolesPath lists further folders of roles on Disk, absolute.
	RolesPath []string
	// ExtraVars are the variables given with -e: names of imported files may use them.
	ExtraVars map[string]any
	// Vault has the passwords of encrypted files and values; nil has none.
	Vault *vault.Keyring
	// Sources remembers the files that were read; nil makes a new one.
	Sources *diag.Sources
}

// Load reads a playbook with everything it uses and checks it. The playbook is
// nil when the list has errors; warnings alone do not prevent it. Cancelling ctx
// ends it with a finding that says so.
func Load(ctx context.Context, source Source, registry *modules.Registry, options Options) (*Playbook, *diag.Sources, diag.List) {
	l := &loader{
		ctx: ctx, registry: registry, options: options, env: options.Environment, sources: options.Sources,
		found: &diag.List{}, files: map[string]*syntax.Node{}, templates: map[string]*template.Template{},
		defaults: map[string]*scope.Vars{},
	}
	if l.env == nil {
		l.env = lookup.Environment(nil)
	}
	if l.sources == nil {
		l.sources = &diag.Sources{}
	}
	extra, faults := scope.FromText(l.env, options.ExtraVars, diag.Range{File: "--extra-vars"})
	*l.found = append(*l.found, faults...)
	l.known = (*scope.Scope)(nil).With(scope.ExtraVars, extra)
	at := location{fsys: source.FS, path: path.Clean(source.Path), display: cmp.Or(source.Display, source.Path), disk: source.Disk}
	l.playbook = &Playbook{Name: at.display, Dir: at.dir().variable()}
	l.playbook.files = &fileSearch{loader: l, dir: at.dir(), home: at.dir()}
	l.playbookFile(at, surroundings{}, diag.Range{})
	l.addError(diag.Range{}, ctx.Err())
	l.playbook.Tags = l.playbook.allTags()
	l.found.Sort()
	found := slices.CompactFunc(*l.found, same)
	if found.HasErrors() {
		return nil, l.sources, found
	}
	return l.playbook, l.sources, found
}

// same reports whether two findings say the same of the same place: a role that
// is used twice has its faults once.
func same(a, b diag.Diagnostic) bool {
	return a.Range == b.Range && a.Summary == b.Summary && a.Severity == b.Severity
}

// loader reads one playbook. While the playbook runs, includes whose names held
// templates are read with it too: mu then holds.
type loader struct {
	ctx       context.Context //nolint:containedctx // of the call that reads
	registry  *modules.Registry
	options   Options
	env       *expression.Environment
	sources   *diag.Sources
	found     *diag.List
	playbook  *Playbook
	files     map[string]*syntax.Node
	templates map[string]*template.Template
	defaults  map[string]*scope.Vars
	known     *scope.Scope // the extra vars
	current   *Play        // that is being read
	lastID    int
	pending   []pendingNotify

	encrypted sync.Map // names of files whose content was a vault
	mu        sync.Mutex
}

// pendingNotify is a notification whose handlers may be read only later.
type pendingNotify struct {
	play   *Play
	notify *Notify
}

// surroundings are what a step takes over from around it.
type surroundings struct {
	play      *Play
	inherited Inherited
	layers    []scope.Layer
	defaults  map[string]map[string]argument // module_defaults, by the module's own name
	role      *Role
	dir       location // of the file that is read
	home      location // of the playbook
	chain     []string // the files and roles that led here, to notice a ring
	notify    []*Notify
	handlers  bool      // handlers are read
	private   bool      // what an include brings keeps its roles' variables to itself
	shows     *Exposure // where an include with public: yes puts them; nil: into the play
}

func (l *loader) add(d diag.Diagnostic) { l.found.Add(d) }

func (l *loader) addError(at diag.Range, err error) { l.found.AddError(at, err) }

// location is a file or folder in a file system, and its name in messages.
type location struct {
	fsys    fs.FS
	path    string
	display string
	disk    bool // fsys is the controller's, from its root on
}

// variable is how playbook_dir and role_path name the folder: by its absolute
// path, so that it means the same to a module; an embedded one has none.
func (p location) variable() string {
	if p.disk {
		return "/" + strings.TrimPrefix(p.path, ".")
	}
	return p.display
}

func (p location) dir() location { return p.join("..") }

// join goes to a name seen from a folder; ".." may lead above the displayed one.
func (p location) join(name string) location {
	p.path = path.Join(p.path, name)
	p.display = filepath.Join(p.display, filepath.FromSlash(name))
	return p
}

func (p location) stat() (fs.FileInfo, error) {
	if !fs.ValidPath(p.path) {
		return nil, &fs.PathError{Op: "stat", Path: p.path, Err: fs.ErrNotExist}
	}
	return fs.Stat(p.fsys, p.path)
}

// exists reports whether a file is there; "could not look" is an error.
func (p location) exists() (bool, error) {
	_, err := p.stat()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// seenFrom gives the location of a name written in a file of the folder p: an
// absolute one leads to the disk.
func (l *loader) seenFrom(p location, name string) (location, error) {
	if !path.IsAbs(name) {
		return p.join(name), nil
	}
	if l.options.Disk == nil {
		return location{}, fmt.Errorf("%s: an absolute path leads nowhere from here", name)
	}
	return location{fsys: l.options.Disk, path: strings.TrimPrefix(path.Clean(name), "/"), display: name, disk: true}, nil
}

// read parses a YAML file, each once. A fault is noted, at the place that named
// the file when it cannot be read.
func (l *loader) read(p location, at diag.Range) (*syntax.Node, bool) {
	if l.ctx.Err() != nil {
		return nil, false
	}
	if node, done := l.files[p.display]; done {
		return node, node != nil
	}
	l.files[p.display] = nil
	text, err := l.text(p)
	if err != nil {
		l.add(diag.New(at, "%s: cannot be read: %s", p.display, reason(err)).WithCause(err))
		return nil, false
	}
	node, err := l.options.Vault.Parse(p.display, text, l.sources)
	if err != nil {
		l.addError(diag.Range{File: p.display}, err)
		return nil, false
	}
	l.files[p.display] = node
	return node, true
}

func (l *loader) text(p location) ([]byte, error) {
	if !fs.ValidPath(p.path) {
		return nil, &fs.PathError{Op: "open", Path: p.path, Err: fs.ErrNotExist}
	}
	return fs.ReadFile(p.fsys, p.path)
}

// reason is an error without the path, which the message names already.
func reason(err error) string {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}

// playbookFile reads a playbook's plays into l.playbook.
func (l *loader) playbookFile(p location, around surroundings, at diag.Range) {
	if slices.Contains(around.chain, p.display) {
		l.add(diag.New(at, "%s imports itself: %s", p.display, strings.Join(append(around.chain, p.display), " → ")))
		return
	}
	root, ok := l.read(p, at)
	if !ok {
		return
	}
	if root.Kind != syntax.Sequence {
		l.add(root.Errorf("a playbook is a list of plays, found %s", root.Kind).
			WithHint("each play begins with a dash: \"- hosts: …\""))
		return
	}
	around.chain = append(slices.Clone(around.chain), p.display)
	around.dir, around.home = p.dir(), p.dir()
	for _, item := range root.Items {
		f, err := item.Fields()
		if err != nil {
			l.addError(item.Range, err)
			continue
		}
		if name, node := importOf(f); node != nil {
			l.importPlaybook(f, name, node, around)
			continue
		}
		l.play(f, around)
	}
}

func importOf(f *syntax.Fields) (string, *syntax.Node) {
	for _, name := range []string{"import_playbook", "ansible.builtin.import_playbook"} {
		if node, ok := f.Get(name); ok {
			return name, node
		}
	}
	return "", nil
}

func (l *loader) importPlaybook(f *syntax.Fields, name string, node *syntax.Node, around surroundings) {
	l.checkKeywords(f, name, importPlaybookKeys, nil)
	around.layers = l.withVars(f, around.layers, scope.PlayVars)
	l.current = nil
	file, ok := l.knownText(node, name, around.layers)
	if !ok {
		return
	}
	around.inherited = l.inherit(f, around.inherited)
	if p, err := l.seenFrom(around.dir, file); err != nil {
		l.add(node.Errorf("%v", err))
	} else {
		l.playbookFile(p, around, node.Range)
	}
}

// literalText is a text that must be known before anything runs.
func (l *loader) literalText(n *syntax.Node, what string) (string, bool) {
	text, err := n.AsString()
	switch {
	case err != nil:
		l.addError(n.Range, err)
		return "", false
	case strings.Contains(text, "{{"):
		l.notYet(n.Range, "a template in %s", what)
		return "", false
	}
	return text, true
}

// knownText is a text that must be known before anything runs. Its templates may
// use what is known then: -e, and the variables of the play and of layers.
func (l *loader) knownText(n *syntax.Node, what string, layers []scope.Layer) (string, bool) {
	text, err := n.AsString()
	if err != nil {
		l.addError(n.Range, err)
		return "", false
	}
	if !strings.Contains(text, "{{") && !strings.Contains(text, "{%") {
		return text, true
	}
	value, ok := l.knownValue(n, what, layers)
	if !ok {
		return "", false
	}
	if text, err = asText(value); err != nil {
		l.add(n.Errorf("%s %v", what, err))
	}
	return text, err == nil
}

func (l *loader) knownValue(n *syntax.Node, what string, layers []scope.Layer) (any, bool) {
	compiled := l.compile(n)
	if compiled == nil {
		return nil, false
	}
	s := l.known
	if l.current != nil {
		s = s.WithLayers(l.current.Layers)
	}
	value, err := compiled.RenderPlain(l.ctx, s.WithLayers(layers))
	if err != nil {
		why := err.Error()
		if d, ok := errors.AsType[diag.Diagnostic](err); ok {
			why = d.Summary
		}
		l.add(n.Errorf("%s must be known before anything runs: %s", what, why).
			WithHint("it may use variables that are given with -e, or in vars and vars_files of the play; include_tasks, include_role and include_vars may use those of hosts"))
		return nil, false
	}
	return value, true
}

// withVars adds the mapping's vars to layers.
func (l *loader) withVars(f *syntax.Fields, layers []scope.Layer, level scope.Level) []scope.Layer {
	node, ok := f.Get("vars")
	if !ok {
		return layers
	}
	vars, found := scope.Compile(l.env, node)
	*l.found = append(*l.found, found...)
	if vars.Len() == 0 {
		return layers
	}
	return append(slices.Clip(layers), scope.Layer{Level: level, Vars: vars})
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
