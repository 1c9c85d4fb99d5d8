package engine

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/rbdplay/rbdplay/engine/change"
	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/event"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/vault"
	"github.com/rbdplay/rbdplay/modules"
)

// noLogText stands for what no_log hides.
const noLogText = "(hidden by no_log)"

// hidden stands where a secret stood.
const hidden = "********"

// shortestSecret is the length in bytes below which a secret is not looked for in
// other texts: a password such as "1" would blank out half of every message. Its
// own argument is hidden all the same.
const shortestSecret = 4

// redactor is a sink that hides known secrets in every event before it passes it
// on, one event at a time. The texts around a secret stay readable.
type redactor struct {
	mu       sync.Mutex
	sink     event.Sink
	secrets  []string
	replacer *strings.Replacer
}

// Hide replaces in a text what a keyring has opened so far: for texts that do not
// come as events. A nil keyring hides nothing.
func Hide(keyring *vault.Keyring, text string) string {
	r := &redactor{}
	keyring.Each(r.add)
	if r.replacer == nil {
		return text
	}
	return r.text(text)
}

// addAll makes every text in a value known as a secret.
func (r *redactor) addAll(value any) {
	switch v := value.(type) {
	case nil, bool:
	case []any:
		for _, one := range v {
			r.addAll(one)
		}
	case map[string]any:
		for _, one := range v {
			r.addAll(one)
		}
	default:
		r.add(expression.Text(v))
	}
}

// add makes a value known as a secret, in the forms in which others print it:
// without the space around it, with escapes, and line by line.
func (r *redactor) add(secret string) {
	trimmed := strings.TrimSpace(secret)
	quoted := strconv.Quote(trimmed)
	forms := []string{secret, trimmed, quoted[1 : len(quoted)-1]}
	if strings.Contains(trimmed, "\n") {
		for line := range strings.Lines(trimmed) {
			// Short lines of a long secret tell nothing and may stand anywhere.
			if line = strings.TrimSpace(line); len(line) >= 2*shortestSecret {
				forms = append(forms, line)
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	known := len(r.secrets)
	for _, form := range forms {
		if len(form) >= shortestSecret && !slices.Contains(r.secrets, form) {
			r.secrets = append(r.secrets, form)
		}
	}
	if len(r.secrets) > known {
		r.learn()
	}
}

// learn makes the replacer anew. The caller holds mu.
func (r *redactor) learn() {
	// Longer ones first: one secret may be part of another.
	slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(r.secrets))
	for _, s := range r.secrets {
		pairs = append(pairs, s, hidden)
	}
	r.replacer = strings.NewReplacer(pairs...)
}

// Emit implements event.Sink.
func (r *redactor) Emit(e event.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.replacer != nil {
		e = r.event(e)
	}
	r.sink.Emit(e)
}

func (r *redactor) event(e event.Event) event.Event {
	switch e := e.(type) {
	case event.TaskStart:
		e.Task = r.text(e.Task)
		return e
	case event.HostDown:
		e.Message, e.Hint = r.text(e.Message), r.text(e.Hint)
		return e
	case event.Planned:
		e.Item, e.Changes = r.text(e.Item), r.changes(e.Changes)
		return e
	case event.StepDone:
		e.Item, e.Changes = r.text(e.Item), r.changes(e.Changes)
		return e
	case event.Output:
		e.Item, e.Line = r.text(e.Item), r.text(e.Line)
		return e
	case event.ItemEnd:
		e.Item, e.Message, e.Changes = r.text(e.Item), r.text(e.Message), r.changes(e.Changes)
		e.Result, _ = r.value(e.Result).(modules.Result)
		return e
	case event.TaskEnd:
		e.Name, e.Message, e.Changes, e.Deferred = r.text(e.Name), r.text(e.Message), r.changes(e.Changes), r.text(e.Deferred)
		e.Result, _ = r.value(e.Result).(modules.Result)
		e.Diagnostic = r.diagnostic(e.Diagnostic)
		return e
	case event.Message:
		e.Text = r.text(e.Text)
		return e
	}
	return e
}

func (r *redactor) text(s string) string { return r.replacer.Replace(s) }

func (r *redactor) changes(changes []change.Change) []change.Change {
	out := slices.Clone(changes)
	for i := range out {
		out[i].Target, out[i].Field = r.text(out[i].Target), r.text(out[i].Field)
		out[i].Before.Text = r.text(out[i].Before.Text)
		out[i].After.Text = r.text(out[i].After.Text)
	}
	return out
}

func (r *redactor) diagnostic(d *diag.Diagnostic) *diag.Diagnostic {
	if d == nil {
		return nil
	}
	out := *d
	out.Summary, out.Detail, out.Hint = r.text(d.Summary), r.text(d.Detail), r.text(d.Hint)
	out.Related = slices.Clone(d.Related)
	for i := range out.Related {
		out.Related[i].Text = r.text(out.Related[i].Text)
	}
	out.Values = slices.Clone(d.Values)
	for i := range out.Values {
		out.Values[i].Value = r.text(out.Values[i].Value)
	}
	return &out
}

// value hides secrets in a result, which it copies as far as it has to.
func (r *redactor) value(v any) any {
	switch v := v.(type) {
	case string:
		return r.text(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = r.value(v[i])
		}
		return out
	case []string:
		out := make([]string, len(v))
		for i := range v {
			out[i] = r.text(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			out[r.text(key)] = r.value(v[key])
		}
		return out
	case modules.Result:
		if v == nil {
			return v
		}
		out := make(modules.Result, len(v))
		for key := range v {
			out[key] = r.value(v[key])
		}
		return out
	default:
		return v
	}
}

// showing is what a task lets its events tell.
type showing struct {
	noLog  bool
	noDiff bool // diff: false
}

// changes keeps of changes what may be told. Under no_log that is that there are
// some: the target may be a command line, or be named by a loop's item.
func (s showing) changes(changes []change.Change) []change.Change {
	if !s.noLog && !s.noDiff {
		return changes
	}
	out := slices.Clone(changes)
	for i := range out {
		if s.noLog {
			out[i].Target = noLogText
		}
		out[i].Before, out[i].After = hideValue(out[i].Before), hideValue(out[i].After)
	}
	return out
}

// text is a message or a label as far as it may be told.
func (s showing) text(text string) string {
	if s.noLog && text != "" {
		return noLogText
	}
	return text
}

func hideValue(v change.Value) change.Value {
	if v.Kind == change.KindAbsent || v.Kind == change.KindUnknown {
		return v
	}
	return change.Hidden()
}
