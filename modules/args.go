package modules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// ContentRef is a file's content as it travels in arguments: small content lies
// inline, larger content is fetched by digest when a step needs it.
type ContentRef struct {
	SHA256 string `cbor:"1,keyasint"`
	Length int64  `cbor:"2,keyasint"`
	Mode   uint32 `cbor:"3,keyasint,omitempty"` // permission bits of the source, for mode: preserve
	Inline []byte `cbor:"4,keyasint,omitempty"`
	Name   string `cbor:"5,keyasint,omitempty"` // base name of the source, for a dest that is a directory
	Secret bool   `cbor:"6,keyasint,omitempty"` // it was decrypted from a vault: never shown
	SHA1   string `cbor:"7,keyasint,omitempty"` // of large content: who hashes it once spares the hosts it
	CRC32C uint32 `cbor:"8,keyasint,omitempty"` // likewise; 0 is told by SHA256 alone
}

// TreeRef is a directory as it travels in arguments. Exactly one of Entries (a
// tree of the controller or of another host, listed in name order, parents
// first) and Path (a directory on the target itself) is set.
type TreeRef struct {
	Path    string      `cbor:"1,keyasint,omitempty"`
	Origin  string      `cbor:"2,keyasint,omitempty"` // for messages: "manage01:/opt/x", "files/x"
	Entries []TreeEntry `cbor:"3,keyasint,omitempty"`
	Name    string      `cbor:"4,keyasint,omitempty"` // base name of the source, "" when it was written with a slash at its end
}

// TreeEntry is one file of a TreeRef.
type TreeEntry struct {
	Path    string            `cbor:"1,keyasint"` // relative, slash separated; "." is the root
	Info    sys.FileInfo      `cbor:"2,keyasint"`
	Target  string            `cbor:"3,keyasint,omitempty"` // of a symlink
	Owner   string            `cbor:"4,keyasint,omitempty"` // names, preferred to numbers where the target knows them
	Group   string            `cbor:"5,keyasint,omitempty"`
	LinkTo  string            `cbor:"6,keyasint,omitempty"` // earlier entry that this one is a hard link of
	Xattrs  map[string][]byte `cbor:"7,keyasint,omitempty"`
	Content *ContentRef       `cbor:"8,keyasint,omitempty"` // of a regular file
}

// Contents opens what a ContentRef stands for. The agent's implementation asks
// the controller for content that it does not hold. Cancelling ctx of an Open
// ends the fetch.
type Contents interface {
	Content(ref ContentRef) sys.Content
}

// Bringer is what Contents may be as well: Bring fetches what is small and not there
// yet all at once, where Open would ask for one content after the other.
type Bringer interface {
	Bring(ctx context.Context, refs []ContentRef) error
}

// Content is an argument that holds the content of a file of the controller.
type Content struct {
	sys.Content
	Mode   uint32 // of the source; 0 when it had none (a rendered template)
	Name   string
	Secret bool // shown to nobody
}

// Sums implements sys.Summed.
func (c *Content) Sums() (sha1 string, crc32c uint32) {
	if summed, ok := c.Content.(sys.Summed); ok {
		return summed.Sums()
	}
	return "", 0
}

// Tree is an argument that holds a directory.
type Tree struct {
	TreeRef
	contents Contents
}

// Source is an argument that names a file or a directory, either of the controller
// or of the host itself; exactly one field is set. The engine finds a source on
// the controller and puts a ContentRef or a TreeRef in the string's place, unless
// the task says remote_src: then the string stays and becomes Path.
type Source struct {
	Content *Content
	Tree    *Tree
	Path    string // on the host; a slash at its end means what is in the directory
}

// Content opens the content of entry e.
func (t Tree) Content(e TreeEntry) sys.Content { return t.contents.Content(*e.Content) }

// bring fetches contents that are about to be read.
func (t Tree) bring(ctx context.Context, refs []ContentRef) error {
	if b, ok := t.contents.(Bringer); ok {
		return b.Bring(ctx, refs)
	}
	return nil
}

// Problem is a fault in a task's arguments. Argument is "" for the task itself.
type Problem struct{ Argument, Summary, Hint string }

func (p Problem) Error() string { return p.Summary }

var (
	contentType = reflect.TypeFor[*Content]()
	treeType    = reflect.TypeFor[*Tree]()
	sourceType  = reflect.TypeFor[*Source]()
	modeType    = reflect.TypeFor[*Mode]()
)

// Options is the option list, as the argument struct's tags say. A spec of a
// registry has read them once; the list is the caller's to read only.
func (s *Spec) Options() ([]Option, error) {
	if s.options != nil {
		return s.options()
	}
	return s.readOptions()
}

func (s *Spec) readOptions() ([]Option, error) {
	if s.New == nil {
		return nil, errors.New("has no arguments struct")
	}
	t := reflect.TypeOf(s.New())
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("arguments must be a pointer to a struct, not %s", t)
	}
	options := []Option{}
	for _, f := range reflect.VisibleFields(t.Elem()) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		o, err := optionOf(f)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		options = append(options, o)
	}
	return options, nil
}

func optionOf(f reflect.StructField) (Option, error) {
	name, rest, _ := strings.Cut(f.Tag.Get("arg"), ",")
	o := Option{
		Name: name, Required: rest == "required", Default: f.Tag.Get("default"),
		Doc: f.Tag.Get("doc"), Secret: f.Tag.Get("secret") == "true", field: f.Index,
	}
	if name == "" || o.Doc == "" {
		return o, errors.New("needs the tags arg and doc")
	}
	if v := f.Tag.Get("alias"); v != "" {
		o.Aliases = strings.Split(v, ",")
	}
	if v := f.Tag.Get("choices"); v != "" {
		o.Choices = strings.Split(v, ",")
	}
	o.Type = typeName(f)
	if o.Type == "" {
		return o, fmt.Errorf("type %s cannot be an option", f.Type)
	}
	return o, nil
}

func typeName(f reflect.StructField) string {
	t := f.Type
	switch {
	case t == contentType && f.Tag.Get("content") == "template":
		return "template"
	case t == contentType && f.Tag.Get("content") == "script":
		return "script"
	case t == contentType:
		return "content"
	case t == treeType:
		return "tree"
	case t == sourceType:
		return "source"
	case t == modeType:
		return "mode"
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		if named := f.Tag.Get("type"); named != "" { // path or text
			return named
		}
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int64:
		return "int"
	case reflect.Float64:
		return "float"
	case reflect.Slice:
		return "list"
	case reflect.Map:
		return "dict"
	case reflect.Interface:
		return "raw"
	default:
		return ""
	}
}

// Decode fills a new argument struct from rendered values: strings, bools, ints,
// floats, lists, maps, ContentRef, TreeRef. Every fault is reported, not only
// the first. The returned Module is ready to plan.
func (s *Spec) Decode(args map[string]any, contents Contents) (Module, []Problem) {
	m := s.New()
	problems := s.fill(reflect.ValueOf(m).Elem(), args, contents, nil)
	if len(problems) > 0 {
		return nil, problems
	}
	if v, ok := m.(Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, []Problem{{Summary: err.Error()}}
		}
	}
	return m, nil
}

// Validator is implemented by arguments that have rules across options
// ("one of a and b"). It is called after decoding, before any plan; it looks at
// nothing but the arguments.
type Validator interface{ Validate() error }

// Check finds the faults of a task's arguments that can be known at load time.
// later reports whether a value is only known once it is rendered; such values
// are taken as fitting.
func (s *Spec) Check(args map[string]any, later func(value any) bool) []Problem {
	m := s.New()
	waits := false
	for _, v := range args {
		waits = waits || later(v)
	}
	problems := s.fill(reflect.ValueOf(m).Elem(), args, nil, later)
	if len(problems) > 0 || waits {
		return problems
	}
	if v, ok := m.(Validator); ok {
		if err := v.Validate(); err != nil {
			return []Problem{{Summary: err.Error()}}
		}
	}
	return nil
}

// fill sets the fields of target from args and lists every fault.
func (s *Spec) fill(target reflect.Value, args map[string]any, contents Contents, later func(any) bool) []Problem {
	options, err := s.Options()
	if err != nil {
		return []Problem{{Summary: err.Error()}}
	}
	var problems []Problem
	used := map[string]bool{}
	for _, o := range options {
		value, name, given := o.find(args, used, &problems)
		if !given {
			if o.Required {
				problems = append(problems, Problem{Summary: fmt.Sprintf("%s needs the argument %s: %s", s.Name, o.Name, o.Doc)})
				continue
			}
			if o.Default == "" {
				continue
			}
			value, name = o.Default, o.Name
		}
		if later != nil && later(value) {
			continue
		}
		if err := o.set(target.FieldByIndex(o.field), value, contents); err != nil {
			problems = append(problems, Problem{Argument: name, Summary: fmt.Sprintf("%s: %s: %v", s.Name, name, err)})
		}
	}
	if !s.AnyArgs {
		problems = append(problems, s.unknown(args, used, options)...)
	}
	return problems
}

// find returns the value of o in args, by its name or an alias.
func (o *Option) find(args map[string]any, used map[string]bool, problems *[]Problem) (value any, name string, given bool) {
	if v, ok := args[o.Name]; ok {
		used[o.Name] = true
		value, name, given = v, o.Name, true
	}
	for _, n := range o.Aliases {
		v, ok := args[n]
		if !ok {
			continue
		}
		used[n] = true
		if given {
			*problems = append(*problems, Problem{Argument: n, Summary: fmt.Sprintf("%s and %s are two names of one argument", name, n)})
			continue
		}
		value, name, given = v, n, true
	}
	return value, name, given && value != nil
}

func (s *Spec) unknown(args map[string]any, used map[string]bool, options []Option) []Problem {
	if len(used) == len(args) {
		return nil
	}
	var known []string
	for _, o := range options {
		known = append(append(known, o.Name), o.Aliases...)
	}
	var problems []Problem
	for name := range args {
		if !used[name] {
			problems = append(problems, Problem{
				Argument: name, Summary: fmt.Sprintf("%s has no argument %s", s.Name, name),
				Hint: hint(name, known),
			})
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Argument, b.Argument) })
	return problems
}

// set converts value as Ansible does and stores it.
func (o *Option) set(field reflect.Value, value any, contents Contents) error {
	switch o.Type {
	case "content", "template", "script":
		return setContent(field, value, contents)
	case "tree":
		return setTree(field, value, contents)
	case "source":
		return setSource(field, value, contents)
	case "mode":
		mode, err := ParseMode(value)
		if err != nil {
			return err
		}
		field.Set(reflect.ValueOf(&mode))
		return nil
	}
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch o.Type {
	case "text":
		text, err := asText(value)
		if err != nil {
			return err
		}
		field.SetString(text)
	case "string":
		text, err := asString(value)
		if err != nil {
			return err
		}
		if len(o.Choices) > 0 && !slices.Contains(o.Choices, text) {
			return fmt.Errorf("%q is none of %s%s", text, strings.Join(o.Choices, ", "), hintAfter(text, o.Choices))
		}
		field.SetString(text)
	case "path":
		text, err := asPath(value)
		if err != nil {
			return err
		}
		field.SetString(text)
	case "bool":
		b, err := asBool(value)
		if err != nil {
			return err
		}
		field.SetBool(b)
	case "int":
		n, err := asInt(value)
		if err != nil {
			return err
		}
		field.SetInt(n)
	case "float":
		f, err := asFloat(value)
		if err != nil {
			return err
		}
		field.SetFloat(f)
	case "list":
		return o.setList(field, value)
	case "dict":
		return setMap(field, value)
	default:
		field.Set(reflect.ValueOf(&value).Elem())
	}
	return nil
}

// setContent stores the content that stands for a file of the controller. At load
// time there is only its path: then the field is set, but cannot be opened.
func setContent(field reflect.Value, value any, contents Contents) error {
	if text, ok := value.(string); ok && contents == nil {
		field.Set(reflect.ValueOf(&Content{Name: path.Base(text)}))
		return nil
	}
	ref, ok := value.(ContentRef)
	if !ok {
		return fmt.Errorf("wants a file of the controller, got %s", describe(value))
	}
	field.Set(reflect.ValueOf(contentOf(ref, contents)))
	return nil
}

func contentOf(ref ContentRef, contents Contents) *Content {
	c := &Content{Mode: ref.Mode, Name: ref.Name, Secret: ref.Secret}
	if contents != nil {
		c.Content = contents.Content(ref)
	}
	return c
}

// setTree stores a directory; a string is one of the host itself.
func setTree(field reflect.Value, value any, contents Contents) error {
	if text, ok := value.(string); ok {
		value = TreeRef{Path: text, Origin: text, Name: nameOf(text)}
	}
	ref, ok := value.(TreeRef)
	if !ok {
		return fmt.Errorf("wants a directory, got %s", describe(value))
	}
	field.Set(reflect.ValueOf(&Tree{TreeRef: ref, contents: contents}))
	return nil
}

func setSource(field reflect.Value, value any, contents Contents) error {
	source := &Source{}
	switch v := value.(type) {
	case ContentRef:
		source.Content = contentOf(v, contents)
	case TreeRef:
		source.Tree = &Tree{TreeRef: v, contents: contents}
	case string:
		source.Path = v
	default:
		return fmt.Errorf("wants a file or a directory, got %s", describe(value))
	}
	field.Set(reflect.ValueOf(source))
	return nil
}

// nameOf is the name under which a directory is copied: none when it was written
// with a slash at its end, which means what is in it.
func nameOf(directory string) string {
	if strings.HasSuffix(directory, "/") {
		return ""
	}
	return path.Base(directory)
}

// asPath reads the path of a file on the host. Relative paths have no meaning
// there, since a task has no folder of its own.
func asPath(value any) (string, error) {
	text, err := asString(value)
	if err != nil {
		return "", err
	}
	if !path.IsAbs(text) {
		return "", fmt.Errorf("wants an absolute path, got %q", text)
	}
	if strings.ContainsRune(text, 0) {
		return "", fmt.Errorf("a path cannot hold a NUL byte: %q", text)
	}
	return text, nil
}

func (o *Option) setList(field reflect.Value, value any) error {
	var items []any
	switch v := value.(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			items = append(items, strings.TrimSpace(part))
		}
	case []string:
		for _, s := range v {
			items = append(items, s)
		}
	case []any:
		items = v
	default:
		items = []any{v}
	}
	list := reflect.MakeSlice(field.Type(), 0, len(items))
	for i, item := range items {
		element := reflect.New(field.Type().Elem()).Elem()
		inner := Option{Choices: o.Choices, Type: typeName(reflect.StructField{Type: element.Type()})}
		if err := inner.set(element, item, nil); err != nil {
			return fmt.Errorf("item %d: %w", i+1, err)
		}
		list = reflect.Append(list, element)
	}
	field.Set(list)
	return nil
}

func setMap(field reflect.Value, value any) error {
	m, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("wants a mapping, got %s", describe(value))
	}
	if field.Type() == reflect.TypeFor[map[string]any]() {
		field.Set(reflect.ValueOf(m))
		return nil
	}
	out := reflect.MakeMap(field.Type())
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v := m[key]
		element := reflect.New(field.Type().Elem()).Elem()
		inner := Option{Type: typeName(reflect.StructField{Type: element.Type()})}
		if err := inner.set(element, v, nil); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		out.SetMapIndex(reflect.ValueOf(key), element)
	}
	field.Set(out)
	return nil
}

// asText reads a text that may be written as a mapping or a list, which means its
// JSON. The engine has made the JSON already, in the order of the keys; here is
// what checks of a playbook's literal values come to.
func asText(value any) (string, error) {
	switch value.(type) {
	case map[string]any, []any:
		text, err := json.Marshal(value)
		return string(text), err
	}
	return asString(value)
}

func asString(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool: // as Python writes it, since Ansible passes it through str()
		if v {
			return "True", nil
		}
		return "False", nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	}
	return "", fmt.Errorf("wants a string, got %s", describe(value))
}

func asBool(value any) (bool, error) {
	if b, ok := value.(bool); ok {
		return b, nil
	}
	text, err := asString(value)
	if err == nil {
		switch strings.ToLower(text) {
		case "yes", "y", "true", "t", "on", "1", "1.0":
			return true, nil
		case "no", "n", "false", "f", "off", "0", "0.0":
			return false, nil
		}
	}
	return false, fmt.Errorf("wants yes or no, got %s", describe(value))
}

func asInt(value any) (int64, error) {
	switch v := value.(type) {
	case int:
		return int64(v), nil
	case int64:
		return v, nil
	case uint64:
		if v <= 1<<63-1 {
			return int64(v), nil
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v), nil
		}
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("wants a whole number, got %s", describe(value))
}

func asFloat(value any) (float64, error) {
	switch v := value.(type) {
	case float64:
		return v, nil
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err == nil {
			return f, nil
		}
	default:
		if n, err := asInt(value); err == nil {
			return float64(n), nil
		}
	}
	return 0, fmt.Errorf("wants a number, got %s", describe(value))
}

func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "nothing"
	case string:
		return strconv.Quote(v)
	case []any, []string:
		return "a list"
	case map[string]any:
		return "a mapping"
	default:
		return fmt.Sprintf("%v", v)
	}
}

// OpenString reads a whole Content of at most limit bytes as text.
func OpenString(ctx context.Context, c sys.Content, limit int64) (string, error) {
	data, err := readContent(ctx, c, limit)
	return string(data), err
}

// In finds the option among rendered arguments, by its name or an alias.
func (o *Option) In(args map[string]any) (name string, value any, given bool) {
	for _, name := range append([]string{o.Name}, o.Aliases...) {
		if value, given := args[name]; given {
			return name, value, true
		}
	}
	return "", nil, false
}
