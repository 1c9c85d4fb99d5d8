package main

import (
	"fmt"
	"maps"
	"os"

	"github.com/rbdplay/rbdplay/engine/agent/binaries"
	"github.com/rbdplay/rbdplay/engine/syntax"
)

// addVarsFile reads a file of variables.
func addVarsFile(all map[string]any, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	node, err := syntax.Parse(file, data)
	if err != nil {
		return err
	}
	decoded, err := node.Decode()
	if err != nil {
		return err
	}
	values, ok := decoded.(map[string]any)
	if !ok {
		return fmt.Errorf("%s: wants a mapping of variables", file)
	}
	maps.Copy(all, values)
	return nil
}

// agentsText says which platforms this rbdplay can put an agent on.
func agentsText() string {
	text := ""
	for _, a := range binaries.Embedded().Architectures() {
		text += " " + a
	}
	if text == "" {
		return "no agents: build with make build"
	}
	return "agents for" + text
}
