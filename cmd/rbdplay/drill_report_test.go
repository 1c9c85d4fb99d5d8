package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// good is a step that held.
func good(level int, what string) measure {
	return measure{
		Level: level, What: what, Host: "compute01", Healed: true, answered: true,
		URLs:    []askedURL{{"http://a/", asked{Requests: 100, Lost: 2, GapMS: 900}}, {"http://b/", asked{Requests: 50, Wrong: 1, GapMS: 20}}},
		Names:   &asked{Requests: 10, GapMS: 200},
		Storage: map[string]storageUse{"compute01": {Uses: 9, LongestMS: 30}, "compute02": {Uses: 8, LongestMS: 70}},
	}
}

func TestMeasureJudge(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*measure)
		why   string
	}{
		"held":                   {func(*measure) {}, ""},
		"no answer in the end":   {func(m *measure) { m.answered = false }, "not answered until"},
		"a long gap at one URL":  {func(m *measure) { m.URLs[1].GapMS = 31000 }, "not answered for 31000 ms, more than 30000"},
		"storage never used":     {func(m *measure) { m.Storage = nil }, "could not be used"},
		"storage failed once":    {func(m *measure) { m.Storage["compute02"] = storageUse{Uses: 5, Failed: 1} }, "failed 1 times"},
		"storage stood still":    {func(m *measure) { m.Storage["compute01"] = storageUse{Uses: 5, LongestMS: 40000} }, "stood still"},
		"names went":             {func(m *measure) { m.Names.GapMS = 50000 }, "names were not resolved"},
		"names cannot be asked":  {func(m *measure) { m.Names = nil }, ""},
		"nobody took manage_vip": {func(m *measure) { m.Management = &asked{GapMS: 8000} }, "no management node answered at manage_vip until"},
		"manage_vip taken late":  {func(m *measure) { m.Management, m.managed = &asked{GapMS: 31000}, true }, "at manage_vip for 31000 ms"},
		"manage_vip taken":       {func(m *measure) { m.Management, m.managed = &asked{GapMS: 3000}, true }, ""},
		"not healed":             {func(m *measure) { m.Healed = false }, "did not heal"},
		"the drill itself fails": {func(m *measure) { m.Fault = "lost" }, "lost"},
	} {
		m := good(1, "rbd-lb")
		test.spoil(&m)
		m.judge(30 * time.Second)
		if m.Held != (test.why == "") || !strings.Contains(m.Why, test.why) {
			t.Errorf("%s: held %v, why %q", name, m.Held, m.Why)
		}
	}
}

func TestDrillReport(t *testing.T) {
	plan := []drillStep{{level: 1, what: "keepalived"}, {level: 1, what: "rbd-lb"}, {level: 2, what: "management"}}
	for name, test := range map[string]struct {
		change func(*drillReport)
		holds  bool
		want   []string
	}{
		"all held": {
			func(*drillReport) {}, true,
			[]string{"level 1 holds: for services; whole nodes were left alone", "level 2 holds", "level 3 not reached: rbd-db is single", "1      keepalived  compute01  900     150       2     1      70          200           yes     held"},
		},
		"several management nodes": {
			func(r *drillReport) { r.Steps[0].Management = &asked{Requests: 40, Lost: 3, GapMS: 2100} }, true,
			[]string{"names gap ms  manage_vip gap ms  healed", "70          200           2100               yes", "70          200           not asked          yes"},
		},
		"with power": {func(r *drillReport) { r.Power = true }, true, []string{"level 1 holds\n"}},
		"level 1 alone": {
			func(r *drillReport) { r.Level, r.planned, r.Steps = 1, plan[:2], r.Steps[:2] }, true, []string{"level 2 not proved: it was not asked for"},
		},
		"level 1 broken breaks level 2": {
			func(r *drillReport) { r.Steps[1].Held, r.Steps[1].Why = false, "slow" }, false,
			[]string{"level 1 broken: rbd-lb on compute01: slow", "level 2 broken"},
		},
		"cut off": {
			func(r *drillReport) { r.Steps, r.Fault = r.Steps[:2], "gone" }, false,
			[]string{"level 1 holds", "level 2 not proved: the drill ended before: gone"},
		},
	} {
		r := &drillReport{Level: 2, planned: plan}
		for _, step := range plan {
			m := good(step.level, step.what)
			m.judge(30 * time.Second)
			r.Steps = append(r.Steps, m)
		}
		test.change(r)
		r.judge()
		var out bytes.Buffer
		if err := r.write(&out, "human"); err != nil {
			t.Fatal(err)
		}
		if r.holds() != test.holds {
			t.Errorf("%s: holds is %v", name, r.holds())
		}
		for _, want := range test.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: lacks %q:\n%s", name, want, out.String())
			}
		}
	}
}
