// Package lookup has the lookups of Ansible: values that an expression takes
// from outside itself, from the controller's files, environment and commands or
// from the variables of who asks.
//
// What they do to the controller goes through two interfaces: an Asker knows
// where the files of a task lie, a Controller runs commands and makes files.
// What a lookup gives is only ever text and data; it is never read as a template.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/rbdplay/rbdplay/engine/expression"
)

// Controller is the machine rbdplay runs on, as far as lookups touch it.
type Controller interface {
	// Getenv is a variable of rbdplay's environment.
	Getenv(name string) (value string, ok bool)
	// Run gives what a command of the shell prints, in the folder dir ("" is where
	// rbdplay was started). The error says how the command ended and what it said.
	// Cancelling ctx ends the command and all it has started.
	Run(ctx context.Context, command, dir string) (stdout string, err error)
	// Create makes a file that only its owner may read, whole or not at all, with
	// the folders it needs. The error wraps fs.ErrExist when there is one.
	Create(name string, content []byte) error
	// Replace is Create for a file that is there.
	Replace(name string, content []byte) error
}

// File is a file or folder of the controller, or of an embedded playbook.
type File struct {
	FS      fs.FS
	Path    string // within FS
	Display string // for messages
	Name    string // how a playbook can name it again: absolute, unless it is embedded
}

// Asker is who asks: a task, or for what is written outside of tasks, the
// playbook. Scopes carry it (see Asking).
type Asker interface {
	// Find finds a file as the task's modules do: in the folders called dir
	// ("files", "templates") of its role and playbook, then in those places
	// themselves. The error wraps fs.ErrNotExist when it is nowhere.
	Find(dir, name string) (File, error)
	// Folders lists the places in which Find looks, the first one first.
	Folders(dir string) ([]File, error)
	// Dir is the playbook's folder on the disk, absolute; "" when it is embedded.
	Dir() string
	// Writes reports whether lookups may change the controller: not in check mode,
	// nor when no task asks.
	Writes(ctx context.Context, scope expression.Scope) (bool, error)
	// Note remembers the text of a file, so that findings can show its lines.
	// A file that was encrypted is passed over.
	Note(f File, text []byte)
	// Read gives a file's content, decrypted when it is a vault; what was encrypted
	// is hidden by value from then on.
	Read(f File) ([]byte, error)
}

// AskerOf finds out who asks. The error says that nobody does.
func AskerOf(scope expression.Scope) (Asker, error) {
	if s, ok := scope.(expression.Asking); ok {
		if asker, ok := s.Asker().(Asker); ok {
			return asker, nil
		}
	}
	return nil, errors.New("no files can be looked up here")
}

// Environment is the whole language: expression.Builtins with all lookups. A nil
// controller leaves out what needs one, and says so when it is asked for.
func Environment(controller Controller) *expression.Environment {
	if controller == nil {
		controller = nobody{}
	}
	l := &lookups{controller: controller}
	l.environment = expression.Builtins().WithFilters(vaultFilters).WithLookups(l.all())
	return l.environment
}

// lookups is what the lookups of an environment share.
type lookups struct {
	controller  Controller
	environment *expression.Environment // with these lookups: a template may look up more
	passwords   sync.Mutex              // hosts that ask for one password at a time get the same
}

// call is one call of a lookup.
type call struct {
	*lookups
	ctx     context.Context //nolint:containedctx // of one call
	scope   expression.Scope
	terms   []any
	options map[string]any
}

// finder makes the values of a lookup.
type finder func(c *call) ([]any, error)

func (l *lookups) all() map[string]expression.Lookup {
	known := map[string]expression.Lookup{}
	add := func(name string, find finder, options ...string) {
		known[name] = expression.Lookup{Options: options, Find: func(ctx context.Context, scope expression.Scope, terms []any, options map[string]any) ([]any, error) {
			return find(&call{lookups: l, ctx: ctx, scope: scope, terms: terms, options: options})
		}}
	}
	add("list", list)
	add("items", items)
	add("flattened", flattened)
	add("dict", dict)
	add("indexed_items", indexedItems)
	add("nested", nested)
	add("cartesian", cartesian)
	add("together", together)
	add("subelements", subelements)
	add("random_choice", randomChoice)
	add("sequence", sequenceLookup, "start", "end", "count", "stride", "format")
	add("vars", vars, "default")
	add("varnames", varnames)
	add("inventory_hostnames", inventoryHostnames)
	add("env", env, "default")
	add("pipe", pipe)
	add("lines", lines)
	add("file", file, "lstrip", "rstrip")
	add("unvault", unvault)
	add("fileglob", fileglob)
	add("first_found", firstFound, "files", "paths", "skip")
	add("template", templateLookup, "convert_data", "template_vars", "variable_start_string", "variable_end_string", "comment_start_string", "comment_end_string")
	add("ini", ini, "file", "section", "type", "re", "default", "encoding", "case_sensitive", "allow_no_value", "allow_none")
	add("csvfile", csvfile, "file", "col", "default", "delimiter", "encoding")
	add("password", password, "length", "chars", "encrypt", "ident", "seed")
	return known
}

// nobody is a controller that is not there.
type nobody struct{}

var errNobody = errors.New("the controller is out of reach here")

func (nobody) Getenv(string) (string, bool)                        { return "", false }
func (nobody) Run(context.Context, string, string) (string, error) { return "", errNobody }
func (nobody) Create(string, []byte) error                         { return errNobody }
func (nobody) Replace(string, []byte) error                        { return errNobody }

// texts are the terms, which must all be text.
func (c *call) texts(what string) ([]string, error) {
	names := make([]string, len(c.terms))
	for i, term := range c.terms {
		text, ok := expression.Normalize(term).(string)
		if !ok {
			return nil, fmt.Errorf("wants %s, not %s", what, shown(term))
		}
		names[i] = text
	}
	return names, nil
}

func (c *call) text(option, otherwise string) string {
	if value, ok := c.options[option]; ok && value != nil {
		return expression.Text(value)
	}
	return otherwise
}

func (c *call) flag(option string, otherwise bool) (bool, error) {
	value, ok := c.options[option]
	if !ok {
		return otherwise, nil
	}
	switch strings.ToLower(expression.Text(value)) {
	case "true", "yes", "on", "1", "y", "t":
		return true, nil
	case "false", "no", "off", "0", "n", "f":
		return false, nil
	}
	return false, fmt.Errorf("wants yes or no for %s, not %s", option, shown(value))
}

// each gathers what find gives for every term.
func each[T any](terms []T, find func(term T) (any, error)) ([]any, error) {
	values := make([]any, 0, len(terms))
	for _, term := range terms {
		value, err := find(term)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// shown is a value for a message.
func shown(value any) string {
	switch v := expression.Normalize(value).(type) {
	case nil:
		return "nothing"
	case string:
		return fmt.Sprintf("%q", v)
	case []any:
		return "a list"
	case map[string]any, *expression.Dict, expression.Object:
		return "a mapping"
	}
	return expression.Text(value)
}
