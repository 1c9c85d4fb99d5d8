package syntax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// What a file may hold. A playbook of a thousand tasks has about twenty thousand
// nodes; aliases count each time they are used, which stops the files that grow
// without end ("billion laughs").
const (
	mostNodes = 1_000_000
	mostDepth = 200
	mostBytes = 32 << 20
)

// Load reads and parses a file and remembers its text in src (which may be nil)
// so that findings can show their line.
func Load(path string, src *diag.Sources) (*Node, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read YAML: %w", err)
	}
	if src != nil {
		src.Add(path, text)
	}
	return Parse(path, text)
}

// Parse reads one YAML document. File is the name used in findings. An empty
// file is a Null node. Every error is a diag.Diagnostic or a diag.List.
func Parse(file string, text []byte) (*Node, error) {
	src := newSource(file, text)
	if len(text) > mostBytes {
		return nil, diag.New(diag.Range{File: file}, "the file is larger than %d MiB", mostBytes>>20)
	}
	if err := src.checkText(); err != nil {
		return nil, err
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, diag.New(diag.Range{File: file}, "YAML loader: %v", err)
	}
	var document yaml.Node
	if err := loader.Load(&document); errors.Is(err, io.EOF) {
		return &Node{Range: src.point(1, 1), source: src}, nil
	} else if err != nil {
		return nil, src.syntaxError(err)
	}
	if err := onlyDocument(loader, src); err != nil {
		return nil, err
	}
	c := converter{src: src, done: map[*yaml.Node]*Node{}}
	root, err := c.root(&document)
	if err != nil {
		return nil, err
	}
	if err := c.problems.ErrorOrNil(); err != nil {
		return nil, err
	}
	return root, nil
}

// onlyDocument refuses a second document, as Ansible does.
func onlyDocument(loader *yaml.Loader, src *source) error {
	var second yaml.Node
	err := loader.Load(&second)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return src.syntaxError(err)
	}
	return diag.New(src.point(second.Line, second.Column), "a second YAML document begins here; a file may hold only one").
		WithHint("remove the line '---', or split the file")
}

// converter makes our tree of the library's.
type converter struct {
	src      *source
	done     map[*yaml.Node]*Node // nil while in the making: an alias to it is a cycle
	nodes    int
	depth    int
	problems diag.List
}

func (c *converter) root(document *yaml.Node) (*Node, error) {
	if document.Kind != yaml.DocumentNode || len(document.Content) == 0 {
		return &Node{Range: c.src.point(1, 1), source: c.src}, nil
	}
	return c.convert(document.Content[0])
}

func (c *converter) convert(n *yaml.Node) (*Node, error) {
	at := c.src.point(n.Line, n.Column)
	if n.Kind == yaml.AliasNode {
		target, known := c.done[n.Alias]
		if known && target == nil {
			return nil, diag.New(at, "the anchor %q contains itself", n.Value)
		}
		if known {
			return target, c.count(size(target), at)
		}
		return c.convert(n.Alias)
	}
	if err := c.count(1, at); err != nil {
		return nil, err
	}
	if c.depth++; c.depth > mostDepth {
		return nil, diag.New(at, "nested more than %d levels deep", mostDepth)
	}
	defer func() { c.depth-- }()
	c.done[n] = nil
	node, err := c.convertNew(n, at)
	c.done[n] = node
	return node, err
}

func (c *converter) convertNew(n *yaml.Node, at diag.Range) (*Node, error) {
	node := &Node{Range: at, source: c.src}
	var err error
	switch n.Kind {
	case yaml.SequenceNode:
		node.Kind = Sequence
		err = c.sequence(node, n)
	case yaml.MappingNode:
		node.Kind = Mapping
		err = c.mapping(node, n)
	case yaml.ScalarNode:
		err = c.scalar(node, n)
	default:
		err = diag.New(at, "YAML node of an unexpected kind %d", n.Kind)
	}
	if err != nil {
		return nil, err
	}
	return node, nil
}

func (c *converter) count(nodes int, at diag.Range) error {
	if c.nodes += nodes; c.nodes > mostNodes {
		return diag.New(at, "the file holds more than %d values once its aliases are followed", mostNodes)
	}
	return nil
}

// size counts a tree as its reader would walk it, and stops counting early.
func size(n *Node) int {
	total := 1
	for _, item := range n.Items {
		if total += size(item); total > mostNodes {
			return total
		}
	}
	for _, entry := range n.Entries {
		if total += size(entry.Value); total > mostNodes {
			return total
		}
	}
	return total
}

func (c *converter) sequence(node *Node, n *yaml.Node) error {
	if err := c.collectionTag(n, "!!seq"); err != nil {
		return err
	}
	node.Items = make([]*Node, 0, len(n.Content))
	for _, content := range n.Content {
		item, err := c.convert(content)
		if err != nil {
			return err
		}
		node.Items = append(node.Items, item)
		node.reach(item)
	}
	return nil
}

// reach extends a collection over a part of it. What an alias stands for lies
// elsewhere in the file and extends nothing.
func (n *Node) reach(part *Node) {
	if n.Range.End.Before(part.Range.End) {
		n.Range.End = part.Range.End
	}
}

func (c *converter) collectionTag(n *yaml.Node, usual string) error {
	if n.Style&yaml.TaggedStyle == 0 || n.ShortTag() == usual {
		return nil
	}
	at := c.src.point(n.Line, n.Column)
	return diag.New(at, "the tag %s does not fit %s", n.Tag, map[string]string{"!!seq": "a list", "!!map": "a mapping"}[usual])
}

func (c *converter) mapping(node *Node, n *yaml.Node) error {
	if err := c.collectionTag(n, "!!map"); err != nil {
		return err
	}
	var merged []Entry
	node.Entries = make([]Entry, 0, len(n.Content)/2)
	first := make(map[string]*Node, len(n.Content)/2)
	for pair := range slices.Chunk(n.Content, 2) {
		key, err := c.convert(pair[0])
		if err != nil {
			return err
		}
		value, err := c.convert(pair[1])
		if err != nil {
			return err
		}
		if isMerge(pair[0]) {
			if merged, err = c.merge(merged, value); err != nil {
				return err
			}
			continue
		}
		if err := c.enter(node, first, key, value); err != nil {
			return err
		}
	}
	for _, entry := range merged {
		if first[entry.Name] == nil {
			first[entry.Name] = entry.Key
			node.Entries = append(node.Entries, entry)
		}
	}
	return nil
}

// enter adds a key, unless it is there already: then both places are reported,
// and reading goes on so that all duplicates come at once.
func (c *converter) enter(node *Node, first map[string]*Node, key, value *Node) error {
	if !key.IsScalar() {
		d := key.Errorf("a mapping's key must be a scalar, found %s", key.Kind)
		if startsWithBraces().MatchString(c.src.line(key.Range.Start.Line)) {
			d = d.WithHint(`a value that begins with {{ must be in quotes: "{{ … }}"`)
		}
		return d
	}
	name := keyName(key)
	if earlier := first[name]; earlier != nil {
		d := key.Errorf("duplicate key %q", name)
		d.Related = []diag.Note{{Text: "first given here", Range: earlier.Range}}
		c.problems.Add(d)
		return nil
	}
	first[name] = key
	node.Entries = append(node.Entries, Entry{Name: name, Key: key, Value: value})
	node.reach(value)
	return nil
}

// keyName is a key as Python's str() shows it.
func keyName(key *Node) string {
	switch value := key.value.(type) {
	case bool:
		return map[bool]string{true: "True", false: "False"}[value]
	case int:
		return strconv.Itoa(value)
	case nil:
		return "None"
	default:
		return key.Text
	}
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" &&
		(key.Style == 0 || key.ShortTag() == "!!merge")
}

// merge gathers the entries of `<<: *a` or `<<: [*a, *b]`; earlier ones win.
func (c *converter) merge(into []Entry, value *Node) ([]Entry, error) {
	sources := []*Node{value}
	if value.Kind == Sequence {
		sources = value.Items
	}
	for _, from := range sources {
		if from.Kind != Mapping {
			return nil, from.wants("a mapping to merge with <<")
		}
		into = append(into, from.Entries...)
		if err := c.count(len(from.Entries), from.Range); err != nil {
			return nil, err
		}
	}
	return into, nil
}

func (c *converter) scalar(node *Node, n *yaml.Node) error {
	node.Text = n.Value
	node.style = styleOf(n.Style)
	node.Quoted = node.style != plainStyle
	c.src.place(node)
	tag := ""
	if n.Style&yaml.TaggedStyle != 0 {
		tag = n.ShortTag()
	}
	switch tag {
	case "":
		node.value = n.Value
		if !node.Quoted {
			node.value = resolve(n.Value)
		}
	case "!!str", "!":
		node.value, node.Quoted = n.Value, true
	case TagUnsafe, TagVault, "!vault-encrypted":
		node.value, node.Quoted = n.Value, true
		node.Tag = strings.TrimSuffix(tag, "-encrypted")
	case "!!int", "!!float", "!!bool", "!!null":
		node.value = convertTo(tag, n.Value)
		if kindOf(node.value) == String {
			return node.Errorf("%s cannot be read as %s", clip(n.Value), tag)
		}
	case "!!merge":
		node.value = n.Value
	default:
		return node.Errorf("the tag %s is not known here", n.Tag).
			WithHint("known are !unsafe, !vault and YAML's own such as !!str")
	}
	node.Kind = kindOf(node.value)
	return nil
}

func convertTo(tag, text string) any {
	value := resolve(text)
	switch v := value.(type) {
	case int:
		if tag == "!!float" {
			return float64(v)
		}
		if tag == "!!int" {
			return v
		}
	case float64:
		if tag == "!!float" {
			return v
		}
	case bool:
		if tag == "!!bool" {
			return v
		}
	case nil:
		if tag == "!!null" {
			return nil
		}
	}
	return text
}

// checkText refuses what no text editor would have written, before the YAML
// library sees it.
func (s *source) checkText() error {
	if !utf8.Valid(s.text) {
		offset := 0
		for offset < len(s.text) {
			r, width := utf8.DecodeRune(s.text[offset:])
			if r == utf8.RuneError && width == 1 {
				break
			}
			offset += width
		}
		return diag.New(s.between(offset, offset+1), "the file is not UTF-8 text here")
	}
	return nil
}
