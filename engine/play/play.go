// Package play turns playbooks, roles and the files they include into checked
// values. Everything that can be known before a host is contacted is checked
// here: keywords, modules and their arguments, expressions and templates,
// handlers, files, tags. All faults come at once, each with its place.
//
// Keywords that Ansible has and rbdplay does not are refused as "not supported
// yet", never ignored. Every field of the types below that comes from a keyword
// must be obeyed by the engine.
//
// What a task takes over from its play, role and blocks (become, tags, when,
// environment, variables, …) is already merged into the Task: the engine reads
// it there and need not look outwards.
package play

import (
	"context"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
	"github.com/rbdplay/rbdplay/inventory"
	"github.com/rbdplay/rbdplay/modules"
)

// Playbook is a checked playbook.
type Playbook struct {
	Name  string // the file, as it was given
	Dir   string // its folder: the variable playbook_dir
	Plays []*Play
	// Tags lists every tag that any task has, sorted; always and never are left
	// out.
	Tags []string

	files *fileSearch // beside the playbook
}

// Play is one play. Its tasks already carry what they inherit.
type Play struct {
	Name  string // the name, or the hosts' pattern when it has none
	Range diag.Range
	Hosts *Hosts

	GatherFacts   *Setting[bool] // nil: not said, which means yes
	Gathering     *Arguments     // of setup, when facts are gathered
	Prompts       []*Prompt      // vars_prompt: what to ask a person for
	Layers        []scope.Layer  // vars, vars_files, and the public variables of its roles; weakest first
	HostVarsFiles []*VarsFile    // of vars_files, those that each host reads for itself; they count over Layers
	Roles         []*Role        // every role that the play uses without asking at run time
	Stages        []Stage        // pre_tasks, roles, tasks, post_tasks; handlers are flushed after each
	Invariants    []*Invariant   // hold before the first batch and after each, on all hosts of the play
	Handlers      []*Handler     // in the order in which they run
	Serial        []BatchSize    // nil: all hosts at once
	Order         Order          // of the hosts
	Strategy      Strategy
	MaxFail       *Setting[float64] // max_fail_percentage; nil: not said
	ForceHandlers *Setting[bool]    // run notified handlers of failed hosts too
	Inherited     Inherited         // what gather_facts runs with

	title *template.Value
}

// Title is the play's name as shown: rendered, as far as it can be. It never
// fails: what cannot be rendered stands as written.
func (p *Play) Title(ctx context.Context, s expression.Scope) string {
	if p.title != nil {
		if value, err := p.title.RenderPlain(ctx, s); err == nil {
			return expression.Text(value)
		}
	}
	return p.Name
}

// Stage is a part of a play after which notified handlers are flushed.
type Stage struct {
	Name  string // "pre_tasks", "tasks" (roles and tasks), "post_tasks"
	Steps []Step
}

// Order is the order in which a play takes its hosts.
type Order string

// The orders.
const (
	InventoryOrder        Order = "inventory"
	ReverseInventoryOrder Order = "reverse_inventory"
	SortedOrder           Order = "sorted"
	ReverseSortedOrder    Order = "reverse_sorted"
	ShuffledOrder         Order = "shuffle"
)

// Strategy says which hosts wait for which.
type Strategy string

// The strategies.
const (
	Linear     Strategy = "" // nobody begins a task before everybody has ended the one before
	Free       Strategy = "free"
	HostPinned Strategy = "host_pinned" // free, and a host keeps its place until it has ended the play
)

// Hosts is the value of a play's `hosts:`.
type Hosts struct {
	Range   diag.Range
	Text    string             // as written
	pattern *inventory.Pattern // nil when it holds a template
	later   *template.Value
}

// BatchSize is one entry of `serial:`: a number of hosts, or a share of them.
type BatchSize struct {
	Count   int     // 0: Percent counts
	Percent float64 // of all hosts of the play; at least one host
}

// Inherited holds the keywords that a play, a role, a block and a task share.
// In a Task they are final. nil means that nobody said anything.
type Inherited struct {
	Become            *Setting[bool]
	BecomeUser        *Setting[string]
	BecomeMethod      *Setting[string] // sudo or su
	BecomeExe         *Setting[string]
	BecomeFlags       *Setting[string]
	Connection        *Setting[string] // ssh or local
	RemoteUser        *Setting[string]
	Port              *Setting[int]
	CheckMode         *Setting[bool] // true: check even in a real run; false: run even in a check
	Diff              *Setting[bool]
	NoLog             *Setting[bool]
	RunOnce           *Setting[bool]
	IgnoreErrors      *Setting[bool]
	IgnoreUnreachable *Setting[bool]
	AnyErrorsFatal    *Setting[bool]
	Throttle          *Setting[int]
	Timeout           *Setting[time.Duration] // of each attempt; 0: none
	DelegateTo        *Setting[string]
	DelegateFacts     *Setting[bool]
	Environment       []*template.Value // mappings; later ones win. Use Env.
	Tags              []string          // its own and all inherited, each once
	When              []*Condition      // the outer ones first; all must hold
}

// Step is what a stage, a block or an include consists of: a *Task or a *Block.
type Step interface {
	step()
	// Place is where the step is written.
	Place() diag.Range
}

// Block is a group of steps with a rescue or an always part. Its keywords are
// already in its tasks; Inherited is here for its vars, tags and when.
type Block struct {
	Inherited
	Name   string
	Range  diag.Range
	Layers []scope.Layer
	Steps  []Step
	Rescue []Step // runs on a host when one of Steps failed there; nil: none
	Always []Step
}

// Action says what kind of thing a Task does.
type Action int

// The actions. What is imported stands in line already and is none of them.
const (
	RunModule    Action = iota // Spec and Args
	RunMeta                    // Meta
	IncludeTasks               // Include
	IncludeRole                // Include
	ValidateArgs               // ArgumentSpec: the arguments of a role are checked
)

// Meta is what a `meta:` task asks of the engine.
type Meta string

// The metas that are supported.
const (
	FlushHandlers   Meta = "flush_handlers"
	EndPlay         Meta = "end_play"
	EndBatch        Meta = "end_batch"
	EndHost         Meta = "end_host"
	EndRole         Meta = "end_role"
	ClearHostErrors Meta = "clear_host_errors"
	ClearFacts      Meta = "clear_facts"
	Refresh         Meta = "refresh_inventory"
	Reset           Meta = "reset_connection"
	Noop            Meta = "noop"
)

// Task is one task.
type Task struct {
	Inherited
	ID     int    // unique in the playbook, in the order of reading; unchanged by a second Load
	Name   string // as written, templates and all; "" when it has none. Use Title.
	Module string // as written: "copy", "ansible.builtin.copy"
	Range  diag.Range
	Role   *Role         // nil outside of roles
	Layers []scope.Layer // of its blocks, role and itself, weakest first; put before the host's scope

	Action Action
	Spec   *modules.Spec // of RunModule
	Args   *Arguments    // of RunModule
	// That holds the conditions of assert; Var the expression of debug's var; Facts
	// says that set_fact's values are cacheable. Args lacks these then.
	That []*Condition
	Var  *expression.Expression

	Meta         Meta
	Include      *Include
	ArgumentSpec *ArgumentSpec

	Loop        *Loop
	LoopControl LoopControl
	Register    string
	Until       []*Condition
	Retries     *Setting[int]           // nil: 3 when Until is given; without Until the task is to succeed
	Delay       *Setting[time.Duration] // nil: 5 s
	Async       *Setting[int]           // seconds that a job may take; nil or 0: no job
	Poll        *Setting[int]           // 0: the job is not waited for; nil: 15
	ChangedWhen []*Condition            // nil: the module decides
	FailedWhen  []*Condition
	Notify      []*Notify

	title  *template.Value
	files  *fileSearch
	listen []string // of a handler in a file that handlers import
}

// Handler is a task that runs when it was notified.
type Handler struct {
	Task
	Listen []string

	source string // the file it stands in, of a role's
}

// Notify is one entry of `notify:`.
type Notify struct {
	Range    diag.Range
	Text     string     // as written
	Handlers []*Handler // what it means; nil when Text holds a template: use Play.HandlersFor
	later    *template.Value
}

// LoopControl is the value of `loop_control:`.
type LoopControl struct {
	Var      string          // "item" when not said
	IndexVar string          // "" when not said
	Label    *template.Value // nil: the item itself
	Pause    *Setting[time.Duration]
	Extended *Setting[bool] // ansible_loop is set
	AllItems *Setting[bool] // ansible_loop.allitems is; nil: yes
	// BreakWhen ends the loop after the item for which it holds.
	BreakWhen []*Condition
}

// Include is the value of include_tasks and include_role. What it names is
// loaded and checked with the playbook when the name holds no template.
type Include struct {
	File  *Setting[string] // of include_tasks
	Role  *Setting[string] // of include_role
	Range diag.Range

	loader *loader
	around surroundings
	from   roleFiles
	mu     sync.Mutex
	node   *syntax.Node
	loaded map[string][]Step    // by the name rendered
	shows  map[string]*Exposure // the same; of those with public: yes
}

// Role is a role as one place uses it.
type Role struct {
	Name   string
	Dir    string // its folder: the variable role_path
	Range  diag.Range
	Parent *Role // the role that depends on it or imports it; nil for a play's own
	// Use is the same for uses that count as one: those with the same name, files,
	// parameters, tags and condition of their own. Unless Again, tasks of a use are
	// left out on a host on which one with the same Use has come to its RoleEnd.
	Use   string
	Again bool

	folder   location
	defaults *scope.Vars
	vars     *scope.Vars // vars/main.yml
	given    *scope.Vars // vars: where the role is used
	params   *scope.Vars
	needs    []*Role
}

// RoleEnd stands behind the steps of a use of a role.
type RoleEnd struct{ Role *Role }

// Exposure is what a role that is included with public: yes shows to the rest of
// the play.
type Exposure struct {
	Roles  []*Role
	Layers []scope.Layer // weakest first
}

func (*Task) step()    {}
func (*Block) step()   {}
func (*RoleEnd) step() {}

// Place implements Step.
func (t *Task) Place() diag.Range { return t.Range }

// Place implements Step.
func (b *Block) Place() diag.Range { return b.Range }

// Place implements Step.
func (e *RoleEnd) Place() diag.Range { return e.Role.Range }

// Scope is the scope of the task on a host: its variables before those of s.
func (t *Task) Scope(s *scope.Scope) *scope.Scope {
	return s.WithLayers(t.Layers).Asking(&asker{files: t.files, task: t})
}

// Title is the task's name as shown: rendered, as far as it can be; the module's
// name when it has none. It never fails: what cannot be rendered stands as
// written.
func (t *Task) Title(ctx context.Context, s expression.Scope) string {
	name := t.Name
	if t.title != nil {
		if value, err := t.title.Render(ctx, s); err == nil {
			if text, ok := value.(string); ok {
				name = text
			}
		}
	}
	if name == "" {
		name = t.Module
	}
	return name
}
