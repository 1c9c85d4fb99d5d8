package modules

import (
	"fmt"
	"slices"
	"sync"
)

// Place says where a module's work is done.
type Place string

// The places.
const (
	OnHost       Place = "host"       // in the agent, through Plan
	OnController Place = "controller" // by the engine itself; Args are only a spec (debug, set_fact, …)
)

// Spec is everything known about a module before it is used: from it come strict
// decoding, load-time checks, `rbdplay doc` and the reference pages.
type Spec struct {
	Name    string   // as written in a playbook
	Aliases []string // other names for the same module: ansible.builtin.NAME is added by the registry
	Summary string   // one line
	Notes   []string // paragraphs: how it differs from Ansible's, traps
	Place   Place
	New     func() Module // a new zero argument struct (a pointer); for OnController its Plan is never called
	// FreeForm is the option that takes the text when a task gives a plain string
	// ("command: ls /"); "" when the module takes none.
	FreeForm string
	// AnyArgs lets the module take arguments with any name (set_fact).
	AnyArgs bool
	// EditsFile says that Plan and its steps change nothing but files. A loop's
	// writes of one file are then put in place once, at the end of the loop.
	EditsFile bool
	Returns   []Return
	Examples  []Example

	options func() ([]Option, error) // set by NewRegistry: reads them once
}

// Return documents one key of the result. Keys marked Run come only from doing
// (a command's rc): in check mode they are unknown.
type Return struct {
	Name, Type, Doc string
	Run             bool
}

// SourceOnHost reports whether a source of the module is a path on the host when
// the task does not say remote_src.
func (s *Spec) SourceOnHost() bool {
	options, err := s.Options()
	return err == nil && slices.ContainsFunc(options, func(o Option) bool { return o.Name == "remote_src" && o.Default == "yes" })
}

// Example is a task in YAML; the conformance suite loads and plans each.
type Example struct{ Title, YAML string }

// Option is one argument, read from the tags of the argument struct:
//
//	Path string `arg:"path,required" alias:"dest,name" doc:"The file to edit."`
//	State string `arg:"state" default:"present" choices:"present,absent" doc:"…"`
//
// Further tags: `secret:"true"` (never shown), `type:"path"` (an absolute path on
// the host), `content:"file"` or
// `content:"template"` (on a Content: the engine finds the file on the
// controller, renders it for "template", and hands over its content).
// A pointer field is nil when the option is not given.
type Option struct {
	Name     string
	Aliases  []string
	Type     string // string, bool, int, float, list, dict, raw, text, path, mode, content, template, script, tree, source
	Default  string
	Choices  []string
	Required bool
	Secret   bool
	Doc      string
	field    []int
}

// Registry is the set of modules an engine knows, by name.
type Registry struct {
	specs map[string]*Spec
	names []string
}

// NewRegistry gathers the specs. A name taken twice is an error. The argument structs
// are read when their module is first asked for, since a run needs few of them; Check
// reads them all.
func NewRegistry(specs ...Spec) (*Registry, error) {
	r := &Registry{specs: map[string]*Spec{}}
	for _, s := range specs {
		s.options = sync.OnceValues(s.readOptions)
		for _, name := range append([]string{s.Name, "ansible.builtin." + s.Name}, s.Aliases...) {
			if _, taken := r.specs[name]; taken {
				return nil, fmt.Errorf("module %s: the name %s is taken twice", s.Name, name)
			}
			r.specs[name] = &s
		}
		r.names = append(r.names, s.Name)
	}
	slices.Sort(r.names)
	return r, nil
}

// Check finds a broken tag, an option without documentation and the like. Tests call
// it; in a run Options of the module says so.
func (r *Registry) Check() error {
	for _, name := range r.names {
		if _, err := r.specs[name].Options(); err != nil {
			return fmt.Errorf("module %s: %w", name, err)
		}
	}
	return nil
}

// Find returns the spec of the module called name, by any of its names.
func (r *Registry) Find(name string) (*Spec, bool) {
	s, ok := r.specs[name]
	return s, ok
}

// Names are the modules' own names, sorted.
func (r *Registry) Names() []string { return slices.Clone(r.names) }

// KnownNames are all names by which Find answers, for "did you mean".
func (r *Registry) KnownNames() []string {
	names := make([]string, 0, len(r.specs))
	for name := range r.specs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// All returns the registry of every module that ships with rbdplay.
func All() (*Registry, error) {
	return NewRegistry(slices.Concat(fileModules(), runningModules(), systemModules(), clusterModules(), languageModules())...)
}
