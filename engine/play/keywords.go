package play

import (
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// Where each keyword may stand. The lists named …Later are Ansible's keywords
// that are refused as not supported yet.
var (
	everywhere = []string{
		"name", "become", "become_user", "become_method", "become_exe", "become_flags", "connection", "remote_user", "port", "check_mode", "diff",
		"no_log", "run_once", "ignore_errors", "ignore_unreachable", "any_errors_fatal", "throttle", "timeout",
		"environment", "tags", "vars", "module_defaults", "collections",
	}
	everywhereLater = []string{"debugger"}

	playOnly = []string{
		"hosts", "gather_facts", "gather_subset", "gather_timeout", "fact_path", "vars_files", "vars_prompt", "tasks", "pre_tasks", "post_tasks", "handlers", "roles", "serial",
		"order", "max_fail_percentage", "force_handlers", "strategy", "invariant",
	}
	playLater = []string{"validate_argspec"}

	insidePlay = []string{"when", "delegate_to", "delegate_facts"} // roles, blocks and tasks

	blockOnly = []string{"block", "rescue", "always", "notify", "invariant"}

	taskOnly = []string{
		"action", "local_action", "args", "register", "loop", "loop_control", "until", "retries", "delay",
		"changed_when", "failed_when", "notify", "async", "poll",
	}
	handlerOnly = []string{"listen"}

	playKeywords  = slices.Concat(everywhere, playOnly)
	blockKeywords = slices.Concat(everywhere, insidePlay, blockOnly)
	taskKeywords  = slices.Concat(everywhere, insidePlay, taskOnly)
	roleKeywords  = slices.Concat(everywhere, insidePlay, []string{"role"})

	// What an include may have besides its action and a loop; the rest would not
	// reach what is included, and Ansible refuses it too.
	includeKeywords = []string{
		"name", "vars", "tags", "when", "args", "action", "loop_control", "register", "run_once", "no_log", "ignore_errors", "collections",
	}
	importPlaybookKeys = []string{"import_playbook", "ansible.builtin.import_playbook", "name", "vars", "tags", "when"}
	loopsLater         = []string{"with_url", "with_config"}
)

// checkKeywords reports the keys that may not stand in a mapping: those that
// come later as such, others with the nearest word.
func (l *loader) checkKeywords(f *syntax.Fields, what string, known, later []string) {
	for _, name := range f.Names() {
		key := f.Key(name)
		switch {
		case slices.Contains(known, name):
		case slices.Contains(later, name) || slices.Contains(everywhereLater, name):
			l.refuse(key, name)
		case slices.Contains(loopsLater, name):
			l.refuse(key, name)
		default:
			l.add(key.Errorf("%s has no keyword %s", what, name).WithHint(diag.DidYouMean(name, known)))
		}
	}
}

// checkIncluding reports the keys that an import or include may not have. Those
// of a task are told where they belong.
func (l *loader) checkIncluding(f *syntax.Fields, what string, known []string, hint string) {
	for _, name := range f.Names() {
		if slices.Contains(known, name) {
			continue
		}
		d := f.Key(name).Errorf("%s has no keyword %s", what, name)
		if slices.Contains(taskKeywords, name) || slices.Contains(loopKeywords(), name) {
			l.add(d.WithHint(hint))
		} else {
			l.add(d.WithHint(diag.DidYouMean(name, known)))
		}
	}
}

// instead says what to do in the place of a keyword that is refused.
var instead = map[string]string{
	"with_url":         "expressions contact nobody; use uri and loop over what it registers",
	"with_config":      "it is for settings of Ansible's own",
	"debugger":         "rbdplay has no debugger; look at values with debug, or run the task with -vv",
	"validate_argspec": "a role's arguments are held against its meta/argument_specs.yml; plays have none",
}

// refuse refuses a keyword and says what to do instead.
func (l *loader) refuse(key *syntax.Node, name string) {
	d := key.Errorf("not supported: the keyword %s", name)
	if hint := instead[name]; hint != "" {
		d = d.WithHint(hint)
	}
	l.add(d)
}

// notYet refuses what Ansible has and rbdplay has not.
func (l *loader) notYet(at diag.Range, format string, args ...any) {
	l.add(diag.New(at, "not supported yet: "+format, args...))
}

// laterModules are modules of ansible.builtin; one that the registry does not
// know is refused as not supported yet rather than as unknown.
var laterModules = []string{
	"apt_key", "deb822_repository", "debconf", "dnf5", "dpkg_selections",
	"expect", "gather_facts", "getent", "git", "iptables", "known_hosts", "mount_facts",
	"package_facts", "pip", "rpm_key", "service", "service_facts", "subversion", "sysvinit",
	"validate_argument_spec",
}
