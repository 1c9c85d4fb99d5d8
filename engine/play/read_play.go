package play

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/scope"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/inventory"
)

// play reads one play.
func (l *loader) play(f *syntax.Fields, around surroundings) {
	l.checkKeywords(f, "a play", playKeywords, slices.Concat(playLater, insidePlay))
	p := &Play{Range: f.Node.Range, Order: InventoryOrder}
	l.playbook.Plays = append(l.playbook.Plays, p)
	p.Range.End = p.Range.Start
	p.Hosts = l.hosts(f)
	l.playSettings(f, p)
	around.play, l.current = p, p
	p.Layers = l.withVars(f, around.layers, scope.PlayVars)
	around.layers = nil
	if home := around.home.variable(); home != l.playbook.Dir {
		own := scope.Plain(map[string]any{"playbook_dir": home}, diag.Range{})
		p.Layers = append(p.Layers, scope.Layer{Level: scope.Magic, Vars: own})
	}
	l.varsFiles(f, p, around)
	around.inherited = l.inherit(f, around.inherited)
	around.defaults = l.moduleDefaults(f, around.defaults)
	p.Inherited = around.inherited
	l.gathering(f, p, around)
	if p.Name == "" && p.Hosts != nil {
		p.Name = p.Hosts.Text
	}
	l.stages(f, p, around)
}

// stages reads everything that runs, in the order in which it does; the roles'
// handlers come before the play's own.
func (l *loader) stages(f *syntax.Fields, p *Play, around surroundings) {
	var own []*Handler
	p.Invariants = l.invariants(f, around)
	pre := l.stepsOf(f, "pre_tasks", around)
	tasks := l.roles(f, around)
	tasks = append(tasks, l.stepsOf(f, "tasks", around)...)
	post := l.stepsOf(f, "post_tasks", around)
	if node, ok := f.Get("handlers"); ok {
		own = l.handlers(node, around)
	}
	p.Handlers = append(p.Handlers, own...)
	p.Stages = []Stage{{"pre_tasks", pre}, {"tasks", tasks}, {"post_tasks", post}}
	l.resolveNotifications()
}

func (l *loader) stepsOf(f *syntax.Fields, key string, around surroundings) []Step {
	node, ok := f.Get(key)
	if !ok {
		return nil
	}
	return l.steps(node, around)
}

func (l *loader) playSettings(f *syntax.Fields, p *Play) {
	if node, ok := f.Get("name"); ok {
		if text, err := node.AsString(); err != nil {
			l.addError(node.Range, err)
		} else if p.Name = text; strings.Contains(text, "{{") {
			p.title = l.compile(node)
		}
	}
	if node, ok := f.Get("gather_facts"); ok {
		p.GatherFacts = readSetting(l, "gather_facts", node, asBool)
	}
	if node, ok := f.Get("max_fail_percentage"); ok {
		p.MaxFail = readSetting(l, "max_fail_percentage", node, asPercent)
	}
	if node, ok := f.Get("force_handlers"); ok {
		p.ForceHandlers = readSetting(l, "force_handlers", node, asBool)
	}
	if node, ok := f.Get("serial"); ok {
		p.Serial = l.serial(node)
	}
	if node, ok := f.Get("order"); ok {
		p.Order = l.order(node)
	}
	if node, ok := f.Get("strategy"); ok {
		p.Strategy = l.strategy(node)
	}
	if node, ok := f.Get("vars_prompt"); ok {
		p.Prompts = l.prompts(node)
	}
}

// gatheringKeywords are the play's words for options of setup.
var gatheringKeywords = []string{"gather_subset", "gather_timeout", "fact_path"}

// gathering reads what facts are gathered with: the play's keywords, and
// module_defaults of setup.
func (l *loader) gathering(f *syntax.Fields, p *Play, around surroundings) {
	p.Gathering = &Arguments{Range: p.Range, given: map[string]argument{}}
	spec, ok := l.registry.Find("setup")
	if !ok {
		return
	}
	own := &syntax.Node{Kind: syntax.Mapping, Range: f.Node.Range}
	for _, entry := range f.Node.Entries {
		if slices.Contains(gatheringKeywords, entry.Name) {
			own.Entries = append(own.Entries, entry)
		}
	}
	l.mappingArguments(own, p.Gathering.given)
	l.withDefaults(spec, p.Gathering.given, around.defaults[spec.Name])
	l.checkArguments(&Task{Spec: spec, Args: p.Gathering}, p.Gathering.given)
}

var strategies = []string{"linear", string(Free), string(HostPinned)}

const noDebugStrategy = "there is no debugger, so no strategy debug"

func (l *loader) strategy(n *syntax.Node) Strategy {
	text, ok := l.literalText(n, "strategy")
	if !ok {
		return Linear
	}
	known := strategies
	switch name := strings.TrimPrefix(text, "ansible.builtin."); name {
	case "linear":
	case string(Free), string(HostPinned):
		return Strategy(name)
	case "debug":
		l.add(n.Errorf("%s", noDebugStrategy).WithHint("use linear"))
	default:
		l.add(n.Errorf("there is no strategy %s; it is one of %s", text, strings.Join(known, ", ")).WithHint(diag.DidYouMean(text, known)))
	}
	return Linear
}

func (l *loader) order(n *syntax.Node) Order {
	text, ok := l.literalText(n, "order")
	known := []string{"inventory", "reverse_inventory", "sorted", "reverse_sorted", "shuffle"}
	if ok && !slices.Contains(known, text) {
		l.add(n.Errorf("there is no order %s; it is one of %s", text, strings.Join(known, ", ")).WithHint(diag.DidYouMean(text, known)))
	}
	return Order(text)
}

func (l *loader) serial(n *syntax.Node) []BatchSize {
	nodes := []*syntax.Node{n}
	if n.Kind == syntax.Sequence {
		nodes = n.Items
	}
	var sizes []BatchSize
	for _, one := range nodes {
		text, ok := l.literalText(one, "serial")
		if !ok {
			continue
		}
		size, err := batchSize(text)
		if err != nil {
			l.add(one.Errorf("%v", err))
			continue
		}
		sizes = append(sizes, size)
	}
	return sizes
}

func batchSize(text string) (BatchSize, error) {
	if share, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := strconv.ParseFloat(share, 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return BatchSize{}, fmt.Errorf("serial must be a share from 1%% to 100%%, not %q", text)
		}
		return BatchSize{Percent: percent}, nil
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 1 {
		return BatchSize{}, fmt.Errorf("serial must be a number of hosts from 1 on, or a share such as 50%%, not %q", text)
	}
	return BatchSize{Count: count}, nil
}

// Batches cuts a number of hosts into the batches of `serial:`. The last size
// counts for all that are left. Without serial there is one batch.
func (p *Play) Batches(hosts int) []int {
	if hosts == 0 {
		return nil
	}
	if len(p.Serial) == 0 {
		return []int{hosts}
	}
	var batches []int
	for i, left := 0, hosts; left > 0; i++ {
		size := p.Serial[min(i, len(p.Serial)-1)].of(hosts)
		size = min(size, left)
		batches = append(batches, size)
		left -= size
	}
	return batches
}

func (b BatchSize) of(hosts int) int {
	if b.Count > 0 {
		return b.Count
	}
	return max(1, int(math.Floor(b.Percent*float64(hosts)/100)))
}

func (l *loader) hosts(f *syntax.Fields) *Hosts {
	node, err := f.Require("hosts")
	if err != nil {
		l.add(f.Node.Errorf("the play says no hosts").WithHint(`write "hosts: all", or the groups it is for`))
		return nil
	}
	words, err := node.AsStrings()
	if err != nil || len(words) == 0 {
		l.addError(node.Range, err)
		if err == nil {
			l.add(node.Errorf("the play says no hosts"))
		}
		return nil
	}
	h := &Hosts{Range: node.Range, Text: strings.Join(words, ",")}
	at := node.Locator()
	if node.Kind == syntax.Sequence {
		at = diag.Fixed(node.Range)
	}
	if strings.Contains(h.Text, "{{") {
		h.later = l.compile(node)
		return h
	}
	h.pattern, err = inventory.ParsePattern(h.Text, at)
	l.addError(node.Range, err)
	return h
}

// Pattern gives the parsed pattern of the play's hosts, rendered with s (the
// run's scope, which has the extra vars) when it holds a template.
func (h *Hosts) Pattern(ctx context.Context, s expression.Scope) (*inventory.Pattern, error) {
	if h.pattern != nil {
		return h.pattern, nil
	}
	value, err := h.later.RenderPlain(ctx, s)
	if err != nil {
		return nil, err
	}
	items, ok := value.([]any)
	if !ok {
		items = []any{value}
	}
	words := make([]string, len(items))
	for i, item := range items {
		if words[i], err = asText(item); err != nil {
			return nil, diag.New(h.Range, "hosts %v", err)
		}
	}
	return inventory.ParsePattern(strings.Join(words, ","), diag.Fixed(h.Range))
}

func (l *loader) varsNode(p location, at diag.Range) (*syntax.Node, bool) {
	root, ok := l.read(p, at)
	if !ok {
		return nil, false
	}
	if root.IsScalar() && strings.HasPrefix(root.Text, "$ANSIBLE_VAULT") {
		l.notYet(root.Range, "files that are encrypted with ansible-vault")
		return nil, false
	}
	return root, true
}

// moduleDefaults reads module_defaults over those from around.
func (l *loader) moduleDefaults(f *syntax.Fields, outer map[string]map[string]argument) map[string]map[string]argument {
	node, ok := f.Get("module_defaults")
	if !ok {
		return outer
	}
	inner := map[string]map[string]argument{}
	maps.Copy(inner, outer)
	fields, err := node.Fields()
	if err != nil {
		l.addError(node.Range, err)
		return outer
	}
	for _, entry := range fields.Node.Entries {
		if strings.HasPrefix(entry.Name, "group/") {
			l.add(entry.Key.Errorf("module_defaults: no module of rbdplay is in a group, so none is in %s", entry.Name).
				WithHint("name each module; the groups of Ansible are of modules in collections"))
			continue
		}
		spec, ok := l.registry.Find(entry.Name)
		if !ok {
			l.add(l.unknownModule(entry.Key, entry.Name, nil))
			continue
		}
		given := map[string]argument{}
		maps.Copy(given, inner[spec.Name])
		l.mappingArguments(entry.Value, given)
		l.checkDefaults(spec, given, entry.Key)
		inner[spec.Name] = given
	}
	return inner
}
