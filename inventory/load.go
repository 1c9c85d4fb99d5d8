package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/lazy"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/vault"
)

// Options say what belongs to an inventory besides its sources.
type Options struct {
	// Playbook is the folder of the playbook, whose group_vars and host_vars count
	// as well; nil when there is none.
	Playbook fs.FS
	// PlaybookName is how messages name that folder: "site", "ha-minimal".
	PlaybookName string
	// Vault has the passwords of encrypted files and values; nil has none.
	Vault *vault.Keyring
	// Sources remembers the text of the files that were read; may be nil.
	Sources *diag.Sources
}

// Load reads the sources: paths of files and directories, and host lists, which
// are recognised by their comma ("web1,web2,"). Every fault is reported; the
// inventory is nil when the list has errors. Cancelling ctx ends it between
// files.
func Load(ctx context.Context, sources []string, options Options) (*Inventory, diag.List) {
	l := &loader{ctx: ctx, vault: options.Vault, sources: options.Sources, hosts: map[string]*Host{}, groups: map[string]*Group{}}
	if l.sources == nil {
		l.sources = &diag.Sources{}
	}
	l.all = l.group(allName, diag.Range{})
	l.ungrouped = l.group(ungroupedName, diag.Range{})
	for _, source := range sources {
		l.source(source)
	}
	inv := l.assemble(sources)
	for _, folder := range l.beside {
		l.varsFolders(folder, AllBesideInventory, GroupBesideInventory, HostBesideInventory)
	}
	if options.Playbook != nil {
		l.playbook = &folder{fsys: options.Playbook, path: ".", display: options.PlaybookName}
		l.varsFolders(*l.playbook, AllBesidePlaybook, GroupBesidePlaybook, HostBesidePlaybook)
	}
	l.settle(inv)
	l.checkConnections(inv)
	inv.loader = l
	l.found.AddError(diag.Range{}, ctx.Err())
	l.found.Sort()
	if l.found.HasErrors() {
		return nil, l.found
	}
	return inv, l.found
}

// folder is a place beside which group_vars and host_vars may lie.
type folder struct {
	fsys    fs.FS
	path    string
	display string
}

func (f folder) join(name string) folder {
	f.path = path.Join(f.path, name)
	f.display = filepath.Join(f.display, name)
	return f
}

type loader struct {
	ctx        context.Context //nolint:containedctx // lives as long as the call of Load
	vault      *vault.Keyring
	sources    *diag.Sources
	learn      func(secret string) // takes the values of the file that is read, when it was encrypted
	found      diag.List
	hosts      map[string]*Host
	hostOrder  []*Host
	groups     map[string]*Group
	groupOrder []*Group
	all        *Group
	ungrouped  *Group
	hostVars   map[*Host][]*Variable
	beside     []folder
	playbook   *folder // nil: none
	implicit   *Host
}

func (l *loader) group(name string, at diag.Range) *Group {
	g := l.groups[name]
	if g == nil {
		g = &Group{Name: name, Range: at, Priority: 1}
		l.groups[name] = g
		l.groupOrder = append(l.groupOrder, g)
		if name != allName && name != ungroupedName {
			l.checkName("group", name, at)
		}
	}
	return g
}

func (l *loader) host(name string, at diag.Range) *Host {
	h := l.hosts[name]
	if h == nil {
		h = &Host{Name: name, Range: at, variables: map[string][]*Variable{}}
		l.hosts[name] = h
		l.hostOrder = append(l.hostOrder, h)
		l.checkName("host", name, at)
	}
	return h
}

// checkName refuses names that a pattern could never mean.
func (l *loader) checkName(what, name string, at diag.Range) {
	if name == "" || strings.ContainsAny(name, " \t!&,*?[]{}~") || strings.HasPrefix(name, "-") {
		l.found.Add(diag.New(at, "%q is no name for a %s", name, what).
			WithHint("a name has no spaces and none of ! & , * ? [ ] { } ~; those mean something in patterns"))
	}
}

func (g *Group) add(h *Host) {
	if !slices.Contains(g.hosts, h) {
		g.hosts = append(g.hosts, h)
	}
}

func (g *Group) adopt(child *Group) {
	if !slices.Contains(g.children, child) {
		g.children = append(g.children, child)
		child.parents = append(child.parents, g)
	}
}

// source reads one -i.
func (l *loader) source(source string) {
	if strings.Contains(source, ",") {
		l.hostList(source)
		return
	}
	info, err := os.Stat(source)
	if err != nil {
		d := diag.Diagnostic{Summary: "inventory " + source + ": " + reason(err), Cause: err}
		if errors.Is(err, fs.ErrNotExist) {
			d = d.WithHint("give a file, a folder, or a list of hosts with a comma, such as \"" + source + ",\"")
		}
		l.found.Add(d)
		return
	}
	if info.IsDir() {
		l.besideFolder(source)
		l.directory(source)
		return
	}
	if info.Mode().IsRegular() {
		l.besideFolder(filepath.Dir(source))
	}
	l.file(source, info)
}

// reason is an error without the path, which the message names already.
func reason(err error) string {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}

func (l *loader) besideFolder(dir string) {
	if !slices.ContainsFunc(l.beside, func(f folder) bool { return f.display == dir }) {
		l.beside = append(l.beside, folder{fsys: os.DirFS(dir), path: ".", display: dir})
	}
}

func (l *loader) hostList(source string) {
	for part := range strings.SplitSeq(source, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		at := diag.Range{File: source}
		for _, h := range l.hostPattern(part, diag.Fixed(at)) {
			l.ungrouped.add(h)
		}
	}
}

// Files in a directory of inventories that are none, as Ansible has them; it
// leaves out .ini too, which would drop an inventory without a word.
var notInventory = lazy.Regexp(`^\.|~$|\.(?:pyc|pyo|swp|bak|rpm|md|txt|rst|orig|cfg|retry)$`)

func (l *loader) directory(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.found.Add(diag.Diagnostic{Summary: "inventory " + dir + ": " + reason(err), Cause: err})
		return
	}
	for _, entry := range entries {
		name := entry.Name()
		if notInventory().MatchString(name) || name == "group_vars" || name == "host_vars" {
			continue
		}
		full := filepath.Join(dir, name)
		info, err := os.Stat(full)
		switch {
		case err != nil:
			l.found.Add(diag.Diagnostic{Summary: "inventory " + full + ": " + reason(err), Cause: err})
		case info.IsDir():
			l.directory(full)
		default:
			l.file(full, info)
		}
	}
}

func (l *loader) file(name string, info fs.FileInfo) {
	if l.ctx.Err() != nil {
		return
	}
	at := diag.Range{File: name}
	// A pipe is what the shell's <(…) gives; it can be read once, which is enough.
	if mode := info.Mode(); !mode.IsRegular() && mode&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		l.found.Add(diag.New(at, "the inventory is no regular file"))
		return
	}
	text, err := os.ReadFile(name)
	if err != nil {
		l.found.Add(diag.Diagnostic{Range: at, Summary: "cannot be read: " + reason(err), Cause: err})
		return
	}
	if isProgram(text, uint32(info.Mode().Perm())) {
		l.script(name)
		return
	}
	plain, encrypted, err := l.vault.File(name, text)
	switch {
	case err != nil:
		l.found.AddError(at, err)
	case bytes.HasPrefix(plain, []byte("#!")):
		l.sources.Add(name, text)
		l.found.Add(diag.New(at, "the inventory begins like a program, but may not be executed").WithHint("chmod +x " + name))
	case looksLikeYAML(name, plain):
		l.yaml(name, text)
	case encrypted:
		l.encryptedINI(name, plain)
	default:
		l.sources.Add(name, text)
		l.ini(name, text)
	}
}

// encryptedINI reads an INI file that was encrypted: its values are secret, and
// findings keep only their place.
func (l *loader) encryptedINI(name string, plain []byte) {
	before := len(l.found)
	l.learn = l.vault.Learn
	l.ini(name, plain)
	l.learn = nil
	for i := range l.found[before:] {
		d := &l.found[before+i]
		*d = diag.Diagnostic{Range: d.Range, Severity: d.Severity, Summary: "what is encrypted here is no inventory (line and column are those of the decrypted text)", Hint: "rbdplay vault edit " + name}
	}
}

// firstYAML matches the first line that says something in a YAML inventory: a
// document start, a flow mapping, or a key with nothing behind it.
var firstYAML = lazy.Regexp(`^(?:---|\{|[^\s\[=]+:\s*(?:#.*)?$)`)

// looksLikeYAML decides by the name, and by the first line that says something
// when the name tells nothing.
func looksLikeYAML(name string, text []byte) bool {
	switch filepath.Ext(name) {
	case ".yml", ".yaml", ".json":
		return true
	case ".ini":
		return false
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		return firstYAML().MatchString(line)
	}
	return false
}

// assemble ties loose groups and hosts to all and ungrouped.
func (l *loader) assemble(sources []string) *Inventory {
	l.all.adopt(l.ungrouped)
	inv := &Inventory{byName: l.hosts, groupName: l.groups, files: slices.Clone(sources)}
	for _, name := range slices.Sorted(mapKeys(l.groups)) {
		inv.groups = append(inv.groups, l.groups[name])
	}
	// The order in which groups were first named is the order of their hosts.
	for _, g := range l.groupOrder {
		if g != l.all && len(g.parents) == 0 {
			l.all.adopt(g)
		}
	}
	l.breakCycles(inv)
	grouped := map[*Host]bool{}
	for _, g := range inv.groups {
		for _, h := range g.hosts {
			grouped[h] = grouped[h] || g != l.all && g != l.ungrouped
		}
	}
	for _, h := range l.hostOrder {
		if !grouped[h] {
			l.ungrouped.add(h)
		}
	}
	l.ungrouped.hosts = slices.DeleteFunc(l.ungrouped.hosts, func(h *Host) bool { return grouped[h] })
	inv.hosts = l.all.members()
	l.implicit = l.implicitLocalhost(inv)
	inv.implicit = l.implicit
	for _, g := range inv.groups {
		if h, both := l.hosts[g.Name]; both {
			d := diag.New(g.Range, "%s is the name of a host and of a group; a pattern means the group", g.Name)
			d.Severity = diag.Warning
			d.Related = []diag.Note{{Text: "the host is named here", Range: h.Range}}
			l.found.Add(d)
		}
	}
	return inv
}

func (l *loader) implicitLocalhost(inv *Inventory) *Host {
	if h, ok := inv.byName[localhostName]; ok {
		return h
	}
	h := &Host{Name: localhostName, Implicit: true, variables: map[string][]*Variable{}}
	l.addHostVar(h, &Variable{Name: "ansible_connection", Value: string(Local), Layer: GroupInFile})
	return h
}

// breakCycles reports groups that contain themselves. The link that closes the
// ring is taken out, so that the rest can be checked.
func (l *loader) breakCycles(inv *Inventory) {
	state := map[*Group]int{} // 1: on the way, 2: done
	var walk func(g *Group)
	walk = func(g *Group) {
		state[g] = 1
		for _, child := range slices.Clone(g.children) {
			if state[child] == 1 {
				l.found.Add(diag.New(g.Range, "the group %s contains itself, by way of %s", child.Name, g.Name))
				g.children = slices.DeleteFunc(g.children, func(c *Group) bool { return c == child })
				child.parents = slices.DeleteFunc(child.parents, func(p *Group) bool { return p == g })
				if len(child.parents) == 0 {
					l.all.adopt(child)
				}
				continue
			}
			if state[child] == 0 {
				walk(child)
			}
		}
		state[g] = 2
	}
	walk(l.all)
	for _, g := range inv.groups {
		if state[g] == 0 {
			walk(g)
		}
	}
}

func (l *loader) addHostVar(h *Host, v *Variable) {
	if l.hostVars == nil {
		l.hostVars = map[*Host][]*Variable{}
	}
	l.hostVars[h] = append(l.hostVars[h], v)
	l.learnValue(v)
}

func (l *loader) learnValue(v *Variable) {
	if _, isTruth := v.Value.(bool); l.learn != nil && v.Value != nil && !isTruth {
		l.learn(fmt.Sprint(v.Value))
	}
}

func (l *loader) addGroupVar(g *Group, v *Variable) {
	v.Group = g.Name
	l.learnValue(v)
	if v.Name != "ansible_group_priority" {
		g.vars = append(g.vars, v)
		return
	}
	priority, ok := v.Value.(int)
	if v.Node != nil {
		n, err := v.Node.AsInt()
		priority, ok = n, err == nil
	}
	if !ok {
		l.found.Add(diag.New(v.Range, "ansible_group_priority must be a whole number"))
		return
	}
	g.Priority = priority
}

// settle works out, for each host, which variable counts.
func (l *loader) settle(inv *Inventory) {
	depth := map[*Group]int{}
	var sink func(g *Group, level int)
	sink = func(g *Group, level int) {
		if old, seen := depth[g]; seen && old >= level {
			return
		}
		depth[g] = level
		g.depth = level
		for _, child := range g.children {
			sink(child, level+1)
		}
	}
	sink(l.all, 0)
	for _, g := range inv.groups {
		for _, h := range g.members() {
			h.groups = append(h.groups, g)
		}
	}
	hosts := inv.hosts
	if inv.implicit.Implicit {
		inv.implicit.groups = []*Group{l.all} // it sees the variables of all, and is not in it
		hosts = append(slices.Clone(hosts), inv.implicit)
	}
	for _, h := range hosts {
		slices.SortFunc(h.groups, weaker)
		l.settleHost(h)
	}
}

func (l *loader) settleHost(h *Host) {
	var all []*Variable // weakest first within a layer
	for _, g := range h.groups {
		all = append(all, g.vars...)
	}
	h.own = l.hostVars[h]
	all = append(all, h.own...)
	slices.SortStableFunc(all, func(a, b *Variable) int { return int(a.Layer) - int(b.Layer) })
	for _, v := range slices.Backward(all) {
		h.variables[v.Name] = append(h.variables[v.Name], v)
	}
}

// parse reads a YAML file; what is wrong with it is noted.
func (l *loader) parse(name string, text []byte) *syntax.Node {
	node, err := l.vault.Parse(name, text, l.sources)
	if err != nil {
		l.found.AddError(diag.Range{File: name}, err)
		return nil
	}
	return node
}
