package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rbdplay/rbdplay/engine/diag"
	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/modules"
)

func newDoc(s *streams) *cobra.Command {
	var asJSON, schema bool
	var writeTo string
	c := &cobra.Command{
		Use:   "doc [MODULE | playbook PLAYBOOK]",
		Short: "Explain a module or the variables of a playbook, or list the modules",
		Long: `Explains a module: its options, results and examples. Without a name it lists the
modules. With "playbook" it explains the variables that a playbook takes, as the
meta/argument_specs.yml of its roles describe them. With --schema it prints the JSON
schema of a playbook, by which editors complete and check it.
` + exitCodes,
		Example: "  rbdplay doc lineinfile\n  rbdplay doc playbook ha-minimal",
		Args:    docArgs,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			registry, err := modules.All()
			if err != nil {
				return nil, cobra.ShellCompDirectiveError
			}
			return registry.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			registry, err := modules.All()
			if err != nil {
				return err
			}
			switch {
			case schema && len(args) > 0:
				return fmt.Errorf("--schema goes without %q: it describes playbooks with all modules", args[0])
			case len(args) == 2:
				return docPlaybook(c.Context(), s, args[1], asJSON)
			case schema:
				return writeSchema(s.out, registry)
			case writeTo != "":
				return writeDocs(registry, writeTo)
			case len(args) == 0:
				return listModules(s.out, registry)
			}
			spec, known := registry.Find(args[0])
			if !known {
				return fmt.Errorf("no module %q; %s", args[0], orList(diag.DidYouMean(args[0], registry.Names())))
			}
			if asJSON {
				return docJSON(s.out, spec)
			}
			text, err := docText(spec)
			if err == nil {
				_, err = io.WriteString(s.out, text)
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.Flags().BoolVar(&schema, "schema", false, "print the JSON schema of a playbook, for editors")
	c.Flags().StringVar(&writeTo, "write", "", "write a page for each module to this `folder`, and beside it the schema and the tables of language.md")
	c.MarkFlagsMutuallyExclusive("schema", "write")
	c.MarkFlagsMutuallyExclusive("schema", "json")
	return c
}

// docArgs wants at most a module, or the word playbook and a playbook.
func docArgs(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "playbook":
		return fmt.Errorf("PLAYBOOK is missing; see %s --help", c.CommandPath())
	case len(args) == 2 && args[0] != "playbook", len(args) > 2:
		return fmt.Errorf("%q is too much; see %s --help", args[len(args)-1], c.CommandPath())
	}
	return nil
}

func orList(hint string) string {
	if hint == "" {
		return "rbdplay doc lists them"
	}
	return hint
}

func listModules(out io.Writer, registry *modules.Registry) error {
	for _, name := range registry.Names() {
		spec, _ := registry.Find(name)
		if _, err := fmt.Fprintf(out, "%-16s %s\n", name, spec.Summary); err != nil {
			return err
		}
	}
	return nil
}

// docText is a module's page: Markdown that reads well in a terminal too.
func docText(spec *modules.Spec) (string, error) {
	options, err := spec.Options()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s\n", spec.Name, spec.Summary)
	if len(spec.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso called %s.\n", strings.Join(spec.Aliases, ", "))
	}
	for _, note := range spec.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	if len(options) > 0 {
		b.WriteString("\n## Options\n\n")
	}
	for _, o := range options {
		fmt.Fprintf(&b, "- `%s` (%s)%s\n", o.Name, optionFacts(o), "  \n  "+o.Doc)
	}
	if len(spec.Returns) > 0 {
		b.WriteString("\n## Results\n\n")
	}
	for _, r := range spec.Returns {
		fmt.Fprintf(&b, "- `%s` (%s)  \n  %s\n", r.Name, r.Type, r.Doc)
	}
	if len(spec.Examples) > 0 {
		b.WriteString("\n## Examples\n")
	}
	for _, e := range spec.Examples {
		fmt.Fprintf(&b, "\n%s\n\n```yaml\n%s\n```\n", e.Title, strings.TrimSpace(e.YAML))
	}
	return b.String(), nil
}

func optionFacts(o modules.Option) string {
	facts := []string{o.Type}
	if o.Required {
		facts = append(facts, "required")
	}
	if len(o.Choices) > 0 {
		facts = append(facts, "one of "+strings.Join(o.Choices, ", "))
	}
	if o.Default != "" {
		facts = append(facts, "default "+o.Default)
	}
	if len(o.Aliases) > 0 {
		facts = append(facts, "also "+strings.Join(o.Aliases, ", "))
	}
	if o.Secret {
		facts = append(facts, "never shown")
	}
	return strings.Join(facts, "; ")
}

func docJSON(out io.Writer, spec *modules.Spec) error {
	options, err := spec.Options()
	if err != nil {
		return err
	}
	type option struct {
		Name     string   `json:"name"`
		Aliases  []string `json:"aliases,omitempty"`
		Type     string   `json:"type"`
		Default  string   `json:"default,omitempty"`
		Choices  []string `json:"choices,omitempty"`
		Required bool     `json:"required,omitempty"`
		Secret   bool     `json:"secret,omitempty"`
		Doc      string   `json:"doc"`
	}
	page := map[string]any{"name": spec.Name, "aliases": spec.Aliases, "summary": spec.Summary, "notes": spec.Notes, "returns": spec.Returns, "examples": spec.Examples}
	list := make([]option, 0, len(options))
	for _, o := range options {
		list = append(list, option{o.Name, o.Aliases, o.Type, o.Default, o.Choices, o.Required, o.Secret, o.Doc})
	}
	page["options"] = list
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(page)
}

// writeDocs writes a page for each module, and an index.
func writeDocs(registry *modules.Registry, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var index strings.Builder
	index.WriteString("# Modules\n\nMade from the code by `make docs`.\n\n| module | what it does |\n|---|---|\n")
	for _, name := range registry.Names() {
		spec, _ := registry.Find(name)
		text, err := docText(spec)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".md"), []byte(text), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&index, "| [%s](%s.md) | %s |\n", name, name, spec.Summary)
	}
	if err := writeProofs(&index); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(index.String()), 0o644); err != nil {
		return err
	}
	var schema bytes.Buffer
	if err := writeSchema(&schema, registry); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "..", schemaFile), schema.Bytes(), 0o644); err != nil {
		return err
	}
	return writeLanguage(filepath.Join(dir, "..", languageFile))
}

// schemaFile is the schema's name in the folder above that of the modules' pages.
const schemaFile = "playbook.schema.json"

func writeSchema(out io.Writer, registry *modules.Registry) error {
	schema, err := play.Schema(registry)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	return encoder.Encode(schema)
}

// writeProofs writes the table that the conformance suite keeps.
func writeProofs(out io.Writer) error {
	proofs, err := modules.Proofs()
	if err != nil {
		return err
	}
	fmt.Fprint(out, "\n## What is proved\n\n"+
		"Made by the conformance suite. A fixture is a host, arguments and what becomes of it; on each one the suite checks, runs, compares both, runs again, breaks each look and cancels at each call. A cell that does not say yes says why.\n\n"+
		"| module | check proved | diff | idempotence proved | cancel safe | systems run on |\n|---|---|---|---|---|---|\n")
	for _, p := range proofs {
		fmt.Fprintf(out, "| [%s](%s.md) | %s | %s | %s | %s | %s |\n", p.Module, p.Module, p.Check, p.Diff, p.Idempotence, p.Cancel, p.Systems)
	}
	return nil
}

func newVersion(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  "Prints the version of rbdplay and the platforms it carries an agent for.\n" + exitCodes,
		Args:  wants(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(s.out, "rbdplay %s\n%s\n", version, agentsText())
			return err
		},
	}
}
