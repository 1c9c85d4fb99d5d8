package expression

import (
	"errors"
	"fmt"

	"github.com/rbdplay/rbdplay/engine/syntax"
)

func fromYAMLFilter(c *Call) (any, error) {
	s, ok := c.Input.(string)
	if !ok {
		return c.Input, nil
	}
	node, err := syntax.Parse("the text", []byte(s))
	if err != nil {
		return nil, errors.New(err.Error()) // its place is in the text, not in the file
	}
	return FromYAML(node)
}

// FromYAML is a node's value; mappings keep the order of the file. Text in it is
// not rendered.
func FromYAML(n *syntax.Node) (any, error) {
	switch n.Kind {
	case syntax.Sequence:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			value, err := FromYAML(item)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case syntax.Mapping:
		d := NewDict(len(n.Entries))
		for _, entry := range n.Entries {
			value, err := FromYAML(entry.Value)
			if err != nil {
				return nil, err
			}
			d.Set(entry.Name, value)
		}
		return d, nil
	default:
		return n.Decode()
	}
}

func yamlFilter(c *Call) (any, error) { return nil, fmt.Errorf("to_yaml is not built yet") }
