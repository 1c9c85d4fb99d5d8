package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/probe"
)

// measure is what one step of a drill came to.
type measure struct {
	Level int        `json:"level"`
	What  string     `json:"what"`
	Host  string     `json:"host"`
	URLs  []askedURL `json:"urls"`
	Names *asked     `json:"names"` // null: no name server answers the drill
	// The registry at the address of several management nodes; null: there is one, or it
	// does not answer the drill, or all of them were stopped.
	Management *asked                `json:"management"`
	Storage    map[string]storageUse `json:"storage"` // by node
	Healed     bool                  `json:"healed"`
	Held       bool                  `json:"held"`
	Why        string                `json:"why,omitempty"` // it did not hold
	Fault      string                `json:"fault,omitempty"`

	answered bool // every URL, before anything was started again
	managed  bool // the registry, likewise
}

// asked is what became of the requests to one service.
type asked struct {
	Requests int   `json:"requests"`
	Lost     int   `json:"lost"`
	Wrong    int   `json:"wrong"`
	GapMS    int64 `json:"gap_ms"`
}

type askedURL struct {
	URL string `json:"url"`
	asked
}

func (m *measure) take(storage map[string]storageUse, w *watch) {
	m.Storage = storage
	for i, p := range w.probes {
		r := p.Result()
		m.URLs = append(m.URLs, askedURL{w.urls[i], asked{r.Requests, r.Lost, r.Wrong, r.Gap.Milliseconds()}})
	}
	m.Names, m.Management = resultOf(w.names), resultOf(w.management)
}

// resultOf is what a probe came to, nil where nobody was asked.
func resultOf(p *probe.Probe) *asked {
	if p == nil {
		return nil
	}
	r := p.Result()
	return &asked{r.Requests, r.Lost, r.Wrong, r.Gap.Milliseconds()}
}

// users is what all URLs came to together: the longest gap of any.
func (m *measure) users() asked {
	var all asked
	for _, u := range m.URLs {
		all.Requests += u.Requests
		all.Lost += u.Lost
		all.Wrong += u.Wrong
		all.GapMS = max(all.GapMS, u.GapMS)
	}
	return all
}

// storage is the worst of all nodes.
func (m *measure) storage() storageUse {
	var all storageUse
	for _, use := range m.Storage {
		all.Uses += use.Uses
		all.Failed += use.Failed
		all.LongestMS = max(all.LongestMS, use.LongestMS)
	}
	return all
}

// judge says whether the cluster held, and why not.
func (m *measure) judge(maxGap time.Duration) {
	users, storage, limit := m.users(), m.storage(), maxGap.Milliseconds()
	switch {
	case m.Fault != "":
		m.Why = m.Fault
	case !m.answered:
		m.Why = "users were not answered until it was started again"
	case users.GapMS > limit:
		m.Why = fmt.Sprintf("users were not answered for %d ms, more than %d", users.GapMS, limit)
	case storage.Uses == 0:
		m.Why = "the storage could not be used"
	case storage.Failed > 0:
		m.Why = fmt.Sprintf("the storage failed %d times", storage.Failed)
	case storage.LongestMS > limit:
		m.Why = fmt.Sprintf("the storage stood still for %d ms, more than %d", storage.LongestMS, limit)
	case m.Names != nil && m.Names.GapMS > limit:
		m.Why = fmt.Sprintf("names were not resolved for %d ms, more than %d", m.Names.GapMS, limit)
	case m.Management != nil && !m.managed:
		m.Why = "no management node answered at manage_vip until it was started again"
	case m.Management != nil && m.Management.GapMS > limit:
		m.Why = fmt.Sprintf("no management node answered at manage_vip for %d ms, more than %d", m.Management.GapMS, limit)
	case !m.Healed:
		m.Why = "the cluster did not heal"
	default:
		m.Held = true
	}
}

// drillReport is what a drill came to.
type drillReport struct {
	Playbook string         `json:"playbook"`
	Level    int            `json:"level"` // that was to be proved
	URLs     []string       `json:"urls"`
	Power    bool           `json:"power"`
	MaxGapMS int64          `json:"max_gap_ms"`
	Steps    []measure      `json:"steps"`
	Verdicts []levelVerdict `json:"verdicts"`
	Fault    string         `json:"fault,omitempty"`

	planned []drillStep
}

// levelVerdict is what can be said of a level.
type levelVerdict struct {
	Level   int    `json:"level"`
	Verdict string `json:"verdict"` // holds, broken, not proved, not reached
	Why     string `json:"why,omitempty"`
}

// judge makes the verdicts. A level holds when every step that was planned for it
// and for those below was taken and held.
func (r *drillReport) judge() {
	for level := 1; level <= 2; level++ {
		r.Verdicts = append(r.Verdicts, r.verdict(level))
	}
	r.Verdicts = append(r.Verdicts, levelVerdict{3, "not reached", "rbd-db is single: the console, new rules and rescheduling wait for its node"})
}

func (r *drillReport) verdict(level int) levelVerdict {
	if level > r.Level {
		return levelVerdict{level, "not proved", "it was not asked for"}
	}
	planned, taken := 0, 0
	for _, step := range r.planned {
		if step.level <= level {
			planned++
		}
	}
	for _, m := range r.Steps {
		if m.Level > level {
			continue
		}
		taken++
		switch {
		case m.Fault != "":
			return levelVerdict{level, "not proved", fmt.Sprintf("%s on %s: %s", m.What, m.Host, m.Fault)}
		case !m.Held:
			return levelVerdict{level, "broken", fmt.Sprintf("%s on %s: %s", m.What, m.Host, m.Why)}
		}
	}
	if taken < planned {
		return levelVerdict{level, "not proved", "the drill ended before: " + r.Fault}
	}
	if !r.Power {
		return levelVerdict{level, "holds", "for services; whole nodes were left alone (--power-off)"}
	}
	return levelVerdict{Level: level, Verdict: "holds"}
}

// holds reports whether every level that was asked for does.
func (r *drillReport) holds() bool {
	for _, v := range r.Verdicts {
		if v.Level <= r.Level && v.Verdict != "holds" {
			return false
		}
	}
	return true
}

func (r *drillReport) write(out io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	several := slices.ContainsFunc(r.Steps, func(m measure) bool { return m.Management != nil })
	column := func(text string) string {
		if !several {
			return ""
		}
		return text + "\t"
	}
	fmt.Fprintln(table, "\nlevel\tstopped\ton\tgap ms\trequests\tlost\twrong\tstorage ms\tnames gap ms\t"+column("manage_vip gap ms")+"healed\tverdict")
	for i := range r.Steps {
		m := &r.Steps[i]
		users, storage := m.users(), m.storage()
		fmt.Fprintf(table, "%d\t%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s%s\t%s\n", m.Level, m.What, m.Host,
			users.GapMS, users.Requests, users.Lost, users.Wrong, storageText(storage), gapText(m.Names), column(gapText(m.Management)), yesNo(m.Healed), verdictText(m))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, v := range r.Verdicts {
		why := ""
		if v.Why != "" {
			why = ": " + v.Why
		}
		if _, err := fmt.Fprintf(out, "level %d %s%s\n", v.Level, v.Verdict, why); err != nil {
			return err
		}
	}
	return nil
}

// gapText is how long nobody was answered.
func gapText(a *asked) string {
	if a == nil {
		return "not asked"
	}
	return strconv.FormatInt(a.GapMS, 10)
}

// storageText is the longest that one use of the storage took.
func storageText(s storageUse) string {
	switch {
	case s.Uses == 0:
		return "unusable"
	case s.Failed > 0:
		return fmt.Sprintf("%d (%d failed)", s.LongestMS, s.Failed)
	}
	return strconv.FormatInt(s.LongestMS, 10)
}

func verdictText(m *measure) string {
	if m.Held {
		return "held"
	}
	return "did not hold"
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
