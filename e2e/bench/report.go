package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// byHand begins the part of the page that a person writes.
const byHand = "<!-- below: written by hand -->\n"

// page draws the page. What follows the mark in the old one was written by a person,
// and stays.
func (r *results) page(old string) string {
	_, kept, _ := strings.Cut(old, byHand)
	var b strings.Builder
	b.WriteString(`# Benchmarks

All engines run the same playbooks on the same hosts in turn, in one run. Ansible has pipelining, kept connections, 50 forks and gathers no facts. The hosts are the lab's (systemd-nspawn on this machine), which share its cores with the controller; distance is a TCP proxy that holds every byte back in both directions. A run in which a host failed, or in which the engines did not change the same number of things, ends its part, and the page keeps what was measured before. ` + "`make bench`" + ` measures the parts and draws this page, down to the mark, from docs/benchmarks.json.

`)
	b.WriteString(r.setups())
	b.WriteString("\n## What was wanted\n\n" + targetTable(r.judge(targets())))
	for i := range r.Sections {
		b.WriteString(r.Sections[i].text())
	}
	return b.String() + "\n" + byHand + kept
}

// setups says on what the parts were measured: mostly one machine for all.
func (r *results) setups() string {
	var order []string
	parts := map[string][]string{}
	for _, s := range r.Sections {
		setup := strings.Join(append([]string{s.Measured.Machine}, s.Measured.Peers...), "; ")
		if parts[setup] == nil {
			order = append(order, setup)
		}
		parts[setup] = append(parts[setup], s.Letter)
	}
	var b strings.Builder
	for _, setup := range order {
		fmt.Fprintf(&b, "- Parts %s: %s\n", strings.Join(parts[setup], ", "), setup)
	}
	return b.String()
}

// text is the section as a table of Markdown, which a terminal shows well enough.
func (s *section) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## (%s) %s\n\n%s\n\n%s\n\n", s.Letter, s.Title, s.Note, s.Measured.text())
	if len(s.Sizes) > 0 {
		b.WriteString("| | size |\n|---|---|\n")
		for _, one := range s.Sizes {
			fmt.Fprintf(&b, "| %s | %s |\n", one.What, showBytes(one.Bytes))
		}
		return b.String()
	}
	head, line := "| | | median | shortest – longest | runs | rbdplay is |", "|---|---|---|---|---|---|"
	if len(s.Floors) > 0 {
		head, line = head+" × floor |", line+"---|"
	}
	if s.Resources {
		head, line = head+" CPU | CPU for each host | peak memory |", line+"---|---|---|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, line)
	for _, one := range s.Figures {
		b.WriteString(s.row(one))
	}
	return b.String()
}

func (m measured) text() string {
	text := fmt.Sprintf("*Measured on %s: %s", m.On.UTC().Format(time.DateOnly), m.Commit)
	if m.Took > 0 {
		text += ", in " + m.Took.Round(time.Second).String()
	}
	return text + ".*"
}

func (s *section) row(one figure) string {
	row := fmt.Sprintf("| %s | %s | %s | %s – %s | %d | %s |", one.Condition, one.Engine, show(one.Median), show(one.Shortest), show(one.Longest), one.Runs, s.ratio(one))
	if len(s.Floors) > 0 {
		times := ""
		if least := s.Floors[one.Condition]; least > 0 {
			times = fmt.Sprintf("%.2f (of %s)", one.Median.Seconds()/least.Seconds(), show(least))
		}
		row += " " + times + " |"
	}
	if s.Resources {
		row += fmt.Sprintf(" %s | %s | %s |", show(one.CPU), show(one.cpuOfHost()), showBytes(one.Peak))
	}
	return row + "\n"
}

func (f figure) cpuOfHost() time.Duration { return f.CPU / time.Duration(max(f.Hosts, 1)) }

// ratio says how many times as fast as this engine rbdplay is.
func (s *section) ratio(one figure) string {
	ours, ok := s.figure(rbdplay, one.Condition)
	if one.Engine == rbdplay || !ok {
		return ""
	}
	return showTimes(one.Median.Seconds() / ours.Median.Seconds())
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

func showBytes(n int64) string {
	if n < 100<<20 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// showTimes shows a ratio: with two digits after the point where it nears 1, since
// there they decide.
func showTimes(ratio float64) string {
	if ratio < 10 {
		return fmt.Sprintf("%.2f ×", ratio)
	}
	return fmt.Sprintf("%.1f ×", ratio)
}

// targetTable shows verdicts as a table of Markdown.
func targetTable(verdicts []verdict) string {
	var b strings.Builder
	b.WriteString("| part | wanted | measured | |\n|---|---|---|---|\n")
	for _, v := range verdicts {
		fmt.Fprintf(&b, "| (%s) %s | %s | %s | %s |\n", v.letter, v.what, v.wanted, v.measured, v.outcome)
	}
	return b.String()
}

// only leaves the verdicts on the parts named by letters.
func only(verdicts []verdict, letters string) []verdict {
	return slices.DeleteFunc(verdicts, func(v verdict) bool { return !strings.Contains(letters, v.letter) })
}
