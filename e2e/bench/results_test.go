package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func sectionOf(letter, commit string, figures ...figure) section {
	return section{
		Letter: letter, Title: "Part " + letter, Note: "How " + letter + " is measured.", Figures: figures,
		Measured: measured{On: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Commit: commit, Took: time.Minute, Machine: "2 cores", Peers: []string{"ansible 1"}},
	}
}

func ran(engine, condition string, median time.Duration) figure {
	return figure{Engine: engine, Condition: condition, Runs: 3, Median: median, Shortest: median / 2, Longest: 2 * median}
}

// To measure one part again replaces its section and no other, and what a person wrote
// stays.
func TestAPartIsPutInPlaceOfItself(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "page.json"), filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("# Old\n\nold figures\n\n"+byHand+"\nWhy it is so.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []section{
		sectionOf("b", "first", ran(rbdplay, "0 ms, again", time.Second)),
		sectionOf("a", "first", ran(rbdplay, "0 ms", time.Second), ran(ansible, "0 ms", 200*time.Second)),
		sectionOf("b", "second", ran(rbdplay, "0 ms, again", 3*time.Second)),
	} {
		known, err := readResults(file)
		if err != nil {
			t.Fatal(err)
		}
		known.put(s)
		if err := known.write(file, page); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- Parts a, b: 2 cores; ansible 1\n",
		"## (a) Part a\n\nHow a is measured.\n\n*Measured on 2026-01-02: first, in 1m0s.*",
		"| 0 ms | ansible | 200.00 s | 100.00 s – 400.00 s | 3 | 200.0 × |",
		"## (b) Part b\n\nHow b is measured.\n\n*Measured on 2026-01-02: second, in 1m0s.*",
		"| (a) 100 lines, 0 ms | 150 × ansible | 200.0 × | reached |",
		"| (a) 100 lines, 0 ms | 20 × mitogen | not measured |  |",
		byHand + "\nWhy it is so.\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	for _, gone := range []string{"old figures", "| 1.00 s | 500ms – 2.00 s | 3 |  |\n\n## (c)"} {
		if strings.Contains(string(text), gone) {
			t.Errorf("the page still has %q", gone)
		}
	}
	if a, b := strings.Index(string(text), "## (a)"), strings.Index(string(text), "## (b)"); a > b {
		t.Error("the parts are out of order")
	}
	if n := strings.Count(string(text), "## (b)"); n != 1 {
		t.Errorf("part b stands there %d times", n)
	}
}

func TestBrokenFiguresAreNotLost(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readResults(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func TestFigureOfRuns(t *testing.T) {
	runs := []outcome{{took: 9, cpu: 1}, {took: 2, cpu: 2}, {took: 5, cpu: 3, peak: 7, totals: totals{hosts: 4}}}
	want := figure{Engine: "e", Condition: "c", Runs: 3, Median: 5, Shortest: 2, Longest: 9, CPU: 3, Peak: 7, Hosts: 4}
	if got := summed("e", "c", runs); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The page and its figures belong together: who changes one alone is told.
func TestThePageIsDrawnFromItsFigures(t *testing.T) {
	const page = "../../docs/benchmarks"
	known, err := readResults(page + ".json")
	if err != nil {
		t.Fatal(err)
	}
	if len(known.Sections) == 0 {
		t.Fatal("docs/benchmarks.json has no figures")
	}
	text, err := os.ReadFile(page + ".md")
	if err != nil {
		t.Fatal(err)
	}
	if got := known.page(string(text)); got != string(text) {
		t.Error("docs/benchmarks.md is not what docs/benchmarks.json gives; go run ./e2e/bench -draw writes it")
	}
}
