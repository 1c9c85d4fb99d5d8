package engine

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/agent"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
	"github.com/rbdplay/rbdplay/modules/sys"
)

// prepare renders an item's arguments and finds who is to do it. A task that
// needs no host is done here and now.
func (x *execution) prepare(ctx context.Context, h *host, it *item) error {
	if x.task.Action == play.ValidateArgs {
		return x.validateArgs(ctx, it)
	}
	var err error
	if it.check, err = x.checks(ctx, it.scope); err != nil {
		return err
	}
	if it.delegate, err = x.task.DelegateTo.Get(ctx, it.scope); err != nil {
		return err
	}
	if x.task.Spec.Place == modules.OnController {
		return x.control(ctx, h, it)
	}
	if err = x.render(ctx, it); err != nil {
		return err
	}
	if it.async, err = x.async(ctx, it.scope); err != nil {
		return err
	}
	options, err := x.task.Spec.Options()
	if err != nil {
		return err
	}
	for _, o := range options {
		if err := x.prepareOption(ctx, h, it, o); err != nil {
			return err
		}
	}
	it.runner, err = x.connect(ctx, x.doer(h, it), it.scope)
	return err
}

// render renders the item's arguments and environment.
func (x *execution) render(ctx context.Context, it *item) (err error) {
	if it.args, err = x.task.Args.Render(ctx, it.scope); err != nil {
		return err
	}
	it.env, err = x.task.Env(ctx, it.scope)
	return err
}

// checks reports whether the item runs on the shadow.
func (x *execution) checks(ctx context.Context, s *scope.Scope) (bool, error) {
	return x.task.CheckMode.Or(ctx, s, x.Check)
}

// async says whether the item is a job, and whether it is waited for.
func (x *execution) async(ctx context.Context, s *scope.Scope) (*agent.Async, error) {
	seconds, err := x.task.Async.Get(ctx, s)
	if err != nil || seconds == 0 {
		return nil, err
	}
	poll, err := x.task.Poll.Or(ctx, s, 15)
	return &agent.Async{Seconds: seconds, Wait: poll > 0}, err
}

// doer is the name of the host that does the item.
func (x *execution) doer(h *host, it *item) string {
	if it.delegate != "" {
		return it.delegate
	}
	return h.name
}

// connect gives the connection to a host, as the task's scope and keywords say.
// For another host than the task's own, that host's variables say it.
func (x *execution) connect(ctx context.Context, name string, s *scope.Scope) (agent.Runner, error) {
	target, err := x.target(ctx, name, s)
	if err != nil {
		return nil, err
	}
	return x.links.get(ctx, target)
}

// target is targetOf, with its passwords kept from being shown.
func (x *execution) target(ctx context.Context, name string, s *scope.Scope) (Target, error) {
	t, err := x.targetOf(ctx, name, s)
	for _, secret := range []string{t.Connection.Password, t.Connection.BecomePassword} {
		x.secrets.add(secret)
	}
	return t, err
}

func (x *execution) targetOf(ctx context.Context, name string, s *scope.Scope) (Target, error) {
	other, known := x.vars.Host(name)
	if !known {
		return Target{}, diag.New(x.task.Range, "the host %s is not in the inventory", name)
	}
	theirs := s
	if own, _, _ := s.Lookup(ctx, "inventory_hostname"); own != other.Name {
		theirs = other.Scope()
	}
	c, err := theirs.Connection(ctx, other.Name)
	if err != nil {
		return Target{}, err
	}
	_, said, _ := theirs.Lookup(ctx, "ansible_connection")
	if err := x.keywords(ctx, s, said, &c); err != nil {
		return Target{}, err
	}
	t := Target{Host: other.Name, Connection: c}
	if c.Become != nil && *c.Become {
		if t.Become = c.BecomeUser; t.Become == "" {
			t.Become = "root"
		}
	}
	return t, nil
}

// keywords lets the task's keywords, rendered in the task's own scope, fill in
// what no variable says; variables win, as in Ansible. kindSaid tells that one
// says the kind of connection.
func (x *execution) keywords(ctx context.Context, s *scope.Scope, kindSaid bool, c *inventory.Connection) error {
	t := x.task
	kind, err := t.Connection.Get(ctx, s)
	if err != nil {
		return err
	}
	if !kindSaid && kind != "" {
		c.Kind = inventory.Kind(kind)
	}
	if c.User == "" {
		if c.User, err = t.RemoteUser.Get(ctx, s); err != nil {
			return err
		}
	}
	if c.Port == 0 {
		if c.Port, err = t.Port.Get(ctx, s); err != nil {
			return err
		}
	}
	if c.Become == nil && t.Become != nil {
		become, err := t.Become.Get(ctx, s)
		if err != nil {
			return err
		}
		c.Become = &become
	}
	if c.BecomeUser == "" {
		if c.BecomeUser, err = t.BecomeUser.Get(ctx, s); err != nil {
			return err
		}
	}
	for _, one := range []struct {
		to      *string
		keyword *play.Setting[string]
	}{{&c.BecomeMethod, t.BecomeMethod}, {&c.BecomeExe, t.BecomeExe}, {&c.BecomeFlags, t.BecomeFlags}} {
		if *one.to == "" {
			if *one.to, err = one.keyword.Get(ctx, s); err != nil {
				return err
			}
		}
	}
	x.Defaults.fill(c, kindSaid || kind != "")
	return nil
}

// fill fills in what neither variables nor keywords say.
func (d Defaults) fill(c *inventory.Connection, kindSaid bool) {
	if !kindSaid && d.Connection != "" {
		c.Kind = d.Connection
	}
	if c.Become == nil && d.Become {
		c.Become = &d.Become
	}
	c.BecomeUser = cmp.Or(c.BecomeUser, d.BecomeUser)
	c.BecomeMethod = cmp.Or(c.BecomeMethod, d.BecomeMethod)
}

// prepareOption puts what an argument names in its place: the content of a file
// of the controller, a rendered template, a folder. Secret values become known
// to the redactor.
func (x *execution) prepareOption(ctx context.Context, h *host, it *item, o modules.Option) error {
	name, value, given := o.In(it.args)
	if !given {
		return nil
	}
	if o.Secret {
		x.secrets.addAll(value)
	}
	text, ok := value.(string)
	if !ok {
		return x.jsonOption(ctx, it, name, value, o)
	}
	at := x.task.Args.Where(name)
	var err error
	switch o.Type {
	case "template":
		it.args[name], err = x.template(ctx, it, text, at)
	case "content":
		it.args[name], err = x.fileContent(it, text, at)
	case "script":
		err = x.script(it, name, text, at)
	case "source":
		if !x.sourceOnHost(it) {
			it.args[name], err = x.source(ctx, it, text, at)
		}
	case "tree":
		it.args[name], err = x.tree(ctx, h, it, text, at)
	}
	return err
}

// jsonOption writes a mapping or a list as JSON where the option is a text.
func (x *execution) jsonOption(ctx context.Context, it *item, name string, value any, o modules.Option) (err error) {
	switch value.(type) {
	case map[string]any, []any:
		if o.Type == "text" {
			it.args[name], err = x.task.Args.JSON(ctx, it.scope, name)
		}
	}
	return err
}

// sourceOnHost reports whether the item's source is a path on the host.
func (x *execution) sourceOnHost(it *item) bool {
	value, given := it.args["remote_src"]
	if !given {
		return x.task.Spec.SourceOnHost()
	}
	return truth(value)
}

// decrypts reports whether files of the controller are decrypted on the way:
// unless the module has an option decrypt that says no.
func decrypts(it *item) bool {
	value, given := it.args["decrypt"]
	return !given || truth(value)
}

// templateVars are what only files of the module template see.
var templateVars = map[string]any{"ansible_managed": "Ansible managed"}

func (x *execution) template(ctx context.Context, it *item, name string, at diag.Range) (any, error) {
	t, file, err := x.task.Template(ctx, name, at, it.args)
	if err != nil {
		return nil, err
	}
	text, unknown, err := t.Render(ctx, it.scope.With(scope.LoopVars, scope.Plain(templateVars, at)))
	if err != nil {
		return nil, err
	}
	if unknown != nil {
		return nil, &play.UnknownError{Reason: unknown.Reason}
	}
	return x.contents.text(text, baseName(file.Path)), nil
}

func (x *execution) fileContent(it *item, name string, at diag.Range) (any, error) {
	file, err := x.task.FindFile("files", name, at)
	if err != nil {
		return nil, err
	}
	ref, err := x.contents.file(file.FS, file.Path, decrypts(it))
	if err != nil {
		return nil, diag.New(at, "cannot read %s: %v", file.Display, err).WithCause(err)
	}
	return ref, nil
}

// script puts the content of a script in its place, and the words behind its name
// before those of argv.
func (x *execution) script(it *item, name, text string, at diag.Range) error {
	words, err := modules.SplitWords(text)
	if err != nil || len(words) == 0 {
		return diag.New(at, "%s: wants the name of a script, then words", name)
	}
	given, _ := it.args["argv"].([]any)
	for i, word := range words[1:] {
		given = slices.Insert(given, i, any(word))
	}
	it.args["argv"] = given
	it.args[name], err = x.fileContent(it, words[0], at)
	return err
}

// source finds a file or a folder of the controller.
func (x *execution) source(ctx context.Context, it *item, name string, at diag.Range) (any, error) {
	file, err := x.task.FindFile("files", strings.TrimSuffix(name, "/"), at)
	if err != nil {
		return nil, err
	}
	info, err := fs.Stat(file.FS, file.Path)
	if err != nil {
		return nil, diag.New(at, "cannot look at %s: %v", file.Display, err)
	}
	if !info.IsDir() {
		return x.fileContent(it, name, at)
	}
	return x.folder(ctx, file, name, decrypts(it), at)
}

func (x *execution) folder(ctx context.Context, file play.File, name string, decrypt bool, at diag.Range) (modules.TreeRef, error) {
	ref, err := x.contents.tree(ctx, file.FS, file.Path, file.Display, decrypt)
	if err != nil {
		return ref, diag.New(at, "cannot read the folder: %v", err)
	}
	if !strings.HasSuffix(name, "/") {
		ref.Name = baseName(file.Path)
	}
	return ref, nil
}

// tree finds a folder: of the target itself, of another host, or of the
// controller.
func (x *execution) tree(ctx context.Context, h *host, it *item, name string, at diag.Range) (any, error) {
	if truth(it.args["remote_src"]) {
		return name, nil
	}
	from, _ := it.args["src_host"].(string)
	if from == "" {
		file, err := x.task.FindFile("files", strings.TrimSuffix(name, "/"), at)
		if err != nil {
			return nil, err
		}
		return x.folder(ctx, file, name, false, at)
	}
	if from == x.doer(h, it) {
		return name, nil
	}
	runner, err := x.connect(ctx, from, it.scope)
	if err != nil {
		return nil, fmt.Errorf("src_host: %w", err)
	}
	ref, err := x.contents.treeOf(ctx, runner, from, strings.TrimSuffix(name, "/"), it.check && x.Check)
	if unknown, ok := sys.Unknown(err); ok {
		return nil, &play.UnknownError{Reason: from + ": " + unknown.Error()}
	}
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, "/") {
		ref.Name = baseName(name)
	}
	return ref, nil
}

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// truth reads a rendered argument that is a bool to its module.
func truth(value any) bool {
	switch v := value.(type) {
	case bool:
		return v
	case string:
		switch strings.ToLower(v) {
		case "yes", "y", "true", "t", "on", "1":
			return true
		}
		return false
	default:
		return expression.Truthy(v)
	}
}
