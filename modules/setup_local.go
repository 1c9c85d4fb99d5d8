package modules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/rbdplay/rbdplay/modules/sys"
)

// Local facts: what the host's administrator says of it, in files NAME.fact of
// fact_path. As with Ansible one that is at fault is told in its value, and spoils
// no other.

const factFile = ".fact"

// localFacts reads the files; those that their owner may execute are programs
// that print facts, and are run.
func localFacts(ctx context.Context, g *gathering) error {
	local := map[string]any{}
	g.add(map[string]any{"local": local})
	names, err := g.host.Files().ReadDir(ctx, g.factPath)
	if there, err := thereNow(err); err != nil || !there {
		return err
	}
	for _, name := range names {
		if base, ok := strings.CutSuffix(name, factFile); ok {
			file := path.Join(g.factPath, name)
			text, fault, err := g.localText(ctx, file)
			if err != nil {
				return err
			}
			local[base] = any(fault)
			if fault == "" {
				local[base] = localFact(file, text)
			}
		}
	}
	return nil
}

// localText is what a file of facts says; fault is why it says nothing.
func (g *gathering) localText(ctx context.Context, file string) (text, fault string, err error) {
	info, err := g.host.Files().Stat(ctx, file)
	if there, err := thereNow(err); err != nil || !there {
		return "", fmt.Sprintf("Could not stat fact (%s): it leads nowhere", file), err
	}
	if info.Mode&0o100 == 0 || info.Type != sys.Regular {
		text, _, err = g.text(ctx, file)
		return text, "", err
	}
	result, err := g.host.Probe(ctx, sys.Command{Args: []string{file}})
	_, unknown := sys.Unknown(err)
	switch {
	case ctx.Err() != nil || unknown:
		return "", "", err
	case err != nil:
		return "", fmt.Sprintf("Could not execute fact script (%s): %v", file, err), nil
	case result.Code != 0:
		return "", fmt.Sprintf("Failure executing fact script (%s), rc: %d, err: %s", file, result.Code, result.Stderr), nil
	}
	return string(result.Stdout), "", nil
}

// localFact reads JSON, or else INI.
func localFact(file, text string) any {
	if !utf8.ValidString(text) {
		return fmt.Sprintf("error loading fact - output of running %q was not utf-8", file)
	}
	var fact any
	if json.Unmarshal([]byte(text), &fact) == nil {
		return fact
	}
	sections, err := localSections(text)
	if err != nil {
		return "error loading facts as JSON or ini - please check content: " + file
	}
	return sections
}

// localSections reads INI as Python's configparser does, but for values that are
// made of others (%(name)s), which stay text.
func localSections(text string) (map[string]any, error) {
	sections, defaults := map[string]any{}, map[string]any{}
	var into map[string]any
	last := ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		name, isSection := strings.CutPrefix(trimmed, "[")
		at := strings.IndexAny(trimmed, "=:")
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case last != "" && (line[0] == ' ' || line[0] == '\t'):
			into[last] = fmt.Sprintf("%v\n%s", into[last], trimmed)
		case isSection && strings.HasSuffix(name, "]"):
			name, last = strings.TrimSuffix(name, "]"), ""
			if sections[name] != nil {
				return nil, fmt.Errorf("the section %s stands twice", name)
			}
			if into = defaults; name != "DEFAULT" {
				into = map[string]any{}
				sections[name] = into
			}
		case into == nil || at < 1:
			return nil, errors.New("a line is no key and value of a section")
		default:
			last = strings.ToLower(strings.TrimSpace(trimmed[:at]))
			if _, twice := into[last]; twice {
				return nil, fmt.Errorf("the key %s stands twice", last)
			}
			into[last] = strings.TrimSpace(trimmed[at+1:])
		}
	}
	for _, section := range sections {
		inherit(section.(map[string]any), defaults) //nolint:forcetypeassert // put there above
	}
	return sections, nil
}

func inherit(section, defaults map[string]any) {
	for key, value := range defaults {
		if _, own := section[key]; !own {
			section[key] = value
		}
	}
}
