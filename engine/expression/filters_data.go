package expression

import (
	"context"
	"crypto/md5"  //nolint:gosec // a playbook may ask for it
	"crypto/sha1" //nolint:gosec // same
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"html"
	"slices"
	"strings"
	"unicode/utf8"
)

var dataFilters = map[string]Definition{
	"combine":         {Signature: "*others, recursive=false, list_merge='replace'", Function: combineFilter},
	"dict2items":      {Signature: "key_name='key', value_name='value'", Function: dict2items},
	"items2dict":      {Signature: "key_name='key', value_name='value'", Function: items2dict},
	"dictsort":        {Signature: "case_sensitive=false, by='key', reverse=false", Function: dictsortFilter},
	"items":           {Function: itemsFilter, TakesUndefined: true},
	"rekey_on_member": {Signature: "key, duplicates='error'", Function: rekeyFilter},
	"attr":            {Signature: "name", Function: attrFilter},
	"b64encode":       {Signature: "encoding='utf-8'", Function: base64Encode},
	"b64decode":       {Signature: "encoding='utf-8'", Function: base64Decode},
	"hash":            {Signature: "hashtype='sha1'", Function: hashFilter},
	"checksum":        text(func(s string) string { return hex.EncodeToString(digest("sha1", s)) }),
	"sha1":            text(func(s string) string { return hex.EncodeToString(digest("sha1", s)) }),
	"md5":             text(func(s string) string { return hex.EncodeToString(digest("md5", s)) }),
	"password_hash":   {Signature: "hashtype='sha512', salt=none, salt_size=none, rounds=none, ident=none", Function: passwordHashFilter},
	"to_uuid":         {Signature: "namespace='361E6D51-FAEC-444A-9079-341386DA8E2E'", Function: uuidFilter},
	"to_json":         {Signature: "indent=none, sort_keys=false, ensure_ascii=true, separators=none", Function: jsonFilter},
	"to_nice_json":    {Signature: "indent=4, sort_keys=true, ensure_ascii=true, separators=none", Function: jsonFilter},
	"tojson":          {Signature: "indent=none", Function: tojsonFilter},
	"from_json":       {Function: fromJSONFilter},
	"to_yaml":         {Signature: "indent=none, default_flow_style=none, sort_keys=true, width=80, explicit_start=false, explicit_end=false, allow_unicode=true", Function: yamlFilter},
	"to_nice_yaml":    {Signature: "indent=4, default_flow_style=false, sort_keys=true, width=80, explicit_start=false, explicit_end=false, allow_unicode=true", Function: yamlFilter},
	"xmlattr":         {Signature: "autospace=true", Function: xmlattrFilter},
	"from_yaml_all":   {Function: fromYAMLAllFilter},
	"from_yaml":       {Function: fromYAMLFilter},
}

// mapping is the input, or an error when it is none.
func (c *Call) mapping() error {
	if !isMapping(c.Input) {
		return fmt.Errorf("expected a mapping, found %s", nameWithArticle(c.Input))
	}
	return nil
}

var listMerges = []string{"replace", "keep", "append", "prepend", "append_rp", "prepend_rp"}

func combineFilter(c *Call) (any, error) {
	how := Text(c.Args[1])
	if !slices.Contains(listMerges, how) {
		return nil, fmt.Errorf("list_merge is one of %s, found '%s'", strings.Join(listMerges, ", "), how)
	}
	terms := append([]any{c.Input}, c.Rest...)
	var result any
	for _, term := range flatten(nil, terms, 1, true) {
		if !isMapping(term) {
			return nil, fmt.Errorf("expected mappings, found %s", nameWithArticle(term))
		}
		if result == nil {
			result = term
			continue
		}
		var err error
		if result, err = merge(c.Context(), result, term, Truthy(c.Args[0]), how); err != nil {
			return nil, err
		}
	}
	if result == nil {
		return NewDict(0), nil
	}
	if u := findUndefined(result); u != nil {
		return nil, undefinedError(u)
	}
	return result, nil
}

// merge lays one mapping over another, as Ansible's merge_hash.
func merge(ctx context.Context, low, high any, recursive bool, how string) (any, error) {
	if mappingLen(low) == 0 || equal(low, high) { // Ansible's shortcut: equal lists are not appended
		return high, nil
	}
	merged := NewDict(mappingLen(low) + mappingLen(high))
	for key, value := range entries(ctx, low) {
		if value.err != nil {
			return nil, value.err
		}
		merged.Set(key, value.value)
	}
	for key, value := range entries(ctx, high) {
		if value.err != nil {
			return nil, value.err
		}
		there, known := merged.Get(key)
		if !known {
			merged.Set(key, value.value)
			continue
		}
		both, err := mergeValue(ctx, there, value.value, recursive, how)
		if err != nil {
			return nil, err
		}
		merged.Set(key, both)
	}
	return merged, nil
}

func mergeValue(ctx context.Context, low, high any, recursive bool, how string) (any, error) {
	if recursive && isMapping(low) && isMapping(high) {
		return merge(ctx, low, high, recursive, how)
	}
	a, aList := low.([]any)
	b, bList := high.([]any)
	if !aList || !bList {
		return high, nil
	}
	switch how {
	case "keep":
		return a, nil
	case "append":
		return concat(a, b), nil
	case "prepend":
		return concat(b, a), nil
	case "append_rp":
		return concat(within(a, b, false), b), nil
	case "prepend_rp":
		return concat(b, within(a, b, false)), nil
	}
	return b, nil
}

func concat(a, b []any) []any { return append(append(make([]any, 0, len(a)+len(b)), a...), b...) }

func dict2items(c *Call) (any, error) {
	if err := c.mapping(); err != nil {
		return nil, err
	}
	items := make([]any, 0, mappingLen(c.Input))
	for key, value := range entries(c.Context(), c.Input) {
		if value.err != nil {
			return nil, value.err
		}
		item := NewDict(2)
		item.Set(Text(c.Args[0]), key)
		item.Set(Text(c.Args[1]), value.value)
		items = append(items, item)
	}
	return items, nil
}

func items2dict(c *Call) (any, error) {
	items, ok := c.Input.([]any)
	if !ok {
		return nil, fmt.Errorf("expected a list, found %s", nameWithArticle(c.Input))
	}
	result := NewDict(len(items))
	for i, item := range items {
		if !isMapping(item) {
			return nil, fmt.Errorf("item %d is %s, not a mapping", i, nameWithArticle(item))
		}
		var parts [2]any
		for j := range parts {
			value, there, err := mappingGet(c.Context(), item, Text(c.Args[j]))
			if err != nil {
				return nil, err
			}
			if !there {
				return nil, fmt.Errorf("item %d has no key %q", i, Text(c.Args[j]))
			}
			parts[j] = value
		}
		result.Set(keyText(parts[0]), parts[1])
	}
	return result, nil
}

func itemsFilter(c *Call) (any, error) {
	if _, missing := c.Input.(*Undefined); missing {
		return []any{}, nil
	}
	if err := c.mapping(); err != nil {
		return nil, err
	}
	return mappingItems(c)
}

func dictsortFilter(c *Call) (any, error) {
	if err := c.mapping(); err != nil {
		return nil, err
	}
	items, err := mappingItems(c)
	if err != nil {
		return nil, err
	}
	position := 0
	switch c.Args[1] {
	case "key":
	case "value":
		position = 1
	default:
		return nil, fmt.Errorf("by is key or value, found %s", show(c.Args[1]))
	}
	pairs := items.([]any)
	keys := make([]any, len(pairs))
	for i, pair := range pairs {
		keys[i] = pair.([]any)[position]
		if !Truthy(c.Args[0]) {
			keys[i] = foldCase(keys[i])
		}
	}
	return sortBy(pairs, [][]any{keys}, Truthy(c.Args[2]))
}

func rekeyFilter(c *Call) (any, error) {
	if c.Args[1] != "error" && c.Args[1] != "overwrite" {
		return nil, fmt.Errorf("duplicates is error or overwrite, found %s", show(c.Args[1]))
	}
	items, ok := c.Input.([]any)
	if isMapping(c.Input) {
		values, err := mappingValues(c)
		if err != nil {
			return nil, err
		}
		items, ok = values.([]any), true
	}
	if !ok {
		return nil, fmt.Errorf("expected a list or a mapping, found %s", nameWithArticle(c.Input))
	}
	result := NewDict(len(items))
	for i, item := range items {
		if !isMapping(item) {
			return nil, fmt.Errorf("item %d is %s, not a mapping", i, nameWithArticle(item))
		}
		key, there, err := mappingGet(c.Context(), item, Text(c.Args[0]))
		if err != nil {
			return nil, err
		}
		if !there {
			return nil, fmt.Errorf("item %d has no key %q", i, Text(c.Args[0]))
		}
		if _, taken := result.Get(keyText(key)); taken && c.Args[1] == "error" {
			return nil, fmt.Errorf("the key %s comes twice", show(key))
		}
		result.Set(keyText(key), item)
	}
	return result, nil
}

func attrFilter(c *Call) (any, error) {
	value, err := c.frame.entry(c.site, c.Input, Text(c.Args[0]))
	if u, missing := value.(*Undefined); missing {
		return &Undefined{Name: Text(c.Args[0]), Hint: u.Hint, site: c.site}, err
	}
	return value, err
}

// utf8Only refuses an encoding that is not ours, rather than ignore it.
func utf8Only(c *Call) error {
	if name := strings.ToLower(Text(c.Args[0])); name != "utf-8" && name != "utf8" && name != "ascii" {
		return fmt.Errorf("the encoding %s is not supported, only utf-8", show(c.Args[0]))
	}
	return nil
}

func base64Encode(c *Call) (any, error) {
	return base64.StdEncoding.EncodeToString([]byte(Text(c.Input))), utf8Only(c)
}

func base64Decode(c *Call) (any, error) {
	if err := utf8Only(c); err != nil {
		return nil, err
	}
	compact := strings.Map(func(r rune) rune {
		if strings.ContainsRune("\r\n\t ", r) {
			return -1
		}
		return r
	}, Text(c.Input))
	decoded, err := base64.StdEncoding.DecodeString(compact)
	if err != nil {
		return nil, errors.New("the text is not base64") // the text itself may be a secret
	}
	if !utf8.Valid(decoded) {
		return nil, errors.New("what was decoded is not text (UTF-8)")
	}
	return string(decoded), nil
}

var hashes = map[string]func() hash.Hash{
	"md5": md5.New, "sha1": sha1.New, "sha224": sha256.New224, "sha256": sha256.New,
	"sha384": sha512.New384, "sha512": sha512.New,
	"sha3_224": func() hash.Hash { return sha3.New224() }, "sha3_256": func() hash.Hash { return sha3.New256() },
	"sha3_384": func() hash.Hash { return sha3.New384() }, "sha3_512": func() hash.Hash { return sha3.New512() },
}

// digest is a hash of text; the name must be known.
func digest(name, s string) []byte {
	h := hashes[name]()
	h.Write([]byte(s)) // a hash never fails to take its input
	return h.Sum(nil)
}

func hashFilter(c *Call) (any, error) {
	name := strings.ToLower(Text(c.Args[0]))
	if hashes[name] == nil {
		return nil, fmt.Errorf("the hash %s is not known", show(c.Args[0]))
	}
	return hex.EncodeToString(digest(name, Text(c.Input))), nil
}

func uuidFilter(c *Call) (any, error) {
	namespace, err := hex.DecodeString(strings.ReplaceAll(Text(c.Args[0]), "-", ""))
	if err != nil || len(namespace) != 16 {
		return nil, fmt.Errorf("%s is not a UUID", show(c.Args[0]))
	}
	u := digest("sha1", string(namespace)+Text(c.Input))[:16]
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]), nil
}

// xmlattrFilter writes a mapping as attributes; those that are none stay out.
func xmlattrFilter(c *Call) (any, error) {
	if err := c.mapping(); err != nil {
		return nil, err
	}
	var attributes []string
	for key, value := range entries(c.Context(), c.Input) {
		if value.err != nil {
			return nil, value.err
		}
		if _, undefined := value.value.(*Undefined); undefined || value.value == nil {
			continue
		}
		if strings.ContainsAny(key, " \t\r\n\f/>=") {
			return nil, fmt.Errorf("%s cannot be the name of an attribute", show(key))
		}
		attributes = append(attributes, html.EscapeString(key)+`="`+html.EscapeString(Text(value.value))+`"`)
	}
	text := strings.Join(attributes, " ")
	if text != "" && Truthy(c.Args[0]) {
		text = " " + text
	}
	return text, nil
}
