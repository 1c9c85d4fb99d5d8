package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// results are the figures of all parts, each as it was measured last. They lie
// beside the page, which is drawn from them: to measure one part again touches no
// other.
type results struct {
	Sections []section `json:"sections"` // by letter
}

// section is what one part found.
type section struct {
	Letter   string   `json:"letter"`
	Title    string   `json:"title"`
	Note     string   `json:"note"`
	Measured measured `json:"measured"`
	Figures  []figure `json:"figures,omitempty"`
	// Floors are the least times that the round trips allow, by condition.
	Floors    map[string]time.Duration `json:"floors,omitempty"`
	Sizes     []size                   `json:"sizes,omitempty"`
	Resources bool                     `json:"resources,omitempty"` // CPU and memory of the controller belong in the table
}

// measured says when a part was measured, of what, and where.
type measured struct {
	On      time.Time     `json:"on"`
	Took    time.Duration `json:"took"`
	Commit  string        `json:"commit"`
	Machine string        `json:"machine"`
	Peers   []string      `json:"peers"`
}

// size is a number of bytes that is no figure of a run.
type size struct {
	What  string `json:"what"`
	Bytes int64  `json:"bytes"`
}

// figure sums up the runs of one engine under one condition.
type figure struct {
	Engine    string        `json:"engine"`
	Condition string        `json:"condition"` // "0 ms", "1000 hosts"
	Runs      int           `json:"runs"`
	Median    time.Duration `json:"median"`
	Shortest  time.Duration `json:"shortest"`
	Longest   time.Duration `json:"longest"`
	// Of the controller, in the run of median length.
	CPU   time.Duration `json:"cpu,omitempty"`
	Peak  int64         `json:"peak,omitempty"` // bytes
	Hosts int           `json:"hosts,omitempty"`
}

// readResults reads the file; one that is not there has none.
func readResults(file string) (results, error) {
	var r results
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w; delete it to measure all parts anew", file, err)
	}
	return r, nil
}

// put takes in a section in place of an older one with its letter.
func (r *results) put(s section) {
	r.Sections = slices.DeleteFunc(r.Sections, func(old section) bool { return old.Letter == s.Letter })
	r.Sections = append(r.Sections, s)
	slices.SortFunc(r.Sections, func(a, b section) int { return strings.Compare(a.Letter, b.Letter) })
}

func (r *results) section(letter string) (section, bool) {
	i := slices.IndexFunc(r.Sections, func(s section) bool { return s.Letter == letter })
	if i < 0 {
		return section{}, false
	}
	return r.Sections[i], true
}

func (s *section) figure(engine, condition string) (figure, bool) {
	i := slices.IndexFunc(s.Figures, func(f figure) bool { return f.Engine == engine && f.Condition == condition })
	if i < 0 {
		return figure{}, false
	}
	return s.Figures[i], true
}

// floor notes the least time that the round trips allow under a condition.
func (s *section) floor(condition string, least time.Duration) {
	if s.Floors == nil {
		s.Floors = map[string]time.Duration{}
	}
	s.Floors[condition] = least
}

// write writes the figures into file and draws the page beside it.
func (r *results) write(file, page string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return err
	}
	old, err := os.ReadFile(page)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(page, []byte(r.page(string(old))), 0o644)
}
