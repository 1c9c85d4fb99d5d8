package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// section is what one part found.
type section struct {
	letter, title, note string
	series              []series
	floors              []conditionFloor
	took                time.Duration
	resources           bool // CPU and memory of the controller belong in the table
}

type conditionFloor struct {
	condition string
	least     time.Duration
}

// floor notes the least time that the round trips allow under a condition.
func (s *section) floor(condition string, least time.Duration) {
	s.floors = append(s.floors, conditionFloor{condition, least})
}

func (s *section) floorOf(condition string) time.Duration {
	for _, f := range s.floors {
		if f.condition == condition {
			return f.least
		}
	}
	return 0
}

// ours is rbdplay's median under a condition; 0 when it was not measured.
func (s *section) ours(condition string) time.Duration {
	for _, one := range s.series {
		if one.engine == "rbdplay" && one.condition == condition {
			return one.middle().took
		}
	}
	return 0
}

// text is the section as a table of Markdown, which a terminal shows well enough.
func (s *section) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## (%s) %s\n\n%s\n\n", s.letter, s.title, s.note)
	head, line := "| | | median | shortest – longest | runs | rbdplay is |", "|---|---|---|---|---|---|"
	if len(s.floors) > 0 {
		head, line = head+" × floor |", line+"---|"
	}
	if s.resources {
		head, line = head+" CPU | CPU for each host | peak memory |", line+"---|---|---|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, line)
	for _, one := range s.series {
		b.WriteString(s.row(one))
	}
	return b.String()
}

func (s *section) row(one series) string {
	m := one.middle()
	shortest, longest := one.spread()
	row := fmt.Sprintf("| %s | %s | %s | %s – %s | %d | %s |", one.condition, one.engine, show(m.took), show(shortest), show(longest), len(one.runs), s.ratio(one, m.took))
	if len(s.floors) > 0 {
		times := ""
		if least := s.floorOf(one.condition); least > 0 {
			times = fmt.Sprintf("%.2f (of %s)", m.took.Seconds()/least.Seconds(), show(least))
		}
		row += " " + times + " |"
	}
	if s.resources {
		row += fmt.Sprintf(" %s | %s | %d MiB |", show(m.cpu), show(m.cpu/time.Duration(max(m.hosts, 1))), m.peak>>20)
	}
	return row + "\n"
}

// ratio says how many times as fast as this engine rbdplay is.
func (s *section) ratio(one series, took time.Duration) string {
	ours := s.ours(one.condition)
	if one.engine == "rbdplay" || ours == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f ×", took.Seconds()/ours.Seconds())
}

// show rounds to three digits or so.
func show(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return d.Round(100 * time.Nanosecond).String()
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

// report is the page.
type report struct {
	machine  string
	began    time.Time
	versions []string
	sections []section
}

// write writes the page. What follows the mark in an earlier page was written by a
// person, and stays.
func (r report) write(file string) error {
	const mark = "<!-- below: written by hand -->\n"
	byHand := mark
	if old, err := os.ReadFile(file); err == nil {
		if _, after, ok := strings.Cut(string(old), mark); ok {
			byHand += after
		}
	} else if !os.IsNotExist(err) {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Benchmarks

Made by `+"`make bench`"+` on %s: %s, shared by the controller and all hosts.

%s

All engines run the same playbooks on the same hosts in turn, in one run. Ansible has pipelining, kept connections, 50 forks and gathers no facts. The hosts are the lab's (systemd-nspawn on this machine); distance is a TCP proxy that holds every byte back in both directions. A run in which a host failed, or in which the engines did not change the same number of things, ends its part. All of it took %s.

`, r.began.UTC().Format("2006-01-02"), r.machine, strings.Join(r.versions, "; "), time.Since(r.began).Round(time.Minute))
	for _, s := range r.sections {
		b.WriteString(s.text())
	}
	b.WriteString("\n" + byHand)
	return os.WriteFile(file, []byte(b.String()), 0o644)
}
