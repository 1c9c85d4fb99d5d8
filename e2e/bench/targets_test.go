package main

import (
	"strings"
	"testing"
	"time"
)

func TestTargets(t *testing.T) {
	far := section{Letter: "b", Figures: []figure{ran(rbdplay, "109 ms", 12*time.Second)}, Floors: map[string]time.Duration{"109 ms": 10 * time.Second}}
	many := section{Letter: "f", Figures: []figure{
		{Engine: rbdplay, Condition: "100 hosts", Median: time.Second, CPU: time.Second, Hosts: 100, Peak: 50 << 20},
		{Engine: rbdplay, Condition: "1000 hosts", Median: 20 * time.Second, CPU: 13 * time.Second, Hosts: 1000, Peak: 200 << 20},
	}}
	peers := section{Letter: "a", Figures: []figure{ran(rbdplay, "0 ms", time.Second), ran(ansible, "0 ms", 105*time.Second)}}
	sizes := section{Letter: "h", Sizes: []size{{"sent", 3 << 20}}}
	for _, test := range []struct {
		name              string
		part              section
		target            target
		measured, outcome string
	}{
		{"a ratio", peers, faster("a", "", "0 ms", 100, ansible), "105.0 ×", "reached"},
		{"a ratio missed", peers, faster("a", "", "0 ms", 150, ansible), "105.0 ×", "**missed**: 70 %"},
		{"a peer that did not run", peers, faster("a", "", "0 ms", 20, mitogen), "not measured", ""},
		{"another part", peers, within("g", "", "0 ms", time.Second), "not measured", ""},
		{"the floor", far, nearFloor("", "109 ms", 1.5), "1.20 ×", "reached"},
		{"the floor missed", far, nearFloor("", "109 ms", 1.1), "1.20 ×", "**missed**: 91 %"},
		{"no floor", far, nearFloor("", "0 ms", 1.1), "not measured", ""},
		{"a time", far, within("b", "", "109 ms", 6*time.Second), "12.00 s", "**missed**: 50 %"},
		{"memory", many, memory("f", "", "1000 hosts", 400<<20), "200 MiB", "reached"},
		{"flat", many, flat("f", "", "100 hosts", "1000 hosts", 1.5), "1.30 × (10ms, 13ms)", "reached"},
		{"not flat", many, flat("f", "", "100 hosts", "1000 hosts", 1.25), "1.30 × (10ms, 13ms)", "**missed**: 96 %"},
		{"a size", sizes, small("sent", 6<<20), "3.0 MiB", "reached"},
		{"no such size", sizes, small("kept", 6<<20), "not measured", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var r results
			r.put(test.part)
			got := r.judge([]target{test.target})[0]
			if got.measured != test.measured || got.outcome != test.outcome {
				t.Errorf("got %q, %q", got.measured, got.outcome)
			}
		})
	}
}

// A target that names a part or a row that is not measured would never be held.
func TestTargetsNameParts(t *testing.T) {
	for _, target := range targets() {
		some, err := chosen(options{only: target.letter})
		if err != nil || len(some) != 1 {
			t.Errorf("%s: %v, %v", target.what, some, err)
		}
	}
}

func TestChosenParts(t *testing.T) {
	for _, test := range []struct {
		options options
		want    string
	}{
		{options{}, "gabcdfeh"},
		{options{short: true}, "gabcdfh"},
		{options{only: "ed"}, "de"},
		{options{only: "e", short: true}, "e"},
		{options{only: "az"}, "error"},
	} {
		some, err := chosen(test.options)
		got := letters(some)
		if err != nil {
			got = "error"
		}
		if got != test.want {
			t.Errorf("%+v: %s, want %s", test.options, got, test.want)
		}
	}
	if got := only([]verdict{{target: target{letter: "a"}}, {target: target{letter: "b"}}}, "bd"); len(got) != 1 || !strings.Contains(got[0].letter, "b") {
		t.Errorf("got %v", got)
	}
}
