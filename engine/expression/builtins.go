package expression

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rbdplay/rbdplay/engine/diag"
)

// Builtins is the Environment with the filters, tests and functions of Jinja2
// and ansible.builtin that need nothing but their arguments. Lookups come with
// WithLookups.
func Builtins() *Environment { return builtins() }

var builtins = sync.OnceValue(func() *Environment {
	return new(Environment).
		WithFilters(listFilters).WithFilters(textFilters).WithFilters(dataFilters).
		WithFilters(regexFilters).WithFilters(addressFilters).WithFilters(networkFilters).
		WithTests(builtinTests).WithTests(addressTests).
		WithFunctions(builtinFunctions)
})

var builtinFunctions = map[string]Definition{
	"range": {Signature: "start, stop=none, step=1", Function: rangeFunction},
	"dict":  {Signature: "*args, **kwargs", Function: dictFunction},
	"namespace": {Signature: "**values", Function: func(c *Call) (any, error) {
		values := NewDict(len(c.Named))
		for _, key := range mappingKeys(c.Named) {
			values.Set(key, c.Named[key])
		}
		return &Namespace{values: values}, nil
	}},
	"joiner": {Signature: "sep=', '", Function: func(c *Call) (any, error) { return &joiner{separator: c.Args[0]}, nil }},
	"cycler": {Signature: "*items", Function: cyclerFunction},
	"now":    {Signature: "utc=false, fmt=none", Function: nowFunction},
	"undef": {Signature: "hint=none", Function: func(c *Call) (any, error) {
		hint := ""
		if c.Args[0] != nil {
			hint = Text(c.Args[0])
		}
		return &Undefined{Name: "undef()", Hint: says(hint), site: c.site}, nil
	}},
}

func rangeFunction(c *Call) (any, error) {
	if c.Args[1] == nil {
		c.Args = []any{0, c.Args[0], c.Args[2]}
	}
	var bounds [3]int
	for i := range bounds {
		var err error
		if bounds[i], err = intArgument(c, i); err != nil {
			return nil, err
		}
	}
	start, stop, step := bounds[0], bounds[1], bounds[2]
	if step == 0 {
		return nil, errors.New("the step is zero")
	}
	if (stop-start)/step > mostMade {
		return nil, errLarge
	}
	list := []any{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		list = append(list, i)
	}
	return list, nil
}

func dictFunction(c *Call) (any, error) {
	result := NewDict(len(c.Named))
	for _, arg := range c.Rest {
		if isMapping(arg) {
			for key, value := range entries(c.Context(), arg) {
				if value.err != nil {
					return nil, value.err
				}
				result.Set(key, value.value)
			}
			continue
		}
		pairs, err := c.frame.iterate(arg)
		if err != nil {
			return nil, err
		}
		for _, item := range pairs {
			pair, ok := item.([]any)
			if !ok || len(pair) != 2 {
				return nil, errors.New("expected pairs of a key and a value")
			}
			result.Set(keyText(pair[0]), pair[1])
		}
	}
	for i, value := range c.site.names { // in the order written
		if v, ok := c.Named[value]; ok && i >= 0 {
			result.Set(value, v)
		}
	}
	for _, key := range mappingKeys(c.Named) { // and what ** brought
		result.Set(key, c.Named[key])
	}
	return result, nil
}

// nowFunction gives text, where Ansible's gives a moment: without a format it
// looks as Python prints one.
func nowFunction(c *Call) (any, error) {
	at := time.Now()
	if Truthy(c.Args[0]) {
		at = at.UTC()
	}
	if c.Args[1] != nil {
		return strftime(Text(c.Args[1]), at)
	}
	return at.Format("2006-01-02 15:04:05.000000"), nil
}

// Lookup finds values outside the expression: in a file, the environment, the
// scope.
type Lookup struct {
	// Find makes the values. terms are the positional arguments behind its name. It
	// is called again for every evaluation, and waits no longer than ctx. An Unknown
	// among the values makes the result unknown.
	Find func(ctx context.Context, scope Scope, terms []any, options map[string]any) ([]any, error)
	// Options are the keyword arguments it knows besides wantlist and errors.
	Options []string
}

// Asking is a Scope that knows who asks, for lookups that depend on it.
type Asking interface {
	Asker() any
}

// WithLookups returns an Environment in which lookup, query and q know the given
// lookups. Their names and options are checked when an expression is compiled.
func (e *Environment) WithLookups(lookups map[string]Lookup) *Environment {
	check := func(_ *Environment, args []any, names []string) error {
		name, ok := firstOf(args).(string)
		if !ok {
			return nil
		}
		lookup, err := findLookup(lookups, name)
		if err != nil {
			return err
		}
		return lookup.checkOptions(name, names)
	}
	definition := func(list bool) Definition {
		return Definition{Signature: "name, *terms, **options", check: check, Function: func(c *Call) (any, error) {
			return c.lookup(lookups, list)
		}}
	}
	changed := e.WithFunctions(map[string]Definition{"lookup": definition(false), "query": definition(true), "q": definition(true)})
	changed.lookups = lookups
	return changed
}

// Lookup gives a lookup by its name, for those who call it themselves.
func (e *Environment) Lookup(name string) (Lookup, bool) {
	lookup, ok := e.lookups[shortName(name)]
	return lookup, ok
}

func findLookup(lookups map[string]Lookup, name string) (Lookup, error) {
	if lookup, ok := lookups[shortName(name)]; ok {
		return lookup, nil
	}
	if why, refused := laterLookups[shortName(name)]; refused {
		return Lookup{}, &argumentError{message: fmt.Sprintf("the lookup %q is not supported yet", name), hint: why}
	}
	return Lookup{}, &argumentError{message: fmt.Sprintf("there is no lookup %q", name), hint: diag.DidYouMean(shortName(name), mapKeys(lookups))}
}

// checkOptions refuses what the lookup would ignore.
func (l Lookup) checkOptions(name string, given []string) error {
	known := append([]string{"wantlist", "errors"}, l.Options...)
	for _, option := range given {
		if !slices.Contains(known, option) && !strings.HasPrefix(option, "*") {
			return &argumentError{message: fmt.Sprintf("the lookup %q has no option %s", name, option), hint: diag.DidYouMean(option, known)}
		}
	}
	return nil
}

// warnings is the context's way to tell of what errors='warn' lets pass.
type warnings struct{}

// WithWarnings gives those who evaluate a way to warn. warn is called from many
// goroutines.
func WithWarnings(ctx context.Context, warn func(text string)) context.Context {
	return context.WithValue(ctx, warnings{}, warn)
}

// lookup obeys the options every lookup has: wantlist, and errors=strict, warn
// or ignore.
func (c *Call) lookup(lookups map[string]Lookup, wantList bool) (any, error) {
	name := Text(c.Args[0])
	lookup, err := findLookup(lookups, name)
	if err == nil {
		err = lookup.checkOptions(name, mapKeys(c.Named))
	}
	if err != nil {
		return nil, err
	}
	options := map[string]any{}
	onError := "strict"
	for key, value := range c.Named {
		switch key {
		case "wantlist":
			wantList = Truthy(value)
		case "errors":
			onError = Text(value)
		default:
			options[key] = value
		}
	}
	if !slices.Contains([]string{"strict", "warn", "ignore"}, onError) {
		return nil, fmt.Errorf("errors is strict, warn or ignore, found %q", onError)
	}
	values, err := lookup.Find(c.Context(), c.Scope(), c.Rest, options)
	if err != nil && (onError == "strict" || c.Context().Err() != nil) {
		return nil, fmt.Errorf("%s: %w", shortName(name), err)
	}
	if err == nil {
		return lookupResult(values, wantList)
	}
	if onError == "warn" {
		if warn, ok := c.Context().Value(warnings{}).(func(string)); ok {
			warn(fmt.Sprintf("%s: lookup %s: %v", c.Range(), shortName(name), err))
		}
	}
	if wantList {
		return []any{}, nil
	}
	return nil, nil
}

// lookupResult is the list, or without wantlist one value or texts joined by
// commas, as Ansible gives them.
func lookupResult(values []any, wantList bool) (any, error) {
	if u := findUnknown(values); u != nil {
		return *u, nil
	}
	switch {
	case wantList || len(values) == 0:
		return append([]any{}, values...), nil
	case len(values) == 1:
		return values[0], nil
	}
	texts := make([]string, len(values))
	for i, value := range values {
		text, ok := Normalize(value).(string)
		if !ok {
			return append([]any{}, values...), nil
		}
		texts[i] = text
	}
	return strings.Join(texts, ","), nil
}
