package play

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// roleFiles are the files of a role that one use of it takes instead of main.
type roleFiles struct {
	tasks, vars, defaults, handlers string
	given, params                   *scope.Vars
	public                          bool   // the play sees its variables
	included                        bool   // by import_role or include_role
	once                            bool   // allow_duplicates: no
	use                             string // what makes two uses the same, besides the files
	unchecked                       bool   // its arguments are not held against its specification
	neededBy                        *Role  // the role that depends on it
}

func (l *loader) roleFiles(o includeOptions) roleFiles {
	var files roleFiles
	for name, to := range map[string]*string{
		"tasks_from": &files.tasks, "vars_from": &files.vars, "defaults_from": &files.defaults, "handlers_from": &files.handlers,
	} {
		if node, ok := o.get(name); ok {
			*to, _ = l.literalText(node, name)
		}
	}
	if node, ok := o.get("allow_duplicates"); ok {
		again, err := node.AsBool()
		l.addError(node.Range, err)
		files.once = !again
	}
	if node, ok := o.get("rolespec_validate"); ok {
		check, err := node.AsBool()
		l.addError(node.Range, err)
		files.unchecked = !check
	}
	if node, ok := o.get("public"); ok {
		var err error
		files.public, err = node.AsBool()
		l.addError(node.Range, err)
	}
	files.included = true
	return files
}

// roles reads a play's `roles:`.
func (l *loader) roles(f *syntax.Fields, around surroundings) []Step {
	node, ok := f.Get("roles")
	if !ok {
		return nil
	}
	items, err := node.AsList()
	if err != nil {
		l.addError(node.Range, err)
		return nil
	}
	var steps []Step
	for _, item := range items {
		steps = append(steps, l.roleEntry(item, around, nil)...)
	}
	return steps
}

var roleEntryHints = map[string]string{
	"notify":     "tasks notify; give it to those of the role",
	"tasks_from": "use import_role among the tasks",
	"debugger":   "rbdplay has no debugger; run the task with -vv, or look at values with debug",
}

// roleEntry reads one entry of `roles:` or of a role's dependencies: a name, or
// a mapping with keywords and, under any other key, parameters.
func (l *loader) roleEntry(item *syntax.Node, around surroundings, neededBy *Role) []Step {
	if item.IsScalar() {
		name, ok := l.knownText(item, "the name of a role", around.layers)
		if !ok {
			return nil
		}
		steps, _ := l.useRole(name, item, roleFiles{public: !around.private, neededBy: neededBy}, around)
		return steps
	}
	f, err := item.Fields()
	if err != nil {
		l.addError(item.Range, err)
		return nil
	}
	node, ok := f.Get("role")
	if !ok {
		node, ok = f.Get("name")
	}
	if !ok {
		l.add(item.Errorf("the entry names no role").WithHint("as in \"- role: web\""))
		return nil
	}
	name, ok := l.knownText(node, "the name of a role", around.layers)
	if !ok {
		return nil
	}
	for _, key := range f.Names() {
		if key == "debugger" || key == "notify" || key == "tasks_from" {
			l.add(f.Key(key).Errorf("an entry of roles has no keyword %s", key).WithHint(roleEntryHints[key]))
		}
	}
	around.inherited = l.inherit(f, around.inherited)
	around.defaults = l.moduleDefaults(f, around.defaults)
	files := roleFiles{given: l.compileVars(f), params: l.roleParams(f), public: !around.private, neededBy: neededBy, use: useOf(f.Node)}
	steps, _ := l.useRole(name, node, files, around)
	return steps
}

// useOf tells apart entries for a role that differ in what counts: parameters,
// variables, tags and condition.
func useOf(entry *syntax.Node) string {
	var parts []string
	for _, e := range entry.Entries {
		if e.Name == "vars" || e.Name == "tags" || e.Name == "when" || isRoleParam(e.Name) {
			parts = append(parts, fmt.Sprintf("%q: %s", e.Name, textOf(e.Value)))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// textOf is the same for nodes of the same content.
func textOf(n *syntax.Node) string {
	var parts []string
	for _, e := range n.Entries {
		parts = append(parts, fmt.Sprintf("%q: %s", e.Name, textOf(e.Value)))
	}
	slices.Sort(parts) // of a mapping
	for _, item := range n.Items {
		parts = append(parts, textOf(item))
	}
	return fmt.Sprintf("%d %s %q %q", n.Kind, n.Tag, n.Text, parts)
}

func isRoleParam(name string) bool {
	return !slices.Contains(roleKeywords, name) && !slices.Contains(everywhereLater, name) && name != "notify" && name != "tasks_from"
}

func (l *loader) compileVars(f *syntax.Fields) *scope.Vars {
	node, ok := f.Get("vars")
	if !ok {
		return nil
	}
	vars, found := scope.Compile(l.env, node)
	*l.found = append(*l.found, found...)
	return vars
}

// roleParams are the keys of an entry that are no keywords.
func (l *loader) roleParams(f *syntax.Fields) *scope.Vars {
	params := &syntax.Node{Kind: syntax.Mapping, Range: f.Node.Range}
	for _, entry := range f.Node.Entries {
		if isRoleParam(entry.Name) {
			params.Entries = append(params.Entries, entry)
		}
	}
	vars, found := scope.Compile(l.env, params)
	*l.found = append(*l.found, found...)
	return vars
}

func (l *loader) importRole(a action, f *syntax.Fields, around surroundings) []Step {
	known := append(slices.Concat(everywhere, insidePlay, []string{"action"}), a.key.Text)
	l.checkIncluding(f, "import_role", known, importHint)
	if around.handlers {
		l.add(a.key.Errorf("import_role cannot be a handler").WithHint(handlerHint))
		return nil
	}
	o, ok := l.includeOptions("import_role", "name", a, f, roleImportOptions)
	if !ok {
		return nil
	}
	around.layers = l.withVars(f, around.layers, scope.TaskVars)
	name, ok := l.knownText(o.name, "the role of import_role (that of include_role need not be)", around.layers)
	if !ok {
		return nil
	}
	around.inherited = l.inherit(f, around.inherited)
	around.defaults = l.moduleDefaults(f, around.defaults)
	files := l.roleFiles(o)
	files.public, files.use = !around.private, l.useOfVars(f)
	steps, _ := l.useRole(name, o.name, files, around)
	return steps
}

// useOfVars is useOf for an import or include of a role, whose condition and tags
// are its own and not the use's.
func (l *loader) useOfVars(f *syntax.Fields) string {
	if vars, ok := f.Get("vars"); ok {
		return textOf(vars)
	}
	return ""
}

// useRole reads a role where it is used and gives its steps, those of the roles
// it depends on first.
func (l *loader) useRole(name string, at *syntax.Node, files roleFiles, around surroundings) ([]Step, bool) {
	if slices.Contains(around.chain, "role "+name) {
		l.add(at.Errorf("the role %s leads to itself: %s", name, strings.Join(rolesOf(append(slices.Clone(around.chain), "role "+name)), " → ")))
		return nil, false
	}
	folder, ok := l.findRole(name, at, around)
	if !ok {
		return nil, false
	}
	r := &Role{Name: path.Base(name), Dir: folder.variable(), Range: at.Range, Parent: around.role, folder: folder, given: files.given, params: files.params}
	r.defaults = l.roleVars(folder, "defaults", files.defaults, at)
	r.vars = l.roleVars(folder, "vars", files.vars, at)
	around.chain = append(slices.Clone(around.chain), "role "+name)
	meta := l.roleMeta(folder, at)
	r.Again = meta.again
	if files.included {
		r.Again = !files.once
	}
	r.Use = fmt.Sprintf("%q %v %q %s", name, files.included, []string{files.tasks, files.vars, files.defaults, files.handlers}, files.use)
	inner := around
	inner.role, inner.dir = r, folder.join("tasks")
	steps := l.dependencies(r, meta, inner)
	inner.layers = append(slices.Clip(around.layers), r.layers()...)
	if files.neededBy != nil {
		files.neededBy.needs = append(files.neededBy.needs, r)
	}
	if files.public {
		around.show(r)
	}
	l.roleHandlers(r, files, inner, at)
	if spec := l.argumentSpec(r, meta, files.tasks, inner); spec != nil && !files.unchecked {
		steps = append(steps, spec)
	}
	steps = append(steps, l.roleTasks(r, files.tasks, inner, at)...)
	return append(steps, &RoleEnd{r}), true
}

// show lets the whole play see a role's variables: from its beginning, or from
// where an include with public: yes comes.
func (s surroundings) show(r *Role) {
	if s.shows != nil {
		s.shows.Roles = append(s.shows.Roles, r)
		s.shows.Layers = append(s.shows.Layers, r.public()...)
		return
	}
	s.play.Roles = append(s.play.Roles, r)
	s.play.Layers = append(s.play.Layers, r.public()...)
}

func rolesOf(chain []string) []string {
	var names []string
	for _, link := range chain {
		if name, ok := strings.CutPrefix(link, "role "); ok {
			names = append(names, name)
		}
	}
	return names
}

// findRole finds the folder of a role.
func (l *loader) findRole(name string, at *syntax.Node, around surroundings) (location, bool) {
	if name == "" || strings.Count(name, ".") >= 2 && !strings.Contains(name, "/") {
		if name == "" {
			l.add(at.Errorf("the name of the role is empty"))
		} else {
			l.add(at.Errorf("%s is a role of a collection, and collections are not supported", name).
				WithHint("put the role into a folder roles beside the playbook and name it by its last part"))
		}
		return location{}, false
	}
	places := []location{around.home.join("roles")}
	if around.role != nil {
		places = append(places, around.role.folder.dir())
	}
	for _, dir := range l.options.RolesPath {
		if p, err := l.seenFrom(around.home, dir); err == nil {
			places = append(places, p)
		}
	}
	places = append(places, around.home)
	var looked []string
	for _, place := range places {
		p, err := l.seenFrom(place, name)
		if err != nil {
			l.add(at.Errorf("%v", err))
			return location{}, false
		}
		info, err := p.stat()
		if err == nil && info.IsDir() && isRole(p) {
			return p, true
		}
		looked = appendNew(looked, p.display)
	}
	l.add(at.Errorf("there is no role %s", name).
		WithDetail("looked for " + strings.Join(looked, "\n           ")).
		WithHint(diag.DidYouMean(name, rolesIn(places))))
	return location{}, false
}

var roleFolders = []string{"tasks", "handlers", "vars", "defaults", "meta", "templates", "files"}

// isRole tells a role's folder from one that only has its name, such as the
// folder "web" beside a playbook.
func isRole(p location) bool {
	return slices.ContainsFunc(roleFolders, func(name string) bool {
		info, err := p.join(name).stat()
		return err == nil && info.IsDir()
	})
}

func rolesIn(places []location) []string {
	var names []string
	for _, place := range places[:max(1, len(places)-1)] {
		if !fs.ValidPath(place.path) {
			continue
		}
		entries, err := fs.ReadDir(place.fsys, place.path)
		if err != nil {
			continue // a place that cannot be listed suggests nothing
		}
		for _, entry := range entries {
			if entry.IsDir() {
				names = append(names, entry.Name())
			}
		}
	}
	return names
}

var roleExtensions = []string{".yml", ".yaml", ".json", ""}

// roleFile finds FOLDER/NAME of a role; main when name is "". A named file must
// be there.
func (l *loader) roleFile(folder location, dir, name string, at *syntax.Node) (location, bool) {
	stem := name
	if stem == "" {
		stem = "main"
	}
	for _, extension := range roleExtensions {
		p := folder.join(dir).join(stem + extension)
		there, err := p.exists()
		if err != nil {
			l.add(at.Errorf("%s: cannot be looked at: %s", p.display, reason(err)))
			return p, false
		}
		if there {
			return p, true
		}
	}
	if name != "" {
		var known []string
		if entries, err := fs.ReadDir(folder.fsys, folder.join(dir).path); err == nil {
			for _, entry := range entries {
				known = append(known, strings.TrimSuffix(entry.Name(), path.Ext(entry.Name())))
			}
		}
		l.add(at.Errorf("the role has no file %s", folder.join(dir).join(stem).display+".yml").WithHint(diag.DidYouMean(name, known)))
	}
	return location{}, false
}

// roleVars reads defaults/ or vars/ of a role: a file main.yml, or a folder main
// of files. Each is read once.
func (l *loader) roleVars(folder location, dir, name string, at *syntax.Node) *scope.Vars {
	p, ok := l.roleFile(folder, dir, name, at)
	if !ok {
		return nil
	}
	if vars, done := l.defaults[p.display]; done {
		return vars
	}
	vars := l.varsAt(p, at.Range)
	l.defaults[p.display] = vars
	return vars
}

func (l *loader) varsAt(p location, at diag.Range) *scope.Vars {
	info, err := p.stat()
	if err != nil || !info.IsDir() {
		return l.varsFile(p, at)
	}
	entries, err := fs.ReadDir(p.fsys, p.path)
	if err != nil {
		l.add(diag.New(at, "%s: cannot be read: %s", p.display, reason(err)))
		return nil
	}
	var all *scope.Vars
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || strings.HasSuffix(entry.Name(), "~") || !slices.Contains(roleExtensions, path.Ext(entry.Name())) {
			continue
		}
		all = l.varsAt(p.join(entry.Name()), at).Over(all)
	}
	return all
}

// meta is what meta/main.yml says.
type meta struct {
	dependencies []*syntax.Node
	again        bool // allow_duplicates
	specs        *syntax.Node
}

func (l *loader) roleMeta(folder location, at *syntax.Node) meta {
	var m meta
	if p, ok := l.roleFile(folder, "meta", "", at); ok {
		if root, ok := l.read(p, at.Range); ok && root.Kind != syntax.Null {
			l.readMeta(root, &m)
		}
	}
	for _, name := range []string{"argument_specs.yml", "argument_specs.yaml"} {
		p := folder.join("meta").join(name)
		if there, err := p.exists(); err != nil || !there {
			continue // a folder meta that cannot be looked at was reported for main
		}
		if root, ok := l.read(p, at.Range); ok && root.Kind != syntax.Null {
			if f, err := root.Fields(); err != nil {
				l.addError(root.Range, err)
			} else {
				*l.found = append(*l.found, f.Unknown("argument_specs")...)
				m.specs, _ = f.Get("argument_specs")
			}
		}
	}
	return m
}

func (l *loader) readMeta(root *syntax.Node, m *meta) {
	f, err := root.Fields()
	if err != nil {
		l.addError(root.Range, err)
		return
	}
	*l.found = append(*l.found, f.Unknown("dependencies", "allow_duplicates", "galaxy_info", "argument_specs", "collections", "standalone")...)
	if node, ok := f.Get("collections"); ok {
		l.readCollections(node, nil)
	}
	if node, ok := f.Get("dependencies"); ok {
		items, err := node.AsList()
		l.addError(node.Range, err)
		m.dependencies = items
	}
	if node, ok := f.Get("allow_duplicates"); ok {
		m.again, err = node.AsBool()
		l.addError(node.Range, err)
	}
	m.specs, _ = f.Get("argument_specs")
}

// dependencies reads the roles that must run before r, which take over its tags
// and conditions.
func (l *loader) dependencies(r *Role, m meta, around surroundings) []Step {
	var steps []Step
	for _, item := range m.dependencies {
		steps = append(steps, l.roleEntry(item, around, r)...)
	}
	return steps
}

// public are the layers of a role that the whole play sees.
func (r *Role) public() []scope.Layer {
	return []scope.Layer{
		{Level: scope.RoleDefaults, Vars: r.defaults},
		{Level: scope.RoleVars, Vars: r.given},
		{Level: scope.RoleVars, Vars: r.vars},
	}
}

// layers are what the role's own tasks see, weakest first: what it depends on,
// what depends on it, itself.
func (r *Role) layers() []scope.Layer {
	var layers []scope.Layer
	for _, needed := range r.needs {
		layers = append(layers, needed.public()...)
	}
	var parents []any
	for parent := r.Parent; parent != nil; parent = parent.Parent {
		layers = append(slices.Clone(parent.ownLayers()), layers...)
		parents = append(parents, parent.Name)
	}
	layers = append(layers, r.ownLayers()...)
	names := map[string]any{
		"role_name": r.Name, "ansible_role_name": r.Name, "role_path": r.Dir, "ansible_parent_role_names": parents,
	}
	layers = append(layers, scope.Layer{Level: scope.Magic, Vars: scope.Plain(names, r.Range)})
	return slices.DeleteFunc(layers, func(layer scope.Layer) bool { return layer.Vars.Len() == 0 })
}

func (r *Role) ownLayers() []scope.Layer {
	return append(r.public(), scope.Layer{Level: scope.RoleParams, Vars: r.params})
}

// roleHandlers adds the role's handlers to the play's, once however often it is
// used.
func (l *loader) roleHandlers(r *Role, files roleFiles, around surroundings, at *syntax.Node) {
	p, ok := l.roleFile(r.folder, "handlers", files.handlers, at)
	if !ok {
		return
	}
	handlers := &around.play.Handlers
	if slices.ContainsFunc(*handlers, func(h *Handler) bool { return h.source == p.display }) {
		return
	}
	root, ok := l.read(p, at.Range)
	if !ok || root.Kind == syntax.Null {
		return
	}
	around.dir = p.dir()
	around.inherited.When = nil // a notified handler runs whatever the tasks' conditions
	for _, h := range l.handlers(root, around) {
		h.source = p.display
		*handlers = append(*handlers, h)
	}
}

func (l *loader) roleTasks(r *Role, name string, around surroundings, at *syntax.Node) []Step {
	p, ok := l.roleFile(r.folder, "tasks", name, at)
	if !ok {
		return nil
	}
	if slices.Contains(around.chain, p.display) {
		l.add(at.Errorf("%s leads to itself", p.display))
		return nil
	}
	return l.fileSteps(p, at.Range, around)
}
