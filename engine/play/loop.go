package play

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/lookup"
	"github.com/rbdplay/rbdplay/engine/syntax"
	"github.com/rbdplay/rbdplay/engine/template"
)

// Loop is the value of `loop:` or of a with_….
type Loop struct {
	Range   diag.Range
	Keyword string // "loop", "with_items", …
	value   *template.Value
	lookup  expression.Lookup // of a with_…
	task    *Task
}

// loopKinds are the keywords of loops, and the lookup that makes their items.
var loopKinds = map[string]string{
	"loop": "", "with_list": "list", "with_items": "items", "with_flattened": "flattened", "with_dict": "dict",
	"with_indexed_items": "indexed_items", "with_together": "together", "with_nested": "nested",
	"with_cartesian": "cartesian", "with_sequence": "sequence", "with_subelements": "subelements",
	"with_random_choice": "random_choice", "with_file": "file", "with_fileglob": "fileglob",
	"with_first_found": "first_found", "with_lines": "lines", "with_pipe": "pipe", "with_env": "env",
	"with_vars": "vars", "with_varnames": "varnames", "with_inventory_hostnames": "inventory_hostnames",
	"with_unvault": "unvault", "with_template": "template", "with_password": "password", "with_ini": "ini", "with_csvfile": "csvfile",
}

// carriesUnknown are the lookups that only arrange what they are given: an item
// that check mode cannot know is deferred by itself.
var carriesUnknown = []string{
	"list", "items", "flattened", "indexed_items", "together", "nested", "cartesian", "random_choice",
}

func (l *loader) loop(entry syntax.Entry, t *Task) {
	if t.Loop != nil {
		d := entry.Key.Errorf("the task has two loops, %s and %s", t.Loop.Keyword, entry.Name)
		d.Related = []diag.Note{{Text: "the first is here", Range: t.Loop.Range}}
		l.add(d)
		return
	}
	n := entry.Value
	if entry.Name == "loop" && n.IsScalar() && (n.Kind != syntax.String || !strings.Contains(n.Text, "{{")) {
		d := n.Errorf("loop must be a list, found %s", n.Kind)
		if n.Kind == syntax.String {
			d = d.WithHint(fmt.Sprintf("for a variable write \"{{ %s }}\"", n.Text))
		}
		l.add(d)
		return
	}
	find, known := l.env.Lookup(loopKinds[entry.Name])
	if !known && entry.Name != "loop" {
		l.notYet(entry.Key.Range, "%s", entry.Name)
		return
	}
	if value := l.compile(n); value != nil {
		t.Loop = &Loop{Range: n.Range, Keyword: entry.Name, value: value, lookup: find, task: t}
	}
}

var loopControlKeys = []string{"loop_var", "index_var", "label", "pause", "extended", "extended_allitems", "break_when"}

func (l *loader) loopControl(n *syntax.Node, t *Task) {
	f, err := n.Fields()
	if err != nil {
		l.addError(n.Range, err)
		return
	}
	l.checkKeywords(f, "loop_control", loopControlKeys, nil)
	for _, entry := range f.Node.Entries {
		n := entry.Value
		switch entry.Name {
		case "loop_var":
			if name := l.variableName(n, "loop_var"); name != "" {
				t.LoopControl.Var = name
			}
		case "index_var":
			t.LoopControl.IndexVar = l.variableName(n, "index_var")
		case "label":
			t.LoopControl.Label = l.compile(n)
		case "pause":
			t.LoopControl.Pause = readSetting(l, "pause", n, asSeconds)
		case "extended":
			t.LoopControl.Extended = readSetting(l, "extended", n, asBool)
		case "extended_allitems":
			t.LoopControl.AllItems = readSetting(l, "extended_allitems", n, asBool)
		case "break_when":
			t.LoopControl.BreakWhen = l.conditions("break_when", n)
		}
	}
}

// Items gives the loop's items for a host. The error is a diag.Diagnostic or an
// *UnknownError.
func (l *Loop) Items(ctx context.Context, s expression.Scope) ([]any, error) {
	value, err := l.value.Render(ctx, s)
	if err != nil {
		return nil, err
	}
	if unknown, ok := value.(expression.Unknown); ok {
		return nil, &UnknownError{Reason: unknown.Reason}
	}
	items, err := l.items(ctx, s, expression.Normalize(value))
	if err != nil {
		if _, unknown := IsUnknown(err); unknown {
			return nil, err
		}
		if d, ok := errors.AsType[diag.Diagnostic](err); ok {
			return nil, d
		}
		return nil, diag.New(l.Range, "%s %v", l.Keyword, err).WithCause(err)
	}
	return items, nil
}

func (l *Loop) items(ctx context.Context, s expression.Scope, value any) ([]any, error) {
	name := loopKinds[l.Keyword]
	if name == "" {
		return plainLoop(value)
	}
	if unknown := expression.FindUnknown(value); unknown != nil && !slices.Contains(carriesUnknown, name) {
		return nil, &UnknownError{Reason: unknown.Reason}
	}
	var options map[string]any
	if name == "first_found" {
		options = map[string]any{lookup.Folder: l.folder()}
	}
	return l.lookup.Find(ctx, s, asList(value), options)
}

// folder is where a with_first_found looks: it goes by the name of the module.
func (l *Loop) folder() string {
	switch {
	case strings.Contains(l.task.Module, "template"):
		return "templates"
	case strings.Contains(l.task.Module, "var"):
		return "vars"
	}
	return "files"
}

func asList(value any) []any {
	switch v := expression.Normalize(value).(type) {
	case []any:
		return v
	case nil:
		return nil
	default:
		return []any{v}
	}
}

func plainLoop(value any) ([]any, error) {
	switch v := value.(type) {
	case []any:
		return v, nil
	case nil:
		return nil, nil // an empty value in the file
	case map[string]any, *expression.Dict, expression.Object:
		return nil, errors.New("must be a list, not a mapping; write \"{{ … | dict2items }}\"")
	}
	return nil, fmt.Errorf("must be a list, not %s", shown(value))
}
