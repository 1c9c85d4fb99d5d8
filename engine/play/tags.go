package play

import (
	"regexp"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Selection is what --tags and --skip-tags choose.
type Selection struct{ Tags, Skip []string }

// The tags that mean something by themselves.
const (
	tagAlways   = "always"
	tagNever    = "never"
	tagAll      = "all"
	tagTagged   = "tagged"
	tagUntagged = "untagged"
)

// Selects reports whether a task with these tags is to run, by Ansible's rules:
// `always` runs unless it is skipped by name, `never` only when one of the tags
// is asked for by name. Handlers are not asked: they run when notified.
func (s Selection) Selects(tags []string) bool {
	return s.chosen(tags) && !s.skipped(tags)
}

func (s Selection) chosen(tags []string) bool {
	wanted := s.Tags
	if len(wanted) == 0 {
		wanted = []string{tagAll}
	}
	never := slices.Contains(tags, tagNever)
	switch {
	case slices.Contains(tags, tagAlways):
		return true
	case slices.Contains(wanted, tagAll) && !never:
		return true
	case anyOf(tags, wanted):
		return true
	case slices.Contains(wanted, tagTagged) && len(tags) > 0 && !never:
		return true
	case slices.Contains(wanted, tagUntagged) && len(tags) == 0:
		return true
	}
	return false
}

func (s Selection) skipped(tags []string) bool {
	always := slices.Contains(tags, tagAlways)
	switch {
	case slices.Contains(s.Skip, tagAll):
		return !always || slices.Contains(s.Skip, tagAlways)
	case anyOf(tags, s.Skip):
		return true
	case slices.Contains(s.Skip, tagTagged):
		return len(tags) > 0
	case slices.Contains(s.Skip, tagUntagged):
		return len(tags) == 0
	}
	return false
}

func anyOf(tags, wanted []string) bool {
	return slices.ContainsFunc(tags, func(tag string) bool { return slices.Contains(wanted, tag) })
}

// CheckSelection reports the tags of a selection that no task has. When an
// include is named by a template its tags cannot be known; then they are only
// warnings.
func (p *Playbook) CheckSelection(s Selection) diag.List {
	var found diag.List
	special := []string{tagAlways, tagNever, tagAll, tagTagged, tagUntagged}
	known := slices.Concat(p.Tags, special)
	check := func(option string, tags []string) {
		for _, tag := range tags {
			if slices.Contains(known, tag) {
				continue
			}
			d := diag.Diagnostic{Range: diag.Range{File: option}, Summary: "no task of " + p.Name + " has the tag " + tag}
			if d.Hint = diag.DidYouMean(tag, known); d.Hint == "" && len(p.Tags) > 0 {
				d.Hint = "it has the tags " + strings.Join(p.Tags, ", ")
			}
			if p.open() {
				d.Severity = diag.Warning
			}
			found.Add(d)
		}
	}
	check("--tags", s.Tags)
	check("--skip-tags", s.Skip)
	return found
}

// Grows reports whether a task of the play may change the inventory. What an
// include brings that is only known when it runs may do so.
func (p *Play) Grows() bool {
	grows := false
	visit := func(_ *Play, t *Task) {
		grows = grows || t.Meta == Refresh || t.Include != nil && len(t.Include.loaded) == 0 ||
			t.Spec != nil && (t.Spec.Name == "add_host" || t.Spec.Name == "group_by")
	}
	for _, stage := range p.Stages {
		walkSteps(p, stage.Steps, visit)
	}
	for _, h := range p.Handlers {
		walkSteps(p, []Step{&h.Task}, visit)
	}
	return grows
}

// open reports whether the playbook includes something that is only known when
// it runs.
func (p *Playbook) open() bool {
	found := false
	p.walk(func(_ *Play, t *Task) {
		found = found || t.Include != nil && len(t.Include.loaded) == 0
	})
	return found
}

func (p *Playbook) allTags() []string {
	var all []string
	p.walk(func(_ *Play, t *Task) {
		for _, tag := range t.Tags {
			if !slices.Contains(all, tag) && tag != tagAlways && tag != tagNever {
				all = append(all, tag)
			}
		}
	})
	slices.Sort(all)
	return all
}

// ArgumentSpecs lists what is known of the variables that the playbook's roles
// take, each entry point once, in the order of their use.
func (p *Playbook) ArgumentSpecs() []*ArgumentSpec {
	var all []*ArgumentSpec
	p.walk(func(_ *Play, t *Task) {
		if t.ArgumentSpec != nil && !slices.ContainsFunc(all, func(s *ArgumentSpec) bool { return s.Range == t.ArgumentSpec.Range }) {
			all = append(all, t.ArgumentSpec)
		}
	})
	return all
}

// SetsLater reports whether a task may give a variable its value while the
// playbook runs. What a task includes by a name that is only known then may set
// anything.
func (p *Playbook) SetsLater(name string) bool {
	sets := p.open()
	p.walk(func(_ *Play, t *Task) {
		sets = sets || t.Register == name || t.Spec != nil && t.Spec.Name == "set_fact" && slices.Contains(t.Args.Names(), name)
	})
	return sets
}

// walk visits every task that is known now, in the order in which they stand.
func (p *Playbook) walk(visit func(*Play, *Task)) {
	for _, play := range p.Plays {
		walkSteps(play, stepsOfAll(play.Invariants), visit)
		for _, stage := range play.Stages {
			walkSteps(play, stage.Steps, visit)
		}
	}
}

func walkSteps(p *Play, steps []Step, visit func(*Play, *Task)) {
	for _, step := range steps {
		switch step := step.(type) {
		case *Block:
			for _, part := range [][]Step{step.Steps, step.Rescue, step.Always} {
				walkSteps(p, part, visit)
			}
		case *Task:
			visit(p, step)
			if step.Include != nil {
				for _, name := range sortedKeys(step.Include.loaded) {
					walkSteps(p, step.Include.loaded[name], visit)
				}
			}
		}
	}
}

// FindTask finds the task that --start-at-task names: by its name, "role : name",
// or a glob of either. The error is a diag.Diagnostic that suggests names.
func (p *Playbook) FindTask(name string) (*Task, error) {
	glob := globPattern(name)
	var found *Task
	var known []string
	p.walk(func(_ *Play, t *Task) {
		if t.Name == "" || found != nil {
			return
		}
		full := t.Name
		if t.Role != nil {
			full = t.Role.Name + " : " + t.Name
		}
		known = append(known, t.Name)
		if t.Name == name || full == name || glob.MatchString(t.Name) || glob.MatchString(full) {
			found = t
		}
	})
	if found == nil {
		return nil, diag.New(diag.Range{File: "--start-at-task"}, "no task is called %s", name).
			WithHint(diag.DidYouMean(name, known))
	}
	return found, nil
}

// globPattern reads * and ? in a name; everything else stands for itself.
func globPattern(glob string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(glob)
	return regexp.MustCompile("^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(quoted) + "$")
}
