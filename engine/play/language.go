package play

import (
	"slices"

	"github.com/rbdplay/rbdplay/engine/expression"
)

// Words are the words of one kind that the language knows, and those that it
// refuses with the reason.
type Words struct {
	Kind    string // "play", "task", "filter", …
	Title   string // as a heading
	Known   []string
	Refused map[string]string
}

// Language lists the words of the language, from the lists by which playbooks are
// checked.
func Language(env *expression.Environment) []Words {
	refused := func(lists ...[]string) map[string]string {
		why := map[string]string{}
		for _, name := range slices.Concat(lists...) {
			why[name] = instead[name]
		}
		return why
	}
	all := []Words{
		{"play", "Keywords of a play", playKeywords, refused(everywhereLater, playLater)},
		{"role", "Keywords of an entry of roles", roleKeywords, refused(everywhereLater)},
		{"block", "Keywords of a block", blockKeywords, refused(everywhereLater)},
		{"task", "Keywords of a task", taskKeywords, refused(everywhereLater)},
		{"handler", "Keywords of a handler", slices.Concat(taskKeywords, handlerOnly), refused(everywhereLater)},
		{"include", "Keywords of include_tasks and include_role", includeKeywords, nil},
		{"import_playbook", "Keywords of import_playbook", importPlaybookKeys, nil},
		{"loop", "Loops", loopKeywords(), refused(loopsLater)},
		{"loop_control", "Keys of loop_control", loopControlKeys, nil},
		{"action", "Actions of the language", slices.DeleteFunc(slices.Clone(languageActions), isGone), map[string]string{goneAction: "it is no longer part of Ansible; write include_tasks or import_tasks"}},
		{"meta", "Actions of meta", metaNames(), nil},
		{"strategy", "Strategies", strategies, map[string]string{"debug": noDebugStrategy}},
		{"filter", "Filters", env.Filters(), expression.Refused("filter")},
		{"test", "Tests", env.Tests(), expression.Refused("test")},
		{"lookup", "Lookups", env.Lookups(), expression.Refused("lookup")},
		{"function", "Functions", env.Functions(), expression.Refused("function")},
	}
	for i := range all {
		all[i].Known = slices.Sorted(slices.Values(all[i].Known))
	}
	return all
}
