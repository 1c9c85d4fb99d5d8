package play_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/rbdplay/rbdplay/engine/play"
	"github.com/rbdplay/rbdplay/modules"
)

// The schema knows every module by each of its names, with every option and no more.
func TestSchemaKnowsEveryModule(t *testing.T) {
	registry, err := modules.All()
	if err != nil {
		t.Fatal(err)
	}
	made, err := play.Schema(registry)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]map[string]any `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	task, _ := schema.Defs["task"]["properties"].(map[string]any)
	for _, name := range registry.KnownNames() {
		spec, _ := registry.Find(name)
		to, _ := task[name].(map[string]any)
		if to["$ref"] != "#/$defs/module_"+spec.Name {
			t.Errorf("a task with %s leads to %v", name, task[name])
		}
		options, _ := spec.Options()
		taken, _ := schema.Defs["module_"+spec.Name]["properties"].(map[string]any)
		count := 0
		for _, o := range options {
			count += 1 + len(o.Aliases)
			for _, name := range append([]string{o.Name}, o.Aliases...) {
				if taken[name] == nil {
					t.Errorf("%s lacks %s", spec.Name, name)
				}
			}
		}
		if len(taken) != count {
			t.Errorf("%s has %d options in the schema, and %d", spec.Name, len(taken), count)
		}
	}
	for _, keyword := range []string{"when", "loop", "with_items", "register", "listen", "include_tasks"} {
		if task[keyword] != true {
			t.Errorf("a task may not have %s", keyword)
		}
	}
	if required, _ := schema.Defs["play"]["required"].([]any); !slices.Contains(required, any("hosts")) {
		t.Errorf("a play needs %v", required)
	}
}
