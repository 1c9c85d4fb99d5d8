package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/expression"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/modules"
)

// docPlaybook explains the variables that the roles of a playbook describe.
func docPlaybook(ctx context.Context, s *streams, name string, asJSON bool) error {
	registry, err := modules.All()
	if err != nil {
		return err
	}
	source, _, err := findPlaybook(name)
	if err != nil {
		return err
	}
	sources := &diag.Sources{}
	playbook, _, found := play.Load(ctx, source, registry, play.Options{Disk: os.DirFS("/"), Sources: sources})
	if err := report(s, found, sources); err != nil {
		return err
	}
	specs := playbook.ArgumentSpecs()
	if asJSON {
		return specsJSON(s.out, name, specs)
	}
	_, err = io.WriteString(s.out, specsText(name, specs))
	return err
}

// specsText is a page in Markdown that reads well in a terminal too.
func specsText(name string, specs []*play.ArgumentSpec) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Variables of %s\n", name)
	if len(specs) == 0 {
		b.WriteString("\nIts roles describe none (in meta/argument_specs.yml).\n")
	}
	for _, spec := range specs {
		if spec.Summary != "" {
			fmt.Fprintf(&b, "\n%s\n", spec.Summary)
		}
		b.WriteString("\n")
		writeOptions(&b, spec.Options, "")
	}
	return b.String()
}

func writeOptions(b *strings.Builder, options []play.ArgumentOption, indent string) {
	for _, o := range options {
		fmt.Fprintf(b, "%s- `%s` (%s)", indent, o.Name, argumentFacts(o))
		if o.Description != "" {
			fmt.Fprintf(b, "  \n%s  %s", indent, o.Description)
		}
		b.WriteString("\n")
		writeOptions(b, o.Options, indent+"  ")
	}
}

func argumentFacts(o play.ArgumentOption) string {
	facts := []string{o.Type}
	if o.Elements != "" {
		facts[0] += " of " + o.Elements
	}
	if o.Required {
		facts = append(facts, "required")
	}
	if len(o.Choices) > 0 {
		texts := make([]string, len(o.Choices))
		for i, choice := range o.Choices {
			texts[i] = expression.Text(choice)
		}
		facts = append(facts, "one of "+strings.Join(texts, ", "))
	}
	if o.Default != nil {
		facts = append(facts, "default "+defaultText(o.Default))
	}
	return strings.Join(facts, "; ")
}

func defaultText(value any) string {
	switch value := value.(type) {
	case string:
		return cmp.Or(value, `""`)
	case bool: // as YAML writes it
		return strconv.FormatBool(value)
	}
	return expression.Text(value)
}

type optionJSON struct {
	Name     string       `json:"name"`
	Type     string       `json:"type"`
	Elements string       `json:"elements,omitempty"`
	Required bool         `json:"required,omitempty"`
	Default  any          `json:"default,omitempty"`
	Choices  []any        `json:"choices,omitempty"`
	Doc      string       `json:"doc,omitempty"`
	Options  []optionJSON `json:"options,omitempty"`
}

func specsJSON(out io.Writer, name string, specs []*play.ArgumentSpec) error {
	type entryJSON struct {
		Role    string       `json:"role"`
		Entry   string       `json:"entry"`
		Summary string       `json:"summary,omitempty"`
		Options []optionJSON `json:"options"`
	}
	entries := make([]entryJSON, len(specs))
	for i, spec := range specs {
		entries[i] = entryJSON{spec.Role, spec.Entry, spec.Summary, optionsJSON(spec.Options)}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(map[string]any{"playbook": name, "entries": entries})
}

func optionsJSON(options []play.ArgumentOption) []optionJSON {
	list := make([]optionJSON, len(options))
	for i, o := range options {
		list[i] = optionJSON{o.Name, o.Type, o.Elements, o.Required, o.Default, o.Choices, o.Description, optionsJSON(o.Options)}
	}
	return list
}
