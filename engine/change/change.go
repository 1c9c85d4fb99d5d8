// Package change describes what a step does to a host: one thing, one field,
// before and after. It is the only vocabulary shared by modules, the agent,
// events and views; what a diff shows and what a journal keeps is made of it.
package change

import (
	"encoding/json"
	"fmt"
)

// Action says what happens to the target.
type Action string

// The actions. Run is an event: something happens (a command, a restart) that
// leaves no state by which a second look could tell whether it is still needed.
const (
	Create Action = "create"
	Update Action = "update"
	Remove Action = "remove"
	Run    Action = "run"
)

// Change is one effect. Target names the thing as an operator would: a path,
// "package keepalived", "unit glusterd.service", "container rbd-lb",
// "console.region_info[region_name=rainbond]". Field is the part of it that
// changes: "content", "mode", "state", "version", …
type Change struct {
	Target string `cbor:"1,keyasint" json:"target"`
	Action Action `cbor:"2,keyasint" json:"action"`
	Field  string `cbor:"3,keyasint,omitempty" json:"field,omitempty"`
	Before Value  `cbor:"4,keyasint" json:"before"`
	After  Value  `cbor:"5,keyasint" json:"after"`
}

// Event reports whether the change is something that happens rather than a
// state that is reached.
func (c Change) Event() bool { return c.Action == Run }

// Kind says how a Value is to be read.
type Kind uint8

// The kinds of a Value.
const (
	KindAbsent  Kind = iota // there is nothing: the file does not exist, the key is not set
	KindText                // Text is the whole value
	KindSummary             // Text describes a value too large or not made of text
	KindUnknown             // check mode cannot know it; Text says why
	KindHidden              // a secret; its text never left the host
)

// Value is one side of a change. The zero Value is "absent".
type Value struct {
	Kind Kind   `cbor:"1,keyasint"`
	Text string `cbor:"2,keyasint,omitempty"`
}

// Absent is the value of a thing that is not there.
func Absent() Value { return Value{} }

// Text is a value shown whole.
func Text(s string) Value { return Value{Kind: KindText, Text: s} }

// Textf is Text with formatting.
func Textf(format string, args ...any) Value { return Text(fmt.Sprintf(format, args...)) }

// Summary stands for a value that is too large or not text; s describes it so
// that two different values have different summaries (size and digest).
func Summary(s string) Value { return Value{Kind: KindSummary, Text: s} }

// Unknown stands for what check mode cannot know; why names the cause.
func Unknown(why string) Value { return Value{Kind: KindUnknown, Text: why} }

// Hidden stands for a secret. It carries nothing of it.
func Hidden() Value { return Value{Kind: KindHidden} }

// String is the value as shown to a person.
func (v Value) String() string {
	switch v.Kind {
	case KindAbsent:
		return "(absent)"
	case KindUnknown:
		return "(not known yet: " + v.Text + ")"
	case KindHidden:
		return "(hidden)"
	case KindText, KindSummary:
	}
	return v.Text
}

// MarshalJSON writes text as a string, absence as null, and the other kinds as
// objects with one key, so that a program cannot take them for text.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.Kind {
	case KindAbsent:
		return []byte("null"), nil
	case KindSummary:
		return json.Marshal(map[string]string{"summary": v.Text})
	case KindUnknown:
		return json.Marshal(map[string]string{"unknown": v.Text})
	case KindHidden:
		return []byte(`{"hidden":true}`), nil
	case KindText:
	}
	return json.Marshal(v.Text)
}
