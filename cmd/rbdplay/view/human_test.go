package view_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rbdplay/rbdplay/cmd/rbdplay/view"
	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/modules"
)

// content is a change of a file's content.
func content(path, before, after string) change.Change {
	c := change.Change{Target: path, Action: change.Update, Field: "content", Before: change.Text(before), After: change.Text(after)}
	if before == "" {
		c.Action, c.Before = change.Create, change.Absent()
	}
	return c
}

func place(line int) diag.Range {
	return diag.Range{File: "site.yml", Start: diag.Pos{Line: line, Column: 7}}
}

// script makes the events of tasks without repeating their ids.
type script struct {
	events []event.Event
	id     int
}

func newScript() *script {
	return &script{events: []event.Event{event.RunStart{Playbook: "site.yml"}, event.PlayStart{Play: "Web", Hosts: []string{"a", "b"}}}}
}

// task begins a task; the ends and what comes before them follow, each told which
// task it belongs to.
func (s *script) task(name string, hosts string, during ...event.Event) *script {
	s.id++
	s.events = append(s.events, event.TaskStart{ID: s.id, Play: "Web", Task: name, Module: "copy", Place: place(s.id), Hosts: strings.Fields(hosts)})
	for _, e := range during {
		switch e := e.(type) {
		case event.TaskEnd:
			e.Task, e.Name, e.Play, e.Module, e.Place = s.id, name, "Web", "copy", place(s.id)
			s.events = append(s.events, e)
		case event.ItemEnd:
			e.Task = s.id
			s.events = append(s.events, e)
		case event.Output:
			e.Task = s.id
			s.events = append(s.events, e)
		case event.Message:
			e.Task = s.id
			s.events = append(s.events, e)
		default:
			s.events = append(s.events, e)
		}
	}
	return s
}

func draw(o view.Options, events []event.Event) string {
	var out bytes.Buffer
	h := view.NewHuman(&out, o)
	for _, e := range events {
		h.Emit(e)
	}
	return out.String()
}

func TestHuman(t *testing.T) {
	sources := &diag.Sources{}
	sources.Add("site.yml", []byte("- copy:\n    dest: \"{{ nosuch }}\"\n"))
	undefined := diag.New(diag.Range{File: "site.yml", Start: diag.Pos{Line: 2, Column: 15}, End: diag.Pos{Line: 2, Column: 21}}, "'nosuch' is undefined")
	changed := func(host string, changes ...change.Change) event.TaskEnd {
		return event.TaskEnd{Host: host, Status: modules.Changed, Changes: changes}
	}
	failed := func(host, message string) event.TaskEnd {
		return event.TaskEnd{Host: host, Status: modules.Failed, Message: message}
	}
	tests := []struct {
		name    string
		options view.Options
		script  *script
		want    string
	}{
		{
			name: "hosts that ended alike stand on one line, in the play's order",
			script: newScript().task("Motd", "a b c",
				changed("c", content("/etc/motd", "x\n", "y\n")), changed("a", content("/etc/motd", "x\n", "y\n")), changed("b", content("/etc/motd", "", "y\n"))),
			want: `
  changed  Motd  [a c]
    update /etc/motd  content
  changed  Motd  [b]
    create /etc/motd
`,
		},
		{
			name:   "what changed nothing is not shown",
			script: newScript().task("Motd", "a b", event.TaskEnd{Host: "a", Status: modules.OK}, event.TaskEnd{Host: "b", Status: modules.Skipped, Message: "the condition does not hold: x"}),
		},
		{
			name:    "but with -v",
			options: view.Options{Verbosity: 1},
			script:  newScript().task("Motd", "a b", event.TaskEnd{Host: "a", Status: modules.OK, Message: "fine"}, event.TaskEnd{Host: "b", Status: modules.Skipped, Message: "the condition does not hold: x"}),
			want: `
  ok       Motd  [a]
  skipped  Motd  [b]
    the condition does not hold: x
`,
		},
		{
			name:    "diff of content, with the lines that begin like a diff's head",
			options: view.Options{Diff: true},
			script:  newScript().task("Motd", "a", changed("a", content("/etc/motd", "one\n-- two\nthree\n", "one\n++ two\nthree\n"))),
			want: `
  changed  Motd  [a]
    update /etc/motd  content
      @@ -1,3 +1,3 @@
       one
      --- two
      +++ two
       three
`,
		},
		{
			name:    "diff of modes, packages, and what is not text",
			options: view.Options{Diff: true},
			script: newScript().task("All", "a", changed("a",
				change.Change{Target: "/etc/x", Action: change.Update, Field: "mode", Before: change.Text("0644"), After: change.Text("0600")},
				change.Change{Target: "/etc/x", Action: change.Update, Field: "owner", Before: change.Text("root"), After: change.Text("app")},
				change.Change{Target: "package keepalived", Action: change.Create, Field: "version", After: change.Text("1:2.2.7-1")},
				change.Change{Target: "package nfs", Action: change.Remove, Field: "version", Before: change.Text("1.3")},
				change.Change{Target: "/etc/pw", Action: change.Update, Field: "content", Before: change.Hidden(), After: change.Hidden()},
				change.Change{Target: "/bin/x", Action: change.Update, Field: "content", Before: change.Summary("9 bytes, sha256 aa"), After: change.Summary("8 bytes, sha256 bb")},
				change.Change{Target: "/etc/y", Action: change.Create, Field: "content", After: change.Unknown("package z brings it")},
				change.Change{Target: "command make", Action: change.Run},
			)),
			want: `
  changed  All  [a]
    update /etc/x  mode 0644 → 0600, owner root → app
    create package keepalived  version 1:2.2.7-1
    remove package nfs  version was 1.3
    update /etc/pw  content (hidden)
    update /bin/x  content 9 bytes, sha256 aa → 8 bytes, sha256 bb
    create /etc/y  content (not known yet: package z brings it)
    run command make
`,
		},
		{
			name: "the same without --diff",
			script: newScript().task("All", "a", changed("a",
				change.Change{Target: "/etc/x", Action: change.Update, Field: "mode", Before: change.Text("0644"), After: change.Text("0600")},
				change.Change{Target: "/etc/x", Action: change.Update, Field: "owner", Before: change.Text("root"), After: change.Text("app")},
				change.Change{Target: "command make", Action: change.Run},
			)),
			want: `
  changed  All  [a]
    update /etc/x  mode, owner
    run command make
`,
		},
		{
			name:    "the items of a loop that edit one file make one edit",
			options: view.Options{Diff: true},
			script: newScript().task("Lines", "a", changed("a",
				content("/x", "1\n", "1\n2\n"), content("/x", "1\n2\n", "1\n2\n3\n"),
				content("/y", "", "1\n"), content("/y", "1\n", "1\n2\n"))),
			want: `
  changed  Lines  [a]
    update /x  content
      @@ -1 +1,3 @@
       1
      +2
      +3
    create /y  content
      @@ -0,0 +1,2 @@
      +1
      +2
`,
		},
		{
			name: "deferred, with what it waits for",
			script: newScript().task("Show", "a b",
				event.TaskEnd{Host: "a", Status: modules.Deferred, Message: "waits for the result of the task “Look”", Deferred: "the result of the task “Look”"},
				event.TaskEnd{Host: "b", Status: modules.Deferred, Message: "waits for the result of the task “Look”", Deferred: "the result of the task “Look”"}),
			want: `
  deferred Show  [a b]
    waits for the result of the task “Look”
`,
		},
		{
			name: "a failure with its place and what was printed",
			script: newScript().task("Run", "a", event.TaskEnd{
				Host: "a", Status: modules.Failed, Message: "non-zero return code",
				Result: modules.Result{"stderr": "no such thing\n", "stdout": "trying\n"},
			}),
			want: `
  failed   Run  [a]
    non-zero return code
    stderr: no such thing
    stdout: trying
    at site.yml:1:7
`,
		},
		{
			name: "long output is cut at its beginning",
			script: newScript().task("Run", "a", event.TaskEnd{
				Host: "a", Status: modules.Failed, Message: "no", Result: modules.Result{"stderr": numbered(23)},
			}),
			want: "\n  failed   Run  [a]\n    no\n    stderr: (3 lines left out; -vv shows them)\n" +
				"    stderr: " + strings.ReplaceAll(strings.TrimSpace(numbered(23)[len("1\n2\n3\n"):]), "\n", "\n    stderr: ") + "\n    at site.yml:1:7\n",
		},
		{
			name: "a message that quotes the output is enough",
			script: newScript().task("Run", "a", event.TaskEnd{
				Host: "a", Status: modules.Failed, Message: "mount: no such device", Result: modules.Result{"stderr": "no such device\n"},
			}),
			want: `
  failed   Run  [a]
    mount: no such device
    at site.yml:1:7
`,
		},
		{
			name:    "output that was shown as it came is not shown again",
			options: view.Options{Verbosity: 2},
			script: newScript().task("Run", "a", event.Output{Host: "a", Stream: "stderr", Line: "oh"}, event.Output{Host: "a", Stream: "stdout", Line: "ah"},
				event.TaskEnd{Host: "a", Status: modules.Failed, Message: "non-zero return code", Result: modules.Result{"stderr": "oh\n"}}),
			want: `
  running  Run
    a stderr: oh
    a stdout: ah
  failed   Run  [a]
    non-zero return code
    at site.yml:1:7
`,
		},
		{
			name: "a failed loop shows each failed item",
			script: newScript().task("Run", "a",
				event.ItemEnd{Host: "a", Item: "one", Status: modules.Failed, Message: "non-zero return code", Result: modules.Result{"stderr": "bad one"}},
				event.ItemEnd{Host: "a", Item: "two", Status: modules.OK},
				event.ItemEnd{Host: "a", Item: "three", Status: modules.Failed, Message: "worse\nstill"},
				failed("a", "one: non-zero return code\nthree: worse\nstill")),
			want: `
  failed   Run  [a]
    one: non-zero return code
    stderr: bad one
    three: worse
    still
    at site.yml:1:7
`,
		},
		{
			name:    "a fault of the playbook is shown with its line, and once",
			options: view.Options{Sources: sources},
			script: newScript().task("Run", "a b",
				event.TaskEnd{Host: "a", Status: modules.Failed, Message: undefined.Summary, Diagnostic: &undefined},
				event.TaskEnd{Host: "b", Status: modules.Failed, Message: undefined.Summary, Diagnostic: &undefined}),
			want: `
  failed   Run  [a b]
    site.yml:2:15: error: 'nosuch' is undefined
       2 |     dest: "{{ nosuch }}"
         |               ^^^^^^
`,
		},
		{
			name: "ignored and rescued failures are called so",
			script: newScript().
				task("One", "a", event.TaskEnd{Host: "a", Status: modules.Failed, Ignored: true, Message: "no"}).
				task("Two", "a", event.TaskEnd{Host: "a", Status: modules.Failed, Rescued: true, Message: "no"}),
			want: `
  ignored  One  [a]
    no
    at site.yml:1:7
  rescued  Two  [a]
    no
    at site.yml:2:7
`,
		},
		{
			name: "an unreachable host is told of once",
			script: newScript().task("Run", "a b",
				event.HostDown{Host: "b", Message: "b (10.0.0.2:22): connection refused", Hint: "is sshd running?"},
				event.TaskEnd{Host: "a", Status: modules.OK},
				event.TaskEnd{Host: "b", Status: modules.Unreachable, Message: "b (10.0.0.2:22): connection refused"}),
			want: `
  unreachable b (10.0.0.2:22): connection refused
    is sshd running?
`,
		},
		{
			name:   "a host that is lost later is told of too",
			script: newScript().task("Run", "b", event.TaskEnd{Host: "b", Status: modules.Unreachable, Message: "the connection was lost"}),
			want: `
  unreachable Run  [b]
    the connection was lost
`,
		},
		{
			name: "what debug says stands with its task, once for those who say the same",
			script: newScript().task("Show", "a b c", event.Message{Host: "b", Text: "two\nlines"}, event.Message{Host: "a", Text: "two\nlines"}, event.Message{Host: "c", Text: "other"},
				event.TaskEnd{Host: "a", Status: modules.OK}, event.TaskEnd{Host: "b", Status: modules.OK}, event.TaskEnd{Host: "c", Status: modules.OK}),
			want: `
  ok       Show  [a b]
    two
    lines
  ok       Show  [c]
    other
`,
		},
		{
			name:   "who does a task for another is named",
			script: newScript().task("Peer", "a", event.TaskEnd{Host: "a", Delegate: "b", Status: modules.Changed, Changes: []change.Change{{Target: "peer a", Action: change.Create}}}),
			want: `
  changed  Peer  [a→b]
    create peer a
`,
		},
		{
			name:    "connections with -v",
			options: view.Options{Verbosity: 1},
			script: newScript().task("Run", "a", event.HostUp{Host: "a", Took: 31 * time.Millisecond, Uploaded: 4 << 20}, event.HostUp{Host: "b", Took: 12 * time.Millisecond},
				event.TaskEnd{Host: "a", Status: modules.OK}),
			want: `
  connected a in 31ms, 4096 kB of agent sent
  connected b in 12ms
  ok       Run  [a]
`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := "site.yml\n"
			if test.want != "" {
				want += "\nWeb" + test.want
			}
			if diff := cmp.Diff(want, draw(test.options, test.script.events)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func numbered(n int) string {
	text := ""
	for i := range n {
		text += fmt.Sprintln(i + 1)
	}
	return text
}

func TestHeadings(t *testing.T) {
	done := func(id int, play string) []event.Event {
		return []event.Event{
			event.PlayStart{Play: play, Hosts: []string{"a"}},
			event.TaskStart{ID: id, Play: play, Task: "Reload", Handler: id == 3, Hosts: []string{"a"}},
			event.TaskEnd{Task: id, Host: "a", Status: map[bool]modules.Status{true: modules.OK, false: modules.Changed}[id == 2]},
		}
	}
	events := append([]event.Event{event.RunStart{Playbook: "p", Check: true}, event.Message{Text: "old", Warning: true}}, done(1, "One")...)
	events = append(append(events, done(2, "Quiet")...), done(3, "Two")...)
	want := `p: check, nothing is changed
warning old

One
  changed  Reload  [a]

Two
  changed  handler: Reload  [a]
`
	if diff := cmp.Diff(want, draw(view.Options{}, events)); diff != "" {
		t.Error(diff)
	}
}

func TestRecap(t *testing.T) {
	hosts := map[string]event.Totals{
		"web1":      {OK: 12, Changed: 3},
		"database1": {OK: 7, Failed: 1, Skipped: 1, Ignored: 1},
		"web2":      {Unreachable: 1},
		"web3":      {},
	}
	got := draw(view.Options{}, []event.Event{event.RunEnd{Hosts: hosts, Took: 1234 * time.Millisecond}})
	want := `
database1  ok  7  changed 0  failed 1  unreachable 0  skipped 1  ignored 1
web1       ok 12  changed 3  failed 0  unreachable 0  skipped 0  ignored 0
web2       ok  0  changed 0  failed 0  unreachable 1  skipped 0  ignored 0
done in 1.23s
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = draw(view.Options{}, []event.Event{
		event.RunStart{Playbook: "p", Check: true},
		event.RunEnd{Hosts: map[string]event.Totals{"a": {OK: 1}}, Took: 3 * time.Second, Interrupted: true},
	})
	if want := "p: check, nothing is changed\n\na  ok 1  changed 0  deferred 0  failed 0\ninterrupted after 3s\n"; got != want {
		t.Error(cmp.Diff(want, got))
	}
}

// On a terminal a line says what runs, and is gone before anything else is said.
func TestStatusLine(t *testing.T) {
	s := newScript().task("Copy \u914d\u7f6e\u6587\u4ef6 everywhere", "a b",
		event.TaskEnd{Host: "b", Status: modules.OK},
		event.TaskEnd{Host: "a", Status: modules.Changed, Changes: []change.Change{content("/x", "", "y")}})
	got := draw(view.Options{Terminal: true, Width: 24}, s.events)
	want := "site.yml\n" +
		"… Web: Copy \u914d\u7f6e\u6587\u4ef6 ev" + "\r\x1b[K" +
		"… Web: Copy \u914d\u7f6e\u6587\u4ef6 ev" + "\r\x1b[K" +
		"\nWeb\n  changed  Copy \u914d\u7f6e\u6587\u4ef6 everywhere  [a]\n    create /x\n"
	if got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	quiet := newScript().task("Look", "a", event.TaskEnd{Host: "a", Status: modules.OK})
	if got, want := draw(view.Options{Terminal: true, Width: 80}, quiet.events), "site.yml\n… Web: Look  a\r\x1b[K"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColor(t *testing.T) {
	s := newScript().task("Motd", "a", event.TaskEnd{Host: "a", Status: modules.Changed, Changes: []change.Change{content("/x", "1\n", "2\n")}})
	got := draw(view.Options{Color: true, Diff: true}, s.events)
	for _, want := range []string{"\x1b[33mchanged \x1b[", "\x1b[32m  +2\x1b[", "\x1b[31m  -1\x1b[", "\x1b[1mWeb\x1b["} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// A check and the run that follows show the same text for the same changes.
func TestCheckAndRunShowTheSame(t *testing.T) {
	values := rapid.Custom(func(t *rapid.T) change.Value {
		return change.Value{
			Kind: rapid.SampledFrom([]change.Kind{change.KindAbsent, change.KindText, change.KindSummary, change.KindHidden}).Draw(t, "kind"),
			Text: rapid.SampledFrom([]string{"", "a", "a\n", "a\nb\n", "0644"}).Draw(t, "text"),
		}
	})
	changes := rapid.Custom(func(t *rapid.T) change.Change {
		return change.Change{
			Target: rapid.SampledFrom([]string{"/x", "/y", "unit z"}).Draw(t, "target"),
			Action: rapid.SampledFrom([]change.Action{change.Create, change.Update, change.Remove, change.Run}).Draw(t, "action"),
			Field:  rapid.SampledFrom([]string{"content", "mode", ""}).Draw(t, "field"),
			Before: values.Draw(t, "before"), After: values.Draw(t, "after"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(changes, 1, 6).Draw(t, "changes")
		o := view.Options{Diff: rapid.Bool().Draw(t, "diff")}
		text := func(check bool) string {
			s := newScript().task("Task", "a", event.TaskEnd{Host: "a", Status: modules.Changed, Changes: list})
			s.events[0] = event.RunStart{Playbook: "site.yml", Check: check}
			_, rest, _ := strings.Cut(draw(o, s.events), "\n")
			return rest
		}
		if diff := cmp.Diff(text(true), text(false)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// hostile is what a host could send to steer a terminal.
const hostile = "x\x1b[2J\x07\b\r\x9b31m\u202e\u2066\x00\n\x1b]0;title\x07y"

// Whatever field a host or a file fills, no control character comes through.
func TestNothingSteersTheTerminal(t *testing.T) {
	fill := func(e event.Event) event.Event {
		v := reflect.New(reflect.TypeOf(e)).Elem()
		v.Set(reflect.ValueOf(e))
		poison(v)
		return v.Interface().(event.Event)
	}
	for verbosity := range 3 {
		for _, status := range []modules.Status{modules.OK, modules.Changed, modules.Failed, modules.Skipped, modules.Deferred, modules.Unreachable} {
			id := 1
			end := event.TaskEnd{Task: id, Host: "a", Status: status, Changes: []change.Change{{Before: change.Text(""), After: change.Text("")}, {Action: change.Run}}, Result: modules.Result{"stderr": hostile, "stdout": hostile}, Diagnostic: &diag.Diagnostic{Values: []diag.NamedValue{{}}, Related: []diag.Note{{}}}}
			events := []event.Event{
				fill(event.RunStart{}), fill(event.PlayStart{}), fill(event.TaskStart{ID: id}), fill(event.HostDown{}), fill(event.HostUp{}),
				fill(event.Message{}), fill(event.Message{Warning: true}), fill(event.Message{Task: id}), fill(event.Output{Task: id}),
				fill(event.ItemEnd{Task: id, Status: status, Result: modules.Result{"stderr": hostile}}), fill(end),
				event.RunEnd{Hosts: map[string]event.Totals{hostile: {}}},
			}
			got := draw(view.Options{Diff: true, Verbosity: verbosity}, events)
			if at := strings.IndexFunc(got, func(r rune) bool {
				return r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069)
			}); at >= 0 {
				t.Errorf("-v %d, %s: a control character comes through: %q", verbosity, status, got[max(0, at-60):min(len(got), at+20)])
			}
		}
	}
}

// poison sets every text in v, however deep, to the hostile one. Hosts keep one
// name, so that the events belong together.
func poison(v reflect.Value) {
	switch {
	case v.Kind() == reflect.String && v.Type() != reflect.TypeFor[modules.Status]() && v.Type() != reflect.TypeFor[change.Action]():
		v.SetString(hostile)
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			poison(field)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		poison(v.Elem())
	case v.Kind() == reflect.Slice:
		if v.IsNil() && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf([]string{hostile}))
		}
		for i := range v.Len() {
			poison(v.Index(i))
		}
	}
}
