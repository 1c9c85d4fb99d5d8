package main

import (
	"fmt"
	"math"
	"time"
)

// target is what a part is to reach.
type target struct {
	letter, what, wanted string
	measure              func(s *section) (reading, bool) // false: the part lacks the figures
}

// reading is what a part reached: share is how much of what was wanted, 1 or more
// when that is reached.
type reading struct {
	text  string
	share float64
}

// verdict is a target held against the figures.
type verdict struct {
	target

	measured, outcome string
}

// targets are what rbdplay is to reach, see "What was wanted" on the page.
func targets() []target {
	const mib = 1 << 20
	return []target{
		faster("a", "100 lines, 0 ms", "0 ms", 150, "ansible"),
		faster("a", "100 lines, 0 ms", "0 ms", 20, "mitogen"),
		faster("b", "nothing to do, 0 ms", "0 ms, again", 80, "ansible"),
		faster("b", "nothing to do, 0 ms", "0 ms, again", 30, "mitogen"),
		nearFloor("nothing to do, 109 ms", "109 ms, again", 1.5),
		within("c", "one host, 109 ms", "109 ms", 2500*time.Millisecond),
		faster("d", "a big file", bigCondition, 1, scp),
		faster("d", "a big file", bigCondition, 1, scpSameCipher),
		faster("d", "small files", smallCondition(peerFiles), 20, "ansible"),
		within("e", "ha-minimal, nothing to do", "0 ms", 2*time.Second),
		within("f", "1,000 hosts × 20 tasks", "1000 hosts", 30*time.Second),
		memory("f", "1,000 hosts × 20 tasks", "1000 hosts", 400*mib),
		flat("f", "1,000 hosts × 20 tasks", "100 hosts", "1000 hosts", 1.25),
		within("g", "first contact, 0 ms", "0 ms", 1500*time.Millisecond),
		small(agentSent, 5*mib/2),
		small(agentOnDisk, 8*mib),
	}
}

// judge holds the targets against the figures.
func (r *results) judge(all []target) []verdict {
	var verdicts []verdict
	for _, t := range all {
		v := verdict{target: t, measured: "not measured"}
		if s, ok := r.section(t.letter); ok {
			if got, ok := t.measure(&s); ok {
				v.measured, v.outcome = got.text, got.outcome()
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

func (r reading) outcome() string {
	if r.share >= 1 {
		return "reached"
	}
	return fmt.Sprintf("**missed**: %.0f %%", math.Floor(100*r.share)) // 100 % would be reached
}

func faster(letter, what, condition string, least float64, peer string) target {
	return target{letter, what, fmt.Sprintf("%g × %s", least, peer), func(s *section) (reading, bool) {
		ours, ok1 := s.figure(rbdplay, condition)
		theirs, ok2 := s.figure(peer, condition)
		if !ok1 || !ok2 {
			return reading{}, false
		}
		ratio := theirs.Median.Seconds() / ours.Median.Seconds()
		return reading{showTimes(ratio), ratio / least}, true
	}}
}

func nearFloor(what, condition string, most float64) target {
	return target{"b", what, fmt.Sprintf("at most %g × the floor", most), func(s *section) (reading, bool) {
		ours, ok := s.figure(rbdplay, condition)
		least := s.Floors[condition]
		if !ok || least == 0 {
			return reading{}, false
		}
		ratio := ours.Median.Seconds() / least.Seconds()
		return reading{showTimes(ratio), most / ratio}, true
	}}
}

func within(letter, what, condition string, most time.Duration) target {
	return target{letter, what, "at most " + show(most), func(s *section) (reading, bool) {
		ours, ok := s.figure(rbdplay, condition)
		return reading{show(ours.Median), most.Seconds() / ours.Median.Seconds()}, ok
	}}
}

func memory(letter, what, condition string, most int64) target {
	return target{letter, what, "at most " + showBytes(most), func(s *section) (reading, bool) {
		ours, ok := s.figure(rbdplay, condition)
		return reading{showBytes(ours.Peak), float64(most) / float64(ours.Peak)}, ok
	}}
}

// flat wants the controller's work for a host to stay the same when there are more.
func flat(letter, what, fewer, more string, most float64) target {
	wanted := fmt.Sprintf("CPU for each host at most %g × that with %s", most, fewer)
	return target{letter, what, wanted, func(s *section) (reading, bool) {
		a, ok1 := s.figure(rbdplay, fewer)
		b, ok2 := s.figure(rbdplay, more)
		if !ok1 || !ok2 {
			return reading{}, false
		}
		ratio := b.cpuOfHost().Seconds() / a.cpuOfHost().Seconds()
		text := fmt.Sprintf("%s (%s, %s)", showTimes(ratio), show(a.cpuOfHost()), show(b.cpuOfHost()))
		return reading{text, most / ratio}, true
	}}
}

func small(what string, most int64) target {
	return target{"h", what, "at most " + showBytes(most), func(s *section) (reading, bool) {
		for _, one := range s.Sizes {
			if one.What == what {
				return reading{showBytes(one.Bytes), float64(most) / float64(one.Bytes)}, true
			}
		}
		return reading{}, false
	}}
}
