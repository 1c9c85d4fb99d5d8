package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/rbdplay/rbdplay/engine"
	"github.com/rbdplay/rbdplay/engine/play"
)

// listing is what run shows instead of running.
type listing struct{ hosts, tasks, tags bool }

func (l listing) wanted() bool { return l.hosts || l.tasks || l.tags }

// list shows for each play what was asked for, as far as it is known without
// contacting anybody: what includes with templates in their names bring is not.
func (f *runFlags) list(ctx context.Context, s *streams, l *loaded) error {
	o := f.options(s, l)
	hosts, err := engine.Hosts(ctx, o)
	if err != nil {
		return reportErrors(s, l.sources, err)
	}
	for i, p := range l.playbook.Plays {
		if err := f.listPlay(s.out, p, hosts[i], o.Selection); err != nil {
			return err
		}
	}
	return nil
}

func (f *runFlags) listPlay(out io.Writer, p *play.Play, hosts []string, selection play.Selection) error {
	tasks := slices.DeleteFunc(p.Tasks(), func(t *play.Task) bool { return !selection.Selects(t.Tags) })
	lines := []string{p.Name}
	if f.listing.hosts {
		lines = append(lines, "  hosts: "+cmp.Or(strings.Join(hosts, " "), "none"))
	}
	if f.listing.tags {
		lines = append(lines, "  tags: "+cmp.Or(strings.Join(tagsOf(tasks), " "), "none"))
	}
	if f.listing.tasks {
		for _, t := range tasks {
			lines = append(lines, "  "+taskLine(t))
		}
	}
	_, err := fmt.Fprintln(out, strings.Join(lines, "\n"))
	return err
}

func taskLine(t *play.Task) string {
	name := t.Name
	if name == "" {
		name = t.Module
	}
	if len(t.Tags) == 0 {
		return name
	}
	return name + "  [" + strings.Join(t.Tags, " ") + "]"
}

// tagsOf are the tags of tasks, in the order in which they come.
func tagsOf(tasks []*play.Task) []string {
	var tags []string
	for _, t := range tasks {
		for _, tag := range t.Tags {
			if !slices.Contains(tags, tag) {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}
