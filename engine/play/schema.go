package play

import (
	"maps"
	"slices"

	"github.com/rbdplay/rbdplay/modules"
)

// Schema is the JSON schema of a playbook, for editors: which keywords may stand
// where, which modules there are and what each takes. It is made of the lists that
// the loader checks with. An editor with it sees wrong names at once; the loader
// sees more.
func Schema(registry *modules.Registry) (map[string]any, error) {
	actions, definitions := schemaOf{}, schemaOf{}
	for _, name := range registry.KnownNames() {
		spec, _ := registry.Find(name)
		actions[name] = schemaOf{"$ref": "#/$defs/module_" + spec.Name}
	}
	for _, name := range registry.Names() {
		spec, _ := registry.Find(name)
		described, err := moduleSchema(spec)
		if err != nil {
			return nil, err
		}
		definitions["module_"+name] = described
	}
	steps := schemaOf{"type": []string{"array", "null"}, "items": schemaOf{"$ref": "#/$defs/step"}}
	task := keywordSchema(slices.Concat(taskKeywords, loopKeywords(), handlerOnly))
	maps.Copy(task, actions)
	for _, name := range languageActions {
		for _, prefix := range []string{"", "ansible.builtin.", "ansible.legacy."} {
			if _, module := actions[prefix+name]; !module {
				task[prefix+name] = true
			}
		}
	}
	block := keywordSchema(blockKeywords)
	for _, part := range []string{"block", "rescue", "always"} {
		block[part] = schemaOf{"$ref": "#/$defs/steps"}
	}
	play := keywordSchema(playKeywords)
	for _, part := range []string{"tasks", "pre_tasks", "post_tasks", "handlers"} {
		play[part] = schemaOf{"$ref": "#/$defs/steps"}
	}
	play["roles"] = schemaOf{"type": []string{"array", "null"}}
	definitions["steps"] = steps
	definitions["block"] = closed(block, "block")
	definitions["task"] = closed(task)
	definitions["step"] = schemaOf{
		"if": schemaOf{"required": []string{"block"}}, "then": schemaOf{"$ref": "#/$defs/block"}, "else": schemaOf{"$ref": "#/$defs/task"},
	}
	definitions["play"] = closed(play, "hosts")
	definitions["import_playbook"] = closed(keywordSchema(importPlaybookKeys))
	return schemaOf{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "A playbook of rbdplay",
		"type":    "array",
		"items": schemaOf{
			"if":   schemaOf{"required": []string{"hosts"}},
			"then": schemaOf{"$ref": "#/$defs/play"}, "else": schemaOf{"$ref": "#/$defs/import_playbook"},
		},
		"$defs": definitions,
	}, nil
}

type schemaOf = map[string]any

func keywordSchema(names []string) schemaOf {
	properties := schemaOf{}
	for _, name := range names {
		properties[name] = true
	}
	return properties
}

// closed is a mapping with these keys and no others.
func closed(properties schemaOf, required ...string) schemaOf {
	described := schemaOf{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		described["required"] = required
	}
	return described
}

// moduleSchema describes a module's arguments: a mapping, or a text with key=value
// or of a free form, in which an editor checks nothing.
func moduleSchema(spec *modules.Spec) (schemaOf, error) {
	options, err := spec.Options()
	if err != nil {
		return nil, err
	}
	properties := schemaOf{}
	for _, o := range options {
		described := optionSchema(o)
		for _, name := range append([]string{o.Name}, o.Aliases...) {
			properties[name] = described
		}
	}
	arguments := schemaOf{"type": []string{"object", "string", "null"}, "description": spec.Summary, "properties": properties}
	if !spec.AnyArgs {
		arguments["additionalProperties"] = false
	}
	return arguments, nil
}

// optionSchema takes texts everywhere, since any may be a template, and numbers and
// truth values too, which become texts.
func optionSchema(o modules.Option) schemaOf {
	described := schemaOf{"description": o.Doc}
	if o.Default != "" {
		described["default"] = o.Default
	}
	switch {
	case len(o.Choices) > 0:
		// A word that YAML reads as a truth value is a choice too: upgrade: yes.
		truth := slices.ContainsFunc(o.Choices, func(c string) bool { return slices.Contains([]string{"yes", "no", "true", "false", "on", "off"}, c) })
		kinds := []any{schemaOf{"enum": o.Choices}, schemaOf{"type": "string", "pattern": `\{[{%]`}}
		if truth {
			kinds = append(kinds, schemaOf{"type": "boolean"})
		}
		if o.Type == "list" {
			kinds = append(kinds, schemaOf{"type": "array"}, schemaOf{"type": "string", "pattern": ","})
		}
		described["anyOf"] = kinds
	case o.Type == "string" || o.Type == "path" || o.Type == "bool" || o.Type == "int" || o.Type == "float" || o.Type == "mode":
		described["type"] = []string{"string", "number", "boolean", "null"}
	}
	return described
}
