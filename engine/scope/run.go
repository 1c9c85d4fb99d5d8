package scope

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/template"
	"github.com/rbdplay/rbdplay/inventory"
)

// Options are what a run knows before it starts.
type Options struct {
	Extra       *Vars // -e
	Check, Diff bool
	PlaybookDir string
	Asker       any // who asks outside of tasks (see Scope.Asking); nil: nobody
	// Magic holds further magic variables of the whole run, such as
	// ansible_run_tags. They are never rendered.
	Magic map[string]any
}

// Run is what all hosts and plays of a run share: the hosts with their
// variables, the extra vars, the magic variables. Safe for concurrent use.
type Run struct {
	env      *expression.Environment
	root     *Scope // extra vars and the magic variables of every host
	hostvars hostvars

	mu        sync.RWMutex
	inventory *inventory.Inventory
	hosts     map[string]*Host
	groups    map[string]any
}

// NewRun compiles the variables of the inventory, each once however many hosts
// have it. Faults in their templates are all reported; the Run is then nil.
func NewRun(env *expression.Environment, inv *inventory.Inventory, o Options) (*Run, diag.List) {
	r := &Run{env: env, inventory: inv, hosts: map[string]*Host{}, groups: groupsOf(inv)}
	r.hostvars.run = r
	r.root = (*Scope)(nil).With(ExtraVars, o.Extra).With(Magic, r.magic(o))
	if o.Asker != nil {
		r.root = r.root.Asking(o.Asker)
	}
	c := compiler{env: env, done: map[*inventory.Variable]variable{}}
	for _, h := range allOf(inv) {
		r.hosts[h.Name] = r.newHost(h, &c)
	}
	if c.found.HasErrors() {
		return nil, c.found
	}
	return r, c.found
}

func allOf(inv *inventory.Inventory) []*inventory.Host {
	hosts := inv.Hosts()
	if local, _ := inv.Host("localhost"); local.Implicit {
		hosts = append(hosts, local)
	}
	return hosts
}

// SetInventory puts another inventory in the place of the one before. touched
// names the known hosts whose variables or groups may be others now. What hosts
// have learnt stays, also that of hosts that are no longer there. On an error
// nothing has changed.
func (r *Run) SetInventory(inv *inventory.Inventory, touched []string) diag.List {
	c := compiler{env: r.env, done: map[*inventory.Variable]variable{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	var changes []func()
	for _, from := range allOf(inv) {
		h := r.hosts[from.Name]
		if h == nil {
			made := r.newHost(from, &c)
			changes = append(changes, func() { r.hosts[made.Name] = made })
		} else if slices.Contains(touched, from.Name) {
			written := c.written(from)
			changes = append(changes, func() { h.settle(from, written) })
		}
	}
	if c.found.HasErrors() {
		return c.found
	}
	for _, change := range changes {
		change()
	}
	r.inventory, r.groups = inv, groupsOf(inv)
	return c.found
}

// compiler turns the inventory's variables into ours; a group's is shared.
type compiler struct {
	env   *expression.Environment
	done  map[*inventory.Variable]variable
	found diag.List
}

func (c *compiler) variable(from *inventory.Variable) variable {
	if v, ok := c.done[from]; ok {
		return v
	}
	v := variable{at: from.Range, level: Level(from.Layer)}
	var err error
	switch {
	case from.Plain:
		v.plain = from.Value
	case from.Node != nil:
		v.rendered, err = template.CompileValue(c.env, from.Node)
	default:
		v.rendered, err = template.CompileAny(c.env, from.Value, from.Range)
	}
	if err != nil {
		c.found.AddError(from.Range, err)
	}
	c.done[from] = v
	return v
}

func (c *compiler) written(from *inventory.Host) *Vars {
	written := &Vars{variables: map[string]variable{}}
	for _, name := range from.VariableNames() {
		v, _ := from.Variable(name)
		written.variables[name] = c.variable(v)
	}
	return written
}

// computed makes a magic variable.
func computed(give func(ctx context.Context, asking *Scope) (any, error)) variable {
	return variable{computed: give}
}

func fixed(value any) variable { return variable{plain: value} }

func (r *Run) magic(o Options) *Vars {
	v := &Vars{variables: map[string]variable{
		"groups": computed(func(context.Context, *Scope) (any, error) {
			r.mu.RLock()
			defer r.mu.RUnlock()
			return r.groups, nil
		}),
		"hostvars":           fixed(&r.hostvars),
		"ansible_check_mode": fixed(o.Check),
		"ansible_diff_mode":  fixed(o.Diff),
		"playbook_dir":       fixed(o.PlaybookDir),
		"omit":               fixed(Omit),
		"vars": computed(func(_ context.Context, asking *Scope) (any, error) {
			return everything{asking}, nil
		}),
	}}
	for name, value := range o.Magic {
		v.variables[name] = fixed(value)
	}
	return v
}

func groupsOf(inv *inventory.Inventory) map[string]any {
	groups := map[string]any{}
	for _, g := range inv.Groups() {
		names := []any{}
		for _, h := range g.Hosts() {
			names = append(names, h.Name)
		}
		groups[g.Name] = names
	}
	return groups
}

// Host finds a host of the run; "localhost" is always there.
func (r *Run) Host(name string) (*Host, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if h, ok := r.hosts[name]; ok {
		return h, true
	}
	if h, ok := r.inventory.Host(name); ok {
		return r.hosts[h.Name], true
	}
	return nil, false
}

// Scope has what is known without any host: the extra vars, groups, hostvars.
// `hosts:` and the names of imported files are rendered with it.
func (r *Run) Scope() *Scope { return r.root }

// Host is what is known of one host. Its facts and registered variables may be
// set by the goroutine that works for it while others read them through
// hostvars.
type Host struct {
	Name string

	run        *Run
	facts      store // ansible_NAME, at the level of facts
	factTable  factTable
	included   store
	registered store
	written    swapped // the inventory's variables
	magic      swapped // those that are its own
	scope      *Scope  // without any play
}

func (r *Run) newHost(from *inventory.Host, c *compiler) *Host {
	h := &Host{Name: from.Name, run: r}
	h.settle(from, c.written(from))
	h.scope = h.frames(&Scope{outer: r.root, level: Magic, source: &h.magic})
	return h
}

// settle takes what the inventory says of the host.
func (h *Host) settle(from *inventory.Host, written *Vars) {
	h.written.vars.Store(written)
	h.magic.vars.Store(h.ownMagic(from))
}

// frames puts the host's own variables before s.
func (h *Host) frames(s *Scope) *Scope {
	s = &Scope{outer: s, level: InventoryHost, source: &h.written}
	s = &Scope{outer: s, level: Facts, source: &h.facts}
	s = &Scope{outer: s, level: IncludeVars, source: &h.included}
	return &Scope{outer: s, level: Registered, source: &h.registered}
}

func (h *Host) ownMagic(from *inventory.Host) *Vars {
	short, _, _ := strings.Cut(from.Name, ".")
	names := []any{}
	for _, name := range from.GroupNames() {
		names = append(names, name)
	}
	v := &Vars{variables: map[string]variable{
		"inventory_hostname":       fixed(from.Name),
		"inventory_hostname_short": fixed(short),
		"group_names":              fixed(names),
		"ansible_facts":            fixed(&h.factTable),
	}}
	if file := from.Range.File; file != "" {
		if absolute, err := filepath.Abs(file); err == nil {
			file = absolute // so that it means the same to a module
		}
		v.variables["inventory_file"] = fixed(file)
		v.variables["inventory_dir"] = fixed(filepath.Dir(file))
	}
	return v
}

// Scope is what hostvars shows of the host: its own variables, without those of
// any play.
func (h *Host) Scope() *Scope { return h.scope }

// Register keeps a task's result under a name. The value is never rendered. It
// must not be changed afterwards.
func (h *Host) Register(name string, value any, at diag.Range) {
	h.registered.set(name, variable{plain: value, at: at})
}

// SetFact keeps a value of set_fact, already rendered. cacheable makes it a fact
// as well, which outlives nothing here but has a lower rank.
func (h *Host) SetFact(name string, value any, cacheable bool, at diag.Range) {
	h.registered.set(name, variable{plain: value, at: at})
	if cacheable {
		h.factTable.set(name, value)
		h.facts.set(name, variable{plain: value, at: at})
	}
}

// SetFacts keeps gathered facts, named without the prefix ansible_
// ("distribution"). They are found in ansible_facts, and with the prefix by
// themselves. A name that is there already gets the new value.
func (h *Host) SetFacts(facts map[string]any, at diag.Range) {
	for name, value := range facts {
		bare := strings.TrimPrefix(name, "ansible_")
		h.factTable.set(bare, value)
		h.facts.set("ansible_"+bare, variable{plain: value, at: at})
	}
}

// ClearFacts forgets the facts, as `meta: clear_facts` asks.
func (h *Host) ClearFacts() {
	h.factTable.clear()
	h.facts.clear()
}

// HasFacts reports whether facts were set.
func (h *Host) HasFacts() bool { return len(h.factTable.Keys()) > 0 }

// Include adds the variables of include_vars.
func (h *Host) Include(vars *Vars) {
	if vars == nil {
		return
	}
	for name, v := range vars.variables {
		h.included.set(name, v)
	}
}

// factTable is the value of ansible_facts.
type factTable struct {
	mu    sync.RWMutex
	facts map[string]any
}

func (t *factTable) set(name string, value any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.facts == nil {
		t.facts = map[string]any{}
	}
	t.facts[name] = value
}

func (t *factTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.facts = nil
}

// Get implements expression.Object.
func (t *factTable) Get(_ context.Context, key string) (any, bool, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	value, ok := t.facts[key]
	return value, ok, nil
}

// Keys implements expression.Object.
func (t *factTable) Keys() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(maps.Keys(t.facts))
}

// hostvars is the magic variable: each host's own scope, read when asked.
type hostvars struct{ run *Run }

// Get implements expression.Object.
func (v *hostvars) Get(_ context.Context, key string) (any, bool, error) {
	h, ok := v.run.Host(key)
	if !ok {
		return nil, false, nil
	}
	return everything{h.scope}, true, nil
}

// Keys implements expression.Object. The implicit localhost is not among them.
func (v *hostvars) Keys() []string {
	v.run.mu.RLock()
	hosts := v.run.inventory.Hosts()
	v.run.mu.RUnlock()
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

// everything shows a scope as a mapping.
type everything struct{ scope *Scope }

// Get implements expression.Object.
func (e everything) Get(ctx context.Context, key string) (any, bool, error) {
	return e.scope.Lookup(ctx, key)
}

// Keys implements expression.Object. The names that lead back to whole scopes
// are left out, so that printing one ends.
func (e everything) Keys() []string {
	return slices.DeleteFunc(e.scope.Names(), func(name string) bool {
		return name == "hostvars" || name == "vars" || name == "omit"
	})
}

// omitted is the type of Omit.
type omitted struct{}

func (*omitted) String() string { return "(omit)" }

// Omit is the value of the variable omit: an argument that is it counts as not
// given.
var Omit = &omitted{}

// WithoutOmitted takes out of a rendered value every entry of a mapping and
// every item of a list that is Omit, at any depth. omitted reports whether the
// value itself is.
func WithoutOmitted(value any) (rest any, isOmit bool) {
	switch v := value.(type) {
	case *omitted:
		return nil, true
	case []any:
		list := make([]any, 0, len(v))
		for _, item := range v {
			if item, gone := WithoutOmitted(item); !gone {
				list = append(list, item)
			}
		}
		return list, false
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, item := range v {
			if item, gone := WithoutOmitted(item); !gone {
				m[key] = item
			}
		}
		return m, false
	}
	return value, false
}

// PlayOptions are what a play adds to each host's scope.
type PlayOptions struct {
	Name   string
	Hosts  []string // all the play's hosts, in order
	Layers []Layer  // its variables and those of its roles, weakest first
	Roles  []string // names, for ansible_play_role_names
	// Dependent are the roles that those bring, for ansible_dependent_role_names.
	Dependent []string
}

// Play is a run's play: its variables before those of each host. The hosts that
// are still in it are set as it goes on.
type Play struct {
	run   *Run
	hosts []string

	mu        sync.RWMutex
	layers    []Layer
	magic     *Vars
	scopes    map[string]*Scope
	active    []any
	batch     []any
	roles     []any
	dependent []any
}

// Play opens a play. All its hosts count as active until SetHosts says less.
func (r *Run) Play(o PlayOptions) (*Play, error) {
	p := &Play{run: r, hosts: o.Hosts, layers: o.Layers, scopes: map[string]*Scope{}}
	p.active, p.batch = anyList(o.Hosts), anyList(o.Hosts)
	p.roles, p.dependent = anyList(o.Roles), anyList(o.Dependent)
	active := computed(func(context.Context, *Scope) (any, error) { return p.list(&p.active), nil })
	p.magic = &Vars{variables: map[string]variable{
		"ansible_play_name":       fixed(o.Name),
		"ansible_play_hosts_all":  fixed(anyList(o.Hosts)),
		"ansible_play_hosts":      active,
		"play_hosts":              active,
		"ansible_play_batch":      computed(func(context.Context, *Scope) (any, error) { return p.list(&p.batch), nil }),
		"ansible_play_role_names": computed(func(context.Context, *Scope) (any, error) { return p.list(&p.roles), nil }),

		"ansible_dependent_role_names": computed(func(context.Context, *Scope) (any, error) { return p.list(&p.dependent), nil }),
		"ansible_role_names": computed(func(context.Context, *Scope) (any, error) {
			return slices.Concat(p.list(&p.roles), p.list(&p.dependent)), nil
		}),
	}}
	for _, name := range o.Hosts {
		if _, ok := r.Host(name); !ok {
			return nil, fmt.Errorf("host %s is not in the inventory", name)
		}
		p.scopes[name] = p.open(name)
	}
	return p, nil
}

func (p *Play) open(name string) *Scope {
	h, _ := p.run.Host(name)
	return h.scope.With(Magic, p.magic).WithLayers(p.layers)
}

// Scope is the scope of one of the play's hosts; tasks put their own variables
// before it. It is nil for a host that is not in the play.
func (p *Play) Scope(host string) *Scope {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.scopes[host]
}

// Expose shows further variables to all hosts of the play, and the names of the
// roles that have them. Scopes that were handed out before do not change.
func (p *Play) Expose(layers []Layer, roles, dependent []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.layers = slices.Concat(p.layers, layers)
	p.roles, p.dependent = slices.Concat(p.roles, anyList(roles)), slices.Concat(p.dependent, anyList(dependent))
	for _, name := range p.hosts {
		p.scopes[name] = p.open(name)
	}
}

// SetHosts says which hosts are still in the play (ansible_play_hosts) and which
// of them are in the batch that runs now (ansible_play_batch).
func (p *Play) SetHosts(active, batch []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active, p.batch = anyList(active), anyList(batch)
}

func (p *Play) list(which *[]any) []any {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return *which
}

func anyList(names []string) []any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}

// Connection reads how to reach the host called name from the variables that s
// sees.
func (s *Scope) Connection(ctx context.Context, name string) (inventory.Connection, error) {
	return inventory.ConnectionOf(name, func(variable string) (any, diag.Range, bool, error) {
		_, at, ok := s.Where(variable)
		if !ok {
			return nil, at, false, nil
		}
		value, ok, err := s.Lookup(ctx, variable)
		if err == nil {
			value, err = expression.Plain(ctx, value)
		}
		return value, at, ok, err
	})
}
