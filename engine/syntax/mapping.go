package syntax

import (
	"slices"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Fields reads a mapping by name. A reader takes what it knows with Get and ends
// with Unknown, so that no key is accepted and ignored.
type Fields struct {
	Node  *Node
	index map[string]int
}

// Fields gives the reader of a mapping; anything else is a finding.
func (n *Node) Fields() (*Fields, error) {
	if n.Kind != Mapping {
		if err := n.readable(); err != nil {
			return nil, err
		}
		return nil, n.wants("a mapping")
	}
	index := make(map[string]int, len(n.Entries))
	for i, entry := range n.Entries {
		index[entry.Name] = i
	}
	return &Fields{Node: n, index: index}, nil
}

// Get is the value of a key. A key written without a value is there, and Null.
func (f *Fields) Get(name string) (*Node, bool) {
	i, ok := f.index[name]
	if !ok {
		return nil, false
	}
	return f.Node.Entries[i].Value, true
}

// Key is the node of the key itself, for messages that point at it; nil when
// the mapping has no such key.
func (f *Fields) Key(name string) *Node {
	i, ok := f.index[name]
	if !ok {
		return nil
	}
	return f.Node.Entries[i].Key
}

// Require is Get for a key that must be there.
func (f *Fields) Require(name string) (*Node, error) {
	if value, ok := f.Get(name); ok {
		return value, nil
	}
	return nil, f.Node.Errorf("key %q is missing", name)
}

// Names lists the keys in the order of the file.
func (f *Fields) Names() []string {
	names := make([]string, len(f.Node.Entries))
	for i, entry := range f.Node.Entries {
		names[i] = entry.Name
	}
	return names
}

// Unknown reports every key that is not among the known ones.
func (f *Fields) Unknown(known ...string) diag.List {
	var found diag.List
	for _, entry := range f.Node.Entries {
		if !slices.Contains(known, entry.Name) {
			found.Add(entry.Key.Errorf("unknown key %q", entry.Name).
				WithHint(diag.DidYouMean(entry.Name, known)))
		}
	}
	return found
}
