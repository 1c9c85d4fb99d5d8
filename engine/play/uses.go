package play

import (
	"maps"
	"slices"
)

// Uses lists every variable that the task takes from its scope, sorted, those
// of its loop, conditions, arguments and keywords: what a deferred task waits for
// is among them, or among what those variables are made of.
func (t *Task) Uses() []string {
	used := map[string]bool{}
	note := func(names []string) {
		for _, name := range names {
			used[name] = true
		}
	}
	for _, conditions := range [][]*Condition{t.When, t.Until, t.ChangedWhen, t.FailedWhen, t.That, t.LoopControl.BreakWhen} {
		for _, c := range conditions {
			note(c.Uses())
		}
	}
	if t.Args != nil {
		for _, one := range t.Args.given { // all compiled: a playbook with faults does not run
			note(one.value.Variables())
		}
	}
	if t.Var != nil {
		note(t.Var.Variables())
	}
	if t.Loop != nil {
		note(t.Loop.value.Variables())
	}
	for _, value := range t.Environment {
		note(value.Variables())
	}
	for _, setting := range t.settings() {
		note(setting.uses())
	}
	return slices.Sorted(maps.Keys(used))
}

// settings are the task's keywords that may hold a template.
func (t *Task) settings() []interface{ uses() []string } {
	settings := []interface{ uses() []string }{
		t.Become, t.BecomeUser, t.BecomeMethod, t.BecomeExe, t.BecomeFlags, t.Connection, t.RemoteUser, t.Port, t.CheckMode, t.Diff, t.NoLog,
		t.RunOnce, t.IgnoreErrors, t.IgnoreUnreachable, t.AnyErrorsFatal, t.Throttle, t.Timeout, t.DelegateTo,
		t.DelegateFacts, t.Retries, t.Delay, t.Async, t.Poll, t.LoopControl.Pause, t.LoopControl.Extended,
	}
	if t.Include != nil {
		settings = append(settings, t.Include.File, t.Include.Role)
	}
	return settings
}
