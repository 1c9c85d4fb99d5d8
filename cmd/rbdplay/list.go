package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/play"
)

// listing is what run shows instead of running.
type listing struct{ hosts, tasks, tags bool }

func (l listing) wanted() bool { return l.hosts || l.tasks || l.tags }

// list shows for each play what was asked for, laid out as ansible-playbook does it
// and as far as it is known without contacting anybody: what includes with
// templates in their names bring is not. Besides Ansible's it has the tasks of
// rescue and always, and of includes whose names are known.
func (f *runFlags) list(ctx context.Context, s *streams, l *loaded) error {
	o := f.options(s, l)
	hosts, err := engine.Hosts(ctx, o)
	if err != nil {
		return reportErrors(s, l.sources, err)
	}
	lines := []string{"", "playbook: " + l.playbook.Name}
	for i, p := range l.playbook.Plays {
		lines = append(lines, "", fmt.Sprintf("  play #%d (%s): %s\tTAGS: [%s]", i+1, p.Hosts.Text, p.Name, strings.Join(sorted(p.Inherited.Tags), ",")))
		lines = append(lines, f.listing.lines(p, hosts[i], o.Selection)...)
	}
	_, err = fmt.Fprintln(s.out, strings.Join(lines, "\n"))
	return err
}

// lines are those of a play.
func (l listing) lines(p *play.Play, hosts []string, selection play.Selection) []string {
	tasks := slices.DeleteFunc(p.Tasks(), func(t *play.Task) bool { return !selection.Selects(t.Tags) })
	var lines []string
	if l.hosts {
		lines = append(lines, "    pattern: ['"+strings.ReplaceAll(p.Hosts.Text, ",", "', '")+"']", fmt.Sprintf("    hosts (%d):", len(hosts)))
		for _, host := range hosts {
			lines = append(lines, "      "+host)
		}
	}
	if l.tasks {
		lines = append(lines, "    tasks:")
		for _, t := range tasks {
			lines = append(lines, fmt.Sprintf("      %s\tTAGS: [%s]", titleOf(t), strings.Join(sorted(t.Tags), ", ")))
		}
	}
	if l.tags {
		var all []string
		for _, t := range tasks {
			all = append(all, t.Tags...)
		}
		lines = append(lines, "      TASK TAGS: ["+strings.Join(slices.Compact(sorted(all)), ", ")+"]")
	}
	return lines
}

// titleOf is a task's name as it is written, with its role's; without one the
// module's.
func titleOf(t *play.Task) string {
	switch {
	case t.Name == "":
		return t.Module
	case t.Role == nil:
		return t.Name
	}
	return t.Role.Name + " : " + t.Name
}

func sorted(tags []string) []string { return slices.Sorted(slices.Values(tags)) }
