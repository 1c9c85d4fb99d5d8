// Package syntax reads YAML as Ansible does (YAML 1.1 through PyYAML's eyes)
// and keeps the place of everything it reads.
//
// A file becomes a tree of Nodes. Aliases share their Node and merge keys are
// already merged, so a reader of the tree need not know of either. Nodes are
// not changed after Parse and may be read by many goroutines.
//
// Where it differs from PyYAML, on purpose: a duplicate key is an error (Ansible
// warns); a timestamp stays the text that was written; mapping keys are text
// (a key 80 is "80", a key yes is "True", as Python prints them).
package syntax

import (
	"fmt"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Kind says what a Node is.
type Kind int

// The kinds. The five scalars come first.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	Sequence
	Mapping
)

var kindNames = [...]string{"nothing", "a boolean", "an integer", "a number", "a string", "a list", "a mapping"}

// String is the kind as a message names it: "a list".
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// The tags a Node may carry. Any other tag that YAML does not define is refused
// when the file is read.
const (
	TagUnsafe = "!unsafe" // the text is never a template
	TagVault  = "!vault"  // the text is encrypted
)

// Node is a value in a file.
type Node struct {
	Kind    Kind
	Range   diag.Range
	Tag     string  // "", TagUnsafe or TagVault
	Text    string  // a scalar's text, after quotes and escapes; unresolved
	Quoted  bool    // a scalar in quotes or in a block (| or >): always a string
	Items   []*Node // of a Sequence
	Entries []Entry // of a Mapping, in the order of the file, keys unique
	Secret  bool    // it was encrypted: no message shows its text

	value   any // a scalar's resolved value
	content int // byte offset in the source where a scalar's text begins
	style   scalarStyle
	source  *source
}

// Entry is one key of a mapping.
type Entry struct {
	Name  string // the key as text
	Key   *Node
	Value *Node
}

// IsScalar reports whether n is neither a list nor a mapping.
func (n *Node) IsScalar() bool { return n.Kind != Sequence && n.Kind != Mapping }

// Errorf is a finding at the node's place.
func (n *Node) Errorf(format string, args ...any) diag.Diagnostic {
	return diag.New(n.Range, format, args...)
}

// wants is the finding "expected …, found …".
func (n *Node) wants(what string) diag.Diagnostic {
	found := n.Kind.String()
	if n.IsScalar() && n.Kind != Null && n.Tag != TagVault && !n.Secret {
		found += fmt.Sprintf(" (%s)", clip(n.Text))
	}
	return n.Errorf("expected %s, found %s", what, found)
}

func clip(text string) string {
	const most = 40
	if r := []rune(text); len(r) > most {
		return fmt.Sprintf("%q…", string(r[:most]))
	}
	return fmt.Sprintf("%q", text)
}

// readable refuses what is still encrypted.
func (n *Node) readable() error {
	if n.Tag == TagVault {
		return n.Errorf("this value is encrypted with ansible-vault and no vault password was given")
	}
	return nil
}

// AsString is the node's text. It takes every scalar but null, since who writes
// `mode: 0644` or `name: 5` where text is wanted means the text.
func (n *Node) AsString() (string, error) {
	if err := n.readable(); err != nil {
		return "", err
	}
	if !n.IsScalar() || n.Kind == Null {
		return "", n.wants("a string")
	}
	return n.Text, nil
}

// AsBool is the node's truth. Besides YAML's booleans it takes the texts that
// Ansible takes: yes, no, on, off, true, false, y, n, t, f, 1 and 0.
func (n *Node) AsBool() (bool, error) {
	if err := n.readable(); err != nil {
		return false, err
	}
	if b, ok := n.value.(bool); ok {
		return b, nil
	}
	if n.Kind == String || n.Kind == Int {
		if b, ok := ParseBool(n.Text); ok {
			return b, nil
		}
	}
	return false, n.wants("true or false")
}

// AsInt is the node's number. A quoted number is taken as well.
func (n *Node) AsInt() (int, error) {
	if err := n.readable(); err != nil {
		return 0, err
	}
	if i, ok := n.value.(int); ok {
		return i, nil
	}
	if n.Kind == String {
		if i, ok := resolve(n.Text).(int); ok {
			return i, nil
		}
	}
	return 0, n.wants("an integer")
}

// AsList is the node's items. Null is the empty list, as for Ansible.
func (n *Node) AsList() ([]*Node, error) {
	if n.Kind == Null {
		return nil, nil
	}
	if n.Kind != Sequence {
		return nil, n.wants("a list")
	}
	return n.Items, nil
}

// AsStrings is a list of texts. A single scalar is a list of one.
func (n *Node) AsStrings() ([]string, error) {
	if n.IsScalar() && n.Kind != Null {
		text, err := n.AsString()
		return []string{text}, err
	}
	items, err := n.AsList()
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(items))
	for i, item := range items {
		if texts[i], err = item.AsString(); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// Decode is the node as plain Go values: map[string]any, []any, string, bool,
// int, float64 and nil. Integers too large for int become float64. The values
// are fresh; the caller may change them. What is encrypted is an error.
func (n *Node) Decode() (any, error) {
	if err := n.readable(); err != nil {
		return nil, err
	}
	switch n.Kind {
	case Sequence:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			value, err := item.Decode()
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case Mapping:
		mapping := make(map[string]any, len(n.Entries))
		for _, entry := range n.Entries {
			value, err := entry.Value.Decode()
			if err != nil {
				return nil, err
			}
			mapping[entry.Name] = value
		}
		return mapping, nil
	default:
		return n.value, nil
	}
}
